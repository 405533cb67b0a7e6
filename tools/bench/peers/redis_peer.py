"""Redis as Twitter used it: SET of the body, then LPUSH and LTRIM of its number to each follower's list. The raw protocol,
from byte strings made before, always some messages ahead of the answers: the server is what limits, not this load."""
import selectors
import time

import graph
from result import result
from server import Directory, Failed, Server, Usage, free_ports, own_cpu

package, program = "redis-server", "redis-server"
first_id = 1_000_000_000_000_000   # of 16 digits always, as a snowflake id has 18 or 19
placeholder = b"@" * 16


def command(*words):
    words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


class Instance:
    """One connection. Answers are lines, one to a command: nothing that is sent has another."""

    def __init__(self, connection):
        self.connection = connection
        self.connection.setblocking(True)
        self.queue, self.at, self.owed, self.ends = [], 0, 0, []

    def ask(self, *words):
        self.connection.sendall(command(*words))
        return self.connection.recv(1 << 16)

    def add(self, data, answers):
        self.queue.append(memoryview(data))
        self.owed += answers

    def write(self):
        while self.queue:
            try:
                self.at += self.connection.send(self.queue[0][self.at:self.at + (1 << 20)])
            except BlockingIOError:
                return
            if self.at == len(self.queue[0]):
                self.queue.pop(0)
                self.at = 0

    def read(self):
        try:
            data = self.connection.recv(1 << 20)
        except BlockingIOError:
            return
        if not data:
            raise Failed("Redis closed the connection")
        if data[:1] == b"-" or b"\n-" in data:
            raise Failed(f"Redis refused: {data[:200]}")
        self.owed -= data.count(b"\n")


def template(followers, trim):
    """The commands of one message to these followers, but for its number."""
    parts = []
    for user in followers:
        key = b"t:%d" % user
        parts.append(command("LPUSH", key, placeholder))
        if trim:
            parts.append(command("LTRIM", key, 0, trim - 1))
    return b"".join(parts), len(parts)


class Load:
    def __init__(self, instances, authors, body, trim):
        self.instances, self.body = instances, b"x" * body
        count = len(instances)
        # Users are spread over the instances; a body is where its readers are.
        self.templates = [[template([user for user in followers if user % count == i], trim) for i in range(count)]
                          for followers in authors]
        self.ahead = max(2, 4_000_000 // max(1, len(self.templates[0][0][0])))  # messages: some 4 MB
        self.number = 0

    def send_message(self):
        ident = b"%d" % (first_id + self.number)
        set_body = command("SET", b"m:" + ident, self.body)
        for instance, (commands, answers) in zip(self.instances, self.templates[self.number % len(self.templates)]):
            instance.add(set_body + commands.replace(placeholder, ident), answers + 1)
        self.number += 1

    def run(self, seconds, most):
        """Publishes for so long, at most so many; returns when everything is answered."""
        chooser = selectors.DefaultSelector()
        for instance in self.instances:
            instance.connection.setblocking(False)
            chooser.register(instance.connection, selectors.EVENT_READ, instance)
        end = time.monotonic() + seconds
        sent, answers_a_message = 0, max(1, sum(answers + 1 for _, answers in self.templates[0]))
        while True:
            more = sent < most and time.monotonic() < end
            owed = sum(instance.owed for instance in self.instances)
            while more and owed < self.ahead * answers_a_message and sent < most:
                self.send_message()
                sent += 1
                owed += answers_a_message
            if owed == 0:
                break
            for instance in self.instances:
                chooser.modify(instance.connection, selectors.EVENT_READ | (selectors.EVENT_WRITE if instance.queue else 0), instance)
            for key, events in chooser.select(1):
                if events & selectors.EVENT_WRITE:
                    key.data.write()
                if events & selectors.EVENT_READ:
                    key.data.read()
        for instance in self.instances:
            instance.connection.setblocking(True)
        return sent


def measure(options, fsync="everysec", trim=800, instances=1):
    """`options`: users, followers, follows, seconds, messages (0: as many as there is time for), body, directory."""
    authors = graph.uniform(options.users, options.followers, options.follows)
    servers, ports = [], free_ports(instances)
    with Directory(options.directory) as directory:
        try:
            for port in ports:
                # No rewriting of the log meanwhile: it would only slow Redis down.
                server = Server([program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", fsync,
                                 "--auto-aof-rewrite-percentage", "0", "--appenddirname", f"aof-{port}", "--dir", directory], directory)
                servers.append(server.__enter__())
            connections = [Instance(server.wait_port(port)) for server, port in zip(servers, ports)]
            return run(options, servers, connections, authors, trim)
        finally:
            for server in servers:
                server.__exit__()


def usage(servers):
    total = Usage()
    for server in servers:
        one = server.usage()
        total.cpu, total.written, total.rss = total.cpu + one.cpu, total.written + one.written, total.rss + one.rss
    return total


def run(options, servers, connections, authors, trim):
    load = Load(connections, authors, options.body, trim)
    load.run(3600, len(authors))  # a message of each author, so that every list is there
    before, cpu_before, begin = usage(servers), own_cpu(), time.monotonic()
    messages = load.run(options.seconds if not options.messages else 3600, options.messages or 1 << 60)
    seconds = time.monotonic() - begin
    after, client_cpu = usage(servers), own_cpu() - cpu_before
    check(connections, authors, load, trim)
    return result(messages * options.followers, messages, seconds, before, after, client_cpu, options.users * options.follows,
                  sum(min(trim or 1 << 60, count) for count in counts(authors, load, options.users)))


def counts(authors, load, users):
    """Entries of each user's list, were it never cut."""
    found = [0] * users
    for author, followers in enumerate(authors):
        messages = (load.number + len(authors) - 1 - author) // len(authors)
        for user in followers:
            found[user] += messages
    return found


def check(connections, authors, load, trim):
    """What was counted as delivered must be there."""
    wanted = counts(authors, load, sum(len(a) for a in authors))
    for user in authors[0][:100]:
        answer = connections[user % len(connections)].ask("LLEN", f"t:{user}")
        if answer != b":%d\r\n" % min(trim or 1 << 60, wanted[user]):
            raise Failed(f"Redis' list of {user} has {answer}, not {wanted[user]}")
