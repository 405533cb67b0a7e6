"""A peer's server: started from its program in a directory of its own, on loopback, never as a service of the system;
ended by its process id. And what the kernel counts of processes."""
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

libc = ctypes.CDLL(None)
ticks = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """The measurement is worth nothing; says why."""


def free_ports(count):
    """Below the ephemeral range: there a connect to a port that nobody has yet could meet itself."""
    ports = []
    while len(ports) < count:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return ports


def children(pid):
    """All processes below this one, itself included: a server may have several."""
    found = [pid]
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as file:
            for child in file.read().split():
                found += children(int(child))
    return found


class Usage:
    """CPU seconds, bytes sent towards the disk, resident bytes; of all processes of a server."""

    def __init__(self, pids=()):
        self.cpu = self.written = self.rss = 0
        for pid in pids:
            try:
                with open(f"/proc/{pid}/stat") as file:
                    fields = file.read().rpartition(")")[2].split()
                self.cpu += sum(map(int, fields[11:15])) / ticks  # its own, and of its children that have ended
                with open(f"/proc/{pid}/io") as file:
                    self.written += next(int(line.split()[1]) for line in file if line.startswith("write_bytes"))
                with open(f"/proc/{pid}/status") as file:
                    self.rss += next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS"))
            except (OSError, StopIteration):
                pass  # it has just ended


class Directory:
    """A temporary directory on the disk that is measured; gone at the end."""

    def __init__(self, parent, owner=None):
        self.path = tempfile.mkdtemp(prefix="canopy-peer-", dir=parent)
        if owner:
            shutil.chown(self.path, owner)

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


class Server:
    """`with Server(command, directory) as server:`"""

    def __init__(self, command, directory, user=None):
        self.command, self.directory, self.user = command, directory, user
        self.log = os.path.join(directory, "server.log")

    def __enter__(self):
        def die_with_parent():
            libc.prctl(1, signal.SIGKILL)

        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
                                            user=self.user, group=self.user, extra_groups=[] if self.user else None,
                                            preexec_fn=None if self.user else die_with_parent, start_new_session=True)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def wait_port(self, port, patience=30):
        end = time.monotonic() + patience
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port), timeout=300)
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    with open(self.log, errors="replace") as log:
                        raise Failed(f"{self.command[0]} is not there:\n{log.read()[-2000:]}") from None
                time.sleep(0.05)

    def usage(self):
        return Usage(children(self.process.pid))


def own_cpu():
    times = os.times()
    return times.user + times.system
