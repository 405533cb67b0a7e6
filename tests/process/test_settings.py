"""A bad setting stops the daemon before it opens anything, with one clear line; a data directory that is
not this node's is refused, unharmed."""
import hashlib
import os
import shutil
import socket
import subprocess
import unittest

import fabric
from client import Req


def contents(directory):
    """A hash of every file's path and bytes; of LMDB's reader table and the locks only that they are there."""
    digest = hashlib.sha256()
    for path, _, files in sorted(os.walk(directory)):
        for name in sorted(files):
            full = os.path.join(path, name)
            digest.update(full.encode())
            if name == "lock.mdb" or name == "lock" or name.endswith(".lock"):
                continue
            with open(full, "rb") as file:
                digest.update(file.read())
    return digest.hexdigest()


class Settings(unittest.TestCase):
    def setUp(self):
        self.directory = fabric.temporary_directory()
        self.addCleanup(shutil.rmtree, self.directory, True)
        self.data_dir = os.path.join(self.directory, "data")
        self.ports = fabric.free_ports(4)

    def listen(self, **other):
        sockets = {name: f"tcp://127.0.0.1:{port}" for name, port in zip(("client", "feed", "ingest", "link"), self.ports)}
        return [f"listen.{name}={endpoint}" for name, endpoint in {**sockets, **other}.items()]

    def run_daemon(self, *settings, config=None, check=False):
        command = [fabric.canopyd]
        if config is not None:
            path = os.path.join(self.directory, "canopy.toml")
            with open(path, "wb") as file:
                file.write(config if isinstance(config, bytes) else config.encode())
            command += ["--config", path]
        for setting in settings:
            command += ["--set", setting]
        if check:
            command.append("--check-config")
        return subprocess.run(command, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL,
                              env={**os.environ, "XDG_STATE_HOME": self.directory})

    def refused(self, run, *names, status=2):
        self.assertEqual(run.returncode, status, run.stderr)
        lines = run.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, run.stderr)
        for name in names:
            self.assertIn(name, lines[0])

    def test_a_bad_setting_is_named_with_its_value_and_what_would_be_right(self):
        cases = [
            ("node.nosuch=1", "node.nosuch", "unknown"),
            ("nosuch.key=1", "nosuch.key", "unknown"),
            ("tree.fanout=1", "tree.fanout", "1", "2"),
            ("tree.fanout=many", "tree.fanout", "many", "number"),
            ("fabric.bucket_count=100", "fabric.bucket_count", "100", "power of two"),
            ("fabric.bucket_count=8192", "fabric.bucket_count", "8192", "4096"),
            ("fabric.replicas=2", "fabric.replicas", "2", "not supported yet"),
            ("fabric.min_in_sync=2", "fabric.min_in_sync", "not supported yet"),
            ("store.sync_interval=1ms", "store.sync_interval", "1ms", "10ms"),
            ("store.durability=perhaps", "store.durability", "perhaps", "commit"),
            ("retention.sent=0", "retention.sent", "count"),
            ("listen.metrics=127.0.0.1:7704", "listen.metrics", "not supported yet"),
            ("timeline.capacity=0", "timeline.capacity", "0"),
            ("limits.body_max=1TiB", "limits.body_max", "1TiB"),
            ("store.map_size=huge", "store.map_size", "huge"),
            ("log.level=loud", "log.level", "loud", "notice"),
            ("node.name=", "node.name"),
            ("node.weight=-1", "node.weight", "-1"),
            ("listen.client=nowhere", "listen.client", "nowhere"),
            ("listen.client=tcp://127.0.0.1:99999", "listen.client", "99999"),
            ("listen.client=tcp://0.0.0.0:7700", "listen.client", "insecure"),
            ("listen.feed=tcp://[::]:7700", "listen.feed", "insecure"),
            ("listen.link=tcp://10.99.0.1:7703", "listen.link", "insecure"),
            ("listen.ingest=tcp://*:7702", "listen.ingest", "insecure"),
            (f"listen.feed=tcp://127.0.0.1:{self.ports[0]}", "listen.feed", "listen.client"),
            ("fabric.bootstrap_expect=3", "fabric.seeds", "3"),
            ("fabric.seeds=7", "fabric.seeds", "7"),
            ('fabric.seeds=["tcp://127.0.0.1:1"]', "fabric.bootstrap_expect"),
        ]
        for setting, *names in cases:
            with self.subTest(setting):
                self.refused(self.run_daemon(*self.listen(), f"node.data_dir={self.data_dir}", setting), *names)
                self.assertFalse(os.path.exists(self.data_dir))

    def test_a_bad_file_is_named_with_its_line(self):
        for config, *names in (("[tree]\nfanuot = 4\n", ":2", "fanuot", "fanout"), ("[tree]\n\nfanout = 'x'\n", ":3", "tree.fanout"),
                               ("[tree\n", ":1", "TOML"), (b"\xff\xfe", "TOML"), ("fanout = 4\n", ":1", "fanout"),
                               ("[tree]\nfanout = 4\nfanout = 5\n", "TOML"), ("[trees]\n", "trees")):
            with self.subTest(config):
                self.refused(self.run_daemon(f"node.data_dir={self.data_dir}", config=config), "canopy.toml", *names)
                self.assertFalse(os.path.exists(self.data_dir))
        missing = subprocess.run([fabric.canopyd, "--config", "/nosuch/file"], capture_output=True, text=True, timeout=20)
        self.refused(missing, "/nosuch/file")

    def test_check_config_only_checks(self):
        self.refused(self.run_daemon("tree.fanout=1", check=True), "tree.fanout")
        good = self.run_daemon(f"node.data_dir={self.data_dir}", config='[tree]\nfanout = 4\n[log]\nlevel = "debug"\n', check=True)
        self.assertEqual((good.returncode, good.stderr), (0, ""))
        self.assertFalse(os.path.exists(self.data_dir))

    def test_the_installed_settings_file_is_right(self):
        run = subprocess.run([fabric.canopyd, "--config", os.path.join(fabric.root, "conf/canopy.toml"), "--check-config"],
                             capture_output=True, text=True, timeout=20)
        self.assertEqual((run.returncode, run.stderr), (0, ""))

    def test_an_unknown_option_is_named(self):
        run = subprocess.run([fabric.canopyd, "--nosuch"], capture_output=True, text=True, timeout=20)
        self.refused(run, "--nosuch")

    def test_a_port_in_use_is_named(self):
        for index, name in enumerate(("listen.client", "listen.feed", "listen.ingest", "listen.link")):
            with socket.socket() as holder:
                holder.bind(("127.0.0.1", self.ports[index]))
                holder.listen()
                run = self.run_daemon(*self.listen(), f"node.data_dir={self.data_dir}")
                self.assertNotEqual(run.returncode, 0)
                self.assertIn(str(self.ports[index]), run.stderr)
                self.assertIn(name, run.stderr)
                self.assertIn("in use", run.stderr)

    def test_beyond_loopback_with_insecure(self):
        settings = [*self.listen(client=f"tcp://0.0.0.0:{self.ports[0]}"), f"node.data_dir={self.data_dir}"]
        self.assertEqual(self.run_daemon(*settings, check=True).returncode, 2)
        self.assertEqual(self.run_daemon(*settings, "node.insecure=true", check=True).returncode, 0)


class DataDirectory(unittest.TestCase):
    def test_a_second_daemon_on_it_is_refused(self):
        with fabric.Fabric(1) as one:
            node = one.nodes[0]
            ports = fabric.free_ports(4)
            second = fabric.Node("n1", one.directory, ports)
            run = subprocess.run(second.command(), capture_output=True, text=True, timeout=20)
            self.assertNotEqual(run.returncode, 0)
            self.assertIn("in use", run.stderr)
            self.assertIn(node.data_dir, run.stderr)
            self.assertTrue(node.ping())

    def test_one_that_was_made_for_another_is_refused_unharmed(self):
        with fabric.Fabric(1, ["store.shards=2"]) as one:
            node = one.nodes[0]
            with Req(node.client) as client:
                client.call("FOLLOW", {"follower": "bob", "author": "alice"})
                client.call("PUBLISH", {"author": "alice"}, b"kept")
            node.stop()
            before = contents(node.data_dir)
            for setting, name in (("node.name=other", "name"), ("fabric.name=other", "fabric"), ("store.shards=3", "shards"),
                                  ("fabric.bucket_count=512", "bucket_count"), ("tree.fanout=5", "fanout"),
                                  ("timeline.capacity=5", "capacity")):
                with self.subTest(setting):
                    run = subprocess.run([*node.command(), "--set", setting], capture_output=True, text=True, timeout=20)
                    self.assertNotEqual(run.returncode, 0, run.stderr)
                    self.assertIn(name, run.stderr)
                    self.assertIn("other" if "other" in setting else setting.split("=")[1], run.stderr)
                    self.assertEqual(contents(node.data_dir), before)
            node.start()
            with Req(node.client) as client:
                self.assertEqual(client.call("READ", {"entity": "bob"})["entries"][0]["body"], "kept")

    def test_a_newer_format_or_rubbish_in_it_is_refused_unharmed(self):
        with fabric.Fabric(1) as one:
            node = one.nodes[0]
            node.stop()
            for path, _, files in os.walk(node.data_dir):
                for name in files:
                    if name != "data.mdb":
                        continue
                    full = os.path.join(path, name)
                    with open(full, "rb") as file:
                        good = file.read()
                    with open(full, "wb") as file:
                        file.write(b"this is no store" * 1000)
                    before = contents(node.data_dir)
                    with self.subTest(full):
                        run = subprocess.run(node.command(), capture_output=True, text=True, timeout=20)
                        self.assertNotEqual(run.returncode, 0, run.stderr)
                        self.assertTrue(run.stderr.strip())
                        self.assertEqual(contents(node.data_dir), before)
                    with open(full, "wb") as file:
                        file.write(good)
            node.start()

    def test_a_node_of_a_formed_fabric_is_not_taken_into_another(self):
        with fabric.Fabric(2) as two:
            for node in two.nodes:
                node.stop()
            ports = fabric.free_ports(8)
            stranger = fabric.Node("n2", two.directory + "/other", ports[:4],
                                   [f'fabric.seeds=["tcp://127.0.0.1:{ports[3]}","{two.nodes[0].link}"]', "fabric.bootstrap_expect=2"])
            os.mkdir(two.directory + "/other")
            two.nodes[0].start()
            stranger.start(wait=False)
            try:
                two.nodes[0].wait_ready()
                self.assertIsNone(stranger.ping(2.0))  # the name is taken: it must not become ready
            finally:
                if stranger.process.poll() is None:
                    stranger.kill()
            two.nodes[1].start()
            two.wait_linked()


if __name__ == "__main__":
    unittest.main()
