"""The message graph from outside, on three nodes: lists, topics, threads, retraction, markers, backfill, retention,
aliases, forwards, deletion, each in JSON and msgpack, through nodes that do not own the entity's bucket."""
import time
import unittest

import fabric
from client import JSON, MSGPACK, Dealer, Push, Req, Sub, entries_of, wait_until

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


class Graph(OnThreeNodes):
    settings = ["tree.fanout=4", "store.shards=2", f"timeline.capacity={CAPACITY}"]
    kept = {}   # (entity, timeline) -> ids and unread as a test has left them, for the restart at the end

    def keep(self, entity, timeline, ids):
        self.expect(entity, timeline, ids)
        self.kept[(entity, timeline)] = (list(ids), self.read(entity, timeline)["unread"])

    # ---- PUBLISH and the lists

    def test_a_publish_reaches_every_list_that_it_names(self):
        for encoding in both:
            alice, bob, carol, dora, fan = self.names("alice", "bob", "carol", "dora", "fan", encoding=encoding)
            topic = "#" + self.name("news", encoding)
            self.follow(fan, topic, encoding)
            first = self.publish(bob, b"first", encoding)
            id_ = first if encoding == MSGPACK else str(first)
            again = self.publish(alice, b"again", encoding, reply_to=id_, mentions=[carol, bob, carol], topics=[topic[1:], topic], to=[dora])
            for entity, timeline in ((alice, "sent"), (carol, "mentions"), (bob, "mentions"), (bob, "replies"), (topic, "topic"),
                                     (dora, "home"), (fan, "home")):
                self.keep(entity, timeline, [again])
                entry = self.read(entity, timeline, encoding)["entries"][0]
                self.assertEqual({key: entry[key] for key in ("author", "reply_to", "mentions", "topics", "body")},
                                 {"author": alice, "reply_to": id_, "mentions": [carol, bob], "topics": [topic],
                                  "body": "again" if encoding == JSON else b"again"})
            for entity, timeline in ((alice, "home"), (alice, "replies"), (carol, "home"), (dora, "mentions"), (topic, "home"), (topic, "sent"),
                                     (topic, "mentions"), (bob, "home")):
                self.keep(entity, timeline, [])
            plain = self.at(first).call("GET", {"id": id_}, encoding=encoding)
            self.assertFalse({"reply_to", "mentions", "topics"} & set(plain), plain)

    def test_batches_and_the_ingest_reach_the_lists_too(self):
        for encoding in both:
            alice, bob, carol, dora = self.names("alice", "bob", "carol", "dora", encoding=encoding)
            topic = "#" + self.name("t", encoding)
            first = self.publish(bob, b"first", encoding)
            fields = {"reply_to": str(first) if encoding == JSON else first, "mentions": [carol], "topics": [topic], "to": [dora]}
            messages = [{"author": alice, "body": f"{i}", **(fields if i % 2 else {})} for i in range(20)]
            results = self.at(alice).call("PUBLISH", {"messages": messages}, encoding=encoding)["results"]
            ids = [int(result["id"]) for result in results]
            with Push(self.owner(alice).ingest) as push:
                for i in range(4):
                    push.publish(alice, b"pushed %d" % i, fields, encoding)
                wait_until(lambda: len(self.ids(alice, "sent")) == 24, 10, what="what was pushed")
            sent = self.ids(alice, "sent")
            self.assertEqual(sent[4:], ids[::-1])
            reached = sent[:4] + ids[1::2][::-1]
            for entity, timeline in ((bob, "replies"), (carol, "mentions"), (dora, "home"), (topic, "topic")):
                self.keep(entity, timeline, reached)

    def test_every_timeline_is_tailed_by_long_polls(self):
        bob, alice = self.names("bob", "alice")
        topic = "#" + bob
        self.follow(bob, alice)
        first = self.publish(bob)
        for encoding in both:
            for timeline in timelines:
                entity, author = (topic if timeline == "topic" else bob), (bob if timeline == "sent" else alice)
                newest = self.read(entity, timeline, limit=1)["entries"]
                after = newest[0]["position"] if newest else 0
                begun = time.monotonic()
                self.assertEqual(self.ids(entity, timeline, encoding, after=after, wait_ms=150), [])
                self.assertGreater(time.monotonic() - begun, 0.1)
                with Dealer(self.at(entity).endpoint) as tail:
                    tail.submit("READ", {"entity": entity, "timeline": timeline, "after": after, "wait_ms": 10_000}, encoding=encoding)
                    self.assertIsNone(tail.receive(0.1))
                    id_ = self.publish(author, b"x", encoding, **({"mentions": [bob], "topics": [topic], "reply_to": first} if author == alice else {}))
                    _, status, result = tail.receive(8)
                    self.assertEqual((status, [int(entry["id"]) for entry in result["entries"]]), ("OK", [id_]), timeline)

    def test_a_thread_is_the_message_its_parent_and_the_replies(self):
        for encoding in both:
            alice, bob = self.names("alice", "bob", encoding=encoding)
            as_id = str if encoding == JSON else int
            root = self.publish(alice, b"root", encoding)
            replies = [self.publish(author, b"reply", encoding, reply_to=as_id(root)) for author in (bob, alice, bob, bob, alice)]
            deeper = self.publish(alice, b"deeper", encoding, reply_to=as_id(replies[0]))
            self.expect(alice, "replies", replies[::-1])
            self.expect(bob, "replies", [deeper])

            def thread(id_, **args):
                return self.at(id_).call("THREAD", {"id": as_id(id_), **args}, encoding=encoding)
            top = thread(root)
            self.assertEqual((top["message"]["id"], top["parent"], top["next"]), (as_id(root), None, None))
            self.assertEqual([entry["id"] for entry in top["replies"]], [as_id(id_) for id_ in replies])
            found, after = [], 0
            while after is not None:
                page = thread(root, limit=2, after=after)
                self.assertLessEqual(len(page["replies"]), 2)
                found += [int(entry["id"]) for entry in page["replies"]]
                after = page["next"]
            self.assertEqual(found, replies)
            middle = thread(replies[0])
            self.assertEqual((middle["parent"]["id"], [int(entry["id"]) for entry in middle["replies"]]), (as_id(root), [deeper]))
            self.retract(bob, as_id(replies[0]), encoding)   # the reply leaves, what replies to it stays alone
            self.keep(alice, "replies", replies[:0:-1])
            self.keep(bob, "replies", [deeper])
            self.assertEqual([int(entry["id"]) for entry in thread(root)["replies"]], replies[1:])
            self.assertIsNone(thread(deeper)["parent"])
            self.not_found(replies[0])
            later = self.publish(bob, b"to nothing", encoding, reply_to=as_id(replies[0]))   # it is published all the same
            self.expect(bob, "sent", [later, replies[3], replies[2]])

    # ---- topics

    def test_a_topic_and_its_author_give_a_message_to_home_once(self):
        for encoding in both:
            alice, bob, fan = self.names("alice", "bob", "fan", encoding=encoding)
            topic = "#" + self.name("t", encoding)
            self.follow(fan, alice, encoding)
            self.follow(fan, topic, encoding)
            of = {(author, tagged): [] for author in (alice, bob) for tagged in (True, False)}
            order = []
            for i in range(12):
                author, tagged = (alice, bob)[i % 2], i % 3 != 0
                id_ = self.publish(author, b"x", encoding, **({"topics": [topic]} if tagged else {}))
                of[(author, tagged)].append(id_)
                order.append(id_)
            shown = lambda *keys: {id_ for key in keys for id_ in of[key]}
            both_ways = shown((alice, True), (alice, False), (bob, True))
            wait_until(lambda: set(self.ids(fan)) == both_ways, 10)
            home = self.ids(fan)
            self.assertEqual(len(home), len(both_ways))   # each once
            self.expect(fan, "home", home)
            mine = [id_ for id_ in home if id_ in shown((alice, True), (alice, False))]
            self.assertEqual(mine, sorted(mine, reverse=True))
            self.expect(topic, "topic", self.ids(topic, "topic"))
            self.assertEqual(set(self.ids(topic, "topic")), shown((alice, True), (bob, True)))
            self.assertTrue(self.unfollow(fan, alice, encoding))
            wait_until(lambda: set(self.ids(fan)) == shown((alice, True), (bob, True)), 10)
            self.follow(fan, alice, encoding)                # afresh: nothing comes back by it
            self.assertTrue(self.unfollow(fan, topic, encoding))
            self.expect(fan, "home", [])
            last = self.publish(alice, b"x", encoding, topics=[topic])
            self.keep(fan, "home", [last])
            self.assertFalse(self.unfollow(fan, topic, encoding))

    def test_unfollow_lets_older_ones_of_others_fill_home_again(self):
        fan, old, new = self.names("fan", "old", "new")
        self.follow(fan, old)
        self.follow(fan, new)
        older = [self.publish(old) for _ in range(CAPACITY + 5)]
        wait_until(lambda: self.ids(fan, limit=1) == older[-1:], 10)
        newer = [self.publish(new) for _ in range(CAPACITY - 10)]
        self.expect(fan, "home", newer[::-1] + older[:-11:-1])
        self.assertTrue(self.unfollow(fan, new))
        self.keep(fan, "home", older[:-CAPACITY - 1:-1])

    # ---- RETRACT

    def test_a_retraction_takes_the_message_out_of_every_list(self):
        for encoding in both:
            alice, bob, carol, dora, fan, tag_fan, team, member = self.names("alice", "bob", "carol", "dora", "fan", "tag-fan", "team", "member", encoding=encoding)
            topic = "#" + self.name("t", encoding)
            as_id = str if encoding == JSON else int
            for follower, author in ((fan, alice), (tag_fan, topic), (fan, topic), (member, team)):
                self.follow(follower, author, encoding)
            self.forward(alice, team, encoding)
            first = self.publish(bob, b"first", encoding)
            fields = {"reply_to": as_id(first), "mentions": [carol], "topics": [topic], "to": [dora]}
            ids = [self.publish(alice, b"x", encoding, **fields) for _ in range(3)]
            lists = ((alice, "sent"), (bob, "replies"), (carol, "mentions"), (topic, "topic"), (dora, "home"), (fan, "home"),
                     (tag_fan, "home"), (member, "home"))
            for entity, timeline in lists:
                self.expect(entity, timeline, ids[::-1])
            late = self.name("late", encoding)
            self.follow(late, alice, encoding, backfill=3)
            self.expect(late, "home", ids[::-1])
            self.refused("DENIED", "author", "RETRACT", {"author": bob, "id": ids[1]})
            self.refused("DENIED", "author", "RETRACT", {"author": self.name("nobody"), "id": ids[1]})
            self.retract(alice, as_id(ids[1]), encoding)
            self.not_found(ids[1])                           # from the answer on
            self.assertEqual(self.ids(alice, "sent"), [ids[2], ids[0]])
            for entity, timeline in (*lists, (late, "home")):
                self.keep(entity, timeline, [ids[2], ids[0]])
            self.refused("NOT_FOUND", "id", "RETRACT", {"author": alice, "id": ids[1]})

    def test_a_reader_in_mid_page_is_not_confused_by_a_retraction(self):
        alice, fan = self.names("alice", "fan")
        topic = "#" + alice
        self.follow(fan, alice)
        for encoding in both:
            ids = [self.publish(alice, b"x", encoding, topics=[topic], mentions=[fan]) for _ in range(20)]
            for entity, timeline in ((fan, "home"), (fan, "mentions"), (topic, "topic"), (alice, "sent")):
                wait_until(lambda: self.ids(entity, timeline, limit=1) == ids[-1:], 10)
            gone = {ids[15], ids[14], ids[10], ids[4], ids[5]}   # 15 is the last of the first page down, 4 of that up
            down, up = {}, {}
            reads = ((fan, "home"), (fan, "mentions"), (topic, "topic"), (alice, "sent"))
            for which in reads:
                whole = self.read(*which, encoding, limit=20)["entries"]
                below = whole[-1]["position"] - 1
                down[which] = self.read(*which, encoding, limit=5)
                up[which] = self.read(*which, encoding, limit=5, after=below)
                self.assertEqual([int(entry["id"]) for entry in up[which]["entries"]], ids[:5])
            for id_ in gone:
                self.retract(alice, id_, encoding)
            for which in reads:
                wait_until(lambda: not gone & set(self.ids(*which, limit=1000)), 10)
                rest = self.read(*which, encoding, limit=11, before=down[which]["next"])
                self.assertEqual([int(entry["id"]) for entry in rest["entries"]], [id_ for id_ in ids[14::-1] if id_ not in gone], which)
                rest = self.read(*which, encoding, limit=30, after=up[which]["next"])
                self.assertEqual([int(entry["id"]) for entry in rest["entries"]], [id_ for id_ in ids[5:] if id_ not in gone], which)

    def test_live_feeds_show_entries_and_retractions_of_every_timeline(self):
        alice, bob = self.names("alice", "bob")
        topic = "#" + alice
        self.follow(bob, alice)
        first = self.publish(bob)
        feeds = []
        try:
            for timeline, entity in (("home", bob), ("mentions", bob), ("replies", bob), ("topic", topic), ("sent", alice)):
                feed = Sub(self.owner(entity).feed)
                feeds.append((timeline, entity, feed))
                feed.subscribe(timeline, entity)
                frame = feed.receive(10)                      # the first beat: it is subscribed now
                self.assertTrue(frame and frame[1].get("beat"), (timeline, frame))
            ids = [self.publish(alice, b"%d" % i, reply_to=first, mentions=[bob], topics=[topic]) for i in range(3)]
            shown = {}
            for timeline, entity, feed in feeds:
                frames = []
                while len(frames) < 3:
                    frame = feed.receive(10)
                    self.assertIsNotNone(frame, f"{timeline} shows only {len(frames)}")
                    if not frame[1].get("beat"):
                        frames.append(frame)
                self.assertEqual([head["id"] for _, head, _ in frames], ids, timeline)
                self.assertEqual([body for _, _, body in frames], [b"0", b"1", b"2"])
                head = frames[0][1]
                self.assertEqual((head["reply_to"], head["mentions"], head["topics"]), (first, [bob], [topic]))
                positions = [head["position"] for _, head, _ in frames]
                self.assertEqual([head["prev"] for _, head, _ in frames][1:], positions[:-1])
                shown[timeline] = positions
            self.retract(alice, ids[1])
            for timeline, entity, feed in feeds:
                while True:
                    frame = feed.receive(10)
                    self.assertIsNotNone(frame, f"{timeline} shows no retraction")
                    if not frame[1].get("beat"):
                        break
                self.assertEqual((frame[0], frame[1], frame[2]), (f"{timeline}/{entity}\0".encode(), {"retracted": ids[1]}, b""))
                self.assertEqual([entry["position"] for entry in self.read(entity, timeline, after=shown[timeline][0] - 1)["entries"]],
                                 [shown[timeline][0], shown[timeline][2]])
        finally:
            for _, _, feed in feeds:
                feed.close()

    # ---- MARK

    def test_markers_and_unread(self):
        for encoding in both:
            alice, bob, carol = self.names("alice", "bob", "carol", encoding=encoding)
            self.follow(bob, alice, encoding)
            self.follow(bob, carol, encoding)
            ids = [self.publish((alice, carol)[i % 2], b"x", encoding, mentions=[bob]) for i in range(10)]
            for timeline in ("home", "mentions"):
                wait_until(lambda: len(self.ids(bob, timeline)) == 10, 10)
                self.assertIsNone(self.read(bob, timeline, encoding)["unread"])
                entries = self.read(bob, timeline, encoding)["entries"][::-1]

                def mark(position, **args):
                    args = {"entity": bob, "timeline": timeline, "position": position, **args}
                    return self.at(bob).call("MARK", args, encoding=encoding)["unread"]
                self.assertEqual(mark(entries[3]["position"]), 6)
                self.assertEqual(mark(entries[0]["position"] - 1), 10)   # back: it may
                self.assertEqual(mark(entries[3]["position"]), 6)
                self.assertEqual(self.read(bob, timeline, encoding, limit=1)["unread"], 6)
                # A consumer goes its own way.
                tail = self.read(bob, timeline, encoding, consumer="desk", limit=4)
                self.assertEqual([entry["id"] for entry in tail["entries"]], [entry["id"] for entry in entries[:4]])
                self.assertIsNone(tail["unread"])
                self.assertEqual(mark(tail["next"], consumer="desk"), 6)
                rest = self.read(bob, timeline, encoding, consumer="desk")
                self.assertEqual([entry["id"] for entry in rest["entries"]], [entry["id"] for entry in entries[4:]])
                self.assertEqual(mark(rest["next"], consumer="desk"), 0)
                self.assertEqual(self.read(bob, timeline, encoding)["unread"], 6)
            # A long poll of a consumer.
            with Dealer(self.at(bob).endpoint) as tail:
                tail.submit("READ", {"entity": bob, "timeline": "mentions", "consumer": "desk", "wait_ms": 10_000}, encoding=encoding)
                self.assertIsNone(tail.receive(0.1))
                ids.append(self.publish(carol, b"x", encoding, mentions=[bob]))
                _, status, result = tail.receive(8)
                self.assertEqual((status, [int(entry["id"]) for entry in result["entries"]]), ("OK", ids[-1:]))
                self.assertEqual(result["unread"], 1)
            unread = lambda timeline: self.read(bob, timeline, encoding)["unread"]
            wait_until(lambda: unread("home") == 7, 10)
            self.assertEqual(unread("mentions"), 7)
            mentioned = self.ids(bob, "mentions")[::-1]
            marked = {timeline: set(self.ids(bob, timeline)[::-1][4:]) for timeline in ("home", "mentions")}
            victim = mentioned[-3]
            self.retract(self.read(bob, "mentions")["entries"][2]["author"], victim, encoding)
            for timeline in ("home", "mentions"):
                self.expect(bob, timeline, [id_ for id_ in self.ids(bob, timeline) if id_ != victim])
                marked[timeline].discard(victim)
                self.assertEqual(unread(timeline), len(marked[timeline]), timeline)
            self.unfollow(bob, carol, encoding)
            authors = {int(entry["id"]): entry["author"] for entry in self.read(bob, "mentions")["entries"]}
            left = [id_ for id_ in marked["home"] if authors[id_] == alice]
            self.assertEqual(unread("home"), len(left))
            self.assertEqual(unread("mentions"), len(marked["mentions"]))
            old = [self.publish(self.name("old", encoding), b"x", encoding) for _ in range(5)]
            self.follow(bob, self.name("old", encoding), encoding, backfill=3)
            wait_until(lambda: set(old[2:]) <= set(self.ids(bob)), 10)
            self.assertEqual(unread("home"), len(left))       # what comes with a follow is not unread
            for timeline in ("home", "mentions"):
                self.keep(bob, timeline, self.ids(bob, timeline))
                self.assertEqual(self.kept[(bob, timeline)][1], unread(timeline))

    # ---- backfill

    def test_backfill_brings_the_newest_earlier_messages(self):
        for encoding in both:
            alice, fan, other, all_of_it = self.names("alice", "fan", "other", "all", encoding=encoding)
            topic = "#" + self.name("t", encoding)
            self.assertEqual(self.ids(fan), [])
            ids = [self.publish(alice, b"x", encoding, topics=[topic] if i % 2 else []) for i in range(10)]
            self.follow(fan, alice, encoding, backfill=4)
            self.expect(fan, "home", ids[:-5:-1])
            self.follow(fan, alice, encoding, backfill=9)     # a repeat keeps the follow as it is
            later = self.publish(alice, b"x", encoding)
            self.keep(fan, "home", [later] + ids[:-5:-1])
            self.follow(all_of_it, alice, encoding, backfill=1000)
            self.expect(all_of_it, "home", [later] + ids[::-1])
            wait_until(lambda: len(self.ids(topic, "topic")) == 5, 10)
            self.follow(other, topic, encoding, backfill=3)
            self.expect(other, "home", ids[:-6:-2])
            self.follow(other, alice, encoding, backfill=4)   # some by both ways
            expected = {later} | set(ids[-3:]) | set(ids[:-6:-2])
            wait_until(lambda: set(self.ids(other)) == expected, 10)
            self.assertEqual(len(self.ids(other)), len(expected))
            self.unfollow(other, topic, encoding)
            wait_until(lambda: set(self.ids(other)) == {later} | set(ids[-3:]), 10)
            self.keep(other, "home", self.ids(other))
            pairs = [[self.name(f"p{i}", encoding), alice] for i in range(10)]
            wait_until(lambda: self.any().call("FOLLOW", {"pairs": pairs, "backfill": 2}, encoding=encoding)["active"] == 10, 10)
            for follower, _ in pairs:
                self.expect(follower, "home", [later, ids[-1]])

    # ---- RETAIN

    def test_retention_by_count(self):
        for encoding in both:
            alice, bob, fan = self.names("alice", "bob", "fan", encoding=encoding)
            topic = "#" + self.name("t", encoding)
            self.follow(fan, alice, encoding)
            self.follow(fan, topic, encoding)
            first = self.publish(bob, b"first", encoding)
            publish = lambda: self.publish(alice, b"x", encoding, reply_to=first, mentions=[bob], topics=[topic])
            ids = [publish() for _ in range(10)]
            lists = ((alice, "sent"), (bob, "mentions"), (bob, "replies"), (topic, "topic"))
            defaults = {"sent": None, "mentions": 10_000, "replies": 10_000, "topic": 100_000}
            for entity, timeline in lists:
                retain = lambda **args: self.at(entity).call("RETAIN", {"entity": entity, "timeline": timeline, **args}, encoding=encoding)
                self.expect(entity, timeline, ids[::-1])
                old, first_kept = (self.read(entity, timeline, encoding)["entries"][i]["position"] for i in (7, 3))
                self.assertFalse(self.read(entity, timeline, encoding)["truncated"])
                self.assertEqual(retain()["count"], defaults[timeline])
                self.assertEqual(retain(count=4)["count"], 4)
                self.assertEqual(retain()["count"], 4)
                self.expect(entity, timeline, ids[:-5:-1])
                self.assertTrue(self.read(entity, timeline, encoding, after=old)["truncated"])
                self.assertFalse(self.read(entity, timeline, encoding, after=first_kept)["truncated"])
                self.assertTrue(self.read(entity, timeline, encoding)["truncated"])   # there was more before
            self.not_found(ids[5])
            self.expect(fan, "home", ids[::-1])              # homes keep what has left `sent`
            ids += [publish() for _ in range(3)]
            for entity, timeline in lists:
                self.expect(entity, timeline, ids[:-5:-1])
                lifted = self.at(entity).call("RETAIN", {"entity": entity, "timeline": timeline, "count": 0}, encoding=encoding)
                self.assertEqual(lifted, {"count": None, "age": None})
            ids += [publish() for _ in range(3)]
            for entity, timeline in lists:
                self.keep(entity, timeline, ids[:-8:-1])
            self.keep(fan, "home", ids[::-1])
            self.assertEqual([int(entry["id"]) for entry in self.at(first).call("THREAD", {"id": first}, encoding=encoding)["replies"]], ids[-7:])

    def test_retention_by_age(self):
        alice, bob = self.names("alice", "bob")
        ids = [self.publish(alice, mentions=[bob]) for _ in range(3)]
        self.expect(bob, "mentions", ids[::-1])
        for encoding in both:
            result = self.at(bob).call("RETAIN", {"entity": bob, "timeline": "mentions", "age": "2s"}, encoding=encoding)
            self.assertEqual((result["count"], result["age"]), (10_000, 2))
        result = self.at(alice).call("RETAIN", {"entity": alice, "timeline": "sent", "age": 2, "count": 5}, encoding=JSON)
        self.assertEqual((result["count"], result["age"]), (5, 2))
        begun = time.monotonic()
        wait_until(lambda: self.ids(bob, "mentions") == [] and self.ids(alice, "sent") == [], 10)
        self.assertLess(time.monotonic() - begun, 5)
        self.not_found(ids[2])
        new = self.publish(alice, mentions=[bob])
        wait_until(lambda: self.ids(bob, "mentions") == [new], 2)
        self.at(bob).call("RETAIN", {"entity": bob, "timeline": "mentions", "age": 0})

    # ---- ALIAS

    def test_an_alias_leads_to_the_entity(self):
        for encoding in both:
            alice, ally, fan, bob = self.names("alice", "ally", "fan", "bob", encoding=encoding)
            topic, old_topic = ("#" + self.name(text, encoding) for text in ("t", "old"))
            as_id = str if encoding == JSON else int
            ids = [self.publish(alice, b"before", encoding)]
            for entity, alias in ((alice, ally), (topic, old_topic)):
                for client in self.clients:   # a repeat is fine
                    self.assertEqual(client.call("ALIAS", {"entity": entity, "alias": alias}, encoding=encoding), {"entity": entity, "alias": alias})
                for client in self.clients:
                    self.assertEqual(client.call("LOOKUP", {"entity": alias}, encoding=encoding), client.call("LOOKUP", {"entity": entity}, encoding=encoding))
            self.follow(fan, ally, encoding, backfill=1)
            self.follow(ally, bob, encoding)
            for client in self.clients:
                self.assertEqual(client.call("FOLLOWING", {"entity": fan}, encoding=encoding)["names"], [alice])
                self.assertEqual(client.call("FOLLOWING", {"entity": ally}, encoding=encoding)["names"], [bob])
                for name in (alice, ally):
                    self.assertEqual(client.call("FOLLOWERS", {"entity": name}, encoding=encoding)["names"], [fan], name)
                    self.assertEqual(client.call("TREE", {"entity": name}, encoding=encoding)["followers"], 1, name)
            # Publishing as it, alone, in a batch and by the ingest; mentions, topics, `to` and replies by it.
            ids.append(self.publish(ally, b"as ally", encoding, topics=[old_topic]))
            batch = [{"author": name, "body": "b"} for name in (ally, alice, ally)]
            ids += [int(result["id"]) for result in self.any().call("PUBLISH", {"messages": batch}, encoding=encoding)["results"]]
            ids.sort()   # in one request those by an alias may come after the others
            with Push(self.fabric.nodes[0].ingest) as push:
                push.publish(ally, b"pushed", {"type": "t"}, encoding)
                wait_until(lambda: len(self.ids(ally, "sent")) == len(ids) + 1, 10)
            ids.append(self.ids(alice, "sent", limit=1)[0])
            theirs = self.publish(bob, b"hey", encoding, mentions=[ally], topics=[old_topic], to=[ally], reply_to=as_id(ids[1]))
            for name in (alice, ally):
                self.keep(name, "sent", ids[::-1])
                self.keep(name, "mentions", [theirs])
                self.keep(name, "replies", [theirs])
                self.keep(name, "home", [theirs])            # straight, and from bob whom she follows
            self.assertTrue(all(entry["author"] == alice for entry in self.read(ally, "sent", encoding)["entries"]))
            for name in (topic, old_topic):
                self.keep(name, "topic", [theirs, ids[1]])
            self.keep(fan, "home", ids[::-1])
            # MARK, RETAIN, RETRACT and UNFOLLOW by it.
            self.assertEqual(self.any().call("MARK", {"entity": ally, "timeline": "mentions", "position": 0}, encoding=encoding), {"unread": 1})
            self.assertEqual(self.read(alice, "mentions", encoding)["unread"], 1)
            self.assertEqual(self.any().call("RETAIN", {"entity": ally, "timeline": "sent", "count": 100}, encoding=encoding)["count"], 100)
            self.assertEqual(self.any().call("RETAIN", {"entity": alice, "timeline": "sent"}, encoding=encoding)["count"], 100)
            self.retract(ally, as_id(ids[-1]), encoding)
            self.retract(bob, as_id(theirs), encoding)
            for name in (alice, ally):
                self.keep(name, "sent", ids[-2::-1])
                for timeline in ("mentions", "replies", "home"):
                    self.keep(name, timeline, [])
            for name in (topic, old_topic):
                self.keep(name, "topic", [ids[1]])
            self.keep(fan, "home", ids[-2::-1])
            self.assertTrue(self.unfollow(fan, ally, encoding))
            self.assertFalse(self.unfollow(fan, alice, encoding))
            self.keep(fan, "home", [])
            for by, and_not_by in ((ally, alice), (alice, ally)):   # another name of the same ends it, too
                self.follow(fan, by, encoding)
                self.assertTrue(self.unfollow(fan, and_not_by, encoding))
                self.assertFalse(self.unfollow(fan, by, encoding))
            # Who follows by both names has each message once, and one unfollow ends it.
            self.follow(fan, alice, encoding)
            self.follow(fan, ally, encoding)
            ids.append(self.publish(ally, b"last", encoding))
            self.keep(fan, "home", ids[-1:])
            self.assertEqual(self.any().call("FOLLOWERS", {"entity": alice}, encoding=encoding)["count"], 1)
            for name in (alice, ally):
                self.keep(name, "sent", ids[-1:] + ids[-3::-1])

    def test_forwards_by_alias(self):
        source, other, team, crew, fan = self.names("source", "source-alias", "team", "crew", "fan")
        self.publish(source)
        self.follow(fan, team)
        for entity, alias in ((source, other), (team, crew)):
            self.any().call("ALIAS", {"entity": entity, "alias": alias})
        self.forward(other, crew)
        ids = [self.publish(source)]
        self.keep(fan, "home", ids)
        self.refused("NOT_FOUND", "from", "FORWARD", {"from": fan, "to": team, "off": True})
        self.refused("NOT_FOUND", "from", "FORWARD", {"from": source, "to": fan, "off": True})
        for off, on in ((other, other), (source, other), (other, source)):
            self.forward(off, crew, off=True)
            self.publish(source)
            ids.insert(0, self.publish(team))
            self.keep(fan, "home", ids)
            self.forward(on, crew)
            ids.insert(0, self.publish(source))
            self.keep(fan, "home", ids)

    def test_an_alias_of_a_name_in_use_is_refused(self):
        alice, author, follower, author_of_it, named, other, alias, to = self.names("alice", "author", "follower", "followed", "named", "other", "alias", "to")
        self.publish(author, mentions=[named], to=[to])
        self.follow(follower, author_of_it)
        self.keep(named, "mentions", self.ids(author, "sent"))
        self.keep(to, "home", self.ids(author, "sent"))
        self.any().call("ALIAS", {"entity": other, "alias": alias})
        for used in (author, follower, author_of_it, named, to, alias, other):
            self.refused("BAD_REQUEST", "alias", "ALIAS", {"entity": alice, "alias": used})
        self.refused("BAD_REQUEST", "alias", "ALIAS", {"entity": alice, "alias": alice})
        self.refused("BAD_REQUEST", "alias", "ALIAS", {"entity": alias, "alias": other})
        # Under an alias the same entity is meant: a second name for it, no chain.
        self.assertEqual(self.any().call("ALIAS", {"entity": alias, "alias": self.name("more")}), {"entity": other, "alias": self.name("more")})
        id_ = self.publish(self.name("more"))
        self.keep(other, "sent", [id_])

    # ---- FORWARD

    def test_three_teams_that_forward_in_a_loop(self):
        for encoding in both:
            teams = self.names("team-1", "team-2", "team-3", encoding=encoding)
            members = self.names(*(f"m{i}" for i in range(9)), encoding=encoding)
            everywhere = self.name("everywhere", encoding)
            for i, member in enumerate(members):
                self.follow(member, teams[i % 3], encoding)
            for i, team in enumerate(teams):
                self.follow(everywhere, team, encoding)
                self.forward(team, teams[(i + 1) % 3], encoding)
                self.forward(team, teams[(i + 1) % 3], encoding)   # a repeat changes nothing
            ids = {team: [self.publish(team, b"x", encoding) for _ in range(4)] for team in teams}
            all_ids = {id_ for some in ids.values() for id_ in some}
            for reader in (*members, everywhere):
                wait_until(lambda: len(self.ids(reader)) >= 12, 10)
                home = self.ids(reader)
                self.assertEqual((len(home), set(home)), (12, all_ids))
                for some in ids.values():
                    self.assertEqual([id_ for id_ in home if id_ in some], some[::-1])
            gone = ids[teams[1]][2]
            self.retract(teams[1], gone, encoding)
            for reader in (*members, everywhere):
                wait_until(lambda: gone not in self.ids(reader), 10)
                self.assertEqual(set(self.ids(reader)), all_ids - {gone})
            # 1 does not go on to 2 any more; what came stays, and its retraction still goes all the way.
            self.forward(teams[0], teams[1], encoding, off=True)
            late = self.publish(teams[0], b"x", encoding)
            wait_until(lambda: late in self.ids(members[0]), 10)
            own = self.publish(teams[1], b"x", encoding)
            for i, member in enumerate(members):
                wait_until(lambda: own in self.ids(member), 10)
                self.assertEqual(late in self.ids(member), i % 3 == 0)
            self.retract(teams[0], ids[teams[0]][0], encoding)
            for reader in (*members, everywhere):
                wait_until(lambda: ids[teams[0]][0] not in self.ids(reader), 10)
            self.assertIn(ids[teams[0]][1], self.ids(members[1]))
            self.forward(teams[0], teams[1], encoding)       # on again
            again = self.publish(teams[0], b"x", encoding)
            for reader in (*members, everywhere):
                wait_until(lambda: again in self.ids(reader), 10)
                self.keep(reader, "home", self.ids(reader))
            for team in teams:
                self.keep(team, "sent", self.ids(team, "sent"))
                self.keep(team, "home", [])

    def test_a_topic_is_forwarded_to_a_team_and_a_person_to_a_topic(self):
        alice, bob, team, member = self.names("alice", "bob", "team", "member")
        topic = "#" + alice
        self.follow(member, team)
        self.follow(member, alice)
        self.forward(topic, team)
        self.forward(bob, topic)
        ids = [self.publish(alice, topics=[topic]), self.publish(bob), self.publish(bob, topics=[topic])]
        wait_until(lambda: set(self.ids(member)) == set(ids), 10)
        self.keep(topic, "topic", self.ids(topic, "topic"))
        self.assertEqual(set(self.ids(topic, "topic")), {ids[0], ids[2]})   # the list is of what carries it
        self.keep(member, "home", self.ids(member))

    # ---- DELETE

    def deleted(self, entity, encoding=JSON):
        self.assertEqual(self.at(entity).call("DELETE", {"entity": entity}, encoding=encoding), {"deleted": True})
        def over():
            status, result = self.at(entity).ask("RETAIN", {"entity": entity, "timeline": "sent"}, encoding=encoding)
            self.assertTrue(status == "OK" or result["code"] == "BUSY", result)
            for timeline in timelines:   # meanwhile it reads as empty
                self.assertEqual(self.ids(entity, timeline), [])
            return status == "OK"
        wait_until(over, 15, what=f"the deletion of {entity}")

    def test_a_deleted_entity_is_gone_everywhere_and_can_begin_anew(self):
        for encoding in both:
            alice, ally, bob, carol, dora, fan, star, team, member = self.names("alice", "ally", "bob", "carol", "dora", "fan", "star", "team", "member", encoding=encoding)
            topic = "#" + self.name("t", encoding)
            first, stars = self.publish(bob, b"first", encoding), [self.publish(star, b"star", encoding)]
            ids = [self.publish(alice, b"x", encoding)]
            self.any().call("ALIAS", {"entity": alice, "alias": ally}, encoding=encoding)
            for follower, author in ((fan, alice), (fan, topic), (fan, star), (alice, star), (member, team)):
                self.follow(follower, author, encoding)
            self.forward(alice, team, encoding)
            self.forward(bob, alice, encoding)
            ids += [self.publish(alice, b"x", encoding, reply_to=first, mentions=[carol], topics=[topic], to=[dora]) for _ in range(130)]
            stars.append(self.publish(star, b"star", encoding, mentions=[alice], reply_to=ids[0], to=[alice]))
            self.any().call("MARK", {"entity": alice, "position": 0}, encoding=encoding)
            self.any().call("RETAIN", {"entity": alice, "timeline": "mentions", "count": 7}, encoding=encoding)
            lists = ((bob, "replies"), (carol, "mentions"), (topic, "topic"), (dora, "home"), (member, "home"))
            for entity, timeline in lists:
                wait_until(lambda: self.ids(entity, timeline, limit=1) == ids[-1:], 10)
            for timeline in ("mentions", "replies", "home"):
                self.expect(alice, timeline, stars[1:])
            wait_until(lambda: stars[1] in self.ids(fan), 10)
            self.deleted(alice, encoding)
            for entity, timeline in lists:
                self.keep(entity, timeline, [])
            self.keep(fan, "home", stars[1:])
            for id_ in (ids[0], ids[-1]):
                self.not_found(id_)
            for client in self.clients:
                self.assertEqual(client.call("FOLLOWERS", {"entity": star}, encoding=encoding)["names"], [fan])
                wait_until(lambda: client.call("FOLLOWING", {"entity": fan}, encoding=encoding)["count"] == 2, 10)
                self.assertEqual(client.call("FOLLOWING", {"entity": alice}, encoding=encoding)["names"], [])
                self.assertEqual(client.call("FOLLOWERS", {"entity": alice}, encoding=encoding)["names"], [])
            # Again, from nothing: nobody follows her, nothing is marked, the alias is free.
            self.assertEqual(self.any().call("RETAIN", {"entity": alice, "timeline": "mentions"}, encoding=encoding)["count"], 10_000)
            again = self.publish(alice, b"again", encoding, mentions=[carol], topics=[topic])
            self.keep(carol, "mentions", [again])
            self.keep(topic, "topic", [again])
            self.keep(alice, "home", [])
            self.assertIsNone(self.read(alice)["unread"])
            self.publish(bob, b"not forwarded", encoding)
            self.publish(star, b"not followed", encoding)
            wait_until(lambda: len(self.ids(fan)) == 3, 10)  # by the topic, and of the star
            self.assertIn(again, self.ids(fan))
            self.keep(member, "home", [])
            self.follow(fan, alice, encoding)
            later = self.publish(alice, b"later", encoding)
            wait_until(lambda: later in self.ids(fan), 10)
            self.keep(fan, "home", self.ids(fan))
            self.keep(alice, "sent", [later, again])
            wait_until(lambda: self.any().call("LOOKUP", {"entity": ally})["entity"] == ally, 10)
            self.keep(ally, "sent", [self.publish(ally, b"my own", encoding)])
            self.keep(alice, "home", [])

    def test_a_deleted_topic_and_one_that_never_was(self):
        alice, fan = self.names("alice", "fan")
        topic = "#" + alice
        self.follow(fan, topic)
        ids = [self.publish(alice, topics=[topic]) for _ in range(5)]
        self.expect(fan, "home", ids[::-1])
        self.deleted(topic)
        self.expect(fan, "home", [])
        self.expect(alice, "sent", ids[::-1])                # the messages are their author's
        self.deleted(self.name("never-was"))
        new = self.publish(alice, topics=[topic])
        self.keep(topic, "topic", [new])
        self.keep(fan, "home", [])

    # ---- nodes that are away

    def test_clones_stay_readable_while_the_authors_node_is_killed(self):
        first, second, third = self.fabric.nodes
        named = {node: [name for name in (self.name(f"{i}") for i in range(80)) if self.owner(name) is node] for node in self.fabric.nodes}
        tags = {node: [name for name in ("#" + self.name(f"{i}") for i in range(80)) if self.owner(name) is node] for node in self.fabric.nodes}
        author, bob, fan = named[second][0], named[first][0], named[third][0]
        topic, away = tags[third][0], named[second][1]
        self.follow(fan, topic)
        other = named[first][1]
        own = self.publish(other, mentions=[away])
        ids = [self.publish(author, b"body %d" % i, mentions=[bob], topics=[topic]) for i in range(10)]
        for entity, timeline in ((bob, "mentions"), (topic, "topic"), (fan, "home")):
            self.expect(entity, timeline, ids[::-1])
        self.expect(away, "mentions", [own])
        second.kill()
        for node in (first, third):
            with Req(node.client) as client:
                for entity, timeline in ((bob, "mentions"), (topic, "topic"), (fan, "home")):
                    entries = client.call("READ", {"entity": entity, "timeline": timeline, "after": 0})["entries"]
                    self.assertEqual([entry["body"] for entry in entries], [f"body {i}" for i in range(10)])
        with Req(first.client) as client:  # what goes to the killed one arrives after its return
            sent = [int(client.call("PUBLISH", {"author": other, "mentions": [away, bob], "topics": [topic]}, b"x")["id"]) for _ in range(3)]
            client.call("RETRACT", {"author": other, "id": sent[1]})
            client.call("RETRACT", {"author": other, "id": own})
            wait_until(lambda: len(client.call("READ", {"entity": topic, "timeline": "topic"})["entries"]) == 12, 10)
        second.start()
        self.fabric.wait_linked()
        self.keep(away, "mentions", [sent[2], sent[0]])
        for entity, timeline in ((bob, "mentions"), (topic, "topic"), (fan, "home")):
            self.keep(entity, timeline, [sent[2], sent[0]] + ids[::-1])
        self.retract(author, ids[0])
        for entity, timeline in ((bob, "mentions"), (topic, "topic"), (fan, "home")):
            self.keep(entity, timeline, [sent[2], sent[0]] + ids[:0:-1])

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


FOLLOWERS, MEMBERS, EACH = 1000, 20, 3


class Team(OnThreeNodes):
    settings = ["tree.fanout=8"]

    def counters(self):
        """Sums over the nodes, when nothing is on its way any more."""
        def sums():
            found = {}
            for client in self.clients:
                for section, fields in client.call("STATUS").items():
                    section = section.split("-")[0]
                    for key, value in fields.items():
                        if isinstance(value, int):
                            found[f"{section}.{key}"] = found.get(f"{section}.{key}", 0) + value
            return found
        last = [None]

        def still():
            now = sums()
            before, last[0] = last[0], now
            quiet = all(now[key] == 0 for key in ("shard.outbox_letters", "shard.pending_roots", "relay.pushes_in_flight"))
            keys = ("shard.deliveries", "shard.letters", "relay.stream_letters_sent", "links.packets_sent")
            return now if quiet and before and all(now[key] == before[key] for key in keys) else None
        return wait_until(still, 30, every=1.1, what="rest")

    def test_a_team_of_a_thousand_gets_each_message_of_its_members_once(self):
        team, fans, members = "team", [f"fan-{i}" for i in range(FOLLOWERS)], [f"member-{i}" for i in range(MEMBERS)]
        pairs = [[fan, team] for fan in fans] + [[fans[0], members[0]], [fans[1], members[1]]]
        wait_until(lambda: self.any().call("FOLLOW", {"pairs": pairs, "wait_ms": 3000})["active"] == len(pairs), 20)
        for member in members:
            self.forward(member, team)
        before = self.counters()
        ids = {member: [] for member in members}
        for _ in range(EACH):
            results = self.any().call("PUBLISH", {"messages": [{"author": member, "body": "x"} for member in members]})["results"]
            for member, result in zip(members, results):
                ids[member].append(int(result["id"]))
        after = self.counters()
        total = EACH * MEMBERS
        everything = {id_ for some in ids.values() for id_ in some}
        homes = 0
        for begin in range(0, FOLLOWERS, 250):
            some = fans[begin:begin + 250]
            for fan, page in zip(some, self.any().call("READ", {"entities": some, "limit": 1000}, encoding=MSGPACK)["results"]):
                found = [entry["id"] for entry in page["entries"]]
                self.assertEqual((len(found), set(found)), (total, everything), fan)
                for some_ids in ids.values():
                    self.assertEqual([id_ for id_ in found if id_ in set(some_ids)], some_ids[::-1], fan)
                homes += 1
        self.assertEqual(homes, FOLLOWERS)
        grown = {key: after[key] - before[key] for key in after}
        bucket = {name: self.clients[0].call("LOOKUP", {"entity": name})["bucket"] for name in (team, *fans)}
        buckets = len({bucket[fan] for fan in fans})
        stream, deliveries, letters = (grown[key] / total for key in ("relay.stream_letters_sent", "shard.deliveries", "shard.letters"))
        print(f"{FOLLOWERS} followers in {buckets} buckets, {MEMBERS} members forward into the team, {total} messages; per message: "
              f"{stream:.1f} stream letters between nodes, {deliveries:.1f} deliveries to leaves, {letters:.1f} channel letters; "
              f"repeats {grown['shard.repeats']}")
        # Each leaf once: those of the team, and those of each member, of which the team itself has one.
        leaves = {(member, bucket[team]) for member in members} | {(members[i], bucket[fans[i]]) for i in range(2)}
        self.assertEqual(grown["shard.deliveries"], total * buckets + EACH * len(leaves))
        self.assertLessEqual(stream, 3 + 0.5)   # to the two other nodes, and from the member to the team; two have a fan besides


if __name__ == "__main__":
    unittest.main()
