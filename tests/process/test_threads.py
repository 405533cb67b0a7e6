"""A short run over every thread of three daemons, for a build with the thread sanitizer; the harness looks
into the logs for what it found."""
import threading
import unittest

import fabric
from client import MSGPACK, Dealer, Push, Req, Sub, entries_of, wait_until


def published(node):
    with Req(node.client, 60) as client:
        return client.call("STATUS")["front"]["ingest_published"]


class Threads(unittest.TestCase):
    def test_load_from_many_sides_and_a_restart(self):
        with fabric.Fabric(3, ["tree.fanout=4", "store.shards=2"]) as three:
            authors, fans = [f"a{i}" for i in range(20)], [f"f{i}" for i in range(40)]
            with Req(three.nodes[0].client, 60) as client:
                pairs = [[fan, author] for fan in fans for author in authors]
                wait_until(lambda: client.call("FOLLOW", {"pairs": pairs, "wait_ms": 5000})["active"] == len(pairs), 90)
            errors = []

            def load(node):
                try:
                    with Dealer(node.client, 60) as dealer, Push(node.ingest) as push, Sub(node.feed) as feed:
                        feed.subscribe("home", fans[0])
                        for author in authors:
                            feed.subscribe("sent", author)
                        feed.subscribe("mentions", "person")
                        feed.subscribe("topic", "#topic")
                        tagged = None
                        for round_ in range(10):
                            requests = [("PUBLISH", {"author": author}, b"x" * 100) for author in authors]
                            requests += [("READ", {"entity": fan}) for fan in fans]
                            requests += [("STATUS",), ("MAP",), ("TREE", {"entity": authors[0]}), ("NOSUCH",)]
                            requests += [("FOLLOW", {"follower": f"{node.name}-{round_}", "author": authors[0]}),
                                         ("UNFOLLOW", {"follower": f"{node.name}-{round_}", "author": authors[0]})]
                            mine, before = f"{node.name}-graph-{round_}", f"{node.name}-graph-{round_ - 1}"
                            graph = {"mentions": ["person"], "topics": ["topic"], "to": ["reader"]}
                            requests += [("PUBLISH", {"author": f"{node.name}-tagger", "body": "x", **graph}), ("PUBLISH", {"author": mine, "body": "x", **graph}),
                                         ("FOLLOW", {"follower": mine, "author": "#topic", "backfill": 5}), ("FORWARD", {"from": mine, "to": "team"}),
                                         ("MARK", {"entity": "person", "timeline": "mentions", "position": round_}),
                                         ("RETAIN", {"entity": "person", "timeline": "mentions", "count": 10 + round_}),
                                         ("ALIAS", {"entity": "person", "alias": mine + "-alias"}), ("DELETE", {"entity": before}),
                                         ("READ", {"entity": "#topic", "timeline": "topic"}), ("READ", {"entity": "person", "consumer": "c"})]
                            if tagged:
                                requests += [("THREAD", {"id": tagged}), ("PUBLISH", {"author": f"{node.name}-replier", "body": "x", "reply_to": tagged})]
                            for index, status, result in dealer.run(requests, 32):
                                if status != "OK" and requests[index][0] != "NOSUCH":
                                    errors.append((requests[index], result))
                                elif requests[index][0] == "PUBLISH" and requests[index][1]["author"] == f"{node.name}-tagger":
                                    fresh = result["id"]
                            if tagged:
                                requests = [("RETRACT", {"author": f"{node.name}-tagger", "id": tagged})]
                                errors.extend(result for _, status, result in dealer.run(requests) if status != "OK")
                            tagged = fresh
                            for author in authors[:5]:
                                push.publish(author, b"pushed")
                            while feed.receive(0):
                                pass
                except Exception as error:
                    errors.append(repr(error))
            threads = [threading.Thread(target=load, args=(node,), daemon=True) for node in three.nodes]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(120)
            self.assertEqual(errors, [])
            # A push has no answer: what a node has not published when it is stopped may be lost.
            wait_until(lambda: all(published(node) == 10 * 5 for node in three.nodes), 60, what="what was pushed is published")
            three.nodes[1].stop(60)
            three.nodes[1].start()
            three.wait_linked()
            total = 3 * 10 * (len(authors) + 5)
            with Req(three.nodes[2].client, 60) as client:
                wait_until(lambda: len(entries_of(client, fans[7])) == total, 60, every=0.5, what=f"{total} entries")
                # Of each node the tagger's last, and what the last round's entity published.
                wait_until(lambda: len(entries_of(client, "#topic", "topic")) == 3 * 2, 60, every=0.5, what="what is left of the topic")


if __name__ == "__main__":
    unittest.main()
