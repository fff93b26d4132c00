//! Time as a value. State machines are given it; only the shard's loop reads a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::near::Near;

/// One moment, read once a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since some moment before the shard started; never goes back. For durations.
    pub mono_ms: u64,
    /// Milliseconds since 1970-01-01 UTC; may jump. For people.
    pub wall_ms: u64,
}

/// A moment of [`Now::mono_ms`] in half the memory. It is known again for 24 days, before and after; whoever keeps one looks at it more often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(Near);

impl Moment {
    /// This many milliseconds on [`Now::mono_ms`].
    pub fn at(mono_ms: u64) -> Moment {
        Moment(Near::new(mono_ms))
    }

    /// The milliseconds again.
    pub fn mono_ms(self, now: Now) -> u64 {
        self.0.to(now.mono_ms)
    }
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
