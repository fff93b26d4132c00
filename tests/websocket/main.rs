//! WebSocket, with the real server as a process: clients that keep the rules, clients that break them, and a client that others wrote.
//!
//! One program, so that it is linked once; one file per subject.
#![cfg(feature = "server")]

#[path = "../support/mod.rs"]
mod support;

mod closing;
mod faults;
mod flood;
mod interop;
mod talk;
mod upgrade;
