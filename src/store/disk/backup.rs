//! A copy of everything that the store holds, made while it goes on: a data directory that a server can be started on.
//!
//! Every partition is seen as it was at one moment, conversations (heads, logs, members, receipts, what expires) at an earlier one than users (lists,
//! cursors). A list's entry is on the disk before the first record it points to is sent to the disk, so the list of everyone who has a record in the
//! copy has its entry in the copy.
//!
//! The copy is older than what clients have seen when it is used. Were it to go on in the same epochs, it would give numbers again that clients have
//! cursors behind, and they would miss messages in silence. So every head says that its log may have lost its end, as after a crash of the
//! machine: the conversation begins a new epoch when it is loaded.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::database::{Database, sync_dirs};
use super::error::OpenError;
use super::manifest::{self, Facts, Manifest, sync_dir};
use super::options::StoreOptions;
use super::shared::{Loan, SharedRows};
use super::stamp;
use crate::slot::{PartitionId, SLOTS};
use crate::store::engine::{Change, ReadRows, WriteRows};
use crate::store::rows::{HeadRow, NO_SLOT, tag};

/// Rows that are written and synced together.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// A change is more than its bytes in memory.
const CHANGE_BYTES: usize = 64;
/// After each batch the copy rests as long as the batch took, within these bounds: it takes half of a disk at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(500)];
/// While it rests, it looks this often whether it must end.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// What the name of a copy ends with that is not finished.
const UNFINISHED: &str = "part";
/// Memory of the database that is written: it is read by nobody.
const CACHE_BYTES: u64 = 1 << 20;
const MEMTABLE_BYTES: u64 = 8 << 20;

/// How far a copy is, and a way to stop it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Partitions that are copied.
    pub partitions: AtomicU64,
    /// Rows that are copied.
    pub rows: AtomicU64,
    /// Bytes of their keys and values.
    pub bytes: AtomicU64,
    /// Set by whoever wants it to stop.
    pub is_cancelled: AtomicBool,
}

/// What was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Copied {
    pub dir: PathBuf,
    pub partitions: u64,
    pub rows: u64,
    pub bytes: u64,
    pub took: Duration,
}

/// Why there is no copy.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum BackupError {
    /// The copy cannot be made where it was to be.
    Target(OpenError),
    /// The copy cannot be written.
    Write { partition: PartitionId, error: io::Error },
    /// A row of the running server cannot be read.
    Read { partition: PartitionId, error: io::Error },
    /// The partition's database was closed: the server opens it again after a failed write, or stops.
    Away { partition: PartitionId },
    /// The disk of the copy is nearly full.
    Full { free: u64, wanted: u64 },
    /// The server stops.
    Cancelled,
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackupError::Target(error) => error.fmt(f),
            BackupError::Write { partition, error } => {
                write!(f, "partition {partition} of the backup cannot be written: {error}; look after the disk of backup_dir")
            }
            BackupError::Read { partition, error } => {
                write!(f, "partition {partition} cannot be read: {error}; stop the server and run `campanile fsck`")
            }
            BackupError::Away { partition } => {
                write!(f, "partition {partition} was closed while it was copied; the log says why, try again when it is open")
            }
            BackupError::Full { free, wanted } => write!(
                f,
                "{free} bytes are free for the backup, and {wanted} must stay free (disk_free_bytes_min); make room, or choose another backup_dir"
            ),
            BackupError::Cancelled => write!(f, "the server stops; make the backup when it runs again"),
        }
    }
}

impl std::error::Error for BackupError {}

impl From<OpenError> for BackupError {
    fn from(error: OpenError) -> BackupError {
        BackupError::Target(error)
    }
}

/// The rows of a store that runs, to be copied.
#[derive(Clone)]
pub struct Snapshots {
    facts: Facts,
    rows: Vec<Arc<SharedRows>>,
}

/// What is not copied yet, as it was at two moments; a partition each.
struct Moments {
    conversations: Vec<Loan>,
    users: Vec<Loan>,
}

impl Moments {
    /// A partition whose writer wants its rows back. It waits until they are, so whatever is being done must end.
    fn called_back(&self) -> Option<PartitionId> {
        let pairs = (0..).zip(self.conversations.iter().zip(&self.users));
        let mut called_back =
            pairs.filter(|(_, (conversations, users))| conversations.is_called_back() || users.is_called_back());
        called_back.next().map(|(partition, _)| partition)
    }
}

impl Snapshots {
    pub(super) fn new(facts: Facts, rows: Vec<Arc<SharedRows>>) -> Snapshots {
        Snapshots { facts, rows }
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> PartitionId {
        self.facts.partitions
    }

    /// All partitions as they are now.
    fn look(&self) -> Result<Vec<Loan>, BackupError> {
        let look = |(partition, rows)| Loan::take(rows).ok_or(BackupError::Away { partition });
        (0..).zip(&self.rows).map(look).collect()
    }

    fn moments(&self) -> Result<Moments, BackupError> {
        let conversations = self.look()?;
        Ok(Moments { conversations, users: self.look()? })
    }

    /// Copies everything into a new directory `name` below `parent`, which is made if it is missing. Under that name it is whole; until then it
    /// has another, and it is removed if it fails. `free_bytes_min` stay free on its disk.
    ///
    /// # Errors
    /// Why there is none.
    pub fn copy(&self, parent: &Path, name: &str, free_bytes_min: u64, progress: &Progress) -> Result<Copied, BackupError> {
        let began = Instant::now();
        manifest::prepare(parent)?;
        let file = |path: &Path| {
            let path = path.to_owned();
            move |error| OpenError::File { path, error }
        };
        let parent = &fs::canonicalize(parent).map_err(file(parent))?;
        let (dir, unfinished) = (parent.join(name), parent.join(format!("{name}.{UNFINISHED}")));
        if let Err(error) = self.fill(&unfinished, free_bytes_min, progress) {
            // What is left has a name that says that it is not finished.
            let _ = fs::remove_dir_all(&unfinished);
            return Err(error);
        }
        fs::rename(&unfinished, &dir).and_then(|()| sync_dir(parent)).map_err(file(&dir))?;
        let number = |of: &AtomicU64| of.load(Ordering::Relaxed);
        let [partitions, rows, bytes] = [&progress.partitions, &progress.rows, &progress.bytes].map(number);
        Ok(Copied { dir, partitions, rows, bytes, took: began.elapsed() })
    }

    fn fill(&self, dir: &Path, free_bytes_min: u64, progress: &Progress) -> Result<(), BackupError> {
        let mut manifest = Manifest::create_copy(dir, &self.facts)?;
        let mut moments = self.moments()?;
        // The last one first, so that what is copied can be given back.
        for partition in (0..self.facts.partitions).rev() {
            let generation = self.facts.os_generation;
            let copying = Copying { partition, moments: &moments, generation, free_bytes_min, progress };
            copying.copy(&manifest, self.facts.partitions)?;
            moments.conversations.pop();
            moments.users.pop();
            progress.partitions.fetch_add(1, Ordering::Relaxed);
        }
        manifest.set_complete()?;
        manifest.close()?;
        sync_dirs(dir).map_err(|error| OpenError::File { path: dir.to_owned(), error })?;
        Ok(())
    }
}

/// One partition on its way.
struct Copying<'a> {
    partition: PartitionId,
    /// Of this partition and all below it.
    moments: &'a Moments,
    /// The present run of the machine.
    generation: u64,
    free_bytes_min: u64,
    progress: &'a Progress,
}

/// Rows that are not written yet, and where they go.
struct Target<'a> {
    database: Database,
    dir: PathBuf,
    changes: Vec<Change>,
    bytes: usize,
    copying: &'a Copying<'a>,
}

impl Copying<'_> {
    fn copy(&self, manifest: &Manifest, partitions: PartitionId) -> Result<(), BackupError> {
        let options = StoreOptions { cache_bytes: CACHE_BYTES, memtable_bytes: MEMTABLE_BYTES, ..StoreOptions::default() };
        let (database, _) = Database::open(manifest, self.partition, &options, &AtomicU64::default())?;
        let dir = manifest.partition_dir(self.partition);
        let mut target = Target { database, dir, changes: Vec::new(), bytes: 0, copying: self };
        let index = usize::from(self.partition);
        let (conversations, users) = (&self.moments.conversations[index], &self.moments.users[index]);
        let slots = (0..SLOTS).filter(|slot| slot * u64::from(partitions) / SLOTS == u64::from(self.partition));
        for slot in slots.map(|slot| slot as u16) {
            self.copy_range(conversations, (slot, 0), (slot, tag::USER), &mut target)?;
            self.copy_range(users, (slot, tag::USER), (slot + 1, 0), &mut target)?;
        }
        self.copy_range(conversations, (NO_SLOT, 0), (NO_SLOT, u8::MAX), &mut target)?;
        target.finish()
    }

    /// Copies what stands from one slot and tag to another.
    fn copy_range(&self, loan: &Loan, from: (u16, u8), to: (u16, u8), target: &mut Target<'_>) -> Result<(), BackupError> {
        let key = |(slot, tag): (u16, u8)| {
            let [high, low] = slot.to_be_bytes();
            [high, low, tag]
        };
        self.may_go_on()?;
        let mut failed = None;
        let read = loan.view().scan(&key(from), &key(to), false, &mut |key, value| {
            failed = target.add(key, value).err();
            failed.is_none()
        });
        failed.map_or(Ok(()), Err)?;
        read.map_err(|error| BackupError::Read { partition: self.partition, error })
    }

    /// Rests without being in anyone's way.
    fn rest(&self, pause: Duration) -> Result<(), BackupError> {
        let until = Instant::now() + pause;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.may_go_on()?;
            std::thread::sleep(left.min(LOOK_EVERY));
        }
        Ok(())
    }

    /// Asked often: somebody may wait for what it holds.
    fn may_go_on(&self) -> Result<(), BackupError> {
        if self.progress.is_cancelled.load(Ordering::Relaxed) {
            return Err(BackupError::Cancelled);
        }
        self.moments.called_back().map_or(Ok(()), |partition| Err(BackupError::Away { partition }))
    }
}

impl Target<'_> {
    fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), BackupError> {
        if key == stamp::KEY {
            // The copy's batches have numbers of their own.
            return Ok(());
        }
        let value = if key.get(2) == Some(&tag::HEAD) { with_lost_end(value, self.copying.generation) } else { value.to_vec() };
        let bytes = key.len() + value.len();
        self.copying.progress.rows.fetch_add(1, Ordering::Relaxed);
        self.copying.progress.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.bytes += bytes + CHANGE_BYTES;
        self.changes.push(Change { key: key.to_vec(), value: Some(value) });
        if self.bytes >= BATCH_BYTES_MAX { self.flush() } else { Ok(()) }
    }

    /// Writes what has come together, and rests.
    fn flush(&mut self) -> Result<(), BackupError> {
        self.copying.may_go_on()?;
        self.expect_room()?;
        let partition = self.copying.partition;
        let failed = |error| BackupError::Write { partition, error };
        while !self.database.has_room().map_err(failed)? {
            self.copying.rest(LOOK_EVERY)?;
        }
        let began = Instant::now();
        self.bytes = 0;
        let write = self.database.write(std::mem::take(&mut self.changes)).and_then(|()| self.database.sync());
        write.map_err(failed)?;
        let [shortest, longest] = PAUSES;
        self.copying.rest(began.elapsed().clamp(shortest, longest))
    }

    /// The server may live on the same disk.
    fn expect_room(&self) -> Result<(), BackupError> {
        let partition = self.copying.partition;
        let found = rustix::fs::statvfs(&self.dir).map_err(|error| BackupError::Write { partition, error: error.into() })?;
        let (free, wanted) = (found.f_bavail.saturating_mul(found.f_frsize), self.copying.free_bytes_min);
        if free < wanted.saturating_add(self.bytes as u64) { Err(BackupError::Full { free, wanted }) } else { Ok(()) }
    }

    fn finish(mut self) -> Result<(), BackupError> {
        if !self.changes.is_empty() {
            self.flush()?;
        }
        let partition = self.copying.partition;
        let closed = self.database.sync().and_then(|()| self.database.sync_mark());
        closed.map_err(|error| BackupError::Write { partition, error })?;
        self.database.close();
        Ok(())
    }
}

/// A head of a log that may have lost its end. One that cannot be read stays as it is, for `fsck` to tell.
fn with_lost_end(head: &[u8], generation: u64) -> Vec<u8> {
    HeadRow::read(head).map_or_else(|_| head.to_vec(), |row| HeadRow { os_generation: generation, ..row }.value())
}
