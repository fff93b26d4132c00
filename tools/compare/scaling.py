#!/usr/bin/env python3
"""Counts what the real server spends on a direct message with one shard and with two, where there are too few cores to time it.

    tools/compare/scaling.py                    about two minutes
    tools/compare/scaling.py --seconds 20 --rounds 3

The server runs under callgrind, which counts the instructions of all its threads and runs one of them at a time, so two shards need no second core. Each
load is played twice, for one and for --seconds seconds, by campanile-load; what start, logins and end cost is the same in both, and the difference of the
two counts belongs to the difference of the two numbers of deliveries. What shards said to each other is read from /metrics.

With one thread at a time turns are longer than on cores of their own, so more is done in each, and bells are rarer than they would be; what is said
between shards does not depend on that. `cargo bench --bench scaling` counts bells, and goes on to 64 shards.

It needs valgrind, a C compiler and a release build (cargo build --release --workspace). The exit status is 2 where these are missing.
"""

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from instructions import need_valgrind
from processes import Server, Unavailable, answers, free_port, must
from repository import IN_MEMORY, ROOT, built

# Much is outstanding, so that no shard waits long for the client.
LOADS = {
    "direct": ("direct", "--connections", 200, "--window", 8, "--peers", "random"),
}
COUNTERS = ("deliveries", "messages_in", "lane_messages", "doorbells_rung")
SHORT_S = 1
GRACE_S = 240


def main(arguments=None):
    options = read_options(arguments)
    base = Path(tempfile.mkdtemp(prefix="scaling-"))
    try:
        need_valgrind()
        for name in ("campanile", "campanile-load"):
            built(options.build, name)
        shim = base / "uring_poll.so"
        must(["cc", "-O2", "-shared", "-fPIC", "-o", str(shim), str(Path(__file__).with_name("uring_poll.c")), "-ldl"])
        rows = [row(options, shim, base, name, shards) for name in LOADS for shards in (1, 2)]
    except Unavailable as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(base, ignore_errors=True)
    print(table(rows))
    return 0


def read_options(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="of the longer of two runs")
    parser.add_argument("--rounds", type=int, default=1, help="medians of so many")
    parser.add_argument("--payload", type=int, default=128, help="bytes of a body")
    parser.add_argument("--build", type=Path, default=ROOT / "target" / "release", help="where the programs of this repository are")
    return parser.parse_args(arguments)


def row(options, shim, base, name, shards):
    """What a delivery costs with so many shards, in the median of the rounds."""
    rounds = []
    for _ in range(options.rounds):
        short, long = (count(options, shim, base, LOADS[name], shards, seconds) for seconds in (SHORT_S, options.seconds))
        rounds.append(each_delivery(short, long))
    found = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
    print(f"{name}, {shards} shards: {found['instructions']:,.0f} instructions per delivery", flush=True)
    return {"load": name, "shards": shards} | found


def each_delivery(short, long):
    """The difference of two runs, for each delivery."""
    deliveries = long["deliveries"] - short["deliveries"]
    if long["deliveries"] < 2 * short["deliveries"] or long["instructions"] <= short["instructions"]:
        raise Unavailable("the longer run did not do much more than the short one, on a machine that is busy; try more --seconds")
    return {key: (long[key] - short[key]) / deliveries for key in ("instructions", "lane_messages", "doorbells_rung")}


def count(options, shim, base, load, shards, seconds):
    """Instructions of a whole run of the server, and its counters at the end of the load."""
    directory = Path(tempfile.mkdtemp(dir=base))
    port, ops = free_port(), free_port()
    command = [
        "valgrind", "--tool=callgrind", "--fair-sched=yes", f"--callgrind-out-file={directory / 'profile'}", options.build / "campanile",
        "--shards", shards, "--cpus", ",".join(["0"] * shards), "--tcp", f"127.0.0.1:{port}", "--ws", "", "--ops", f"127.0.0.1:{ops}",
        "--data-dir", directory / "data", "--publish-rate-per-user", 0, *IN_MEMORY,
    ]
    with Server([str(part) for part in command], directory, lambda _: answers(port), {"LD_PRELOAD": str(shim)}):
        client = [options.build / "campanile-load", *load, "--target", f"tcp://127.0.0.1:{port}", "--payload", options.payload,
                  "--seconds", seconds, "--warmup", 0, "--cpus", 0, "--drain", 60]
        done = subprocess.run([str(part) for part in client], timeout=seconds + GRACE_S, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise Unavailable(f"the load client failed:\n{done.stdout}")
        with urllib.request.urlopen(f"http://127.0.0.1:{ops}/metrics", timeout=60) as answer:
            counters = sums(answer.read().decode())
    log = (directory / "log").read_text(errors="replace")
    collected = re.search(r"Collected : (\d+)", log)
    if not collected:
        raise Unavailable(f"callgrind did not say what it counted:\n{log}")
    return counters | {"instructions": int(collected[1])}


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
