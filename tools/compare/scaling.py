#!/usr/bin/env python3
"""Counts what the real server spends on a delivery with one shard and with two, where there are too few cores to time it.

    tools/compare/scaling.py                    about three minutes
    tools/compare/scaling.py --only group --seconds 20 --rounds 3

The server runs under callgrind, which counts the instructions of all its threads and runs one of them at a time, so two shards need no second core. While
campanile-load plays, it is stopped two times, --seconds apart, until the server has done all that it was asked for. What callgrind and the server's own
counters (/metrics) say then belongs together, and the difference of the two is the load's alone: start, logins, joins and the end are not in it, reading
the counters is (less than two million instructions). The kernel's work is not counted.

With one thread at a time turns are longer than on cores of their own, so more is done in each, and bells are rarer than they would be; what is said
between shards does not depend on that, but on which shard a user and a conversation are at home, which each run draws anew. `cargo bench --bench scaling`
counts bells, and goes on to 64 shards.

It needs valgrind, a C compiler and a release build (cargo build --release --workspace). The exit status is 2 where these are missing.
"""

import argparse
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from instructions import instructions, need_valgrind
from processes import Server, Unavailable, answers, free_port, must
from repository import IN_MEMORY, ROOT, built

# Much is outstanding, so that no shard waits long for the client. Peers are random, because pairs at home on one shard would be through sooner and speak
# more often than others. Strangers are so many that nearly every message is the first one between two of them.
LOADS = {
    "direct": ("direct", "--connections", 40, "--window", 40, "--peers", "random"),
    "strangers": ("direct", "--connections", 1000, "--window", 2, "--peers", "random"),
    "group": ("group", "--members", 200, "--window", 4),
    "group-64": ("group", "--members", 200, "--window", 64),
}
COUNTERS = ("deliveries", "messages_in", "lane_messages", "doorbells_rung", "turns")
COUNTED = ("instructions", "lane_messages", "doorbells_rung")
# The client plays on for so long after it was stopped for the second time, lest it has ended by then.
SPARE_S = 5
# To log in and join; to end; and for the server to do what is outstanding.
BEGIN_S, END_S, QUIET_S = 180, 180, 180
LOOK_S = 0.1


def main(arguments=None):
    options = read_options(arguments)
    base = Path(tempfile.mkdtemp(prefix="scaling-"))
    try:
        need_valgrind()
        for name in ("campanile", "campanile-load"):
            built(options.build, name)
        shim = base / "uring_poll.so"
        must(["cc", "-O2", "-shared", "-fPIC", "-o", str(shim), str(Path(__file__).with_name("uring_poll.c")), "-ldl"])
        rows = [row(options, shim, base, name, shards) for name in options.only or LOADS for shards in (1, 2)]
    except Unavailable as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(base, ignore_errors=True)
    print(table(rows))
    return 0


def read_options(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=LOADS, action="append", help="this load; may be given several times")
    parser.add_argument("--seconds", type=float, default=10, help="that are counted")
    parser.add_argument("--rounds", type=int, default=1, help="medians of so many")
    parser.add_argument("--payload", type=int, default=128, help="bytes of a body")
    parser.add_argument("--build", type=Path, default=ROOT / "target" / "release", help="where the programs of this repository are")
    return parser.parse_args(arguments)


def row(options, shim, base, name, shards):
    """What a delivery costs with so many shards, in the median of the rounds."""
    rounds = []
    for _ in range(options.rounds):
        found = count(options, shim, Path(tempfile.mkdtemp(dir=base)), LOADS[name], shards)
        rounds.append(each_delivery(found))
        print(f"{name}, {shards} shards: {rounds[-1]['instructions']:,.0f} instructions for each of {found['deliveries']:,} deliveries", flush=True)
    return {"load": name, "shards": shards} | {key: statistics.median(one[key] for one in rounds) for key in COUNTED}


def each_delivery(found):
    """What was counted, for each delivery."""
    if found["deliveries"] <= 0:
        raise Unavailable("nothing was delivered in that time; try more --seconds")
    return {key: found[key] / found["deliveries"] for key in COUNTED}


def count(options, shim, directory, load, shards):
    """Instructions of the server, and what its counters grew by, between two moments of a load."""
    port, ops = free_port(), free_port()
    server = [
        "valgrind", "--tool=callgrind", "--fair-sched=yes", f"--callgrind-out-file={directory / 'profile'}", options.build / "campanile",
        "--shards", shards, "--cpus", ",".join(["0"] * shards), "--tcp", f"127.0.0.1:{port}", "--ws", "", "--ops", f"127.0.0.1:{ops}",
        "--data-dir", directory / "data", "--publish-rate-per-user", 0, *IN_MEMORY,
    ]
    client = [
        options.build / "campanile-load", *load, "--target", f"tcp://127.0.0.1:{port}", "--payload", options.payload,
        "--seconds", options.seconds + SPARE_S, "--warmup", 0, "--cpus", max(os.sched_getaffinity(0)), "--drain", QUIET_S,
    ]
    with Server([str(part) for part in server], directory, lambda _: answers(port), {"LD_PRELOAD": str(shim)}) as pid:
        with Client([str(part) for part in client], directory / "load.log") as playing:
            playing.wait_until(lambda: counters(ops)["messages_in"] > 0)
            first = counters_at_rest(playing, pid, ops)
            time.sleep(options.seconds)
            last = counters_at_rest(playing, pid, ops)
            playing.end()
    # Each dump begins where the one before it ended.
    return {name: last[name] - first[name] for name in COUNTERS} | {"instructions": instructions((directory / "profile.2").read_text())}


def counters_at_rest(playing, pid, ops):
    """The server's counters at a moment at which nothing is left to be done; callgrind writes what it counted until then."""
    with playing.stopped():
        until, before = time.monotonic() + QUIET_S, None
        while (now := counters(ops)) != before:
            if time.monotonic() > until:
                raise Unavailable("the server did not come to rest")
            before = now
            time.sleep(LOOK_S)
        must(["vgdb", f"--pid={pid}", "dump"])
    return now


class Client:
    """The load client while the block runs, which can be stopped for a moment."""

    def __init__(self, command, log):
        self.command, self.log = command, log

    def __enter__(self):
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(self.command, stdout=out, stderr=subprocess.STDOUT)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def wait_until(self, has_begun):
        until = time.monotonic() + BEGIN_S
        while not has_begun():
            self.must_play()
            if time.monotonic() > until:
                raise Unavailable(f"the load did not begin:\n{self.said()}")
            time.sleep(LOOK_S)

    @contextmanager
    def stopped(self):
        self.process.send_signal(signal.SIGSTOP)
        try:
            self.must_play()
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def must_play(self):
        if self.process.poll() is not None:
            raise Unavailable(f"the load client ended too soon:\n{self.said()}")

    def end(self):
        """Lets it play to its end; all that was sent must have come."""
        try:
            status = self.process.wait(timeout=END_S)
        except subprocess.TimeoutExpired:
            status = "none: it took too long"
        if status != 0:
            raise Unavailable(f"the load client failed, exit status {status}:\n{self.said()}")

    def said(self):
        return self.log.read_text(errors="replace")


def counters(ops):
    """The server's counters, each over all shards."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{ops}/metrics", timeout=QUIET_S) as answer:
            return sums(answer.read().decode())
    except OSError as error:
        raise Unavailable(f"the server does not tell its counters: {error}") from error


def sums(metrics):
    """Each counter over all shards."""
    return {name: sum(int(value) for value in re.findall(rf"^campanile_{name}_total\{{[^}}]*\}} (\d+)", metrics, re.MULTILINE)) for name in COUNTERS}


def table(rows):
    lines = ["| load | shards | instructions per delivery | to one shard | messages between shards per delivery | bells per 1000 deliveries |", "|---|---|---|---|---|---|"]
    for one in rows:
        alone = next(other for other in rows if other["load"] == one["load"] and other["shards"] == 1)
        ratio = one["instructions"] / alone["instructions"]
        lines.append(f"| {one['load']} | {one['shards']} | {one['instructions']:,.0f} | {ratio:.2f} | {one['lane_messages']:.3f} | {1000 * one['doorbells_rung']:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
