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

/// A moment of [`Now::mono_ms`] in half the memory. It is known again for 24 days, before or after; whoever keeps one looks at it more often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(u32);

impl Moment {
    /// This many milliseconds on [`Now::mono_ms`].
    pub fn at(mono_ms: u64) -> Moment {
        Moment(mono_ms as u32)
    }

    /// The milliseconds again.
    pub fn mono_ms(self, now: Now) -> u64 {
        let since_ms = self.0.wrapping_sub(now.mono_ms as u32).cast_signed();
        now.mono_ms.saturating_add_signed(since_ms.into())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_known_again_weeks_before_and_after() {
        let weeks_ms = 3 * 7 * 24 * 3_600_000;
        for moment_ms in [weeks_ms, 1 << 31, u64::from(u32::MAX), (1 << 32) + 5, 1 << 40] {
            for now_ms in [moment_ms - weeks_ms, moment_ms - 1, moment_ms, moment_ms + 1, moment_ms + weeks_ms] {
                let now = Now { mono_ms: now_ms, wall_ms: 0 };
                assert_eq!(Moment::at(moment_ms).mono_ms(now), moment_ms);
            }
        }
    }
}
