//! The batch that is being gathered: changes, and what later commands of the same batch must see of them.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use crate::store::engine::{Change, ReadRows};
use crate::store::lookup::{self, Unreadable};
use crate::store::{LogPlace, rows};

/// Changes that are not written yet.
#[derive(Debug, Default)]
pub(super) struct Staging {
    changes: Vec<Change>,
    bytes: usize,
    /// Where the change of a row is that may be read again in this batch: of every kind but records and expiry rows.
    at: BTreeMap<Vec<u8>, usize>,
    /// The same of records.
    records_at: HashMap<(LogPlace, u64), usize, ahash::RandomState>,
    /// Whether the batch must be on the disk before it counts.
    pub(super) must_sync: bool,
}

impl Staging {
    pub(super) fn changes(&self) -> usize {
        self.changes.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the changes out; nothing is staged any more.
    pub(super) fn take(&mut self) -> Vec<Change> {
        self.at.clear();
        self.records_at.clear();
        (self.bytes, self.must_sync) = (0, false);
        // The next batch will be about as large.
        let capacity = self.changes.len();
        std::mem::replace(&mut self.changes, Vec::with_capacity(capacity))
    }

    /// The value of a row as this batch makes it, or as it is on the disk.
    pub(super) fn get(&self, key: &[u8], rows: &dyn ReadRows) -> Result<Option<Bytes>, Unreadable> {
        match self.at.get(key) {
            Some(&at) => Ok(self.changes[at].value.as_deref().map(Bytes::copy_from_slice)),
            None => lookup::get(rows, key),
        }
    }

    /// The rows that this batch changes and whose key begins like this, in order.
    pub(super) fn changed(&self, prefix: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.at
            .range::<[u8], _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(key, &at)| (&key[..], self.changes[at].value.as_deref()))
    }

    /// Puts a row, or removes it.
    pub(super) fn put(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        match self.at.get(&key) {
            Some(&at) => self.replace(at, value),
            None => {
                self.at.insert(key.clone(), self.changes.len());
                self.push(key, value);
            }
        }
    }

    /// The value of a record's row as this batch makes it, or as it is on the disk.
    pub(super) fn record(&self, place: LogPlace, seq: u64, rows: &dyn ReadRows) -> Result<Option<Bytes>, Unreadable> {
        match self.records_at.get(&(place, seq)) {
            Some(&at) => Ok(self.changes[at].value.as_deref().map(Bytes::copy_from_slice)),
            None => lookup::get(rows, &rows::log_key(place, seq)),
        }
    }

    /// Puts a record's row.
    pub(super) fn put_record(&mut self, place: LogPlace, seq: u64, value: Vec<u8>) {
        match self.records_at.get(&(place, seq)) {
            Some(&at) => self.replace(at, Some(value)),
            None => {
                self.records_at.insert((place, seq), self.changes.len());
                self.push(rows::log_key(place, seq).to_vec(), Some(value));
            }
        }
    }

    /// Puts a row that no command reads.
    pub(super) fn push(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        self.changes.push(Change { key, value });
    }

    fn replace(&mut self, at: usize, value: Option<Vec<u8>>) {
        let before = &mut self.changes[at].value;
        self.bytes -= before.as_ref().map_or(0, Vec::len);
        self.bytes += value.as_ref().map_or(0, Vec::len);
        *before = value;
    }
}
