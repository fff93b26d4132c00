//! Many rows into a database, in large batches that are synced.

use std::io;

use crate::store::disk::database::Database;
use crate::store::engine::{Change, WriteRows};

/// A batch is written when it has so many rows ...
const ROWS_MAX: usize = 4096;
/// ... or so many bytes.
const BYTES_MAX: usize = 4 << 20;

/// Gathers rows for one database.
#[derive(Debug, Default)]
pub struct Sink {
    changes: Vec<Change>,
    bytes: usize,
}

impl Sink {
    /// Takes a row, or its removal if it has no value. Writes and syncs when there are enough of them; says whether it did.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: Option<Vec<u8>>, into: &mut Database) -> io::Result<bool> {
        let change = Change { key: key.into(), value };
        self.bytes += change.key.len() + change.value.as_ref().map_or(0, Vec::len);
        self.changes.push(change);
        let is_full = self.changes.len() >= ROWS_MAX || self.bytes >= BYTES_MAX;
        if is_full {
            self.flush(into)?;
        }
        Ok(is_full)
    }

    /// Writes and syncs what is left.
    ///
    /// # Errors
    /// The same.
    pub fn flush(&mut self, into: &mut Database) -> io::Result<()> {
        if self.changes.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        into.write(std::mem::take(&mut self.changes))?;
        into.sync()
    }
}
