//! A partition of which a part cannot be read: all that can be is copied into a new database, which takes its place. The old one is kept beside it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};

use super::walk::END;
use crate::offline::Directory;
use crate::offline::directory::Part;
use crate::offline::sink::Sink;
use crate::slot::PartitionId;
use crate::store::disk::database::Database;
use crate::store::disk::{OpenError, STAMP_KEY};
use crate::store::engine::ReadRows;

/// Where the new database is made.
const PLACE: &str = "salvage";
/// A stretch that gives no row is halved so many times more.
const BARREN_MAX: u32 = 5;
/// Stretches that are tried in all.
const TRIES_MAX: u32 = 20_000;
/// Bytes of keys that are looked at when a stretch is halved.
const KEY_BYTES: usize = 32;

/// What became of a partition.
#[derive(Debug)]
pub struct Salvaged {
    /// Rows that were copied.
    pub rows: u64,
    /// Where the old database is.
    pub kept: PathBuf,
}

/// Replaces the database of a partition by one that has all rows that can be read.
///
/// # Errors
/// The new one cannot be made, or not put into its place.
pub fn salvage(directory: &mut Directory, partition: PartitionId) -> Result<Salvaged, OpenError> {
    let place = directory.manifest.dir().join(PLACE);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| OpenError::File { path, error }
    };
    if place.exists() {
        // An earlier try was interrupted.
        fs::remove_dir_all(&place).map_err(failed(&place))?;
    }
    let copies = directory.manifest.create_salvage(&place)?;
    let mut copy = Part::open(&copies, partition).database?;
    let rows = {
        let view = directory.parts[usize::from(partition)].view();
        let view = view.ok_or_else(|| failed(&place)(io::Error::other("the partition is closed")))?;
        let mut rescue = Rescue { from: &view, into: &mut copy, sink: Sink::default(), rows: 0, tries: TRIES_MAX, failed: None };
        rescue.stretch(Vec::new(), END.to_vec(), 0);
        rescue.finish().map_err(failed(&place))?
    };
    copy.shut().map_err(failed(&place))?;
    let part = &mut directory.parts[usize::from(partition)];
    let closed = OpenError::File { path: place.clone(), error: io::Error::other("it is being replaced") };
    if let Ok(database) = std::mem::replace(&mut part.database, Err(closed)) {
        database.shut().map_err(failed(&place))?;
    }
    let (old, new) = (directory.manifest.partition_dir(partition), copies.partition_dir(partition));
    let kept = free_name(&old);
    let swap = || -> io::Result<()> {
        // At no moment is there none, or one that is not whole.
        rustix::fs::renameat_with(CWD, &old, CWD, &new, RenameFlags::EXCHANGE)?;
        fs::rename(&new, &kept)?;
        drop(copies);
        fs::remove_dir_all(&place)?;
        fs::File::open(directory.manifest.dir())?.sync_all()
    };
    swap().map_err(failed(&old))?;
    *part = Part::open(&directory.manifest, partition);
    Ok(Salvaged { rows, kept })
}

/// A name beside the partition's that nothing has.
fn free_name(partition: &Path) -> PathBuf {
    let name = |number: u32| partition.with_extension(if number == 1 { "damaged".into() } else { format!("damaged-{number}") });
    (1..).map(name).find(|path| !path.exists()).expect("some name is free")
}

/// Copies what can be read.
struct Rescue<'a> {
    from: &'a dyn ReadRows,
    into: &'a mut Database,
    sink: Sink,
    rows: u64,
    tries: u32,
    /// Writing has failed.
    failed: Option<io::Error>,
}

impl Rescue<'_> {
    /// Copies the rows with `from <= key < to`: from both ends up to where it cannot be read, then both halves of what is between.
    fn stretch(&mut self, from: Vec<u8>, to: Vec<u8>, barren: u32) {
        if self.tries == 0 || self.failed.is_some() || from >= to {
            return;
        }
        self.tries -= 1;
        let (low, is_whole) = self.run(&from, &to, false);
        if is_whole {
            return;
        }
        let after_low = low.as_ref().map_or(from, |key| [&key[..], &[0]].concat());
        let (high, _) = self.run(&after_low, &to, true);
        let is_barren = low.is_none() && high.is_none();
        let barren = if is_barren { barren + 1 } else { 0 };
        let before_high = high.unwrap_or(to);
        let middle = middle(&after_low, &before_high);
        if barren <= BARREN_MAX && middle > after_low && middle < before_high {
            self.stretch(after_low, middle.clone(), barren);
            self.stretch(middle, before_high, barren);
        }
    }

    /// Copies in one direction as far as it goes. Gives the last key, and whether it went to the end.
    fn run(&mut self, from: &[u8], to: &[u8], backward: bool) -> (Option<Vec<u8>>, bool) {
        let Rescue { sink, into, rows, failed, .. } = self;
        let mut last = None;
        let result = self.from.scan(from, to, backward, &mut |key, value| {
            last = Some(key.to_vec());
            if key != STAMP_KEY {
                *rows += 1;
                *failed = sink.put(key, Some(value.to_vec()), into).err();
            }
            failed.is_none()
        });
        (last, result.is_ok())
    }

    fn finish(mut self) -> io::Result<u64> {
        match self.failed {
            Some(error) => Err(error),
            None => self.sink.flush(self.into).map(|()| self.rows),
        }
    }
}

/// A key about in the middle between two.
fn middle(from: &[u8], to: &[u8]) -> Vec<u8> {
    let byte = |key: &[u8], at: usize| u16::from(key.get(at).copied().unwrap_or(0));
    let mut sum = [0_u16; KEY_BYTES + 1];
    let mut carry = 0;
    for at in (0..KEY_BYTES).rev() {
        let all = byte(from, at) + byte(to, at) + carry;
        (sum[at + 1], carry) = (all & 0xff, all >> 8);
    }
    sum[0] = carry;
    // Halved: the bit that leaves a byte comes into the next one.
    sum.windows(2).map(|pair| (((pair[0] & 1) << 7) | (pair[1] >> 1)) as u8).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::AtomicU64;

    use bytes::Bytes;

    use super::*;
    use crate::offline::directory::options;
    use crate::store::disk::Manifest;

    #[test]
    fn the_middle_lies_between() {
        assert_eq!(middle(&[0], &[2])[..2], [1, 0]);
        assert_eq!(middle(&[0xff, 0xff], &[0xff, 0xff, 0xff])[..3], [0xff, 0xff, 0x7f]);
        assert_eq!(middle(&[1], &[2])[..2], [1, 0x80]);
        assert_eq!(middle(&[], &[1])[..2], [0, 0x80]);
    }

    /// Rows some of which stop every scan that comes to them.
    struct Holed {
        rows: BTreeMap<Vec<u8>, bool>,
    }

    impl ReadRows for Holed {
        fn get(&self, _: &[u8]) -> io::Result<Option<Bytes>> {
            unreachable!("only scans are wanted")
        }

        fn scan(&self, from: &[u8], to: &[u8], backward: bool, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> io::Result<()> {
            let mut range = self.rows.range(from.to_vec()..to.to_vec());
            while let Some((key, is_good)) = if backward { range.next_back() } else { range.next() } {
                if !is_good {
                    return Err(io::Error::other("a hole"));
                }
                if !visit(key, b"x") {
                    break;
                }
            }
            Ok(())
        }
    }

    #[test]
    fn what_lies_between_two_holes_is_found() {
        let key = |number: u64| (number * 0x0001_0001_0001_0001).to_be_bytes().to_vec();
        let holes = [100..120, 400..401, 5000..5300_u64];
        let is_good = |number: u64| !holes.iter().any(|hole| hole.contains(&number));
        let rows = (0..10_000).map(|number| (key(number), is_good(number))).collect();
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest::open_or_create(dir.path(), 1, 1).unwrap();
        let (mut into, _) = Database::open(&manifest, 0, &options(), &AtomicU64::default()).unwrap();
        let holed = Holed { rows };
        let mut rescue = Rescue { from: &holed, into: &mut into, sink: Sink::default(), rows: 0, tries: TRIES_MAX, failed: None };
        rescue.stretch(Vec::new(), END.to_vec(), 0);
        assert!(rescue.tries > TRIES_MAX / 2, "{} are left", rescue.tries);
        rescue.finish().unwrap();
        let mut found = Vec::new();
        into.scan(&[], &[0xff], false, &mut |key, _| {
            found.push(key.to_vec());
            true
        })
        .unwrap();
        assert_eq!(found, (0..10_000).filter(|number| is_good(*number)).map(key).collect::<Vec<_>>());
    }
}
