//! The timers of idle connections: each is looked at now and then, and armed again.

use campanile::timer::{STEP_MS, Wheel};

/// How far ahead a connection is looked at, in ms.
const AHEAD_MS: u64 = 15_000;

pub struct Timers {
    wheel: Wheel<(u32, u32)>,
    now_ms: u64,
    due: Vec<(u32, u32)>,
    /// Connections that are looked at in one step.
    pub each: usize,
}

impl Timers {
    /// So many connections, evenly over time.
    pub fn new(connections: usize) -> Timers {
        let steps = (AHEAD_MS / STEP_MS) as usize;
        let mut timers = Timers { wheel: Wheel::new(0), now_ms: 0, due: Vec::new(), each: connections / steps };
        for slot in 0..(timers.each * steps) as u32 {
            timers.wheel.arm(u64::from(slot) / timers.each as u64 * STEP_MS + STEP_MS, (slot, 0));
        }
        // Buckets have the room that they will need.
        for _ in 0..2 * steps {
            timers.run();
        }
        timers
    }

    /// One step of the wheel: whoever is due is looked at and armed again. Gives how many were.
    pub fn run(&mut self) -> usize {
        self.now_ms += STEP_MS;
        self.wheel.advance(self.now_ms, &mut self.due);
        let fired = self.due.len();
        for look in self.due.drain(..) {
            self.wheel.arm(self.now_ms + AHEAD_MS, look);
        }
        fired
    }
}

/// The floor: the same number taken out of a vector and put back.
pub fn moved(from: &mut Vec<(u32, u32)>, to: &mut Vec<(u32, u32)>) -> usize {
    to.append(from);
    from.append(to);
    from.len()
}
