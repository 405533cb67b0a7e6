"""Three nodes, fanout = 4: a tree over several levels that grows and shrinks under load, every timeline exact."""
import random
import unittest

import fabric
from client import MSGPACK, Dealer, Req, entries_of, wait_until

FOLLOWERS = 1000


class Tree(unittest.TestCase):
    def test_a_thousand_followers_at_fanout_four(self):
        with fabric.Fabric(3, ["tree.fanout=4"]) as self.fabric:
            self.clients = [Req(node.client) for node in self.fabric.nodes]
            self.rnd = random.Random(7)
            self.star, self.fans = "star", [f"fan-{i}" for i in range(FOLLOWERS)]
            self.published = []       # ids of acknowledged messages, in order
            self.following = {}       # fan -> how many were acknowledged before its follow was active
            try:
                self.grow()
                self.check_wide()
                self.shrink()
                self.check_small()
            finally:
                for client in self.clients:
                    client.close()

    def any(self):
        return self.rnd.choice(self.clients)

    def publish(self, count):
        for _ in range(count):
            number = len(self.published)
            self.published.append(self.any().call("PUBLISH", {"author": self.star}, b"%d" % number, encoding=MSGPACK)["id"])

    def follow(self, fans):
        pairs = [[fan, self.star] for fan in fans]
        wait_until(lambda: self.any().call("FOLLOW", {"pairs": pairs, "wait_ms": 3000})["active"] == len(pairs), 20, what="follows")
        for fan in fans:
            self.following[fan] = len(self.published)

    def tree(self):
        return self.any().call("TREE", {"entity": self.star})

    # Follows and publishes in turn, so that the tree grows while messages are under way.
    def grow(self):
        for begin in range(0, FOLLOWERS, 50):
            self.follow(self.fans[begin:begin + 50])
            self.publish(5)
        self.assert_exact(self.fans)

    def check_wide(self):
        tree = self.tree()
        self.assertEqual(tree["followers"], FOLLOWERS)
        self.assertGreaterEqual(tree["levels"], 3)
        reflectors = tree["reflectors"]
        branches = [row for row in reflectors if row["kind"] != "leaf"]
        self.assertEqual({row["node"] for row in branches}, {"n1", "n2", "n3"})
        self.assertLessEqual(max(row["children"] for row in branches), 4)
        self.assertEqual(sum(row["followers"] for row in reflectors if row["kind"] == "leaf"), FOLLOWERS)
        most = [client.call("STATUS")["relay"]["letters_per_message_max"] for client in self.clients]
        self.assertLessEqual(max(most), 4)
        self.assertGreater(max(most), 1)

    # Unfollows, follows and publishes in turn; in the end 10 are left.
    def shrink(self):
        stays = set(self.rnd.sample(self.fans, 10))
        goes = [fan for fan in self.fans if fan not in stays]
        self.rnd.shuffle(goes)
        for begin in range(0, len(goes), 99):
            some = goes[begin:begin + 99]
            removed = self.any().call("UNFOLLOW", {"pairs": [[fan, self.star] for fan in some]})
            self.assertEqual(removed, {"removed": len(some), "failed": []})
            self.publish(3)
            back = some[:5]  # some come back and go again
            self.follow(back)
            self.publish(2)
            self.assert_exact(back)
            self.any().call("UNFOLLOW", {"pairs": [[fan, self.star] for fan in back]})
        for fan in goes:
            del self.following[fan]
        self.publish(10)
        self.assert_exact(sorted(stays))
        self.assert_empty(goes)

    def check_small(self):
        wait_until(lambda: self.tree()["levels"] <= 2, 20, what="a small tree")
        tree = self.tree()
        self.assertEqual(tree["followers"], 10)
        self.assertLessEqual(len(tree["reflectors"]), 1 + 10 + 3 * 4)
        most = [client.call("STATUS")["relay"]["letters_per_message_max"] for client in self.clients]
        self.assertLessEqual(max(most), 4)

    # Each of these homes has every message acknowledged since its follow, in the author's order, none
    # twice. Earlier ones may be there, when they were on their way: then from some message on, all.
    def assert_exact(self, fans):
        order = {id_: index for index, id_ in enumerate(self.published)}
        for begin in range(0, len(fans), 100):
            some = fans[begin:begin + 100]
            request = {"entities": some, "limit": 1000}

            def whole():
                pages = self.any().call("READ", request, encoding=MSGPACK)["results"]
                newest = self.published[-1]
                return pages if all(page["entries"] and page["entries"][0]["id"] == newest for page in pages) else None
            for fan, page in zip(some, wait_until(whole, 20, what="the newest message in every home")):
                indices = [order[entry["id"]] for entry in reversed(page["entries"])]
                self.assertEqual(indices, list(range(indices[0], len(self.published))), fan)
                self.assertLessEqual(indices[0], self.following[fan], fan)
                positions = [entry["position"] for entry in page["entries"]]
                self.assertEqual(positions, sorted(set(positions), reverse=True), fan)

    def assert_empty(self, fans):
        for begin in range(0, len(fans), 500):
            results = self.any().call("READ", {"entities": fans[begin:begin + 500], "limit": 10}, encoding=MSGPACK)["results"]
            self.assertTrue(all(result["entries"] == [] for result in results))


class ManyAuthors(unittest.TestCase):
    def test_follows_and_unfollows_of_many_at_random(self):
        rnd = random.Random(11)
        people = [f"p{i}" for i in range(60)]
        with fabric.Fabric(3, ["tree.fanout=4"]) as three, Dealer(three.nodes[0].client) as dealer, Req(three.nodes[2].client) as reader:
            follows, sent = set(), {person: [] for person in people}
            since = {}
            for _ in range(15):
                new = {(rnd.choice(people), rnd.choice(people)) for _ in range(150)} - follows
                gone = set(rnd.sample(sorted(follows), len(follows) // 5))
                pairs = [list(pair) for pair in sorted(new)]
                wait_until(lambda: reader.call("FOLLOW", {"pairs": pairs, "wait_ms": 3000})["active"] == len(pairs), 20)
                for pair in new:
                    since[pair] = len(sent[pair[1]])
                if gone:
                    self.assertEqual(reader.call("UNFOLLOW", {"pairs": [list(pair) for pair in sorted(gone)]})["removed"], len(gone))
                follows = (follows | new) - gone
                authors = rnd.sample(people, 40)
                acknowledged = [None] * len(authors)
                requests = (("PUBLISH", {"author": author}, b"x") for author in authors)
                for index, status, result in dealer.run(requests, 16):
                    self.assertEqual(status, "OK")
                    acknowledged[index] = result["id"]
                for author, id_ in zip(authors, acknowledged):
                    sent[author].append(id_)
            for person in people:
                authors = [author for follower, author in sorted(follows) if follower == person]
                expected = {author: sent[author][since[(person, author)]:] for author in authors}

                def whole():
                    entries = entries_of(reader, person)
                    ids = {entry["id"] for entry in entries}
                    return entries if all(set(ids_) <= ids for ids_ in expected.values()) else None
                entries = wait_until(whole, 20, what=f"the home of {person}")
                self.assertEqual(len({entry["id"] for entry in entries}), len(entries))
                for author in authors:
                    got = [entry["id"] for entry in entries if entry["author"] == author]
                    # What was on its way when the follow came may be there, too; the end is certain.
                    self.assertEqual(got, sent[author][len(sent[author]) - len(got):])
                self.assertLessEqual({entry["author"] for entry in entries}, set(authors))


if __name__ == "__main__":
    unittest.main()
