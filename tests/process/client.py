"""A client written against include/canopy/PROTOCOL.md with pyzmq; shares no code with the project."""
import json
import time

import msgpack
import zmq

context = zmq.Context.instance()
JSON, MSGPACK = "json", "msgpack"


def pack(args, encoding):
    if args is None:
        return b""
    if isinstance(args, bytes):
        return args
    return json.dumps(args).encode() if encoding == JSON else msgpack.packb(args)


def unpack(data):
    if not data:
        return None
    if data[:1] == b"{":
        return json.loads(data.decode())  # strict: what is not UTF-8 is a failure
    return msgpack.unpackb(data, raw=False, strict_map_key=True)


def frames(verb, args=None, body=None, encoding=JSON):
    out = [verb.encode() if isinstance(verb, str) else verb]
    if args is not None or body is not None:
        out.append(pack(args, encoding))
    if body is not None:
        out.append(body)
    return out


class Failed(Exception):
    """ERR: `code`, `message`."""

    def __init__(self, verb, result):
        super().__init__(f"{verb}: {result}")
        self.code = result.get("code")
        self.message = result.get("message", "")
        self.result = result


class NoAnswer(Exception):
    pass


class Socket:
    kind = None

    def __init__(self, endpoint, timeout=15.0):
        self.endpoint, self.timeout = endpoint, timeout
        self.socket = context.socket(self.kind)
        self.socket.linger = 0
        self.socket.reconnect_ivl = 50
        self.socket.reconnect_ivl_max = 200
        self.socket.connect(endpoint)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Req(Socket):
    """One request at a time on a REQ socket."""
    kind = zmq.REQ

    def raw(self, parts, timeout=None):
        self.socket.send_multipart(parts)
        if not self.socket.poll((timeout or self.timeout) * 1000):
            raise NoAnswer(f"{parts[0]!r} at {self.endpoint}")
        reply = self.socket.recv_multipart()
        assert 2 <= len(reply) and reply[0] in (b"OK", b"ERR"), reply
        return reply

    def ask(self, verb, args=None, body=None, encoding=JSON, timeout=None):
        """Returns (status, result)."""
        reply = self.raw(frames(verb, args, body, encoding), timeout)
        return reply[0].decode(), unpack(reply[1])

    def call(self, verb, args=None, body=None, encoding=JSON, timeout=None):
        """Returns the result, or raises Failed."""
        status, result = self.ask(verb, args, body, encoding, timeout)
        if status != "OK":
            raise Failed(verb, result)
        return result


class Dealer(Socket):
    """Many requests in flight, matched by a frame of our own before the empty one."""
    kind = zmq.DEALER

    def __init__(self, endpoint, timeout=30.0):
        super().__init__(endpoint, timeout)
        self.socket.sndhwm = self.socket.rcvhwm = 0
        self.last = 0

    def submit(self, verb, args=None, body=None, encoding=MSGPACK):
        self.last += 1
        self.socket.send_multipart([b"%d" % self.last, b""] + frames(verb, args, body, encoding))
        return self.last

    def receive(self, timeout=None):
        """Returns (number, status, result), or None after the time."""
        wait = self.timeout if timeout is None else timeout
        if not self.socket.poll(wait * 1000):
            return None
        parts = self.socket.recv_multipart()
        assert parts[1] == b"" and len(parts) >= 4, parts
        return int(parts[0]), parts[2].decode(), unpack(parts[3])

    def run(self, requests, in_flight=32):
        """Yields (index, status, result) for each of (verb, args[, body]), as they come."""
        waiting, todo = {}, enumerate(requests)
        while True:
            while len(waiting) < in_flight:
                following = next(todo, None)
                if following is None:
                    break
                index, request = following
                waiting[self.submit(*request)] = index
            if not waiting:
                return
            answer = self.receive()
            if answer is None:
                raise NoAnswer(f"{len(waiting)} requests at {self.endpoint}")
            number, status, result = answer
            if number in waiting:
                yield waiting.pop(number), status, result


class Push(Socket):
    kind = zmq.PUSH

    def publish(self, author, body, args=None, encoding=JSON):
        parts = [author.encode()] + ([pack(args, encoding)] if args is not None else []) + [body]
        self.socket.send_multipart(parts)


class Sub(Socket):
    kind = zmq.SUB

    def subscribe(self, timeline, entity):
        self.socket.subscribe(f"{timeline}/{entity}\0".encode())

    def receive(self, timeout=None):
        """Returns (topic, head, body), or None after the time."""
        if not self.socket.poll((self.timeout if timeout is None else timeout) * 1000):
            return None
        topic, head, body = self.socket.recv_multipart()
        return topic, msgpack.unpackb(head, raw=False), body


def entries_of(client, entity, timeline="home", page=1000, encoding=MSGPACK):
    """The whole timeline, oldest first, read upwards page by page."""
    entries, after = [], 0
    while True:
        result = client.call("READ", {"entity": entity, "timeline": timeline, "after": after, "limit": page}, encoding=encoding)
        entries += result["entries"]
        if len(result["entries"]) < page:
            return entries
        after = result["next"]


def wait_until(condition, timeout=30.0, every=0.05, what="it"):
    """Polls until the condition gives something true, which it returns."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {timeout} s")
        time.sleep(every)
