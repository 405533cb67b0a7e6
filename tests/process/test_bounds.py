"""What a request is refused for that is well formed: a bound is reached, the entity is being deleted, the way to
another bucket is full or its node is away. Each bound is reached from outside, and given back."""
import time
import unittest

import fabric
from client import JSON, MSGPACK, Dealer, Req, wait_until

WAY_LETTERS = 100_000   # limits::outbox_letters_max


class Bounds(unittest.TestCase):
    def refused(self, client, code, begins, verb, args, body=None):
        for encoding in (JSON, MSGPACK):
            status, result = client.ask(verb, args, body, encoding)
            self.assertEqual((status, result.get("code")), ("ERR", code), (verb, args, result))
            self.assertTrue(result["message"].startswith(begins), result)
            self.assertEqual("retry_after_ms" in result, code in ("BUSY", "UNAVAILABLE"), result)

    def test_a_thousand_of_each_and_no_more(self):
        with fabric.Fabric(1) as one, Dealer(one.nodes[0].client) as dealer, Req(one.nodes[0].client) as client:
            bounds = [
                ("MARK", lambda i: {"entity": "a", "timeline": "topic", "position": i, "consumer": f"c{i}"}, "consumer"),
                ("ALIAS", lambda i: {"entity": "a", "alias": f"alias-{i}"}, "alias"),
                ("FORWARD", lambda i: {"from": f"from-{i}", "to": "a"}, "to"),
            ]
            for verb, args, field in bounds:
                for _, status, result in dealer.run(((verb, args(i)) for i in range(1000)), 100):
                    self.assertEqual(status, "OK", result)
                self.refused(client, "TOO_LARGE", field + ": ", verb, args(1000))
                self.assertEqual(client.ask(verb, args(999))[0], "OK")   # who is there stays
            client.call("MARK", {"entity": "a", "position": 1, "consumer": "c1000"})   # each timeline has its own
            client.call("ALIAS", {"entity": "b", "alias": "alias-1000"})
            client.call("FORWARD", {"from": "from-1000", "to": "b"})
            self.refused(client, "BAD_REQUEST", "alias: ", "ALIAS", {"entity": "b", "alias": "alias-1"})
            self.refused(client, "BAD_REQUEST", "alias: ", "ALIAS", {"entity": "b", "alias": "a"})
            messages = [{"author": "a", "body": "x", "key": "k"}, {"author": "a", "body": "x", "key": "k", "mentions": ["b"]},
                        {"author": "a", "body": "x", "key": "k", "topics": ["b"]}, {"author": "a", "body": "x", "key": "k", "to": ["b"]},
                        {"author": "a", "body": "x", "key": "k", "reply_to": 5}, {"author": "a", "body": "x", "key": "k"}]
            results = client.call("PUBLISH", {"messages": messages})["results"]
            self.assertEqual([result.get("code") for result in results], [None] + ["BAD_REQUEST"] * 4 + [None])
            self.assertTrue(all(result["message"].startswith("key ") for result in results[1:-1]))
            self.assertEqual(results[0], results[-1])
            for name in ("b", "from-1", "nobody"):
                self.refused(client, "DENIED", "author: ", "RETRACT", {"author": name, "id": int(results[0]["id"])})
            client.call("RETRACT", {"author": "a", "id": int(results[0]["id"])})
            for verb, args in (("RETRACT", {"author": "a"}), ("GET", {}), ("THREAD", {})):
                self.refused(client, "NOT_FOUND", "id", verb, {**args, "id": int(results[0]["id"])})

    def test_an_entity_that_is_being_deleted_is_busy(self):
        with fabric.Fabric(1) as one, Dealer(one.nodes[0].client) as dealer, Req(one.nodes[0].client) as client:
            ids = []
            for _ in range(10):
                messages = [{"author": "gone", "body": "x", "mentions": ["b", "c"]}] * 1000
                ids += [result["id"] for result in client.call("PUBLISH", {"messages": messages})["results"]]
            client.call("FOLLOW", {"follower": "gone", "author": "d"})
            requests = [("PUBLISH", {"author": "gone", "body": "x"}), ("FOLLOW", {"follower": "gone", "author": "b"}),
                        ("UNFOLLOW", {"follower": "gone", "author": "d"}), ("RETRACT", {"author": "gone", "id": int(ids[-1])}),
                        ("MARK", {"entity": "gone", "position": 1}), ("RETAIN", {"entity": "gone", "timeline": "sent"}),
                        ("ALIAS", {"entity": "gone", "alias": "other"}), ("FORWARD", {"from": "b", "to": "gone"})]
            dealer.submit("DELETE", {"entity": "gone"})
            for request in requests:
                dealer.submit(*request)
            dealer.submit("DELETE", {"entity": "gone"})
            dealer.submit("READ", {"entity": "gone", "timeline": "sent"})
            dealer.submit("GET", {"id": int(ids[-1])})
            answers = {}
            while len(answers) < len(requests) + 4:
                number, status, result = dealer.receive()
                answers[number] = status, result
            self.assertEqual(answers[1], ("OK", {"deleted": True}))
            for number, (verb, _) in enumerate(requests, 2):
                status, result = answers[number]
                self.assertEqual((status, result.get("code")), ("ERR", "BUSY"), (verb, result))
                self.assertIn('"gone" is being deleted', result["message"])
                self.assertGreater(result["retry_after_ms"], 0)
            self.assertEqual(answers[len(requests) + 2], ("OK", {"deleted": True}))
            self.assertEqual(answers[len(requests) + 3][1]["entries"], [])
            self.assertEqual(answers[len(requests) + 4][1]["code"], "NOT_FOUND")
            wait_until(lambda: client.ask("MARK", {"entity": "gone", "position": 1})[0] == "OK", 30, what="the end of the deletion")
            wait_until(lambda: client.call("READ", {"entity": "b", "timeline": "mentions"})["entries"] == [], 10)
            self.assertEqual(client.call("READ", {"entity": "gone", "timeline": "sent"})["entries"], [])

    def test_the_way_to_a_bucket_of_a_node_that_is_away(self):
        with fabric.Fabric(2) as two:
            up, down = two.nodes
            with Req(up.client) as client, Dealer(up.client) as dealer:
                self.on_two_nodes(two, up, down, client, dealer)

    def on_two_nodes(self, two, up, down, client, dealer):
        places, names = {}, [f"#{i}" for i in range(8000)]
        for index, status, result in dealer.run((("LOOKUP", {"entity": name}) for name in names), 200):
            places.setdefault((result["primary"], result["bucket"]), []).append(names[index])
        here, away = (max((place for place in places if place[0] == node.name), key=lambda place: len(places[place])) for node in two.nodes)
        (author, follower, team, *_), (far, *named) = places[here], places[away]
        names = named[:20]
        parent = int(client.call("PUBLISH", {"author": far}, b"parent")["id"])
        known = int(client.call("PUBLISH", {"author": author, "mentions": [far]}, b"known")["id"])
        wait_until(lambda: client.call("READ", {"entity": far, "timeline": "mentions"})["entries"], 10)
        client.call("FOLLOW", {"follower": follower, "author": far, "wait_ms": 5000})
        down.kill()
        wait_until(lambda: client.ask("READ", {"entity": far})[1].get("code") == "UNAVAILABLE", 15)
        for verb, args in (("RETRACT", {"author": far, "id": parent}), ("DELETE", {"entity": far}), ("MARK", {"entity": far, "position": 1}),
                           ("RETAIN", {"entity": far, "timeline": "sent"}), ("ALIAS", {"entity": far, "alias": "x"}),
                           ("FORWARD", {"from": "x", "to": far}), ("THREAD", {"id": parent}), ("GET", {"id": parent}),
                           ("READ", {"entity": far, "timeline": "mentions"})):
            self.refused(client, "UNAVAILABLE", "", verb, args)
        self.assertEqual(client.call("FOLLOW", {"follower": follower, "author": named[-1], "wait_ms": 50}), {"state": "pending"})
        begun = time.monotonic()
        self.assertEqual(client.call("FORWARD", {"from": named[-6], "to": team}), {"state": "pending"})
        self.assertLess(time.monotonic() - begun, 5)
        status, result = client.ask("ALIAS", {"entity": author, "alias": named[-2]})
        self.assertEqual((status, result.get("code")), ("ERR", "TIMEOUT"), result)
        self.assertTrue(result["message"].startswith("alias: ") and result["retry_after_ms"] > 0, result)

        # Letters until the way is full; each publish writes one to each name in each field.
        fields = {"mentions": names, "topics": names, "to": names}
        letters, published, begun = 3 * len(names), 0, time.monotonic()
        full, number = None, 0
        while not full:
            messages = [{"author": author, "body": b"", **fields}] * 100
            status, result = client.ask("PUBLISH", {"messages": messages}, encoding=MSGPACK)
            self.assertEqual(status, "OK", result)
            for one in result["results"]:
                published += "id" in one
                full = full or (one if "id" not in one else None)
            self.assertLess(published * letters, 2 * WAY_LETTERS)
        print(f"full after {published} messages of {letters} letters in {time.monotonic() - begun:.1f} s")
        self.assertGreaterEqual(published * letters, WAY_LETTERS - 100)
        self.assertEqual(full["code"], "BUSY")
        self.assertGreater(full["retry_after_ms"], 0)
        count = len(client.call("READ", {"entity": author, "timeline": "sent", "limit": 1000})["entries"])
        for verb, args, begins in (
                ("PUBLISH", {"author": author, "body": "x", "mentions": ["#1", far]}, "mentions: "),
                ("PUBLISH", {"author": author, "body": "x", "topics": [far]}, "topics: "),
                ("PUBLISH", {"author": author, "body": "x", "to": [far]}, "to: "),
                ("PUBLISH", {"author": author, "body": "x", "reply_to": parent}, "reply_to: "),
                ("RETRACT", {"author": author, "id": known}, "mentions: "),
                ("FOLLOW", {"follower": follower, "author": named[-3]}, "author: "),
                ("FOLLOW", {"follower": author, "author": far, "backfill": 5}, "author: "),
                ("UNFOLLOW", {"follower": follower, "author": far}, "author: "),
                ("ALIAS", {"entity": author, "alias": named[-4]}, "alias: "),
                ("FORWARD", {"from": named[-5], "to": team}, "from: ")):
            self.refused(client, "BUSY", begins, verb, args)
        self.assertEqual(len(client.call("READ", {"entity": author, "timeline": "sent", "limit": 1000})["entries"]), count)
        self.assertEqual(int(client.call("GET", {"id": known})["id"]), known)   # nothing was done
        client.call("PUBLISH", {"author": author}, b"alone")                          # what needs no way goes on

        begun = time.monotonic()
        down.start()
        two.wait_linked()
        wait_until(lambda: client.ask("RETRACT", {"author": author, "id": known})[0] == "OK", 60, every=0.2, what="a way that is free again")
        wait_until(lambda: client.call("READ", {"entity": names[0], "timeline": "topic", "limit": 1000})["next"] is not None or
                   len(client.call("READ", {"entity": names[0], "timeline": "topic", "limit": 1000})["entries"]) >= published, 60)
        wait_until(lambda: [entry for entry in client.call("READ", {"entity": far, "timeline": "mentions"})["entries"]] == [], 60, every=0.2)
        for timeline in ("mentions", "topic"):
            ids, before = [], None
            while True:
                page = client.call("READ", {"entity": names[-1], "timeline": timeline, "limit": 1000, **({} if before is None else {"before": before})})
                ids += [entry["id"] for entry in page["entries"]]
                before = page["next"]
                if before is None:
                    break
            self.assertEqual((len(ids), len(set(ids))), (published, published))
        self.assertEqual(client.call("ALIAS", {"entity": author, "alias": named[-2]}), {"entity": author, "alias": named[-2]})
        self.assertEqual(client.call("FORWARD", {"from": named[-6], "to": team}), {"state": "active"})
        self.assertEqual(client.call("UNFOLLOW", {"follower": follower, "author": far}), {"removed": True})
        print(f"all there {time.monotonic() - begun:.1f} s after its return")


if __name__ == "__main__":
    unittest.main()
