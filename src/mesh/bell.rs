//! The doorbell: a thread that wants to sleep says so, looks once more, and sleeps; who sends to it rings only if it said so.
//!
//! The protocol (a Dekker handshake): the sleeper stores `asleep`, then a SeqCst fence, then looks at its lanes; the sender publishes
//! to the lane, then a SeqCst fence, then looks at `asleep`. Whatever the interleaving, the sleeper sees the message or the sender
//! sees the sleeper. `tests/model` runs this very file under loom.

use super::sync::{AtomicBool, Ordering, fence};

/// Whether a thread sleeps, as far as others must know.
#[derive(Debug)]
pub struct Sleep {
    asleep: AtomicBool,
}

impl Default for Sleep {
    fn default() -> Sleep {
        Sleep { asleep: AtomicBool::new(false) }
    }
}

impl Sleep {
    /// The sleeper: I am about to sleep. Look at all lanes after this, and call [`Self::wake`] before doing anything else.
    pub fn announce(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The sleeper: I am awake.
    pub fn wake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// The sender, after publishing to a lane: whether the bell must be rung. Of several senders, one rings.
    pub fn must_ring(&self) -> bool {
        fence(Ordering::SeqCst);
        // Only who finds it asleep writes: the flag's line stays where it is, and loom, which lets a swap and a later store stand in
        // either order, can follow.
        self.asleep.load(Ordering::Relaxed)
            && self.asleep.compare_exchange(true, false, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}
