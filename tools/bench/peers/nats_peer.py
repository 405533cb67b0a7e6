"""NATS JetStream: a subject for each follower in one stream on the disk, at most 800 messages each; a publish with an
acknowledgement for each delivery. The raw protocol, from byte strings made before. It does not fsync before it answers."""
import json
import os
import time

import graph
from result import result
from server import Directory, Failed, Server, free_ports, own_cpu

package, program = "nats-server", "nats-server"
owed_max = 4000       # acknowledgements, as NATS' own clients have it
followers_at_once = 400
placeholder = b"@" * 16


class Connection:
    def __init__(self, connection):
        self.connection, self.rest = connection, b""
        self.connection.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB _INBOX.b 1\r\nPING\r\n')
        self.until(b"PONG\r\n")

    def until(self, wanted):
        data = b""
        while wanted not in data:
            data += self.some()
        return data

    def some(self):
        data = self.connection.recv(1 << 20)
        if not data:
            raise Failed("NATS closed the connection")
        if b"-ERR" in data or b'"error"' in data:
            raise Failed(f"NATS refused: {data[:300]}")
        if b"PING\r\n" in data:
            self.connection.sendall(b"PONG\r\n")
        return data

    def ask(self, subject, args):
        body = json.dumps(args).encode()
        self.connection.sendall(b"PUB %s _INBOX.b %d\r\n%s\r\n" % (subject.encode(), len(body), body))
        data = self.until(b"}")
        return json.loads(data[data.index(b"\r\n") + 2:].strip())

    def acknowledged(self):
        """Returns how many acknowledgements have come; waits for one at least."""
        count = 0
        while count == 0:
            data = self.rest + self.some()
            count = data.count(b"MSG _INBOX.b ")
            self.rest = data[-12:]  # one byte less than what is counted: it cannot be counted twice
        return count


def templates(authors):
    return [[b"".join(b"PUB t.%d _INBOX.b 16\r\n%s\r\n" % (user, placeholder) for user in followers[at:at + followers_at_once])
             for at in range(0, len(followers), followers_at_once)] for followers in authors]


class Load:
    def __init__(self, connection, authors, body):
        self.connection, self.body = connection, b"x" * body
        self.templates = templates(authors)
        self.number = self.owed = 0

    def send(self, data, answers):
        self.owed += answers
        while self.owed > owed_max:
            self.owed -= self.connection.acknowledged()
        self.connection.connection.sendall(data)

    def run(self, seconds, most):
        end, sent = time.monotonic() + seconds, 0
        while sent < most and time.monotonic() < end:
            ident = b"%016d" % self.number
            self.send(b"PUB b.%d _INBOX.b %d\r\n%s\r\n" % (self.number, len(self.body), self.body), 1)
            for chunk in self.templates[self.number % len(self.templates)]:
                self.send(chunk.replace(placeholder, ident), chunk.count(b"PUB "))
            self.number += 1
            sent += 1
        while self.owed > 0:
            self.owed -= self.connection.acknowledged()
        return sent


def measure(options):
    authors = graph.uniform(options.users, options.followers, options.follows)
    port, = free_ports(1)
    with Directory(options.directory) as directory:
        settings = os.path.join(directory, "nats.conf")
        with open(settings, "w") as file:
            file.write(f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{directory}/data", max_file_store: 50GB, max_memory_store: 1GB }}\n'
                       "max_pending: 256MB\n")
        with Server([program, "-c", settings], directory) as server:
            connection = Connection(server.wait_port(port))
            made = connection.ask("$JS.API.STREAM.CREATE.all", {"name": "all", "subjects": ["t.*", "b.*"], "storage": "file", "retention": "limits",
                                                                "discard": "old", "max_msgs_per_subject": 800, "num_replicas": 1})
            load = Load(connection, authors, options.body)
            load.run(3600, len(authors) if options.followers <= 1000 else 1)
            first = stored(connection)
            before, cpu_before, begin = server.usage(), own_cpu(), time.monotonic()
            messages = load.run(options.seconds if not options.messages else 3600, options.messages or 1 << 60)
            seconds = time.monotonic() - begin
            after, client_cpu = server.usage(), own_cpu() - cpu_before
            found = stored(connection) - first
            if found != messages * (options.followers + 1):
                raise Failed(f"NATS has stored {found} messages, not {messages * (options.followers + 1)}: {made.get('error', '')}")
    return result(messages * options.followers, messages, seconds, before, after, client_cpu)


def stored(connection):
    return connection.ask("$JS.API.STREAM.INFO.all", {})["state"]["last_seq"]
