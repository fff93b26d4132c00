#!/usr/bin/env python3
"""Runs the Autobahn test suite against the WebSocket code of the server, by way of campanile-ws-echo.

    tools/conformance/autobahn.py                           all cases but those of compression, against a campanile-ws-echo that it starts
    tools/conformance/autobahn.py --url ws://HOST:PORT      against what listens there
    tools/conformance/autobahn.py --cases '6.*,7.1.*'       only these

Every case must end as tools/conformance/autobahn.txt says, and none may be missing: each line is a case, its outcome, and how the connection was
closed. OK and INFORMATIONAL (cases for which RFC 6455 asks for nothing) are the only outcomes that pass, whatever that file says. --record writes
the file anew.

The suite needs Python 2.7, which is looked for as $PYTHON27, python2.7, and among pyenv's versions. It comes from PyPI into --suite, which is kept,
and beside nothing else; one of its parts is built with a C compiler. Reports for people are in --suite, under report/.

Exit status: 0 as expected; 1 not; 77 there is no Python 2.7, or the suite cannot be installed.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = Path(__file__).with_name("autobahn.txt")
# It pins what it needs itself.
SUITE = "autobahntestsuite==25.10.1"
# permessage-deflate is not spoken.
LEFT_OUT = ["12.*", "13.*"]
PASSED = ("OK", "INFORMATIONAL")
# Case 9.* sends messages of this size.
MESSAGE_BYTES_MAX = 16 << 20
AGENT = "campanile"
START_S, SETUP_S, RUN_S = 20, 600, 1200


def main():
    options = read_options()
    python = python27()
    if python is None:
        print("there is no Python 2.7, which the Autobahn test suite needs; set PYTHON27 to one")
        sys.exit(77)
    install(python, options.suite)
    if options.url:
        outcomes = run(python, options, options.url)
    else:
        with EchoServer(options.server, options.suite) as url:
            outcomes = run(python, options, url)
    sys.exit(judge(outcomes, options))


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="of an echo server that is there already")
    parser.add_argument("--cases", help="patterns, divided by commas")
    parser.add_argument("--record", action="store_true", help="writes what comes out as what is expected")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--server", type=Path, default=target / "debug" / "campanile-ws-echo", help="the program that is started")
    parser.add_argument("--suite", type=Path, default=target / "autobahn", help="where the suite is installed, and kept")
    return parser.parse_args()


def python27():
    """A Python 2.7 that has pip."""
    candidates = [os.environ.get("PYTHON27"), shutil.which("python2.7"), *map(str, Path.home().glob(".pyenv/versions/2.7.*/bin/python2.7"))]
    for candidate in filter(None, candidates):
        # Being there is not enough: a version manager's stand-in may be all there is.
        asked = subprocess.run([candidate, "-m", "pip", "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if asked.returncode == 0 and "python 2.7" in asked.stdout:
            return candidate
    return None


def environment(suite):
    """Packages come from and go to the suite's own directory."""
    return {**os.environ, "PYTHONUSERBASE": str(suite.resolve() / "packages"), "PYTHONWARNINGS": "ignore"}


def install(python, suite):
    done = suite / "packages" / SUITE
    if done.exists():
        return
    print(f"installing {SUITE} into {suite}", flush=True)
    suite.mkdir(parents=True, exist_ok=True)
    command = [python, "-m", "pip", "install", "--user", "--ignore-installed", "--disable-pip-version-check", "--no-warn-script-location", "--quiet", SUITE]
    installed = subprocess.run(command, env=environment(suite), timeout=SETUP_S, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if installed.returncode != 0:
        print(f"{installed.stdout}\n{SUITE} cannot be installed")
        sys.exit(77)
    done.touch()


class EchoServer:
    """campanile-ws-echo while the block runs; the block gets its URL. It must still be there at the end."""

    def __init__(self, program, suite):
        if not program.exists():
            sys.exit(f"{program} is not there; build it: cargo build --workspace")
        self.program, self.log = program, suite / "server.log"

    def __enter__(self):
        with self.log.open("wb") as out:
            command = [self.program, "127.0.0.1:0", "--message-bytes-max", str(MESSAGE_BYTES_MAX)]
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        until = time.monotonic() + START_S
        while True:
            url = next((word for word in self.log.read_text(errors="replace").split() if word.startswith("ws://")), None)
            if url:
                return url
            if self.process.poll() is not None or time.monotonic() > until:
                self.end()
                sys.exit(f"{self.program} did not start:\n{self.log.read_text(errors='replace')}")
            time.sleep(0.05)

    def __exit__(self, kind, *_):
        has_ended = self.process.poll() is not None
        self.end()
        if has_ended and kind is None:
            sys.exit(f"the server ended during the tests:\n{self.log.read_text(errors='replace')}")

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def run(python, options, url):
    """Outcome and way of closing of every case."""
    report = options.suite / "report"
    shutil.rmtree(report, ignore_errors=True)
    spec = {
        "outdir": str(report),
        "servers": [{"agent": AGENT, "url": url}],
        "cases": options.cases.split(",") if options.cases else ["*"],
        "exclude-cases": LEFT_OUT,
        "exclude-agent-cases": {},
    }
    (options.suite / "spec.json").write_text(json.dumps(spec))
    command = [python, "-m", "autobahntestsuite.wstest", "--mode", "fuzzingclient", "--spec", options.suite / "spec.json"]
    with (options.suite / "run.log").open("wb") as out:
        subprocess.run(command, env=environment(options.suite), timeout=RUN_S, stdout=out, stderr=subprocess.STDOUT)
    index = report / "index.json"
    if not index.exists():
        sys.exit(f"{(options.suite / 'run.log').read_text(errors='replace')}\nthe suite made no report; is {url} right?")
    cases = json.loads(index.read_text())[AGENT]
    return {case: (outcome["behavior"], outcome["behaviorClose"]) for case, outcome in cases.items()}


def judge(outcomes, options):
    """Prints the summary and gives the exit status."""
    expected = dict(read_expected())
    if options.cases:
        expected = {case: outcome for case, outcome in expected.items() if case in outcomes}
    wrong = []
    for case in sorted({**expected, **outcomes}, key=number):
        outcome = outcomes.get(case)
        if outcome is None:
            wrong.append(f"{case}: not run")
        elif not all(part in PASSED for part in outcome):
            wrong.append(f"{case}: {outcome[0]}, closing {outcome[1]}")
        elif not options.record and outcome != expected.get(case):
            wrong.append(f"{case}: {' '.join(outcome)}, expected {' '.join(expected.get(case, ['nothing']))}")
    print(f"{len(outcomes)} cases:", ", ".join(f"{count} {outcome}" for (outcome, _), count in Counter(outcomes.values()).most_common()))
    print("\n".join(wrong) if wrong else "every case as expected")
    if wrong:
        print(f"the reports of single cases are in {options.suite / 'report'}")
    elif options.record and not options.cases:
        lines = [f"{case} {' '.join(outcomes[case])}\n" for case in sorted(outcomes, key=number)]
        EXPECTED.write_text("".join(lines))
    return 1 if wrong or not outcomes else 0


def read_expected():
    for line in EXPECTED.read_text().splitlines() if EXPECTED.exists() else []:
        case, behavior, closing = line.split()
        yield case, (behavior, closing)


def number(case):
    return [int(part) for part in case.split(".")]


if __name__ == "__main__":
    main()
