//! One file: what programs read, what the platter has, and what is on the way between the two.

use fastrand::Rng;

use super::content::Content;

/// What a disk writes whole or not at all, in bytes.
pub const SECTOR_BYTES: usize = 512;

/// Something that was done to a file and not synced.
#[derive(Clone, Debug)]
enum Change {
    Write { at: u64, bytes: Vec<u8> },
    SetLen(u64),
}

/// A file of the model.
#[derive(Clone, Debug, Default)]
pub struct File {
    now: Content,
    durable: Content,
    pending: Vec<Change>,
}

impl File {
    /// What a program sees.
    pub fn now(&self) -> &Content {
        &self.now
    }

    /// Writes, not durably.
    pub fn write(&mut self, at: u64, bytes: &[u8]) {
        self.now.write(at, bytes);
        self.pending.push(Change::Write { at, bytes: bytes.to_vec() });
    }

    /// Sets the length, not durably.
    pub fn set_len(&mut self, len: u64) {
        self.now.set_len(len);
        self.pending.push(Change::SetLen(len));
    }

    /// Changes that no sync has covered.
    pub fn unsynced(&self) -> usize {
        self.pending.len()
    }

    /// fsync and fdatasync: everything before is durable. fdatasync covers the length too, since data could not be found without it.
    pub fn sync(&mut self) {
        for change in self.pending.drain(..) {
            apply(&mut self.durable, &change);
        }
    }

    /// An fsync that failed, as Linux does it: what was on the way may or may not have arrived, programs still read it from memory, and
    /// no later sync tries again.
    pub fn sync_fails(&mut self, rng: &mut Rng) {
        tear(&mut self.durable, &self.pending, rng);
        self.pending.clear();
    }

    /// Power is lost: what was synced stays, and of the rest some sectors that did arrive.
    pub fn lose_power(&mut self, rng: &mut Rng) {
        tear(&mut self.durable, &self.pending, rng);
        self.pending.clear();
        self.now = self.durable.clone();
    }
}

fn apply(content: &mut Content, change: &Change) {
    match change {
        Change::Write { at, bytes } => content.write(*at, bytes),
        Change::SetLen(len) => content.set_len(*len),
    }
}

/// Applies a random part of the changes: each sector of each write, and each change of the length, arrives or does not, with a likelihood
/// that differs from file to file, so that "nothing arrived" and "all arrived" come up as well.
fn tear(content: &mut Content, changes: &[Change], rng: &mut Rng) {
    let arrives_of_8 = [0, 1, 4, 7, 8][rng.usize(..5)];
    let mut arrives = || rng.u8(..8) < arrives_of_8;
    for change in changes {
        match change {
            Change::SetLen(_) if arrives() => apply(content, change),
            Change::SetLen(_) => {}
            Change::Write { at, bytes } => {
                for (at, sector) in sectors(*at, bytes) {
                    if arrives() {
                        content.write(at, sector);
                    }
                }
            }
        }
    }
}

/// The pieces of a write, cut where the sectors of the file end.
fn sectors(at: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let first = (SECTOR_BYTES - (at as usize % SECTOR_BYTES)).min(bytes.len());
    let (head, tail) = bytes.split_at(first);
    let rest = tail.chunks(SECTOR_BYTES).enumerate().map(move |(n, piece)| (at + (first + n * SECTOR_BYTES) as u64, piece));
    std::iter::once((at, head)).chain(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(file: &File) -> Vec<u8> {
        file.now.read(0, file.now.len() as usize)
    }

    #[test]
    fn what_was_synced_survives_whatever_the_seed() {
        for seed in 0..200 {
            let mut file = File::default();
            file.write(0, &[1; 2000]);
            file.sync();
            file.write(2000, &[2; 2000]);
            file.lose_power(&mut Rng::with_seed(seed));
            assert_eq!(bytes(&file)[..2000], [1; 2000]);
            assert_eq!(file.unsynced(), 0);
        }
    }

    #[test]
    fn unsynced_writes_survive_by_sectors_and_some_not() {
        let (mut none, mut all, mut torn) = (0, 0, 0);
        for seed in 0..200 {
            let mut file = File::default();
            file.write(0, &[0; 8192]);
            file.sync();
            file.write(100, &[9; 8000]);
            file.lose_power(&mut Rng::with_seed(seed));
            let content = bytes(&file);
            for (at, sector) in sectors(100, &content[100..8100]) {
                assert!(sector.iter().all(|&b| b == sector[0]), "the sector at {at} is torn");
            }
            match content.iter().filter(|&&b| b == 9).count() {
                0 => none += 1,
                8000 => all += 1,
                _ => torn += 1,
            }
        }
        assert!(none > 20 && all > 20 && torn > 60, "{none} {all} {torn}");
    }

    #[test]
    fn a_failed_sync_is_not_made_good_by_the_next_one() {
        let lost = (0..100).filter(|&seed| {
            let mut rng = Rng::with_seed(seed);
            let mut file = File::default();
            file.write(0, &[5; 512]);
            file.sync_fails(&mut rng);
            assert_eq!(bytes(&file), [5; 512], "programs still read it");
            file.sync();
            file.lose_power(&mut rng);
            bytes(&file) != [5; 512]
        });
        assert!(lost.count() > 20);
    }

    #[test]
    fn lengths_are_lost_and_kept_like_data() {
        let ends = |synced: bool| -> Vec<u64> {
            let of_seed = |seed| {
                let mut file = File::default();
                file.set_len(1 << 20);
                if synced {
                    file.sync();
                }
                file.lose_power(&mut Rng::with_seed(seed));
                file.now().len()
            };
            (0..50).map(of_seed).collect()
        };
        assert!(ends(true).iter().all(|&len| len == 1 << 20));
        assert!(ends(false).contains(&0) && ends(false).contains(&(1 << 20)));
    }
}
