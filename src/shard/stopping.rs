//! Stopping: nothing new, everything acknowledged is delivered, everyone is told to come back later, and out.
//!
//! Publishing is refused first. When a shard has every answer that it waits for, it says so; when all have, nothing new can come into
//! any lane, so each empties its own, and says goodbye to its connections.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::Shard;
use crate::clock::Now;
use crate::net::Phase;
use crate::ring::Slot;
use crate::wire::schema::CloseCode;

/// Connections that are told to go in one turn.
const GOODBYES_PER_TURN: u32 = 4096;
/// How often a stopping shard looks at the others.
const LOOK_MS: u64 = 5;

/// How shards are told to stop, and tell each other how far they are. Touched at the end of a run only.
#[derive(Debug, Default)]
pub struct Stop {
    /// 0: go on; else the grace time in ms, plus one.
    grace_ms: AtomicU64,
    quiet: AtomicU32,
    empty: AtomicU32,
}

impl Stop {
    /// Asks all shards to stop within this time. Their bells must be rung after it.
    pub fn ask(&self, grace_ms: u32) {
        self.grace_ms.store(u64::from(grace_ms) + 1, Ordering::Release);
    }

    fn asked(&self) -> Option<u64> {
        self.grace_ms.load(Ordering::Acquire).checked_sub(1)
    }
}

/// How far this shard is.
#[derive(Debug)]
pub(super) struct Stopping {
    stop: std::sync::Arc<Stop>,
    stage: Stage,
    deadline_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Running,
    /// Answers are still on their way here.
    Finishing,
    /// Others wait for answers.
    Quiet,
    /// Everyone is told to go; the next slot to look at.
    Goodbyes(u32),
    /// No connection is left.
    Empty,
}

impl Stopping {
    pub(super) fn new(stop: std::sync::Arc<Stop>) -> Stopping {
        Stopping { stop, stage: Stage::Running, deadline_ms: 0 }
    }

    /// Whether it was asked to stop and has not begun.
    pub(super) fn is_news(&self) -> bool {
        self.stage == Stage::Running && self.stop.asked().is_some()
    }

    pub(super) fn has_work(&self) -> bool {
        matches!(self.stage, Stage::Goodbyes(next) if next != u32::MAX)
    }

    pub(super) fn next(&self, _now: Now) -> Option<Duration> {
        (self.stage != Stage::Running).then(|| Duration::from_millis(LOOK_MS))
    }
}

impl Shard {
    /// Takes the next step towards the end. Says whether the shard goes on.
    pub(super) fn go_on_stopping(&mut self) -> bool {
        if self.stopping.is_news() {
            self.begin_stopping();
        }
        let shards = u32::from(self.lanes.shards());
        let stop = self.stopping.stop.clone();
        match self.stopping.stage {
            Stage::Running => return true,
            Stage::Finishing if self.users.is_quiet() && self.keep.is_quiet() => {
                stop.quiet.fetch_add(1, Ordering::AcqRel);
                self.stopping.stage = Stage::Quiet;
            }
            Stage::Quiet if stop.quiet.load(Ordering::Acquire) >= shards => {
                if !self.lanes.has_incoming() && !self.users.has_work() {
                    self.stopping.stage = Stage::Goodbyes(0);
                }
            }
            Stage::Goodbyes(next) => self.say_goodbyes(next),
            Stage::Empty if stop.empty.load(Ordering::Acquire) >= shards => return false,
            Stage::Finishing | Stage::Quiet | Stage::Empty => {}
        }
        self.now.mono_ms < self.stopping.deadline_ms
    }

    fn begin_stopping(&mut self) {
        let grace_ms = self.stopping.stop.asked().unwrap_or_default();
        self.stopping.deadline_ms = self.now.mono_ms + grace_ms;
        self.stopping.stage = Stage::Finishing;
        self.ring.stop_listening();
        self.users.stop_publishing();
    }

    fn say_goodbyes(&mut self, next: u32) {
        let last = next.saturating_add(GOODBYES_PER_TURN).min(self.connections.slots());
        for slot in (next..last).map(Slot) {
            if self.connections.get_mut(slot).is_some_and(|c| !matches!(c.phase, Phase::Moving { .. })) {
                let after_ms = self.random_below(self.limits.goaway_spread_ms);
                self.goodbye(slot, CloseCode::shutting_down, after_ms);
            }
        }
        self.flush();
        let is_through = last >= self.connections.slots();
        self.stopping.stage = Stage::Goodbyes(if is_through { u32::MAX } else { last });
        if is_through && self.connections.is_empty() {
            self.stopping.stop.empty.fetch_add(1, Ordering::AcqRel);
            self.stopping.stage = Stage::Empty;
        }
    }
}
