//! Members to come: who was hinted that he would become a member, and of whom it is not known yet whether he has.
//!
//! A group on disk does not leave a list while somebody is adding its user: the hint that was durable before the record would be gone after it. So the home of
//! a user counts the hints for changes, until the change is through ([`Event::MemberAdded`]) or has failed. Of the latter only the home of the one who wanted
//! the change knows; it keeps whom it has hinted, and tells them ([`Event::NotAdded`]).

use super::Users;
use crate::conversation::{Key, Kind, Name};
use crate::effects::Effects;
use crate::mesh::{Event, GroupChange, Refusal, Reply};

/// A change of a group on disk that somebody here has asked for.
pub(super) struct OpenChange {
    /// Who is to be answered.
    reply: Reply,
    /// Who has been hinted because of it; the last may not have answered.
    hinted: Vec<Name>,
}

impl Users {
    // ---- the home of the one who changes

    /// Gives a change its number here, which stands in place of the client's `ref` until it is answered.
    pub(super) fn open_change(&mut self, reply: Reply) -> Reply {
        if !self.policies.is_on_disk(Kind::Group) {
            return reply;
        }
        let (index, generation) = self.changes.insert(OpenChange { reply, hinted: Vec::new() });
        Reply { reference: u64::from(generation) << 32 | u64::from(index), ..reply }
    }

    pub(super) fn will_hint(&mut self, change: &GroupChange, user: &Name) {
        if self.policies.is_on_disk(Kind::Group) {
            self.changes[change.reply.reference as u32].hinted.push(user.clone());
        }
    }

    /// A change is through, or has failed. Gives who is to be answered.
    pub(super) fn close_change(&mut self, key: &Key, reply: Reply, failed: bool) -> Reply {
        if !self.policies.is_on_disk(Kind::Group) {
            return reply;
        }
        let OpenChange { reply, hinted } = self.changes.remove(reply.reference as u32).expect("it is answered once");
        for user in hinted.into_iter().filter(|_| failed) {
            let home = self.slots.home(user.as_bytes());
            self.news.push_back((home, Event::NotAdded { key: key.clone(), user }));
        }
        reply
    }

    /// One of those whom a change adds could not be hinted.
    pub(super) fn change_not_hinted(&mut self, change: &GroupChange, refusal: Refusal, fx: &mut Effects) {
        if self.policies.is_on_disk(Kind::Group) {
            // He knows.
            self.changes[change.reply.reference as u32].hinted.pop();
        }
        let reply = self.close_change(&change.key, change.reply, true);
        if self.answered(reply).is_some() {
            self.refuse(reply, refusal, fx);
        }
    }

    // ---- the home of the one who is hinted

    /// He is going to be a member, perhaps.
    pub(super) fn expect_member(&mut self, key: &Key, user: &Name) {
        *self.expected.entry((key.clone(), user.clone())).or_default() += 1;
    }

    /// He is one now, or will not be.
    pub(super) fn not_expected(&mut self, key: &Key, user: &Name) {
        use std::collections::btree_map::Entry;
        if let Entry::Occupied(mut entry) = self.expected.entry((key.clone(), user.clone())) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }

    pub(super) fn is_expected(&self, key: &Key, user: &Name) -> bool {
        !self.expected.is_empty() && self.expected.contains_key(&(key.clone(), user.clone()))
    }
}
