//! The keys of rows. All numbers are big-endian, so the order of keys is the order of what they name.

use super::codec::Damaged;
use crate::slot::{RowId, SLOTS};
use crate::store::LogPlace;

/// What kind of row it is: the byte after the slot. Never used again for something else.
pub mod tag {
    /// Where a conversation stands.
    pub const HEAD: u8 = 1;
    /// A record.
    pub const LOG: u8 = 2;
    /// A member of a group.
    pub const MEMBER: u8 = 3;
    /// How far somebody has received and read.
    pub const RECEIPT: u8 = 4;
    /// A user.
    pub const USER: u8 = 5;
    /// A conversation in a user's list.
    pub const ENTRY: u8 = 6;
    /// How far a user and his devices are in it.
    pub const CURSORS: u8 = 7;
    /// What is to be removed, and when.
    pub const EXPIRY: u8 = 16;
    /// What the store notes about itself.
    pub const META: u8 = 17;
}

/// Stands where a slot would, in the keys of rows that belong to the whole partition.
pub const NO_SLOT: u16 = 0xffff;
const _: () = assert!((NO_SLOT as u64) >= SLOTS);

/// Bytes of a key that names a user or conversation and nothing else.
pub const ROW_KEY_BYTES: usize = 2 + 1 + 16;
/// Bytes of a record's key.
pub const LOG_KEY_BYTES: usize = ROW_KEY_BYTES + 8 + 8;

/// Bytes of an expiry row's key.
pub const EXPIRY_KEY_BYTES: usize = 2 + 1 + 8 + 2 + 16 + 8 + 8 + 1;

fn row_key(row: RowId, tag: u8) -> [u8; ROW_KEY_BYTES] {
    let mut key = [0; ROW_KEY_BYTES];
    key[..2].copy_from_slice(&row.slot.to_be_bytes());
    key[2] = tag;
    key[3..].copy_from_slice(&row.fingerprint.to_be_bytes());
    key
}

fn key_with(row: RowId, tag: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(ROW_KEY_BYTES + rest.len());
    key.extend_from_slice(&row_key(row, tag));
    key.extend_from_slice(rest);
    key
}

/// The key of a conversation's head.
pub fn head_key(row: RowId) -> [u8; ROW_KEY_BYTES] {
    row_key(row, tag::HEAD)
}

/// The key of a record.
pub fn log_key(place: LogPlace, seq: u64) -> [u8; LOG_KEY_BYTES] {
    let mut key = [0; LOG_KEY_BYTES];
    key[..ROW_KEY_BYTES].copy_from_slice(&row_key(place.row, tag::LOG));
    key[ROW_KEY_BYTES..ROW_KEY_BYTES + 8].copy_from_slice(&place.incarnation.to_be_bytes());
    key[ROW_KEY_BYTES + 8..].copy_from_slice(&seq.to_be_bytes());
    key
}

/// The key of a member.
pub fn member_key(row: RowId, user: &str) -> Vec<u8> {
    key_with(row, tag::MEMBER, user.as_bytes())
}

/// The key of a receipt.
pub fn receipt_key(row: RowId, user: &str) -> Vec<u8> {
    key_with(row, tag::RECEIPT, user.as_bytes())
}

/// The key of a user.
pub fn user_key(row: RowId) -> [u8; ROW_KEY_BYTES] {
    row_key(row, tag::USER)
}

/// The key of a conversation in a user's list.
pub fn entry_key(user: RowId, conversation: u128) -> Vec<u8> {
    key_with(user, tag::ENTRY, &conversation.to_be_bytes())
}

/// The key of a user's cursors in a conversation.
pub fn cursors_key(user: RowId, conversation: u128) -> Vec<u8> {
    key_with(user, tag::CURSORS, &conversation.to_be_bytes())
}

/// What begins the keys of all rows of this kind that belong to this user or conversation.
pub fn prefix(row: RowId, tag: u8) -> [u8; ROW_KEY_BYTES] {
    row_key(row, tag)
}

/// The first key after all that begin like this one. `prefix` must not be all ones.
pub fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// What an expiry row removes from a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doomed {
    /// The record with this seq.
    Record(u64),
    /// All records below this seq.
    Below(u64),
    /// All of it, and the members and receipts of this incarnation: the group was disbanded.
    Whole,
}

/// What is to be removed, and when. All of it is in the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry {
    /// Since when it is not offered any more, in ms since 1970. It is removed a grace period later.
    pub due_ms: u64,
    /// Slot of the conversation.
    pub slot: u16,
    /// Fingerprint of the conversation.
    pub fingerprint: u128,
    /// Of the log.
    pub incarnation: u64,
    /// What of it.
    pub doomed: Doomed,
}

impl Expiry {
    /// Something of a log.
    pub fn of(due_ms: u64, place: LogPlace, doomed: Doomed) -> Expiry {
        let LogPlace { row: RowId { slot, fingerprint }, incarnation } = place;
        Expiry { due_ms, slot, fingerprint, incarnation, doomed }
    }

    /// The log.
    pub fn place(&self) -> LogPlace {
        LogPlace { row: RowId { slot: self.slot, fingerprint: self.fingerprint }, incarnation: self.incarnation }
    }
}

/// The key of an expiry row.
pub fn expiry_key(expiry: &Expiry) -> Vec<u8> {
    let (seq, mark) = match expiry.doomed {
        Doomed::Record(seq) => (seq, 0),
        Doomed::Below(seq) => (seq, 1),
        Doomed::Whole => (0, 2),
    };
    let mut key = Vec::with_capacity(EXPIRY_KEY_BYTES);
    key.extend_from_slice(&expiry_prefix(expiry.due_ms));
    key.extend_from_slice(&expiry.slot.to_be_bytes());
    key.extend_from_slice(&expiry.fingerprint.to_be_bytes());
    key.extend_from_slice(&expiry.incarnation.to_be_bytes());
    key.extend_from_slice(&seq.to_be_bytes());
    key.push(mark);
    key
}

/// What begins the keys of all expiry rows that are due at this time; those of earlier times stand before it.
pub fn expiry_prefix(due_ms: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(EXPIRY_KEY_BYTES);
    key.extend_from_slice(&NO_SLOT.to_be_bytes());
    key.push(tag::EXPIRY);
    key.extend_from_slice(&due_ms.to_be_bytes());
    key
}

/// The key of a note of the store about itself.
pub fn meta_key(name: &str) -> Vec<u8> {
    let mut key = NO_SLOT.to_be_bytes().to_vec();
    key.push(tag::META);
    key.extend_from_slice(name.as_bytes());
    key
}

/// A key, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum RowKey<'a> {
    Head(RowId),
    Log(LogPlace, u64),
    Member(RowId, &'a str),
    Receipt(RowId, &'a str),
    User(RowId),
    Entry { user: RowId, conversation: u128 },
    Cursors { user: RowId, conversation: u128 },
    Expiry(Expiry),
    Meta(&'a str),
}

/// Takes a key apart.
///
/// # Errors
/// What is wrong with it.
pub fn parse(key: &[u8]) -> Result<RowKey<'_>, Damaged> {
    let (slot, rest) = take_u16(key)?;
    let (&tag, rest) = rest.split_first().ok_or(CUT_OFF)?;
    if slot == NO_SLOT {
        return match tag {
            tag::EXPIRY => parse_expiry(rest).map(RowKey::Expiry),
            tag::META => Ok(RowKey::Meta(text(rest)?)),
            _ => Err(Damaged("the key has an unknown tag")),
        };
    }
    if u64::from(slot) >= SLOTS {
        return Err(Damaged("the key has a slot that there is not"));
    }
    let (fingerprint, rest) = take_u128(rest)?;
    let row = RowId { slot, fingerprint };
    match tag {
        tag::HEAD => end(rest).map(|()| RowKey::Head(row)),
        tag::LOG => {
            let (incarnation, rest) = take_u64(rest)?;
            let (seq, rest) = take_u64(rest)?;
            end(rest).map(|()| RowKey::Log(LogPlace { row, incarnation }, seq))
        }
        tag::MEMBER => Ok(RowKey::Member(row, text(rest)?)),
        tag::RECEIPT => Ok(RowKey::Receipt(row, text(rest)?)),
        tag::USER => end(rest).map(|()| RowKey::User(row)),
        tag::ENTRY => pair(rest).map(|conversation| RowKey::Entry { user: row, conversation }),
        tag::CURSORS => pair(rest).map(|conversation| RowKey::Cursors { user: row, conversation }),
        _ => Err(Damaged("the key has an unknown tag")),
    }
}

fn parse_expiry(key: &[u8]) -> Result<Expiry, Damaged> {
    let (due_ms, rest) = take_u64(key)?;
    let (slot, rest) = take_u16(rest)?;
    let (fingerprint, rest) = take_u128(rest)?;
    let (incarnation, rest) = take_u64(rest)?;
    let (seq, rest) = take_u64(rest)?;
    let doomed = match rest {
        [0] => Doomed::Record(seq),
        [1] => Doomed::Below(seq),
        [2] if seq == 0 => Doomed::Whole,
        _ => return Err(Damaged("the key of an expiry row has an unknown mark")),
    };
    if u64::from(slot) >= SLOTS {
        return Err(Damaged("the key has a slot that there is not"));
    }
    Ok(Expiry { due_ms, slot, fingerprint, incarnation, doomed })
}

const CUT_OFF: Damaged = Damaged("the key is cut off");

fn take_u16(key: &[u8]) -> Result<(u16, &[u8]), Damaged> {
    key.split_first_chunk().map(|(n, rest)| (u16::from_be_bytes(*n), rest)).ok_or(CUT_OFF)
}

fn take_u64(key: &[u8]) -> Result<(u64, &[u8]), Damaged> {
    key.split_first_chunk().map(|(n, rest)| (u64::from_be_bytes(*n), rest)).ok_or(CUT_OFF)
}

fn take_u128(key: &[u8]) -> Result<(u128, &[u8]), Damaged> {
    key.split_first_chunk().map(|(n, rest)| (u128::from_be_bytes(*n), rest)).ok_or(CUT_OFF)
}

fn pair(rest: &[u8]) -> Result<u128, Damaged> {
    let (conversation, rest) = take_u128(rest)?;
    end(rest).map(|()| conversation)
}

fn text(rest: &[u8]) -> Result<&str, Damaged> {
    std::str::from_utf8(rest).map_err(|_| Damaged("the key has a name that is not UTF-8"))
}

fn end(rest: &[u8]) -> Result<(), Damaged> {
    if rest.is_empty() { Ok(()) } else { Err(Damaged("the key goes on behind its end")) }
}
