//! Resting: a user whose list is on disk and whose last session left stays in memory for a while, in case that he comes back. The newest `users_idle_max`
//! do; the others are forgotten but for what only this memory knows. So memory does not grow with what is stored.

use super::Users;
use super::user::User;
use crate::clock::Now;

/// Entries of lists that are dropped in one turn, about: freeing memory takes time too.
const DROPPED_PER_TURN: usize = 4096;

impl Users {
    /// A user may have nothing left to do here. He leaves memory, at once or when others have come to rest after him.
    pub(super) fn rest(&mut self, user: u32, now: Now) {
        let User { sessions, online, is_loaded, resting, .. } = &mut self.users[user];
        if !sessions.is_empty() || *online || resting.is_some() {
            return;
        }
        if !self.lists_on_disk || !*is_loaded {
            return self.forget_if_empty(user, now);
        }
        self.rested = self.rested.saturating_add(1);
        *resting = Some(self.rested);
        self.resting.insert(self.rested, user);
    }

    /// He is back.
    pub(super) fn wake(&mut self, user: u32) {
        if let Some(since) = self.users[user].resting.take() {
            self.resting.remove(&since);
        }
    }

    /// Those who have rested longest leave memory when there are too many. One for whom something is under way has his turn again later.
    pub(super) fn forget_resting(&mut self, now: Now) {
        let mut budget = DROPPED_PER_TURN;
        // What was struck from a list must be so on disk before that list is read again.
        while budget > 0 && self.has_too_many_resting() && self.strikes == 0 {
            let Some((_, user)) = self.resting.pop_first() else { return };
            self.users[user].resting = None;
            if self.users[user].is_busy() {
                budget = budget.saturating_sub(DROPPED_PER_TURN / 16);
                self.rest(user, now);
                continue;
            }
            budget = budget.saturating_sub(1 + self.users[user].list.as_ref().map_or(0, |list| list.len()));
            self.unload(user);
            self.forget_if_empty(user, now);
        }
    }

    pub(super) fn has_too_many_resting(&self) -> bool {
        self.resting.len() > self.limits.users_idle_max as usize
    }

    /// Forgets what is on disk as well.
    pub(super) fn unload(&mut self, user: u32) {
        let User { is_loaded, list, .. } = &mut self.users[user];
        *is_loaded = false;
        if let Some(known) = list {
            known.unload();
            if known.is_empty() {
                *list = None;
            }
        }
    }
}
