//! Time as a value. State machines are given it; only the shard's loop reads a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One moment, read once a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since some moment before the shard started; never goes back. For durations.
    pub mono_ms: u64,
    /// Milliseconds since 1970-01-01 UTC; may jump. For people.
    pub wall_ms: u64,
}

/// Reads the system's clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that begins at 1 ms, so that 0 can mean "never".
    pub fn start() -> Clock {
        Clock { origin: Instant::now() - Duration::from_millis(1) }
    }

    /// The present moment.
    pub fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono_ms: self.origin.elapsed().as_millis() as u64, wall_ms: wall.as_millis() as u64 }
    }
}
