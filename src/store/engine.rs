//! What a partition of the store stands on: rows by key, in order; batches that are written whole or not at all; and a sync.
//!
//! The database behind it is one implementation, a simulated disk that loses what was not synced is another; what a [`Command`](super::Command)
//! means in rows is written once, above it.

use std::io;

use bytes::Bytes;

/// Reading. It sees whole batches only, also those that are not synced yet.
pub trait ReadRows {
    /// The value of a key.
    ///
    /// # Errors
    /// The disk cannot be read, or what it gives is damaged.
    fn get(&self, key: &[u8]) -> io::Result<Option<Bytes>>;

    /// Visits the rows with `from <= key < to`, in order, or from the end if `backward`, for as long as `visit` says true.
    ///
    /// # Errors
    /// The same.
    fn scan(&self, from: &[u8], to: &[u8], backward: bool, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> io::Result<()>;
}

/// One change: a row, or its removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Vec<u8>,
    /// The value; `None` removes the row.
    pub value: Option<Vec<u8>>,
}

/// Writing. One thread does it.
pub trait WriteRows: ReadRows {
    /// Writes all changes or none, and gives them to the operating system: they survive the process. A later change of a key in the same batch wins.
    ///
    /// # Errors
    /// Nothing of it is to be seen by readers of this engine, but it may be there after it has been opened again.
    fn write(&mut self, changes: Vec<Change>) -> io::Result<()>;

    /// Everything written so far is on the disk when this returns.
    ///
    /// # Errors
    /// What was written since the last sync may be lost, and no later sync tells: the process must end.
    fn sync(&mut self) -> io::Result<()>;
}
