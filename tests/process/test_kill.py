"""kill -9 of nodes under load: nothing acknowledged is missing, nothing double. A node that is down holds
nobody up. The long form: CANOPY_KILL_ROUNDS=50 CANOPY_DOWN_SECONDS=60."""
import os
import random
import threading
import time
import unittest

import fabric
from client import MSGPACK, Dealer, NoAnswer, Req, entries_of, wait_until

ROUNDS = int(os.environ.get("CANOPY_KILL_ROUNDS", "6"))
DOWN_SECONDS = float(os.environ.get("CANOPY_DOWN_SECONDS", "10"))
WAITING = ("BUSY", "UNAVAILABLE", "TIMEOUT")


class Publisher(threading.Thread):
    """Publishes as one author, one message after the other, each with a key and again until it is
    acknowledged, through the nodes in turn. `acknowledged`: the ids in order."""

    def __init__(self, author, endpoints, seed):
        super().__init__(daemon=True)
        self.author, self.endpoints = author, endpoints
        self.rnd = random.Random(seed)
        self.acknowledged, self.errors, self.tries = [], [], 0
        self.ending = threading.Event()

    def run(self):
        try:
            while not self.ending.is_set():
                self.publish(len(self.acknowledged))
        except Exception as error:  # told by the test
            self.errors.append(repr(error))

    def publish(self, number):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            self.tries += 1
            with Req(self.rnd.choice(self.endpoints), 2) as client:
                try:
                    while True:
                        status, result = client.ask("PUBLISH", {"author": self.author, "key": str(number)}, b"%d" % number, MSGPACK)
                        if status != "OK":
                            break
                        self.acknowledged.append(result["id"])
                        number += 1
                        end = time.monotonic() + 60
                        if self.ending.is_set():
                            return
                        self.tries += 1
                except NoAnswer:
                    continue
                if result["code"] not in WAITING:
                    raise AssertionError(result)
                time.sleep(0.05)
        raise AssertionError(f"message {number} of {self.author} was not acknowledged within 60 s")


class Kill(unittest.TestCase):
    def run_load(self, three, while_running, authors=6, fans=60):
        self.authors = [f"author-{i}" for i in range(authors)]
        self.fans = [f"fan-{i}" for i in range(fans)]
        with Req(three.nodes[0].client) as client:
            pairs = [[fan, author] for fan in self.fans for author in self.authors]
            wait_until(lambda: client.call("FOLLOW", {"pairs": pairs, "wait_ms": 3000})["active"] == len(pairs), 30)
        endpoints = [node.client for node in three.nodes]
        publishers = [Publisher(author, endpoints, seed) for seed, author in enumerate(self.authors)]
        for publisher in publishers:
            publisher.start()
        try:
            while_running()
        finally:
            for publisher in publishers:
                publisher.ending.set()
            for publisher in publishers:
                publisher.join(70)
        self.assertEqual([publisher.errors for publisher in publishers], [[]] * authors)
        self.assertTrue(all(publisher.acknowledged for publisher in publishers))
        return {publisher.author: publisher.acknowledged for publisher in publishers}

    # Every home has, of each author, what was acknowledged, in order, each once (home is the newest
    # `capacity`, which is set so that all fits).
    def check_homes(self, three, sent, timeout=60):
        total = sum(len(ids) for ids in sent.values())
        for node in three.nodes:
            with Req(node.client) as client:
                for author, ids in sent.items():
                    self.assertEqual([entry["id"] for entry in entries_of(client, author, "sent")], ids, author)
        for index, fan in enumerate(self.fans):
            with Req(three.nodes[index % len(three.nodes)].client) as client:
                entries = wait_until(lambda: (lambda found: found if len(found) >= total else None)(entries_of(client, fan)),
                                     timeout, every=0.2, what=f"{total} entries in the home of {fan}")
            for author, ids in sent.items():
                self.assertEqual([entry["id"] for entry in entries if entry["author"] == author], ids, (fan, author))
            self.assertEqual(len(entries), total)
            positions = [entry["position"] for entry in entries]
            self.assertEqual(positions, sorted(set(positions)))

    def test_any_node_may_be_killed_at_any_time(self):
        rnd = random.Random(int(os.environ.get("CANOPY_SEED", "1")))
        with fabric.Fabric(3, ["tree.fanout=4", "timeline.capacity=100000"]) as three:
            def kill_and_return():
                for _ in range(ROUNDS):
                    time.sleep(rnd.uniform(0.1, 0.8))
                    node = rnd.choice(three.nodes)
                    node.kill()
                    time.sleep(rnd.choice((0, 0.3, 1.0)))
                    node.start()
                for node in three.nodes:  # all at once
                    node.kill()
                for node in three.nodes:
                    node.start(wait=False)
                for node in three.nodes:
                    node.wait_ready()
                time.sleep(0.5)
            sent = self.run_load(three, kill_and_return)
            self.check_homes(three, sent)

    def test_a_single_node_may_be_killed_at_any_time(self):
        rnd = random.Random(5)
        with fabric.Fabric(1, ["timeline.capacity=100000"]) as one:
            def kill_and_return():
                for _ in range(ROUNDS):
                    time.sleep(rnd.uniform(0.05, 0.5))
                    one.nodes[0].kill()
                    one.nodes[0].start()
            sent = self.run_load(one, kill_and_return, authors=4, fans=20)
            self.check_homes(one, sent)

    def test_with_one_of_three_down_the_others_publish_and_it_gets_all_after_its_return(self):
        with fabric.Fabric(3, ["tree.fanout=4", "timeline.capacity=100000"]) as three:
            up, down = three.nodes[:2], three.nodes[2]
            names = [f"a{i}" for i in range(200)]
            with Req(up[0].client) as client:
                home_of = {name: client.call("LOOKUP", {"entity": name})["primary"] for name in names}
                authors = [name for name in names if home_of[name] != down.name][:20]
                fans = [f"fan-{i}" for i in range(90)]
                pairs = [[fan, author] for fan in fans for author in authors]
                wait_until(lambda: client.call("FOLLOW", {"pairs": pairs, "wait_ms": 3000})["active"] == len(pairs), 30)
            sent = {author: [] for author in authors}
            down.kill()
            end, number, slowest = time.monotonic() + DOWN_SECONDS, 0, 0.0
            with Dealer(up[0].client) as first, Dealer(up[1].client) as second:
                while time.monotonic() < end:
                    dealer = (first, second)[number % 2]
                    begun = time.monotonic()
                    answers = [None] * len(authors)
                    for index, status, result in dealer.run((("PUBLISH", {"author": author}, b"%d" % number) for author in authors)):
                        self.assertEqual(status, "OK", result)  # every one succeeds, at the first try
                        answers[index] = result["id"]
                    slowest = max(slowest, time.monotonic() - begun)
                    for author, id_ in zip(authors, answers):
                        sent[author].append(id_)
                    number += 1
                    time.sleep(0.02)
            self.assertLess(slowest, 5)
            down.start()
            three.wait_linked()
            self.fans = fans
            self.check_homes(three, sent)


if __name__ == "__main__":
    unittest.main()
