//! A sign of life now and then, on stderr, while something takes long.

use std::time::{Duration, Instant};

/// How often something is said.
const EVERY: Duration = Duration::from_secs(5);
/// The clock is looked at once in so many steps.
const STEPS: u32 = 1024;

/// How far a long piece of work is.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    said_at: Instant,
    steps: u32,
    is_quiet: bool,
}

impl Progress {
    /// Of the subcommand of this name.
    pub fn new(what: &'static str) -> Progress {
        Progress { what, said_at: Instant::now(), steps: 0, is_quiet: false }
    }

    /// One that says nothing.
    pub fn quiet() -> Progress {
        Progress { is_quiet: true, ..Progress::new("") }
    }

    /// One step is done. If it is time to, `say` tells how far this is.
    pub fn step(&mut self, say: impl FnOnce() -> String) {
        self.steps += 1;
        if self.is_quiet || self.steps < STEPS {
            return;
        }
        self.steps = 0;
        if self.said_at.elapsed() >= EVERY {
            self.said_at = Instant::now();
            eprintln!("campanile {}: {}", self.what, say());
        }
    }
}
