//! The start of a session: what it receives without asking. A long list is gone through in slices, and no faster than its conversations are caught up with.

use std::collections::BTreeSet;

use super::list::{Entry, FIRST_IN_MEMORY};
use super::receive::Start;
use super::{More, Users};
use crate::conversation::{Key, Kind};
use crate::effects::Effects;
use crate::id::Address;
use crate::mesh::{Refusal, SessionKey};
use crate::wire::schema::ErrorCode;

/// Entries of lists that one turn looks at.
const ENTRIES_PER_TURN: usize = if cfg!(test) { 4 } else { 512 };
/// Conversations that one session catches up with at once, of those that it did not ask for.
const CATCH_UPS_MAX: usize = if cfg!(test) { 3 } else { 128 };

/// A session that has not seen all of its user's list yet.
pub(super) struct Starting {
    /// Conversations that the client has named: they are seen to already.
    named: BTreeSet<Key>,
    /// The last place of the list that was seen to.
    after: u32,
    /// The last places when it began: what came into the list later came with the session there.
    until: [u32; 2],
    /// It stands in the queue of those to go on.
    is_queued: bool,
}

impl Starting {
    /// Whether it is still to see to this place of the list.
    fn is_before(&self, number: u32) -> bool {
        number > self.after && number <= self.until[usize::from(number >= FIRST_IN_MEMORY)]
    }

    /// The client has asked for a conversation by itself, or does not want it.
    pub(super) fn named(&mut self, key: &Key) {
        self.named.insert(key.clone());
    }
}

impl Users {
    /// What the client resumes; then its user's groups, and the direct conversations in which there is or may be something that this device has not
    /// had; and broadcast.
    pub(super) fn receive_from_start(&mut self, session: SessionKey, resume: Vec<(Key, Start)>, fx: &mut Effects) {
        let until = self.user_of(session).list.as_ref().map(|list| list.last_numbers());
        let broadcast = Key::new("", Address::Broadcast);
        let with_broadcast = !resume.iter().any(|(key, _)| *key == broadcast);
        let mut named = BTreeSet::new();
        if until.is_some() {
            named.extend(resume.iter().map(|(key, _)| key.clone()));
        }
        for (key, start) in resume {
            self.start_named(session, key, start, fx);
        }
        if let Some(until) = until {
            self.more(session).starting = Some(Box::new(Starting { named, after: 0, until, is_queued: false }));
            self.start_listed(session, &mut ENTRIES_PER_TURN.clone(), fx);
        }
        if with_broadcast {
            self.attach(session, broadcast, Start::default(), fx);
        }
    }

    fn start_named(&mut self, session: SessionKey, key: Key, start: Start, fx: &mut Effects) {
        if key.kind() == Kind::Topic {
            let topics = &mut self.sessions[session.index].topics;
            if *topics >= self.limits.subscriptions_per_session_max {
                return self.say_not_resumed(session, &key, Refusal::new(ErrorCode::too_many_subscriptions), fx);
            }
            *topics += 1;
        }
        self.attach(session, key, start, fx);
    }

    /// One turn's share: the sessions take turns.
    pub(super) fn start_sessions(&mut self, fx: &mut Effects) {
        let mut budget = ENTRIES_PER_TURN;
        while budget > 0
            && let Some(session) = self.starting.pop_front()
        {
            if let Some(starting) = self.starting(session) {
                starting.is_queued = false;
                self.start_listed(session, &mut budget, fx);
            }
        }
    }

    pub(super) fn starting(&mut self, session: SessionKey) -> Option<&mut Starting> {
        self.session(session)?.more.as_mut()?.starting.as_deref_mut()
    }

    /// A session catches up with one conversation less: there is room for more of its list.
    pub(super) fn go_on_starting(&mut self, session: SessionKey) {
        let Some(more) = self.session(session).and_then(|session| session.more.as_mut()) else { return };
        if let Some(starting) = &mut more.starting
            && !starting.is_queued
            && more.catch_ups.len() <= CATCH_UPS_MAX / 2
        {
            starting.is_queued = true;
            self.starting.push_back(session);
        }
    }

    fn start_listed(&mut self, session: SessionKey, budget: &mut usize, fx: &mut Effects) {
        let user = self.sessions[session.index].user;
        while let Some(More { starting: Some(starting), catch_ups, .. }) = self.sessions[session.index].more.as_deref_mut() {
            if catch_ups.len() >= CATCH_UPS_MAX {
                return;
            }
            if *budget == 0 {
                starting.is_queued = true;
                return self.starting.push_back(session);
            }
            *budget -= 1;
            let next = self.users[user].list.as_ref().and_then(|list| list.after(starting.after).next());
            let Some((number, entry)) = next.filter(|&(number, _)| starting.is_before(number) || number < FIRST_IN_MEMORY) else {
                break;
            };
            let is_due = starting.is_before(number) && !starting.named.contains(&entry.key);
            starting.after = number;
            let key = entry.key.clone();
            if is_due && let Some(start) = self.start_of(session, user, &key) {
                self.attach(session, key, start, fx);
            }
        }
        if let Some(more) = &mut self.sessions[session.index].more {
            more.starting = None;
            if more.catch_ups.is_empty() {
                more.acked.clear();
            }
        }
        self.tidy(session);
    }

    /// Whether a session of the user has not seen all of his list.
    pub(super) fn is_starting(&self, user: u32) -> bool {
        let has_begun = |&index: &u32| self.sessions[index].more.as_ref().is_some_and(|more| more.starting.is_some());
        self.users[user].sessions.iter().any(has_begun)
    }

    /// Something moves in a conversation of a user's list: his sessions that have not come to it begin there now, as if they had when they logged in.
    pub(super) fn start_ahead(&mut self, user: u32, number: u32, key: &Key, fx: &mut Effects) {
        for at in 0..self.users[user].sessions.len() {
            let index = self.users[user].sessions[at];
            let starting = self.sessions[index].more.as_mut().and_then(|more| more.starting.as_mut());
            let Some(starting) = starting.filter(|starting| starting.is_before(number)) else { continue };
            if starting.named.insert(key.clone()) {
                let session = self.key_of_index(index);
                if let Some(start) = self.start_of(session, user, key) {
                    self.attach(session, key.clone(), start, fx);
                }
            }
        }
    }

    /// Where the session begins in a conversation of its user's list. `None`: there is nothing for it, or it has begun.
    fn start_of(&mut self, session: SessionKey, user: u32, key: &Key) -> Option<Start> {
        if self.catch_up(session, key).is_some() || self.link_to(session.index, key).is_some() {
            return None;
        }
        let entry = self.users[user].entry(key)?;
        let stored = entry.cursor_of(&self.sessions[session.index].device);
        let start = Start { stored: Some((entry.epoch, stored)), ..Start::default() };
        match (key.kind(), entry.log()) {
            (Kind::Direct, Some(log)) => entry.has_news(stored, log).then_some(start),
            (Kind::Direct, None) => self.policies.is_on_disk(Kind::Direct).then_some(Start { is_question: true, ..start }),
            _ => Some(start),
        }
    }
}

impl Entry {
    /// Whether a device that has received everything up to `stored` is behind the log.
    pub(super) fn has_news(&self, stored: u64, (epoch, committed): (u64, u64)) -> bool {
        stored < committed || (stored > 0 && self.epoch != epoch)
    }
}
