#!/usr/bin/env python3
"""Compares two commits by the instructions that their hot paths take, which no other work on the machine changes.

    tools/compare/instructions.py main                       main against what is checked out and committed
    tools/compare/instructions.py v0.1 v0.2 --limit 1.1
    tools/compare/instructions.py main --only session        only cases with this in their name

Each commit is checked out into a directory of its own beside the other, built, and its bench `counted` run under callgrind once; what a commit does not have
is listed as absent. The exit status is 1 if any case takes more than --limit times the instructions of before, 2 if nothing could be counted.

It needs valgrind. The runner that goes with the bench (gungraun-runner, from crates.io) is built if it is not there in the bench's version.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from processes import Unavailable, must
from repository import ROOT, locked_version

BENCH = "counted"


def main(arguments=None):
    options = read_options(arguments)
    try:
        need_valgrind()
        base = Path(tempfile.mkdtemp(prefix="instructions-"))
        try:
            # A branch may go on while the first commit is built.
            commits = [must(["git", "rev-parse", "--verify", f"{name}^{{commit}}"], ROOT).strip() for name in (options.base, options.head)]
            before, after = counted(options, commits[0], base / "base"), counted(options, commits[1], base / "head")
        finally:
            for tree in (base / "base", base / "head"):
                subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, stderr=subprocess.DEVNULL, check=False)
            shutil.rmtree(base, ignore_errors=True)
    except Unavailable as error:
        print(error, file=sys.stderr)
        return 2
    if not before and not after:
        print(f"neither {options.base} nor {options.head} has a case to count", file=sys.stderr)
        return 2
    print(table(options, before, after))
    grown = grew(before, after, options.limit)
    for name in grown:
        print(f"{name} takes more than {options.limit} times as many instructions")
    return 1 if grown else 0


def read_options(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", metavar="BASE", help="the commit that is compared with")
    parser.add_argument("head", metavar="HEAD", nargs="?", default="HEAD", help="the commit that is compared (default: HEAD)")
    parser.add_argument("--limit", type=float, default=1.03, help="how many times the instructions of before a case may take")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases with this in their name")
    parser.add_argument("--target-dir", type=Path, help="where to build, and leave what was built (default: a temporary directory)")
    parser.add_argument("--scratch", type=Path, default=ROOT / "target" / "compare", help="where the runner is built, and kept")
    return parser.parse_args(arguments)


def need_valgrind():
    if not shutil.which("valgrind"):
        raise Unavailable("valgrind is not installed, and counts the instructions; on Debian: apt install valgrind")


def counted(options, commit, tree):
    """Instructions per operation of each case that a commit has; it is checked out at `tree`."""
    must(["git", "worktree", "add", "--detach", str(tree), commit], ROOT)
    if not (tree / "benches" / f"{BENCH}.rs").exists():
        return {}
    results = tree.with_name(f"{tree.name}-results")
    must(["env", f"GUNGRAUN_RUNNER={runner(tree, options.scratch)}", f"GUNGRAUN_HOME={results}",
          f"CARGO_TARGET_DIR={(options.target_dir or tree.with_name('target')).resolve()}", "cargo", "bench", "--bench", BENCH], tree)
    return {name: each for name, each in read(results) if options.only in name}


def runner(tree, scratch):
    """The program that runs the bench, in the version that the bench was written for."""
    version = locked_version((tree / "Cargo.lock").read_text(), "gungraun")
    for path in (os.environ.get("GUNGRAUN_RUNNER"), shutil.which("gungraun-runner")):
        if path and version in subprocess.run([path, "--version"], stdout=subprocess.PIPE, text=True, check=False).stdout.split():
            return path
    root = (scratch / f"gungraun-runner-{version}").resolve()
    path = root / "bin" / "gungraun-runner"
    if not path.exists():
        must(["cargo", "install", "gungraun-runner", "--version", version, "--locked", "--root", str(root)])
    return path


def read(results):
    """Name and instructions per operation of each case: what callgrind counted, through as many operations as the name ends in."""
    for path in sorted(results.rglob("callgrind.*.out")):
        name = f"{path.parent.parent.name}::{path.parent.name}"
        operations = re.search(r"of_(\d+)$", name)
        if not operations:
            raise Unavailable(f"{name} does not say how many operations it counts")
        yield re.sub(r"[._]?of_\d+$", "", name), instructions(path.read_text()) / int(operations[1])


def instructions(profile):
    """All instructions of a callgrind profile."""
    events = re.search(r"^events: (.*)$", profile, re.MULTILINE)[1].split()
    totals = re.search(r"^(?:totals|summary): (.*)$", profile, re.MULTILINE)[1].split()
    return int(totals[events.index("Ir")])


def table(options, before, after):
    """All cases, as a table."""
    lines = [f"| instructions per operation | {options.base} | {options.head} | ratio |", "|---|---|---|---|"]
    for name in sorted(before | after):
        shown = [f"{each[name]:,.0f}" if name in each else "absent" for each in (before, after)]
        ratio = f"{after[name] / before[name]:.3f}" if name in before and name in after else ""
        lines.append(f"| {name} | {shown[0]} | {shown[1]} | {ratio} |")
    return "\n".join(lines)


def grew(before, after, limit):
    """Cases that take more than they may."""
    return [name for name in sorted(before.keys() & after.keys()) if after[name] > limit * before[name]]


if __name__ == "__main__":
    sys.exit(main())
