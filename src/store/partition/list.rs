//! Users' lists of conversations: hints, strikes, cursors.

use std::collections::VecDeque;

use super::{Partition, Refusal, rows};
use crate::conversation::{Key, Kind};
use crate::slot::{RowId, ShardId};
use crate::store::engine::ReadRows;
use crate::store::lookup::{self, Unreadable};
use crate::store::rows::{CursorsRow, Damaged, EntryRow, RowKey, UserRow, tag};
use crate::store::{Hint, Listed, NotStored, Outcome, PutCursors, Strike};

/// Direct conversations with the lowest numbers of one list, ascending: number, fingerprint. Some may have left it since.
pub(super) type Oldest = VecDeque<(u32, u128)>;

/// So many are found by one look at a list that is full.
const OLDEST_MAX: usize = 64;
/// Lists of which they are remembered; then all are forgotten.
const OLDEST_LISTS_MAX: usize = 4096;

impl Partition {
    pub(super) fn hint(&mut self, from: ShardId, hint: Box<Hint>, rows: &dyn ReadRows) -> Result<(), Unreadable> {
        let (result, read) = match self.try_hint(&hint, rows) {
            Ok(listed) => (Ok(listed), Ok(())),
            Err(refusal) => {
                let (why, read) = refusal.split();
                (Err(why), read)
            }
        };
        self.outcomes.push((from, Outcome::Hinted { hint, result }));
        read
    }

    fn try_hint(&mut self, hint: &Hint, rows: &dyn ReadRows) -> Result<Listed, Refusal> {
        let key = rows::entry_key(hint.user_row, hint.key_row.fingerprint);
        if let Some(entry) = self.entry(&key, rows)? {
            return Ok(Listed { number: entry.number, dropped: None });
        }
        if self.is_disk_full {
            return Err(Refusal::NotStored(NotStored::DiskFull));
        }
        let user = self.user(hint.user_row, rows)?;
        let mut user = user.unwrap_or_else(|| UserRow { id: (*hint.user).into(), last_number: 0, count: 0 });
        user.last_number = user.last_number.checked_add(1).ok_or(Refusal::NotStored(NotStored::ListFull))?;
        let mut dropped = None;
        if user.count >= hint.entries_max {
            let oldest = if hint.key.kind() == Kind::Direct { self.oldest_direct(hint.user_row, rows)? } else { None };
            let (fingerprint, old) = oldest.ok_or(Refusal::NotStored(NotStored::ListFull))?;
            self.remove_entry(hint.user_row, fingerprint);
            user.count = user.count.saturating_sub(1);
            dropped = Some(old);
        }
        user.count += 1;
        let entry = EntryRow { key: hint.key.clone(), number: user.last_number };
        self.staging.put(key, Some(entry.value()));
        self.staging.put(rows::user_key(hint.user_row).to_vec(), Some(user.value()));
        self.staging.must_sync = true;
        Ok(Listed { number: user.last_number, dropped })
    }

    pub(super) fn strike(&mut self, from: ShardId, strike: &Strike, rows: &dyn ReadRows) -> Result<(), Unreadable> {
        self.outcomes.push((from, Outcome::Struck));
        let fingerprint = strike.key_row.fingerprint;
        if self.entry(&rows::entry_key(strike.user_row, fingerprint), rows)?.is_none() {
            return Ok(());
        }
        let user = self.user(strike.user_row, rows)?;
        self.remove_entry(strike.user_row, fingerprint);
        if let Some(user) = user {
            let user = UserRow { count: user.count.saturating_sub(1), ..user };
            self.staging.put(rows::user_key(strike.user_row).to_vec(), Some(user.value()));
        }
        Ok(())
    }

    pub(super) fn put_cursors(&mut self, from: ShardId, put: Box<PutCursors>, rows: &dyn ReadRows) -> Result<(), Unreadable> {
        let fingerprint = put.key_row.fingerprint;
        let (result, read) = match self.entry(&rows::entry_key(put.user_row, fingerprint), rows) {
            Ok(entry) => {
                if entry.is_some() {
                    let cursors = CursorsRow { epoch: put.epoch, read: put.read, devices: put.devices.clone() };
                    self.staging.put(rows::cursors_key(put.user_row, fingerprint), Some(cursors.value()));
                    // Somebody was promised that it is kept.
                    self.staging.must_sync |= !put.replies.is_empty();
                }
                (Ok(()), Ok(()))
            }
            Err(unreadable) => (Err(NotStored::Failed), Err(unreadable)),
        };
        self.outcomes.push((from, Outcome::CursorsPut { put, result }));
        read
    }

    fn user(&self, row: RowId, rows: &dyn ReadRows) -> Result<Option<UserRow>, Unreadable> {
        let key = rows::user_key(row);
        lookup::read(&key, self.staging.get(&key, rows)?, UserRow::read)
    }

    fn entry(&self, key: &[u8], rows: &dyn ReadRows) -> Result<Option<EntryRow>, Unreadable> {
        lookup::read(key, self.staging.get(key, rows)?, EntryRow::read)
    }

    fn remove_entry(&mut self, user: RowId, conversation: u128) {
        self.staging.put(rows::entry_key(user, conversation), None);
        self.staging.put(rows::cursors_key(user, conversation), None);
    }

    /// The direct conversation with the lowest number in a list.
    fn oldest_direct(&mut self, user: RowId, rows: &dyn ReadRows) -> Result<Option<(u128, Key)>, Unreadable> {
        for is_fresh in [false, true] {
            if is_fresh {
                let oldest = self.find_oldest(user, rows)?;
                if self.oldest.len() >= OLDEST_LISTS_MAX {
                    self.oldest.clear();
                }
                self.oldest.insert(user, oldest);
            }
            while let Some((number, fingerprint)) = self.oldest.get_mut(&user).and_then(VecDeque::pop_front) {
                let entry = self.entry(&rows::entry_key(user, fingerprint), rows)?;
                // One that was struck is none any more, and one that came back is among the youngest.
                if let Some(entry) = entry.filter(|entry| entry.number == number) {
                    return Ok(Some((fingerprint, entry.key)));
                }
            }
        }
        Ok(None)
    }

    /// Looks at the whole list, as it is on the disk and as this batch changes it. As new entries have higher numbers, what it finds stays the oldest; what this
    /// batch has struck is among it, but is no entry any more.
    fn find_oldest(&self, user: RowId, rows: &dyn ReadRows) -> Result<Oldest, Unreadable> {
        let prefix = rows::prefix(user, tag::ENTRY);
        let mut direct = Vec::new();
        let mut look = |key: &[u8], value: &[u8]| -> Result<(), Damaged> {
            let EntryRow { key: conversation, number } = EntryRow::read(value)?;
            if let (Kind::Direct, RowKey::Entry { conversation, .. }) = (conversation.kind(), rows::parse(key)?) {
                direct.push((number, conversation));
            }
            Ok(())
        };
        lookup::scan(rows, &prefix, &rows::end_of(&prefix), false, |key, value| {
            look(key, value)?;
            Ok(true)
        })?;
        for (key, value) in self.staging.changed(&prefix) {
            value.map_or(Ok(()), |value| look(key, value)).map_err(|damage| Unreadable::damaged(key, damage))?;
        }
        direct.sort_unstable();
        direct.truncate(OLDEST_MAX);
        Ok(direct.into())
    }
}
