//! One turn: completions, messages of other shards, what they lead to, sends, timers, sleep.

use std::io;
use std::time::{Duration, Instant};

use super::{Look, Shard};
use crate::conversation::events_per_request;
use crate::mesh::{Event, Request};
use crate::net::Due;
use crate::ring::Completion;
use crate::session::Users;
use crate::slot::ShardId;

/// Requests that are taken from one lane before the next has its turn.
const REQUESTS_PER_LANE: usize = 256;
/// Turns between two looks at gauges, unless the shard sleeps.
const TURNS_PER_GAUGES: u64 = 64;
/// Rounds in which a shard answers itself within one turn.
const ROUNDS_MAX: usize = 16;
/// Longest sleep: metrics stay fresh, and a missed wake-up would be a bug that shows.
const SLEEP_MAX: Duration = Duration::from_secs(1);

impl Shard {
    /// Sleeps if there is nothing to do, then does what there is. Says whether to go on.
    ///
    /// # Errors
    /// The ring cannot be used any more.
    pub fn turn(&mut self) -> io::Result<bool> {
        self.enter()?;
        let began = Instant::now();
        self.now = self.clock.now();
        let receives = self.take_completions();
        self.take_messages();
        self.take_outcomes();
        self.tick();
        self.users.work(self.room(), self.now, &mut self.fx);
        self.stage();
        self.conversations.work(self.room(), self.now, &mut self.fx);
        self.run_store();
        self.act();
        self.stage();
        let (rung, sent) = (self.lanes.publish(), self.lanes.take_sent());
        self.metrics().lane_messages.add(sent);
        self.keep.publish();
        let waits = self.gather.decide(self.dirty.len(), receives);
        let sends = if waits { 0 } else { self.flush() };
        self.measure(began, rung, sends);
        Ok(self.go_on_stopping())
    }

    /// Gives the kernel what was asked for. Sleeps only after announcing it and finding every lane empty.
    fn enter(&mut self) -> io::Result<()> {
        if self.has_work() {
            return self.ring.enter(None);
        }
        self.measure_gauges();
        let metrics = &self.metrics[self.id as usize];
        let sleep = self.lanes.bell().sleep();
        sleep.announce();
        let wait = if self.lanes.has_incoming() || self.keep.has_outcomes() || self.stopping.is_news() {
            None
        } else {
            Some(self.sleep_for())
        };
        metrics.asleep.set(1);
        let result = self.ring.enter(wait);
        metrics.asleep.set(0);
        self.lanes.bell().sleep().wake();
        result
    }

    fn has_work(&self) -> bool {
        self.users.has_work()
            || self.conversations.has_work()
            || self.lanes.has_incoming()
            || !self.starved.is_empty()
            || !self.door.is_empty()
            || self.stopping.has_work()
            || self.gather.is_waiting()
    }

    fn sleep_for(&self) -> Duration {
        let accept = self.accept_at_ms.map(|at| Duration::from_millis(at.saturating_sub(self.now.mono_ms)));
        let receipts = self.conversations.next_tick_ms().map(|at| Duration::from_millis(at.saturating_sub(self.now.mono_ms)));
        let times =
            [self.timers.next(self.now.mono_ms), self.users.next_tick(self.now), receipts, accept, self.stopping.next(self.now)];
        times.into_iter().flatten().fold(SLEEP_MAX, Duration::min)
    }

    /// Gives how many receives were among them.
    fn take_completions(&mut self) -> usize {
        let mut completions = std::mem::take(&mut self.completions);
        self.ring.drain(&mut completions);
        let receives = completions.iter().filter(|completion| matches!(completion, Completion::Received { .. })).count();
        for completion in completions.drain(..) {
            self.completed(completion);
            if self.users.is_short_of_credits() {
                self.take_messages();
                self.lanes.publish();
            }
        }
        self.completions = completions;
        for slot in std::mem::take(&mut self.starved) {
            self.receive(slot);
        }
        self.open_door();
        receives
    }

    /// What other shards sent, and what this one says to itself, until it has no more to say.
    fn take_messages(&mut self) {
        self.stage();
        for _ in 0..ROUNDS_MAX {
            for from in 0..self.lanes.shards() {
                while let Some(event) = self.lanes.next_event(from) {
                    self.take_event(from, event);
                }
            }
            self.take_requests();
            if !self.lanes.has_own() {
                return;
            }
        }
    }

    fn take_event(&mut self, from: ShardId, event: Event) {
        match event {
            Event::HandedOver(connection) => self.taken_over(*connection),
            event => self.users.event(from, event, &mut self.fx),
        }
        self.stage();
    }

    /// Each lane in turn, as long as there is room for all that may follow.
    fn take_requests(&mut self) {
        let shards = self.lanes.shards();
        self.next_from = (self.next_from + 1) % shards;
        let first = self.next_from;
        for from in (0..shards).map(|i| (first + i) % shards) {
            for _ in 0..REQUESTS_PER_LANE {
                if self.room() < events_per_request(&self.limits) {
                    return;
                }
                let Some(request) = self.lanes.next_request(from) else { break };
                self.take_request(from, request);
            }
        }
    }

    fn take_request(&mut self, from: ShardId, request: Request) {
        if Users::answers(&request) {
            self.users.request(from, request, self.now, &mut self.fx);
        } else {
            self.conversations.request(from, request, self.now, &mut self.fx);
            self.run_store();
        }
        self.stage();
    }

    /// Events that fit into every lane, besides those that hand-offs under way will need.
    pub(super) fn room(&self) -> usize {
        self.lanes.event_room().saturating_sub(self.moving)
    }

    /// Moves messages for other shards to their lanes.
    pub(super) fn stage(&mut self) {
        for (to, request) in self.fx.requests.drain(..) {
            self.lanes.request(to, request);
        }
        for (to, event) in self.fx.events.drain(..) {
            self.lanes.event(to, event);
        }
    }

    fn tick(&mut self) {
        self.users.tick(self.now);
        self.conversations.tick(self.now, &mut self.fx);
        let mut due = std::mem::take(&mut self.due);
        self.timers.advance(self.now.mono_ms, &mut due);
        due.drain(..).for_each(|look| self.look(look));
        self.due = due;
        if self.accept_at_ms.is_some_and(|at| at <= self.now.mono_ms) {
            self.accept_at_ms = None;
            self.resting.drain(..).for_each(|listener| self.ring.accept(listener));
        }
    }

    fn look(&mut self, look: Look) {
        let (now, limits) = (self.now, self.limits.clone());
        let Some(connection) = self.connections.get_mut(look.slot).filter(|c| c.stamp == look.stamp) else { return };
        match connection.due(now, &limits) {
            Due::Nothing => {}
            Due::Ping => self.ping(look.slot),
            Due::Close(code) => self.goodbye(look.slot, code, 0),
            Due::Abandon => self.begin_close(look.slot),
        }
        if let Some(connection) = self.connections.get_mut(look.slot) {
            self.timers.arm(connection.look_again_ms(now, &limits), look);
        }
    }

    fn measure(&self, began: Instant, rung: usize, sends: usize) {
        let metrics = self.metrics();
        metrics.turns.inc();
        metrics.turn_ns.observe(began.elapsed().as_nanos() as u64);
        metrics.sends.add(sends as u64);
        metrics.sends_per_turn.observe(sends as u64);
        metrics.doorbells_rung.add(rung as u64);
        if metrics.turns.get().is_multiple_of(TURNS_PER_GAUGES) {
            self.measure_gauges();
        }
    }

    /// What stands in lanes and maps. Looking into lanes costs a cache line of another core, so not every turn does it.
    fn measure_gauges(&self) {
        let metrics = self.metrics();
        let (sessions, users, mirrors) = self.users.counts();
        metrics.sessions.set(sessions as u64);
        metrics.users.set(users as u64);
        metrics.mirrors.set(mirrors as u64);
        metrics.conversations.set(self.conversations.len() as u64);
        metrics.connections.set(self.connections.len() as u64);
        metrics.waiting_at_door.set(self.door.len() as u64);
        metrics.history_bytes.set(self.keep.memory.bytes() as u64);
        metrics.outbox_pool_bytes.set(self.pool_bytes() as u64);
        let (requests, events) = self.lanes.depths();
        metrics.request_queue_depth.set(requests as u64);
        metrics.result_queue_depth.set(events as u64);
    }
}
