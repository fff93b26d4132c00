//! Room on the disk: looked at now and then, so that storing stops before the disk is full to the last byte.

use std::path::PathBuf;

/// While commands come, the disk is looked at this often.
const LOOK_EVERY_MS: u64 = 100;

/// The room of the file system that a partition lives in.
#[derive(Debug)]
pub(super) struct Space {
    dir: PathBuf,
    free_bytes_min: u64,
    looked_at_ms: Option<u64>,
    free_bytes: u64,
    is_full: bool,
}

impl Space {
    /// Nothing is known yet.
    pub fn new(dir: PathBuf, free_bytes_min: u64) -> Space {
        Space { dir, free_bytes_min, looked_at_ms: None, free_bytes: u64::MAX, is_full: false }
    }

    /// Looks if it is time to. Says whether the disk counts as full now, if that has changed.
    pub fn look(&mut self, mono_ms: u64) -> Option<bool> {
        if self.looked_at_ms.is_some_and(|at| mono_ms < at + LOOK_EVERY_MS) {
            return None;
        }
        self.looked_at_ms = Some(mono_ms);
        let free = match rustix::fs::statvfs(&self.dir) {
            Ok(found) => found.f_bavail.saturating_mul(found.f_frsize),
            Err(error) => {
                tracing::warn!(%error, dir = %self.dir.display(), "the room on the disk is not known");
                return None;
            }
        };
        self.judge(free)
    }

    /// Full below the minimum; not full any more an eighth above it, so that it does not change with every file.
    fn judge(&mut self, free_bytes: u64) -> Option<bool> {
        self.free_bytes = free_bytes;
        let enough = if self.is_full { self.free_bytes_min + self.free_bytes_min / 8 } else { self.free_bytes_min };
        let was_full = std::mem::replace(&mut self.is_full, free_bytes < enough);
        (self.is_full != was_full).then_some(self.is_full)
    }

    /// Free bytes as of the last look.
    pub fn free_bytes(&self) -> u64 {
        self.free_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_full_below_the_minimum_and_free_again_well_above_it() {
        let mut space = Space::new(PathBuf::new(), 800);
        let changes = [1000, 800, 799, 700, 850, 899, 900, 800, 799].map(|free| space.judge(free));
        let none = None;
        assert_eq!(changes, [none, none, Some(true), none, none, none, Some(false), none, Some(true)]);
    }

    #[test]
    fn the_disk_is_looked_at_now_and_then() {
        let dir = tempfile::tempdir().unwrap();
        let mut space = Space::new(dir.path().to_owned(), u64::MAX / 2);
        assert_eq!(space.look(1000), Some(true));
        assert!(space.free_bytes() < u64::MAX / 2);
        space.free_bytes_min = 0;
        assert_eq!(space.look(1000 + LOOK_EVERY_MS - 1), None);
        assert_eq!(space.look(1000 + LOOK_EVERY_MS), Some(false));
    }
}
