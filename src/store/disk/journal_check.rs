//! Looks at all journals of a partition before fjall opens them, and decides what a batch that cannot be read means.
//!
//! Taken together, in the order of their numbers, the journals are one row of batches with consecutive numbers. Where that row breaks,
//! fjall would cut it in silence. There are two reasons why it may break:
//!
//! - **The end is torn**: the process or the machine went down while a batch was written. Nobody was told that it is stored. It is cut here,
//!   counted and logged.
//! - **The disk is damaged**: what was synced cannot be read. Any later batch that says so ([`Stamp::synced`]), or the partition's
//!   [mark](super::mark), proves it. The server does not start.
//!
//! Batches that were never synced (durability `os`) may be lost in any order when the machine goes down: a break followed only by
//! batches that do not claim it synced is an end too.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{Damage, OpenError};
use super::journal::{Batch, Found, Journal};
use super::stamp::Owner;

/// What the journals of a partition hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// The first batch; `None`: there is none.
    pub first: Option<Batch>,
    /// The last batch that counts.
    pub last: Option<Batch>,
    /// Where the row of batches breaks.
    pub torn: Option<Break>,
}

/// Where a row of batches breaks, and nothing that was synced stands behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// The journal.
    pub path: PathBuf,
    /// Where it breaks.
    pub offset: u64,
    /// What stands there.
    pub what: &'static str,
    /// Bytes behind it, up to the zeros at the end of each file.
    pub bytes: u64,
    /// The journals after it.
    later: Vec<PathBuf>,
}

/// What to make of a break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// At start: what was synced must be there.
    Strict,
    /// Batches above this number are not wanted: they failed, and nobody was told that they are stored.
    Through(u64),
    /// What is lost is given up.
    Forgiving,
}

/// Reads all journals in `dir`, the directory of the partition's database. `progress` counts the bytes.
///
/// # Errors
/// A journal cannot be read, or has lost what was synced.
pub fn check(dir: &Path, owner: Owner, mode: Mode, progress: &AtomicU64) -> Result<Checked, OpenError> {
    let paths = journals(dir).map_err(|error| OpenError::File { path: dir.to_owned(), error })?;
    let mut checked = Checked::default();
    for (index, path) in paths.iter().enumerate() {
        let read = |checked: &mut Checked| read_journal(path, &paths[index + 1..], owner, mode, checked, progress);
        match read(&mut checked).map_err(|error| OpenError::File { path: path.clone(), error })? {
            Verdict::Fine => {}
            Verdict::Foreign => return Err(OpenError::Foreign { partition: owner.partition, path: path.clone() }),
            Verdict::Lost { later } => return Err(damage(&checked, owner, later)),
        }
    }
    Ok(checked)
}

fn damage(checked: &Checked, owner: Owner, later: u64) -> OpenError {
    let torn = checked.torn.as_ref().expect("nothing is lost without a break");
    OpenError::Damaged(Box::new(Damage {
        partition: owner.partition,
        path: torn.path.clone(),
        offset: torn.offset,
        what: torn.what,
        last_good: checked.last.map_or(0, |batch| batch.stamp.number),
        later,
    }))
}

/// What a journal says.
enum Verdict {
    Fine,
    Foreign,
    /// This batch proves that something before it is lost.
    Lost {
        later: u64,
    },
}

/// Cuts what stands behind the break, so that fjall finds whole batches and nothing else.
///
/// # Errors
/// A journal cannot be cut.
pub fn cut(torn: &Break) -> Result<(), OpenError> {
    let cut = |path: &Path, len: u64| {
        let cut = || {
            keep_aside(path, len);
            let file = OpenOptions::new().write(true).open(path)?;
            file.set_len(len)?;
            file.sync_all()
        };
        cut().map_err(|error| OpenError::File { path: path.to_owned(), error })
    };
    // The last one first: a crash in between leaves a break at the same place.
    torn.later.iter().rev().try_for_each(|path| cut(path, 0))?;
    cut(&torn.path, torn.offset)
}

/// Empties all journals, because the tables hold everything that is in them.
///
/// # Errors
/// A journal cannot be cut.
pub fn empty(dir: &Path) -> io::Result<()> {
    for path in journals(dir)?.iter().rev() {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(0)?;
        file.sync_all()?;
    }
    Ok(())
}

/// Copies what will be cut to a file beside the journal, for whoever wants to look at it. Room for that is not certain.
fn keep_aside(path: &Path, from: u64) {
    let copy = || {
        let used = Journal::open(path)?.used()?;
        let mut rest = File::open(path)?;
        rest.seek(SeekFrom::Start(from))?;
        io::copy(&mut rest.take(used.saturating_sub(from)), &mut File::create(path.with_extension("jnl.cut"))?)
    };
    if let Err(error) = copy() {
        tracing::warn!(%error, path = %path.display(), "what is cut from a journal could not be copied before");
    }
}

fn journals(dir: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(numbered(dir)?.into_iter().map(|(_, path)| path).collect())
}

/// The journals of a database with their numbers, the oldest first.
pub(super) fn numbered(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut journals = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".jnl")).and_then(|number| number.parse::<u64>().ok());
        if let Some(number) = number {
            journals.push((number, dir.join(name)));
        }
    }
    journals.sort();
    Ok(journals)
}

/// Reads one journal on top of those before it.
fn read_journal(
    path: &Path,
    later: &[PathBuf],
    owner: Owner,
    mode: Mode,
    checked: &mut Checked,
    progress: &AtomicU64,
) -> io::Result<Verdict> {
    let mut journal = Journal::open(path)?;
    let mut offset = 0;
    let mut broken_at = None;
    loop {
        let found = journal.at(offset, owner)?;
        let wrong = match found {
            Found::End => break,
            Found::Batch(batch) if checked.torn.is_none() => follows(checked, batch, mode).err(),
            Found::Batch(batch) => {
                if mode == Mode::Strict && proves_loss(checked, batch) {
                    return Ok(Verdict::Lost { later: batch.stamp.number });
                }
                None
            }
            Found::Foreign if checked.last.is_none() && checked.torn.is_none() => return Ok(Verdict::Foreign),
            Found::Foreign => Some("a batch of another partition"),
            Found::Broken(what) => Some(what),
        };
        if let Some(what) = wrong {
            broken_at = broken_at.or(Some(offset));
            checked.torn.get_or_insert_with(|| Break { path: path.to_owned(), offset, what, bytes: 0, later: later.to_vec() });
        }
        let next = match (found, wrong) {
            (Found::Batch(batch), None) => batch.end,
            // The same place again if it is a batch that does not follow: it may prove what is lost.
            (Found::Batch(_), Some(_)) => continue,
            _ => match journal.next_candidate(offset + 1)? {
                Some(next) => next,
                None => break,
            },
        };
        progress.fetch_add(next - offset, Ordering::Relaxed);
        offset = next;
    }
    if let Some(torn) = &mut checked.torn {
        torn.bytes += journal.used()? - broken_at.unwrap_or(0).min(journal.used()?);
    }
    Ok(Verdict::Fine)
}

/// Takes the next batch, or says why it does not follow.
fn follows(checked: &mut Checked, batch: Batch, mode: Mode) -> Result<(), &'static str> {
    if matches!(mode, Mode::Through(last) if batch.stamp.number > last) {
        return Err("a batch that failed");
    }
    if let Some(last) = checked.last {
        if batch.stamp.number != last.stamp.number + 1 {
            return Err("a batch that does not follow");
        }
        if batch.sequence <= last.sequence {
            return Err("a batch with a wrong sequence number");
        }
    }
    checked.first = checked.first.or(Some(batch));
    checked.last = Some(batch);
    Ok(())
}

/// Whether a batch behind the break says that what is missing had been synced.
fn proves_loss(checked: &Checked, batch: Batch) -> bool {
    batch.stamp.synced > checked.last.map_or(0, |last| last.stamp.number)
}
