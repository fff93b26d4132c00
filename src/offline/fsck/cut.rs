//! `fsck --cut`: gives up what is lost, so that a server starts again. Whoever knows more than is left is told by a new epoch.

use std::io;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use super::findings::Fixes;
use super::salvage::salvage;
use super::{Looked, Rules, check};
use crate::offline::directory::{Part, options};
use crate::offline::hints::Hints;
use crate::offline::sink::Sink;
use crate::offline::{Directory, Progress};
use crate::slot::{PartitionId, SLOTS};
use crate::store::disk::database::Database;
use crate::store::disk::{Manifest, OpenError};
use crate::store::engine::ReadRows;
use crate::store::rows::{self, HeadRow, tag};

/// A repair may bring something else to light: a log without its head, for example, or rows that are too many to be remembered at once.
const ROUNDS_MAX: u32 = 10;

/// A directory that is being repaired.
struct Cut {
    directory: Directory,
    /// The run of the machine in which something was lost. Heads that carry it have a new epoch when they are loaded.
    generation: Option<u64>,
    done: Vec<String>,
}

/// Repairs a directory, and says what it is like then.
///
/// # Errors
/// It cannot be written.
pub fn run(dir: &Path, rules: &dyn Fn(&Manifest) -> Rules, progress: &mut Progress) -> Result<Looked, OpenError> {
    let mut cut = Cut { directory: Directory::open(dir)?, generation: None, done: Vec::new() };
    cut.journals()?;
    let mut found = check(&cut.directory, rules(&cut.directory.manifest), progress);
    for _ in 0..ROUNDS_MAX {
        if found.fixes.is_empty() {
            break;
        }
        cut.apply(found.fixes)?;
        found = check(&cut.directory, rules(&cut.directory.manifest), progress);
    }
    Looked::new(&cut.directory, found.report, cut.done)
}

impl Cut {
    fn generation(&mut self) -> Result<u64, OpenError> {
        if self.generation.is_none() {
            self.generation = Some(self.directory.manifest.begin_repair()?);
        }
        Ok(self.generation.expect("it is there"))
    }

    /// Cuts the journals that have lost something.
    fn journals(&mut self) -> Result<(), OpenError> {
        for index in 0..self.directory.parts.len() {
            let part = &self.directory.parts[index];
            let id = part.id;
            if !matches!(part.database, Err(OpenError::Damaged(_) | OpenError::Behind { .. })) {
                continue;
            }
            self.generation()?;
            let opened = Database::open_forgiving(&self.directory.manifest, id, &options(), &AtomicU64::default());
            let (database, recovered) = match opened {
                Ok(opened) => opened,
                Err(error) => {
                    self.directory.parts[index].database = Err(error);
                    continue;
                }
            };
            self.done.push(format!(
                "partition {id}: everything after batch {} is given up ({} bytes, kept beside the journals as *.jnl.cut)",
                recovered.number, recovered.torn_bytes
            ));
            self.directory.parts[index] = Part { id, database: Ok(database), torn_bytes: 0 };
            // If a head cannot be read, the whole partition will be copied; until then no server starts with it.
            match self.new_epochs(id) {
                Ok(()) => self.directory.database(id).accept_loss()?,
                Err(error) => tracing::warn!(partition = id, %error, "the heads of a partition cannot be read"),
            }
        }
        Ok(())
    }

    fn apply(&mut self, fixes: Fixes) -> Result<(), OpenError> {
        for &partition in &fixes.unreadable {
            self.generation()?;
            let salvaged = salvage(&mut self.directory, partition)?;
            self.done.push(format!(
                "partition {partition}: {} rows could be read and stand in a new database; the old one is kept as {}",
                salvaged.rows,
                salvaged.kept.display()
            ));
        }
        for &partition in &fixes.lossy {
            if self.is_open(partition) {
                self.new_epochs(partition).map_err(|error| self.failed(partition, error))?;
            }
        }
        if !fixes.unreadable.is_empty() {
            // What else is wrong there is to be found anew.
            return Ok(());
        }
        self.rows(fixes)
    }

    fn is_open(&self, partition: PartitionId) -> bool {
        self.directory.parts[usize::from(partition)].database.is_ok()
    }

    fn failed(&self, partition: PartitionId, error: io::Error) -> OpenError {
        OpenError::Database { partition, path: self.directory.manifest.partition_dir(partition), error }
    }

    /// Puts and removes rows, and fills lists.
    fn rows(&mut self, fixes: Fixes) -> Result<(), OpenError> {
        let mut sinks: Vec<Sink> = self.directory.parts.iter().map(|_| Sink::default()).collect();
        let removed = fixes.changes.iter().filter(|(_, change)| change.value.is_none()).count();
        let put = fixes.changes.len() - removed;
        for (partition, change) in fixes.changes {
            let sink = &mut sinks[usize::from(partition)];
            let put = sink.put(change.key, change.value, self.directory.database(partition));
            put.map_err(|error| self.failed(partition, error))?;
        }
        for (partition, mut sink) in (0..).zip(sinks) {
            if self.is_open(partition) {
                sink.flush(self.directory.database(partition)).map_err(|error| self.failed(partition, error))?;
            }
        }
        let mut hints = Hints::new(&self.directory);
        let put_all = |hints: &mut Hints, directory: &mut Directory| -> io::Result<()> {
            fixes.hints.iter().try_for_each(|(user, key)| hints.put(user, key, directory))?;
            hints.flush(directory)
        };
        put_all(&mut hints, &mut self.directory).map_err(|error| self.failed(0, error))?;
        if removed + put > 0 || hints.count > 0 {
            let listed = hints.count;
            self.done.push(format!("{removed} rows are removed, {put} put right, {listed} entries put into lists"));
        }
        Ok(())
    }

    /// Every conversation of a partition may have lost something that it had shown: it has a new epoch when it is loaded.
    fn new_epochs(&mut self, partition: PartitionId) -> io::Result<()> {
        let generation = self.generation().map_err(io::Error::other)?;
        let database = self.directory.database(partition);
        let mut sink = Sink::default();
        let mut count = 0_u64;
        for slot in 0..SLOTS as u16 {
            let mut heads = Vec::new();
            let prefix = heads_of(slot);
            database.scan(&prefix, &rows::end_of(&prefix), false, &mut |key, value| {
                if let Ok(head) = HeadRow::read(value).map(|head| HeadRow { os_generation: generation, ..head }) {
                    heads.push((key.to_vec(), head.value()));
                }
                true
            })?;
            count += heads.len() as u64;
            heads.into_iter().try_for_each(|(key, value)| sink.put(key, Some(value), database).map(drop))?;
        }
        sink.flush(database)?;
        let done = format!("partition {partition}: {count} conversations begin a new epoch");
        if !self.done.contains(&done) {
            self.done.push(done);
        }
        Ok(())
    }
}

/// What the keys of all heads of a slot begin with.
fn heads_of(slot: u16) -> [u8; 3] {
    let [high, low] = slot.to_be_bytes();
    [high, low, tag::HEAD]
}
