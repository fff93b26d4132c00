//! The rows of a partition: what each kind's key and value look like on disk, for ever. A change of a format is a new version of its value,
//! which is read beside the old ones.
//!
//! A partition is one ordered map. Every key begins with the slot, so that a slot can move; then comes a tag for the kind of row, then the
//! keyed 128-bit hash (fingerprint) of the user's id or the conversation's key. Numbers in keys have a fixed width and are big-endian; in
//! values they are varints (LEB128). `text` is UTF-8 with its length before it as a varint. The first byte of every value but that of a
//! `meta` row is its version, now 1.
//!
//! | row | tag | key after slot u16, tag u8 | value after its version |
//! |---|---|---|---|
//! | head | 1 | fingerprint u128 | flags u8, key text, incarnation, epoch, first, os_generation, title (bytes with length) |
//! | log | 2 | fingerprint u128, incarnation u64, seq u64 | kind u8, parts u8, time_ms, sender text, the parts, body (the rest) |
//! | log, removed | 2 | the same | 0xff, time_ms |
//! | member | 3 | fingerprint u128, user id (the rest) | role u8, incarnation, joined |
//! | receipt | 4 | fingerprint u128, user id (the rest) | incarnation, delivered, read |
//! | user | 5 | fingerprint u128 | id text, last_number, count |
//! | entry | 6 | user's fingerprint u128, conversation's fingerprint u128 | key text, number |
//! | cursors | 7 | user's fingerprint u128, conversation's fingerprint u128 | epoch, read, count, (device text, seq) * count |
//! | expiry | 16 | due_ms u64, slot u16, fingerprint u128, incarnation u64, seq u64, mark u8 | |
//! | meta | 17 | name (the rest) | whatever that name means, without a version |
//!
//! Expiry and meta rows belong to the whole partition: where others have their slot, they have 0xffff.
//!
//! - The *parts* of a record, each there if its bit is set in `parts`, in this order: flags u8 (1), role u8 (2), ttl_ms (4), target (8),
//!   client_id text (16), content_type text (32), tag text (64), subject text (128). A record's epoch is not in its row: the head has it.
//! - A *removed* log row stands for the last record of its log, so that its seq is not given again and time does not go back.
//! - The *mark* of an expiry row: 0, the record `seq`; 1, all records below `seq`; 2 (seq 0), the whole log of a group that was disbanded, with the members and
//!   receipts of its incarnation.
//! - Rows of a member or a receipt that have another incarnation than the head are void: the sweeper has not come by yet.

mod codec;
mod keys;
mod record;
#[cfg(test)]
mod tests;
mod values;

use std::sync::Arc;

use bytes::Bytes;

use crate::conversation::{Name, Record};
use crate::slot::RowId;
use crate::store::LogPlace;

pub use codec::Damaged;
pub use keys::{
    Doomed, Expiry, NO_SLOT, RowKey, cursors_key, end_of, entry_key, expiry_key, expiry_prefix, head_key, log_key, member_key,
    meta_key, parse, prefix, receipt_key, tag, user_key,
};
pub use record::{LogValue, RecordView, log_value, record_value, removed_value};
pub use values::{CursorsRow, EntryRow, HeadRow, MemberRow, ReceiptRow, UserRow, expiry_value};

/// A row of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Row {
    Head {
        row: RowId,
        head: HeadRow,
    },
    /// Its record's epoch is 0: the head has it.
    Log {
        place: LogPlace,
        record: Arc<Record>,
    },
    /// The record is gone, its place is kept.
    Removed {
        place: LogPlace,
        seq: u64,
        time_ms: u64,
    },
    Member {
        row: RowId,
        user: Name,
        member: MemberRow,
    },
    Receipt {
        row: RowId,
        user: Name,
        receipt: ReceiptRow,
    },
    User {
        row: RowId,
        user: UserRow,
    },
    /// A conversation, by its fingerprint and its key, in the list of a user.
    Entry {
        user: RowId,
        conversation: u128,
        entry: EntryRow,
    },
    Cursors {
        user: RowId,
        conversation: u128,
        cursors: CursorsRow,
    },
    Expiry(Expiry),
    Meta {
        name: Box<str>,
        value: Bytes,
    },
}

/// What a row says.
///
/// # Errors
/// What is wrong with it.
pub fn describe(key: &[u8], value: &[u8]) -> Result<Row, Damaged> {
    Ok(match parse(key)? {
        RowKey::Head(row) => Row::Head { row, head: HeadRow::read(value)? },
        RowKey::Log(place, seq) => match log_value(value)? {
            LogValue::Record(record) => Row::Log { place, record: Arc::new(record.to_record(0, seq)) },
            LogValue::Removed { time_ms } => Row::Removed { place, seq, time_ms },
        },
        RowKey::Member(row, user) => Row::Member { row, user: user.into(), member: MemberRow::read(value)? },
        RowKey::Receipt(row, user) => Row::Receipt { row, user: user.into(), receipt: ReceiptRow::read(value)? },
        RowKey::User(row) => Row::User { row, user: UserRow::read(value)? },
        RowKey::Entry { user, conversation } => Row::Entry { user, conversation, entry: EntryRow::read(value)? },
        RowKey::Cursors { user, conversation } => Row::Cursors { user, conversation, cursors: CursorsRow::read(value)? },
        RowKey::Expiry(expiry) => values::read_expiry_value(value).map(|()| Row::Expiry(expiry))?,
        RowKey::Meta(name) => Row::Meta { name: name.into(), value: Bytes::copy_from_slice(value) },
    })
}
