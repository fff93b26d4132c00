//! `campanile fsck`: is a data directory sound?
//!
//! A partition is sound when its journals have lost nothing that was synced (as each start checks), every row can be read and makes sense, and
//! what rows say of each other agrees:
//!
//! | file | what is checked |
//! |---|---|
//! | [`walk`] | every row stands where its name belongs; heads have logs, and logs heads; members are those that the log has made; receipts are not ahead |
//! | [`log`] | time does not go back; what is missing may have expired |
//! | [`lists`] | a user's row counts his entries; cursors have entries |
//! | [`hints`] | members, and both users of a direct conversation, have it in their lists |
//!
//! With `--cut` ([`cut`], [`salvage`]) what is lost is given up.

mod cut;
mod findings;
mod hints;
mod lists;
pub(super) mod log;
pub(super) mod members;
mod salvage;
mod walk;

use std::path::Path;

use super::report::Report;
use super::{Directory, Progress};
use crate::clock::Clock;
use crate::store::disk::{Manifest, OpenError};
use crate::store::rows::HeadRow;
use findings::{Findings, Fixes};
use hints::Elsewhere;
use walk::Walk;

/// What the check goes by.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// In ms since 1970.
    pub now_ms: u64,
    /// What expired stays at least so long.
    pub grace_ms: u64,
    /// The present run of the machine: see [`HeadRow::os_generation`].
    pub os_generation: u64,
}

impl Rules {
    /// For this directory, now.
    fn of(manifest: &Manifest, grace_ms: u64) -> Rules {
        Rules { now_ms: Clock::start().now().wall_ms, grace_ms, os_generation: manifest.os_generation() }
    }

    /// The epoch that a log has when it is loaded; 0: a new one.
    fn epoch_of(&self, head: &HeadRow) -> u64 {
        let may_have_lost = head.os_generation != 0 && head.os_generation != self.os_generation;
        if may_have_lost { 0 } else { head.epoch }
    }
}

/// What a look at a directory has found.
#[derive(Debug)]
pub struct Looked {
    /// All that was found; after a repair, what is left.
    pub report: Report,
    /// What was done about it.
    pub done: Vec<String>,
}

impl Looked {
    fn new(directory: &Directory, mut report: Report, done: Vec<String>) -> Result<Looked, OpenError> {
        report.note(format!(
            "{}: {} partitions, {} repairs so far",
            directory.manifest.dir().display(),
            directory.manifest.partitions(),
            directory.manifest.repairs()
        ));
        Ok(Looked { report, done })
    }
}

/// Looks at a directory, and with `cut` gives up what is lost. What expired stays for `grace_ms` at least.
///
/// # Errors
/// It cannot be looked at: there is none, a server has it, the disk does not let us.
pub fn run(dir: &Path, cut: bool, grace_ms: u64, progress: &mut Progress) -> Result<Looked, OpenError> {
    if cut {
        return cut::run(dir, &|manifest| Rules::of(manifest, grace_ms), progress);
    }
    let mut directory = Directory::open(dir)?;
    if let Some(part) = directory.parts.iter().position(|part| is_no_damage(&part.database)) {
        return Err(directory.parts.swap_remove(part).database.err().expect("it is an error"));
    }
    let found = check(&directory, Rules::of(&directory.manifest, grace_ms), progress);
    Looked::new(&directory, found.report, Vec::new())
}

/// Whether a partition does not open for a reason that says nothing of its data.
fn is_no_damage<T>(opened: &Result<T, OpenError>) -> bool {
    matches!(opened, Err(OpenError::File { .. } | OpenError::Thread(_) | OpenError::WritableByOthers { .. }))
}

/// Checks all partitions that are open, and says why the others are not.
fn check(directory: &Directory, rules: Rules, progress: &mut Progress) -> Findings {
    let views = directory.views();
    let elsewhere = Elsewhere { slots: &directory.slots, views: &views };
    let mut found = Findings::new(directory.manifest.partitions());
    for (part, view) in directory.parts.iter().zip(&views) {
        if part.torn_bytes > 0 {
            found.warn(
                part.id,
                "its journal",
                format_args!("{} bytes of an end that nobody was told of were cut", part.torn_bytes),
            );
        }
        match (&part.database, view) {
            (Err(error), _) => found.damage(part.id, "it does not open", error),
            (Ok(_), Some(view)) => Walk::new(part.id, &elsewhere, rules, &mut found).run(view, progress),
            (Ok(_), None) => found.damage(part.id, "it does not open", "the database is closed"),
        }
    }
    found
}

impl Fixes {
    /// Whether nothing can be done.
    fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.hints.is_empty() && self.lossy.is_empty() && self.unreadable.is_empty()
    }
}
