//! Tests with real databases in temporary directories.

mod recovery;
mod removed;
mod threads;
