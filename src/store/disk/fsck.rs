//! `campanile fsck`: looks at the data directory of a server that does not run, and gives up what is lost if it is told to.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use super::database::Database;
use super::error::OpenError;
use super::manifest::Manifest;
use super::options::StoreOptions;
use crate::slot::{PartitionId, SLOTS};
use crate::store::engine::{Change, ReadRows, WriteRows};
use crate::store::rows::{self, HeadRow};

/// Heads that are written in one batch.
const HEADS_PER_BATCH: usize = 1000;

/// What was found in a data directory, and done.
#[derive(Debug, Default)]
pub struct Report {
    lines: Vec<String>,
    is_damaged: bool,
}

impl Report {
    /// Whether a server would start here, and find every row.
    pub fn is_fine(&self) -> bool {
        !self.is_damaged
    }

    fn say(&mut self, line: String) {
        self.lines.push(line);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Checks all partitions. With `cut`, what is behind the damage of a journal is given up.
///
/// # Errors
/// There is no data directory, a server uses it, or it cannot be written.
pub fn run(dir: &Path, cut: bool) -> Result<Report, OpenError> {
    let mut manifest = Manifest::open_existing(dir)?;
    let mut report = Report::default();
    for partition in 0..manifest.partitions() {
        let opened = Database::open(&manifest, partition, &StoreOptions::default(), &AtomicU64::default());
        let database = match opened {
            Ok((database, _)) => Some(database),
            Err(OpenError::Damaged(_) | OpenError::Behind { .. }) if cut => Some(repair(&mut manifest, partition, &mut report)?),
            Err(error) => {
                report.is_damaged = true;
                report.say(error.to_string());
                None
            }
        };
        if let Some(database) = database {
            read_all(&database, partition, &mut report);
        }
    }
    manifest.close()?;
    Ok(report)
}

/// Gives up what is lost. Readers must not take what comes next for what they have seen: every conversation gets a new epoch.
fn repair(manifest: &mut Manifest, partition: PartitionId, report: &mut Report) -> Result<Database, OpenError> {
    let generation = manifest.begin_repair()?;
    let (mut database, recovered) = Database::open_forgiving(manifest, partition, &StoreOptions::default())?;
    let path = manifest.partition_dir(partition);
    let heads =
        renew_epochs(&mut database, generation).map_err(|error| OpenError::Database { partition, path: path.clone(), error })?;
    report.say(format!(
        "partition {partition}: everything after batch {} is given up ({} bytes, kept beside the journals as *.jnl.cut); \
         {heads} conversations begin a new epoch",
        recovered.number, recovered.torn_bytes
    ));
    Ok(database)
}

/// Marks every conversation as one that may have lost its end. Gives how many there are.
fn renew_epochs(database: &mut Database, generation: u64) -> io::Result<usize> {
    let mut all = 0;
    let mut changes = Vec::new();
    for slot in 0..SLOTS as u16 {
        let (from, to) = (heads_of(slot), rows::end_of(&heads_of(slot)));
        database.scan(&from, &to, false, &mut |key, value| {
            // One that cannot be read is told when all rows are read.
            if let Ok(head) = HeadRow::read(value) {
                let value = HeadRow { os_generation: generation, ..head }.value();
                changes.push(Change { key: key.to_vec(), value: Some(value) });
            }
            true
        })?;
        if changes.len() >= HEADS_PER_BATCH || slot == SLOTS as u16 - 1 {
            all += changes.len();
            database.write(std::mem::take(&mut changes))?;
        }
    }
    database.sync()?;
    Ok(all)
}

/// What the keys of all heads of a slot begin with.
fn heads_of(slot: u16) -> [u8; 3] {
    let [high, low] = slot.to_be_bytes();
    [high, low, rows::tag::HEAD]
}

/// Reads every row, which checks every block of every table.
fn read_all(database: &Database, partition: PartitionId, report: &mut Report) {
    let (mut count, mut bytes) = (0_u64, 0_u64);
    let read = database.scan(&[0], &[u8::MAX; 32], false, &mut |key, value| {
        count += 1;
        bytes += (key.len() + value.len()) as u64;
        true
    });
    match read {
        Ok(()) => report.say(format!("partition {partition}: fine, {count} rows of {bytes} bytes")),
        Err(error) => {
            report.is_damaged = true;
            report.say(format!("partition {partition} cannot be read: {error}; restore a backup"));
        }
    }
}
