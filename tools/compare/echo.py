#!/usr/bin/env python3
"""Compares with uWebSockets: echoed WebSocket messages per CPU second of the server, on this machine.

    tools/compare/echo.py                     both, 64 bytes and 16 KiB, 200 connections, medians of 5 rounds
    tools/compare/echo.py --only uwebsockets  one of them

uWebSockets' own EchoServer example and its own load test (benchmarks/load_test.c) are built from the sources that the crate libuwebsockets-sys
carries, without TLS and without zlib, with the flags of its makefiles: -O3, -flto, and -march=native for the server. Cargo fetches the crate; it
and all that is built lie below --scratch, and nothing of it is part of this repository. Campanile's side is campanile-ws-echo, built in release mode.

Both servers are pinned to --server-cpu, the load test to --cpu. Each connection has one message outstanding. In each round they take turns, the
first one of a round being the second one of the next. The load test prints how many echoes it got in each four seconds; between two such lines
the CPU time of the server's threads is read, so that logins and the end are in no figure.
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from processes import Server, Unavailable, cpu_s
from repository import ROOT, built
from uwebsockets import client, server, sources

# Between two lines of the load test: its LIBUS_TIMEOUT_GRANULARITY.
LINE_S = 4
NAMES = ("uwebsockets", "campanile")


def main():
    options = read_options()
    names = [options.only] if options.only else list(NAMES)
    try:
        programs = {"campanile": built(options.build, "campanile-ws-echo")} if "campanile" in names else {}
        anchor = uwebsockets(options.scratch)
    except Unavailable as why:
        sys.exit(f"nothing to compare: {why}")
    programs["uwebsockets"] = anchor / "EchoServer"
    base = Path(tempfile.mkdtemp(prefix="echo-", dir=options.scratch))
    try:
        rows = []
        for turn in range(options.rounds):
            for payload in options.payloads:
                for name in names if turn % 2 == 0 else reversed(names):
                    rows.append(run(options, anchor, name, programs[name], payload, base))
        report(options, names, rows)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=NAMES)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--payloads", type=lambda text: [int(part) for part in text.split(",")], default=[64, 16384], metavar="BYTES,BYTES")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lines", type=int, default=1, help=f"of {LINE_S} s each that a round measures")
    parser.add_argument("--cpu", default="1", help="of the load test")
    parser.add_argument("--server-cpu", default="0")
    parser.add_argument("--build", type=Path, default=ROOT / "target" / "release", help="where campanile-ws-echo is")
    parser.add_argument("--scratch", type=Path, default=ROOT / "target" / "uwebsockets", help="where uWebSockets is built, and kept")
    parser.add_argument("--json", type=Path, help="writes the figures of all runs to this file")
    return parser.parse_args()


def uwebsockets(scratch):
    """The directory with uWebSockets' EchoServer and load_test, built if they are not there."""
    tree = sources(scratch)
    if (tree / "load_test").exists():
        return tree
    # The port stands in the source; let the kernel choose one, and the server tell it.
    echo = (tree / "examples" / "EchoServer.cpp").read_text()
    echo = echo.replace("listen(9001", "listen(0").replace("<< 9001 <<", "<< us_socket_local_port(0, (us_socket_t *) listen_socket) <<")
    (tree / "EchoServer.cpp").write_text(echo)
    server(tree, "EchoServer.cpp", "EchoServer")
    client(tree, "benchmarks/load_test.c", "load_test")
    return tree


def run(options, anchor, name, program, payload, base):
    """One server under load: its figures."""
    directory = Path(tempfile.mkdtemp(dir=base))
    command = ["taskset", "-c", options.server_cpu, program]
    # The kernel closes the sockets of a ring some time after their process has ended, so a port is not used again.
    command += ["127.0.0.1:0"] if name == "campanile" else []
    with Server(command, directory, port) as pid:
        place = ["127.0.0.1", port((directory / "log").read_text())]
        load = ["taskset", "-c", options.cpu, "stdbuf", "-oL", anchor / "load_test", options.connections, *place, "0", "0", payload]
        messages, seconds = measure([str(part) for part in load], pid, options)
    row = {
        "server": name,
        "payload_bytes": payload,
        "connections": options.connections,
        "messages_per_s": messages / (options.lines * LINE_S),
        "messages_per_cpu_s": messages / seconds,
        "server_cpu": seconds / (options.lines * LINE_S),
    }
    print(f"{name:<12} {payload:>6} B {row['messages_per_s']:>10.0f}/s {row['messages_per_cpu_s']:>10.0f} per CPU second", flush=True)
    return row


def port(log):
    """Where a server says that it listens."""
    found = re.search(r"(?:ws://127\.0\.0\.1:|Listening on port )(\d+)\n", log)
    return found and found[1]


def measure(command, pid, options):
    """Echoes and CPU seconds of the server, between the first line of figures and the last one that is wanted."""
    load = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    # One that stops talking is ended, and then its output ends.
    watchdog = threading.Timer((options.lines + 4) * LINE_S, load.kill)
    watchdog.start()
    try:
        rates, cpu = [], []
        for line in load.stdout:
            if "Closed" in line or "ERROR" in line:
                sys.exit(f"the load test lost a connection: {line}")
            if line.startswith("Msg/sec:"):
                rates.append(float(line.split()[1]))
                cpu.append(cpu_s(pid))
            if len(rates) == options.lines + 1:
                break
        else:
            sys.exit(f"the load test ended, or said nothing for too long: {command}")
        # The first line counts from before all were connected.
        return sum(rates[1:]) * LINE_S, cpu[-1] - cpu[0]
    finally:
        watchdog.cancel()
        load.kill()
        load.wait()


def report(options, names, rows):
    print(f"\n{options.connections} connections, medians of {options.rounds} rounds, server on {options.server_cpu}, load test on {options.cpu}")
    print(f"{'payload':>8} {'server':<12} {'messages/s':>11} {'per CPU second':>15} {'server cpu':>11}")
    for payload in options.payloads:
        medians = {}
        for name in names:
            mine = [row for row in rows if (row["server"], row["payload_bytes"]) == (name, payload)]
            median = {key: statistics.median(row[key] for row in mine) for key in ("messages_per_s", "messages_per_cpu_s", "server_cpu")}
            medians[name] = median["messages_per_cpu_s"]
            print(f"{payload:>8} {name:<12} {median['messages_per_s']:>11.0f} {median['messages_per_cpu_s']:>15.0f} {median['server_cpu']:>11.2f}")
        if len(medians) == 2:
            print(f"{payload:>8} campanile is {medians['campanile'] / medians['uwebsockets']:.2f} x uwebsockets")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
