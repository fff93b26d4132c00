//! `campanile doctor`: what this machine lacks, and how many connections it can hold.
//!
//! It checks what the start-up probe checks, and the kernel settings of `tuning/sysctl.d`, from that very file, so the two cannot
//! disagree. What it computes from ([`Machine`]) is apart from how that is read, so every rule here is tested without the machine.

use std::fmt::Write;

use crate::config::{Config, grouped};
use crate::probe::{self, Facts, Finding, Verdict, number_in};

/// The file that `tuning/apply.sh` applies.
const SYSCTLS: &str = include_str!("../tuning/sysctl.d/90-campanile.conf");
/// Memory of an idle connection: the kernel's socket and its armed receive (measured 4.7 KB), and the server's own state.
const BYTES_PER_CONNECTION: u64 = 5 * 1024 + 1024;
/// Of the connections, one in this many has something unread or unsent in the kernel at a time; that takes a page of `tcp_mem`.
const CONNECTIONS_PER_BUSY_PAGE: u64 = 4;

/// What the doctor needs to know of the machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What the start-up probe needs to know.
    pub facts: Facts,
    /// Memory that can be had without swapping, bytes, and no more than the control group allows.
    pub memory_bytes: Option<u64>,
    /// Highest of the three numbers of `net.ipv4.tcp_mem`: pages for all TCP sockets together.
    pub tcp_mem_pages: Option<u64>,
    /// `fs.file-max` less what is in use: files that the whole machine may still open.
    pub files_free: Option<u64>,
}

impl Machine {
    /// Asks the machine.
    #[must_use]
    pub fn gather() -> Self {
        Self {
            facts: Facts::gather(),
            memory_bytes: memory_bytes(),
            tcp_mem_pages: third_number_in("/proc/sys/net/ipv4/tcp_mem"),
            files_free: files_free(),
        }
    }
}

/// `MemAvailable`, or what the control group leaves if that is less.
fn memory_bytes() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let available = line.split_whitespace().next()?.parse::<u64>().ok()? * 1024;
    // A process in a container sees its own group at the root; without a limit there is the word max, which is no number.
    let in_group = number_in("/sys/fs/cgroup/memory.max")
        .map(|max| max.saturating_sub(number_in("/sys/fs/cgroup/memory.current").unwrap_or(0)));
    Some(in_group.map_or(available, |left| left.min(available)))
}

/// The last of three numbers in a file.
fn third_number_in(path: &str) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.split_whitespace().nth(2)?.parse().ok()
}

/// See [`Machine::files_free`].
fn files_free() -> Option<u64> {
    Some(third_number_in("/proc/sys/fs/file-nr")?.saturating_sub(number_in("/proc/sys/fs/file-nr")?))
}

/// A kernel setting of the file in `tuning/`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sysctl<'a> {
    name: &'a str,
    wanted: u64,
    /// Whether a machine may lack it.
    is_optional: bool,
}

/// The lines of a sysctl file that are settings.
fn sysctls(file: &str) -> impl Iterator<Item = Sysctl<'_>> {
    file.lines().filter(|line| !line.trim_start().starts_with(['#', ';'])).filter_map(|line| {
        let (name, wanted) = line.split_once('=')?;
        let (name, is_optional) = match name.trim().strip_prefix('-') {
            Some(name) => (name, true),
            None => (name.trim(), false),
        };
        Some(Sysctl { name, wanted: wanted.trim().parse().ok()?, is_optional })
    })
}

/// Judges one kernel setting: 0 means exactly 0, any other number at least that much.
fn judge_sysctl(sysctl: &Sysctl<'_>, here: Option<u64>) -> Finding {
    let Sysctl { name, wanted, is_optional } = sysctl;
    let good = match here {
        None => *is_optional,
        Some(here) => {
            if *wanted == 0 {
                here == 0
            } else {
                here >= *wanted
            }
        }
    };
    let least = if *wanted == 0 { "" } else { " or more" };
    Finding {
        check: (*name).into(),
        here: here.map_or("not there".into(), grouped),
        wanted: format!("{}{least}", grouped(*wanted)),
        verdict: if good { Verdict::Ok } else { Verdict::Limits },
        cure: format!("tuning/apply.sh --apply, or sysctl -w {name}={wanted}"),
    }
}

/// How many connections something allows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bound {
    connections: u64,
    by: String,
}

/// Everything that bounds the connections, the tightest first.
fn bounds(machine: &Machine, config: &Config) -> Vec<Bound> {
    let nofile = machine.facts.nofile.hard;
    let shards = config.shards;
    let mut bounds = vec![
        Bound { connections: config.limits.connections_max.into(), by: "the setting connections_max".into() },
        Bound {
            connections: probe::connections_for(nofile, shards),
            by: match probe::slots_per_shard(nofile).into() {
                slots if slots < nofile => format!("sockets of a ring: {} for each of {shards} shard(s)", grouped(slots)),
                slots => format!("open files: {} for each of {shards} shard(s)", grouped(slots)),
            },
        },
    ];
    bounds.extend(machine.files_free.map(|free| Bound { connections: free, by: "fs.file-max of the machine".into() }));
    bounds.extend(machine.memory_bytes.map(|bytes| Bound {
        connections: bytes / BYTES_PER_CONNECTION,
        by: format!("memory: {} MiB at {} bytes a connection", grouped(bytes >> 20), grouped(BYTES_PER_CONNECTION)),
    }));
    bounds.extend(machine.tcp_mem_pages.map(|pages| Bound {
        connections: pages.saturating_mul(CONNECTIONS_PER_BUSY_PAGE),
        by: format!("net.ipv4.tcp_mem: {} pages, one for each {CONNECTIONS_PER_BUSY_PAGE} connections", grouped(pages)),
    }));
    bounds.sort_by_key(|bound| bound.connections);
    bounds
}

/// What the doctor says, and whether the server can start.
#[must_use]
pub fn report(machine: &Machine, config: &Config, sysctl_here: impl Fn(&str) -> Option<u64>) -> (String, bool) {
    let mut findings = probe::findings(&machine.facts, config.shards, &config.limits);
    // The probe judges io_uring_disabled better: it knows who may.
    let settings = sysctls(SYSCTLS).filter(|sysctl| sysctl.name != "kernel.io_uring_disabled");
    findings.extend(settings.map(|sysctl| judge_sysctl(&sysctl, sysctl_here(sysctl.name))));
    let mut text = table(&findings);
    let bounds = bounds(machine, config);
    if let Some(tightest) = bounds.first() {
        let _ = writeln!(text, "\nthis machine: about {} connections, limited by {}", grouped(tightest.connections), tightest.by);
    }
    for bound in bounds.iter().skip(1) {
        let _ = writeln!(text, "  then about {}: {}", grouped(bound.connections), bound.by);
    }
    if machine.facts.nofile.soft < machine.facts.nofile.hard {
        let soft = grouped(machine.facts.nofile.soft);
        let _ = writeln!(text, "the soft limit of open files is {soft}; the server raises it to the hard one by itself");
    }
    if machine.facts.seccomp {
        text.push_str("a seccomp filter is in force, as in most containers: if the server cannot make a ring, let it through io_uring_setup\n");
    }
    (text, findings.iter().all(|finding| finding.verdict != Verdict::Missing))
}

/// The findings in columns; the cure only where there is something to cure.
fn table(findings: &[Finding]) -> String {
    let width = |title: &str, column: fn(&Finding) -> &String| {
        findings.iter().map(|finding| column(finding).len()).chain([title.len()]).max().unwrap_or(0)
    };
    let (check, here, wanted) = (width("check", |f| &f.check), width("here", |f| &f.here), width("wanted", |f| &f.wanted));
    let mut text = format!("{:check$}  {:here$}  {:wanted$}  {:7}  {}\n", "check", "here", "wanted", "verdict", "cure");
    for finding in findings {
        let cure = if finding.verdict == Verdict::Ok { "" } else { &finding.cure };
        let line = format!(
            "{:check$}  {:here$}  {:wanted$}  {:7}  {cure}",
            finding.check, finding.here, finding.wanted, finding.verdict
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// Checks this machine: what the doctor says, and whether the server can start.
#[must_use]
pub fn run(config: &Config) -> (String, bool) {
    report(&Machine::gather(), config, |name| number_in(&format!("/proc/sys/{}", name.replace('.', "/"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Base;
    use crate::conversation::Policies;
    use crate::limits::Limits;
    use crate::probe::{Kernel, Limit};

    fn machine() -> Machine {
        let plenty = Limit { soft: 1 << 20, hard: 1 << 20 };
        let kernel = Some(Kernel { major: 6, minor: 6 });
        let facts = Facts {
            kernel,
            io_uring_disabled: None,
            io_uring_privileged: false,
            seccomp: false,
            memlock: plenty,
            nofile: plenty,
        };
        Machine { facts, memory_bytes: Some(64 << 30), tcp_mem_pages: Some(1 << 20), files_free: Some(1 << 40) }
    }

    fn config() -> Config {
        Config::resolve(&Base::default(), &Limits::default(), Policies::default(), &[0, 1]).unwrap()
    }

    /// A machine on which every kernel setting is as the file wants it.
    fn tuned(name: &str) -> Option<u64> {
        sysctls(SYSCTLS).find(|sysctl| sysctl.name == name).map(|sysctl| sysctl.wanted)
    }

    #[test]
    fn every_line_of_the_file_is_a_setting_with_its_reason() {
        let lines = SYSCTLS.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).count();
        assert_eq!(sysctls(SYSCTLS).count(), lines);
        assert!(lines >= 5);
        let mut before = "";
        for line in SYSCTLS.lines() {
            assert!(!line.contains('=') || line.starts_with('#') || before.starts_with('#'), "{line} has no reason");
            before = line;
        }
    }

    #[test]
    fn zero_means_zero_and_more_is_enough() {
        let judge = |wanted, is_optional, here| judge_sysctl(&Sysctl { name: "a.b", wanted, is_optional }, here).verdict;
        assert_eq!(judge(0, false, Some(0)), Verdict::Ok);
        assert_eq!(judge(0, false, Some(1)), Verdict::Limits);
        assert_eq!(judge(5, false, Some(6)), Verdict::Ok);
        assert_eq!(judge(5, false, Some(4)), Verdict::Limits);
        assert_eq!((judge(5, false, None), judge(5, true, None)), (Verdict::Limits, Verdict::Ok));
    }

    #[test]
    fn a_tuned_machine_is_limited_by_the_setting_alone() {
        let (text, can_start) = report(&machine(), &config(), tuned);
        assert!(can_start && !text.contains("limits ") && !text.contains("missing"), "{text}");
        assert!(text.contains("about 1_000_000 connections, limited by the setting connections_max"), "{text}");
    }

    #[test]
    fn the_tightest_bound_is_named_first() {
        let few_files = Limit { soft: 1024, hard: 20_000 };
        let mut machine = machine();
        machine.facts.nofile = few_files;
        let (text, can_start) = report(&machine, &config(), tuned);
        assert!(can_start && text.contains("about 39_872 connections, limited by open files: 20_000 for each of 2"), "{text}");
        machine.memory_bytes = Some(60 << 20);
        assert!(report(&machine, &config(), tuned).0.contains("about 10_240 connections, limited by memory: 60 MiB"));
        machine.tcp_mem_pages = Some(100);
        assert!(report(&machine, &config(), tuned).0.contains("about 400 connections, limited by net.ipv4.tcp_mem"));
    }

    #[test]
    fn what_keeps_the_server_from_starting_fails_and_has_its_cure() {
        let mut machine = machine();
        machine.facts.io_uring_disabled = Some(2);
        let (text, can_start) = report(&machine, &config(), tuned);
        let line = text.lines().find(|line| line.starts_with("io_uring")).unwrap();
        assert!(!can_start && line.contains("missing") && line.ends_with("sysctl kernel.io_uring_disabled=0"), "{text}");
    }
}
