//! What a look at a data directory has found: numbers per partition, and what is wrong, in words.

use std::fmt::Write;

use crate::slot::PartitionId;

/// So much of each kind is told in full; the rest is counted.
const TOLD_MAX: usize = 200;

/// Rows of a partition by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Tally {
    pub conversations: u64,
    pub records: u64,
    pub members: u64,
    pub receipts: u64,
    pub users: u64,
    pub entries: u64,
    pub cursors: u64,
    pub expiries: u64,
    /// Seqs that have no record any more, between the first and the last record of their logs.
    pub gone: u64,
    /// Of keys and values.
    pub bytes: u64,
    pub damaged: u64,
    pub warnings: u64,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gravity {
    /// Something is lost or wrong.
    Damage,
    /// It does no harm, but should not be.
    Warning,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub partition: PartitionId,
    /// How bad it is.
    pub gravity: Gravity,
    /// The row, and what is wrong with it.
    pub what: String,
}

/// All that was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Per partition.
    pub tallies: Vec<Tally>,
    /// The first of each gravity.
    pub findings: Vec<Finding>,
    /// Said before all else.
    notes: Vec<String>,
}

impl Report {
    /// Of a directory with so many partitions.
    pub fn new(partitions: PartitionId) -> Report {
        Report { tallies: vec![Tally::default(); partitions.into()], ..Report::default() }
    }

    /// Counts and keeps a finding.
    pub fn add(&mut self, partition: PartitionId, gravity: Gravity, what: String) {
        let tally = &mut self.tallies[usize::from(partition)];
        match gravity {
            Gravity::Damage => tally.damaged += 1,
            Gravity::Warning => tally.warnings += 1,
        }
        if self.findings.iter().filter(|finding| finding.gravity == gravity).count() < TOLD_MAX {
            self.findings.push(Finding { partition, gravity, what });
        }
    }

    /// Something about all of it.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Whether nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.tallies.iter().all(|tally| tally.damaged == 0)
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text: String = self.notes.iter().map(|note| format!("{note}\n")).collect();
        text.push_str(&table(&self.tallies));
        for (gravity, name) in [(Gravity::Damage, "damage"), (Gravity::Warning, "warning")] {
            let told: Vec<&Finding> = self.findings.iter().filter(|finding| finding.gravity == gravity).collect();
            for finding in &told {
                let _ = writeln!(text, "{name}: partition {}: {}", finding.partition, finding.what);
            }
            let all: u64 = self.tallies.iter().map(|tally| tally.count(gravity)).sum();
            if all > told.len() as u64 {
                let _ = writeln!(text, "{name}: and {} more", all - told.len() as u64);
            }
        }
        text
    }
}

impl Tally {
    fn count(&self, gravity: Gravity) -> u64 {
        match gravity {
            Gravity::Damage => self.damaged,
            Gravity::Warning => self.warnings,
        }
    }

    fn columns(&self) -> [(&'static str, u64); 12] {
        [
            ("conversations", self.conversations),
            ("records", self.records),
            ("gone", self.gone),
            ("members", self.members),
            ("receipts", self.receipts),
            ("users", self.users),
            ("entries", self.entries),
            ("cursors", self.cursors),
            ("expiries", self.expiries),
            ("bytes", self.bytes),
            ("damaged", self.damaged),
            ("warnings", self.warnings),
        ]
    }
}

fn table(tallies: &[Tally]) -> String {
    let mut text = String::from("partition");
    let names = Tally::default().columns().map(|(name, _)| name);
    let width = |name: &str| name.len().max(12);
    for name in names {
        let _ = write!(text, " {name:>0$}", width(name));
    }
    text.push('\n');
    for (partition, tally) in tallies.iter().enumerate() {
        let _ = write!(text, "{partition:>9}");
        for (name, count) in tally.columns() {
            let _ = write!(text, " {count:>0$}", width(name));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_to_tell_is_counted() {
        let mut report = Report::new(2);
        assert!(report.is_sound());
        report.add(1, Gravity::Warning, "odd".into());
        assert!(report.is_sound());
        (0..TOLD_MAX + 3).for_each(|number| report.add(0, Gravity::Damage, format!("row {number}")));
        assert!(!report.is_sound());
        let text = report.text();
        assert!(text.contains("damage: partition 0: row 0\n") && text.contains("damage: and 3 more\n"), "{text}");
        assert!(text.contains("warning: partition 1: odd\n") && !text.contains("warning: and"), "{text}");
        let widths: Vec<usize> = text.lines().take(3).map(str::len).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
    }
}
