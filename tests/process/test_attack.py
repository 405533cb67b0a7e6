"""What hostile clients and strangers do: everybody else goes on, memory stays bounded, nothing acknowledged is lost."""
import os
import random
import signal
import socket
import struct
import threading
import time
import unittest

import msgpack
import zmq

import fabric
from client import Dealer, NoAnswer, Push, Req, Sub, context, entries_of, wait_until

LINK_PROTOCOL = 3

body_size = 500_000


class Zmtp:
    """A peer that speaks ZMTP 3 by hand (NULL), so that it can say what no library says."""

    def __init__(self, port, kind):
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.socket.sendall(b"\xff" + b"\0" * 7 + b"\1\x7f\3\0" + b"NULL".ljust(20, b"\0") + b"\0" * 32)
        self.read(64)
        ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind
        self.socket.sendall(b"\x04" + bytes([len(ready)]) + ready)
        self.read(self.read(2)[1])

    def read(self, count):
        data = b""
        while len(data) < count:
            data += self.socket.recv(count - len(data)) or self.fail()
        return data

    def fail(self):
        raise AssertionError("the node closed the connection during the handshake")

    @staticmethod
    def frame(data, more=False):
        if len(data) < 256:
            return bytes([more, len(data)]) + data
        return bytes([2 | more]) + struct.pack(">Q", len(data)) + data

    def send(self, *parts):
        self.socket.sendall(b"".join(self.frame(part, i + 1 < len(parts)) for i, part in enumerate(parts)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


class Stranger:
    """A fake node: says Hello on the link port, listens on a link of its own."""

    def __init__(self, node):
        self.boot = random.randrange(1, 1 << 63)
        self.fabric_id, self.to = b"", 0
        self.inbound, self.outbound = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
        self.inbound.linger = self.outbound.linger = 0
        self.link = f"tcp://127.0.0.1:{fabric.free_ports(1)[0]}"
        self.inbound.bind(self.link)
        self.outbound.connect(node.link)

    def send(self, items, boot=None, to=None, number=0, fabric_id=None):
        frame = [2, self.fabric_id if fabric_id is None else fabric_id, boot or self.boot, self.to if to is None else to, number, [], items]
        self.outbound.send(msgpack.packb(frame, use_bin_type=True))

    def hello(self, name="stranger", boot=None, seen=None, link=None, number=0):
        self.send([[1, LINK_PROTOCOL, self.fabric_id, name, boot or self.boot, self.to if seen is None else seen, 0, "", "", "",
                    self.link if link is None else link, "", 1000]], boot, 0, number)

    def meet(self):
        """Until the node has heard us: then there is a session."""
        def met():
            self.hello()
            if not self.inbound.poll(200):
                return False
            frame = msgpack.unpackb(self.inbound.recv_multipart()[1], raw=True)
            if frame[6][0][0] == 1:
                self.fabric_id, self.to = frame[1], frame[2]
            return frame[6][0][0] == 1 and frame[6][0][5] == self.boot
        wait_until(met, 10, what="a session with a stranger")
        self.hello()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.inbound.close()
        self.outbound.close()


class Attack(unittest.TestCase):
    count, settings = 1, ()

    @classmethod
    def setUpClass(cls):
        cls.fabric = fabric.Fabric(cls.count, cls.settings).start()
        cls.nodes = cls.fabric.nodes
        cls.node = cls.nodes[0]
        cls.rounds = 0

    @classmethod
    def tearDownClass(cls):
        cls.fabric.__exit__(None)

    def everybody_goes_on(self):
        for node in self.nodes:
            self.assertIsNone(node.process.poll(), node.log()[-2000:])
            type(self).rounds += 1
            follower, author = f"good-f{self.rounds}", f"good-a{self.rounds}"
            with Req(node.client) as client:
                client.call("PING")
                self.assertEqual(client.call("FOLLOW", {"follower": follower, "author": author, "wait_ms": 5000})["state"], "active")
                id_ = client.call("PUBLISH", {"author": author}, b"x")["id"]
                entries = client.call("READ", {"entity": follower, "after": 0, "wait_ms": 5000})["entries"]
                self.assertEqual([entry["id"] for entry in entries], [id_])

    def status(self, section, name):
        with Req(self.node.client) as client:
            return client.call("STATUS")[section][name]

    def waiting_requests(self):
        with Req(self.node.client) as client:
            status = client.call("STATUS")
        return status["front"]["requests_in_flight"] + sum(part.get("waiting_requests", 0) for name, part in status.items()
                                                           if name.startswith("shard-"))


def anonymous_mib(node):
    with open(f"/proc/{node.process.pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) >> 10


def cpu_seconds(node):
    with open(f"/proc/{node.process.pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Clients(Attack):
    def test_frames_that_no_library_sends(self):
        with Zmtp(self.node.ports[0], b"DEALER") as raw, Zmtp(self.node.ports[0], b"DEALER") as huge, \
                Zmtp(self.node.ports[0], b"DEALER") as half:
            for parts in ([b""], [b"", b""], [b"a"] * 100, [b"a"] * 100 + [b"", b"PING"], [b"", b"PING", b"{}", b"", b"", b""],
                          [b""] * 2000):
                raw.send(*parts)
            raw.send(b"", b"PING", b"{}")
            raw.socket.settimeout(5)
            answer = b""
            while b'"node"' not in answer:
                answer += raw.socket.recv(1 << 16)
            huge.socket.sendall(b"\x02" + struct.pack(">Q", 1 << 62))
            half.socket.sendall(b"\x03" + struct.pack(">Q", 4 << 20) + b"x" * 1000)
            self.everybody_goes_on()
            self.assertEqual(huge.socket.recv(1), b"")  # cut off at once

    def test_thousands_of_connections_that_say_nothing_or_rubbish(self):
        for i in range(2000):
            with socket.create_connection(("127.0.0.1", self.node.ports[i % 4])) as raw:
                if i % 3 == 0:
                    raw.sendall(random.randbytes(100))
        silent = [socket.create_connection(("127.0.0.1", self.node.ports[i % 4])) for i in range(200)]
        self.everybody_goes_on()
        for raw in silent:
            raw.close()

    def test_long_polls_whose_clients_vanish_end(self):
        dealers = [Dealer(self.node.client) for _ in range(10)]
        for i in range(2000):
            dealers[i % 10].submit("READ", {"entity": f"poll-{i}", "after": 0, "wait_ms": 1500})
        wait_until(lambda: self.waiting_requests() >= 4000, 5)
        for dealer in dealers:
            dealer.close()
        self.everybody_goes_on()
        wait_until(lambda: self.waiting_requests() == 0, 10, what="no request waits")

    def test_a_client_that_never_reads_costs_bounded_memory(self):
        with Req(self.node.client) as client:
            for _ in range(20):
                client.call("PUBLISH", {"author": "large"}, b"z" * body_size)
        before = anonymous_mib(self.node)
        read = (b"", b"READ", msgpack.packb({"entity": "large", "timeline": "sent", "limit": 20}))
        with Zmtp(self.node.ports[0], b"DEALER") as deaf, Dealer(self.node.client) as good:
            peak = 0
            for i in range(10):
                for _ in range(12):  # 120 replies of 10 MB in all
                    deaf.send(*read)
                good.submit("READ", {"entity": "large", "timeline": "sent", "limit": 20})
                self.assertEqual(good.receive(10)[1], "OK")
                peak = max(peak, anonymous_mib(self.node))
            self.assertLess(peak - before, 700)
            self.everybody_goes_on()

    def test_one_key_from_many_clients_is_one_message(self):
        results = []

        def run(number):
            with Req(self.node.client) as client:
                for i in range(30):
                    status, result = client.ask("PUBLISH", {"author": "keyed", "key": f"k{i}"}, b"same" if i % 2 else b"%d" % number)
                    results.append((i, result["id"] if status == "OK" else result["code"]))
        threads = [threading.Thread(target=run, args=(number,)) for number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for i in range(30):
            given = {result for number, result in results if number == i}
            self.assertEqual(len(given - {"BAD_REQUEST"}), 1)
            self.assertEqual("BAD_REQUEST" in given, i % 2 == 0)
        with Req(self.node.client) as client:
            self.assertEqual(len(entries_of(client, "keyed", "sent")), 30)

    def test_a_flood_of_pushes_is_taken_or_counted(self):
        before = self.status("front", "ingest")
        with Push(self.node.ingest) as push:
            push.socket.sndhwm = 0
            for _ in range(20_000):
                push.socket.send_multipart([b"pushed", b"y" * 5000])
            self.everybody_goes_on()
            wait_until(lambda: self.status("front", "ingest") - before == 20_000 and not self.status("front", "ingest_waiting"), 20)


class Feeds(Attack):
    def setUp(self):
        wait_until(lambda: self.status("front", "feeds") == 0, 5, what="the end of all feeds")

    def test_nobody_ends_the_feed_of_another(self):
        with Req(self.node.client) as client, Sub(self.node.feed) as feed, Zmtp(self.node.ports[1], b"SUB") as hostile:
            client.call("FOLLOW", {"follower": "victim", "author": "va", "wait_ms": 5000})
            feed.subscribe("home", "victim")
            self.assertIsNotNone(feed.receive(5))
            for _ in range(3):
                hostile.send(b"\0home/victim\0")
            for topic in (b"\1", b"\1home/", b"\1home/victim", b"", b"\2x", b"\1" + random.randbytes(900)):
                hostile.send(topic)
            time.sleep(0.3)
            client.call("PUBLISH", {"author": "va"}, b"live")
            wait_until(lambda: (feed.receive(5) or [b""])[2] == b"live", 10, what="the live message")

    def test_a_topic_that_is_subscribed_twice_ends_with_its_connection(self):
        with Zmtp(self.node.ports[1], b"SUB") as twice:
            for _ in range(5):
                twice.send(b"\1home/twice\0")
            twice.send(*[b"\1home/several\0"] * 2)
            wait_until(lambda: self.status("front", "feeds") > 0, 5)
        wait_until(lambda: self.status("front", "feeds") == 0, 5, what="the end of the feed")

    def test_subscribers_come_and_go_and_the_last_one_counts(self):
        for _ in range(3):
            subs = [Sub(self.node.feed) for _ in range(10)]
            for sub in subs:
                sub.subscribe("sent", "busy")
            for sub in subs:
                self.assertIsNotNone(sub.receive(5))
            for sub in subs[1:]:
                sub.close()
            self.assertEqual(self.status("front", "feeds"), 1)
            with Req(self.node.client) as client:
                client.call("PUBLISH", {"author": "busy"}, b"last")
            wait_until(lambda: (subs[0].receive(5) or [b""])[2] == b"last", 10)
            subs[0].close()
            wait_until(lambda: self.status("front", "feeds") == 0, 5)


class Links(Attack):
    count = 2

    def test_a_letter_of_a_bucket_that_there_is_not(self):
        with Stranger(self.node) as stranger, Req(self.node.client) as client:
            stranger.meet()
            author = next(f"rooty-{i}" for i in range(100) if client.call("LOOKUP", {"entity": f"rooty-{i}"})["primary"] == "n1")
            bucket = client.call("LOOKUP", {"entity": author})["bucket"]
            client.call("PUBLISH", {"author": author}, b"x")
            join = b"\1\1" + bytes([len(author)]) + author.encode() + struct.pack(">Q", 7)
            for nobody in (4000, 65535):
                stranger.send([[8, nobody, bucket, (1 << 41) + 5, 0, 0, 0, join, None]])
            time.sleep(0.3)
            client.call("PUBLISH", {"author": author}, b"y")
            client.call("TREE", {"entity": author})
        self.everybody_goes_on()

    def test_a_tail_beyond_what_was_given_out_does_not_keep_the_node_busy(self):
        with Stranger(self.node) as stranger, Req(self.node.client) as client:
            stranger.meet()
            names = [f"tailed-{i}" for i in range(100)]
            follower, author = [name for name in names if client.call("LOOKUP", {"entity": name})["primary"] == "n1"][:2]
            client.call("FOLLOW", {"follower": follower, "author": author, "wait_ms": 5000})
            to, root = (client.call("LOOKUP", {"entity": name})["bucket"] for name in (follower, author))
            stranger.send([[10, root, to, author, (1 << 64) - 1]])
            time.sleep(0.3)
            before = cpu_seconds(self.node)
            time.sleep(1.5)
            self.assertLess(cpu_seconds(self.node) - before, 0.4)
            client.call("PUBLISH", {"author": author}, b"still")
            wait_until(lambda: client.call("READ", {"entity": follower})["entries"], 5)

    def test_our_own_hello_from_a_stranger_cuts_no_link(self):
        with Stranger(self.node) as stranger:
            stranger.meet()
            for number in range(10):
                stranger.hello(boot=stranger.to, seen=0, number=number)
            time.sleep(4)  # a session without its Hellos ends after 3 s
        self.everybody_goes_on()
        with Req(self.node.client) as client:
            self.assertEqual({row["state"] for row in client.call("MAP")["nodes"]}, {"up"})

    def test_mutated_items(self):
        """Every kind of item, with numbers at their edges: counted as damaged or taken for nothing."""
        edges = [0, 1, 255, 4095, 65535, 1 << 32, (1 << 41) + 1, 1 << 53, 1 << 63, (1 << 64) - 1]
        seed = random.randrange(1 << 32)
        rnd = random.Random(seed)
        name = "mutant"

        def number():
            return rnd.choice(edges)

        def text(name):
            return bytes([len(name)]) + name.encode()

        def u64():
            return struct.pack(">Q", number())

        def letter():
            who = [text(rnd.choice([name, "other"])) for _ in range(2)]
            return b"\1" + rnd.choice([
                lambda: b"\1" + who[0] + u64(), lambda: b"\2" + who[0] + u64(), lambda: b"\3" + who[0] + u64() + u64() + u64(),
                lambda: b"\5" + bytes([rnd.choice([3, 5, 6])]) + who[0] + bytes(8) + u64(), lambda: b"\5\4\0" + u64() + u64(),
                lambda: b"\6" + who[0] + who[1] + u64() + b"\5", lambda: b"\10" + who[0] + u64() + who[1],
                lambda: bytes([rnd.choice([9, 11, 12, 13])]) + who[0] + who[1], lambda: b"\12" + who[0] + who[1] + rnd.choice([b"\0", b"\1"]),
                lambda: random.randbytes(20)])()

        def ids():
            return b"".join(u64() for _ in range(rnd.randrange(5)))

        def stream_item():
            kind = rnd.choice([2, 3, 3, 4])
            return [number(), kind, number(), number() % (1 << 32), None, rnd.choice([0, 2, 40]) if kind == 3 else 0, number() if kind == 3 else 0]

        def item():
            return rnd.choice([
                lambda: [2, random.randbytes(40), rnd.choice([True, False])],
                lambda: [3, stranger.fabric_id, "n1"],
                lambda: [4, number(), [[number(), b"\xff\xff\0\0"]]],
                lambda: [5, number(), number(), number(), rnd.choice(["PUBLISH", "READ", "X.LEAF", "X.LEAVES", "FOLLOW", "PING", "MAP"]),
                         msgpack.packb({"entity": name, "limit": number()}), rnd.choice([None, b"x"])],
                lambda: [6, number(), rnd.choice([True, False]), number(), rnd.choice(["PUBLISH", "READ", "", "TREE"]), msgpack.packb([False, []])],
                lambda: [7, rnd.randrange(65536), name, stream_item(),
                         [rnd.randrange(3), b"\0\0\0\1\xff\xff", [[rnd.randrange(3), b"\0\2", []]]]],
                lambda: [8, rnd.randrange(256), rnd.randrange(256), number(), number(), number(), number(), letter(), None],
                lambda: [9, rnd.randrange(65536), rnd.randrange(65536), number(), number()],
                lambda: [10, rnd.randrange(65536), rnd.randrange(256), name, number()],
                lambda: [11, rnd.randrange(65536), rnd.randrange(256), name, number()],
                lambda: [12, rnd.randrange(65536), rnd.randrange(256), name, number(), number(), number(), number()],
                lambda: [13, rnd.randrange(65536), rnd.randrange(256), name, number(), number(), number(), number(), number(), [stream_item() for _ in range(rnd.randrange(3))], number()],
                lambda: [14, rnd.randrange(65536), rnd.randrange(256), name, number(), number(), ids()],
                lambda: [15, rnd.randrange(65536), rnd.randrange(256), name, number(), number(), ids(), ids()],
            ])()
        with Stranger(self.node) as stranger, Req(self.node.client) as client:
            stranger.meet()
            client.call("FOLLOW", {"follower": name, "author": name, "wait_ms": 5000})
            client.call("PUBLISH", {"author": name}, b"x")
            for i in range(2000):
                stranger.send([item() for _ in range(rnd.randrange(1, 4))], number=i)
                if i % 200 == 0:
                    stranger.hello()
            try:
                self.everybody_goes_on()
            except (AssertionError, NoAnswer) as error:
                self.fail(f"seed {seed}: {error}")


class Stops(unittest.TestCase):
    def test_sigterm_under_load_loses_nothing_acknowledged(self):
        acknowledged, end = [], threading.Event()
        with fabric.Fabric() as one:
            node = one.nodes[0]

            def run(number):
                with Dealer(node.client) as dealer:
                    open_ = {}
                    while not end.is_set() or open_:
                        while len(open_) < 16 and not end.is_set():
                            body = b"%d-%d" % (number, dealer.last)
                            open_[dealer.submit("PUBLISH", {"author": f"a{number}"}, body)] = body
                        answer = dealer.receive(1)
                        if answer is None:
                            return
                        body = open_.pop(answer[0])
                        if answer[1] == "OK":
                            acknowledged.append((answer[2]["id"], body))
            threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
            for thread in threads:
                thread.start()
            time.sleep(1)
            node.process.send_signal(signal.SIGHUP)
            time.sleep(0.5)
            node.stop()
            end.set()
            for thread in threads:
                thread.join()
            self.assertGreater(len(acknowledged), 100)
            node.start()
            with Dealer(node.client) as dealer:
                for i, status, result in dealer.run([("GET", {"id": id_}) for id_, _ in acknowledged], 64):
                    self.assertEqual((status, result.get("body")), ("OK", acknowledged[i][1]))


if __name__ == "__main__":
    unittest.main()
