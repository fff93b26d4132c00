//! What tests with the real server stand on: the server as a process ([`server`]), a blocking client that speaks frames and nothing
//! more ([`client`]), frames as values ([`seen`]), and a WebSocket that breaks rules where a test wants it ([`websocket`]).
//!
//! Waiting is always for something: an answer, an event, a number in the metrics. [`PATIENCE`] only bounds it, for the case that it
//! never comes.
// Each test program uses a part of it.
#![allow(dead_code)]

pub mod bystanders;
pub mod client;
pub mod seen;
pub mod server;
pub mod websocket;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long anything may take before a test gives up. No test measures time with it.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Whether clients come by WebSocket unless a test says otherwise: in the program that runs the tests of sessions once more, that way.
pub const OVER_WEBSOCKET: bool = matches!(env!("CARGO_CRATE_NAME").as_bytes(), b"end_to_end_websocket");

/// Tells a publishing thread that it is enough: when it goes, however the test ends.
pub struct Enough<'a>(pub &'a AtomicBool);

impl Drop for Enough<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
