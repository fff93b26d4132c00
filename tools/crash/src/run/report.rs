//! What a run tells: a line for each cycle, a table at the end.

use std::time::{Duration, Instant};

use super::blow::Blow;
use crate::checker::{Counts, Reading, RoomRead};
use crate::options::Options;

/// See the module.
#[derive(Debug)]
pub struct Report {
    seed: u64,
    cycles_wanted: u64,
    began: Instant,
    cycles: u64,
    /// Processes that were killed.
    pub kills: u64,
    /// How often the power went.
    pub power_losses: u64,
    /// Changes of files and directories that had not been synced then.
    pub unsynced: u64,
    /// Faults of the disk that fired, without loss of power.
    pub faults: u64,
    /// From start to listening, the longest.
    recovery_max: Duration,
    read_back: u64,
    /// From the history, at the end.
    pub counts: Counts,
}

impl Report {
    /// Of a run that begins now.
    pub fn new(options: &Options) -> Report {
        Report {
            seed: options.seed,
            cycles_wanted: options.cycles,
            began: Instant::now(),
            cycles: 0,
            kills: 0,
            power_losses: 0,
            unsynced: 0,
            faults: 0,
            recovery_max: Duration::ZERO,
            read_back: 0,
            counts: Counts::default(),
        }
    }

    /// A server listens, this long after it was started.
    pub fn recovered(&mut self, took: Duration) {
        self.recovery_max = self.recovery_max.max(took);
    }

    /// A room was read back.
    pub fn read(&mut self, read: &RoomRead) {
        let of = |reading: &Reading| match reading {
            Reading::View(view) => view.records.len() as u64,
            Reading::Unknown => 0,
        };
        self.read_back += of(&read.whole) + read.others.values().map(of).sum::<u64>();
    }

    /// A cycle is over.
    pub fn cycle(&mut self, cycle: u64, blow: Blow, after: u64, counts: &Counts, violations: usize) {
        self.cycles += 1;
        println!(
            "cycle {}/{}: {} after {after} answers; acked {} of {} messages, {} changes; read back {}; {violations} violations; {} s",
            cycle + 1,
            self.cycles_wanted,
            blow.name(),
            counts.acked,
            counts.sent,
            counts.changes,
            self.read_back,
            self.began.elapsed().as_secs(),
        );
    }

    /// The table.
    pub fn print(&self, held: bool) {
        let Counts { sent, acked, duplicates, changes, receipts, live, refused } = self.counts;
        let verdict = if held { "everything held" } else { "VIOLATED" };
        let rows = [
            ("seed", self.seed.to_string()),
            ("cycles", format!("{} of {}", self.cycles, self.cycles_wanted)),
            ("messages sent / acked", format!("{sent} / {acked} (and {duplicates} acks of repeated ones)")),
            ("records checked", format!("{} read back, {live} live", self.read_back)),
            ("changes, receipts acked", format!("{changes}, {receipts}")),
            ("requests refused", refused.to_string()),
            ("kills", self.kills.to_string()),
            ("power losses", format!("{}, with {} unsynced changes of files and directories", self.power_losses, self.unsynced)),
            ("faults of the disk", self.faults.to_string()),
            ("recovery time (max)", format!("{} ms", self.recovery_max.as_millis())),
            ("run time", format!("{} s", self.began.elapsed().as_secs())),
            ("verdict", verdict.to_owned()),
        ];
        println!();
        for (name, value) in rows {
            println!("{name:<26} {value}");
        }
    }
}
