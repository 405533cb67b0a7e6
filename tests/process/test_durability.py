"""store.durability: what a node promises in each mode, and how it starts again after a stop, a kill and a power
cut. The power cut is a mark of another boot: what the disk would have lost is another matter, and why the
node does not trust it."""
import json
import os
import re
import subprocess
import unittest

import fabric
from client import MSGPACK, Req

MODES = ("commit", "interval", "memory")


class Durability(unittest.TestCase):
    number = 0  # of messages published

    def mark(self, node):
        return os.path.join(node.data_dir, "unsynced")

    def set_mode(self, node, mode):
        node.settings = [s for s in node.settings if not s.startswith("store.")] + [
            f"store.durability={mode}", "store.sync_interval=20ms", "store.shards=2"]

    def publish(self, node, count=50):
        with Req(node.client) as client:
            client.call("FOLLOW", {"follower": "bob", "author": "alice"})
            for _ in range(count):
                client.call("PUBLISH", {"author": "alice"}, b"%d" % self.number, MSGPACK)
                self.number += 1

    def check(self, node):
        with Req(node.client) as client:
            for reader in ({"entity": "alice", "timeline": "sent"}, {"entity": "bob"}):
                page = client.call("READ", {**reader, "limit": 1000})
                self.assertEqual(sorted(int(entry["body"]) for entry in page["entries"]), list(range(self.number)))

    def machine_restarted(self, node):
        with open(self.mark(node)) as file:
            text = file.read()
        with open(self.mark(node), "w") as file:
            file.write(re.sub("boot = .*", "boot = " + 32 * "0", text))

    def recover(self, node, *options):
        return subprocess.run([fabric.canopy, "recover", *options, node.data_dir], capture_output=True, text=True, timeout=30)

    def refused(self, node):
        run = subprocess.run(node.command(), capture_output=True, text=True, timeout=20)
        self.assertEqual(run.returncode, 2, run.stderr)  # systemd does not try again
        lines = run.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, run.stderr)
        self.assertIn(f"canopy recover {node.data_dir}", lines[0])

    def test_every_mode_keeps_all_over_a_stop_and_a_kill_and_can_follow_any_other(self):
        one = fabric.Fabric(1)
        node = one.nodes[0]
        self.addCleanup(one.end)
        for before in MODES:
            for after in MODES:
                for ending in (node.stop, node.kill):
                    with self.subTest(before=before, after=after, ending=ending.__name__):
                        self.set_mode(node, before)
                        node.start()
                        self.publish(node, 10)
                        self.assertEqual(os.path.exists(self.mark(node)), before != "commit")
                        ending()
                        self.assertEqual(os.path.exists(self.mark(node)), before != "commit" and ending == node.kill)
                        self.set_mode(node, after)
                        node.start()
                        self.check(node)
                        self.assertEqual(os.path.exists(self.mark(node)), after != "commit")
                        node.stop()
                        self.assertFalse(os.path.exists(self.mark(node)))
        node.check_log()

    def test_after_a_power_cut_only_commit_starts_by_itself_and_recover_says_what_is_there(self):
        one = fabric.Fabric(1)
        node = one.nodes[0]
        self.addCleanup(one.end)
        for mode in ("interval", "memory"):
            with self.subTest(mode):
                self.set_mode(node, mode)
                node.start()
                self.publish(node)
                self.assertEqual(self.recover(node).returncode, 2)  # in use
                node.kill()
                sound = self.recover(node)
                self.assertEqual((sound.returncode, "nothing to accept" in sound.stdout), (0, True), sound)
                self.machine_restarted(node)
                for after in MODES:
                    self.set_mode(node, after)
                    self.refused(node)
                checked = self.recover(node)
                self.assertEqual(checked.returncode, 0, checked)
                self.assertIn("--accept", checked.stdout)
                self.refused(node)  # looking is not accepting
                accepted = self.recover(node, "--accept", "--json")
                self.assertEqual(accepted.returncode, 0, accepted)
                rows = [json.loads(line) for line in accepted.stdout.splitlines()]
                self.assertEqual([row.get("store") for row in rows], ["shard-0", "shard-1", None])
                self.assertEqual(rows[-1], {"sound": True, "unclean": True, "accepted": True})
                node.start()
                self.check(node)
                node.stop()
        self.assertEqual(self.recover(node, "--accept").returncode, 0)

    def test_a_damaged_store_is_not_accepted(self):
        one = fabric.Fabric(1)
        node = one.nodes[0]
        self.addCleanup(one.end)
        self.set_mode(node, "memory")
        node.start()
        self.publish(node, 300)
        node.kill()
        self.machine_restarted(node)
        for shard in ("shard-0", "shard-1"):
            with open(os.path.join(node.data_dir, shard, "data.mdb"), "r+b") as file:
                size = file.seek(0, os.SEEK_END)
                for at in range(2 * 4096, size, 4096):  # behind the two meta pages
                    file.seek(at + 2000)
                    file.write(b"damaged!" * 8)
        run = self.recover(node, "--accept")
        self.assertEqual(run.returncode, 1, run)
        self.assertIn("Restore the directory from a backup", run.stdout)
        self.refused(node)

    def test_recover_needs_the_directory_of_a_node(self):
        directory = fabric.temporary_directory()
        self.addCleanup(os.rmdir, directory)
        run = subprocess.run([fabric.canopy, "recover", directory], capture_output=True, text=True, timeout=20)
        self.assertEqual(run.returncode, 2)
        self.assertIn(directory, run.stderr)


if __name__ == "__main__":
    unittest.main()
