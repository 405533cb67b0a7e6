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
both = (JSON, MSGPACK)


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
        for encoding in both:
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


# Each field by kind, and what is wrong for each kind: (value, code, what follows the field in the path).
BYTES = b"\xff\xfe"   # in msgpack as text: not UTF-8
wrong_name = [(value, BAD, "") for value in ("", name_201, "a\nb", "a\0b", "a\u0085b", 5, 1.5, True, ["a"], {"a": "b"}, BYTES)]
wrong_names = [(value, BAD, "") for value in ("b", 5, True, {"a": "b"})] + \
    [([value], BAD, "[0]") for value in ("", name_201, "a\nb", 5, None, ["a"], BYTES)] + \
    [(["a", "b", ""], BAD, "[2]"), ([f"n{i}" for i in range(65)], "TOO_LARGE", ""), (["n"] * 65, "TOO_LARGE", "")]
wrong_number = [(value, BAD, "") for value in (-1, "5", 1.5, True, [5])]
wrong_id = [(value, BAD, "") for value in ("12x", "", "-1", " 1", -1, 1.5, 1 << 64, str(1 << 64), True, ["1"])]
wrong_of = {
    "name": wrong_name,
    "names": wrong_names,
    "topics": wrong_names + [(["t" * 200], BAD, "[0]")],   # with its # it is too long
    "id": wrong_id,
    "reply_to": wrong_id + [(0, BAD, ""), (256, BAD, ""), ((1 << 64) - 1, BAD, "")],   # buckets are 0 to 255
    "position": wrong_number + [(1 << 53, BAD, "")],
    "limit": wrong_number + [(0, BAD, ""), (1001, BAD, "")],
    "wait_ms": wrong_number + [(60_001, BAD, "")],
    "backfill": wrong_number + [(1001, BAD, "")],
    "count": wrong_number + [(1 << 53, BAD, "")],
    "age": [(value, BAD, "") for value in ("", "5", "d", "1.5h", "500ms", "-1s", "1 year", "1h 5m", "9999999999d", -1, 1.5, 1 << 60, True, ["1s"])],
    "flag": [(value, BAD, "") for value in (0, 1, "true", [True])],
    "timeline": [(value, BAD, "") for value in ("nosuch", "", "Home", "direct", 5, True, ["home"])],
    "kept timeline": [(value, BAD, "") for value in ("home", "nosuch", "", 5)],
}
# verb -> (what it needs, its other fields that this table tries); each value is right.
verbs = {
    "PUBLISH": ({"author": ("name", "a"), "body": (None, "x")},
                {"mentions": ("names", ["b"]), "topics": ("topics", ["t"]), "to": ("names", ["b"]), "reply_to": ("reply_to", 5)}),
    "FOLLOW": ({"follower": ("name", "a"), "author": ("name", "b")}, {"backfill": ("backfill", 3), "wait_ms": ("wait_ms", 5)}),
    "UNFOLLOW": ({"follower": ("name", "a"), "author": ("name", "b")}, {}),
    "READ": ({"entity": ("name", "a")}, {"timeline": ("timeline", "topic"), "consumer": ("name", "c"), "limit": ("limit", 5)}),
    "THREAD": ({"id": ("id", 256)}, {"limit": ("limit", 5), "after": ("position", 5)}),
    "RETRACT": ({"author": ("name", "a"), "id": ("id", 256)}, {}),
    "DELETE": ({"entity": ("name", "delete me")}, {}),
    "MARK": ({"entity": ("name", "a"), "position": ("position", 5)}, {"timeline": ("timeline", "replies"), "consumer": ("name", "c")}),
    "RETAIN": ({"entity": ("name", "a"), "timeline": ("kept timeline", "sent")}, {"count": ("count", 5), "age": ("age", "5d")}),
    "ALIAS": ({"entity": ("name", "a"), "alias": ("name", "alias of a")}, {}),
    "FORWARD": ({"from": ("name", "a"), "to": ("name", "b")}, {"off": ("flag", False)}),
}
together = [  # right alone, wrong together
    ("READ", {"entity": "a", "consumer": "c", "after": 5}, "consumer"),
    ("READ", {"entity": "a", "consumer": "c", "before": 5}, "consumer"),
    ("READ", {"entities": ["a"], "consumer": "c", "wait_ms": 5}, "wait_ms"),
    ("READ", {"entity": "a", "timeline": "mentions", "wait_ms": 5}, "wait_ms"),
    ("PUBLISH", {"messages": [], "mentions": ["a"]}, "mentions"),
    ("PUBLISH", {"messages": [], "topics": ["a"]}, "topics"),
    ("PUBLISH", {"messages": [], "to": ["a"]}, "to"),
    ("PUBLISH", {"messages": [], "reply_to": 5}, "reply_to"),
    ("PUBLISH", {"messages": [{"author": "a", "body": "x"}, {"author": "a", "body": "x", "mentions": ["b", ""]}]}, "messages[1].mentions[1]"),
    ("PUBLISH", {"messages": [{"author": "a", "body": "x", "topics": "t"}]}, "messages[0].topics"),
    ("PUBLISH", {"messages": [{"author": "a", "body": "x", "to": [5]}]}, "messages[0].to[0]"),
    ("PUBLISH", {"messages": [{"author": "a", "body": "x", "reply_to": 0}]}, "messages[0].reply_to"),
    ("PUBLISH", {"messages": [{"author": "a", "body": "x", "messages": []}]}, "unknown field 'messages[0].messages'"),
    ("ALIAS", {"entity": "a", "alias": "a"}, "alias"),
    ("FORWARD", {"from": "a", "to": "a"}, "to"),
    ("FORWARD", {"from": "a", "to": "a", "off": True}, "to"),
]


def packed(args, encoding):
    """The args, or None where this encoding has no such value."""
    def has(value, what):
        if isinstance(value, dict):
            return any(has(item, what) for item in value.values())
        return any(has(item, what) for item in value) if isinstance(value, list) else what(value)
    if encoding == JSON:
        return None if has(args, lambda value: isinstance(value, bytes)) else json.dumps(args).encode()
    if has(args, lambda value: isinstance(value, int) and value >= 1 << 64):
        return None
    return msgpack.packb(args, use_bin_type=False)


def graph_table():
    """Yields (what, verb, args, code, how the message begins)."""
    for verb, (needs, others) in verbs.items():
        right = {field: value for field, (_, value) in needs.items()}
        yield f"{verb} with an unknown field", verb, {**right, "nosuch": 1}, BAD, "unknown field 'nosuch' in " + verb
        for field in needs:
            yield f"{verb} without {field}", verb, {key: value for key, value in right.items() if key != field}, BAD, f"{field} is missing"
            yield f"{verb} with null for {field}", verb, {**right, field: None}, BAD, f"{field} is missing"
        for field, (kind, _) in {**needs, **others}.items():
            for value, code, where in wrong_of.get(kind, []):
                yield f"{verb} with {field}: {str(value)[:40]}", verb, {**right, field: value}, code, f"{field}{where} "
    for verb, args, field in together:
        yield f"{verb} with {args}", verb, args, BAD, field + " "


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

    def test_each_field_of_the_message_graph_is_checked_and_named(self):
        tried = 0
        for what, verb, args, code, begins in graph_table():
            for encoding in both:
                data = packed(args, encoding)
                if data is None:
                    continue
                with self.subTest(what, encoding=encoding):
                    reply = self.client.raw([verb.encode(), data])
                    result = unpack(reply[1])
                    self.assertEqual((reply[0], result.get("code")), (b"ERR", code), result)
                    self.assertTrue(result["message"].startswith(begins), result)
                    tried += 1
        print(f"{tried} refusals")
        for verb, (needs, others) in verbs.items():   # and what is right is not refused
            args = {field: value for field, (_, value) in {**needs, **others}.items()}
            for encoding in both:
                status, result = self.client.ask(verb, args, encoding=encoding)
                self.assertTrue(status == "OK" or result["code"] in ("NOT_FOUND", "DENIED"), (verb, result))
                nulls = {**args, **{field: None for field in others}}   # null: not given
                status, result = self.client.ask(verb, nulls, encoding=encoding)
                self.assertTrue(status == "OK" or result["code"] in ("NOT_FOUND", "DENIED"), (verb, result))
            if verb != "PUBLISH":
                reply = self.client.raw([verb.encode(), json.dumps(args).encode(), b"body"])
                self.assertIn("body", unpack(reply[1])["message"])
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
        some = [*verbs, "GET", "TREE", "MAP", "LOOKUP", "FOLLOWERS", "STATUS"]
        for _ in range(3000):
            verb, encoding = rnd.choice(some), rnd.choice(both)
            needs, others = verbs.get(verb, ({"entity": ("name", "a")}, {"limit": ("limit", 10)}))
            args = {field: value for field, (_, value) in {**needs, **others}.items()}
            data = bytearray(rnd.choice([packed(args, encoding), rnd.randbytes(rnd.randrange(60))]))
            for _ in range(rnd.randrange(4)):
                if data:
                    data[rnd.randrange(len(data))] = rnd.randrange(256)
            try:
                reply = self.client.raw([verb.encode(), bytes(data)])
            except NoAnswer:
                self.fail(f"no answer with seed {seed} to {verb} {bytes(data)!r}")
            if reply[0] == b"ERR":
                self.assertIn(unpack(reply[1])["code"], (BAD, "UNKNOWN_VERB", "NOT_FOUND", "DENIED", "TOO_LARGE", "BUSY", "TIMEOUT"))
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
