//! A disk for tests: rows in memory, which a crash takes back to what was synced and, of the rest, as many whole batches as one likes.
//!
//! Batches are kept apart in the order in which they were written, as in a database's journal: what is left after a crash is always a prefix of
//! them. Nothing here is random; whoever tests draws the numbers.

pub(crate) mod commands;
mod look;
mod store;

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound::{Excluded, Included};
use std::sync::Arc;

use bytes::Bytes;

use super::engine::{Change, ReadRows, WriteRows};

pub(crate) use store::Store;

type Rows = BTreeMap<Vec<u8>, Bytes>;

/// The disk of one partition. A clone costs little and goes its own way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    /// What survives the machine.
    synced: Arc<Rows>,
    /// Written since, oldest first: what survives the process.
    unsynced: Vec<Arc<[Change]>>,
    /// What is to be seen: `synced` with `unsynced`.
    visible: Arc<Rows>,
    /// The batch whose write failed. It may be there after all.
    failed: Option<Arc<[Change]>>,
    /// So many writes go well before one fails.
    writes_left: Option<u32>,
    /// So many syncs go well before one fails.
    syncs_left: Option<u32>,
    /// Nothing can be written until it is opened again.
    is_poisoned: bool,
    /// Reads fail.
    is_unreadable: bool,
    /// Batches written.
    pub(crate) writes: u64,
    /// Syncs done.
    pub(crate) syncs: u64,
}

impl Disk {
    /// The write after `good` more fails, and with it all that follow, until the disk is opened again.
    pub(crate) fn fail_write_after(&mut self, good: u32) {
        self.writes_left = Some(good);
    }

    /// The sync after `good` more fails, and with it everything that follows.
    pub(crate) fn fail_sync_after(&mut self, good: u32) {
        self.syncs_left = Some(good);
    }

    /// From now on, or no more, reading fails.
    pub(crate) fn set_unreadable(&mut self, is_unreadable: bool) {
        self.is_unreadable = is_unreadable;
    }

    /// Batches that a crash of the machine may take; one whose write failed is among them.
    pub(crate) fn unsynced(&self) -> usize {
        self.unsynced.len() + usize::from(self.failed.is_some())
    }

    /// What is found when the process opens the disk again. A batch whose write failed is there, or not. What was not synced is not synced still.
    pub(crate) fn reopen(&self, failed_is_there: bool) -> Disk {
        let failed = self.failed.iter().filter(|_| failed_is_there);
        let unsynced: Vec<_> = self.unsynced.iter().chain(failed).cloned().collect();
        let mut visible = self.synced.clone();
        unsynced.iter().for_each(|batch| apply(&mut visible, batch));
        Disk { synced: self.synced.clone(), unsynced, visible, ..Disk::default() }
    }

    /// What is found when the machine went down. `keep` is told how many unsynced batches there are and says how many of them are left, the first ones.
    pub(crate) fn crash(&self, keep: impl FnOnce(usize) -> usize) -> Disk {
        let keep = keep(self.unsynced());
        assert!(keep <= self.unsynced(), "more is left than there was");
        let mut rows = self.synced.clone();
        self.unsynced.iter().chain(&self.failed).take(keep).for_each(|batch| apply(&mut rows, batch));
        Disk { synced: rows.clone(), visible: rows, ..Disk::default() }
    }

    /// All rows, in order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.visible.iter().map(|(key, value)| (&key[..], &value[..]))
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.visible.len()
    }

    /// Puts a row there, synced, past all rules: for tests of damage.
    pub(crate) fn damage(&mut self, key: &[u8], value: &[u8]) {
        let value = Bytes::copy_from_slice(value);
        Arc::make_mut(&mut self.synced).insert(key.to_vec(), value.clone());
        Arc::make_mut(&mut self.visible).insert(key.to_vec(), value);
    }

    /// Takes a row away in the same manner.
    pub(crate) fn erase(&mut self, key: &[u8]) {
        Arc::make_mut(&mut self.synced).remove(key);
        Arc::make_mut(&mut self.visible).remove(key);
    }

    fn readable(&self) -> io::Result<()> {
        if self.is_unreadable { Err(io::Error::other("the simulated disk cannot be read")) } else { Ok(()) }
    }
}

fn apply(rows: &mut Arc<Rows>, batch: &[Change]) {
    let rows = Arc::make_mut(rows);
    for Change { key, value } in batch {
        match value {
            Some(value) => rows.insert(key.clone(), Bytes::copy_from_slice(value)),
            None => rows.remove(key),
        };
    }
}

/// Counts down to a failure. Says whether it is there.
fn fails(left: &mut Option<u32>) -> bool {
    match left {
        None => false,
        Some(0) => true,
        Some(left) => {
            *left -= 1;
            false
        }
    }
}

impl ReadRows for Disk {
    fn get(&self, key: &[u8]) -> io::Result<Option<Bytes>> {
        self.readable()?;
        Ok(self.visible.get(key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8], backward: bool, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> io::Result<()> {
        self.readable()?;
        if from >= to {
            return Ok(());
        }
        let mut range = self.visible.range::<[u8], _>((Included(from), Excluded(to)));
        while let Some((key, value)) = if backward { range.next_back() } else { range.next() } {
            if !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}

impl WriteRows for Disk {
    fn write(&mut self, changes: Vec<Change>) -> io::Result<()> {
        if self.is_poisoned {
            return Err(io::Error::other("the simulated disk is poisoned"));
        }
        let batch: Arc<[Change]> = changes.into();
        if fails(&mut self.writes_left) {
            self.is_poisoned = true;
            self.failed = Some(batch);
            return Err(io::Error::other("a simulated write failed"));
        }
        self.writes += 1;
        apply(&mut self.visible, &batch);
        self.unsynced.push(batch);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.is_poisoned || fails(&mut self.syncs_left) {
            self.is_poisoned = true;
            return Err(io::Error::other("a simulated sync failed"));
        }
        self.syncs += 1;
        // Not a clone of what is visible: that would be copied as a whole by the next write.
        self.unsynced.drain(..).for_each(|batch| apply(&mut self.synced, &batch));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &str) -> Change {
        Change { key: key.into(), value: Some(value.into()) }
    }

    fn remove(key: &str) -> Change {
        Change { key: key.into(), value: None }
    }

    fn rows(disk: &Disk) -> String {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        disk.rows().map(|(key, value)| format!("{}{} ", text(key), text(value))).collect()
    }

    #[test]
    fn a_crash_leaves_what_was_synced_and_a_prefix_of_the_rest() {
        let mut disk = Disk::default();
        disk.write(vec![put("a", "1"), put("b", "1")]).unwrap();
        disk.sync().unwrap();
        disk.write(vec![put("a", "2"), remove("b")]).unwrap();
        disk.write(vec![put("c", "1"), put("c", "2")]).unwrap();
        assert_eq!(rows(&disk), "a2 c2 ");
        assert_eq!(disk.unsynced(), 2);
        assert_eq!(rows(&disk.crash(|_| 0)), "a1 b1 ");
        assert_eq!(rows(&disk.crash(|_| 1)), "a2 ");
        assert_eq!(rows(&disk.crash(|all| all)), "a2 c2 ");
        assert_eq!(rows(&disk.reopen(false)), "a2 c2 ");
        // What a crash has left is synced.
        assert_eq!(rows(&disk.crash(|_| 1).crash(|all| all)), "a2 ");
        assert_eq!(disk.crash(|_| 1).unsynced(), 0);
    }

    #[test]
    fn a_write_that_failed_is_not_seen_and_may_be_there_later() {
        let mut disk = Disk::default();
        disk.fail_write_after(1);
        disk.write(vec![put("a", "1")]).unwrap();
        disk.write(vec![put("b", "1")]).unwrap_err();
        assert_eq!(rows(&disk), "a1 ");
        disk.write(vec![put("c", "1")]).unwrap_err();
        disk.sync().unwrap_err();
        assert_eq!(rows(&disk.reopen(false)), "a1 ");
        assert_eq!(rows(&disk.reopen(true)), "a1 b1 ");
        assert_eq!(rows(&disk.crash(|_| 0)), "");
        let mut again = disk.reopen(true);
        again.write(vec![put("c", "1")]).unwrap();
        again.sync().unwrap();
        assert_eq!(rows(&again.crash(|_| 0)), "a1 b1 c1 ");
        // Opening is no sync.
        assert_eq!(rows(&disk.reopen(true).crash(|_| 0)), "");
        assert_eq!(rows(&disk.reopen(true).crash(|unsynced| unsynced)), "a1 b1 ");
    }

    #[test]
    fn a_sync_that_failed_saves_nothing() {
        let mut disk = Disk::default();
        disk.fail_sync_after(0);
        disk.write(vec![put("a", "1")]).unwrap();
        disk.sync().unwrap_err();
        assert_eq!(rows(&disk.crash(|_| 0)), "");
        assert_eq!((disk.writes, disk.syncs), (1, 0));
    }

    #[test]
    fn clones_go_their_own_ways() {
        let mut disk = Disk::default();
        disk.write(vec![put("a", "1")]).unwrap();
        let before = disk.clone();
        disk.write(vec![put("a", "2")]).unwrap();
        assert_eq!((rows(&before), rows(&disk)), ("a1 ".into(), "a2 ".into()));
    }

    #[test]
    fn a_scan_is_half_open_and_goes_both_ways() {
        let mut disk = Disk::default();
        disk.write(["a", "b", "c", "d"].iter().map(|key| put(key, "1")).collect()).unwrap();
        let scan = |from: &str, to: &str, backward, max: usize| {
            let mut keys = Vec::new();
            disk.scan(from.as_bytes(), to.as_bytes(), backward, &mut |key, _| {
                keys.push(char::from(key[0]));
                keys.len() < max
            })
            .unwrap();
            keys.into_iter().collect::<String>()
        };
        assert_eq!(scan("b", "d", false, 9), "bc");
        assert_eq!(scan("b", "d", true, 9), "cb");
        assert_eq!(scan("a", "z", false, 2), "ab");
        assert_eq!(scan("c", "b", false, 9), "");
    }
}
