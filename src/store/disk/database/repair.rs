//! A partition that has lost something: the loss is given up, and whoever knew what is lost will be told.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

use super::{Database, Mode, Recovered};
use crate::slot::PartitionId;
use crate::store::disk::manifest::Manifest;
use crate::store::disk::mark::{Mark, Marked};
use crate::store::disk::stamp::Owner;
use crate::store::disk::{OpenError, StoreOptions};

impl Database {
    /// Opens a partition whose journals have lost what was synced, and cuts them where they break. Until [`Self::accept_loss`] its mark asks for
    /// more than is there, so that no server starts with what is only half repaired.
    ///
    /// # Errors
    /// It is another one's, or cannot be opened.
    pub fn open_forgiving(
        manifest: &Manifest,
        partition: PartitionId,
        options: &StoreOptions,
        progress: &AtomicU64,
    ) -> Result<(Database, Recovered), OpenError> {
        let dir = manifest.partition_dir(partition);
        let owner = Owner { data_id: manifest.data_id(), partition };
        let (mut mark, marked) = Mark::open(&dir, owner).map_err(file(dir.clone()))?;
        if marked == Marked::Foreign {
            return Err(OpenError::Foreign { partition, path: dir });
        }
        mark.reset(u64::MAX).map_err(file(dir.clone()))?;
        let mut database = Database::closed(dir, owner, options, mark);
        let recovered = database.recover(0, Mode::Forgiving, progress)?;
        Ok((database, recovered))
    }

    /// What is there is all that there is.
    ///
    /// # Errors
    /// Those of the file system; the next start refuses what it finds.
    pub fn accept_loss(&mut self) -> Result<(), OpenError> {
        self.mark.reset(self.synced).map_err(file(self.dir.clone()))
    }

    /// Closes the database for good, and its files too. All clones of its rows must be gone.
    ///
    /// # Errors
    /// A file stays open.
    pub fn shut(mut self) -> io::Result<()> {
        self.close();
        self.wait_for_workers()
    }
}

fn file(path: PathBuf) -> impl FnOnce(io::Error) -> OpenError {
    |error| OpenError::File { path, error }
}
