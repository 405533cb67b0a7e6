"""The lists of the message graph from outside, on three nodes: publish, topics, threads, retraction, live feeds, markers,
backfill, retention."""
import time
import unittest

import three_nodes
from client import JSON, MSGPACK, Dealer, Push, Sub, wait_until
from three_nodes import CAPACITY, both, timelines


class Lists(three_nodes.Kept):
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


if __name__ == "__main__":
    unittest.main()
