//! Whether this machine can run the server, asked before anything listens.
//!
//! [`Facts`] are what the machine says; [`findings`] judges them and touches nothing, so it is tested without the machine. The server
//! refuses to start on a [`Verdict::Missing`]; `campanile doctor` shows all of them.

use std::fmt;
use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::config::grouped;
use crate::limits::Limits;
use crate::ring::SLOTS_MAX;

/// Oldest kernel whose io_uring has what the shards use (DEFER_TASKRUN).
const KERNEL_MIN: Kernel = Kernel { major: 6, minor: 1 };
/// Oldest kernel that tells the peer's address of a socket that lives in a ring only.
const KERNEL_PEER_ADDRESS: Kernel = Kernel { major: 6, minor: 8 };
/// The executors refuse to start below this. Bytes.
const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;
/// Descriptors that a shard leaves free of its table's bound, and that the rest of the process may need.
const DESCRIPTORS_RESERVED: u64 = 64;
/// Descriptors of the process itself: standard streams, listeners, control thread; and of each shard: rings, eventfds, listeners.
const DESCRIPTORS_OF_PROCESS: u64 = 16;
const DESCRIPTORS_OF_SHARD: u64 = 13;

/// A kernel's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kernel {
    /// 6 of 6.1.
    pub major: u32,
    /// 1 of 6.1.
    pub minor: u32,
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Soft and hard value of a resource limit. `u64::MAX`: unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What is in force.
    pub soft: u64,
    /// What a process may raise it to by itself.
    pub hard: u64,
}

/// What the machine says of itself. `None`: it does not say.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its kernel.
    pub kernel: Option<Kernel>,
    /// `kernel.io_uring_disabled`: 0 for all, 1 for some, 2 for none. Older kernels do not have it and forbid nothing.
    pub io_uring_disabled: Option<u64>,
    /// Whether this process may use io_uring where only some may: it is root's, or in the group of `kernel.io_uring_group`.
    pub io_uring_privileged: bool,
    /// Whether a seccomp filter watches this process (most containers): it may forbid io_uring, which only trying can tell.
    pub seccomp: bool,
    /// RLIMIT_MEMLOCK, bytes.
    pub memlock: Limit,
    /// RLIMIT_NOFILE, descriptors.
    pub nofile: Limit,
}

impl Facts {
    /// Asks the machine. Reads files and limits, changes nothing.
    #[must_use]
    pub fn gather() -> Self {
        Self {
            kernel: kernel_of(&rustix::system::uname().release().to_string_lossy()),
            io_uring_disabled: number_in("/proc/sys/kernel/io_uring_disabled"),
            io_uring_privileged: io_uring_privileged(),
            seccomp: fs::read_to_string("/proc/self/status").is_ok_and(|status| status.contains("\nSeccomp:\t2\n")),
            memlock: limit(Resource::Memlock),
            nofile: limit(Resource::Nofile),
        }
    }
}

/// The two numbers that a release like `6.18.44-generic` begins with.
fn kernel_of(release: &str) -> Option<Kernel> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some(Kernel { major: numbers.next()?.parse().ok()?, minor: numbers.next()?.parse().ok()? })
}

/// The first number in a file under /proc or /sys.
pub(crate) fn number_in(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.split_whitespace().next()?.parse().ok()
}

/// See [`Facts::io_uring_privileged`].
fn io_uring_privileged() -> bool {
    let Some(group) = fs::read_to_string("/proc/sys/kernel/io_uring_group").ok().and_then(|text| text.trim().parse::<i64>().ok())
    else {
        return rustix::process::geteuid().is_root();
    };
    let mut groups = rustix::process::getgroups().unwrap_or_default();
    groups.push(rustix::process::getegid());
    rustix::process::geteuid().is_root() || groups.iter().any(|of_process| i64::from(of_process.as_raw()) == group)
}

/// A resource limit of this process.
fn limit(resource: Resource) -> Limit {
    let limit = getrlimit(resource);
    Limit { soft: limit.current.unwrap_or(u64::MAX), hard: limit.maximum.unwrap_or(u64::MAX) }
}

/// Raises a soft limit to its hard one; where that fails, what is in force is judged.
fn raise(resource: Resource) {
    let limit = getrlimit(resource);
    if limit.current != limit.maximum {
        let _ = setrlimit(resource, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As wanted.
    Ok,
    /// The server runs, but not as far or as fast as it could.
    Limits,
    /// The server cannot start.
    Missing,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Limits => "limits",
            Self::Missing => "missing",
        })
    }
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub check: String,
    /// What it is here.
    pub here: String,
    /// What it should be, and why where that is not plain.
    pub wanted: String,
    /// How grave it is.
    pub verdict: Verdict,
    /// What to do, if it is not ok.
    pub cure: String,
}

/// Judges the facts for a server of so many shards.
#[must_use]
pub fn findings(facts: &Facts, shards: usize, limits: &Limits) -> Vec<Finding> {
    vec![kernel(facts, limits), io_uring(facts), memlock(facts), nofile(facts, shards, limits)]
}

fn kernel(facts: &Facts, limits: &Limits) -> Finding {
    let counts_addresses = limits.connect_rate_per_address > 0;
    let least = if counts_addresses { KERNEL_PEER_ADDRESS } else { KERNEL_MIN };
    let new_enough = facts.kernel.is_some_and(|kernel| kernel >= least);
    let why =
        if counts_addresses { "connect_rate_per_address needs the peers' addresses" } else { "io_uring with deferred task work" };
    let turn_off = if counts_addresses { ", or set connect_rate_per_address = 0" } else { "" };
    Finding {
        check: "kernel".into(),
        here: facts.kernel.map_or("unknown".into(), |kernel| kernel.to_string()),
        wanted: format!("{least} or newer ({why})"),
        verdict: if new_enough { Verdict::Ok } else { Verdict::Missing },
        cure: format!("install a kernel {least} or newer{turn_off}"),
    }
}

fn io_uring(facts: &Facts) -> Finding {
    let (here, verdict, cure) = match facts.io_uring_disabled.unwrap_or(0) {
        0 if facts.seccomp => ("on, but this process is under a seccomp filter", Verdict::Ok, ""),
        0 => ("on", Verdict::Ok, ""),
        1 if facts.io_uring_privileged => ("for some, and for this user", Verdict::Ok, ""),
        1 => (
            "for some, but not for this user",
            Verdict::Missing,
            "sysctl kernel.io_uring_disabled=0, or put this user into the group of kernel.io_uring_group",
        ),
        _ => ("off", Verdict::Missing, "sysctl kernel.io_uring_disabled=0"),
    };
    Finding { check: "io_uring".into(), here: here.into(), wanted: "on".into(), verdict, cure: cure.into() }
}

fn memlock(facts: &Facts) -> Finding {
    // The start-up probe raises soft to hard.
    let enough = facts.memlock.hard >= MEMLOCK_BYTES_MIN;
    Finding {
        check: "locked memory".into(),
        here: kib(facts.memlock.hard),
        wanted: format!("{} or more (glommio's rings)", kib(MEMLOCK_BYTES_MIN)),
        verdict: if enough { Verdict::Ok } else { Verdict::Missing },
        cure: "ulimit -l 65536, LimitMEMLOCK=64M in the systemd unit, or docker run --ulimit memlock=67108864".into(),
    }
}

fn nofile(facts: &Facts, shards: usize, limits: &Limits) -> Finding {
    let hard = facts.nofile.hard;
    let connections = connections_for(hard, shards);
    let wanted = u64::from(limits.connections_max);
    let enough_to_start = hard >= descriptors_of_server(shards);
    let verdict = match enough_to_start {
        false => Verdict::Missing,
        true if connections < wanted => Verdict::Limits,
        true => Verdict::Ok,
    };
    let each = wanted.div_ceil(shards as u64) + DESCRIPTORS_RESERVED;
    let (least, goal) = if enough_to_start {
        (each, format!("{} for {} connections on {shards} shard(s)", grouped(each), grouped(wanted)))
    } else {
        let least = descriptors_of_server(shards);
        (least, format!("{least} or more to start {shards} shard(s), and {} for all connections", grouped(each)))
    };
    Finding {
        check: "open files".into(),
        here: if hard == u64::MAX { "unlimited".into() } else { grouped(hard) },
        wanted: goal,
        verdict,
        cure: format!("ulimit -Hn {least}, LimitNOFILE={least} in the systemd unit, or docker run --ulimit nofile={least}"),
    }
}

/// Bytes as KiB, for people.
fn kib(bytes: u64) -> String {
    if bytes == u64::MAX { "unlimited".into() } else { format!("{} KiB", grouped(bytes / 1024)) }
}

/// Descriptors that the server needs before the first connection.
fn descriptors_of_server(shards: usize) -> u64 {
    DESCRIPTORS_OF_PROCESS + DESCRIPTORS_OF_SHARD * shards as u64
}

/// Sockets that one shard can hold with this RLIMIT_NOFILE: the kernel bounds a ring's table of direct descriptors by it, and by [`SLOTS_MAX`].
#[must_use]
pub fn slots_per_shard(nofile: u64) -> u32 {
    u32::try_from(nofile).map_or(SLOTS_MAX, |nofile| nofile.min(SLOTS_MAX))
}

/// Connections that one shard can hold with this RLIMIT_NOFILE. Some of its sockets are left free, so that the last connection is refused by us and not
/// by a full table; with a tiny limit half of them.
#[must_use]
pub fn connections_per_shard(nofile: u64) -> u64 {
    let slots = u64::from(slots_per_shard(nofile));
    slots.saturating_sub(DESCRIPTORS_RESERVED).max(slots / 2)
}

/// Connections that all shards can hold.
#[must_use]
pub fn connections_for(nofile: u64, shards: usize) -> u64 {
    connections_per_shard(nofile).saturating_mul(shards as u64)
}

/// What the probe found that the server goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probed {
    /// The kernel, for features that are newer than the oldest one.
    pub kernel: Kernel,
    /// RLIMIT_NOFILE in force after raising it.
    pub nofile: u64,
    /// Connections in all: the limit that was set, or what the descriptors allow if that is less.
    pub connections_max: u32,
}

/// What this machine lacks. Shown as `cause; cure`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeError(Finding);

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { check, here, wanted, cure, .. } = &self.0;
        write!(f, "this machine cannot run the server: {check} is {here}, and must be {wanted}; {cure}")
    }
}

impl std::error::Error for ProbeError {}

/// Raises this process's limits as far as it may, and checks that the server can run; says in one line what will limit it.
///
/// # Errors
/// The first thing that is missing.
pub fn run(config: &Config) -> Result<Probed, ProbeError> {
    raise(Resource::Nofile);
    raise(Resource::Memlock);
    let mut facts = Facts::gather();
    // What could not be raised is not to be had.
    facts.nofile.hard = facts.nofile.soft;
    facts.memlock.hard = facts.memlock.soft;
    let findings = findings(&facts, config.shards, &config.limits);
    if let Some(missing) = findings.into_iter().find(|finding| finding.verdict == Verdict::Missing) {
        return Err(ProbeError(missing));
    }
    let probed = Probed {
        kernel: facts.kernel.unwrap_or(KERNEL_MIN),
        nofile: facts.nofile.soft,
        connections_max: u32::try_from(connections_for(facts.nofile.soft, config.shards))
            .map_or(config.limits.connections_max, |possible| possible.min(config.limits.connections_max)),
    };
    say(&probed, config);
    Ok(probed)
}

/// One line for the log.
fn say(probed: &Probed, config: &Config) {
    let Probed { kernel, nofile, connections_max } = probed;
    if *connections_max < config.limits.connections_max {
        tracing::warn!(%kernel, nofile, "at most {connections_max} connections: limited by open files; see campanile doctor");
    } else {
        tracing::info!(%kernel, nofile, "at most {connections_max} connections: limited by connections_max");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let plenty = Limit { soft: 1 << 20, hard: 1 << 20 };
        let kernel = Some(Kernel { major: 6, minor: 6 });
        Facts { kernel, io_uring_disabled: Some(0), io_uring_privileged: false, seccomp: false, memlock: plenty, nofile: plenty }
    }

    /// Check and verdict of what is not ok, with two shards.
    fn complaints(facts: &Facts, limits: &Limits) -> Vec<(String, Verdict)> {
        let findings = findings(facts, 2, limits).into_iter().filter(|finding| finding.verdict != Verdict::Ok);
        findings.map(|finding| (finding.check, finding.verdict)).collect()
    }

    fn complaint(facts: &Facts) -> Vec<(String, Verdict)> {
        complaints(facts, &Limits::default())
    }

    #[test]
    fn a_good_machine_gets_no_complaint() {
        assert_eq!(complaint(&facts()), []);
    }

    #[test]
    fn an_old_or_unknown_kernel_is_missing() {
        for kernel in [Some(Kernel { major: 6, minor: 0 }), Some(Kernel { major: 5, minor: 19 }), None] {
            assert_eq!(complaint(&Facts { kernel, ..facts() }), [("kernel".into(), Verdict::Missing)]);
        }
        let kernel = Some(Kernel { major: 6, minor: 1 });
        assert_eq!(complaint(&Facts { kernel, ..facts() }), []);
        assert_eq!(complaint(&Facts { kernel: Some(Kernel { major: 10, minor: 0 }), ..facts() }), []);
    }

    #[test]
    fn the_connect_rate_needs_a_newer_kernel() {
        let limits = Limits { connect_rate_per_address: 5, ..Limits::default() };
        assert_eq!(complaints(&Facts { kernel: Some(Kernel { major: 6, minor: 7 }), ..facts() }, &limits).len(), 1);
        assert_eq!(complaints(&Facts { kernel: Some(Kernel { major: 6, minor: 8 }), ..facts() }, &limits), []);
    }

    #[test]
    fn io_uring_may_be_off_for_all_or_for_some() {
        assert_eq!(complaint(&Facts { io_uring_disabled: None, ..facts() }), []);
        assert_eq!(complaint(&Facts { io_uring_disabled: Some(1), ..facts() }).len(), 1);
        assert_eq!(complaint(&Facts { io_uring_disabled: Some(1), io_uring_privileged: true, ..facts() }), []);
        assert_eq!(complaint(&Facts { io_uring_disabled: Some(2), io_uring_privileged: true, ..facts() }).len(), 1);
    }

    #[test]
    fn few_descriptors_limit_and_very_few_are_missing() {
        let with = |hard| Facts { nofile: Limit { soft: hard, hard }, ..facts() };
        assert_eq!(complaint(&with(20_000)), [("open files".into(), Verdict::Limits)]);
        assert_eq!(complaint(&with(64)), [("open files".into(), Verdict::Limits)]);
        assert_eq!(complaint(&with(41)), [("open files".into(), Verdict::Missing)]);
    }

    #[test]
    fn little_lockable_memory_is_missing() {
        let memlock = Limit { soft: 0, hard: 64 * 1024 };
        let error = ProbeError(memlock_finding(&Facts { memlock, ..facts() })).to_string();
        assert!(
            error.contains("locked memory is 64 KiB") && error.contains("512 KiB") && error.contains("; ulimit -l"),
            "{error}"
        );
    }

    fn memlock_finding(facts: &Facts) -> Finding {
        findings(facts, 2, &Limits::default()).into_iter().find(|finding| finding.verdict == Verdict::Missing).unwrap()
    }

    #[test]
    fn connections_leave_some_descriptors_free() {
        assert_eq!(connections_for(20_000, 2), 2 * 19_936);
        assert_eq!(connections_per_shard(64), 32);
        assert_eq!(connections_for(u64::MAX, 4), 4 * (1_048_576 - 64));
    }

    #[test]
    fn a_release_begins_with_two_numbers() {
        assert_eq!(kernel_of("6.18.44-generic"), Some(Kernel { major: 6, minor: 18 }));
        assert_eq!(kernel_of("6.1-rc3"), Some(Kernel { major: 6, minor: 1 }));
        assert_eq!(kernel_of("linux"), None);
    }
}
