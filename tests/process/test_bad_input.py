"""What bad input gets: ERR with a code and a message that names the field; everybody else goes on."""
import json
import random
import socket
import unittest

import msgpack
import zmq

import fabric
from client import JSON, MSGPACK, NoAnswer, Push, Req, context, unpack, wait_until

name_201 = "n" * 201
BAD = "BAD_REQUEST"


def nested(encoding, depth):
    return b'{"a":' * depth if encoding == JSON else b"\x81\xa1a" * depth


# (what, frames, code, what the message must name)
def table():
    rows = [
        ("an unknown verb", [b"NOSUCH", b"{}"], "UNKNOWN_VERB", "NOSUCH"),
        ("a verb in lower case", [b"ping", b"{}"], "UNKNOWN_VERB", "ping"),
        ("a verb of bytes", [b"\xff\x00\n", b"{}"], "UNKNOWN_VERB", "verb"),
        ("an empty verb", [b"", b"{}"], "UNKNOWN_VERB", "verb"),
        ("a verb that is long", [b"V" * 100_000, b"{}"], "UNKNOWN_VERB", "verb"),
        ("a verb of nodes", [b"X.LEAVES", b'{"entity":"a"}'], "UNKNOWN_VERB", "X.LEAVES"),
        ("a verb of later", [b"TRACE", b"{}"], "UNKNOWN_VERB", "TRACE"),
        ("too many frames", [b"PING", b"{}", b"", b""], BAD, "frames"),
        ("a body where none belongs", [b"READ", b'{"entity":"a"}', b"body"], BAD, "body"),
        ("JSON that is none", [b"PING", b"{no}"], BAD, "args"),
        ("JSON cut short", [b"READ", b'{"entity":"a"'], BAD, "args"),
        ("JSON that goes on", [b"READ", b'{"entity":"a"}}'], BAD, "args"),
        ("JSON that is not UTF-8", [b"READ", b'{"entity":"\xff"}'], BAD, "args"),
        ("JSON with half a surrogate", [b"READ", rb'{"entity":"\ud800"}'], BAD, "args"),
        ("JSON with a field twice", [b"READ", b'{"entity":"a","entity":"b"}'], BAD, "entity"),
        ("endlessly nested JSON", [b"READ", nested(JSON, 500_000)], BAD, "nested"),
        ("endless lists in JSON", [b"READ", b'{"entity":' + b"[" * 1_000_000], BAD, "nested"),
        ("msgpack that is none", [b"PING", b"\xc1"], BAD, "args"),
        ("msgpack cut short", [b"READ", b"\x81\xa6enti"], BAD, "args"),
        ("msgpack that goes on", [b"READ", msgpack.packb({"entity": "a"}) + b"\x80"], BAD, "args"),
        ("msgpack that is a list", [b"READ", b"\x91\x01"], BAD, "args"),
        ("msgpack that promises four thousand million items", [b"READ", b"\xdd\xff\xff\xff\xff"], BAD, "args"),
        ("msgpack that promises four thousand million bytes", [b"READ", b"\xc6\xff\xff\xff\xff"], BAD, "args"),
        ("endlessly nested msgpack", [b"READ", nested(MSGPACK, 300_000)], BAD, "nested"),
        ("msgpack with an extension type", [b"READ", b"\x81\xa6entity\xd4\x01\x01"], BAD, "extension"),
        ("msgpack with a number as key", [b"READ", b"\x81\x01\x01"], BAD, "key"),
        ("msgpack text that is not UTF-8", [b"READ", b"\x81\xa6entity\xa2\xff\xfe"], BAD, "UTF-8"),
        ("args over the limit", [b"READ", b'{"entity":"' + b"a" * (5 << 20) + b'"}'], "TOO_LARGE", "args"),
    ]
    fields = [  # (what, verb, args, code, names)
        ("an unknown field", "READ", {"entity": "a", "nosuch": 1}, BAD, "nosuch"),
        ("an unknown field of PING", "PING", {"x": 1}, BAD, "x"),
        ("no entity", "READ", {}, BAD, "entity"),
        ("no author", "PUBLISH", {"body": "x"}, BAD, "author"),
        ("no body", "PUBLISH", {"author": "a"}, BAD, "body"),
        ("no follower", "FOLLOW", {"author": "a"}, BAD, "follower"),
        ("no id", "GET", {}, BAD, "id"),
        ("an empty name", "READ", {"entity": ""}, BAD, "entity"),
        ("a name too long", "PUBLISH", {"author": name_201, "body": "x"}, BAD, "author"),
        ("a name with a line end", "FOLLOW", {"follower": "a\nb", "author": "a"}, BAD, "follower"),
        ("a name with a zero", "FOLLOW", {"follower": "a", "author": "a\0b"}, BAD, "author"),
        ("a name with C1", "LOOKUP", {"entity": "a\u0085b"}, BAD, "entity"),
        ("a name that is a number", "READ", {"entity": 5}, BAD, "entity"),
        ("a name that is a list", "TREE", {"entity": ["a"]}, BAD, "entity"),
        ("a limit that is text", "READ", {"entity": "a", "limit": "10"}, BAD, "limit"),
        ("a limit of zero", "READ", {"entity": "a", "limit": 0}, BAD, "limit"),
        ("a limit too large", "READ", {"entity": "a", "limit": 1001}, BAD, "limit"),
        ("a limit below zero", "READ", {"entity": "a", "limit": -1}, BAD, "limit"),
        ("a limit that is a fraction", "READ", {"entity": "a", "limit": 1.5}, BAD, "limit"),
        ("a position beyond 2^53", "READ", {"entity": "a", "after": 1 << 53}, BAD, "after"),
        ("before and after", "READ", {"entity": "a", "after": 1, "before": 2}, BAD, "before"),
        ("wait_ms without after", "READ", {"entity": "a", "wait_ms": 1}, BAD, "wait_ms"),
        ("wait_ms too long", "READ", {"entity": "a", "after": 0, "wait_ms": 10 ** 9}, BAD, "wait_ms"),
        ("a timeline that is none", "READ", {"entity": "a", "timeline": "nosuch"}, BAD, "timeline"),
        ("a timeline without retention", "RETAIN", {"entity": "a", "timeline": "home"}, BAD, "timeline"),
        ("entity and entities", "READ", {"entity": "a", "entities": ["b"]}, BAD, "entity"),
        ("too many entities", "READ", {"entities": ["a"] * 1001}, "TOO_LARGE", "entities"),
        ("a bad name among entities", "READ", {"entities": ["a", ""]}, BAD, "entities"),
        ("an id that is no number", "GET", {"id": "12x"}, BAD, "id"),
        ("an id below zero", "GET", {"id": -1}, BAD, "id"),
        ("an id beyond 64 bits", "GET", {"id": "99999999999999999999"}, BAD, "id"),
        ("a body that is a number", "PUBLISH", {"author": "a", "body": 5}, BAD, "body"),
        ("a type too long", "PUBLISH", {"author": "a", "body": "x", "type": "t" * 201}, BAD, "type"),
        ("a key that is empty", "PUBLISH", {"author": "a", "body": "x", "key": ""}, BAD, "key"),
        ("a list that is none", "PUBLISH", {"author": "a", "body": "x", "mentions": "b"}, BAD, "mentions"),
        ("too much backfill", "FOLLOW", {"follower": "a", "author": "b", "backfill": 1001}, BAD, "backfill"),
        ("messages that are no list", "PUBLISH", {"messages": 1}, BAD, "messages"),
        ("too many messages", "PUBLISH", {"messages": [{"author": "a", "body": ""}] * 1001}, "TOO_LARGE", "messages"),
        ("a bad message among others", "PUBLISH", {"messages": [{"author": "a", "body": "x"}, {"body": "x"}]}, BAD, "messages[1].author"),
        ("messages and an author", "PUBLISH", {"author": "a", "messages": []}, BAD, "author"),
        ("pairs that are no list", "FOLLOW", {"pairs": {"a": "b"}}, BAD, "pairs"),
        ("a pair of three", "FOLLOW", {"pairs": [["a", "b"], ["a", "b", "c"]]}, BAD, "pairs[1]"),
        ("a bad name in a pair", "UNFOLLOW", {"pairs": [["a", "b\t"]]}, BAD, "pairs[0]"),
        ("too many pairs", "FOLLOW", {"pairs": [["a", "b"]] * 10_001}, "TOO_LARGE", "pairs"),
        ("a fanout of one", "TREE", {"entity": "a", "fanout": 1}, BAD, "fanout"),
    ]
    for what, verb, args, code, names in fields:
        for encoding in (JSON, MSGPACK):
            if encoding == MSGPACK and args.get("id") == -1:
                continue
            data = json.dumps(args).encode() if encoding == JSON else msgpack.packb(args)
            rows.append((f"{what} ({encoding})", [verb.encode(), data], code, names))
    rows += [
        ("a body over the limit", [b"PUBLISH", b'{"author":"a"}', b"x" * ((1 << 20) + 1)], "TOO_LARGE", "body"),
        ("a body over the limit in the args", [b"PUBLISH", msgpack.packb({"author": "a", "body": b"x" * ((1 << 20) + 1)})], "TOO_LARGE", "body"),
        ("a body as frame and field", [b"PUBLISH", b'{"author":"a","body":"x"}', b"y"], BAD, "body"),
        ("a body that is not base64", [b"PUBLISH", b'{"author":"a","body_base64":"*"}'], BAD, "body_base64"),
        ("messages and a body", [b"PUBLISH", b'{"messages":[]}', b"y"], BAD, "body"),
    ]
    return rows


class BadInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.fabric = fabric.Fabric(1)
        cls.fabric.__enter__()
        cls.addClassCleanup(cls.fabric.__exit__, None, None, None)
        cls.node = cls.fabric.nodes[0]

    def setUp(self):
        self.client, self.other = Req(self.node.client), Req(self.node.client)
        self.addCleanup(self.client.close)
        self.addCleanup(self.other.close)

    def everybody_goes_on(self):
        for client in (self.client, self.other):
            self.assertEqual(client.call("PING")["node"], "n1")

    def test_each_case_of_the_table_is_answered_and_named(self):
        for what, parts, code, names in table():
            with self.subTest(what):
                reply = self.client.raw(parts)
                self.assertEqual(reply[0], b"ERR")
                result = unpack(reply[1])
                self.assertEqual(result["code"], code, result)
                self.assertIn(names, result["message"])
                self.assertLess(len(result["message"]), 2000)
                self.other.call("PING")
        self.everybody_goes_on()

    def test_the_error_comes_in_the_encoding_of_the_args_where_they_can_be_read(self):
        self.assertEqual(self.client.raw([b"READ", b"{}"])[1][:1], b"{")
        self.assertNotEqual(self.client.raw([b"READ", b"\x80"])[1][:1], b"{")

    def test_the_largest_that_is_allowed_passes(self):
        self.client.call("PUBLISH", {"author": "n" * 200, "key": "k" * 200, "type": "t" * 200}, b"x" * (1 << 20))
        self.client.call("PUBLISH", {"author": "ä" * 100}, b"")
        entry = self.client.call("READ", {"entity": "n" * 200, "timeline": "sent"}, encoding=MSGPACK)["entries"][0]
        self.assertEqual(len(entry["body"]), 1 << 20)
        self.client.call("FOLLOW", {"pairs": [["f", f"a{i}"] for i in range(10_000)], "wait_ms": 0})

    def test_frames_without_a_request_hurt_nobody(self):
        with context.socket(zmq.DEALER) as dealer:
            dealer.linger = 0
            dealer.connect(self.node.client)
            for parts in ([b""], [b"", b""], [b"x"], [b"x", b"y"], [b"a", b"b", b""], [b""] * 50, [b"x"] * 1000):
                dealer.send_multipart(parts)
            dealer.send_multipart([b"", b"PING", b"{}"])
            answers = []
            while dealer.poll(3000):
                answers.append(dealer.recv_multipart())
                if b"OK" in answers[-1]:
                    break
            self.assertEqual(answers[-1][:2], [b"", b"OK"])
            self.assertTrue(all(b"ERR" in answer for answer in answers[:-1]))
        self.everybody_goes_on()

    def test_random_bytes_are_always_answered(self):
        seed = random.randrange(1 << 32)
        rnd = random.Random(seed)
        verbs = [b"PUBLISH", b"FOLLOW", b"READ", b"GET", b"TREE", b"MAP", b"LOOKUP", b"FOLLOWERS"]
        good = msgpack.packb({"entity": "a", "limit": 10, "after": 5})
        for _ in range(2000):
            data = bytearray(rnd.choice([good, b'{"entity": "a", "limit": 10}', rnd.randbytes(rnd.randrange(60))]))
            for _ in range(rnd.randrange(4)):
                if data:
                    data[rnd.randrange(len(data))] = rnd.randrange(256)
            try:
                reply = self.client.raw([rnd.choice(verbs), bytes(data)])
            except NoAnswer:
                self.fail(f"no answer with seed {seed} to {bytes(data)!r}")
            if reply[0] == b"ERR":
                self.assertIn(unpack(reply[1])["code"], (BAD, "UNKNOWN_VERB", "NOT_FOUND", "TOO_LARGE"))
        self.everybody_goes_on()

    def test_bytes_on_each_port_that_are_not_zeromq(self):
        for port in self.node.ports:
            for data in (b"GET / HTTP/1.0\r\n\r\n", b"\xff" + b"\0" * 8 + b"\x7f" + b"\xff" * 5000, random.randbytes(4000)):
                with socket.create_connection(("127.0.0.1", port), 5) as raw:
                    raw.sendall(data)
        self.everybody_goes_on()

    def test_packets_on_the_link_port_that_are_not_of_a_node(self):
        with context.socket(zmq.DEALER) as dealer:
            dealer.linger = 0
            dealer.connect(self.node.link)
            dealer.send_multipart([b""])
            for _ in range(300):
                dealer.send_multipart([random.randbytes(random.randrange(200)) for _ in range(random.randrange(1, 4))])
            dealer.send_multipart([b"\xdd\xff\xff\xff\xff"])
            wait_until(lambda: self.client.call("STATUS")["links"]["frames_damaged"] > 0, 5)
        self.everybody_goes_on()

    def test_bad_ingest_is_dropped_and_counted(self):
        before = self.client.call("STATUS")["front"]
        with Push(self.node.ingest) as push:
            for parts in ([b"only one"], [b"", b"x"], [name_201.encode(), b"x"], [b"a", b"{no}", b"x"], [b"a", b"b", b"c", b"d"],
                          [b"a", b"x" * ((1 << 20) + 1)]):
                push.socket.send_multipart(parts)
            push.publish("ingest-good", b"good")
            wait_until(lambda: self.client.call("READ", {"entity": "ingest-good", "timeline": "sent"})["entries"], 5)
        after = self.client.call("STATUS")["front"]
        self.assertEqual(after["ingest_refused"] - before["ingest_refused"], 6)
        self.everybody_goes_on()

    def test_a_subscription_flood_hurts_nobody(self):
        with context.socket(zmq.SUB) as feed:
            feed.linger = 0
            feed.connect(self.node.feed)
            for i in range(2000):
                feed.subscribe(random.randbytes(random.randrange(200)))
                feed.subscribe(b"home/flood-%d\0" % i)
            self.everybody_goes_on()


if __name__ == "__main__":
    unittest.main()
