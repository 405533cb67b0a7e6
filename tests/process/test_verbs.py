"""Every verb from outside, in JSON and msgpack, on one node and passed on between three, there in each mode of leaves."""
import base64
import json
import subprocess
import time
import unittest

import fabric
from client import JSON, MSGPACK, Dealer, Failed, Push, Req, Sub, entries_of, wait_until

both = (JSON, MSGPACK)


class Verbs(unittest.TestCase):
    nodes = 1
    settings = ()

    @classmethod
    def setUpClass(cls):
        cls.fabric = fabric.Fabric(cls.nodes, cls.settings)
        cls.fabric.__enter__()
        cls.addClassCleanup(cls.fabric.__exit__, None, None, None)

    def setUp(self):
        self.clients = [Req(node.client) for node in self.fabric.nodes]
        for client in self.clients:
            self.addCleanup(client.close)
        self.one, self.other = self.clients[0], self.clients[-1]

    def name(self, text, encoding=JSON):
        return f"{self._testMethodName}/{encoding}/{text}"

    def bodies(self, result):
        return [entry["body"] for entry in result["entries"]]

    def test_ping_tells_who_it_is(self):
        for encoding in both:
            result = self.one.call("PING", {} if encoding == JSON else None, encoding=encoding)
            self.assertEqual(result["node"], "n1")
            self.assertEqual(result["fabric"], "canopy")
            self.assertGreaterEqual(result["map_version"], 1)
            self.assertTrue(result["version"])

    def test_the_result_comes_in_the_encoding_of_the_args(self):
        self.assertEqual(self.one.raw([b"PING", b"{}"])[1][:1], b"{")
        self.assertNotEqual(self.one.raw([b"PING", b"\x80"])[1][:1], b"{")
        self.assertNotEqual(self.one.raw([b"PING"])[1][:1], b"{")

    def test_publish_reaches_the_follower_once_and_get_finds_it(self):
        for encoding in both:
            bob, alice = self.name("bob", encoding), self.name("alice", encoding)
            text = "grüß dich" if encoding == JSON else "grüß dich".encode()
            self.assertEqual(self.one.call("FOLLOW", {"follower": bob, "author": alice}, encoding=encoding), {"state": "active"})
            published = self.other.call("PUBLISH", {"author": alice, "type": "note"}, "grüß dich".encode(), encoding=encoding)
            self.assertIsInstance(published["id"], str if encoding == JSON else int)
            self.assertLess(abs(published["time"] - time.time() * 1000), 60_000)
            result = self.one.call("READ", {"entity": bob, "after": 0, "wait_ms": 5000}, encoding=encoding)
            self.assertEqual(len(result["entries"]), 1)
            entry = result["entries"][0]
            self.assertEqual({key: entry[key] for key in ("id", "author", "time", "type", "body")},
                             {"id": published["id"], "author": alice, "time": published["time"], "type": "note", "body": text})
            self.assertLess(entry["position"], 1 << 53)
            self.assertFalse(result["truncated"])
            self.assertEqual(result["incomplete"], [])
            self.assertIsNone(result["unread"])
            got = self.one.call("GET", {"id": published["id"]}, encoding=encoding)
            self.assertEqual((got["id"], got["author"], got["body"]), (published["id"], alice, text))
        as_number = self.one.call("GET", {"id": int(got["id"])})  # in JSON a number will do, too
        self.assertEqual(int(as_number["id"]), int(got["id"]))

    def test_a_body_that_is_no_utf8_comes_as_base64_in_json(self):
        bytes_ = bytes(range(256))
        alice = self.name("alice")
        self.one.call("PUBLISH", {"author": alice}, bytes_)
        self.one.call("PUBLISH", {"author": alice, "body_base64": base64.b64encode(b"\xff\xfe").decode()})
        entries = self.one.call("READ", {"entity": alice, "timeline": "sent"})["entries"]
        self.assertEqual([base64.b64decode(entry["body_base64"]) for entry in entries], [b"\xff\xfe", bytes_])
        entries = self.one.call("READ", {"entity": alice, "timeline": "sent"}, encoding=MSGPACK)["entries"]
        self.assertEqual([entry["body"] for entry in entries], [b"\xff\xfe", bytes_])

    def test_the_body_may_stand_in_the_args(self):
        for encoding in both:
            alice = self.name("alice", encoding)
            self.one.call("PUBLISH", {"author": alice, "body": "inside"}, encoding=encoding)
            self.assertEqual(len(self.other.call("READ", {"entity": alice, "timeline": "sent"}, encoding=encoding)["entries"]), 1)

    def test_many_messages_in_one_request_are_answered_one_by_one(self):
        for encoding in both:
            authors = [self.name(f"author-{i}", encoding) for i in range(20)]
            messages = [{"author": authors[i % 20], "body": f"message {i}"} for i in range(200)]
            results = self.one.call("PUBLISH", {"messages": messages}, encoding=encoding)["results"]
            self.assertEqual(len({result["id"] for result in results}), 200)
            for i, author in enumerate(authors):
                sent = self.other.call("READ", {"entity": author, "timeline": "sent", "after": 0}, encoding=encoding)["entries"]
                self.assertEqual([entry["id"] for entry in sent], [results[k]["id"] for k in range(i, 200, 20)])

    def test_a_repeated_key_gives_the_first_answer_and_another_content_is_refused(self):
        for encoding in both:
            alice = self.name("alice", encoding)
            first = self.one.call("PUBLISH", {"author": alice, "key": "k1", "body": "a"}, encoding=encoding)
            again = self.other.call("PUBLISH", {"author": alice, "key": "k1", "body": "a"}, encoding=encoding)
            self.assertEqual(first, again)
            with self.assertRaises(Failed) as refused:
                self.one.call("PUBLISH", {"author": alice, "key": "k1", "body": "b"}, encoding=encoding)
            self.assertEqual(refused.exception.code, "BAD_REQUEST")
            self.assertIn("key", refused.exception.message)
            self.assertEqual(len(self.one.call("READ", {"entity": alice, "timeline": "sent"})["entries"]), 1)

    def test_pairs_follow_and_unfollow_many(self):
        for encoding in both:
            pairs = [[self.name(f"f{i}", encoding), self.name(f"a{i % 7}", encoding)] for i in range(100)]
            wait_until(lambda: self.one.call("FOLLOW", {"pairs": pairs, "wait_ms": 3000}, encoding=encoding)
                       == {"active": 100, "pending": 0, "failed": []}, 10)
            self.assertEqual(self.other.call("UNFOLLOW", {"pairs": pairs[:40] + [["nobody", "x"]]}, encoding=encoding)["removed"], 40)
            counts = [self.one.call("FOLLOWERS", {"entity": self.name(f"a{k}", encoding)}, encoding=encoding)["count"] for k in range(7)]
            self.assertEqual(sum(counts), 60)

    def test_unfollow_takes_the_authors_entries_out_of_home(self):
        bob, alice, carol = (self.name(who) for who in ("bob", "alice", "carol"))
        for author in (alice, carol):
            self.one.call("FOLLOW", {"follower": bob, "author": author, "wait_ms": 5000})
        for i in range(3):
            self.one.call("PUBLISH", {"author": alice}, b"alice %d" % i)
            self.other.call("PUBLISH", {"author": carol}, b"carol %d" % i)
        wait_until(lambda: len(self.one.call("READ", {"entity": bob})["entries"]) == 6, 5)
        self.assertEqual(self.other.call("UNFOLLOW", {"follower": bob, "author": alice}), {"removed": True})
        self.assertEqual(self.other.call("UNFOLLOW", {"follower": bob, "author": alice}), {"removed": False})
        self.assertEqual(self.bodies(self.one.call("READ", {"entity": bob, "after": 0})), ["carol 0", "carol 1", "carol 2"])

    def test_followers_and_following_page_through_everything(self):
        for encoding in both:
            star = self.name("star", encoding)
            fans = {self.name(f"fan-{i}", encoding) for i in range(250)}
            wait_until(lambda: self.one.call("FOLLOW", {"pairs": [[fan, star] for fan in sorted(fans)]}, encoding=encoding)["active"] == 250, 10)
            seen, after = [], None
            while True:
                args = {"entity": star, "limit": 37}
                if after is not None:
                    args["after"] = after
                page = self.other.call("FOLLOWERS", args, encoding=encoding)
                self.assertEqual(page["count"], 250)
                self.assertLessEqual(len(page["names"]), 37)
                seen += page["names"]
                after = page["next"]
                if after is None:
                    break
            self.assertEqual(sorted(seen), sorted(fans))
            reader = self.name("reader", encoding)
            authors = {self.name(f"author-{i}", encoding) for i in range(30)}
            for author in sorted(authors):
                self.one.call("FOLLOW", {"follower": reader, "author": author, "wait_ms": 5000}, encoding=encoding)
            first = self.one.call("FOLLOWING", {"entity": reader, "limit": 20}, encoding=encoding)
            rest = self.other.call("FOLLOWING", {"entity": reader, "limit": 20, "after": first["next"]}, encoding=encoding)
            self.assertEqual((first["count"], rest["next"]), (30, None))
            self.assertEqual(sorted(first["names"] + rest["names"]), sorted(authors))

    def test_paging_in_both_directions_gives_the_same_timeline(self):
        bob, authors = self.name("bob"), [self.name(f"a{i}") for i in range(4)]
        for author in authors:
            self.one.call("FOLLOW", {"follower": bob, "author": author, "wait_ms": 5000})
        for i in range(120):
            self.clients[i % len(self.clients)].call("PUBLISH", {"author": authors[i % 4]}, b"%d" % i)
        wait_until(lambda: len(self.one.call("READ", {"entity": bob, "limit": 1000})["entries"]) == 120, 10)
        for timeline, entity, count in (("home", bob, 120), ("sent", authors[0], 30)):
            whole = self.one.call("READ", {"entity": entity, "timeline": timeline, "limit": 1000})
            self.assertIsNone(whole["next"])
            newest_first = [entry["position"] for entry in whole["entries"]]
            self.assertEqual(len(newest_first), count)
            self.assertEqual(newest_first, sorted(set(newest_first), reverse=True))
            for encoding in both:
                down, before = [], None
                while True:
                    args = {"entity": entity, "timeline": timeline, "limit": 7}
                    if before is not None:
                        args["before"] = before
                    page = self.other.call("READ", args, encoding=encoding)
                    down += [entry["position"] for entry in page["entries"]]
                    before = page["next"]
                    if before is None:
                        break
                self.assertEqual(down, newest_first)
                up = entries_of(self.other, entity, timeline, page=11, encoding=encoding)
                self.assertEqual([entry["position"] for entry in up], newest_first[::-1])

    def test_read_of_many_entities(self):
        for encoding in both:
            entities = [self.name(f"e{i}", encoding) for i in range(25)]
            self.one.call("PUBLISH", {"messages": [{"author": entity, "body": entity} for entity in entities]}, encoding=encoding)
            results = self.other.call("READ", {"entities": entities + ["nobody at all"], "timeline": "sent"}, encoding=encoding)["results"]
            self.assertEqual([result["entries"][0]["author"] for result in results[:-1]], entities)
            self.assertEqual(results[-1]["entries"], [])

    def test_an_unknown_entity_has_an_empty_timeline_and_an_unknown_id_is_not_found(self):
        for encoding in both:
            self.assertEqual(self.one.call("READ", {"entity": self.name("nobody", encoding)}, encoding=encoding)["entries"], [])
            status, result = self.one.ask("GET", {"id": 12345}, encoding=encoding)
            self.assertEqual((status, result["code"]), ("ERR", "NOT_FOUND"))

    def test_a_long_poll_waits_for_what_comes_and_is_a_complete_tail(self):
        bob, alice = self.name("bob"), self.name("alice")
        self.one.call("FOLLOW", {"follower": bob, "author": alice, "wait_ms": 5000})
        begun = time.monotonic()
        self.assertEqual(self.one.call("READ", {"entity": bob, "after": 0, "wait_ms": 300})["entries"], [])
        self.assertGreater(time.monotonic() - begun, 0.25)
        with Dealer(self.fabric.nodes[-1].client) as tail, Dealer(self.fabric.nodes[0].client) as author:
            seen, after = [], 0
            for i in range(60):
                author.submit("PUBLISH", {"author": alice}, b"%d" % i)
                if i % 3 == 0:
                    tail.submit("READ", {"entity": bob, "after": after, "wait_ms": 5000})
                    _, status, result = tail.receive()
                    self.assertEqual(status, "OK")
                    seen += self.bodies(result)
                    after = result["next"] or after
            while len(seen) < 60:
                tail.submit("READ", {"entity": bob, "after": after, "wait_ms": 5000})
                _, _, result = tail.receive()
                self.assertTrue(result["entries"], f"the tail ends after {len(seen)}")
                seen += self.bodies(result)
                after = result["next"]
            self.assertEqual(seen, [b"%d" % i for i in range(60)])

    def test_a_dealer_keeps_many_requests_in_flight_and_its_own_frames_come_back(self):
        alice = self.name("alice")
        with Dealer(self.fabric.nodes[0].client) as dealer:
            results = {}
            for index, status, result in dealer.run((("PUBLISH", {"author": alice}, b"%d" % i) for i in range(2000)), in_flight=500):
                self.assertEqual(status, "OK", result)
                results[index] = result["id"]
            self.assertEqual(len(set(results.values())), 2000)
            own = [b"one", b"two \xff", b"3" * 100]
            dealer.socket.send_multipart(own + [b"", b"PING", b"{}"])
            self.assertTrue(dealer.socket.poll(5000))
            self.assertEqual(dealer.socket.recv_multipart()[:5], own + [b"", b"OK"])
        self.assertEqual(len(entries_of(self.one, alice, "sent")), 2000)

    def test_ingest_takes_two_and_three_frames(self):
        bob, alice = self.name("bob"), self.name("alice")
        self.one.call("FOLLOW", {"follower": bob, "author": alice, "wait_ms": 5000})
        with Push(self.fabric.nodes[-1].ingest) as push:
            for i in range(100):
                push.publish(alice, b"%d" % i)
            push.publish(alice, b"100", {"type": "t"})
            push.publish(alice, b"101", {"type": "t"}, MSGPACK)
            push.publish(alice, b"101", {"no such field": 1})  # dropped and counted
            push.publish("", b"x")
            wait_until(lambda: len(entries_of(self.one, bob)) >= 102, 10, what="102 messages")
        self.assertEqual([entry["body"] for entry in entries_of(self.one, bob)], [b"%d" % i for i in range(102)])
        self.assertEqual(self.other.call("STATUS")["front"]["ingest_refused"], 2)

    def test_lookup_map_and_status_agree(self):
        for encoding in both:
            map_ = self.one.call("MAP", {} if encoding == JSON else None, encoding=encoding)
            self.assertEqual(map_["bucket_count"], 256)
            self.assertEqual(len(map_["buckets"]), 256)
            self.assertEqual(sorted(node["name"] for node in map_["nodes"]), [f"n{i + 1}" for i in range(self.nodes)])
            place = self.other.call("LOOKUP", {"entity": "alice"}, encoding=encoding)
            bucket = next(row for row in map_["buckets"] if row["bucket"] == place["bucket"])
            self.assertEqual(bucket["primary"], place["primary"])
            node = next(row for row in map_["nodes"] if row["name"] == place["primary"])
            self.assertEqual(node["client"], place["endpoint"])
            self.assertEqual(self.one.call("MAP", {"after": map_["version"]}, encoding=encoding)["buckets"], [])
            status = self.one.call("STATUS", {}, encoding=encoding)
            self.assertEqual(status["node"]["name"], "n1")
            self.assertEqual(status["node"]["state"], "ready")

    def test_tree_tells_the_reflectors(self):
        star = self.name("star")
        pairs = [[self.name(f"fan-{i}"), star] for i in range(200)]
        wait_until(lambda: self.one.call("FOLLOW", {"pairs": pairs})["active"] == 200, 10)
        for encoding in both:
            tree = self.other.call("TREE", {"entity": star}, encoding=encoding)
            self.assertEqual((tree["entity"], tree["followers"]), (star, 200))
            reflectors = tree["reflectors"]
            self.assertEqual(reflectors[0]["kind"], "root")
            leaves = [row for row in reflectors if row["kind"] == "leaf"]
            self.assertEqual(sum(leaf["followers"] for leaf in leaves), 200)
            narrow = self.one.call("TREE", {"entity": star, "fanout": 2}, encoding=encoding)
            self.assertGreater(narrow["levels"], tree["levels"])

    def test_a_feed_is_complete_with_subscribe_then_read(self):
        bob, alice = self.name("bob"), self.name("alice")
        owner = self.one.call("LOOKUP", {"entity": bob})["primary"]
        node = next(node for node in self.fabric.nodes if node.name == owner)
        self.one.call("FOLLOW", {"follower": bob, "author": alice, "wait_ms": 5000})
        with Sub(node.feed) as feed, Dealer(self.fabric.nodes[0].client) as author:
            for i in range(50):
                author.submit("PUBLISH", {"author": alice}, b"%d" % i)
            feed.subscribe("home", bob)
            for i in range(50, 100):
                author.submit("PUBLISH", {"author": alice}, b"%d" % i)
            time.sleep(0.2)
            for i in range(100, 150):
                author.submit("PUBLISH", {"author": alice}, b"%d" % i)
            seen = entries_of(self.one, bob)
            bodies, last = [entry["body"] for entry in seen], seen[-1]["position"] if seen else 0
            beats = 0
            while len(bodies) < 150 or beats == 0:
                frame = feed.receive(10)
                self.assertIsNotNone(frame, f"the feed ends after {len(bodies)} with {beats} beats")
                topic, head, body = frame
                self.assertEqual(topic, f"home/{bob}\0".encode())
                if head.get("beat"):
                    beats += 1
                if head["position"] <= last:
                    continue
                if head.get("beat") or head["prev"] > last:  # something is missing: READ it
                    missing = self.one.call("READ", {"entity": bob, "after": last, "limit": 1000}, encoding=MSGPACK)["entries"]
                    bodies += [entry["body"] for entry in missing]
                    last = missing[-1]["position"] if missing else last
                else:
                    self.assertEqual(head["author"], alice)
                    bodies.append(body)
                    last = head["position"]
            self.assertEqual(bodies, [b"%d" % i for i in range(150)])

    def test_a_feed_of_sent_and_topics_that_are_not_complete(self):
        alice = self.name("alice")
        owner = self.one.call("LOOKUP", {"entity": alice})["primary"]
        node = next(node for node in self.fabric.nodes if node.name == owner)
        with Sub(node.feed) as feed, Sub(node.feed) as everything:
            everything.socket.subscribe(b"")
            everything.socket.subscribe(b"sent/")
            feed.subscribe("sent", alice)
            time.sleep(0.3)
            chain = []
            for i in range(10):
                self.one.call("PUBLISH", {"author": alice, "type": "t"}, b"%d" % i)
            while len(chain) < 10:
                frame = feed.receive(10)
                self.assertIsNotNone(frame)
                if not frame[1].get("beat"):
                    chain.append(frame)
            self.assertEqual([body for _, _, body in chain], [b"%d" % i for i in range(10)])
            positions = [head["position"] for _, head, _ in chain]
            self.assertEqual([head["prev"] for _, head, _ in chain][1:], positions[:-1])
            self.assertEqual(chain[0][1]["type"], "t")

    def test_the_console_speaks_to_it(self):
        def console(*args, status=0):
            run = subprocess.run([fabric.canopy, "-e", self.fabric.nodes[0].client, "--json", *args], capture_output=True,
                                 text=True, timeout=30, stdin=subprocess.DEVNULL)
            self.assertEqual(run.returncode, status, run.stderr)
            return json.loads(run.stdout) if run.stdout.strip() else None
        bob, alice = self.name("bob"), self.name("alice")
        self.assertEqual(console("follow", bob, alice), {"state": "active"})
        published = console("publish", alice, "hello from the console")
        wait_until(lambda: "hello from the console" in json.dumps(console("read", bob)), 5)
        self.assertIn("hello from the console", json.dumps(console("get", str(published["id"]))))
        self.assertIn(bob, json.dumps(console("followers", alice)))
        for command in (("tree", alice), ("map",), ("nodes",), ("status",), ("lookup", alice), ("following", bob)):
            self.assertTrue(console(*command))
        console("get", "1", status=1)
        nobody = subprocess.run([fabric.canopy, "-e", "tcp://127.0.0.1:1", "--timeout", "300ms", "status"], capture_output=True, timeout=30)
        self.assertEqual(nobody.returncode, 3)


class VerbsOnThreeNodes(Verbs):
    nodes = 3


class VerbsMerged(Verbs):
    nodes = 3
    settings = ("timeline.mode=merge",)


class VerbsLazy(Verbs):
    nodes = 3
    settings = ("timeline.mode=lazy",)


if __name__ == "__main__":
    unittest.main()
