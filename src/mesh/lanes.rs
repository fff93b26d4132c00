//! Lanes: bounded single-producer single-consumer queues between each ordered pair of shards, one for requests and one for events.
//!
//! Neither can deadlock. A request is sent only against a credit, and there are as many credits towards a home as its lane has places,
//! so a request always fits. An event is consumed without needing room anywhere, so event lanes always drain; a home takes the next
//! request only while every event lane has room for all that may follow from it. What a shard says to itself goes through queues of
//! the same size.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crossbeam_utils::CachePadded;
use rtrb::{Consumer, Producer, RingBuffer};

use super::bell::Sleep;
use super::{Event, Request};
use crate::slot::ShardId;

/// How another thread wakes a shard: its sleep flag and the eventfd that its ring reads.
#[derive(Debug)]
pub struct Doorbell {
    sleep: CachePadded<Sleep>,
    eventfd: OwnedFd,
}

impl Doorbell {
    /// A new bell.
    ///
    /// # Errors
    /// EMFILE: no descriptor left.
    pub fn new() -> std::io::Result<Doorbell> {
        let eventfd = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC)?;
        Ok(Doorbell { sleep: CachePadded::default(), eventfd })
    }

    /// The descriptor that the sleeper's ring reads.
    pub fn eventfd(&self) -> &OwnedFd {
        &self.eventfd
    }

    /// The sleeper's side.
    pub fn sleep(&self) -> &Sleep {
        &self.sleep
    }

    /// Wakes the thread if it sleeps. Says whether it was rung.
    pub fn ring_if_asleep(&self) -> bool {
        let ring = self.sleep.must_ring();
        if ring {
            self.ring();
        }
        ring
    }

    /// Rings, asleep or not.
    pub fn ring(&self) {
        // The only failure is a count near 2^64, which wakes the reader as well.
        let _ = rustix::io::write(&self.eventfd, &1_u64.to_ne_bytes());
    }
}

/// What one shard sends to another (or to itself). Messages are staged during a turn and published together at its end, so that the
/// two cores exchange the queue's cache lines once a turn and not once a message. What a shard stages for itself it takes from there.
#[derive(Debug, Default)]
struct Outgoing {
    requests: VecDeque<Request>,
    events: VecDeque<Event>,
    lanes: Option<(Producer<Request>, Producer<Event>)>,
}

/// What one shard gets from another.
#[derive(Debug)]
struct Incoming {
    requests: Consumer<Request>,
    events: Consumer<Event>,
}

/// A shard's ends of all its lanes.
#[derive(Debug)]
pub struct Lanes {
    me: ShardId,
    capacity: usize,
    outgoing: Vec<Outgoing>,
    incoming: Vec<Option<Incoming>>,
    /// Messages published since they were last counted.
    sent: u64,
    bells: Arc<[Doorbell]>,
}

impl Lanes {
    /// The lanes of `shards` shards, one set for each, with room for `capacity` messages each way.
    pub fn mesh(capacity: usize, bells: &Arc<[Doorbell]>) -> Vec<Lanes> {
        let shards = bells.len();
        let mut all: Vec<Lanes> = (0..shards)
            .map(|me| Lanes {
                me: me as ShardId,
                capacity,
                outgoing: Vec::with_capacity(shards),
                incoming: (0..shards).map(|_| None).collect(),
                sent: 0,
                bells: bells.clone(),
            })
            .collect();
        for from in 0..shards {
            for to in 0..shards {
                let mut outgoing = Outgoing::default();
                if from != to {
                    let (requests, requests_in) = RingBuffer::new(capacity);
                    let (events, events_in) = RingBuffer::new(capacity);
                    all[to].incoming[from] = Some(Incoming { requests: requests_in, events: events_in });
                    outgoing.lanes = Some((requests, events));
                }
                all[from].outgoing.push(outgoing);
            }
        }
        all
    }

    /// Stages a request. The caller holds a credit.
    pub fn request(&mut self, to: ShardId, request: Request) {
        self.outgoing[to as usize].requests.push_back(request);
    }

    /// Stages an event. The caller has looked at [`Self::event_room`].
    pub fn event(&mut self, to: ShardId, event: Event) {
        self.outgoing[to as usize].events.push_back(event);
    }

    /// Events that fit into every event lane, besides those that are staged.
    pub fn event_room(&self) -> usize {
        let room = |out: &Outgoing| {
            let places = out.lanes.as_ref().map_or(self.capacity, |(_, events)| events.slots());
            places.saturating_sub(out.events.len())
        };
        self.outgoing.iter().map(room).min().unwrap_or(0)
    }

    /// The next request from a shard.
    pub fn next_request(&mut self, from: ShardId) -> Option<Request> {
        match &mut self.incoming[from as usize] {
            Some(lanes) => lanes.requests.pop().ok(),
            None => self.outgoing[from as usize].requests.pop_front(),
        }
    }

    /// The next event from a shard.
    pub fn next_event(&mut self, from: ShardId) -> Option<Event> {
        match &mut self.incoming[from as usize] {
            Some(lanes) => lanes.events.pop().ok(),
            None => self.outgoing[from as usize].events.pop_front(),
        }
    }

    /// Publishes what is staged and rings at those of its receivers who sleep. Says how many were rung.
    ///
    /// # Panics
    /// When something does not fit: credits and [`Self::event_room`] are there to make that impossible.
    pub fn publish(&mut self) -> usize {
        let mut rung = 0;
        for (to, outgoing) in self.outgoing.iter_mut().enumerate() {
            let Some((requests, events)) = &mut outgoing.lanes else { continue };
            if outgoing.requests.is_empty() && outgoing.events.is_empty() {
                continue;
            }
            self.sent += (outgoing.requests.len() + outgoing.events.len()) as u64;
            publish_all(&mut outgoing.requests, requests);
            publish_all(&mut outgoing.events, events);
            rung += usize::from(self.bells[to].ring_if_asleep());
        }
        rung
    }

    /// Messages published to other shards since this was asked last.
    pub fn take_sent(&mut self) -> u64 {
        std::mem::take(&mut self.sent)
    }

    /// Whether this shard has said something to itself that it has not taken.
    pub fn has_own(&self) -> bool {
        let own = &self.outgoing[self.me as usize];
        !own.requests.is_empty() || !own.events.is_empty()
    }

    /// Whether anything waits to be taken.
    pub fn has_incoming(&self) -> bool {
        self.has_own() || self.incoming.iter().flatten().any(|lanes| !lanes.requests.is_empty() || !lanes.events.is_empty())
    }

    /// Requests and events that wait to be taken.
    pub fn depths(&self) -> (usize, usize) {
        let mut depths = (0, 0);
        for lanes in self.incoming.iter().flatten() {
            depths.0 += lanes.requests.slots();
            depths.1 += lanes.events.slots();
        }
        depths
    }

    /// This shard's bell.
    pub fn bell(&self) -> &Doorbell {
        &self.bells[self.me as usize]
    }

    /// Number of shards.
    pub fn shards(&self) -> ShardId {
        self.bells.len() as ShardId
    }
}

fn publish_all<T>(staged: &mut VecDeque<T>, lane: &mut Producer<T>) {
    if staged.is_empty() {
        return;
    }
    if lane.is_abandoned() {
        // The other shard has ended before its time was up, or after it: nobody is there to read this.
        return staged.clear();
    }
    let chunk = lane.write_chunk_uninit(staged.len()).expect("a lane has room for what was staged");
    chunk.fill_from_iter(staged.drain(..));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::Event;

    fn pair(capacity: usize) -> (Lanes, Lanes) {
        let bells: Arc<[Doorbell]> = (0..2).map(|_| Doorbell::new().unwrap()).collect();
        let mut lanes = Lanes::mesh(capacity, &bells);
        let second = lanes.pop().unwrap();
        (lanes.pop().unwrap(), second)
    }

    #[test]
    fn messages_cross_when_published_and_in_order() {
        let (mut a, mut b) = pair(8);
        let unwatch = |i| Request::Unwatch { user: "u".into(), session: crate::mesh::SessionKey { index: i, generation: 0 } };
        a.request(1, unwatch(1));
        a.request(1, unwatch(2));
        assert!(!b.has_incoming());
        a.publish();
        assert_eq!((b.depths(), a.take_sent(), a.take_sent()), ((2, 0), 2, 0));
        assert_eq!([b.next_request(0), b.next_request(0), b.next_request(0)], [Some(unwatch(1)), Some(unwatch(2)), None]);
        a.event(0, Event::Detached);
        assert!(a.has_incoming());
        assert_eq!(a.next_event(0), Some(Event::Detached));
    }

    #[test]
    fn two_shards_that_are_full_towards_each_other_get_free() {
        // Both hold every credit towards the other and both event lanes have little room: as each takes a request only when the
        // answer fits, and always takes events, all requests are answered.
        const CREDITS: usize = 8;
        let (mut a, mut b) = pair(CREDITS);
        let mut left = [100_usize; 2];
        let mut credits = [CREDITS; 2];
        let mut turns = 0;
        while left != [0, 0] || credits != [CREDITS; 2] {
            turns += 1;
            assert!(turns < 1000, "deadlock: {left:?} {credits:?}");
            for (me, lanes) in [&mut a, &mut b].into_iter().enumerate() {
                let other = 1 - me as ShardId;
                while left[me] > 0 && credits[me] > 0 {
                    lanes.request(
                        other,
                        Request::Unwatch { user: "u".into(), session: crate::mesh::SessionKey { index: 0, generation: 0 } },
                    );
                    left[me] -= 1;
                    credits[me] -= 1;
                }
                while let Some(event) = lanes.next_event(other) {
                    assert!(event.is_answer());
                    credits[me] += 1;
                }
                while lanes.event_room() >= 3 && lanes.next_request(other).is_some() {
                    lanes.event(other, Event::Unwatched);
                }
                lanes.publish();
            }
        }
    }

    #[test]
    fn only_a_sleeper_is_rung() {
        let (mut a, b) = pair(4);
        a.event(1, Event::Detached);
        assert_eq!(a.publish(), 0);
        b.bell().sleep().announce();
        a.event(1, Event::Detached);
        assert_eq!(a.publish(), 1);
        a.event(1, Event::Detached);
        assert_eq!(a.publish(), 0, "the first ring is on its way");
    }
}
