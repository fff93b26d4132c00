//! Credits: how many requests may be on their way to each home. There are as many as the lane has places, so a request always fits.

use std::collections::VecDeque;

use crate::effects::Effects;
use crate::mesh::Request;
use crate::slot::ShardId;

/// One account for each home.
#[derive(Debug)]
pub(super) struct Credits {
    homes: Vec<Account>,
    is_short: bool,
}

#[derive(Debug)]
struct Account {
    all: u32,
    left: u32,
    /// Requests that this shard makes by itself (attach, detach, pages ...) and that had no credit. They go first.
    deferred: VecDeque<Request>,
}

impl Credits {
    pub(super) fn new(shards: ShardId, each: u32) -> Credits {
        let account = || Account { all: each, left: each, deferred: VecDeque::new() };
        let homes = (0..shards).map(|_| account()).collect();
        Credits { homes, is_short: false }
    }

    /// Whether credits with a home have become few since this was asked last: then it is time to look for answers.
    pub(super) fn take_shortage(&mut self) -> bool {
        std::mem::take(&mut self.is_short)
    }

    /// Whether nothing is on its way.
    pub(super) fn are_all_home(&self) -> bool {
        self.homes.iter().all(|account| account.left == account.all)
    }

    /// Takes a credit for a client's request.
    pub(super) fn spend(&mut self, to: ShardId) -> Option<()> {
        let account = &mut self.homes[to as usize];
        if !account.deferred.is_empty() {
            return None;
        }
        account.left = account.left.checked_sub(1)?;
        self.is_short |= account.left < account.all / 4;
        Some(())
    }

    /// Sends a request of this shard's own, now or as soon as there is a credit. How many can wait is bounded by what they are about:
    /// sessions and their subscriptions.
    pub(super) fn send(&mut self, to: ShardId, request: Request, fx: &mut Effects) {
        match self.spend(to) {
            Some(()) => fx.requests.push((to, request)),
            None => self.homes[to as usize].deferred.push_back(request),
        }
    }

    /// An answer came.
    pub(super) fn give_back(&mut self, from: ShardId, fx: &mut Effects) {
        let account = &mut self.homes[from as usize];
        match account.deferred.pop_front() {
            Some(request) => fx.requests.push((from, request)),
            None => account.left += 1,
        }
    }
}
