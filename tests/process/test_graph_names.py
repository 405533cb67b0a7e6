"""What entities are to each other in the message graph, from outside, on three nodes: aliases, forwards, deletion; what
is said to them while a node is away; a team of a thousand."""
import unittest

import three_nodes
from client import JSON, MSGPACK, Push, Req, wait_until
from three_nodes import both, timelines


class Names(three_nodes.Kept):
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


FOLLOWERS, MEMBERS, EACH = 1000, 20, 3


class Team(three_nodes.OnThreeNodes):
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
