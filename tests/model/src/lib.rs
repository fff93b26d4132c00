//! Models: what only goes wrong in one interleaving of many is run in all of them, under loom. The library is empty; see `tests/`.
