//! The data directory: who has it, what is in it, and what happened to the machine since the last start.
//!
//! ```text
//! data-dir/           mode 0700
//!   lock              locked by the server that runs; its process id
//!   manifest.toml     written whole: a temporary file, sync, rename, sync of the directory
//!   partition-0/      a database, its journals, and its mark
//!   partition-1/ ...
//! ```

mod offline;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::error::OpenError;
use crate::slot::{PartitionId, SLOTS};

/// The format that this version writes, and the newest that it reads.
const FORMAT: i64 = 1;
/// Partitions that a new directory gets at most when nobody says how many: each has three threads.
const PARTITIONS_BY_DEFAULT_MAX: u16 = 16;
/// Epochs that no run uses up.
const EPOCHS_PER_RUN: u64 = 1 << 32;
/// Partitions in one directory.
pub const PARTITIONS_MAX: u16 = super::lanes::PARTITIONS_MAX;
const LOCK: &str = "lock";
const MANIFEST: &str = "manifest.toml";
const MANIFEST_NEW: &str = "manifest.toml.new";
/// The disk has failed in an earlier run.
const FAILED: &str = "disk-failed";
/// What a directory may contain before it is ours: the root of a file system has this.
const LOST_AND_FOUND: &str = "lost+found";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What is written down about a data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) partitions: PartitionId,
    slot_seed: u64,
    data_id: u128,
    pub(super) os_generation: u64,
    repairs: u64,
    term: u32,
    first_epoch: u64,
    boot_id: String,
    clean: bool,
    complete: bool,
}

/// An open data directory. As long as this lives, no other server can open it.
#[derive(Debug)]
pub struct Manifest {
    dir: PathBuf,
    facts: Facts,
    /// Holds the lock.
    _lock: File,
}

impl Manifest {
    /// Opens a data directory, and makes it first if it is missing or empty. `partitions_wanted` counts only then; 0: one for each shard,
    /// at most 16.
    ///
    /// # Errors
    /// All but those of databases.
    pub fn open_or_create(dir: &Path, partitions_wanted: PartitionId, shards: u16) -> Result<Manifest, OpenError> {
        let boot_id = fs::read_to_string(BOOT_ID).map_err(file(Path::new(BOOT_ID)))?;
        Manifest::open_in_boot(dir, partitions_wanted, shards, boot_id.trim())
    }

    /// The same, in the life of the machine that has this id.
    fn open_in_boot(dir: &Path, partitions_wanted: PartitionId, shards: u16, boot_id: &str) -> Result<Manifest, OpenError> {
        prepare(dir)?;
        let dir = &fs::canonicalize(dir).map_err(file(dir))?;
        let lock = lock(dir)?;
        let path = dir.join(MANIFEST);
        let facts = match fs::read_to_string(&path) {
            Ok(text) => Facts::parse(&text, &path)?.after_start(boot_id, dir.join(FAILED).exists()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Facts::new(dir, partitions_wanted, shards, boot_id)?,
            Err(error) => return Err(OpenError::File { path, error }),
        };
        let manifest = Manifest { dir: dir.to_owned(), facts, _lock: lock };
        manifest.write()?;
        match fs::remove_file(manifest.dir.join(FAILED)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(OpenError::File { path: manifest.dir.join(FAILED), error })
            }
            _ => Ok(manifest),
        }
    }

    /// Makes the directory for a copy of another one's rows. It may be older than what clients have seen: like after a crash of the machine, a
    /// conversation that says that it lost its end in the run before begins a new epoch.
    ///
    /// # Errors
    /// It is there already, or cannot be made.
    pub(super) fn create_copy(dir: &Path, of: &Facts) -> Result<Manifest, OpenError> {
        DirBuilder::new().mode(0o700).create(dir).map_err(file(dir))?;
        let facts = Facts { os_generation: of.os_generation + 1, clean: false, complete: false, ..of.clone() };
        let manifest = Manifest { dir: dir.to_owned(), facts, _lock: lock(dir)? };
        manifest.write()?;
        Ok(manifest)
    }

    /// All that is written down.
    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How many partitions it has; fixed when it was made.
    pub fn partitions(&self) -> PartitionId {
        self.facts.partitions
    }

    /// The secret seed of placement; see [`Slots`](crate::slot::Slots).
    pub fn slot_seed(&self) -> u64 {
        self.facts.slot_seed
    }

    /// Tells this directory's rows from those of any other. Secret, so that nobody can put a forged batch into a message.
    pub fn data_id(&self) -> u128 {
        self.facts.data_id
    }

    /// One more after each time that the machine went down without the server having been stopped, or that the disk failed: what was given to the operating
    /// system only may be lost since.
    pub fn os_generation(&self) -> u64 {
        self.facts.os_generation
    }

    /// How often lost data was given up.
    pub fn repairs(&self) -> u64 {
        self.facts.repairs
    }

    /// See [`TERM`](crate::store::TERM).
    pub fn term(&self) -> u32 {
        self.facts.term
    }

    /// The first epoch that this run may give out; no earlier run gave out one like it or above.
    pub fn first_epoch(&self) -> u64 {
        self.facts.first_epoch
    }

    /// A run begins. Its epochs begin with `by_clock`, unless the clock went back: then above those of the last run.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn take_epochs(&mut self, by_clock: u64) -> Result<(), OpenError> {
        self.facts.first_epoch = by_clock.max(self.facts.first_epoch + EPOCHS_PER_RUN);
        self.write()
    }

    /// Whether all partitions have been made: from then on a missing one is lost and not new.
    pub fn is_complete(&self) -> bool {
        self.facts.complete
    }

    /// Where a partition is.
    pub fn partition_dir(&self, partition: PartitionId) -> PathBuf {
        self.dir.join(format!("partition-{partition}"))
    }

    /// All partitions have been made.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn set_complete(&mut self) -> Result<(), OpenError> {
        self.facts.complete = true;
        self.write()
    }

    /// Lost data will be given up. What was appended in the run of the machine that ends by it may be lost; gives that run's generation.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn begin_repair(&mut self) -> Result<u64, OpenError> {
        self.facts.repairs += 1;
        self.facts.os_generation += 1;
        self.write()?;
        Ok(self.facts.os_generation - 1)
    }

    /// Everything is on the disk, and nothing more will be written.
    ///
    /// # Errors
    /// It cannot be written down; the next start takes it for a crash.
    pub fn close(mut self) -> Result<(), OpenError> {
        self.facts.clean = true;
        self.write()
    }

    fn write(&self) -> Result<(), OpenError> {
        let new = self.dir.join(MANIFEST_NEW);
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(self.facts.text().as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, self.dir.join(MANIFEST))?;
            sync_dir(&self.dir)
        };
        write().map_err(file(&self.dir.join(MANIFEST)))
    }
}

/// Leaves word for the next start that the disk has failed: what was given to the operating system may be lost, though the machine did not go down.
///
/// # Errors
/// The disk takes that neither.
pub(super) fn note_failure(dir: &Path) -> io::Result<()> {
    File::create(dir.join(FAILED))?.sync_all()?;
    sync_dir(dir)
}

/// Makes what was created, renamed or removed in a directory survive the machine.
///
/// # Errors
/// The directory cannot be opened or synced.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn file(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    |error| OpenError::File { path, error }
}

/// The directory is there and nobody else writes to it.
pub(super) fn prepare(dir: &Path) -> Result<(), OpenError> {
    if !dir.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(file(dir))?;
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_dir(parent).map_err(file(parent))?;
        }
    }
    let mode = fs::metadata(dir).map_err(file(dir))?.mode();
    if mode & 0o022 != 0 {
        return Err(OpenError::WritableByOthers { path: dir.to_owned() });
    }
    Ok(())
}

/// Takes the lock, or says who has it.
fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join(LOCK);
    let mut options = OpenOptions::new();
    let mut lock = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(file(&path))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            // Whoever holds it may not have written its number yet.
            let _ = lock.read_to_string(&mut pid);
            return Err(OpenError::Taken { path: dir.to_owned(), pid: pid.trim().parse().ok() });
        }
        Err(error) => return Err(OpenError::File { path, error: error.into() }),
    }
    let write = |lock: &mut File| {
        lock.set_len(0)?;
        lock.write_all(format!("{}\n", std::process::id()).as_bytes())
    };
    write(&mut lock).map_err(file(&path))?;
    Ok(lock)
}

impl Facts {
    /// Those of a new directory.
    fn new(dir: &Path, partitions_wanted: PartitionId, shards: u16, boot_id: &str) -> Result<Facts, OpenError> {
        let is_ours = |name: &std::ffi::OsStr| [LOCK, MANIFEST_NEW, LOST_AND_FOUND].iter().any(|ours| name == *ours);
        for entry in fs::read_dir(dir).map_err(file(dir))? {
            if !is_ours(&entry.map_err(file(dir))?.file_name()) {
                return Err(OpenError::NotEmpty { path: dir.to_owned() });
            }
        }
        let mut random = [0; 24];
        getrandom::fill(&mut random).map_err(|error| OpenError::File { path: dir.to_owned(), error: io::Error::other(error) })?;
        let (seed, id) = random.split_at(8);
        let partitions = match partitions_wanted {
            0 => shards.clamp(1, PARTITIONS_BY_DEFAULT_MAX),
            wanted => wanted.min(PARTITIONS_MAX),
        };
        Ok(Facts {
            partitions,
            slot_seed: u64::from_le_bytes(seed.try_into().expect("8 bytes")),
            data_id: u128::from_le_bytes(id.try_into().expect("16 bytes")),
            os_generation: 1,
            repairs: 0,
            term: crate::store::TERM,
            first_epoch: 0,
            boot_id: boot_id.to_owned(),
            clean: false,
            complete: false,
        })
    }

    /// A server starts with them. As long as the machine is up and its disk does not fail, what was given to the operating system is there.
    fn after_start(mut self, boot_id: &str, disk_has_failed: bool) -> Facts {
        if (!self.clean && self.boot_id != boot_id) || disk_has_failed {
            self.os_generation += 1;
        }
        self.clean = false;
        boot_id.clone_into(&mut self.boot_id);
        self
    }

    fn text(&self) -> String {
        let Facts { partitions, slot_seed, data_id, os_generation, repairs, term, first_epoch, boot_id, clean, complete } = self;
        format!(
            "# Written by campanile; it holds secrets, and a changed line loses data.\n\
             format = {FORMAT}\n\
             partitions = {partitions}\n\
             slots = {SLOTS}\n\
             slot_seed = \"{slot_seed:016x}\"\n\
             data_id = \"{data_id:032x}\"\n\
             os_generation = {os_generation}\n\
             repairs = {repairs}\n\
             term = {term}\n\
             first_epoch = {first_epoch}\n\
             boot_id = \"{boot_id}\"\n\
             clean = {clean}\n\
             complete = {complete}\n"
        )
    }

    fn parse(text: &str, path: &Path) -> Result<Facts, OpenError> {
        let damaged = |what: &str| OpenError::Manifest { path: path.to_owned(), what: what.to_owned() };
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| damaged(error.message()))?;
        let number = |name: &str, max: i64| {
            let number = table.get(name).and_then(toml::Value::as_integer).filter(|number| (0..=max).contains(number));
            number.ok_or_else(|| damaged(&format!("{name} is missing or no number that it may be")))
        };
        let string =
            |name: &str| table.get(name).and_then(toml::Value::as_str).ok_or_else(|| damaged(&format!("{name} is missing")));
        let flag = |name: &str| {
            table.get(name).and_then(toml::Value::as_bool).ok_or_else(|| damaged(&format!("{name} is neither true nor false")))
        };
        let format = number("format", i64::MAX)?;
        if format > FORMAT {
            return Err(OpenError::Newer { path: path.parent().unwrap_or(path).to_owned(), format });
        }
        if format != FORMAT || number("slots", i64::MAX)? != SLOTS as i64 {
            return Err(damaged("format or slots is another number than any version wrote"));
        }
        let partitions = number("partitions", PARTITIONS_MAX.into())? as PartitionId;
        if partitions == 0 {
            return Err(damaged("partitions is 0"));
        }
        let hex = |name: &str| {
            let digits = string(name)?;
            u128::from_str_radix(digits, 16).map_err(|_| damaged(&format!("{name} is no hexadecimal number")))
        };
        Ok(Facts {
            partitions,
            slot_seed: u64::try_from(hex("slot_seed")?).map_err(|_| damaged("slot_seed is too large"))?,
            data_id: hex("data_id")?,
            os_generation: number("os_generation", i64::MAX)? as u64,
            repairs: number("repairs", i64::MAX)? as u64,
            term: number("term", u32::MAX.into())? as u32,
            first_epoch: number("first_epoch", i64::MAX / 2)? as u64,
            boot_id: string("boot_id")?.to_owned(),
            clean: flag("clean")?,
            complete: flag("complete")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn open(dir: &Path, boot: &str) -> Result<Manifest, OpenError> {
        Manifest::open_in_boot(dir, 0, 3, boot)
    }

    #[test]
    fn what_is_fixed_at_the_beginning_stays() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("a/b");
        let first = Manifest::open_or_create(&dir, 0, 40).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(dir.join(MANIFEST)).unwrap().mode() & 0o777, 0o600);
        assert_eq!((first.partitions(), first.os_generation(), first.is_complete()), (16, 1, false));
        let facts = first.facts.clone();
        drop(first);
        let again = Manifest::open_or_create(&dir, 7, 2).unwrap();
        assert_eq!(again.facts, facts);
        let other = Manifest::open_or_create(&parent.path().join("other"), 7, 2).unwrap();
        assert_eq!(other.partitions(), 7);
        assert_ne!((other.slot_seed(), other.data_id()), (facts.slot_seed, facts.data_id));
    }

    #[test]
    fn a_second_server_is_refused_with_the_number_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path(), "x").unwrap();
        let refused = open(dir.path(), "x").unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        assert!(refused.contains(&dir.path().display().to_string()), "{refused}");
        drop(first);
        open(dir.path(), "x").unwrap();
    }

    #[test]
    fn the_generation_counts_crashes_of_the_machine_and_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let generation = |boot: &str, stop: bool| {
            let manifest = open(dir.path(), boot).unwrap();
            let generation = manifest.os_generation();
            if stop {
                manifest.close().unwrap();
            }
            generation
        };
        assert_eq!(generation("a", false), 1);
        assert_eq!(generation("a", true), 1, "the process crashed, the machine did not");
        assert_eq!(generation("b", false), 1, "it was stopped before the machine went down");
        assert_eq!(generation("c", false), 2);
        assert_eq!(generation("c", false), 2);
        assert_eq!(generation("d", true), 3);
        assert_eq!(generation("d", false), 3);
        assert_eq!(generation("e", false), 4);
        note_failure(dir.path()).unwrap();
        assert_eq!(generation("e", true), 5, "a sync has failed");
        assert_eq!(generation("e", true), 5);
    }

    #[test]
    fn epochs_never_come_again_whatever_the_clock_says() {
        let dir = tempfile::tempdir().unwrap();
        let epochs = |by_clock: u64| {
            let mut manifest = open(dir.path(), "x").unwrap();
            manifest.take_epochs(by_clock).unwrap();
            manifest.first_epoch()
        };
        const HOUR: u64 = 3_600_000 << 20;
        let now = 1000 * HOUR;
        let firsts = [now, now + 1, now - 5 * HOUR, 0, now + 9 * HOUR, now].map(epochs);
        assert_eq!(firsts[0], now);
        assert!(firsts.is_sorted_by(|before, after| before + EPOCHS_PER_RUN <= *after), "{firsts:?}");
        assert_eq!(firsts[4], now + 9 * HOUR);
    }

    #[test]
    fn a_newer_format_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path(), "x").unwrap());
        let path = dir.path().join(MANIFEST);
        let text = fs::read_to_string(&path).unwrap().replace("format = 1", "format = 2\nunheard_of = true");
        fs::write(&path, &text).unwrap();
        let refused = open(dir.path(), "x").unwrap_err().to_string();
        assert!(refused.contains("newer") && refused.contains("format 2"), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn a_damaged_manifest_is_refused_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path(), "x").unwrap());
        let path = dir.path().join(MANIFEST);
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(' ').next().unwrap();
            fs::write(&path, text.replace(line, "")).unwrap();
            let refused = open(dir.path(), "x").unwrap_err().to_string();
            assert!(refused.contains(name) && refused.contains("backup"), "{refused}");
        }
        fs::write(&path, "format = ").unwrap();
        assert!(matches!(open(dir.path(), "x"), Err(OpenError::Manifest { .. })));
    }

    #[test]
    fn a_directory_that_is_not_ours_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(LOST_AND_FOUND)).unwrap();
        fs::write(dir.path().join("letter.txt"), "dear").unwrap();
        assert!(matches!(open(dir.path(), "x"), Err(OpenError::NotEmpty { .. })));
        fs::remove_file(dir.path().join("letter.txt")).unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o770)).unwrap();
        let refused = open(dir.path(), "x").unwrap_err().to_string();
        assert!(refused.contains("chmod go-w"), "{refused}");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o750)).unwrap();
        open(dir.path(), "x").unwrap();
    }
}
