"""The console against a real node: each command of the message graph, what it prints and how it ends."""
import json
import os
import pty
import subprocess
import tempfile
import unittest

import fabric
from client import wait_until


class Console(unittest.TestCase):
    nodes = 1

    @classmethod
    def setUpClass(cls):
        cls.fabric = fabric.Fabric(cls.nodes)
        cls.fabric.__enter__()
        cls.addClassCleanup(cls.fabric.__exit__, None, None, None)

    def name(self, text):
        return f"{self._testMethodName}/{text}"

    def run_console(self, *args, input="", status=0):
        done = subprocess.run([fabric.canopy, "-e", self.fabric.nodes[0].client, *args], input=input, text=True,
                              capture_output=True, timeout=60)
        self.assertEqual(done.returncode, status, f"canopy {' '.join(args)}\n{done.stdout}{done.stderr}")
        return done

    def say(self, *args, **more):
        return self.run_console(*args, **more).stdout

    def json(self, *args):
        return json.loads(self.say("--json", *args))

    def on_terminal(self, *args, typed=b""):
        """Returns what a terminal showed, and the exit status."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv(fabric.canopy, [fabric.canopy, "-e", self.fabric.nodes[0].client, *args])
        os.write(terminal, typed)
        shown = b""
        while True:
            try:
                part = os.read(terminal, 65536)
            except OSError:
                break
            if not part:
                break
            shown += part
        os.close(terminal)
        return shown.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def publish(self, *args):
        return self.json("publish", *args)["id"]

    def bodies(self, entity, *args):
        return [entry["body"] for entry in self.json("read", entity, *args)["entries"]]

    def read_until(self, entity, timeline, bodies):
        wait_until(lambda: self.bodies(entity, "--timeline", timeline) == bodies, timeout=20)

    def test_a_conversation_is_drawn_as_a_tree(self):
        alice, bob = self.name("alice"), self.name("bob")
        first = self.publish(alice, "ready?", "--mention", bob, "--topic", self.name("x"))
        second = self.publish(bob, "almost", "--reply-to", first)
        self.publish(alice, "good", "--reply-to", second)
        self.read_until(bob, "mentions", ["ready?"])
        self.read_until("#" + self.name("x"), "topic", ["ready?"])
        self.read_until(alice, "replies", ["almost"])
        self.read_until(bob, "replies", ["good"])
        tree = [f"{alice}  ready?", f"└─ {bob}  almost", f"   └─ {alice}  good"]
        for message in (first, second):
            self.assertEqual([line.split("  ", 2)[2] for line in self.say("thread", message).splitlines()], tree)
        thread = self.json("thread", second)
        self.assertEqual((thread["message"]["id"], thread["parent"]["id"], len(thread["replies"])), (second, first, 1))
        self.assertEqual(self.json("get", second)["reply_to"], first)
        self.assertIn("NOT_FOUND", self.run_console("thread", "5", status=1).stderr)

    def test_a_message_can_be_sent_straight_home(self):
        self.publish(self.name("desk"), "open", "--to", self.name("door-1"), "--to", self.name("door-2"))
        for door in ("door-1", "door-2"):
            self.read_until(self.name(door), "home", ["open"])

    def test_retract_takes_it_out_of_home(self):
        alice, bob = self.name("alice"), self.name("bob")
        self.say("follow", bob, alice, "--wait", "5s")
        message = self.publish(alice, "oops")
        self.read_until(bob, "home", ["oops"])
        self.assertIn("DENIED", self.run_console("retract", bob, message, status=1).stderr)
        self.assertEqual(self.json("retract", alice, message), {"retracted": True})
        self.assertIn("NOT_FOUND", self.run_console("get", message, status=1).stderr)
        self.read_until(bob, "home", [])

    def test_mark_and_unread_and_consumers(self):
        alice, bob = self.name("alice"), self.name("bob")
        self.say("follow", bob, alice, "--wait", "5s")
        for body in ("one", "two", "three"):
            self.publish(alice, body)
        self.read_until(bob, "home", ["three", "two", "one"])
        page = self.json("read", bob)
        self.assertIsNone(page["unread"])
        self.assertEqual(self.json("mark", bob, str(page["entries"][1]["position"]))["unread"], 1)
        self.assertEqual(self.json("read", bob)["unread"], 1)
        self.assertEqual(self.json("mark", bob, "--newest")["unread"], 0)
        self.say("mark", bob, str(page["entries"][2]["position"]), "--consumer", "printer")
        self.assertEqual(self.bodies(bob, "--consumer", "printer"), ["two", "three"])
        self.assertIn("either", self.run_console("mark", bob, status=2).stderr)

    def test_follow_backfills(self):
        alice, bob = self.name("alice"), self.name("bob")
        for body in ("one", "two", "three"):
            self.publish(alice, body)
        self.say("follow", bob, alice, "--backfill", "2", "--wait", "5s")
        self.read_until(bob, "home", ["three", "two"])

    def test_retain_bounds_a_list_and_says_what_holds(self):
        alice = self.name("alice")
        for body in ("one", "two", "three"):
            self.publish(alice, body)
        self.assertEqual(self.json("retain", alice, "sent"), {"count": None, "age": None})
        self.assertEqual(self.json("retain", alice, "sent", "--count", "2"), {"count": 2, "age": None})
        self.assertEqual(self.say("retain", alice, "sent", "--age", "30d"),
                         f"sent of {alice} keeps the newest 2 entries, not older than 30 d\n")
        self.read_until(alice, "sent", ["three", "two"])
        self.assertIn("30x", self.run_console("retain", alice, "sent", "--age", "30x", status=2).stderr)

    def test_forward_and_its_end(self):
        alice, team, bob = self.name("alice"), self.name("team"), self.name("bob")
        self.say("follow", bob, team, "--wait", "5s")
        wait_until(lambda: self.json("forward", alice, team)["state"] == "active", timeout=20)
        self.publish(alice, "one")
        self.read_until(bob, "home", ["one"])
        self.assertEqual(self.say("forward", alice, team, "--off"), f"{alice} no longer forwards to {team}\n")

    def test_an_alias_leads_to_the_entity(self):
        alice, other = self.name("alice"), self.name("other")
        self.publish(alice, "one")
        self.assertEqual(self.say("alias", alice, other), f"{other} is {alice}\n")
        self.publish(other, "two")
        self.read_until(alice, "sent", ["two", "one"])
        self.assertIn("BAD_REQUEST", self.run_console("alias", self.name("bob"), other, status=1).stderr)
        topic, tag = "#" + self.name("x"), "#" + self.name("y")
        self.say("alias", topic, tag)
        self.publish(self.name("carol"), "three", "--mention", other, "--to", other, "--topic", tag)
        self.read_until(alice, "mentions", ["three"])
        self.read_until(other, "home", ["three"])
        self.read_until(topic, "topic", ["three"])

    def test_delete_asks_first(self):
        alice = self.name("alice")
        self.publish(alice, "one")
        self.assertIn("--yes", self.run_console("delete", alice, status=2).stderr)
        shown, status = self.on_terminal("delete", alice, typed=b"n\n")
        self.assertEqual(status, 2, shown)
        self.assertEqual(self.bodies(alice, "--timeline", "sent"), ["one"])
        shown, status = self.on_terminal("delete", alice, typed=b"y\n")
        self.assertEqual(status, 0, shown)
        self.read_until(alice, "sent", [])

    def test_what_is_exported_is_imported_under_another_name_once(self):
        alice, zoe, bob, carol = (self.name(each) for each in ("alice", "zoe", "bob", "carol"))
        self.say("follow", alice, carol)
        self.say("follow", bob, alice, "--wait", "5s")
        first = self.publish(alice, "one", "--type", "note", "--mention", bob, "--topic", self.name("x"))
        second = self.publish(alice, "two", "--reply-to", first)
        lost = self.publish(carol, "hello", "--mention", alice)
        self.publish(alice, "three", "--reply-to", lost)
        subprocess.run([fabric.canopy, "-e", self.fabric.nodes[0].client, "publish", alice], input=b"\xff\0\xfe", check=True,
                       capture_output=True)
        self.read_until(alice, "home", ["hello"])
        self.read_until(alice, "mentions", ["hello"])
        self.read_until(alice, "replies", ["two"])
        with tempfile.TemporaryDirectory() as directory:
            file = os.path.join(directory, "alice.jsonl")
            counts = self.json("export", alice, file)
            self.assertEqual(counts, {"entity": alice, "follows": 1, "followers": 1, "sent": 4, "mentions": 1, "replies": 1,
                                      "topic": 0, "home": 1})
            self.assertEqual(os.listdir(directory), ["alice.jsonl"])
            with open(file) as lines:
                text = lines.read()
            self.assertEqual(self.say("export", alice), text)
            lines = [json.loads(line) for line in text.splitlines()]
            self.assertEqual(lines[:3], [{"canopy_export": 1, "entity": alice}, {"follows": carol}, {"follower": bob}])
            self.assertEqual(lines[-1], {"canopy_export_end": {"lines": len(lines) - 1}})
            for repeat in range(2):
                told = self.json("import", "--as", zoe, file)
                self.assertEqual({key: told[key] for key in ("follows", "published", "replies_to_nothing", "not_restored", "failed")},
                                 {"follows": 2, "published": 4, "replies_to_nothing": 1, "not_restored": 2, "failed": 0})
            entries = self.json("read", zoe, "--timeline", "sent")["entries"]
            self.assertEqual([entry.get("body") for entry in entries], [None, "three", "two", "one"])
            self.assertEqual(entries[0]["body_base64"], "/wD+")
            self.assertEqual((entries[3]["type"], entries[3]["mentions"]), ("note", [bob]))
            self.assertEqual(entries[2]["reply_to"], entries[3]["id"])
            self.assertNotIn("reply_to", entries[1])
            self.assertEqual(self.say("followers", zoe), bob + "\n")
            self.assertEqual(self.say("following", zoe), carol + "\n")
            cut = text[:text.rindex('{"canopy_export_end"')]
            self.assertIn("cut short", self.run_console("import", "--as", zoe, input=cut, status=2).stderr)
        self.assertIn("line 1", self.run_console("import", input="hello\n", status=2).stderr)

    def test_small_helps(self):
        self.assertIn("did you mean 'publish'?", self.run_console("pubish", status=2).stderr)
        self.assertEqual(self.say("help", "thread"), self.say("thread", "--help"))
        self.assertIn("retract", self.say("help"))
        self.assertIn("did you mean 'read'?", self.run_console("help", "raed", status=2).stderr)
        self.assertIn("(empty)", self.on_terminal("read", self.name("nobody"))[0])
        self.assertEqual(self.say("read", self.name("nobody")), "")
        self.assertIn("--consumer", self.run_console("read", "a", "--wait", "1s", status=2).stderr)


class ConsoleOfThreeNodes(Console):
    nodes = 3


class Tune(unittest.TestCase):
    """It asks no node."""
    costs = ("append_ns", "deliver_ns", "look_ns", "merge_ns", "fetch_ns")

    def tune(self, directory, *args):
        return subprocess.run([fabric.canopy, *args, "tune", "--followers", "1000", "--rounds", "1", "--dir", directory],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)

    def test_every_cost_is_measured_and_a_node_takes_the_lines(self):
        with tempfile.TemporaryDirectory() as directory:
            done = self.tune(directory, "--json")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            found = json.loads(done.stdout)
            for cost in self.costs:
                self.assertGreater(found[cost], 0, found)
            done = self.tune(directory)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(os.listdir(directory), [], "its stores must be gone")
            lines = done.stdout[done.stdout.index("[costs]"):]
            self.assertEqual([line.split(" = ")[0] for line in lines.splitlines()], ["[costs]", *self.costs])
            settings = os.path.join(directory, "canopy.toml")
            with open(settings, "w") as file:
                file.write(lines)
            check = subprocess.run([fabric.canopyd, "--config", settings, "--set", f"node.data_dir={directory}/data", "--check-config"],
                                   capture_output=True, text=True, timeout=20)
            self.assertEqual((check.returncode, check.stderr), (0, ""))

    def test_a_directory_in_which_nothing_can_be_made_is_named(self):
        for directory in ("/nosuch/directory", fabric.canopy, "/proc"):
            done = self.tune(directory)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn(directory, done.stderr.splitlines()[0])


if __name__ == "__main__":
    unittest.main()
