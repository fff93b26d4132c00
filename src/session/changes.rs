//! Changes of groups on disk: whom a change adds has the group in his list on disk before the change is asked for.
//!
//! A group does not leave a list while somebody is adding its user: the hint that was durable before the record would be gone after it. So the home of a
//! user counts the hints for changes, until the change is through ([`Event::MemberAdded`]) or has failed. Of the latter only the home of the one who wanted
//! the change knows; it keeps whom it has hinted, and tells them ([`Event::NotAdded`]).

use std::collections::btree_map::Entry;

use super::Users;
use crate::conversation::{Key, Kind, Name};
use crate::effects::Effects;
use crate::mesh::{Event, GroupChange, Refusal, Reply, Request, Then};

/// A change of a group that somebody here has asked for.
pub(super) struct OpenChange {
    /// Who is to be answered.
    reply: Reply,
    /// Who is hinted because of it.
    hinted: Vec<Name>,
    /// Hints that are not answered.
    left: u32,
    refused: Option<Refusal>,
    /// The change itself, while it waits for them.
    change: Option<Box<GroupChange>>,
}

impl Users {
    // ---- the home of the one who changes

    /// Hints those whom a change adds, all at once, so that their lists share what the disk needs for one.
    pub(super) fn open_change(&mut self, mut change: Box<GroupChange>, fx: &mut Effects) {
        let (key, reply, hinted) = (change.key.clone(), change.reply, std::mem::take(&mut change.hints));
        let left = hinted.len() as u32;
        let (number, _) = self.changes.insert(OpenChange { reply, hinted: hinted.clone(), left, refused: None, change: None });
        // Its number here stands in place of the client's `ref` until it is answered.
        change.reply.reference = number.into();
        if hinted.is_empty() {
            return self.credits.send(self.home_of(&key), Request::Change(change), fx);
        }
        self.changes[number].change = Some(change);
        for user in hinted {
            let home = self.slots.home(user.as_bytes());
            self.credits.send(home, Request::Hint { user, key: key.clone(), then: Then::Open { change: number } }, fx);
        }
    }

    /// One of those whom a change adds has been hinted, or could not be.
    pub(super) fn change_hinted(&mut self, key: &Key, number: u32, result: Result<(), Refusal>, fx: &mut Effects) {
        let open = &mut self.changes[number];
        open.left -= 1;
        open.refused = open.refused.or(result.err());
        if open.left > 0 {
            return;
        }
        match (open.refused, open.change.take()) {
            (None, Some(change)) => self.credits.send(self.home_of(key), Request::Change(change), fx),
            (refused, _) => {
                let reply = self.close_change(key, number, true);
                if let (Some(_), Some(refusal)) = (self.answered(reply), refused) {
                    self.refuse(reply, refusal, fx);
                }
            }
        }
    }

    /// A change is through, or has failed. Gives who is to be answered.
    pub(super) fn close_change(&mut self, key: &Key, number: u32, has_failed: bool) -> Reply {
        let OpenChange { reply, hinted, .. } = self.changes.remove(number).expect("it is answered once");
        for user in hinted.into_iter().filter(|_| has_failed) {
            let home = self.slots.home(user.as_bytes());
            self.news.push_back((home, Event::NotAdded { key: key.clone(), user }));
        }
        reply
    }

    // ---- the home of the one who is hinted

    /// He is going to be a member, perhaps.
    pub(super) fn expect_member(&mut self, key: &Key, user: &Name) {
        *self.expected.entry((key.clone(), user.clone())).or_default() += 1;
    }

    /// He is one now, or will not be.
    pub(super) fn not_expected(&mut self, key: &Key, user: &Name) {
        if let Entry::Occupied(mut entry) = self.expected.entry((key.clone(), user.clone())) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }

    pub(super) fn is_expected(&self, key: &Key, user: &Name) -> bool {
        key.kind() == Kind::Group && !self.expected.is_empty() && self.expected.contains_key(&(key.clone(), user.clone()))
    }
}
