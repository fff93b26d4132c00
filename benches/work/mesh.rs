//! Messages from one shard to another: staged, published, taken, both ends on one thread.

use std::sync::Arc;

use campanile::mesh::Event;
use campanile::mesh::lanes::{Doorbell, Lanes};

const CAPACITY: usize = 1024;

/// The ends of two shards.
pub fn pair() -> (Lanes, Lanes) {
    let bells: Arc<[Doorbell]> = (0..2).map(|_| Doorbell::new().expect("a descriptor")).collect();
    let mut lanes = Lanes::mesh(CAPACITY, &bells);
    let second = lanes.pop().expect("two shards");
    (lanes.pop().expect("two shards"), second)
}

pub struct Hop {
    near: Lanes,
    far: Lanes,
}

impl Hop {
    pub fn new() -> Hop {
        let (near, far) = pair();
        Hop { near, far }
    }

    /// So many events in one turn. Gives how many came.
    pub fn run(&mut self, events: usize) -> usize {
        (0..events).for_each(|_| self.near.event(1, Event::Detached));
        self.near.publish();
        std::iter::from_fn(|| std::hint::black_box(self.far.next_event(0))).count()
    }
}
