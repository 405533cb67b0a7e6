"""64 clients at once post to one topic and mention one person, while nodes are killed and return: every acknowledged
post is in both lists, once, and none twice whose outcome nobody knows. The long form: CANOPY_STORM_POSTS=200000."""
import collections
import os
import random
import time
import unittest

import msgpack
import zmq

import fabric
from client import MSGPACK, Req, context, entries_of, wait_until

POSTS = int(os.environ.get("CANOPY_STORM_POSTS", "6000"))
CLIENTS, CAPACITY = 64, 800
TOPIC, PERSON, FAN = "#storm", "celebrity", "fan"
ANSWER_SECONDS, PATIENCE_SECONDS = 3.0, 120.0
WAITING = ("BUSY", "UNAVAILABLE", "TIMEOUT")


class Client:
    """One author on a REQ socket: a post at a time, with a key, again and at another node until it is acknowledged.
    One in four has no key and is sent once: when there is no answer, or none that says no, its outcome is unknown."""

    def __init__(self, number, posts, endpoints):
        self.author, self.todo = f"client-{number}", collections.deque(range(posts))
        self.endpoints, self.turn = endpoints, number
        self.acknowledged, self.unknown = {}, set()   # body -> id; bodies
        self.repeats = 0
        self.socket, self.deadline, self.again_at = None, None, 0.0

    def body(self):
        return f"{self.author}/{self.todo[0]}"

    def keyed(self):
        return self.todo[0] % 4 != 3

    def connect(self, poller):
        if self.socket:
            poller.unregister(self.socket)
            self.socket.close()
        self.socket = context.socket(zmq.REQ)
        self.socket.linger, self.socket.reconnect_ivl, self.socket.reconnect_ivl_max = 0, 50, 200
        self.socket.connect(self.endpoints[self.turn % len(self.endpoints)])
        poller.register(self.socket, zmq.POLLIN)

    def post(self, now):
        args = {"author": self.author, "topics": [TOPIC], "mentions": [PERSON], "body": self.body()}
        if self.keyed():
            args["key"] = str(self.todo[0])
        self.socket.send_multipart([b"PUBLISH", msgpack.packb(args)])
        self.deadline = now + ANSWER_SECONDS

    def receive(self, now):
        status, result = self.socket.recv_multipart()
        self.deadline, result = None, msgpack.unpackb(result)
        if status == b"OK":
            self.acknowledged[self.body()] = result["id"]
            self.todo.popleft()
        elif result["code"] not in WAITING:
            raise AssertionError(f"{self.body()}: {result}")
        else:
            self.not_done(now, result["code"] == "BUSY")

    def not_done(self, now, certain=False):
        """Without a key only a refusal that changed nothing may be repeated."""
        if self.keyed() or certain:
            self.repeats += 1
            self.again_at = now + 0.1
        else:
            self.unknown.add(self.body())
            self.todo.popleft()

    def on_time(self, now, poller):
        if self.deadline and now > self.deadline:
            self.deadline, self.turn = None, self.turn + 1
            self.not_done(now)
            self.connect(poller)
        if self.todo and not self.deadline and now >= self.again_at:
            self.post(now)


class TopicStorm(unittest.TestCase):
    def test_every_post_to_one_topic_is_there_once(self):
        settings = ["retention.topic=", "retention.mentions=", f"timeline.capacity={CAPACITY}"]
        with fabric.Fabric(3, settings) as self.three:
            owner = {}
            with Req(self.three.nodes[0].client) as client:
                self.assertEqual(client.call("FOLLOW", {"follower": FAN, "author": TOPIC, "wait_ms": 5000}), {"state": "active"})
                for name in (TOPIC, PERSON):
                    place = client.call("LOOKUP", {"entity": name})["primary"]
                    owner[name] = next(node for node in self.three.nodes if node.name == place)
            other = next(node for node in self.three.nodes if node not in owner.values())
            # Who is killed when so much is acknowledged, and how long he is away.
            kills = collections.deque([(0.15, owner[TOPIC], 1.0), (0.4, other, 0.5), (0.65, owner[PERSON], 1.0)])
            clients = [Client(i, POSTS // CLIENTS + (i < POSTS % CLIENTS), [node.client for node in self.three.nodes]) for i in range(CLIENTS)]
            self.storm(clients, kills)
            self.check(clients)

    def storm(self, clients, kills):
        poller, returns = zmq.Poller(), []
        for client in clients:
            client.connect(poller)
        begun = news = time.monotonic()
        done = 0
        try:
            while any(client.todo for client in clients):
                now = time.monotonic()
                for client in clients:
                    client.on_time(now, poller)
                by_socket = {client.socket: client for client in clients}
                for socket, _ in poller.poll(20):
                    by_socket[socket].receive(now)
                acknowledged = sum(len(client.acknowledged) for client in clients)
                news = now if acknowledged > done else news
                done = acknowledged
                self.assertLess(now - news, PATIENCE_SECONDS, f"nothing is acknowledged after {done}")
                if kills and done >= kills[0][0] * POSTS and not returns:
                    _, node, away = kills.popleft()
                    node.kill()
                    returns.append((now + away, node))
                if returns and now >= returns[0][0]:
                    returns.pop()[1].start(wait=False)
        finally:
            for client in clients:
                client.socket.close()
        for _, node in returns:
            node.start(wait=False)
        for node in self.three.nodes:
            node.wait_ready()
        self.assertEqual(len(kills), 0)
        self.began, self.ended = begun, time.monotonic()

    def check(self, clients):
        acknowledged = {body: id_ for client in clients for body, id_ in client.acknowledged.items()}
        unknown = {body for client in clients for body in client.unknown}
        self.assertEqual(len(acknowledged) + len(unknown), POSTS)
        self.assertEqual(len(set(acknowledged.values())), len(acknowledged))
        last = {next(reversed(client.acknowledged)) for client in clients}   # each client's letters come in its order
        with Req(self.three.nodes[1].client, timeout=30) as reader:
            for timeline, entity in (("topic", TOPIC), ("mentions", PERSON)):
                found, after, known = [], 0, set(last)

                def whole():
                    nonlocal after
                    while True:
                        page = reader.call("READ", {"entity": entity, "timeline": timeline, "after": after, "limit": 1000}, encoding=MSGPACK)
                        found.extend((entry["body"].decode(), entry["id"], entry["position"]) for entry in page["entries"])
                        known.difference_update(body for body, _, _ in found[len(found) - len(page["entries"]):])
                        after = page["next"] or after
                        if len(page["entries"]) < 1000:
                            return not known
                wait_until(whole, 60, every=0.2, what=f"the last of each client in {timeline}")
                arrived = time.monotonic()
                bodies = collections.Counter(body for body, _, _ in found)
                self.assertEqual([body for body, count in bodies.items() if count > 1], [], f"twice in {timeline}")
                ids = {body: id_ for body, id_, _ in found}
                self.assertEqual({body: ids.get(body) for body in acknowledged if ids.get(body) != acknowledged[body]}, {}, f"missing in {timeline}")
                self.assertLessEqual(set(ids) - set(acknowledged), unknown, f"strangers in {timeline}")
                positions = [position for _, _, position in found]
                self.assertEqual(positions, sorted(set(positions)))
                newest = {}
                for body, _, _ in found:   # of each client in its order
                    author, number = body.rsplit("/", 1)
                    self.assertLess(newest.get(author, -1), int(number), body)
                    newest[author] = int(number)
                print(f"{timeline}: {len(found):,} entries, whole {arrived - self.ended:.1f} s after the last answer; "
                      f"{len(set(ids) & unknown)} of {len(unknown)} posts without an answer are there")
                if timeline == "topic":
                    newest_ids = [id_ for _, id_, _ in found[-CAPACITY:]]
            # The fan's home is the topic's stream, in the topic's order.
            home = lambda: [entry["id"] for entry in entries_of(reader, FAN)]
            wait_until(lambda: home()[-1:] == newest_ids[-1:], 30, what="the newest in the fan's home")
            self.assertEqual(home(), newest_ids)
        seconds = self.ended - self.began
        print(f"{len(acknowledged):,} acknowledged posts of {len(clients)} clients in {seconds:.1f} s, {len(acknowledged) / seconds:,.0f} a second, "
              f"{sum(client.repeats for client in clients)} repeats, three kills")


if __name__ == "__main__":
    unittest.main()
