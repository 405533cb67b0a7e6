"""Crash images: what the data directory may hold when the machine stops at some moment of a recorded run
(crashrec.c). Certain is what was synced; of the rest a prefix, a random subset, or torn at 512 bytes."""
import os
import random
import struct

RECORD = struct.Struct("<c3xIqq")
PREFIX, SUBSET, TORN, NONE = "prefix", "subset", "torn", "none"
MODES = (PREFIX, SUBSET, TORN, NONE)


def mark(log, text):
    """Appends a mark: everything before it in the log happened before now."""
    data = text.encode()
    os.write(log, RECORD.pack(b"m", 0, 0, len(data)) + data)


def read_log(path):
    with open(path, "rb") as file:
        data = file.read()
    events, at = [], 0
    while at < len(data):
        op, path_length, offset, length = RECORD.unpack_from(data, at)
        at += RECORD.size
        name = data[at:at + path_length].decode()
        at += path_length
        op = op.decode()
        body = b""
        if op in "wdrm":
            body = data[at:at + length]
            at += length
        events.append((op, name, offset, body))
    return events


def put(content, offset, data):
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset:offset + len(data)] = data


class File:
    """What is certain, and what was done since the last sync."""

    def __init__(self):
        self.certain, self.pending = bytearray(), []

    def apply(self, content, change):
        offset, data = change
        if data is None:
            del content[offset:]
            content.extend(bytes(offset - len(content)))
        else:
            put(content, offset, data)

    def sync(self):
        for change in self.pending:
            self.apply(self.certain, change)
        self.pending = []

    def content(self, mode, rnd):
        content = bytearray(self.certain)
        pending = self.pending
        if mode == PREFIX:
            pending = pending[:rnd.randrange(len(pending) + 1)]
        elif mode == NONE:
            pending = []
        for offset, data in pending:
            if mode in (SUBSET, TORN) and rnd.random() < 0.5:
                continue
            if mode == TORN and data is not None and rnd.random() < 0.5:
                for begin in range(0, len(data), 512):
                    if rnd.random() < 0.5:
                        put(content, offset + begin, data[begin:begin + 512])
            else:
                self.apply(content, (offset, data))
        return content


class Disk:
    """The recorded directory at some moment. Names are in order, as on a journaling file system: of the
    changes of names since the last sync of a directory any prefix may have reached the disk."""

    def __init__(self):
        self.files = {}           # the running system's view: path -> File
        self.certain_names = {}   # path -> File, when the last directory was synced
        self.histories = []       # views after each change of names since then
        self.marks = []

    def under(self, path):
        return [name for name in self.files if name == path or name.startswith(path + "/")]

    def names_changed(self):
        self.histories.append(dict(self.files))

    def step(self, event):
        op, path, offset, data = event
        if op == "m":
            self.marks.append(data.decode())
        elif op in "wdt":
            if path not in self.files:
                self.files[path] = File()
                self.names_changed()
            file = self.files[path]
            file.pending.append((offset, None if op == "t" else data))
            if op == "d":  # durable by itself: what is pending may still come after it in the file
                file.apply(file.certain, (offset, data))
        elif op == "s":
            if path in self.files:
                self.files[path].sync()
                # ext4 and xfs: a synced new file has its name, too
                for view in [self.certain_names, *self.histories]:
                    if self.files[path] not in view.values():
                        view[path] = self.files[path]
            else:  # a directory
                self.certain_names, self.histories = dict(self.files), []
        elif op == "r":
            to = data.decode()
            moved = {to + name[len(path):]: self.files.pop(name) for name in self.under(path)}
            for name in self.under(to):
                del self.files[name]
            self.files.update(moved)
            self.names_changed()
        elif op == "u":
            if self.files.pop(path, None):
                self.names_changed()

    def write(self, directory, mode, rnd):
        names = rnd.choice([self.certain_names, *self.histories]) if self.histories else self.files
        for name, file in names.items():
            full = os.path.join(directory, name)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "wb") as out:
                out.write(file.content(mode, rnd))


def images(events, count, seed, base):
    """Yields (directory, mode, event number, marks so far); the caller removes the directory."""
    rnd = random.Random(seed)
    moments = sorted(rnd.randrange(1, len(events) + 1) for _ in range(count))
    # As many moments right behind a mark: there the most must be there.
    behind = [number + 1 for number, event in enumerate(events) if event[0] == "m"]
    if behind:
        moments = sorted(moments[::2] + [rnd.choice(behind) for _ in range(count - len(moments[::2]))])
    disk, at = Disk(), 0
    for index, moment in enumerate(moments):
        while at < moment:
            disk.step(events[at])
            at += 1
        directory = os.path.join(base, f"image-{index}")
        os.makedirs(directory)
        mode = MODES[rnd.randrange(len(MODES))]
        disk.write(directory, mode, rnd)
        yield directory, mode, moment, list(disk.marks)
