//! The database of one partition: fjall, with one keyspace for all rows.
//!
//! What of fjall (3.1.13) decides how it is used here:
//!
//! - **One keyspace.** A journal can be deleted when every keyspace that wrote to it has flushed beyond it; one that rests keeps all journals
//!   (its issue 288). Of one that is always written to, none can rest.
//! - **Memtables are rotated from here.** fjall asks its workers to do it, once for each write above the size, through a queue that a worker
//!   itself fills, waiting: with one worker and a full queue, writes halt for good (its issue 257). `max_memtable_size` is out of reach, so
//!   that it never asks.
//! - **Writes wait here, not in fjall.** `commit` sleeps in a loop as long as there are 4 sealed memtables or 30 runs in level 0, also when the
//!   worker that should change it has ended. [`Database::write`] waits before that, and notices.
//! - **A failed write poisons the database.** It must be dropped and opened again; part of the batch may be in the journal then, and would be
//!   read back. It is cut off in between ([`Database::cut_failed`]).
//! - **So does whatever a worker fails at**, and it does not say at what. What it makes of memtables is in the journals too, and those are synced
//!   past fjall ([`Journals`]): a failed sync of a journal is always noticed here, and anything else is like a failed write.

mod repair;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use fjall::config::{BlockSizePolicy, BloomConstructionPolicy, FilterPolicy, FilterPolicyEntry};
use fjall::{AbstractTree, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot, UserKey};

use super::error::OpenError;
use super::journal_check::{self, Checked, Mode};
use super::journal_files::Journals;
use super::manifest::{Manifest, sync_dir};
use super::mark::{Mark, Marked};
use super::options::StoreOptions;
use super::stamp::{self, Owner, Stamp};
use crate::slot::PartitionId;
use crate::store::engine::{Change, ReadRows, WriteRows};

const KEYSPACE: &str = "rows";
/// fjall makes this file last when it makes a database.
const VERSION_FILE: &str = "version";
/// fjall's threads per database. One flushes and compacts; a second one would spin while the first compacts.
const WORKERS: usize = 1;
/// All journals of a partition; fjall accepts no less than 64 MiB.
const JOURNAL_BYTES_MAX: u64 = 128 << 20;
/// Files of tables that stay open.
const FILES_MAX: usize = 256;
/// A cold read loads one block for a few rows of about 200 bytes; more rows per block compress their keys better.
const BLOCK_BYTES: u32 = 4096;
/// fjall halts writes at 4.
const SEALED_MEMTABLES_MAX: usize = 3;
/// fjall slows writes down at 20 and halts them at 30.
const LEVEL_0_RUNS_MAX: usize = 20;
/// So many of these until a closed database must have let go of its files.
const CLOSE_WAITS_MAX: u32 = 1000;
/// How often a write that waits for a flush or a compaction looks again.
const WAIT: Duration = Duration::from_millis(1);

/// What opening a database has found and done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The last batch.
    pub number: u64,
    /// Bytes that were cut from the end of the journal.
    pub torn_bytes: u64,
}

/// The writer's side of a partition's database.
pub struct Database {
    dir: PathBuf,
    owner: Owner,
    options: StoreOptions,
    open: Option<Rows>,
    /// The last batch.
    pub(super) number: u64,
    /// The last batch that is known to be on the disk.
    synced: u64,
    mark: Mark,
    journals: Journals,
    /// Bytes written since the memtable was rotated.
    memtable_used: u64,
    /// Memtables that became tables, or will.
    retired: Vec<Box<dyn Retired>>,
}

/// The reader's side: any number of clones, in any thread. The database can be opened again only when all are gone.
#[derive(Clone)]
pub struct Rows {
    database: fjall::Database,
    rows: Keyspace,
}

/// All rows as they were at one moment: whole batches only.
pub struct View {
    snapshot: Snapshot,
    rows: Keyspace,
}

/// What waits for flushes and compactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Memtables that are not tables yet.
    pub sealed_memtables: usize,
    /// Runs of tables that are not merged yet.
    pub level_0_runs: usize,
}

impl Pressure {
    /// Whether a write must wait.
    fn is_too_high(self) -> bool {
        self.sealed_memtables >= SEALED_MEMTABLES_MAX || self.level_0_runs >= LEVEL_0_RUNS_MAX
    }
}

impl Database {
    /// Checks and opens a partition, or makes it if the directory is new. `progress` counts the bytes of journals that were read.
    ///
    /// # Errors
    /// It has lost what was synced, is another one's, or cannot be opened.
    pub fn open(
        manifest: &Manifest,
        partition: PartitionId,
        options: &StoreOptions,
        progress: &AtomicU64,
    ) -> Result<(Database, Recovered), OpenError> {
        let dir = manifest.partition_dir(partition);
        let owner = Owner { data_id: manifest.data_id(), partition };
        make_dir(&dir, manifest)?;
        let (mark, marked) = Mark::open(&dir, owner).map_err(|error| OpenError::File { path: dir.clone(), error })?;
        let marked = match marked {
            Marked::Foreign => return Err(OpenError::Foreign { partition, path: dir }),
            Marked::Through(number) => number,
            Marked::Nothing => 0,
        };
        let mut database = Database::closed(dir, owner, options, mark);
        let recovered = database.recover(marked, Mode::Strict, progress)?;
        Ok((database, recovered))
    }

    fn closed(dir: PathBuf, owner: Owner, options: &StoreOptions, mark: Mark) -> Database {
        Database {
            journals: Journals::new(&dir),
            dir,
            owner,
            options: options.clone(),
            open: None,
            number: 0,
            synced: 0,
            mark,
            memtable_used: 0,
            retired: Vec::new(),
        }
    }

    fn recover(&mut self, marked: u64, mode: Mode, progress: &AtomicU64) -> Result<Recovered, OpenError> {
        let is_new = !self.dir.join(VERSION_FILE).exists();
        let checked = if is_new { Checked::default() } else { journal_check::check(&self.dir, self.owner, mode, progress)? };
        let torn_bytes = self.cut_torn(&checked, marked)?;
        let old_tables = table_ids(&self.dir).map_err(|error| self.file(error))?;
        // fjall removes what the newest version of its manifest does not name: that version's name must not go with the machine any more.
        sync_dirs(&self.dir).map_err(|error| self.file(error))?;
        self.open_rows()?;
        // Neither must what the last process wrote and did not sync: it is shown from now on.
        self.sync_journals()?;
        // fjall makes directories and does not sync the names of all of them: a new partition could vanish with everything in it.
        sync_dirs(&self.dir).map_err(|error| self.file(error))?;
        if mode == Mode::Strict {
            self.expect_no_gap(&checked, &old_tables)?;
        }
        let number = self.stamped()?;
        self.expect_through(marked, number)?;
        if checked.last.is_some_and(|last| last.stamp.number < number) {
            // Nothing is lost, but the next batch would not follow the last one of the journal.
            self.close();
            self.wait_for_workers().and_then(|()| journal_check::empty(&self.dir)).map_err(|error| self.file(error))?;
            self.open_rows()?;
        }
        (self.number, self.synced) = (number, number);
        self.mark.set(number).map_err(|error| self.file(error))?;
        Ok(Recovered { number, torn_bytes })
    }

    /// Cuts a torn end. Gives its bytes.
    fn cut_torn(&self, checked: &Checked, marked: u64) -> Result<u64, OpenError> {
        let Some(torn) = &checked.torn else { return Ok(0) };
        if let Some(last) = checked.last {
            self.expect_through(marked, last.stamp.number)?;
        }
        let (path, offset, bytes, what) = (torn.path.display(), torn.offset, torn.bytes, torn.what);
        tracing::warn!(partition = self.owner.partition, %path, offset, bytes, what, "the end of a journal is cut");
        journal_check::cut(torn)?;
        Ok(bytes)
    }

    fn file(&self, error: io::Error) -> OpenError {
        OpenError::File { path: self.dir.clone(), error }
    }

    fn sync_journals(&mut self) -> Result<(), OpenError> {
        self.journals.sync().map_err(|error| OpenError::NotSynced { path: self.dir.clone(), error })
    }

    fn expect_through(&self, marked: u64, found: u64) -> Result<(), OpenError> {
        if found < marked {
            return Err(OpenError::Behind { partition: self.owner.partition, path: self.dir.clone(), found, marked });
        }
        Ok(())
    }

    fn open_rows(&mut self) -> Result<(), OpenError> {
        let open = || -> Result<Rows, fjall::Error> {
            let database = fjall::Database::builder(&self.dir)
                .cache_size(self.options.cache_bytes)
                .worker_threads(WORKERS)
                .max_cached_files(Some(FILES_MAX))
                .max_journaling_size(JOURNAL_BYTES_MAX)
                .manual_journal_persist(true)
                .open()?;
            let rows = database.keyspace(KEYSPACE, keyspace_options)?;
            Ok(Rows { database, rows })
        };
        let rows = open().map_err(|error| self.does_not_open(into_io(error)))?;
        self.memtable_used = rows.rows.tree.active_memtable().size();
        self.open = Some(rows);
        Ok(())
    }

    fn does_not_open(&self, error: io::Error) -> OpenError {
        OpenError::Database { partition: self.owner.partition, path: self.dir.clone(), error }
    }

    /// The number of the last batch.
    fn stamped(&self) -> Result<u64, OpenError> {
        let stamp = self.get(stamp::KEY).map_err(|error| self.does_not_open(error))?;
        stamp.map_or(Ok(0), |value| self.number_of(&value))
    }

    fn number_of(&self, stamp: &[u8]) -> Result<u64, OpenError> {
        match Stamp::decode(stamp, self.owner) {
            Some((stamp, true)) => Ok(stamp.number),
            _ => Err(OpenError::Foreign { partition: self.owner.partition, path: self.dir.clone() }),
        }
    }

    /// The tables that were there before the journals were read back must reach up to the first batch of these.
    fn expect_no_gap(&self, checked: &Checked, old_tables: &HashSet<u64>) -> Result<(), OpenError> {
        let Some(first) = checked.first else { return Ok(()) };
        let version = self.rows().map_err(|error| self.does_not_open(error))?.rows.tree.current_version();
        let mut tables = version.iter_tables().filter(|table| old_tables.contains(&table.id())).peekable();
        if tables.peek().is_none() && !old_tables.is_empty() {
            // They have been merged with new ones already.
            return Ok(());
        }
        let mut through = 0;
        for table in tables {
            if table.get_highest_seqno() >= first.sequence {
                return Ok(());
            }
            for row in table.range(UserKey::from(stamp::KEY)..=UserKey::from(stamp::KEY)) {
                let value = row.map_err(|error| self.does_not_open(into_io(error.into())))?.value;
                through = through.max(self.number_of(&value)?);
            }
        }
        self.expect_through(first.stamp.number.saturating_sub(1), through)
    }

    /// For readers.
    ///
    /// # Errors
    /// It is closed.
    pub fn rows(&self) -> io::Result<&Rows> {
        self.open.as_ref().ok_or_else(|| io::Error::other("the database is closed"))
    }

    /// The last batch that was written.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether something was written that is not synced.
    pub fn is_dirty(&self) -> bool {
        self.synced < self.number
    }

    /// Whether the mark itself is on the disk.
    pub fn is_mark_synced(&self) -> bool {
        self.mark.is_synced()
    }

    /// Syncs the mark.
    ///
    /// # Errors
    /// Those of the file system. Nothing is lost by it.
    pub fn sync_mark(&mut self) -> io::Result<()> {
        self.mark.sync()
    }

    /// Everything that is in memory becomes tables, and all tables one.
    #[cfg(test)]
    pub(super) fn compact(&self) {
        let rows = &self.rows().expect("it is open").rows;
        rows.rotate_memtable_and_wait().expect("the disk works");
        rows.major_compact().expect("the disk works");
    }

    /// Whether fjall refuses to write.
    #[cfg(test)]
    pub(super) fn is_poisoned(&self) -> bool {
        self.rows().expect("it is open").database.persist(PersistMode::Buffer).is_err()
    }

    /// Drops the database. All clones of [`Self::rows`] must be gone.
    pub fn close(&mut self) {
        self.open = None;
        self.retired.clear();
    }

    /// A worker of fjall counts as ended a moment before it lets go of the journal, and then the rest of a failed batch may still be written.
    fn wait_for_workers(&self) -> io::Result<()> {
        let is_open = || -> io::Result<bool> {
            let descriptors = fs::read_dir("/proc/self/fd")?.filter_map(|file| file.ok()?.file_name().to_str()?.parse().ok());
            let mut files = descriptors
                .filter(|&descriptor| !self.journals.has(descriptor))
                .filter_map(|descriptor: RawFd| fs::read_link(format!("/proc/self/fd/{descriptor}")).ok());
            Ok(files.any(|file| file.starts_with(&self.dir) && file.extension().is_some_and(|extension| extension == "jnl")))
        };
        for _ in 0..CLOSE_WAITS_MAX {
            if !is_open()? {
                return Ok(());
            }
            std::thread::sleep(WAIT);
        }
        Err(io::Error::other("a journal is still open"))
    }

    /// Removes what the failed batch left in the journal, so that it is never read back.
    ///
    /// # Errors
    /// It may still be there; nobody may be told that it is not.
    pub fn cut_failed(&mut self) -> Result<(), OpenError> {
        self.wait_for_workers().map_err(|error| self.file(error))?;
        self.sync_journals()?;
        let checked = journal_check::check(&self.dir, self.owner, Mode::Through(self.number), &AtomicU64::default())?;
        checked.torn.as_ref().map_or(Ok(()), journal_check::cut)
    }

    /// Opens the database after [`Self::close`] and [`Self::cut_failed`].
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn reopen(&mut self) -> Result<(), OpenError> {
        #[cfg(test)]
        self.options.faults.reopen().map_err(|error| self.does_not_open(error))?;
        self.sync_journals()?;
        let marked = self.number;
        self.recover(marked, Mode::Strict, &AtomicU64::default()).map(drop)
    }

    /// How much waits for flushes and compactions; nothing while it is closed.
    pub fn pressure(&self) -> Pressure {
        self.open.as_ref().map_or_else(Pressure::default, Rows::pressure)
    }

    /// Waits until fjall would not halt the write.
    fn wait_for_room(&self) -> io::Result<()> {
        while !self.has_room()? {
            std::thread::sleep(WAIT);
        }
        Ok(())
    }

    /// Whether a write would not wait.
    ///
    /// # Errors
    /// It never will be: the worker has failed.
    pub(super) fn has_room(&self) -> io::Result<bool> {
        let rows = self.rows()?;
        if !rows.pressure().is_too_high() {
            return Ok(true);
        }
        // Says whether the worker has failed, and does nothing else when nothing is buffered.
        rows.database.persist(PersistMode::Buffer).map_err(into_io)?;
        Ok(false)
    }

    fn commit(&self, changes: Vec<Change>) -> io::Result<()> {
        let rows = self.rows()?;
        let stamp = Stamp { number: self.number + 1, synced: self.synced };
        // Buffer: what the operating system does not take fails before any of it can be read.
        let mut batch = rows.database.batch().durability(Some(PersistMode::Buffer));
        batch.insert(&rows.rows, stamp::KEY, stamp.encode(self.owner));
        for Change { key, value } in changes {
            match value {
                Some(value) => batch.insert(&rows.rows, key, value),
                None => batch.remove(&rows.rows, key),
            }
        }
        batch.commit().map_err(into_io)?;
        #[cfg(test)]
        self.options.faults.write()?;
        Ok(())
    }

    fn rotate_if_full(&mut self) {
        if self.memtable_used < self.options.memtable_bytes {
            return;
        }
        let Ok(rows) = self.rows() else { return };
        let full = rows.rows.tree.active_memtable();

        match rows.rows.rotate_memtable() {
            Ok(_) => {
                self.memtable_used = 0;
                self.retired.push(Box::new(full));
                self.bury();
            }
            // The batch is written all the same; if the database is beyond repair, the next one fails.
            Err(error) => tracing::warn!(partition = self.owner.partition, %error, "a memtable could not be rotated"),
        }
    }

    /// Frees the memtables that nobody uses any more, in a thread of its own: it takes 50 ms or more, and fjall would do it under the lock that
    /// every read and write needs. (That is why this holds them until fjall has let go.)
    fn bury(&mut self) {
        let buried: Vec<_> = self.retired.extract_if(.., |memtable| memtable.is_last()).collect();
        if buried.is_empty() {
            return;
        }
        if let Err(error) = std::thread::Builder::new().name("store-free".into()).spawn(move || drop(buried)) {
            tracing::warn!(%error, "memory of the store is freed by its writer, which holds it up");
        }
    }
}

/// A memtable that was rotated. Its type has no name here.
trait Retired: Send {
    /// Whether nobody else has it.
    fn is_last(&self) -> bool;
}

impl<T: Send + Sync> Retired for Arc<T> {
    fn is_last(&self) -> bool {
        Arc::strong_count(self) == 1
    }
}

impl WriteRows for Database {
    fn write(&mut self, changes: Vec<Change>) -> io::Result<()> {
        self.wait_for_room()?;
        let bytes: usize = changes.iter().map(memory_bytes).sum();
        self.commit(changes)?;
        self.number += 1;
        self.memtable_used += bytes as u64;
        self.rotate_if_full();
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        #[cfg(test)]
        self.options.faults.sync()?;
        self.journals.sync()?;
        self.synced = self.number;
        // The rows are on the disk whatever becomes of the mark: without it the next start believes a little more.
        if let Err(error) = self.mark.set(self.synced) {
            tracing::warn!(partition = self.owner.partition, %error, "the mark could not be written");
        }
        Ok(())
    }
}

/// The writer's own reads: nobody else writes, so no view is needed.
impl ReadRows for Database {
    fn get(&self, key: &[u8]) -> io::Result<Option<Bytes>> {
        let rows = &self.rows()?.rows;
        let value = rows.get(key).map_err(|error| unreadable(rows, key..=key, error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, from: &[u8], to: &[u8], backward: bool, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> io::Result<()> {
        self.rows()?.view().scan(from, to, backward, visit)
    }
}

impl Rows {
    fn pressure(&self) -> Pressure {
        Pressure { sealed_memtables: self.rows.sealed_memtable_count(), level_0_runs: self.rows.tree.l0_run_count() }
    }

    /// All rows as they are now. Keep it no longer than for one command: what it sees cannot be removed.
    pub fn view(&self) -> View {
        View { snapshot: self.database.snapshot(), rows: self.rows.clone() }
    }
}

impl ReadRows for View {
    fn get(&self, key: &[u8]) -> io::Result<Option<Bytes>> {
        let value = self.snapshot.get(&self.rows, key).map_err(|error| unreadable(&self.rows, key..=key, error))?;
        // A copy: a part of a block would keep the whole block in memory.
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, from: &[u8], to: &[u8], backward: bool, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> io::Result<()> {
        if from >= to {
            return Ok(());
        }
        let mut range = self.snapshot.range(&self.rows, from..to);
        while let Some(row) = if backward { range.next_back() } else { range.next() } {
            let (key, value) = row.into_inner().map_err(|error| unreadable(&self.rows, from..=to, error))?;
            if !visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }
}

/// The tables of a database, as its files are named.
fn table_ids(dir: &Path) -> io::Result<HashSet<u64>> {
    let mut ids = HashSet::new();
    let keyspaces = dir.join("keyspaces");
    if !keyspaces.exists() {
        return Ok(ids);
    }
    for keyspace in fs::read_dir(keyspaces)? {
        let keyspace = keyspace?;
        let tables = keyspace.path().join("tables");
        // fjall's own rows about keyspaces are in keyspace 0.
        if keyspace.file_name() == "0" || !tables.exists() {
            continue;
        }
        for table in fs::read_dir(tables)? {
            ids.extend(table?.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
        }
    }
    Ok(ids)
}

/// Adds to an error which file it is about, if it is about one.
fn unreadable(rows: &Keyspace, range: RangeInclusive<&[u8]>, error: fjall::Error) -> io::Error {
    /// Rows of each table that are read to find out.
    const ROWS_MAX: usize = 10_000;
    let error = into_io(error);
    if error.kind() != io::ErrorKind::InvalidData {
        return error;
    }
    let (from, to) = (UserKey::from(*range.start()), UserKey::from(*range.end()));
    let version = rows.tree.current_version();
    let damaged =
        version.iter_tables().find(|table| table.range(from.clone()..=to.clone()).take(ROWS_MAX).any(|row| row.is_err()));
    match damaged {
        Some(table) => io::Error::new(error.kind(), format!("{} is damaged: {error}", table.path.display())),
        None => error,
    }
}

/// What a change takes in the memtable, about.
fn memory_bytes(change: &Change) -> usize {
    /// A node of the skip list, and two counted slices.
    const NODE_BYTES: usize = 96;
    NODE_BYTES + change.key.len() + change.value.as_ref().map_or(0, Vec::len)
}

/// How tables are made. fjall writes it down with the keyspace: a database keeps what it was made with.
fn keyspace_options() -> KeyspaceCreateOptions {
    let bloom = |bits| FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(bits));
    KeyspaceCreateOptions::default()
        .manual_journal_persist(true)
        .max_memtable_size(u64::MAX)
        .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
        .filter_policy(FilterPolicy::all(bloom(10.0)))
}

/// The directory of a partition. What an earlier start did not finish making is thrown away, what was finished must be there.
fn make_dir(dir: &Path, manifest: &Manifest) -> Result<(), OpenError> {
    let partition_is_made = dir.join(VERSION_FILE).exists();
    if partition_is_made {
        return Ok(());
    }
    if manifest.is_complete() {
        let partition = dir.file_name().and_then(|name| name.to_str()?.rsplit('-').next()?.parse().ok()).unwrap_or(0);
        return Err(OpenError::Missing { partition, path: dir.to_owned() });
    }
    let make = || {
        if dir.exists() {
            fs::remove_dir_all(dir)?;
        }
        fs::create_dir(dir)?;
        super::manifest::sync_dir(manifest.dir())
    };
    make().map_err(|error| OpenError::File { path: dir.to_owned(), error })
}

/// What fjall says, as the operating system said it if it did.
fn into_io(error: fjall::Error) -> io::Error {
    use fjall::{Error, LsmError};
    match error {
        Error::Io(error) | Error::Storage(LsmError::Io(error)) => error,
        Error::Storage(error) => io::Error::new(io::ErrorKind::InvalidData, error),
        Error::Locked => io::Error::new(io::ErrorKind::WouldBlock, "it is in use"),
        Error::Poisoned => io::Error::other("an earlier write or a background thread has failed; the log says why"),
        error => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}

/// Makes the names of all files and directories in a tree survive the machine.
pub(super) fn sync_dirs(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_dirs(&entry.path())?;
        }
    }
    sync_dir(dir)
}
