//! Tests with real databases in temporary directories.

mod backup;
mod recovery;
mod removed;
mod threads;
