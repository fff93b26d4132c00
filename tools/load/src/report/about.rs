//! What is known about every run, and what the pages of all scenarios have in common.

use serde::Serialize;

use super::page::Page;
use super::table::Table;
use crate::dress::Dress;
use crate::machine::{self, Facts};
use crate::options::Settings;

/// What was run, on what, and how to do it again. Its fields are keys of every report's JSON.
#[derive(Clone, Debug, Serialize)]
pub struct About {
    /// Its name.
    pub scenario: &'static str,
    /// Label of the server's configuration.
    pub durability: String,
    /// How frames travelled: tcp, ws, or ws-json.
    pub over: Dress,
    /// Bytes of each body.
    pub payload_bytes: usize,
    /// Cores of this program.
    pub cpus: Vec<usize>,
    /// What it ran on.
    pub machine: Facts,
    /// How to do it again.
    pub command: Vec<String>,
    /// Version of this program.
    pub version: &'static str,
}

impl About {
    /// This run.
    pub fn new(scenario: &'static str, durability: &str, over: Dress, settings: &Settings) -> About {
        About {
            scenario,
            durability: durability.to_owned(),
            over,
            payload_bytes: settings.payload_bytes,
            cpus: settings.cpus.clone(),
            machine: machine::facts(),
            command: std::env::args().collect(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// A page without tiles, charts and losses.
    pub(super) fn page(&self, subtitle: String, is_clean: bool, server_cpus: &[usize], table: &Table) -> Page {
        let verdict = if is_clean {
            "Every message arrived, once, and in order."
        } else {
            "Not everything came as it should: see the losses below."
        };
        Page {
            title: self.scenario.to_owned(),
            subtitle,
            verdict: (is_clean, verdict.to_owned()),
            rows: table.rows(),
            facts: self.facts(server_cpus),
            command: shell(&self.command),
            footer: format!("campanile-load {}, {}", self.version, jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC")),
            ..Page::default()
        }
    }

    fn facts(&self, server_cpus: &[usize]) -> Vec<(String, String)> {
        let Facts { kernel, cpu, cpus, tcp_congestion_control, memory_bytes, is_virtual, cpu_governor, descriptors, sysctls } =
            &self.machine;
        let list = |cpus: &[usize]| cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        let is_virtual = if *is_virtual { ", virtual" } else { "" };
        let mut facts = vec![
            ("durability".to_owned(), self.durability.clone()),
            ("CPU".to_owned(), format!("{cpu}, {cpus} logical{is_virtual}")),
            ("cores of the server".to_owned(), if server_cpus.is_empty() { "not told".into() } else { list(server_cpus) }),
            ("cores of this program".to_owned(), list(&self.cpus)),
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
