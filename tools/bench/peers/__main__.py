#!/usr/bin/python3
"""Canopy and its peers by turns, on this machine, in one run: deliveries a second, the ratio of each round, the median
and the spread.

  python3 tools/bench/peers                                    # all peers that can be had
  python3 tools/bench/peers --peers redis --followers 400
"""
import argparse
import json
import os
import platform
import statistics
import sys
import types

sys.dont_write_bytecode = True

import install
import mosquitto_peer
import nats_peer
import ours
import postgres_peer
import redis_peer
from server import Failed

root = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../.."))


class Peer:
    def __init__(self, name, what, module, **how):
        self.name, self.what, self.module, self.how = name, what, module, how

    def measure(self, options):
        return self.module.measure(options, **self.how)


# What Canopy is held against first; the others are its variants and other servers.
peers = [
    Peer("redis", "Redis, LPUSH+LTRIM, everysec", redis_peer),
    Peer("redis-always", "Redis, LPUSH+LTRIM, always", redis_peer, fsync="always"),
    Peer("redis-no-trim", "Redis, LPUSH only, everysec", redis_peer, trim=0),
    Peer("redis-two", "two Redises, LPUSH+LTRIM, everysec", redis_peer, instances=2),
    Peer("postgres", "PostgreSQL, INSERT … SELECT, fsync", postgres_peer),
    Peer("mosquitto", "mosquitto, offline QoS-1 sessions", mosquitto_peer),
    Peer("nats", "NATS JetStream, a subject each", nats_peer),
]


def arguments():
    names = [peer.name for peer in peers]
    parser = argparse.ArgumentParser(prog="peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=",".join(names), help="some of: " + ", ".join(names))
    parser.add_argument("--followers", default="400,100000", help="of a message; several: commas between")
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--follows", type=int, default=4, help="authors that each user follows")
    parser.add_argument("--body", type=int, default=200, help="bytes of a message")
    parser.add_argument("--seconds", type=float, default=5, help="of publishing, for each measurement")
    parser.add_argument("--messages", type=int, default=0, help="publish so many instead")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bench", default=os.path.join(root, "build/tools/bench/canopy-bench"), help="the program (build/tools/bench/canopy-bench)")
    parser.add_argument("--directory", default=os.environ.get("TMPDIR", "/tmp"), help="where the data of all goes")
    parser.add_argument("--no-ceilings", action="store_true", help="not what the machine can do at best")
    parser.add_argument("--json", help="write everything that was found to this file")
    given = parser.parse_args()
    given.chosen = [peer for peer in peers if peer.name in given.peers.split(",")]
    unknown = set(given.peers.split(",")) - set(names)
    if unknown:
        parser.error(f"--peers: no such peer: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    given.followers = [int(count) for count in given.followers.split(",")]
    if any(given.users % count for count in given.followers):
        parser.error("--followers: --users must be a multiple of each")
    return given


def told(text):
    print(text, file=sys.stderr, flush=True)


def attempt(name, measure):
    """Returns what was found; none, and says why, when it could not be measured."""
    for last in (False, True):  # a stall of the machine ends a measurement: once more
        try:
            found = measure()
            break
        except (Failed, OSError) as error:
            told(f"    {name}: {error}")
            if last or "left out" in str(error):
                return None
    told(f"    {name:36} {found['deliveries_per_s']:14,.0f} deliveries/s, server {found['server_cores']:.2f} cores, load {found['load_cores']:.2f}")
    return found


def rounds_of(given, followers):
    """Returns {name: [found or none, of each round]}, ours under "canopy"."""
    options = types.SimpleNamespace(**{**vars(given), "followers": followers})
    found = {"canopy": [], **{peer.name: [] for peer in given.chosen}}
    for number in range(given.rounds):
        told(f"{followers:,} followers a message, round {number + 1} of {given.rounds}")
        found["canopy"].append(attempt("Canopy", lambda: ours.measure(options)))
        for peer in given.chosen:
            found[peer.name].append(attempt(peer.what, lambda: peer.measure(options)))
    return found


def shown(value, width, places):
    return f"{'-':>{width}}" if value is None else f"{value:{width},.{places}f}"


def print_table(given, followers, found):
    print(f"\n{f'{followers:,} followers a message':38}{'deliveries/s':>14}{'per CPU-s':>12}{'server':>8}{'load':>6}{'disk B':>8}{'RAM B':>7}"
          "   Canopy / it: median (each round); per CPU-s")
    names = {"canopy": "Canopy, durable when acknowledged", **{peer.name: peer.what for peer in given.chosen}}
    for name, rounds in found.items():
        good = [one for one in rounds if one]
        if not good:
            print(f"{names[name]:38}{'not measured':>14}")
            continue

        def middle(key):
            values = [one[key] for one in good if one[key] is not None]
            return statistics.median(values) if values else None

        def ratios(key):
            return [mine[key] / its[key] for mine, its in zip(found["canopy"], rounds) if mine and its]

        versus = ""
        if name != "canopy" and ratios("deliveries_per_s"):
            by_clock, by_cpu = ratios("deliveries_per_s"), ratios("deliveries_per_cpu_s")
            versus = f"{statistics.median(by_clock):.2f} ({' '.join(f'{ratio:.2f}' for ratio in by_clock)}); {statistics.median(by_cpu):.2f}"
        print(f"{names[name]:38}{shown(middle('deliveries_per_s'), 14, 0)}{shown(middle('deliveries_per_cpu_s'), 12, 0)}{shown(middle('server_cores'), 8, 2)}"
              f"{shown(middle('load_cores'), 6, 2)}{shown(middle('written_per_delivery'), 8, 1)}{shown(middle('ram_per_entry'), 7, 1)}   {versus}")


def main():
    given = arguments()
    if not os.access(given.bench, os.X_OK):
        sys.exit(f"{given.bench} is not there: ninja -C build tools/bench/canopy-bench src/daemon/canopyd, or --bench FILE")
    for peer in list(given.chosen):
        try:
            peer.module.program = install.ensure(peer.module.package, os.path.basename(peer.module.program))
        except Failed as error:
            told(f"{peer.what}: left out: {error}")
            given.chosen.remove(peer)
    if not given.no_ceilings:
        print(ours.ceilings(given), flush=True)
    everything = {}
    for followers in given.followers:
        everything[followers] = rounds_of(given, followers)
        print_table(given, followers, everything[followers])
    if given.json:
        with open(given.json, "w") as file:
            json.dump({"command": sys.argv, "machine": {"cores": os.cpu_count(), "kernel": platform.release()}, "found": everything}, file, indent=1)


main()
