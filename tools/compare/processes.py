"""Servers that a comparison starts, pins and ends, and what they cost."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

START_S = 20
END_S = 30


class Server:
    """A process that is there while the block runs, and ended by its id; the block gets that id. Its output goes to `log` in its directory."""

    def __init__(self, command, directory, is_ready):
        self.command, self.directory, self.is_ready = command, directory, is_ready

    def __enter__(self):
        log = self.directory / "log"
        with log.open("wb") as out:
            # PATH alone: no setting of this shell is the server's.
            env = {"PATH": os.environ["PATH"]}
            self.process = subprocess.Popen(self.command, stdout=out, stderr=subprocess.STDOUT, env=env)
        until = time.monotonic() + START_S
        while not self.is_ready(log.read_text(errors="replace")):
            if self.process.poll() is not None or time.monotonic() > until:
                self.__exit__()
                sys.exit(f"{self.command} did not start:\n{log.read_text(errors='replace')}")
            time.sleep(0.05)
        return self.process.pid

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory / "store", ignore_errors=True)
        shutil.rmtree(self.directory / "data", ignore_errors=True)


def cpu_s(pid):
    """CPU seconds of all threads that the process has, as the scheduler counts them: to the nanosecond, not by looking at each tick."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_list(text):
    cpus = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        cpus.update(range(int(first), int(last or first) + 1))
    return cpus
