//! Hints: a user's list knows a conversation before the record that it points to is written; where the list is on disk, it is there before. A superfluous hint
//! does no harm.

use super::Users;
use super::cursors::refusal;
use super::list::HintState;
use crate::conversation::{Key, Kind, Name};
use crate::effects::Effects;
use crate::mesh::{Event, GroupChange, Publish, Refusal, Request, Then};
use crate::slot::ShardId;
use crate::store::{Command, Hint, Listed, NotStored, Strike};
use crate::wire::schema::ErrorCode;

/// A direct conversation on disk that waits until the lists of both users know it.
pub(super) struct Opening {
    key: Key,
    /// Hints that are not answered.
    left: u32,
    refused: Option<Refusal>,
    /// What was published meanwhile, in order.
    waiting: Vec<Publish>,
}

impl Opening {
    pub(super) fn is_of(&self, key: &Key) -> bool {
        self.key == *key
    }
}

impl Users {
    // ---- who wants to write first

    /// Asks the home of the other user of a direct conversation.
    pub(super) fn hint_peer(&mut self, key: Key, sender: Name, fx: &mut Effects) {
        let user = peer(&key, &sender);
        let home = self.slots.home(user.as_bytes());
        self.credits.send(home, Request::Hint { user, key, then: Then::Publish { sender } }, fx);
    }

    /// The first message since the sender's list was loaded: it waits until the lists of both have the conversation on disk.
    pub(super) fn open_direct(&mut self, user: u32, publish: Publish, fx: &mut Effects) {
        let (key, sender) = (publish.key.clone(), publish.sender.clone());
        let listed = self.users[user].entry(&key).is_some();
        let openings = &mut self.users[user].pending().openings;
        if let Some(opening) = openings.iter_mut().find(|opening| opening.key == key) {
            return opening.waiting.push(publish);
        }
        let peer = peer(&key, &sender);
        let mut asked: Vec<Name> = if listed { Vec::new() } else { vec![sender.clone()] };
        if peer != sender || listed {
            asked.push(peer);
        }
        openings.push(Opening { key: key.clone(), left: asked.len() as u32, refused: None, waiting: vec![publish] });
        for user in asked {
            let home = self.slots.home(user.as_bytes());
            let then = Then::Publish { sender: sender.clone() };
            self.credits.send(home, Request::Hint { user, key: key.clone(), then }, fx);
        }
    }

    /// One of the lists has it, or has no room.
    fn opened(&mut self, key: &Key, sender: &str, result: Result<(), Refusal>, fx: &mut Effects) {
        // He is not forgotten before this.
        let Some(user) = self.find_user(sender) else { return };
        let openings = &mut self.users[user].pending().openings;
        let Some(at) = openings.iter().position(|opening| opening.key == *key) else { return };
        let opening = &mut openings[at];
        opening.left -= 1;
        opening.refused = opening.refused.or(result.err());
        if opening.left > 0 {
            return;
        }
        let Opening { refused, waiting, .. } = openings.remove(at);
        self.users[user].tidy();
        if let (None, Some(entry)) = (refused, self.users[user].entry_mut(key)) {
            entry.hint = HintState::Ready;
        }
        self.send_all(key, waiting, refused.map_or(Ok(()), Err), fx);
    }

    fn send_waiting(&mut self, key: &Key, sender: &str, result: Result<(), Refusal>, fx: &mut Effects) {
        let Some(entry) = self.find_user(sender).and_then(|user| self.users[user].entry_mut(key)) else { return };
        let state = if result.is_ok() { HintState::Ready } else { HintState::Unknown };
        let HintState::Asked(waiting) = std::mem::replace(&mut entry.hint, state) else { return };
        self.send_all(key, *waiting, result, fx);
    }

    fn send_all(&mut self, key: &Key, waiting: Vec<Publish>, result: Result<(), Refusal>, fx: &mut Effects) {
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

    /// A change of a group in memory goes through the lists of those whom it adds, one by one, and then to the group.
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

    /// The hint is in: go on with what it was for.
    pub(super) fn hinted(&mut self, key: Key, then: Then, result: Result<(), Refusal>, fx: &mut Effects) {
        match (then, result) {
            (Then::Change(change), Ok(())) => self.next_hint_or_change(change, fx),
            (Then::Change(change), Err(refusal)) => {
                if self.answered(change.reply).is_some() {
                    self.refuse(change.reply, refusal, fx);
                }
            }
            (Then::Open { change }, result) => self.change_hinted(&key, change, result, fx),
            (Then::Publish { sender }, result) if self.policies.is_on_disk(Kind::Direct) => {
                self.opened(&key, &sender, result, fx)
            }
            (Then::Publish { sender }, result) => self.send_waiting(&key, &sender, result, fx),
            (Then::Nothing, _) => unreachable!("nobody was to be told of it"),
        }
    }

    // ---- the home of the user who is hinted

    /// Put it into his list.
    pub(super) fn hint(&mut self, from: ShardId, user: Name, key: Key, then: Then, fx: &mut Effects) {
        if self.policies.is_on_disk(key.kind()) {
            return self.hint_on_disk(from, user, key, then, fx);
        }
        let result = self.put_into_list(&user, &key).map(|_| ());
        fx.event(from, Event::Hinted { key, then, result });
    }

    /// A list in memory. Gives the index of the user.
    pub(super) fn put_into_list(&mut self, user: &str, key: &Key) -> Result<u32, Refusal> {
        if self.find_user(user).is_none() && self.is_full() {
            return Err(Refusal::busy());
        }
        let user = self.find_or_add_user(user);
        let (slots, first) = (self.slots, self.first_number);
        let entries_max = self.limits.conversations_per_user_max as usize;
        let list = self.users[user].list(slots, first);
        let entry = list.insert(key, entries_max).ok_or(Refusal::new(ErrorCode::too_many_conversations))?;
        // Whoever is hinted may write back at once: the hinter's own list has it.
        if matches!(entry.hint, HintState::Unknown) {
            entry.hint = HintState::Ready;
        }
        Ok(user)
    }

    /// A list on disk. The user need not be in memory for it, and does not come there because of it.
    fn hint_on_disk(&mut self, from: ShardId, user: Name, key: Key, then: Then, fx: &mut Effects) {
        if matches!(then, Then::Open { .. }) {
            self.expect_member(&key, &user);
        }
        let known = self.find_user(&user).filter(|&index| self.users[index].is_loaded);
        if known.is_some_and(|index| self.users[index].entry(&key).is_some()) {
            // What is in memory of a list that was loaded is on disk.
            return fx.event(from, Event::Hinted { key, then, result: Ok(()) });
        }
        self.put_on_disk(from, user, key, then, fx);
    }

    pub(super) fn put_on_disk(&mut self, from: ShardId, user: Name, key: Key, then: Then, fx: &mut Effects) {
        let (user_row, key_row) = (self.slots.row(user.as_bytes()), self.slots.row(key.bytes()));
        let entries_max = self.limits.conversations_per_user_max;
        fx.commands.push(Command::Hint(Box::new(Hint { user, user_row, key, key_row, entries_max, from, then })));
    }

    /// The store has put it into a list, or could not.
    pub(super) fn hint_stored(&mut self, hint: Hint, result: Result<Listed, NotStored>, fx: &mut Effects) {
        let Hint { user, key, from, then, .. } = hint;
        let result = match result {
            Ok(Listed { number, dropped }) => {
                if let Some(user) = self.find_user(&user) {
                    self.listed(user, &key, number, dropped, fx);
                }
                Ok(())
            }
            Err(why) => Err(refusal(why)),
        };
        if then != Then::Nothing {
            fx.event(from, Event::Hinted { key, then, result });
        }
    }

    /// The user is not in that conversation any more: it leaves his list, and those who watched him because of it stop.
    pub(super) fn strike_from_list(&mut self, user: u32, key: &Key, fx: &mut Effects) {
        let name = self.users[user].name.clone();
        if !self.policies.is_on_disk(key.kind()) {
            self.remove_entry(user, key, fx);
        } else if self.users[user].is_loaded && self.users[user].entry(key).is_some() && !self.is_expected(key, &name) {
            self.remove_entry(user, key, fx);
            let (user_row, key_row) = (self.slots.row(name.as_bytes()), self.slots.row(key.bytes()));
            fx.commands.push(Command::Strike(Box::new(Strike { user: name, user_row, key: key.clone(), key_row })));
            self.strikes += 1;
        }
        self.recheck_presence(user, key, fx);
    }
}

/// The other user of a direct conversation; he himself if there is none.
fn peer(key: &Key, user: &str) -> Name {
    let [a, b] = key.users();
    if *a == *user { b.into() } else { a.into() }
}
