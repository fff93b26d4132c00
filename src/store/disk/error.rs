//! Why the store does not open. Each is one sentence with the cause and the cure.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::slot::PartitionId;

/// A data directory, or a part of it, cannot be used.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum OpenError {
    /// A file or directory cannot be made, read or written.
    File { path: PathBuf, error: io::Error },
    /// A journal cannot be synced: what was given to the operating system may be lost, and no later sync would tell.
    NotSynced { path: PathBuf, error: io::Error },
    /// Users other than the server's may write there.
    WritableByOthers { path: PathBuf },
    /// There is no data directory where one should be.
    NoData { path: PathBuf },
    /// It has no manifest, but other things.
    NotEmpty { path: PathBuf },
    /// Another process has it.
    Taken { path: PathBuf, pid: Option<u32> },
    /// A newer version of the server wrote it.
    Newer { path: PathBuf, format: i64 },
    /// The manifest does not say what it must.
    Manifest { path: PathBuf, what: String },
    /// A partition that was there is not there any more.
    Missing { partition: PartitionId, path: PathBuf },
    /// A journal has lost what was synced.
    Damaged(Box<Damage>),
    /// Fewer batches are there than were synced.
    Behind { partition: PartitionId, path: PathBuf, found: u64, marked: u64 },
    /// The rows are those of another partition or of another data directory.
    Foreign { partition: PartitionId, path: PathBuf },
    /// The database does not open.
    Database { partition: PartitionId, path: PathBuf, error: io::Error },
    /// A thread of the store cannot be started.
    Thread(io::Error),
}

/// Where a journal has lost what was synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Of which partition.
    pub partition: PartitionId,
    /// The journal's file.
    pub path: PathBuf,
    /// Where the batch begins that cannot be read, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub what: &'static str,
    /// The last batch before it.
    pub last_good: u64,
    /// A batch after it which says that what is lost had been synced.
    pub later: u64,
}

/// What can be done about lost data.
const WAY_OUT: &str = "restore a backup, or give up what is lost with `campanile fsck --cut`";

/// What can be done about a full disk. Nothing of what is there can be served without a place for the next epochs.
const MAKE_ROOM: &str = "the disk is full: make room and start again";

/// Whether it is for want of room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::File { path, error } => {
                let cure = if is_full(error) { MAKE_ROOM } else { "check that it is there and belongs to the server's user" };
                write!(f, "the store cannot use {}: {error}; {cure}", path.display())
            }
            OpenError::NotSynced { path, error } => {
                write!(f, "the journals in {} cannot be synced: {error}; look after the disk and start again", path.display())
            }
            OpenError::WritableByOthers { path } => {
                let path = path.display();
                write!(f, "other users may write to the data directory {path}; forbid it with chmod go-w {path}")
            }
            OpenError::NoData { path } => {
                write!(
                    f,
                    "{} is no data directory: it has no manifest; name the one that the server has as data_dir",
                    path.display()
                )
            }
            OpenError::NotEmpty { path } => {
                write!(f, "{} is no data directory, but not empty either; choose an empty one with --data-dir", path.display())
            }
            OpenError::Taken { path, pid } => {
                let by = pid.map_or_else(|| "another process".into(), |pid| format!("process {pid}"));
                write!(f, "the data directory {} is used by {by}; stop it, or choose another with --data-dir", path.display())
            }
            OpenError::Newer { path, format } => {
                let path = path.display();
                write!(
                    f,
                    "a newer campanile wrote the data directory {path} (format {format}); start that one, or choose another directory"
                )
            }
            OpenError::Manifest { path, what } => {
                write!(f, "the manifest {} is damaged: {what}; restore it from a backup", path.display())
            }
            OpenError::Missing { partition, path } => {
                write!(f, "partition {partition} is missing at {}; restore it from a backup", path.display())
            }
            OpenError::Damaged(damage) => damage.fmt(f),
            OpenError::Behind { partition, path, marked: u64::MAX, .. } => {
                let path = path.display();
                write!(f, "the repair of partition {partition} at {path} was not finished; run `campanile fsck --cut` once more")
            }
            OpenError::Behind { partition, path, found, marked } => {
                let path = path.display();
                write!(
                    f,
                    "partition {partition} at {path} ends with batch {found}, but batch {marked} had been synced; {WAY_OUT}"
                )
            }
            OpenError::Foreign { partition, path } => {
                let path = path.display();
                write!(f, "{path} is not partition {partition} of this data directory; put the right one there")
            }
            OpenError::Database { partition, path, error } => {
                let cure = if is_full(error) { MAKE_ROOM } else { WAY_OUT };
                write!(f, "the database of partition {partition} at {} does not open: {error}; {cure}", path.display())
            }
            OpenError::Thread(error) => write!(f, "cannot start a thread of the store: {error}; allow more threads"),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage { partition, path, offset, what, last_good, later } = self;
        let path = path.display();
        write!(
            f,
            "partition {partition} is damaged: after batch {last_good} the journal {path} has {what} at byte {offset}, \
             but batch {later} further on says that it had been synced; {WAY_OUT}"
        )
    }
}

impl std::error::Error for OpenError {}
