"""Real canopyd processes on loopback, one or several, for a test. Which programs: CANOPYD, CANOPY and
CANOPYD_PLANTED in the environment, by default those of build/check and build/sanitize."""
import ctypes
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from client import Failed, NoAnswer, Req, wait_until

here = os.path.dirname(os.path.abspath(__file__))
root = os.path.dirname(os.path.dirname(here))
canopyd = os.environ.get("CANOPYD", os.path.join(root, "build/check/src/daemon/canopyd"))
canopy = os.environ.get("CANOPY", os.path.join(root, "build/check/tools/canopy/canopy"))
canopyd_planted = os.environ.get("CANOPYD_PLANTED", os.path.join(root, "build/sanitize/src/daemon/canopyd"))

sanitizer_words = re.compile(r"Sanitizer|runtime error:|Assertion|ASSERT")
libc = ctypes.CDLL(None)
taken_ports = set()


def die_with_parent():
    libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: a test that is killed leaves no node behind


def free_ports(count):
    """Below the ephemeral range: there a connect to a port that nobody has yet could meet itself."""
    ports = []
    while len(ports) < count:
        port = random.randrange(20000, 32000)
        if port in taken_ports:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        taken_ports.add(port)
        ports.append(port)
    return ports


def temporary_directory():
    return tempfile.mkdtemp(prefix="canopy-test-")


class Node:
    def __init__(self, name, directory, ports, settings=(), program=None, environment=None):
        self.name, self.directory, self.ports = name, directory, ports
        self.data_dir = os.path.join(directory, name)
        self.log_file = os.path.join(directory, name + ".log")
        self.client, self.feed, self.ingest, self.link = (f"tcp://127.0.0.1:{port}" for port in ports)
        self.settings = [f"node.name={name}", f"node.data_dir={self.data_dir}", f"listen.client={self.client}",
                         f"listen.feed={self.feed}", f"listen.ingest={self.ingest}", f"listen.link={self.link}",
                         *settings]
        self.program = program or canopyd
        self.environment = environment or {}
        self.process = None

    def command(self):
        command = [self.program]
        for setting in self.settings:
            command += ["--set", setting]
        return command

    def start(self, wait=True):
        assert self.process is None
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**os.environ, **self.environment}, preexec_fn=die_with_parent)
        if wait:
            self.wait_ready()
        return self

    def log(self):
        with open(self.log_file, errors="replace") as log:
            return log.read()

    def ping(self, timeout=0.3):
        with Req(self.client, timeout) as client:
            try:
                return client.call("PING")
            except (NoAnswer, Failed):
                return None

    def wait_ready(self, timeout=30.0):
        end = time.monotonic() + timeout
        while not self.ping():
            status = self.process.poll()
            assert status is None, f"{self.name} ended with {status}:\n{self.log()}"
            assert time.monotonic() < end, f"{self.name} is not ready after {timeout} s:\n{self.log()}"
            time.sleep(0.02)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self, timeout=30.0):
        """SIGTERM; the exit status must be 0."""
        process, self.process = self.process, None
        process.terminate()
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{self.name} did not stop within {timeout} s of SIGTERM:\n{self.log()[-2000:]}")
        assert status == 0, f"{self.name} ended with {status} after SIGTERM:\n{self.log()[-4000:]}"

    def check_log(self):
        found = sanitizer_words.search(self.log())
        assert not found, f"{self.name} said:\n{self.log()[-8000:]}"


class Fabric:
    """`with Fabric(3, ["tree.fanout=4"]) as fabric:`; ends every node and removes everything at the end."""

    def __init__(self, count=1, settings=(), program=None, environment=None):
        self.directory = temporary_directory()
        ports = free_ports(4 * count)
        links = [f"tcp://127.0.0.1:{ports[4 * i + 3]}" for i in range(count)]
        together = []
        if count > 1:
            seeds = ",".join(f'"{link}"' for link in links)
            together = [f"fabric.seeds=[{seeds}]", f"fabric.bootstrap_expect={count}"]
        self.nodes = [Node(f"n{i + 1}", self.directory, ports[4 * i:4 * i + 4], [*together, *settings], program, environment)
                      for i in range(count)]

    def start(self):
        for node in self.nodes:
            node.start(wait=False)
        for node in self.nodes:
            node.wait_ready()
        if len(self.nodes) > 1:
            self.wait_linked()
        return self

    def wait_linked(self, timeout=30.0):
        """Until each node sees each other one."""
        def linked():
            for node in self.nodes:
                with Req(node.client) as client:
                    if any(row["state"] != "up" for row in client.call("MAP")["nodes"]):
                        return False
            return True
        wait_until(linked, timeout, what="links between all nodes")

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.end()
            raise

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                for node in self.nodes:
                    if node.process:
                        node.stop()
                for node in self.nodes:
                    node.check_log()
            else:
                for node in self.nodes:
                    print(f"---- the last of {node.name}:\n{node.log()[-1500:]}")
        finally:
            self.end()

    def end(self):
        for node in self.nodes:
            if node.process:
                node.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
