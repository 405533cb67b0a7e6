#!/usr/bin/python3
"""Reads the #include lines of src/ and names each that breaks the dependency table of src/README.md."""
import os
import re
import sys

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# What a folder may include beside itself: what it names, and what those may include.
may = {
    "base": [],
    "wire": ["base"],
    "map": ["base"],
    "store": ["base"],
    "reflector": ["wire", "store", "base"],
    "leaf": ["wire", "store", "base"],
    "bucket": ["reflector", "leaf", "map"],
    "shard": ["bucket"],
    "raft": ["base"],
    "control": ["map", "raft"],
    "node": ["shard", "control"],
    "link": ["wire"],
    "client": ["wire"],
    "daemon": ["node", "link"],
}
# Header -> where it may be included.
edges = {
    "zmq.hpp": lambda path: path.startswith("src/link/") or re.fullmatch(r"src/client/\w+\.cc", path),
    "zmq.h": lambda path: path.startswith("src/link/"),
    "lmdb.h": lambda path: path == "src/store/lmdb_backend.cc",
    "msgpack.hpp": lambda path: re.fullmatch(r"src/wire/\w+\.cc", path),
    "nlohmann/json.hpp": lambda path: re.fullmatch(r"src/wire/\w+\.cc", path),
}
# Pure folders: same input, same output. No clocks, threads, files or sockets.
pure = {"base", "wire", "map", "reflector", "leaf", "bucket", "shard", "raft", "control", "node"}
impure_headers = {"thread", "mutex", "shared_mutex", "condition_variable", "future", "atomic", "fstream", "filesystem",
                  "iostream", "unistd.h", "fcntl.h", "sys/socket.h", "sys/stat.h", "poll.h", "ctime", "time.h"}


def allowed(folder):
    found, todo = {folder}, list(may[folder])
    while todo:
        other = todo.pop()
        if other not in found:
            found.add(other)
            todo += may[other]
    return found


def faults(path, text):
    folder = path.split("/")[1]
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
        if not match:
            continue
        quote, header = match.groups()
        first = header.split("/")[0]
        place = f"{path}:{number}: {line.strip()}"
        if quote == '"' and "/" in header and first in may and first not in allowed(folder):
            yield f"{place}: {folder}/ may include only {', '.join(sorted(allowed(folder)))}"
        if quote == '"' and first in ("tests", "tools"):
            yield f"{place}: src/ includes nothing from {first}/"
        if first == "canopy" and folder not in ("client", "link"):
            yield f"{place}: include/canopy is for clients"
        name = header if header in edges else first if first == "msgpack" else None
        if name == "msgpack":
            name = "msgpack.hpp"
        if name and not edges[name](path):
            yield f"{place}: {name} does not belong here"
        if quote == "<" and folder in pure and header in impure_headers:
            yield f"{place}: {folder}/ is pure, without clocks, threads, files and sockets"


def main():
    count, found = 0, []
    for top, includes_of in (("src", True), ("include", False)):
        for directory, _, files in os.walk(os.path.join(root, top)):
            for name in sorted(files):
                if not name.endswith((".h", ".cc")):
                    continue
                path = os.path.relpath(os.path.join(directory, name), root)
                with open(os.path.join(root, path), encoding="utf-8") as file:
                    text = file.read()
                count += 1
                if not includes_of:
                    for number, line in enumerate(text.splitlines(), 1):
                        match = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
                        if match and not match.group(1).startswith("canopy/"):
                            found.append(f"{path}:{number}: {line.strip()}: include/ never includes src/")
                    continue
                folder = path.split("/")[1]
                if folder not in may:
                    found.append(f"{path}: the folder {folder}/ is not in the table")
                    continue
                found += faults(path, text)
    for fault in found:
        print(fault)
    print(f"{count} files, {len(found)} includes that break the table")
    sys.exit(1 if found or count == 0 else 0)


main()
