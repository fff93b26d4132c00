//! End to end: the real server as a process, two shards, and clients that speak frames over the loopback.
//!
//! One program, so that it is linked once; one file per subject.
#![cfg(feature = "server")]

#[path = "../support/mod.rs"]
mod support;

mod backup;
mod delivery;
mod durable;
mod groups;
mod limits;
mod presence;
mod resume;
mod stopping;
