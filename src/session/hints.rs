//! Hints: a user's list knows a conversation before the record that it points to is written. A superfluous one does no harm.

use super::Users;
use super::user::HintState;
use crate::conversation::{Key, Name};
use crate::effects::Effects;
use crate::mesh::{Event, GroupChange, Publish, Refusal, Request, Then};
use crate::slot::ShardId;
use crate::wire::schema::ErrorCode;

impl Users {
    /// Asks the home of the other user of a direct conversation.
    pub(super) fn hint_peer(&mut self, key: Key, sender: Name, fx: &mut Effects) {
        let [a, b] = key.users();
        let peer: Name = if *a == *sender { b.into() } else { a.into() };
        let home = self.slots.home(peer.as_bytes());
        self.credits.send(home, Request::Hint { user: peer, key, then: Then::Publish { sender } }, fx);
    }

    /// As the home of `user`: put it into his list.
    pub(super) fn hint(&mut self, from: ShardId, user: &str, key: Key, then: Then, fx: &mut Effects) {
        let result = self.put_into_list(user, &key).map(|_| ());
        fx.event(from, Event::Hinted { key, then, result });
    }

    /// Gives the index of the user.
    pub(super) fn put_into_list(&mut self, user: &str, key: &Key) -> Result<u32, Refusal> {
        if self.find_user(user).is_none() && self.users.len() >= self.limits.conversations_per_shard_max as usize {
            return Err(Refusal::busy());
        }
        let user = self.find_or_add_user(user);
        let entries_max = self.limits.conversations_per_user_max as usize;
        let list = self.users[user].list(self.slots);
        let entry = list.insert(key, entries_max).ok_or(Refusal::new(ErrorCode::too_many_conversations))?;
        // Whoever is hinted may write back at once: the hinter's own list has it.
        if matches!(entry.hint, HintState::Unknown) {
            entry.hint = HintState::Ready;
        }
        Ok(user)
    }

    /// The hint is in: go on with what it was for.
    pub(super) fn hinted(&mut self, key: Key, then: Then, result: Result<(), Refusal>, fx: &mut Effects) {
        match (then, result) {
            (Then::Change(change), Ok(())) => self.next_hint_or_change(change, fx),
            (Then::Change(change), Err(refusal)) => {
                if self.answered(change.reply).is_some() {
                    self.refuse(change.reply, refusal, fx);
                }
            }
            (Then::Publish { sender }, result) => self.send_waiting(&key, &sender, result, fx),
        }
    }

    /// A change of a group goes through the lists of those whom it adds, one by one, and then to the group.
    pub(super) fn next_hint_or_change(&mut self, mut change: Box<GroupChange>, fx: &mut Effects) {
        let (home, request) = match change.hints.pop() {
            Some(user) => {
                let home = self.slots.home(user.as_bytes());
                (home, Request::Hint { user, key: change.key.clone(), then: Then::Change(change) })
            }
            None => (self.home_of(&change.key), Request::Change(change)),
        };
        self.credits.send(home, request, fx);
    }

    fn send_waiting(&mut self, key: &Key, sender: &str, result: Result<(), Refusal>, fx: &mut Effects) {
        let Some(entry) = self.find_user(sender).and_then(|user| self.users[user].entry_mut(key)) else { return };
        let state = if result.is_ok() { HintState::Ready } else { HintState::Unknown };
        let HintState::Asked(waiting) = std::mem::replace(&mut entry.hint, state) else { return };
        let home = self.home_of(key);
        for publish in waiting {
            let Publish { reply, .. } = publish;
            match result {
                Ok(()) => self.credits.send(home, Request::Publish(Box::new(publish)), fx),
                Err(refusal) if self.answered(reply).is_some() => self.refuse(reply, refusal, fx),
                Err(_) => {}
            }
        }
    }
}
