//! What the writer knows of logs without looking: a bounded cache.

use std::collections::HashMap;

use crate::store::LogPlace;

/// Where a log stands, with what is staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogState {
    /// Seq of the next record. 0: there will be none, the group was disbanded.
    pub(super) next: u64,
    /// See [`crate::store::rows::HeadRow::os_generation`].
    pub(super) os_generation: u64,
}

/// Two generations of entries: when the young one is full it becomes the old one, and the old one is forgotten. What is used becomes young again.
#[derive(Debug, Default)]
pub(super) struct Logs {
    young: HashMap<LogPlace, LogState, ahash::RandomState>,
    old: HashMap<LogPlace, LogState, ahash::RandomState>,
}

impl Logs {
    pub(super) fn get(&mut self, place: LogPlace) -> Option<LogState> {
        if let Some(&state) = self.young.get(&place) {
            return Some(state);
        }
        let state = self.old.remove(&place)?;
        self.young.insert(place, state);
        Some(state)
    }

    pub(super) fn put(&mut self, place: LogPlace, state: LogState) {
        self.young.insert(place, state);
    }

    /// Forgets what was not used lately, so that at most twice `max` are left. Only between batches: what is staged cannot be read from the disk.
    pub(super) fn trim(&mut self, max: usize) {
        if self.young.len() > max {
            self.old = std::mem::take(&mut self.young);
        }
    }

    pub(super) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}
