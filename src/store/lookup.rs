//! Single rows, read and taken apart.

use std::{fmt, io};

use bytes::Bytes;

use super::LogPlace;
use super::engine::ReadRows;
use super::rows::{self, Damaged, HeadRow, RowKey};
use crate::slot::RowId;

/// A row that could not be read. The command that needed it has failed; this is for the log.
#[derive(Debug)]
pub struct Unreadable {
    /// Its key; of a scan, where it began.
    pub key: Vec<u8>,
    /// What was wrong.
    pub why: Why,
}

/// Why a row could not be read.
#[derive(Debug)]
pub enum Why {
    /// The disk did not give it.
    Disk(io::Error),
    /// It is there, but makes no sense.
    Damaged(Damaged),
}

impl Unreadable {
    pub(super) fn disk(key: &[u8], error: io::Error) -> Unreadable {
        Unreadable { key: key.to_vec(), why: Why::Disk(error) }
    }

    pub(super) fn damaged(key: &[u8], damage: Damaged) -> Unreadable {
        Unreadable { key: key.to_vec(), why: Why::Damaged(damage) }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("row ")?;
        self.key.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        match &self.why {
            Why::Disk(error) => write!(f, ": {error}"),
            Why::Damaged(damage) => write!(f, ": {damage}"),
        }
    }
}

impl std::error::Error for Unreadable {}

/// The value of a key.
pub(super) fn get(rows: &dyn ReadRows, key: &[u8]) -> Result<Option<Bytes>, Unreadable> {
    rows.get(key).map_err(|error| Unreadable::disk(key, error))
}

/// Visits rows like [`ReadRows::scan`]. The visitor says whether to go on, or what is wrong with a row: that ends it.
pub(super) fn scan(
    rows: &dyn ReadRows,
    from: &[u8],
    to: &[u8],
    backward: bool,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<bool, Damaged>,
) -> Result<(), Unreadable> {
    let mut damaged = None;
    let result = rows.scan(from, to, backward, &mut |key, value| match visit(key, value) {
        Ok(go_on) => go_on,
        Err(damage) => {
            damaged = Some(Unreadable::damaged(key, damage));
            false
        }
    });
    match damaged {
        Some(damaged) => Err(damaged),
        None => result.map_err(|error| Unreadable::disk(from, error)),
    }
}

/// Visits the rows of a log with `from <= seq <= to`.
pub(super) fn scan_log(
    rows: &dyn ReadRows,
    place: LogPlace,
    (from, to): (u64, u64),
    backward: bool,
    mut visit: impl FnMut(u64, &[u8]) -> Result<bool, Damaged>,
) -> Result<(), Unreadable> {
    if from > to {
        return Ok(());
    }
    // No log gets as far as the last number that there is.
    let (from, to) = (rows::log_key(place, from), rows::log_key(place, to.saturating_add(1)));
    scan(rows, &from, &to, backward, |key, value| visit(seq_of(key)?, value))
}

fn seq_of(key: &[u8]) -> Result<u64, Damaged> {
    match rows::parse(key)? {
        RowKey::Log(_, seq) => Ok(seq),
        _ => unreachable!("only keys of records lie between two keys of one log"),
    }
}

/// The last row of a log: its seq, and its value.
pub(super) fn last_row(rows: &dyn ReadRows, place: LogPlace) -> Result<Option<(u64, Bytes)>, Unreadable> {
    let mut last = None;
    scan_log(rows, place, (0, u64::MAX), true, |seq, value| {
        last = Some((seq, Bytes::copy_from_slice(value)));
        Ok(false)
    })?;
    Ok(last)
}

/// Where a conversation stands.
pub(super) fn head(rows: &dyn ReadRows, row: RowId) -> Result<Option<HeadRow>, Unreadable> {
    let key = rows::head_key(row);
    read(&key, get(rows, &key)?, HeadRow::read)
}

/// Takes a value apart.
pub(super) fn read<T>(
    key: &[u8],
    value: Option<Bytes>,
    read: impl Fn(&[u8]) -> Result<T, Damaged>,
) -> Result<Option<T>, Unreadable> {
    value.map(|value| read(&value)).transpose().map_err(|damage| Unreadable::damaged(key, damage))
}
