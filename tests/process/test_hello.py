"""The five lines of Python of PROTOCOL.md, word for word, against canopyd started without arguments."""
import os
import shutil
import socket
import subprocess
import time
import unittest

import zmq

import fabric
from client import Req

ROUNDS = int(os.environ.get("CANOPY_HELLO_ROUNDS", "1000"))


def default_ports_free():
    for port in range(7700, 7704):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


class Hello(unittest.TestCase):
    def test_five_lines_print_hello_a_thousand_times_of_a_thousand(self):
        end = time.monotonic() + 60
        while not default_ports_free():
            if time.monotonic() > end:
                self.skipTest("ports 7700 to 7703 are in use by somebody else")
            time.sleep(1)
        directory = fabric.temporary_directory()
        log = open(os.path.join(directory, "log"), "wb")
        daemon = subprocess.Popen([fabric.canopyd], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  env={**os.environ, "XDG_STATE_HOME": directory}, preexec_fn=fabric.die_with_parent)
        try:
            self.greet_all()
            self.assertTrue(os.path.isdir(os.path.join(directory, "canopy")))
            daemon.terminate()
            self.assertEqual(daemon.wait(20), 0)
        finally:
            daemon.kill()
            daemon.wait()
            log.close()
            shutil.rmtree(directory)

    def greet_all(self):
        with Req("tcp://127.0.0.1:7700", 20) as client:  # queued until the daemon is there
            fabric.wait_until(lambda: client.ask("PING")[0] == "OK", 20)
        hellos = sum(self.greet(number) for number in range(ROUNDS))
        self.assertEqual(hellos, ROUNDS)

    def greet(self, number):
        bob, alice = b"bob-%d" % number, b"alice-%d" % number
        s = zmq.Context.instance().socket(zmq.REQ); s.connect("tcp://127.0.0.1:7700")
        s.linger, s.rcvtimeo = 0, 20000
        s.send_multipart([b"FOLLOW", b'{"follower": "%s", "author": "%s"}' % (bob, alice)]); followed = s.recv_multipart()
        s.send_multipart([b"PUBLISH", b'{"author": "%s"}' % alice, b"hello"]);               published = s.recv_multipart()
        s.send_multipart([b"READ", b'{"entity": "%s", "after": 0, "wait_ms": 1000}' % bob]); read = s.recv_multipart()
        s.close()
        self.assertEqual((followed[0], published[0], read[0]), (b"OK", b"OK", b"OK"))
        return read[1].count(b'"hello"') == 1


if __name__ == "__main__":
    unittest.main()
