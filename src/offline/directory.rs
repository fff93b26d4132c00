//! A data directory, opened without a server.

use std::path::Path;
use std::sync::atomic::AtomicU64;

use crate::slot::{PartitionId, Slots};
use crate::store::disk::database::{Database, View};
use crate::store::disk::{Manifest, OpenError, StoreOptions};

/// Blocks kept in memory, per partition: every row is read once or twice, so there is little to remember.
const CACHE_BYTES: u64 = 8 << 20;

/// An open data directory. No server starts on it as long as this lives.
pub struct Directory {
    /// What is written down about it.
    pub manifest: Manifest,
    /// Where ids have their rows.
    pub slots: Slots,
    /// Its partitions, in order.
    pub parts: Vec<Part>,
}

/// One partition.
pub struct Part {
    /// Which.
    pub id: PartitionId,
    /// Its database, or why it does not open.
    pub database: Result<Database, OpenError>,
    /// Bytes of a torn end that were cut when it was opened.
    pub torn_bytes: u64,
}

impl Directory {
    /// Opens a directory that is there, with as many of its partitions as open.
    ///
    /// # Errors
    /// There is none, a server has it, or its manifest cannot be read.
    pub fn open(dir: &Path) -> Result<Directory, OpenError> {
        Ok(Directory::of(Manifest::open_existing(dir)?))
    }

    /// Opens the partitions of a directory, and makes those that it does not have yet.
    pub fn of(manifest: Manifest) -> Directory {
        let slots = Slots::with_partitions(manifest.slot_seed(), 1, manifest.partitions());
        let parts = (0..manifest.partitions()).map(|id| Part::open(&manifest, id)).collect();
        Directory { manifest, slots, parts }
    }

    /// Opens a directory all of whose partitions open.
    ///
    /// # Errors
    /// One does not, or [`Self::open`] fails.
    pub fn open_sound(dir: &Path) -> Result<Directory, OpenError> {
        Directory::open(dir)?.sound()
    }

    /// The same, if all partitions are open.
    ///
    /// # Errors
    /// The first that is not.
    pub fn sound(mut self) -> Result<Directory, OpenError> {
        match self.parts.iter().position(|part| part.database.is_err()) {
            None => Ok(self),
            Some(index) => Err(self.parts.swap_remove(index).database.err().expect("it is an error")),
        }
    }

    /// The rows of all partitions as they are now; absent where a partition is not open.
    pub fn views(&self) -> Vec<Option<View>> {
        self.parts.iter().map(Part::view).collect()
    }

    /// The database of a partition.
    ///
    /// # Panics
    /// It is not open.
    pub fn database(&mut self, partition: PartitionId) -> &mut Database {
        self.parts[usize::from(partition)].database.as_mut().expect("the partition is open")
    }
}

impl Part {
    /// Opens a partition.
    pub fn open(manifest: &Manifest, id: PartitionId) -> Part {
        match Database::open(manifest, id, &options(), &AtomicU64::default()) {
            Ok((database, recovered)) => Part { id, database: Ok(database), torn_bytes: recovered.torn_bytes },
            Err(error) => Part { id, database: Err(error), torn_bytes: 0 },
        }
    }

    /// Its rows as they are now, if it is open.
    pub fn view(&self) -> Option<View> {
        self.database.as_ref().ok()?.rows().ok().map(|rows| rows.view())
    }
}

/// How databases are opened without a server.
pub fn options() -> StoreOptions {
    StoreOptions { cache_bytes: CACHE_BYTES, ..StoreOptions::default() }
}
