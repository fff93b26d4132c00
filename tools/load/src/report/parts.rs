//! What the pages of all scenarios have in common.

use super::page::{Loss, Page};
use super::table::Table;
use crate::machine::Facts;

/// What is known about every run.
pub(super) struct Run<'a> {
    pub(super) scenario: &'a str,
    pub(super) subtitle: String,
    pub(super) is_clean: bool,
    pub(super) durability: &'a str,
    pub(super) cpus: &'a [usize],
    pub(super) server_cpus: &'a [usize],
    pub(super) machine: &'a Facts,
    pub(super) command: &'a [String],
    pub(super) version: &'a str,
    pub(super) table: Table,
}

impl Run<'_> {
    /// A page without tiles, charts and losses.
    pub(super) fn page(self) -> Page {
        let verdict = if self.is_clean {
            "Every message arrived, once, and in order."
        } else {
            "Not everything came as it should: see the losses below."
        };
        Page {
            title: self.scenario.to_owned(),
            subtitle: self.subtitle.clone(),
            verdict: (self.is_clean, verdict.to_owned()),
            rows: self.table.rows(),
            facts: self.facts(),
            command: shell(self.command),
            footer: format!("campanile-load {}, {}", self.version, jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC")),
            ..Page::default()
        }
    }

    fn facts(&self) -> Vec<(String, String)> {
        let Facts { kernel, cpu, cpus, tcp_congestion_control, memory_bytes, is_virtual, cpu_governor, descriptors, sysctls } =
            self.machine;
        let list = |cpus: &[usize]| cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        let is_virtual = if *is_virtual { ", virtual" } else { "" };
        let mut facts = vec![
            ("durability".to_owned(), self.durability.to_owned()),
            ("CPU".to_owned(), format!("{cpu}, {cpus} logical{is_virtual}")),
            (
                "cores of the server".to_owned(),
                if self.server_cpus.is_empty() { "not told".into() } else { list(self.server_cpus) },
            ),
            ("cores of this program".to_owned(), list(self.cpus)),
            ("memory".to_owned(), format!("{:.1} GiB", *memory_bytes as f64 / f64::from(1 << 30))),
            ("kernel".to_owned(), format!("Linux {kernel}")),
            ("congestion control".to_owned(), tcp_congestion_control.clone()),
            ("descriptors of a process".to_owned(), descriptors.to_string()),
        ];
        if !cpu_governor.is_empty() {
            facts.push(("clock of the CPUs".to_owned(), cpu_governor.clone()));
        }
        facts.extend(sysctls.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        facts
    }
}

/// A fault, when it occurs.
pub(super) fn fault(name: &str, count: u64, meaning: &'static str) -> Loss {
    Loss { name: name.to_owned(), count, is_fault: true, meaning }
}

/// Something that is worth knowing, if there was any.
pub(super) fn note(name: &str, count: u64, meaning: &'static str) -> Option<Loss> {
    (count > 0).then(|| Loss { name: name.to_owned(), count, is_fault: false, meaning })
}

/// As it is typed.
fn shell(command: &[String]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    let quoted = |word: &String| {
        if !word.is_empty() && word.chars().all(is_plain) { word.clone() } else { format!("'{}'", word.replace('\'', "'\\''")) }
    };
    command.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_typed_again() {
        let command = ["load", "--durability", "not told", "it's", ""].map(str::to_owned);
        assert_eq!(shell(&command), "load --durability 'not told' 'it'\\''s' ''");
    }
}
