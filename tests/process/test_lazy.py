"""Lazy leaves: nothing is sent to them, a READ has everything, and names who cannot be reached."""
import time
import unittest

from client import MSGPACK, Req, wait_until
from fabric import Fabric


def total(fabric, name):
    """A counter of all shards that are up; they report about once a second."""
    count = 0
    for node in fabric.nodes:
        if not node.process:
            continue
        with Req(node.client) as client:
            sections = client.call("STATUS")
        count += sum(fields[name] for section, fields in sections.items() if section.startswith("shard"))
    return count


class Lazy(unittest.TestCase):
    def test_a_read_has_what_was_published_and_names_who_is_away(self):
        with Fabric(3, ["timeline.mode=lazy", "store.shards=1"]) as fabric:
            by_node = {}  # an author of each node
            with Req(fabric.nodes[0].client) as client:
                for i in range(100):
                    by_node.setdefault(client.call("LOOKUP", {"entity": f"a{i}"})["primary"], f"a{i}")
                self.assertEqual(len(by_node), 3)
                reader = next(f"r{i}" for i in range(100) if client.call("LOOKUP", {"entity": f"r{i}"})["primary"] == "n1")
                for author in by_node.values():
                    self.assertEqual(client.call("FOLLOW", {"follower": reader, "author": author, "wait_ms": 5000})["state"], "active")
                wait_until(lambda: total(fabric, "lazy_leaves") == 3 and total(fabric, "outbox_letters") == 0, 10, what="lazy leaves")
                for author in by_node.values():
                    for i in range(5):
                        client.call("PUBLISH", {"author": author}, f"{author}/{i}".encode())
                time.sleep(2.5)  # what would have been sent is there, and counted
                self.assertEqual(total(fabric, "deliveries"), 0)
                self.assertEqual(total(fabric, "pending_roots"), 0)

                page = client.call("READ", {"entity": reader}, encoding=MSGPACK)
                self.assertEqual(page["incomplete"], [])
                self.assertEqual(sorted(e["body"] for e in page["entries"]),
                                 sorted(f"{author}/{i}".encode() for author in by_node.values() for i in range(5)))
                # What was answered before a READ is in it, at once.
                for i in range(20):
                    author = list(by_node.values())[i % 3]
                    client.call("PUBLISH", {"author": author}, f"{author}+{i}".encode())
                    self.assertEqual(client.call("READ", {"entity": reader, "limit": 1}, encoding=MSGPACK)["entries"][0]["body"], f"{author}+{i}".encode())

                for author in by_node.values():
                    client.call("PUBLISH", {"author": author}, f"{author} last".encode())
                fabric.nodes[2].kill()
                page = client.call("READ", {"entity": reader}, encoding=MSGPACK)
                self.assertEqual(page["incomplete"], [by_node["n3"]])
                self.assertEqual({e["body"] for e in page["entries"][:2]},
                                 {f"{by_node[node]} last".encode() for node in ("n1", "n2")})
                fabric.nodes[2].start()

                def complete():
                    back = client.call("READ", {"entity": reader}, encoding=MSGPACK)
                    return not back["incomplete"] and back["entries"][0]["body"] == f"{by_node['n3']} last".encode()
                wait_until(complete, 30, what="the author's node")


if __name__ == "__main__":
    unittest.main()
