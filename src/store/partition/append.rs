//! Appends: the record's row, and the rows that follow from it.

use super::{Bytes, Damaged, LogPlace, LogState, Partition, Refusal, Refused, TERM};
use crate::clock::Now;
use crate::conversation::{Durability, Name, Record, flags};
use crate::slot::ShardId;
use crate::store::engine::ReadRows;
use crate::store::lookup::{self, Unreadable};
use crate::store::rows::{self, Doomed, Expiry, HeadRow, LogValue, MemberRow};
use crate::store::{Append, NotStored, Outcome};
use crate::wire::schema::{RecordKind, Role};

/// What a record changes besides its own row. Made before anything is staged, so that what cannot be read leaves nothing behind.
#[derive(Default)]
struct Consequences {
    /// Rows of members and receipts, heads, expiry rows.
    rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// The record that is taken back, without its body.
    taken_back: Option<(u64, Vec<u8>)>,
}

/// What a record may change of the head.
enum Head {
    /// Nothing so far; it was not even read.
    Same,
    Put(HeadRow),
    Remove,
}

impl Partition {
    pub(super) fn append(&mut self, from: ShardId, append: &Append, now: Now, rows: &dyn ReadRows) -> Result<(), Unreadable> {
        let &Append { log, attempt, ref record, .. } = append;
        let (result, read) = match self.try_append(from, append, now, rows) {
            Ok(()) => (Ok(()), Ok(())),
            Err(refusal) => {
                let (why, read) = refusal.split();
                self.refuse_from_now_on((from, log), attempt, why);
                (Err(why), read)
            }
        };
        self.outcomes.push((from, Outcome::Appended { log, attempt, seq: record.seq, result }));
        read
    }

    fn try_append(&mut self, from: ShardId, append: &Append, now: Now, rows: &dyn ReadRows) -> Result<(), Refusal> {
        let Append { place, durability, ref record, .. } = *append;
        self.permit(from, append)?;
        let mut state = self.log_state(place, rows)?;
        if state.next != record.seq {
            return Err(Refusal::NotStored(NotStored::Failed));
        }
        let consequences = self.consequences(append, state, now, rows)?;
        state.next = if record.content.kind == RecordKind::disbanded { 0 } else { record.seq + 1 };
        let mut must_sync = durability == Durability::Fsync;
        if durability == Durability::Os {
            // If the head did not keep that there is something to lose, it would be lost in silence. A log that is lost as a whole is another afterwards.
            must_sync = state.os_generation == 0 && record.seq > 1;
            state.os_generation = self.settings.os_generation;
        }
        self.logs.put(place, state);
        self.staging.put_record(place, record.seq, rows::record_value(record));
        consequences.rows.into_iter().for_each(|(key, value)| self.staging.put(key, value));
        if let Some((seq, value)) = consequences.taken_back {
            self.staging.put_record(place, seq, value);
        }
        if append.expires_ms != 0 {
            let expiry = Expiry::of(append.expires_ms, place, Doomed::Record(record.seq));
            self.staging.push(rows::expiry_key(&expiry), Some(rows::expiry_value()));
        }
        self.staging.must_sync |= must_sync;
        Ok(())
    }

    /// What needs no row to be refused.
    fn permit(&mut self, from: ShardId, append: &Append) -> Result<(), Refusal> {
        let log = (from, append.log);
        if !self.refused.is_empty()
            && let Some(&Refused { attempt, why }) = self.refused.get(&log)
        {
            if append.attempt <= attempt {
                return Err(Refusal::NotStored(why));
            }
            // Commands of a shard come in order: nothing older follows a newer attempt.
            self.refused.remove(&log);
        }
        if append.term < TERM {
            return Err(Refusal::NotStored(NotStored::Failed));
        }
        if self.is_disk_full { Err(Refusal::NotStored(NotStored::DiskFull)) } else { Ok(()) }
    }

    fn consequences(&self, append: &Append, state: LogState, now: Now, rows: &dyn ReadRows) -> Result<Consequences, Refusal> {
        let Append { place, ref record, .. } = *append;
        let mut consequences = Consequences::default();
        let mut head = self.head_for(append, state, now, rows, &mut consequences)?;
        if record.content.kind != RecordKind::message {
            self.change_group(place, record, now, rows, &mut head, &mut consequences)?;
        }
        let new_head = match head {
            Head::Same => None,
            Head::Put(head) => Some(Some(head.value())),
            Head::Remove => Some(None),
        };
        consequences.rows.extend(new_head.map(|value| (rows::head_key(place.row).to_vec(), value)));
        if record.content.target != 0 {
            consequences.taken_back = self.take_back(place, record.content.target, rows)?;
        }
        Ok(consequences)
    }

    /// The head, if the place of the record in its log changes it: at the beginning, and at the first record of this run of the machine that is not synced.
    fn head_for(
        &self,
        append: &Append,
        state: LogState,
        now: Now,
        rows: &dyn ReadRows,
        consequences: &mut Consequences,
    ) -> Result<Head, Refusal> {
        let Append { place, durability, ref record, .. } = *append;
        let os_generation = if durability == Durability::Os { self.settings.os_generation } else { state.os_generation };
        if record.seq == 1 {
            let old = self.any_head(place.row, rows)?;
            if let Some(old) = old.filter(|old| old.incarnation != place.incarnation) {
                // Another log of the same conversation, which nobody ended.
                let old = LogPlace { row: place.row, incarnation: old.incarnation };
                consequences.rows.push(self.doom(old, now));
            }
            return Ok(Head::Put(HeadRow {
                key: append.key.clone(),
                incarnation: place.incarnation,
                epoch: record.epoch,
                first: 1,
                os_generation,
                title: Bytes::new(),
                flags: 0,
            }));
        }
        if os_generation == state.os_generation {
            return Ok(Head::Same);
        }
        let mut head = self.required_head(place, rows)?;
        if head.os_generation != 0 {
            // An earlier run may have lost what it had shown in this epoch. That must not be forgotten before there is another.
            if record.epoch == head.epoch {
                return Err(Refusal::NotStored(NotStored::Failed));
            }
            head.epoch = record.epoch;
        }
        Ok(Head::Put(HeadRow { os_generation, ..head }))
    }

    fn required_head(&self, place: LogPlace, rows: &dyn ReadRows) -> Result<HeadRow, Unreadable> {
        let missing = || Unreadable::damaged(&rows::head_key(place.row), Damaged("a log has no head"));
        self.head(place, rows)?.ok_or_else(missing)
    }

    fn doom(&self, place: LogPlace, now: Now) -> (Vec<u8>, Option<Vec<u8>>) {
        (rows::expiry_key(&Expiry::of(now.wall_ms, place, Doomed::Whole)), Some(rows::expiry_value()))
    }

    /// A change of a group, as [`crate::conversation::Group::apply`] understands it.
    fn change_group(
        &self,
        place: LogPlace,
        record: &Record,
        now: Now,
        rows: &dyn ReadRows,
        head: &mut Head,
        consequences: &mut Consequences,
    ) -> Result<(), Unreadable> {
        let content = &record.content;
        match (content.kind, &content.subject) {
            (RecordKind::created | RecordKind::title, _) => {
                let mut new = match std::mem::replace(head, Head::Same) {
                    Head::Put(new) => new,
                    _ => self.required_head(place, rows)?,
                };
                new.title = content.body.clone();
                if content.kind == RecordKind::created {
                    new.flags = content.flags & (flags::OPEN | flags::WHOLE_HISTORY);
                    self.enter(place, &record.sender, Role::owner, record.seq, rows, consequences)?;
                }
                *head = Head::Put(new);
            }
            (RecordKind::added | RecordKind::joined, Some(user)) => {
                self.enter(place, user, content.role, record.seq, rows, consequences)?;
            }
            (RecordKind::removed | RecordKind::left, Some(user)) => {
                consequences.rows.push((rows::member_key(place.row, user), None));
                consequences.rows.push((rows::receipt_key(place.row, user), None));
            }
            (RecordKind::role, Some(user)) => {
                let key = rows::member_key(place.row, user);
                let member = lookup::read(&key, self.staging.get(&key, rows)?, MemberRow::read)?;
                if let Some(member) = member.filter(|member| member.incarnation == place.incarnation) {
                    consequences.rows.push((key, Some(MemberRow { role: content.role, ..member }.value())));
                }
            }
            (RecordKind::disbanded, _) => {
                // Members and receipts go with the log: there may be a hundred thousand, and without the head they are void.
                *head = Head::Remove;
                consequences.rows.push(self.doom(place, now));
            }
            _ => {}
        }
        Ok(())
    }

    /// A new member has no receipts, also if he was one before.
    fn enter(
        &self,
        LogPlace { row, incarnation }: LogPlace,
        user: &Name,
        role: Role,
        joined: u64,
        rows: &dyn ReadRows,
        consequences: &mut Consequences,
    ) -> Result<(), Unreadable> {
        consequences.rows.push((rows::member_key(row, user), Some(MemberRow { incarnation, role, joined }.value())));
        let receipt = rows::receipt_key(row, user);
        if self.staging.get(&receipt, rows)?.is_some() {
            consequences.rows.push((receipt, None));
        }
        Ok(())
    }

    fn take_back(&self, place: LogPlace, seq: u64, rows: &dyn ReadRows) -> Result<Option<(u64, Vec<u8>)>, Unreadable> {
        let Some(value) = self.staging.record(place, seq, rows)? else { return Ok(None) };
        let key = rows::log_key(place, seq);
        Ok(match rows::log_value(&value).map_err(|damage| Unreadable::damaged(&key, damage))? {
            LogValue::Record(view) => Some((seq, rows::record_value(&view.to_record(0, seq).retracted()))),
            LogValue::Removed { .. } => None,
        })
    }
}
