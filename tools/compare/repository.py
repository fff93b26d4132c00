"""What a comparison takes from this repository: its programs, the versions that it locks, and the settings of Campanile that several share."""

import re
from pathlib import Path

from processes import Unavailable

ROOT = Path(__file__).resolve().parents[2]
# Messages of every kind are kept in memory, so that no disk is in the figures.
IN_MEMORY = tuple(f"--{kind}-durability=memory" for kind in ("direct", "group", "broadcast"))


def built(directory, name):
    """A program of this repository, in the directory of a build."""
    path = directory / name
    if not path.exists():
        raise Unavailable(f"{path} is not there; build it: cargo build --release --workspace")
    return path


def address(log, scheme="tcp"):
    """Where Campanile says that clients connect; None before it does."""
    return next((word for word in log.split() if word.startswith(f"{scheme}://")), None)


def locked_version(lock, crate):
    """The version of a crate in the text of a Cargo.lock."""
    found = re.search(rf'^name = "{crate}"\nversion = "([^"]+)"', lock, re.MULTILINE)
    if not found:
        raise Unavailable(f"Cargo.lock has no {crate}")
    return found[1]
