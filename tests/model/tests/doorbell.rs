//! The doorbell of `src/mesh/bell.rs`, that very file, with loom's atomics: whatever the interleaving, a sleeper with a message is woken.
//!
//! The lanes are a counter each, published with release and looked at with acquire, which is what an SPSC queue promises; the eventfd
//! is loom's `Notify`, which remembers one ring. A lost wake-up leaves the sleeper waiting for ever, and loom reports a deadlock.

#[path = "../../../src/mesh/bell.rs"]
#[allow(missing_docs)]
mod bell;

/// What the file takes its atomics from.
mod sync {
    pub use loom::sync::atomic::{AtomicBool, Ordering, fence};
}

// Not loom's: its destructor looks into the model, which is gone when a deadlock is reported.
use std::sync::Arc;

use loom::sync::Notify;
use loom::sync::atomic::{AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use loom::thread;

use bell::Sleep;

/// The protocol, or one that is nearly it.
trait Bell: Default + Send + Sync + 'static {
    fn announce(&self);
    fn wake(&self);
    fn must_ring(&self) -> bool;
}

impl Bell for Sleep {
    fn announce(&self) {
        Sleep::announce(self);
    }

    fn wake(&self) {
        Sleep::wake(self);
    }

    fn must_ring(&self) -> bool {
        Sleep::must_ring(self)
    }
}

struct Shard<B> {
    lanes: Vec<AtomicUsize>,
    bell: B,
    eventfd: Notify,
}

impl<B: Bell> Shard<B> {
    fn new(senders: usize) -> Arc<Shard<B>> {
        let lanes = (0..senders).map(|_| AtomicUsize::new(0)).collect();
        Arc::new(Shard { lanes, bell: B::default(), eventfd: Notify::new() })
    }

    /// As a shard ends its turn: publish, and ring if the receiver said that it sleeps.
    fn send(&self, lane: usize, message: usize) {
        self.lanes[lane].store(message, Release);
        if self.bell.must_ring() {
            self.eventfd.notify();
        }
    }

    fn received(&self) -> usize {
        self.lanes.iter().map(|lane| lane.load(Acquire)).sum()
    }

    /// As a shard begins its turn: announce, look once more, and only then wait.
    fn receive(&self, all: usize) {
        let mut had = self.received();
        while had < all {
            self.bell.announce();
            if self.received() == had {
                self.eventfd.wait();
            }
            self.bell.wake();
            had = self.received();
        }
    }
}

/// Each sender says so many messages, each published by itself, to one receiver. `preemptions` bounds how often a thread is interrupted where
/// it could go on: loom finds nearly all with two, and all take minutes.
fn check<B: Bell>(senders: usize, messages: usize, preemptions: Option<usize>) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(move || {
        let shard = Shard::<B>::new(senders);
        let threads: Vec<_> = (0..senders)
            .map(|lane| {
                let shard = shard.clone();
                thread::spawn(move || (1..=messages).for_each(|message| shard.send(lane, message)))
            })
            .collect();
        shard.receive(senders * messages);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn one_sender_never_leaves_a_message_with_a_sleeper() {
    check::<Sleep>(1, 1, None);
    check::<Sleep>(1, 2, Some(3));
}

#[test]
fn two_senders_never_leave_a_message_with_a_sleeper() {
    check::<Sleep>(2, 1, Some(2));
}

/// The same, but neither side has its fence: each may look before its own word is seen.
struct Unfenced {
    asleep: sync::AtomicBool,
}

impl Default for Unfenced {
    fn default() -> Unfenced {
        Unfenced { asleep: sync::AtomicBool::new(false) }
    }
}

impl Bell for Unfenced {
    fn announce(&self) {
        self.asleep.store(true, Relaxed);
    }

    fn wake(&self) {
        self.asleep.store(false, Relaxed);
    }

    fn must_ring(&self) -> bool {
        self.asleep.load(Relaxed) && self.asleep.compare_exchange(true, false, sync::Ordering::AcqRel, Relaxed).is_ok()
    }
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_the_fences_the_model_finds_the_lost_wake_up() {
    check::<Unfenced>(1, 1, None);
}

/// The same, but the sleeper does not look again after it has said that it will sleep.
#[test]
#[should_panic(expected = "deadlock")]
fn without_the_second_look_the_model_finds_the_lost_wake_up() {
    loom::model(|| {
        let shard = Shard::<Sleep>::new(1);
        let sender = shard.clone();
        let thread = thread::spawn(move || sender.send(0, 1));
        if shard.received() == 0 {
            shard.bell.announce();
            shard.eventfd.wait();
            shard.bell.wake();
        }
        thread.join().unwrap();
    });
}
