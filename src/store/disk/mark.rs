//! The mark of a partition: how far its batches are known to be on the disk, in a file of its own.
//!
//! A batch proves that those before it were synced; the mark proves it for the last one. It is written after each sync and synced itself now
//! and then, so after a crash of the machine it may be behind, never ahead.
//!
//! ```text
//! data id u128 | partition u16 | number u64 | xxh3 of that u64        twice, 512 bytes apart, written in turn
//! ```

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use super::stamp::Owner;

const FILE: &str = "mark";
const PLACES: [u64; 2] = [0, 512];
const BODY_BYTES: usize = 16 + 2 + 8;
const PLACE_BYTES: usize = BODY_BYTES + 8;

/// What the file said when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    /// Nothing: it is new, or was removed.
    Nothing,
    /// All batches up to this one were synced.
    Through(u64),
    /// It belongs to another partition, or to another data directory.
    Foreign,
}

/// The open file.
#[derive(Debug)]
pub struct Mark {
    file: File,
    owner: Owner,
    number: u64,
    place: usize,
    is_synced: bool,
}

impl Mark {
    /// Opens it in a partition's directory, or makes it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(dir: &Path, owner: Owner) -> io::Result<(Mark, Marked)> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(dir.join(FILE))?;
        let mut marked = Marked::Nothing;
        let mut last = 0;
        for place in PLACES {
            let mut bytes = [0; PLACE_BYTES];
            if file.read_exact_at(&mut bytes, place).is_err() {
                continue;
            }
            match decode(&bytes, owner) {
                Some((_, false)) => marked = Marked::Foreign,
                Some((number, true)) if marked != Marked::Foreign && number >= last => {
                    (marked, last) = (Marked::Through(number), number);
                }
                _ => {}
            }
        }
        Ok((Mark { file, owner, number: last, place: 0, is_synced: true }, marked))
    }

    /// All batches up to this one are on the disk. The operating system knows it when this returns. It never goes back: see [`Self::reset`].
    ///
    /// # Errors
    /// Those of the file system; what the mark said before stays.
    pub fn set(&mut self, number: u64) -> io::Result<()> {
        if number <= self.number {
            return Ok(());
        }
        self.place = 1 - self.place;
        self.file.write_all_at(&encode(number, self.owner), PLACES[self.place])?;
        self.number = number;
        self.is_synced = false;
        Ok(())
    }

    /// Whether the mark itself is on the disk.
    pub fn is_synced(&self) -> bool {
        self.is_synced
    }

    /// The mark itself is on the disk when this returns.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn sync(&mut self) -> io::Result<()> {
        if !self.is_synced {
            self.file.sync_data()?;
            self.is_synced = true;
        }
        Ok(())
    }

    /// Goes back: what is lost has been given up.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn reset(&mut self, number: u64) -> io::Result<()> {
        PLACES.into_iter().try_for_each(|place| self.file.write_all_at(&encode(number, self.owner), place))?;
        self.number = number;
        self.file.sync_all()
    }
}

fn encode(number: u64, owner: Owner) -> [u8; PLACE_BYTES] {
    let mut bytes = [0; PLACE_BYTES];
    bytes[..16].copy_from_slice(&owner.data_id.to_le_bytes());
    bytes[16..18].copy_from_slice(&owner.partition.to_le_bytes());
    bytes[18..BODY_BYTES].copy_from_slice(&number.to_le_bytes());
    let sum = xxh3_64(&bytes[..BODY_BYTES]);
    bytes[BODY_BYTES..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// The number, and whether it is this owner's. `None`: nothing was written here, or not whole.
fn decode(bytes: &[u8; PLACE_BYTES], owner: Owner) -> Option<(u64, bool)> {
    let number = u64::from_le_bytes(bytes[18..BODY_BYTES].try_into().ok()?);
    let (body, sum) = bytes.split_at(BODY_BYTES);
    let is_whole = sum == xxh3_64(body).to_le_bytes();
    is_whole.then(|| (number, bytes == &encode(number, owner)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Owner = Owner { data_id: 7, partition: 1 };

    fn marked(dir: &Path) -> Marked {
        Mark::open(dir, OWNER).unwrap().1
    }

    #[test]
    fn the_highest_number_that_is_whole_counts() {
        let dir = tempfile::tempdir().unwrap();
        let (mut mark, nothing) = Mark::open(dir.path(), OWNER).unwrap();
        assert_eq!(nothing, Marked::Nothing);
        for number in 1..=3 {
            mark.set(number).unwrap();
            assert_eq!(marked(dir.path()), Marked::Through(number));
        }
        mark.sync().unwrap();
        let path = dir.path().join(FILE);
        let torn = std::fs::read(&path).unwrap();
        for (place, left) in PLACES.into_iter().map(|place| place as usize).zip([Marked::Through(3), Marked::Through(2)]) {
            let mut bytes = torn.clone();
            bytes[place + 20] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(marked(dir.path()), left);
        }
        mark.reset(1).unwrap();
        assert_eq!(marked(dir.path()), Marked::Through(1));
    }

    #[test]
    fn the_mark_of_another_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        Mark::open(dir.path(), Owner { partition: 2, ..OWNER }).unwrap().0.set(5).unwrap();
        assert_eq!(marked(dir.path()), Marked::Foreign);
    }
}
