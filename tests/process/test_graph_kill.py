"""kill -9 of nodes while authors publish with mentions, topics, replies and `to`, retract what they published, and are
deleted: in the end every list and every home has exactly the messages that are left, each once.
The long form: CANOPY_KILL_ROUNDS=50."""
import os
import random
import threading
import time
import unittest

import fabric
from client import MSGPACK, Failed, NoAnswer, Req, entries_of, wait_until

ROUNDS = int(os.environ.get("CANOPY_KILL_ROUNDS", "6"))
AUTHORS = [f"author-{i}" for i in range(12)]
PERSONS, TOPICS = [f"person-{i}" for i in range(6)], [f"#topic-{i}" for i in range(4)]
TEAMS = ["team-0", "team-1", "team-2"]   # each forwards to the next, two authors into each
WAITING = ("BUSY", "UNAVAILABLE", "TIMEOUT")


def until_answered(endpoints, rnd, verb, args, patience=60):
    """Asks the nodes in turn until one gives an answer that is final. Returns (status, result, tries)."""
    end, tries = time.monotonic() + patience, 0
    while time.monotonic() < end:
        tries += 1
        with Req(rnd.choice(endpoints), 2) as client:
            try:
                status, result = client.ask(verb, args, encoding=MSGPACK)
            except NoAnswer:
                continue
        if status == "OK" or result["code"] not in WAITING:
            return status, result, tries
        time.sleep(0.05)
    raise AssertionError(f"{verb} {args}: no final answer within {patience} s")


class Author(threading.Thread):
    """Publishes and retracts as one author. `messages`: id -> its fields; `live`: the ids that are not retracted."""

    def __init__(self, name, endpoints, anchors, seed):
        super().__init__(daemon=True)
        self.author, self.endpoints, self.anchors = name, endpoints, anchors
        self.rnd = random.Random(seed)
        self.messages, self.live, self.errors = {}, [], []
        self.ending = threading.Event()

    def run(self):
        try:
            while not self.ending.is_set():
                self.publish(len(self.messages))
                if self.rnd.random() < 0.3:
                    self.retract(self.rnd.choice((self.live[-1], self.rnd.choice(self.live))))
        except Exception as error:  # told by the test
            self.errors.append(repr(error))

    def some(self, names, most):
        return self.rnd.sample(names, self.rnd.randrange(most + 1))

    def publish(self, number):
        fields = {"mentions": self.some(PERSONS, 3), "topics": self.some(TOPICS, 2), "to": self.some(PERSONS, 1)}
        if self.rnd.random() < 0.3:
            fields["reply_to"] = self.rnd.choice(list(self.anchors))
        args = {"author": self.author, "key": str(number), "body": b"%d" % number, **fields}
        status, result, _ = until_answered(self.endpoints, self.rnd, "PUBLISH", args)
        assert status == "OK", result
        self.messages[result["id"]] = fields
        self.live.append(result["id"])

    def retract(self, id_):
        status, result, tries = until_answered(self.endpoints, self.rnd, "RETRACT", {"author": self.author, "id": id_})
        assert status == "OK" or (tries > 1 and result["code"] == "NOT_FOUND"), result   # the one before was done
        self.live.remove(id_)


class GraphKill(unittest.TestCase):
    maxDiff = 2000

    def test_every_list_is_exact_after_kills_retractions_and_deletions(self):
        rnd = random.Random(int(os.environ.get("CANOPY_SEED", "3")))
        settings = ["tree.fanout=4", "store.shards=2", "timeline.capacity=100000", "retention.mentions=", "retention.topic=", "retention.replies="]
        with fabric.Fabric(3, settings) as self.three:
            self.endpoints = [node.client for node in self.three.nodes]
            with Req(self.endpoints[0]) as client:
                self.arrange(client)
            authors = [Author(name, self.endpoints, self.anchors, seed) for seed, name in enumerate(AUTHORS)]
            for author in authors:
                author.start()
            try:
                self.kill_and_return(rnd, ROUNDS)
            finally:
                for author in authors:
                    author.ending.set()
                for author in authors:
                    author.join(90)
            self.assertEqual([author.errors for author in authors], [[]] * len(authors))
            self.messages = {id_: (author.author, fields) for author in authors for id_, fields in author.messages.items()}
            self.live = {author.author: list(author.live) for author in authors}
            retracted = len(self.messages) - sum(map(len, self.live.values()))
            self.check(rnd)
            gone = AUTHORS[::5]
            for name in gone:
                until_answered(self.endpoints, rnd, "DELETE", {"entity": name})
                self.live[name] = []
            self.kill_and_return(rnd, 2)
            for name in gone:   # until it is over it is busy
                until_answered(self.endpoints, rnd, "RETAIN", {"entity": name, "timeline": "sent"})
            self.check(rnd)
            print(f"{len(self.messages):,} messages, {retracted:,} retracted, {len(gone)} of {len(AUTHORS)} authors deleted, {ROUNDS + 3} kills; "
                  f"{self.lists} lists and homes exact, {self.entries:,} entries")

    def arrange(self, client):
        self.anchors = {client.call("PUBLISH", {"author": person}, b"anchor", MSGPACK)["id"]: person for person in PERSONS}
        # follower -> whom
        self.follows = {f"fan-{i}": [AUTHORS[i % 12], AUTHORS[(5 * i + 1) % 12], TOPICS[i % 4], TEAMS[i % 3]][i % 2::1 + i % 3] for i in range(24)}
        pairs = [[fan, whom] for fan, those in self.follows.items() for whom in those]
        wait_until(lambda: client.call("FOLLOW", {"pairs": pairs, "wait_ms": 3000})["active"] == len(pairs), 20)
        self.members = {team: AUTHORS[2 * i:2 * i + 2] for i, team in enumerate(TEAMS)}
        forwards = [(TEAMS[i], TEAMS[(i + 1) % 3]) for i in range(3)] + [(author, team) for team, some in self.members.items() for author in some]
        for from_, to in forwards:
            wait_until(lambda: client.call("FORWARD", {"from": from_, "to": to}) == {"state": "active"}, 10)

    def kill_and_return(self, rnd, rounds):
        for _ in range(rounds):
            time.sleep(rnd.uniform(0.2, 0.8))
            node = rnd.choice(self.three.nodes)
            node.kill()
            time.sleep(rnd.choice((0, 0.3, 0.8)))
            node.start()
        for node in self.three.nodes:  # all at once
            node.kill()
        for node in self.three.nodes:
            node.start(wait=False)
        for node in self.three.nodes:
            node.wait_ready()
        self.three.wait_linked()

    def expected(self):
        """(entity, timeline) -> the ids that it must have."""
        lists = {(entity, timeline): set() for entity in (*PERSONS, *TOPICS) for timeline in ("mentions", "replies", "topic", "home")}
        lists |= {(fan, "home"): set() for fan in self.follows} | {(author, "sent"): set(ids) for author, ids in self.live.items()}
        in_teams = {author for some in self.members.values() for author in some}   # the teams are a ring: each gets all
        for author, ids in self.live.items():
            for id_ in ids:
                fields = self.messages[id_][1]
                for field, timeline in (("mentions", "mentions"), ("topics", "topic"), ("to", "home")):
                    for name in fields[field]:
                        lists[(name, timeline)].add(id_)
                if "reply_to" in fields:
                    lists[(self.anchors[fields["reply_to"]], "replies")].add(id_)
                for fan, those in self.follows.items():
                    if author in those or set(fields["topics"]) & set(those) or (author in in_teams and set(TEAMS) & set(those)):
                        lists[(fan, "home")].add(id_)
        return lists

    def check(self, rnd):
        expected, self.entries = self.expected(), 0
        self.lists = len(expected)
        for (entity, timeline), ids in sorted(expected.items()):
            with Req(rnd.choice(self.endpoints)) as client:
                found = lambda: [entry["id"] for entry in entries_of(client, entity, timeline)]
                try:
                    wait_until(lambda: set(found()) == ids, 30)
                except AssertionError:
                    now = set(found())
                    self.fail(f"{timeline} of {entity}: {len(now)} entries, not {len(ids)}; strangers {self.tell(now - ids)}, missing {self.tell(ids - now)}")
                order = found()
                self.assertEqual(len(order), len(ids), f"twice in {timeline} of {entity}")
                self.entries += len(order)
                if timeline == "sent":
                    self.assertEqual(order, self.live[entity])
                    dead = [id_ for id_, (author, _) in self.messages.items() if author == entity and id_ not in ids]
                    for id_ in rnd.sample(dead, min(len(dead), 3)):
                        with self.assertRaises(Failed) as refused:
                            client.call("GET", {"id": id_}, encoding=MSGPACK)
                        self.assertEqual(refused.exception.code, "NOT_FOUND")
                elif timeline != "home":   # one way only: each author's in order
                    for author, live in self.live.items():
                        self.assertEqual([id_ for id_ in order if self.messages[id_][0] == author], [id_ for id_ in live if id_ in ids])

    def tell(self, ids):
        return [(id_, *self.messages.get(id_, ("nobody", {}))) for id_ in sorted(ids)[:3]]


if __name__ == "__main__":
    unittest.main()
