"""Crash images of a real node: its writes are recorded, and whatever a crash may have left of them, the
node starts on it and nothing acknowledged is missing. More: CANOPY_CRASH_IMAGES=1000 CANOPY_SEED=n."""
import collections
import os
import random
import shutil
import subprocess
import unittest

import fabric
import images
from client import MSGPACK, Dealer, Failed, NoAnswer, Req, entries_of

COUNT = int(os.environ.get("CANOPY_CRASH_IMAGES", "100"))
SEED = int(os.environ.get("CANOPY_SEED", "1"))
AUTHORS, FANS = 8, 6
SETTINGS = ["store.shards=2", "fabric.bucket_count=32"]


class Lost(AssertionError):
    pass


def build_recorder(directory):
    library = os.path.join(directory, "crashrec.so")
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", library, os.path.join(fabric.here, "crashrec.c"), "-ldl"], check=True)
    return library


class Crash(unittest.TestCase):
    def record(self, program, environment=None, rounds=40):
        """Runs a node under load, with a restart in the middle; returns its events. Each mark tells what
        was acknowledged."""
        directory = fabric.temporary_directory()
        self.addCleanup(shutil.rmtree, directory, True)
        log = os.path.join(directory, "writes")
        self.one = fabric.Fabric(1, SETTINGS, program)
        self.addCleanup(self.one.end)
        node = self.one.nodes[0]
        # The planted build has the address sanitizer, which wants to be told that something is loaded before it.
        node.environment = {**(environment or {}), "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0", "LD_PRELOAD": build_recorder(directory), "CRASH_LOG": log, "CRASH_DIR": node.data_dir}
        node.start()
        writer = os.open(log, os.O_WRONLY | os.O_APPEND)
        rnd = random.Random(SEED)
        authors = [f"author-{i}" for i in range(AUTHORS)]
        with Req(node.client) as client:
            for i in range(FANS):
                for author in authors:
                    if client.call("FOLLOW", {"follower": f"fan-{i}", "author": author, "wait_ms": 10_000})["state"] == "active":
                        images.mark(writer, f"F fan-{i} {author}")
        for number in range(rounds):
            with Dealer(node.client) as dealer:
                burst = [rnd.choice(authors) for _ in range(rnd.choice((1, 1, 3, 20)))]
                requests = (("PUBLISH", {"author": author}, rnd.randbytes(rnd.choice((10, 200, 3000)))) for author in burst)
                for index, status, result in dealer.run(requests):
                    self.assertEqual(status, "OK", result)
                    images.mark(writer, f"P {burst[index]} {result['id']}")
            if number == rounds // 2:
                node.kill()
                node.start()
        node.kill()
        os.close(writer)
        events = images.read_log(log)
        self.assertGreater(len(events), 200)
        self.assertTrue(any(event[0] == "s" for event in events) or environment)
        return events

    def check_image(self, directory, marks, program):
        """Raises Lost when the node does not come back or something acknowledged is missing."""
        name = os.path.basename(directory)
        node = fabric.Node("n1", os.path.dirname(directory), self.one.nodes[0].ports, SETTINGS, program)
        node.settings = [setting for setting in node.settings if not setting.startswith("node.data_dir=")] + [f"node.data_dir={directory}"]
        node.log_file = directory + ".log"
        try:
            try:
                node.start()
            except AssertionError as error:
                raise Lost(f"the node does not start on {name}: {error}")
            sent, follows = collections.defaultdict(set), set()
            for text in marks:
                kind, one, two = text.split()
                if kind == "P":
                    sent[one].add(int(two))
                else:
                    follows.add((one, two))
            with Req(node.client, 10) as client:
                try:
                    self.check_state(client, sent, follows)
                except (NoAnswer, Failed) as error:
                    raise Lost(f"the node does not answer on {name}: {error}\n{node.log()}")
        finally:
            if node.process:
                node.kill()
            os.unlink(node.log_file)

    def check_state(self, client, sent, follows):
        for author, ids in sent.items():
            found = [entry["id"] for entry in entries_of(client, author, "sent")]
            if len(set(found)) != len(found):
                raise Lost(f"{author} has messages twice")
            if not ids <= set(found):
                raise Lost(f"{author}: {len(ids - set(found))} of {len(ids)} acknowledged messages are missing")
        for fan in sorted({fan for fan, _ in follows}):
            want = {id_ for follower, author in follows if follower == fan for id_ in sent[author]}
            found = self.home(client, fan, want)
            if len(set(found)) != len(found):
                raise Lost(f"the home of {fan} has messages twice")
            if not want <= set(found):
                raise Lost(f"the home of {fan} lacks {len(want - set(found))} of {len(want)} acknowledged messages")

    def home(self, client, fan, want):
        """What was on its way at the crash comes in a moment."""
        for attempt in range(40):
            found = [entry["id"] for entry in entries_of(client, fan)]
            if want <= set(found):
                break
            client.call("READ", {"entity": fan, "after": (1 << 53) - 1, "wait_ms": 50 + 10 * attempt}, encoding=MSGPACK)
        return found

    def try_images(self, events, program, count, seed=SEED):
        """Returns how many were tried before something was found, and what."""
        base = fabric.temporary_directory()
        try:
            for number, (directory, mode, moment, marks) in enumerate(images.images(events, count, seed, base)):
                try:
                    self.check_image(directory, marks, program)
                except Lost as lost:
                    return number + 1, f"image {number} ({mode}, after event {moment} of {len(events)}, seed {seed}): {lost}"
                shutil.rmtree(directory)
            return count, None
        finally:
            shutil.rmtree(base, ignore_errors=True)

    def test_nothing_acknowledged_is_missing_in_any_image(self):
        events = self.record(fabric.canopyd)
        tried, found = self.try_images(events, fabric.canopyd, COUNT)
        self.assertIsNone(found)
        self.assertEqual(tried, COUNT)

    def test_a_store_without_sync_is_found(self):
        self.must_be_found("commit without sync")

    def test_a_reply_before_the_commit_is_found(self):
        self.must_be_found("commit a cycle late")

    def must_be_found(self, bug):
        if not os.path.exists(fabric.canopyd_planted):
            self.skipTest("no build with planted bugs")
        events = self.record(fabric.canopyd_planted, {"CANOPY_PLANT": bug})
        # The images are judged by the good program: the bug lies in what was written when.
        tried, found = self.try_images(events, fabric.canopyd, COUNT)
        self.assertIsNotNone(found, f"'{bug}' was not found in {tried} images")
        print(f"'{bug}' found: {found.splitlines()[0][:200]}")


if __name__ == "__main__":
    unittest.main()
