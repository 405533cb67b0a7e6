"""Three nodes, and what the tests of the message graph ask of them: each in JSON and msgpack, through nodes that do not
own the entity's bucket."""
import unittest

import fabric
from client import JSON, MSGPACK, Req, entries_of, wait_until

both = (JSON, MSGPACK)
CAPACITY = 30
timelines = ("home", "sent", "mentions", "replies", "topic")


class OnThreeNodes(unittest.TestCase):
    settings, maxDiff = [], None

    @classmethod
    def setUpClass(cls):
        cls.fabric = fabric.Fabric(3, cls.settings)
        cls.fabric.__enter__()
        cls.addClassCleanup(cls.fabric.__exit__, None, None, None)
        cls.turn = 0
        with Req(cls.fabric.nodes[0].client) as client:
            cls.owner_of_bucket = {row["bucket"]: row["primary"] for row in client.call("MAP")["buckets"]}

    def setUp(self):
        self.clients = [Req(node.client) for node in self.fabric.nodes]
        for client in self.clients:
            self.addCleanup(client.close)

    def name(self, text, encoding=JSON):
        return f"{self._testMethodName}/{encoding}/{text}"

    def names(self, *texts, encoding=JSON):
        return [self.name(text, encoding) for text in texts]

    def owner(self, entity):
        """The node that owns the bucket of an entity, or of a message's id."""
        if isinstance(entity, int):
            name = self.owner_of_bucket[entity & 0x3fff]
        else:
            name = self.any().call("LOOKUP", {"entity": entity})["primary"]
        return next(node for node in self.fabric.nodes if node.name == name)

    def any(self):
        """A client of each running node in turn."""
        while True:
            type(self).turn += 1
            if self.fabric.nodes[self.turn % 3].process:
                return self.clients[self.turn % 3]

    def at(self, entity):
        """A client of a node that does not own the entity, or the id."""
        owner = self.owner(entity).client
        while True:
            client = self.any()
            if client.endpoint != owner:
                return client

    def publish(self, author, body=b"x", encoding=JSON, **fields):
        return int(self.at(author).call("PUBLISH", {"author": author, **fields}, body, encoding)["id"])

    def follow(self, follower, author, encoding=JSON, **fields):
        result = self.at(follower).call("FOLLOW", {"follower": follower, "author": author, "wait_ms": 10_000, **fields}, encoding=encoding)
        self.assertEqual(result, {"state": "active"})

    def unfollow(self, follower, author, encoding=JSON):
        return self.at(follower).call("UNFOLLOW", {"follower": follower, "author": author}, encoding=encoding)["removed"]

    def retract(self, author, id_, encoding=JSON):
        result = self.at(author).call("RETRACT", {"author": author, "id": id_}, encoding=encoding)
        self.assertEqual(result, {"retracted": True})

    def forward(self, from_, to, encoding=JSON, **fields):
        args = {"from": from_, "to": to, **fields}
        wanted = {"state": "off" if fields.get("off") else "active"}
        wait_until(lambda: self.at(to).call("FORWARD", args, encoding=encoding) == wanted, what=f"forward {args}")

    def read(self, entity, timeline="home", encoding=JSON, **args):
        return self.at(entity).call("READ", {"entity": entity, "timeline": timeline, **args}, encoding=encoding)

    def ids(self, entity, timeline="home", encoding=JSON, **args):
        return [int(entry["id"]) for entry in self.read(entity, timeline, encoding, **args)["entries"]]

    def paged(self, entity, timeline, limit, encoding):
        """All ids of a timeline, downwards, page by page."""
        found, before = [], None
        while True:
            page = self.read(entity, timeline, encoding, limit=limit, **({} if before is None else {"before": before}))
            found += [int(entry["id"]) for entry in page["entries"]]
            before = page["next"]
            if before is None:
                return found

    def expect(self, entity, timeline, ids):
        """Waits until a timeline has exactly these ids, newest first; then reads it in every other way."""
        ids = list(ids)
        try:
            wait_until(lambda: self.ids(entity, timeline, limit=1000) == ids, 10)
        except AssertionError:
            self.assertEqual(self.ids(entity, timeline, limit=1000), ids, f"{timeline} of {entity}")
        for encoding in both:
            positions = [entry["position"] for entry in self.read(entity, timeline, encoding, limit=1000)["entries"]]
            self.assertEqual(positions, sorted(set(positions), reverse=True))
            self.assertEqual(self.paged(entity, timeline, 7, encoding), ids)
            up = entries_of(self.at(entity), entity, timeline, page=4, encoding=encoding)
            self.assertEqual([int(entry["id"]) for entry in up], ids[::-1])

    def refused(self, code, field, verb, args, body=None, client=None):
        for encoding in both:
            status, result = (client or self.any()).ask(verb, args, body, encoding)
            self.assertEqual((status, result.get("code")), ("ERR", code), (verb, args, result))
            self.assertIn(field, result["message"])

    def not_found(self, id_):
        self.refused("NOT_FOUND", str(id_), "GET", {"id": id_})
        self.refused("NOT_FOUND", str(id_), "THREAD", {"id": id_})


class Kept(OnThreeNodes):
    """Its last test restarts all nodes: every timeline that the others have left with keep() must be as it was."""
    settings = ["tree.fanout=4", "store.shards=2", f"timeline.capacity={CAPACITY}"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.kept = {}   # (entity, timeline) -> ids and unread

    def keep(self, entity, timeline, ids):
        self.expect(entity, timeline, ids)
        self.kept[(entity, timeline)] = (list(ids), self.read(entity, timeline)["unread"])

    def test_zz_everything_is_as_it_was_after_a_restart_of_all_nodes(self):
        bob, alice = self.names("bob", "alice")
        self.follow(bob, alice)
        ids = [self.publish(alice, mentions=[bob]) for _ in range(5)]
        self.expect(bob, "mentions", ids[::-1])
        for timeline in ("home", "mentions"):
            self.any().call("MARK", {"entity": bob, "timeline": timeline, "position": self.read(bob, timeline)["entries"][1]["position"]})
            self.keep(bob, timeline, ids[::-1])
            self.assertEqual(self.kept[(bob, timeline)][1], 1)
        for kill in (False, True):
            for node in self.fabric.nodes:
                node.kill() if kill else node.stop()
            for node in self.fabric.nodes:
                node.start(wait=False)
            for node in self.fabric.nodes:
                node.wait_ready()
            self.fabric.wait_linked()
            self.compare_kept()
        print(f"{len(self.kept)} timelines as before")

    def compare_kept(self):
        wrong = {}
        for timeline in timelines:
            names = sorted(entity for entity, kind in self.kept if kind == timeline)
            for begin in range(0, len(names), 200):
                some = names[begin:begin + 200]
                pages = self.any().call("READ", {"entities": some, "timeline": timeline, "limit": 1000}, encoding=MSGPACK)["results"]
                for entity, page in zip(some, pages):
                    found = [entry["id"] for entry in page["entries"]], page["unread"]
                    if found != self.kept[(entity, timeline)]:
                        wrong[(entity, timeline)] = found, self.kept[(entity, timeline)]
        self.assertEqual(wrong, {})
