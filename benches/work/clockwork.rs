//! Shards on cores of their own, in virtual time: each turn takes as long as what it does, what is published is seen when the turn has ended, and who
//! has nothing to do sleeps until a bell or a client wakes him. Costs are rounded from what the load client measures; what is counted with
//! them depends on their proportions only.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use campanile::clock::Now;
use campanile::mesh::SessionKey;

use super::town::{Mix, Town};

/// A turn in which nothing happens.
const TURN_NS: u64 = 1_000;
/// A frame received.
const FRAME_NS: u64 = 1_500;
/// A frame sent.
const SEND_NS: u64 = 2_300;
/// A message to another shard; the bell is a system call more.
const ENVELOPE_NS: u64 = 100;
const BELL_NS: u64 = 500;
/// From the bell until the sleeper is up.
const WAKE_NS: u64 = 5_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happens {
    Message,
    TurnBegins(usize),
    TurnEnds(usize),
}

#[derive(Default)]
struct Core {
    is_asleep: bool,
    inbox: VecDeque<(SessionKey, Vec<u8>)>,
    busy_ns: u64,
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub messages: u64,
    pub deliveries: u64,
    pub requests: u64,
    pub answers: u64,
    pub news: u64,
    pub bells: u64,
    /// The most requests that any shard had open with any other, of those that it may.
    pub credits: f64,
    /// Share of the time in which cores had something to do.
    pub busy: f64,
    /// The busiest core's share, to the mean.
    pub imbalance: f64,
}

impl Outcome {
    /// Messages between shards.
    pub fn envelopes(&self) -> u64 {
        self.requests + self.answers + self.news
    }

    /// Of what a message costs a core.
    pub fn busy_ns_per_message(&self, span_ns: u64, cores: usize) -> f64 {
        self.busy * span_ns as f64 * cores as f64 / self.messages as f64
    }
}

struct Clockwork<'t> {
    began: Now,
    town: &'t mut Town,
    cores: Vec<Core>,
    queue: BinaryHeap<Reverse<(u64, u64, Happens)>>,
    queued: u64,
    rung: u64,
}

/// Plays so many messages, one every `every_ns` on average, until all is delivered. Gives what it came to, and how long it took.
///
/// # Panics
/// When a message was refused, or not delivered to everyone.
pub fn play(town: &mut Town, mix: Mix, messages: u64, every_ns: f64) -> (Outcome, u64) {
    town.shards.reset();
    let cores = town.shards.all.iter().map(|_| Core { is_asleep: true, ..Core::default() }).collect();
    town.shards.all.iter().for_each(|shard| shard.lanes.bell().sleep().announce());
    let mut clockwork = Clockwork { began: town.shards.now, town, cores, queue: BinaryHeap::new(), queued: 0, rung: 0 };
    let (expected, span_ns) = clockwork.run(mix, messages, every_ns);
    let Clockwork { town, cores, began, .. } = clockwork;
    town.shards.now = later(began, span_ns);
    let shards = &town.shards;
    let sum = |what: fn(&super::shards::Counts) -> u64| shards.sum(what);
    assert_eq!(sum(|c| c.deliveries), expected, "everybody got everything");
    assert!(shards.all.iter().all(super::shards::Shard::is_quiet), "every credit is home");
    let busy: Vec<f64> = cores.iter().map(|core| core.busy_ns as f64 / span_ns as f64).collect();
    let mean = busy.iter().sum::<f64>() / busy.len() as f64;
    let open_max = shards.all.iter().map(|shard| shard.counts.open_max).max().unwrap_or(0);
    let outcome = Outcome {
        messages,
        deliveries: expected,
        requests: sum(|c| c.requests),
        answers: sum(|c| c.answers),
        news: sum(|c| c.news),
        bells: sum(|c| c.rung),
        credits: f64::from(open_max) / f64::from(shards.lane_places),
        busy: mean,
        imbalance: busy.iter().copied().fold(0.0, f64::max) / mean,
    };
    (outcome, span_ns)
}

fn later(began: Now, ns: u64) -> Now {
    Now { mono_ms: began.mono_ms + ns / 1_000_000, wall_ms: began.wall_ms + ns / 1_000_000 }
}

impl Clockwork<'_> {
    fn run(&mut self, mix: Mix, messages: u64, every_ns: f64) -> (u64, u64) {
        let (mut left, mut expected, mut end_ns) = (messages, 0, 0);
        self.at(0, Happens::Message);
        while let Some(Reverse((now_ns, _, happens))) = self.queue.pop() {
            end_ns = now_ns;
            match happens {
                Happens::Message => {
                    let said = self.town.say(mix);
                    expected += said.receivers;
                    let core = usize::from(said.by.shard);
                    self.cores[core].inbox.push_back((said.by.session, said.frame));
                    if self.cores[core].is_asleep {
                        self.wake(core, now_ns);
                    }
                    left -= 1;
                    if left > 0 {
                        let pause_ns = self.town.pause_ns(every_ns);
                        self.at(now_ns + pause_ns, Happens::Message);
                    }
                }
                Happens::TurnBegins(core) => self.begin(core, now_ns),
                Happens::TurnEnds(core) => self.end(core, now_ns),
            }
        }
        (expected, end_ns)
    }

    fn at(&mut self, ns: u64, happens: Happens) {
        self.queued += 1;
        self.queue.push(Reverse((ns, self.queued, happens)));
    }

    fn wake(&mut self, core: usize, at_ns: u64) {
        self.cores[core].is_asleep = false;
        self.at(at_ns, Happens::TurnBegins(core));
    }

    fn begin(&mut self, core: usize, now_ns: u64) {
        let shard = &mut self.town.shards.all[core];
        shard.lanes.bell().sleep().wake();
        let now = later(self.began, now_ns);
        let before = (shard.counts.sends, shard.counts.envelopes());
        let (requests, events) = shard.lanes.depths();
        let frames = self.cores[core].inbox.len() as u64;
        for (session, frame) in self.cores[core].inbox.drain(..) {
            shard.frame(session, &frame, now);
        }
        shard.turn(now);
        let envelopes = shard.counts.envelopes() - before.1 + (requests + events) as u64;
        let sends = shard.counts.sends - before.0;
        let cost_ns = TURN_NS + FRAME_NS * frames + SEND_NS * sends + ENVELOPE_NS * envelopes;
        self.cores[core].busy_ns += cost_ns;
        self.at(now_ns + cost_ns, Happens::TurnEnds(core));
    }

    fn end(&mut self, core: usize, now_ns: u64) {
        let shard = &mut self.town.shards.all[core];
        shard.publish();
        let has_work = shard.has_work() || !self.cores[core].inbox.is_empty();
        self.ring(core, now_ns);
        if has_work {
            self.at(now_ns, Happens::TurnBegins(core));
        } else {
            self.town.shards.all[core].lanes.bell().sleep().announce();
            self.cores[core].is_asleep = true;
        }
    }

    /// Those who sleep and were rung.
    fn ring(&mut self, by: usize, now_ns: u64) {
        let rung = self.town.shards.sum(|counts| counts.rung);
        if rung == self.rung {
            return;
        }
        self.cores[by].busy_ns += BELL_NS * (rung - self.rung);
        self.rung = rung;
        for core in 0..self.cores.len() {
            if self.cores[core].is_asleep && self.town.shards.all[core].lanes.has_incoming() {
                self.wake(core, now_ns + WAKE_NS);
            }
        }
    }
}
