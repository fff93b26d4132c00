#!/usr/bin/env python3
"""Compares what is spoken: what a delivery costs the server, and how much memory a session takes, over TCP, WebSocket, and WebSocket with JSON.

    tools/compare/websocket.py                    a group of 1000 members, medians of 5 rounds, and 5,000 to 15,000 idle sessions
    tools/compare/websocket.py --only group

One server, on --server-cpus, with messages in memory; the load client on --cpus. In each round the three take turns, and each round begins with
another one. CPU is that of the server's process, so that other work on its core is not counted as its. Each run of `idle` has a server of its own.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from processes import Server, Unavailable, cpu_list
from repository import IN_MEMORY, ROOT, address, built

SPOKEN = {"tcp": [], "ws": [], "ws-json": ["--encoding", "json"]}
PATIENCE_S = 300


def main():
    options = read_options()
    try:
        for program in ("campanile", "campanile-load"):
            built(options.build, program)
    except Unavailable as why:
        sys.exit(str(why))
    base = Path(tempfile.mkdtemp(prefix="websocket-", dir=options.dir))
    try:
        runs = []
        if options.only != "idle":
            with server(options, base / "group") as (pid, log):
                for turn in range(options.rounds):
                    runs += [group(options, pid, log, over) for over in turned(turn)]
        for over in SPOKEN if options.only != "group" else []:
            with server(options, base / over) as (pid, log):
                runs.append(idle(options, pid, log, over))
        report(options, runs)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("group", "idle"))
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument("--payload", type=int, default=128, help="bytes of a body")
    parser.add_argument("--window", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=15000, help="of `idle`")
    parser.add_argument("--start-connections", type=int, default=5000)
    parser.add_argument("--cpus", default="1", help="of the client")
    parser.add_argument("--server-cpus", default="0")
    parser.add_argument("--dir", type=Path, default=ROOT / "target", help="where the server keeps its data")
    parser.add_argument("--build", type=Path, default=ROOT / "target" / "release", help="where the programs are")
    parser.add_argument("--json", type=Path, help="writes the figures of all runs to this file")
    return parser.parse_args()


def turned(turn):
    spoken = list(SPOKEN)
    at = turn % len(spoken)
    return spoken[at:] + spoken[:at]


class server:
    """Campanile while the block runs, which gets its process id and what it said at its start."""

    def __init__(self, options, directory):
        directory.mkdir()
        self.log = directory / "log"
        shards = len(cpu_list(options.server_cpus))
        command = [options.build / "campanile", "--cpus", options.server_cpus, "--shards", str(shards), "--data-dir", directory / "data"]
        command += ["--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--ops", "127.0.0.1:0", "--publish-rate-per-user", "0"]
        self.process = Server([*command, *IN_MEMORY], directory, lambda log: address(log, "ws"))

    def __enter__(self):
        return self.process.__enter__(), self.log.read_text()

    def __exit__(self, *details):
        self.process.__exit__(*details)


def group(options, pid, log, over):
    arguments = ["group", "--members", str(options.members), "--payload", str(options.payload), "--window", str(options.window)]
    return load(options, pid, log, over, [*arguments, "--seconds", str(options.seconds)])


def idle(options, pid, log, over):
    arguments = ["idle", "--connections", str(options.connections), "--start-connections", str(options.start_connections)]
    return load(options, pid, log, over, [*arguments, "--seconds", "5"])


def load(options, pid, log, over, arguments):
    """Runs the client and gives its figures."""
    target = address(log, "tcp" if over == "tcp" else "ws")
    with tempfile.NamedTemporaryFile(dir=options.dir, suffix=".json") as out:
        command = [options.build / "campanile-load", *arguments, "--target", target, *SPOKEN[over]]
        command += ["--cpus", options.cpus, "--server-cpus", options.server_cpus, "--server-pid", str(pid), "--durability", "memory", "--json", out.name]
        done = subprocess.run(command, timeout=options.seconds + PATIENCE_S, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if done.returncode != 0:
            sys.exit(f"{done.stdout}\nexit status {done.returncode} of {command}")
        figures = json.loads(Path(out.name).read_text())
    print(over, *(f"{key} {figures[key]:.3f}" for key in MEASURED[figures["scenario"]]), flush=True)
    return figures


COST = "server_process_cpu_us_per_delivery"
GROWTH = "server_rss_bytes_per_connection"
MEASURED = {"group": [COST, "server_cpu_us_per_delivery", "deliveries_per_s", "client_cpu_busy"], "idle": [GROWTH]}


def report(options, runs):
    for scenario, key, unit in (("group", COST, "us of the server per delivery"), ("idle", GROWTH, "bytes a session")):
        medians = {over: [run[key] for run in runs if (run["scenario"], run["over"]) == (scenario, over)] for over in SPOKEN}
        medians = {over: statistics.median(values) for over, values in medians.items() if values}
        for over, median in medians.items():
            print(f"{scenario:<6} {over:<8} {median:>9.3f} {unit:<30} {median / medians['tcp']:.3f} x tcp, {median - medians['tcp']:+.3f}")
    if options.json:
        options.json.write_text(json.dumps(runs, indent=2) + "\n")


if __name__ == "__main__":
    main()
