//! What a check has found, with what would put it right.

use std::collections::BTreeSet;
use std::fmt::Display;

use crate::conversation::{Key, Name};
use crate::offline::report::{Gravity, Report};
use crate::slot::PartitionId;
use crate::store::engine::Change;

/// Changes that are remembered; what is beyond them is found again by the next check.
const CHANGES_MAX: usize = 500_000;

/// The report, and the repairs.
#[derive(Debug)]
pub struct Findings {
    /// For people.
    pub report: Report,
    /// For `--cut`.
    pub fixes: Fixes,
}

/// What would make the directory sound again, given that what is lost is lost.
#[derive(Debug, Default)]
pub struct Fixes {
    /// Rows to be put or removed.
    pub changes: Vec<(PartitionId, Change)>,
    /// Conversations that are missing in the lists of users.
    pub hints: Vec<(Name, Key)>,
    /// Partitions whose logs may have lost something that they had shown.
    pub lossy: BTreeSet<PartitionId>,
    /// Partitions of which a part cannot be read.
    pub unreadable: BTreeSet<PartitionId>,
}

impl Findings {
    /// Nothing has been found in so many partitions.
    pub fn new(partitions: PartitionId) -> Findings {
        Findings { report: Report::new(partitions), fixes: Fixes::default() }
    }

    /// Something is lost or wrong.
    pub fn damage(&mut self, partition: PartitionId, place: impl Display, what: impl Display) {
        self.report.add(partition, Gravity::Damage, format!("{place}: {what}"));
    }

    /// Something should not be, and does no harm.
    pub fn warn(&mut self, partition: PartitionId, place: impl Display, what: impl Display) {
        self.report.add(partition, Gravity::Warning, format!("{place}: {what}"));
    }

    /// This row would be right; without a value: it would better not be there.
    pub fn fix(&mut self, partition: PartitionId, key: impl Into<Vec<u8>>, value: Option<Vec<u8>>) {
        if self.fixes.changes.len() < CHANGES_MAX {
            self.fixes.changes.push((partition, Change { key: key.into(), value }));
        }
    }

    /// This user's list should have this conversation.
    pub fn fix_hint(&mut self, user: &str, key: &Key) {
        if self.fixes.hints.len() < CHANGES_MAX {
            self.fixes.hints.push((user.into(), key.clone()));
        }
    }

    /// Logs of this partition have lost records.
    pub fn lossy(&mut self, partition: PartitionId) {
        self.fixes.lossy.insert(partition);
    }
}
