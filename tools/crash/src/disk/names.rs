//! Directories: what programs see, what is durable, and the operations between the two.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use fastrand::Rng;

use super::{Ino, ROOT};

/// One name that is set or removed.
type Edit = (Ino, OsString, Option<Ino>);

#[derive(Clone, Debug, Default)]
struct Tree(BTreeMap<Ino, BTreeMap<OsString, Ino>>);

impl Tree {
    fn apply(&mut self, edits: &[Edit]) {
        for (directory, name, ino) in edits {
            let entries = self.0.entry(*directory).or_default();
            match ino {
                Some(ino) => entries.insert(name.clone(), *ino),
                None => entries.remove(name),
            };
        }
    }

    fn reachable(&self) -> BTreeSet<Ino> {
        let (mut found, mut ahead) = (BTreeSet::from([ROOT]), vec![ROOT]);
        while let Some(directory) = ahead.pop() {
            for &ino in self.0.get(&directory).into_iter().flat_map(BTreeMap::values) {
                if found.insert(ino) {
                    ahead.push(ino);
                }
            }
        }
        found
    }
}

/// All directories.
#[derive(Clone, Debug, Default)]
pub struct Names {
    now: Tree,
    durable: Tree,
    /// Operations that no sync of a directory has covered, oldest first. One is whole or not at all.
    pending: Vec<Vec<Edit>>,
}

impl Names {
    pub fn new() -> Names {
        Names::default()
    }

    pub fn get(&self, directory: Ino, name: &OsStr) -> Option<Ino> {
        self.now.0.get(&directory)?.get(name).copied()
    }

    pub fn list(&self, directory: Ino) -> Vec<(OsString, Ino)> {
        self.now.0.get(&directory).into_iter().flatten().map(|(name, &ino)| (name.clone(), ino)).collect()
    }

    /// A name that a file has now.
    pub fn name_of(&self, ino: Ino) -> Option<OsString> {
        let mut entries = self.now.0.values().flatten();
        entries.find_map(|(name, &other)| (other == ino).then(|| name.clone()))
    }

    /// One operation, not durably.
    pub fn change(&mut self, edits: Vec<Edit>) {
        self.now.apply(&edits);
        self.pending.push(edits);
    }

    pub fn unsynced(&self) -> usize {
        self.pending.len()
    }

    /// fsync of a directory: its operations are durable, and with an operation that touches another directory as well what came before
    /// there.
    pub fn sync(&mut self, directory: Ino) {
        let mut covered = BTreeSet::from([directory]);
        let mut durable = vec![false; self.pending.len()];
        for (place, edits) in self.pending.iter().enumerate().rev() {
            if edits.iter().any(|(directory, ..)| covered.contains(directory)) {
                covered.extend(edits.iter().map(|(directory, ..)| *directory));
                durable[place] = true;
            }
        }
        for (edits, durable) in std::mem::take(&mut self.pending).into_iter().zip(durable) {
            match durable {
                true => self.durable.apply(&edits),
                false => self.pending.push(edits),
            }
        }
    }

    /// Of what is not synced, each directory's operations survive up to a random one.
    pub fn lose_power(&mut self, rng: &mut Rng) {
        let survives_of_8 = [0, 4, 7, 8][rng.usize(..4)];
        let mut over = BTreeSet::new();
        for edits in std::mem::take(&mut self.pending) {
            let is_over = edits.iter().any(|(directory, ..)| over.contains(directory));
            if is_over || rng.u8(..8) >= survives_of_8 {
                over.extend(edits.iter().map(|(directory, ..)| *directory));
            } else {
                self.durable.apply(&edits);
            }
        }
        self.now = self.durable.clone();
    }

    /// Everything that has a name.
    pub fn reachable(&self) -> BTreeSet<Ino> {
        self.now.reachable()
    }

    /// Everything that may have a name after a loss of power.
    pub fn reachable_after_loss(&self) -> BTreeSet<Ino> {
        let mut found: BTreeSet<Ino> = self.durable.reachable();
        found.extend(self.pending.iter().flatten().filter_map(|(_, _, ino)| *ino));
        // What stands in a directory that may come back may come back with it.
        found.extend(self.durable.0.values().flat_map(BTreeMap::values));
        found
    }
}
