//! What is read for a command: ranges of logs, what a conversation's home must know, a user's list. Needs no writer, only rows.
//!
//! A row that makes no sense fails the command ([`NotRead`]) and is given back as [`Unreadable`], so that the log can name it.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::engine::ReadRows;
use super::lookup::{self, Unreadable};
use super::rows::{self, CursorsRow, Damaged, EntryRow, HeadRow, LogValue, MemberRow, ReceiptRow, RowKey, tag};
use super::{Command, Load, LoadUser, LogPlace, NotRead, Outcome, ReadRange, Recent, StoredConversation, StoredEntry};
use crate::conversation::{Key, Kind, Member, Name, Record};
use crate::slot::RowId;

/// Members or list entries in one outcome.
const CHUNK: usize = 1024;

/// Does what a [`Command::Read`], [`Command::Load`] or [`Command::LoadUser`] asks and gives its outcomes to `emit`, in order.
///
/// `os_generation` is the present run of the machine: see [`HeadRow::os_generation`].
///
/// # Errors
/// A row cannot be read. The last outcome said [`NotRead`]; this is for the log.
///
/// # Panics
/// Other commands are for the writer.
pub fn read(rows: &dyn ReadRows, command: Command, os_generation: u64, emit: &mut dyn FnMut(Outcome)) -> Result<(), Unreadable> {
    match command {
        Command::Read(range) => read_range(rows, *range, emit),
        Command::Load(load) => {
            let result = load_conversation(rows, &load, os_generation, emit);
            let (result, read) = told(result);
            emit(Outcome::Loaded { log: load.log, result });
            read
        }
        Command::LoadUser(load) => {
            let (result, read) = told(load_user(rows, &load, emit));
            emit(Outcome::UserLoaded { index: load.index, generation: load.generation, result });
            read
        }
        _ => unreachable!("writing needs the writer"),
    }
}

/// What the one who asked is told, and what the log is.
fn told<T>(result: Result<T, Unreadable>) -> (Result<T, NotRead>, Result<(), Unreadable>) {
    match result {
        Ok(value) => (Ok(value), Ok(())),
        Err(unreadable) => (Err(NotRead), Err(unreadable)),
    }
}

fn read_range(rows: &dyn ReadRows, range: ReadRange, emit: &mut dyn FnMut(Outcome)) -> Result<(), Unreadable> {
    let ReadRange { log, place, from, to, records_max, bytes_max, backward, asked, .. } = range;
    let mut records: Vec<Arc<Record>> = Vec::new();
    let mut left = bytes_max;
    let result = lookup::scan_log(rows, place, (from, to), backward, |seq, value| {
        let LogValue::Record(view) = rows::log_value(value)? else { return Ok(true) };
        let record = view.to_record(asked.epoch, seq);
        let bytes = record.memory_bytes() as u64;
        if records.len() >= records_max as usize || (!records.is_empty() && bytes > left) {
            return Ok(false);
        }
        left = left.saturating_sub(bytes);
        records.push(Arc::new(record));
        Ok(records.len() < records_max as usize)
    });
    if backward {
        records.reverse();
    }
    let (records, read) = told(result.map(|()| records));
    emit(Outcome::Range { log, records, asked });
    read
}

fn load_conversation(
    rows: &dyn ReadRows,
    load: &Load,
    os_generation: u64,
    emit: &mut dyn FnMut(Outcome),
) -> Result<Option<Box<StoredConversation>>, Unreadable> {
    let Some(head) = lookup::head(rows, load.row)? else { return Ok(None) };
    if head.key != load.key {
        return Err(Unreadable::damaged(&rows::head_key(load.row), Damaged("a head is that of another conversation")));
    }
    let HeadRow { incarnation, first, .. } = head;
    let place = LogPlace { row: load.row, incarnation };
    let may_have_lost = head.os_generation != 0 && head.os_generation != os_generation;
    let mut stored = StoredConversation {
        incarnation,
        epoch: if may_have_lost { 0 } else { head.epoch },
        first,
        committed: first - 1,
        title: head.title,
        flags: head.flags,
        ..StoredConversation::default()
    };
    read_end(rows, place, load, &mut stored)?;
    match load.key.kind() {
        Kind::Group => load_members(rows, place, load.log, emit)?,
        Kind::Direct => stored.receipts = direct_receipts(rows, place, &load.key)?,
        Kind::Topic | Kind::Broadcast => {}
    }
    Ok(Some(Box::new(stored)))
}

/// Goes down from the end of the log as far as anything is wanted of it.
fn read_end(rows: &dyn ReadRows, place: LogPlace, load: &Load, stored: &mut StoredConversation) -> Result<(), Unreadable> {
    let StoredConversation { first, committed, last_time_ms, recent, sizes, .. } = stored;
    let mut is_last = true;
    let mut sizes_left = load.sizes_up_to;
    lookup::scan_log(rows, place, (0, u64::MAX), true, |seq, value| {
        let value = rows::log_value(value)?;
        if std::mem::take(&mut is_last) {
            *committed = seq.max(*committed);
            *last_time_ms = value.time_ms();
        }
        let wants_recent = value.time_ms() >= load.recent_after_ms && recent.len() < load.recent_max as usize;
        let wants_size = sizes_left > 0 && seq >= *first;
        let LogValue::Record(view) = value else { return Ok(wants_recent || wants_size) };
        if let Some(client_id) = view.client_id.filter(|_| wants_recent) {
            recent.push(Recent { seq, time_ms: view.time_ms, sender: view.sender.into(), client_id: client_id.into() });
        }
        if wants_size {
            sizes.push((seq, u32::try_from(view.body.len()).unwrap_or(u32::MAX)));
            sizes_left = sizes_left.saturating_sub(view.body.len() as u64);
        }
        Ok(wants_recent || wants_size)
    })?;
    recent.reverse();
    sizes.reverse();
    Ok(())
}

fn direct_receipts(rows: &dyn ReadRows, place: LogPlace, key: &Key) -> Result<Vec<(Name, u64, u64)>, Unreadable> {
    let mut users = key.users().to_vec();
    users.dedup();
    let mut receipts = Vec::new();
    for user in users {
        let row_key = rows::receipt_key(place.row, user);
        let receipt = lookup::read(&row_key, lookup::get(rows, &row_key)?, ReceiptRow::read)?;
        if let Some(ReceiptRow { delivered, read, .. }) = receipt.filter(|receipt| receipt.incarnation == place.incarnation) {
            receipts.push((user.into(), delivered, read));
        }
    }
    Ok(receipts)
}

/// Members with their receipts, chunk by chunk: both stand in the order of user ids.
fn load_members(rows: &dyn ReadRows, place: LogPlace, log: u32, emit: &mut dyn FnMut(Outcome)) -> Result<(), Unreadable> {
    let prefix = rows::prefix(place.row, tag::MEMBER);
    let (mut from, end) = (prefix.to_vec(), rows::end_of(&prefix));
    loop {
        let mut members: Vec<(Name, Member)> = Vec::new();
        lookup::scan(rows, &from, &end, false, |key, value| {
            let MemberRow { incarnation, role, joined } = MemberRow::read(value)?;
            if let RowKey::Member(_, user) = rows::parse(key)?
                && incarnation == place.incarnation
            {
                members.push((user.into(), Member { role, joined, ..Member::default() }));
            }
            Ok(members.len() < CHUNK)
        })?;
        let Some((last, _)) = members.last() else { return Ok(()) };
        from = key_after(&rows::member_key(place.row, last));
        let is_full = members.len() == CHUNK;
        join_receipts(rows, place, &mut members)?;
        emit(Outcome::Members { log, members });
        if !is_full {
            return Ok(());
        }
    }
}

fn join_receipts(rows: &dyn ReadRows, place: LogPlace, members: &mut [(Name, Member)]) -> Result<(), Unreadable> {
    let key = |user: &str| rows::receipt_key(place.row, user);
    let (Some((first, _)), Some((last, _))) = (members.first(), members.last()) else { return Ok(()) };
    let (from, to) = (key(first), key_after(&key(last)));
    let mut members = members.iter_mut().peekable();
    lookup::scan(rows, &from, &to, false, |key, value| {
        let RowKey::Receipt(_, user) = rows::parse(key)? else { return Ok(true) };
        while members.next_if(|(member, _)| **member < *user).is_some() {}
        let receipt = ReceiptRow::read(value)?;
        if let Some((_, member)) = members.next_if(|(member, _)| **member == *user)
            && receipt.incarnation == place.incarnation
        {
            (member.delivered, member.read) = (receipt.delivered, receipt.read);
        }
        Ok(members.peek().is_some())
    })
}

/// The least key above this one.
fn key_after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

fn load_user(rows: &dyn ReadRows, load: &LoadUser, emit: &mut dyn FnMut(Outcome)) -> Result<(), Unreadable> {
    let mut entries = list_of(rows, load.row)?;
    join_cursors(rows, load.row, &mut entries)?;
    entries.sort_unstable_by_key(|(_, entry)| entry.number);
    let mut entries = entries.into_iter().map(|(_, entry)| entry).peekable();
    while entries.peek().is_some() {
        let entries = entries.by_ref().take(CHUNK).collect();
        emit(Outcome::Entries { index: load.index, generation: load.generation, entries });
    }
    Ok(())
}

/// A user's conversations with their fingerprints, in the order of these.
fn list_of(rows: &dyn ReadRows, user: RowId) -> Result<Vec<(u128, StoredEntry)>, Unreadable> {
    let prefix = rows::prefix(user, tag::ENTRY);
    let mut entries = Vec::new();
    lookup::scan(rows, &prefix, &rows::end_of(&prefix), false, |key, value| {
        if let RowKey::Entry { conversation, .. } = rows::parse(key)? {
            let EntryRow { key, number } = EntryRow::read(value)?;
            entries.push((conversation, StoredEntry { key, number, epoch: 0, read: 0, devices: Vec::new() }));
        }
        Ok(true)
    })?;
    Ok(entries)
}

fn join_cursors(rows: &dyn ReadRows, user: RowId, entries: &mut [(u128, StoredEntry)]) -> Result<(), Unreadable> {
    let prefix = rows::prefix(user, tag::CURSORS);
    let mut entries = entries.iter_mut().peekable();
    lookup::scan(rows, &prefix, &rows::end_of(&prefix), false, |key, value| {
        let RowKey::Cursors { conversation, .. } = rows::parse(key)? else { return Ok(true) };
        while entries.next_if(|(fingerprint, _)| *fingerprint < conversation).is_some() {}
        if let Some((_, entry)) = entries.next_if(|(fingerprint, _)| *fingerprint == conversation) {
            let CursorsRow { epoch, read, devices } = CursorsRow::read(value)?;
            (entry.epoch, entry.read, entry.devices) = (epoch, read, devices);
        }
        Ok(entries.peek().is_some())
    })
}
