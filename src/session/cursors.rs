//! Cursors of a user and his devices on disk: written at the end of the turn in which they have moved. The home of the conversation has gathered the receipts
//! (`receipts_delay_ms`), so those that come together are one write. A receipt that wants an answer gets it when they are stored.

use super::Users;
use super::list::Entry;
use crate::conversation::Key;
use crate::effects::Effects;
use crate::mesh::{Refusal, Reply};
use crate::store::{Command, NotStored, PutCursors};
use crate::wire::schema::ErrorCode;

/// Writes that one turn begins, so that a burst of receipts does not hold it.
const WRITES_PER_TURN: usize = 1024;
/// How long one whose request could not be stored should wait, in ms.
const NOT_STORED_RETRY_MS: u32 = 1000;
/// The same, if it is because the disk is full.
const DISK_FULL_RETRY_MS: u32 = 5000;

/// An entry whose cursors are further than those on disk: a write is to come, or on its way, or has failed and waits for the next receipt.
#[derive(Default)]
pub(super) struct Unsaved {
    /// It stands in the queue of writes to come.
    is_queued: bool,
    /// Writes that the store has not completed.
    in_flight: u32,
    /// Receipts that are answered when the next write is completed.
    replies: Vec<Reply>,
}

impl Users {
    /// The cursors of an entry on disk have moved, or not; the receipt that said so is answered when what it says is stored.
    pub(super) fn cursors_moved(&mut self, user: u32, key: &Key, moved: bool, reply: Reply, fx: &mut Effects) {
        let Some(entry) = self.users[user].entry_mut(key) else { return self.done(reply, Ok(()), fx) };
        if !moved && entry.unsaved.is_none() {
            return self.done(reply, Ok(()), fx);
        }
        let unsaved = entry.unsaved.get_or_insert_default();
        let was_queued = std::mem::replace(&mut unsaved.is_queued, true);
        if reply.reference != 0 {
            unsaved.replies.push(reply);
        } else {
            self.done(reply, Ok(()), fx);
        }
        if !was_queued {
            self.users[user].pending().writes += 1;
            self.writes += 1;
            self.to_write.push_back((user, key.clone()));
        }
    }

    /// Begins the writes that are to come, as far as one turn should.
    pub(super) fn write_cursors(&mut self, fx: &mut Effects) {
        let count = self.to_write.len().min(WRITES_PER_TURN);
        let now: Vec<(u32, Key)> = self.to_write.drain(..count).collect();
        now.into_iter().for_each(|(user, key)| self.write(user, key, fx));
    }

    fn write(&mut self, user: u32, key: Key, fx: &mut Effects) {
        let name = self.users[user].name.clone();
        let (user_row, key_row) = (self.slots.row(name.as_bytes()), self.slots.row(key.bytes()));
        let is_queued = |entry: &&mut Entry| entry.unsaved.as_ref().is_some_and(|unsaved| unsaved.is_queued);
        let Some(entry) = self.users[user].entry_mut(&key).filter(is_queued) else {
            // It has left the list meanwhile.
            return self.written(user);
        };
        let unsaved = entry.unsaved.get_or_insert_default();
        unsaved.is_queued = false;
        unsaved.in_flight += 1;
        let replies = std::mem::take(&mut unsaved.replies);
        let Entry { epoch, read, ref devices, .. } = *entry;
        let put = PutCursors { user: name, user_row, key, key_row, epoch, read, devices: devices.to_vec(), replies };
        fx.commands.push(Command::PutCursors(Box::new(put)));
    }

    /// The store has written cursors, or could not.
    pub(super) fn cursors_put(&mut self, put: PutCursors, result: Result<(), NotStored>, fx: &mut Effects) {
        // He is not forgotten before this.
        if let Some(user) = self.find_user(&put.user) {
            if let Some(entry) = self.users[user].entry_mut(&put.key)
                && let Some(unsaved) = &mut entry.unsaved
            {
                unsaved.in_flight = unsaved.in_flight.saturating_sub(1);
                if result.is_ok() && unsaved.in_flight == 0 && !unsaved.is_queued {
                    entry.unsaved = None;
                }
            }
            self.written(user);
        }
        for reply in put.replies {
            self.done(reply, result.map_err(refusal), fx);
        }
    }

    /// A write that was to come is over.
    fn written(&mut self, user: u32) {
        self.users[user].pending().writes -= 1;
        self.users[user].tidy();
        self.writes -= 1;
    }

    /// A conversation leaves a user's list. Receipts of it that wait are answered: what they say is of no more use.
    pub(super) fn remove_entry(&mut self, user: u32, key: &Key, fx: &mut Effects) {
        let entry = self.users[user].list.as_mut().and_then(|list| list.remove(key));
        let unsaved = entry.and_then(|entry| entry.unsaved);
        for reply in unsaved.map(|unsaved| unsaved.replies).unwrap_or_default() {
            self.done(reply, Ok(()), fx);
        }
    }
}

/// What a client is told of a write that failed.
pub(super) fn refusal(why: NotStored) -> Refusal {
    match why {
        NotStored::Failed => Refusal { code: ErrorCode::not_stored, retry_after_ms: NOT_STORED_RETRY_MS },
        NotStored::DiskFull => Refusal { code: ErrorCode::disk_full, retry_after_ms: DISK_FULL_RETRY_MS },
        NotStored::ListFull => Refusal::new(ErrorCode::too_many_conversations),
    }
}
