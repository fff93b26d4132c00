#!/usr/bin/env python3
"""Clients that others wrote, against the real server: each talks with its like and with each other kind, all of them at once.

usage: run.py SERVER     SERVER: the binary. Exit status 0: all is well; 77: all that could be run is, but a library is absent

Each kind is a script that takes URL ME PEER. The example of the README is run as well, as it stands there.
"""
import os
import re
import subprocess
import sys
import tempfile
from itertools import combinations_with_replacement
from pathlib import Path

HERE = Path(__file__).resolve().parent
KINDS = {"python": [sys.executable, str(HERE / "chat.py")], "node": ["node", str(HERE / "chat.cjs")]}
PATIENCE_S = 180
# Nothing is left beside the scripts.
sys.dont_write_bytecode = True


def available():
    """The kinds whose library is there, and whether that is all of them."""
    found = {}
    for kind, command in KINDS.items():
        try:
            check = subprocess.run([*command, "--check"], capture_output=True, text=True, timeout=PATIENCE_S)
            print(check.stdout.strip() or check.stderr.strip())
            if check.returncode == 0:
                found[kind] = command
            elif check.returncode != 77:
                sys.exit(f"{kind}: the check fails")
        except FileNotFoundError:
            print(f"{command[0]} is absent")
    return found, len(found) == len(KINDS)


class Server:
    """The server, on free ports and a data directory of its own."""

    def __init__(self, binary, directory):
        quiet = os.environ | {"CAMPANILE_LOG": "error"}
        free = [word for port in ("--tcp", "--ws", "--ops") for word in (port, "127.0.0.1:0")]
        self.process = subprocess.Popen([binary, "--shards", "2", *free, "--data-dir", directory], stdout=subprocess.PIPE, text=True, env=quiet)
        for line in self.process.stdout:
            if match := re.search(r"ws://\S+", line):
                self.url = match.group()
                return
        sys.exit("the server does not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        # What it still says is taken, so that it can end.
        self.process.communicate(timeout=PATIENCE_S)
        if self.process.returncode != 0:
            sys.exit(f"the server ends with {self.process.returncode}")


def pairs(url, kinds):
    """Two of each kind, and one of each of two kinds; all at once."""
    running = []
    for one, other in combinations_with_replacement(sorted(kinds), 2):
        users = [f"{one}-of-{one}-{other}", f"{other}-of-{one}-{other}-too"]
        for kind, me, peer in [(one, *users), (other, *reversed(users))]:
            running.append((f"{me} with {peer}", subprocess.Popen([*kinds[kind], url, me, peer])))
    failed = [name for name, process in running if process.wait(PATIENCE_S) != 0]
    for name, _ in running:
        print("FAILED" if name in failed else "ok    ", name)
    return not failed


def readme(url):
    """The example of the README, until it shows what somebody answers."""
    from chat import client_of

    text = (HERE / "../../README.md").resolve().read_text()
    [example] = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "websockets" in block]
    assert "ws://127.0.0.1:7401" in example
    code = example.replace("ws://127.0.0.1:7401", url)
    with client_of(url) as alice:
        alice.send(type="connect", token="dev:alice")
        process = subprocess.Popen([sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, text=True)
        while (asked := alice.receive())["type"] != "message":
            pass
        assert asked["sender"] == "script" and asked["body"] in example, asked
        alice.send(type="publish", conversation="direct:script", body="it is me")
        shown = next((line for line in process.stdout if "it is me" in line), None)
    process.kill()
    process.wait(PATIENCE_S)
    print("FAILED" if shown is None else "ok    ", "the example of the README")
    return shown is not None


def main(binary):
    kinds, has_all = available()
    if not kinds:
        return 77
    with tempfile.TemporaryDirectory() as directory, Server(os.path.abspath(binary), directory) as server:
        is_well = pairs(server.url, kinds)
        if "python" in kinds:
            is_well = readme(server.url) and is_well
    if not is_well:
        return 1
    return 0 if has_all else 77


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
