//! `campanile import`: what was exported, into a new data directory or one that is there.
//!
//! - **All lines are checked first** ([`check`]), also against the directory; nothing is written if one is wrong.
//! - **A conversation that exists is not touched**, and nothing at all is imported then.
//! - **All or nothing, per conversation** ([`write`](self::write)): its head is written last, and until then its rows are marked for removal. What an interrupted import
//!   leaves behind is removed by the server.
//! - **Seqs and times stay. Epochs are new**, also in the directory that the export came from: an export is older than what clients may have seen of
//!   the log since, so their cursors must not be taken for cursors of this one. They are told of a gap. The cursors in the export are of the exported
//!   log, so they stay good.
//! - **Lists are completed**: members and both users of a direct conversation find it in their lists, whether the export says so or not.

mod check;
mod source;
mod write;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::format::Totals;
use super::{Directory, Progress};
use crate::conversation::{Key, Policies};
use crate::slot::PartitionId;
use crate::store::disk::{Manifest, OpenError};
use check::Checked;
use source::Source;
use write::Writer;

/// Epochs count so many for each millisecond.
const EPOCHS_PER_MS: u64 = 1 << 20;
/// Conversations that are named when they are in the way.
const NAMED_MAX: usize = 20;

/// What an import needs to know.
#[derive(Clone, Debug)]
pub struct Import {
    /// The data directory; made if it is missing or empty.
    pub dir: PathBuf,
    /// The export; `None`: standard input.
    pub from: Option<PathBuf>,
    /// Partitions of a directory that is made. 0: one for each processor, at most 16.
    pub partitions: PartitionId,
    /// What expires when.
    pub policies: Policies,
}

/// Why nothing, or not all, was imported.
#[derive(Debug)]
pub enum ImportError {
    /// The directory does not open.
    Open(OpenError),
    /// The export cannot be read.
    Read(PathBuf, io::Error),
    /// A line is wrong; nothing was written.
    Line(u64, String),
    /// These are there already; nothing was written.
    Exist(Vec<Key>),
    /// The directory cannot be written. So much is in it.
    Write(io::Error, Totals),
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImportError::Open(error) => error.fmt(f),
            ImportError::Read(path, error) => write!(f, "{} cannot be read: {error}; check --in", path.display()),
            ImportError::Line(0, what) => write!(f, "the export: {what}; nothing was imported"),
            ImportError::Line(line, what) => write!(f, "line {line} of the export: {what}; nothing was imported"),
            ImportError::Exist(keys) => {
                let named: Vec<String> = keys.iter().take(NAMED_MAX).map(|key| format!("{key:?}")).collect();
                let more = keys.len().saturating_sub(NAMED_MAX);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                write!(
                    f,
                    "the directory has {}{more} already; nothing was imported: export the others by name, or import into a new directory",
                    named.join(", ")
                )
            }
            ImportError::Write(error, totals) => write!(
                f,
                "the directory cannot be written: {error}; {} conversations are whole and stay, the one after them is not there; make room, and import into a new directory",
                totals.conversations
            ),
        }
    }
}

/// Imports.
///
/// # Errors
/// See [`ImportError`].
pub fn run(import: &Import, progress: &mut Progress) -> Result<Totals, ImportError> {
    let mut source = Source::open(import)?;
    let checked = check::check(&mut source, progress)?;
    let is_new = !import.dir.join("manifest.toml").exists();
    let mut directory = open(import, is_new).map_err(ImportError::Open)?;
    let in_the_way = checked.existing(&directory).map_err(ImportError::Open)?;
    if !in_the_way.is_empty() {
        return Err(ImportError::Exist(in_the_way));
    }
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    directory.manifest.take_epochs(since_1970.as_millis() as u64 * EPOCHS_PER_MS).map_err(ImportError::Open)?;
    let totals = write(&mut source, &checked, &mut directory, &import.policies, progress)?;
    if is_new {
        // Everything is synced.
        directory.manifest.close().map_err(ImportError::Open)?;
    }
    Ok(totals)
}

fn open(import: &Import, is_new: bool) -> Result<Directory, OpenError> {
    if !is_new {
        return Directory::open_sound(&import.dir);
    }
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get().min(16)) as u16;
    let mut directory = Directory::of(Manifest::open_or_create(&import.dir, import.partitions, processors)?).sound()?;
    directory.manifest.set_complete()?;
    Ok(directory)
}

fn write(
    source: &mut Source,
    checked: &Checked,
    directory: &mut Directory,
    policies: &Policies,
    progress: &mut Progress,
) -> Result<Totals, ImportError> {
    let mut writer = Writer::new(directory, checked, policies);
    let written = source.each(&mut |line, thing| {
        let Totals { conversations, records, .. } = writer.totals;
        progress.step(|| {
            format!(
                "{conversations} of {} conversations, {records} of {} records",
                checked.totals.conversations, checked.totals.records
            )
        });
        writer.take(thing).map_err(|error| (line, error))
    });
    let totals = writer.totals;
    let finished = match written {
        Ok(()) => writer.finish().map_err(|error| ImportError::Write(error, totals)),
        Err(source::Stopped::By(_, error)) => Err(ImportError::Write(error, totals)),
        Err(source::Stopped::Read(error)) => Err(error),
    };
    finished.map(|()| checked.totals)
}

/// A path for messages.
fn shown(path: Option<&Path>) -> PathBuf {
    path.map_or_else(|| "standard input".into(), Path::to_path_buf)
}
