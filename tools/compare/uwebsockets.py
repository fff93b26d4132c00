"""uWebSockets, built from the sources that the crate libuwebsockets-sys carries: without TLS and without zlib, with the flags of its makefiles.

Cargo fetches the crate; it and all that is built lie below a directory for scratch, and nothing of it is part of this repository.
"""

from processes import must

CRATE = "libuwebsockets-sys"
VERSION = "0.0.10"
INCLUDES = ["-Isrc", "-IuSockets/src"]


def sources(scratch):
    """The directory with its sources, and with uSockets built."""
    tree = scratch / "vendor" / CRATE / "uWebSockets"
    if any((tree / "uSockets").glob("*.o")):
        return tree
    (scratch / "src").mkdir(parents=True, exist_ok=True)
    (scratch / "src" / "lib.rs").touch()
    # A workspace of its own: it lies below this repository's.
    (scratch / "Cargo.toml").write_text(
        f'[package]\nname = "scratch"\nversion = "0.0.0"\nedition = "2021"\n\n[dependencies]\n{CRATE} = "={VERSION}"\n\n[workspace]\n'
    )
    must(["cargo", "vendor", "--quiet", "vendor"], scratch)
    must(["make", "CC=gcc"], tree / "uSockets")
    return tree


def server(tree, source, program):
    """Builds a server, with -march=native as its own examples are."""
    must(["g++", "-march=native", "-O3", "-flto", "-std=c++20", "-DUWS_NO_ZLIB", *INCLUDES, source, *objects(tree), "-o", program], tree)


def client(tree, source, program):
    """Builds a client, as its own load test is."""
    must(["gcc", "-O3", "-flto", "-DLIBUS_NO_SSL", *INCLUDES, source, *objects(tree), "-o", program], tree)


def objects(tree):
    return [str(path.relative_to(tree)) for path in sorted((tree / "uSockets").glob("*.o"))]

