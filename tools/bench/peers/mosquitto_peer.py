"""mosquitto: a topic, a persistent QoS-1 session for each follower, all offline: what is published waits in each. MQTT
3.1.1, raw, from one connection that is always some messages ahead of the answers."""
import os
import time

from result import result
from server import Directory, Failed, Server, free_ports, own_cpu

package, program = "mosquitto", "mosquitto"
sessions_max = 20_000  # more take minutes to connect, and hours to publish to
ahead = 100            # messages


def field(data):
    return len(data).to_bytes(2, "big") + data


def packet(kind, data):
    length, rest = b"", len(data)
    while True:
        length += bytes([rest % 128 | (128 if rest >= 128 else 0)])
        rest //= 128
        if rest == 0:
            return bytes([kind]) + length + data


def connect(name, clean):
    return packet(0x10, field(b"MQTT") + bytes([4, 2 if clean else 0, 0, 0]) + field(name))


class Packets:
    """Reads whole packets."""

    def __init__(self, connection):
        self.connection, self.data = connection, b""

    def more(self):
        data = self.connection.recv(1 << 16)
        if not data:
            raise Failed("mosquitto closed the connection")
        self.data += data

    def next(self):
        while True:
            length, shift, at = 0, 0, 1
            while at < len(self.data):
                length |= (self.data[at] & 127) << shift
                shift += 7
                at += 1
                if not self.data[at - 1] & 128:
                    if len(self.data) >= at + length:
                        found = self.data[0], self.data[at:at + length]
                        self.data = self.data[at + length:]
                        return found
                    break
            self.more()

    def expect(self, kind):
        found, data = self.next()
        if found & 0xf0 != kind:
            raise Failed(f"mosquitto answered with packet {found:#x} instead of {kind:#x}")
        return data


def subscribe(server, port, name):
    with server.wait_port(port) as connection:
        connection.sendall(connect(name, clean=False) + packet(0x82, b"\0\1" + field(b"topic") + b"\1"))
        packets = Packets(connection)
        packets.expect(0x20)
        packets.expect(0x90)
        connection.sendall(packet(0xe0, b""))


def publish(connection, packets, body, seconds, most):
    sent = answered = 0
    end = time.monotonic() + seconds
    while True:
        while sent < most and sent - answered < ahead and time.monotonic() < end:
            sent += 1
            connection.sendall(packet(0x32, field(b"topic") + (sent % 65535 + 1).to_bytes(2, "big") + body))
        if answered == sent:
            return sent
        packets.expect(0x40)
        answered += 1


def waiting(server, port, name):
    """Takes what waits in a session; returns how many messages."""
    count = 0
    with server.wait_port(port) as connection:
        connection.settimeout(2)
        connection.sendall(connect(name, clean=False))
        packets = Packets(connection)
        packets.expect(0x20)
        try:
            while True:
                data = packets.expect(0x30)
                topic_end = 2 + int.from_bytes(data[:2], "big")
                connection.sendall(packet(0x40, data[topic_end:topic_end + 2]))
                count += 1
        except TimeoutError:
            return count


def measure(options):
    if options.followers > sessions_max:
        raise Failed(f"left out: more than {sessions_max:,} sessions")
    port, = free_ports(1)
    with Directory(options.directory) as directory:
        settings = os.path.join(directory, "mosquitto.conf")
        with open(settings, "w") as file:
            file.write(f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\npersistence true\npersistence_location {directory}/\n"
                       "max_queued_messages 0\nmax_queued_bytes 0\nsys_interval 0\nlog_type error\n")
        with Server([program, "-c", settings], directory) as server:
            for number in range(options.followers):
                subscribe(server, port, b"u%d" % number)
            with server.wait_port(port) as connection:
                connection.sendall(connect(b"author", clean=True))
                packets = Packets(connection)
                packets.expect(0x20)
                before, cpu_before, begin = server.usage(), own_cpu(), time.monotonic()
                messages = publish(connection, packets, b"x" * options.body, options.seconds if not options.messages else 3600, options.messages or 1 << 60)
                seconds = time.monotonic() - begin
                after, client_cpu = server.usage(), own_cpu() - cpu_before
            found = waiting(server, port, b"u0")
            if found != messages:
                raise Failed(f"mosquitto's session has {found} messages, not {messages}")
    return result(messages * options.followers, messages, seconds, before, after, client_cpu, 0, messages * options.followers)
