//! What `/proc` and the limits of this process tell: CPU time, memory, descriptors, facts about the machine.

use std::collections::BTreeMap;
use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::Failure;

/// CPU time in ticks of the kernel's clock, and how many of them make a second.
fn ticks_per_s() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// Seconds that these cores were busy up to `now_s`, counted from some moment before: what is left of the time when idle, iowait and
/// steal (what another machine on the same hardware did) of `/proc/stat` are taken off.
///
/// The sum of user, system, irq and softirq would be the same where the kernel measures them; where it only looks at each tick what runs
/// just then (TICK_CPU_ACCOUNTING), a load in step with the tick seems to cost nothing, while idle time is measured all the same.
///
/// # Errors
/// There is no such core.
pub fn busy_s(cpus: &[usize], now_s: f64) -> Result<f64, Failure> {
    let stat = fs::read_to_string("/proc/stat").map_err(|e| Failure::Proc(format!("/proc/stat: {e}")))?;
    let ticks: Option<u64> = cpus.iter().map(|cpu| other_ticks(&stat, *cpu)).sum();
    ticks
        .map(|other| cpus.len() as f64 * now_s - other as f64 / ticks_per_s())
        .ok_or_else(|| Failure::Proc(format!("/proc/stat does not know all of the cores {cpus:?}")))
}

/// Idle, iowait and steal.
fn other_ticks(stat: &str, cpu: usize) -> Option<u64> {
    let name = format!("cpu{cpu}");
    let line = stat.lines().find(|line| line.split_ascii_whitespace().next() == Some(name.as_str()))?;
    let fields: Vec<u64> = line.split_ascii_whitespace().skip(1).map_while(|f| f.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal guest guest_nice
    (fields.len() >= 8).then(|| fields[3] + fields[4] + fields[7])
}

/// CPU seconds of all threads of a process, ended ones included.
///
/// # Errors
/// There is no such process.
pub fn process_s(pid: u32) -> Result<f64, Failure> {
    let stat = read_of(pid, "stat")?;
    process_ticks(&stat)
        .map(|t| t as f64 / ticks_per_s())
        .ok_or_else(|| Failure::Proc(format!("/proc/{pid}/stat is not understood")))
}

fn process_ticks(stat: &str) -> Option<u64> {
    // The name may hold blanks and brackets; what follows its last bracket is field 3, and utime and stime are 14 and 15.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Resident memory of a process, in bytes.
///
/// # Errors
/// There is no such process.
pub fn rss_bytes(pid: u32) -> Result<u64, Failure> {
    let status = read_of(pid, "status")?;
    kib_of(&status, "VmRSS:")
        .map(|kib| kib * 1024)
        .ok_or_else(|| Failure::Proc(format!("process {pid} has no memory: it has ended")))
}

fn read_of(pid: u32, file: &str) -> Result<String, Failure> {
    fs::read_to_string(format!("/proc/{pid}/{file}"))
        .map_err(|e| Failure::Proc(format!("/proc/{pid}/{file}: {e}; is --server-pid right?")))
}

fn kib_of(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key))?.split_ascii_whitespace().next()?.parse().ok()
}

/// What the calling thread did since it began.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadTimes {
    /// It ran, in ns.
    pub ran_ns: u64,
    /// It could have run but waited for its processor, in ns; 0 where the kernel does not count it (CONFIG_SCHED_INFO).
    pub waited_ns: u64,
}

/// Reads them.
pub fn thread_times() -> ThreadTimes {
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    ThreadTimes { ran_ns: cpu.tv_sec as u64 * 1_000_000_000 + cpu.tv_nsec as u64, waited_ns: waited_ns(&schedstat).unwrap_or(0) }
}

/// The second of `ran waited timeslices`.
fn waited_ns(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// What this was measured on.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Facts {
    /// Kernel release.
    pub kernel: String,
    /// Model name of the first CPU.
    pub cpu: String,
    /// CPUs that are there.
    pub cpus: usize,
    /// Congestion control of TCP: one that paces (bbr) costs a server a timer per send.
    pub tcp_congestion_control: String,
    /// Memory in all.
    pub memory_bytes: u64,
    /// A virtual machine: its neighbours are in the figures too.
    pub is_virtual: bool,
    /// How the first CPU's clock is governed; empty where nobody can say.
    pub cpu_governor: String,
    /// Descriptors that this process may have.
    pub descriptors: u64,
    /// Settings of the kernel that matter here.
    pub sysctls: BTreeMap<&'static str, String>,
}

/// Those that [`Facts::sysctls`] has; `campanile doctor` and `tuning/` say what they do.
const SYSCTLS: [&str; 9] = [
    "fs.nr_open",
    "kernel.io_uring_disabled",
    "net.core.default_qdisc",
    "net.core.somaxconn",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_mem",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

/// Reads the facts; what is not to be had stays empty.
pub fn facts() -> Facts {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
    Facts {
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        cpu: model.map(|(_, name)| name.trim().to_owned()).unwrap_or_default(),
        cpus: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
        tcp_congestion_control: read("/proc/sys/net/ipv4/tcp_congestion_control").trim().to_owned(),
        is_virtual: cpuinfo.lines().any(|line| line.starts_with("flags") && line.contains(" hypervisor")),
        cpu_governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").trim().to_owned(),
        descriptors: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
        sysctls: SYSCTLS.into_iter().filter_map(|name| Some((name, sysctl(name)?))).collect(),
        memory_bytes: kib_of(&read("/proc/meminfo"), "MemTotal:").unwrap_or(0) * 1024,
    }
}

fn sysctl(name: &str) -> Option<String> {
    let value = fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).ok()?;
    Some(value.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
}

/// Raises RLIMIT_NOFILE to the hard limit and gives that; `u64::MAX` if there is none.
pub fn raise_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // Refused only where the limit cannot be raised; what is there then is what counts.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Pins the calling thread.
///
/// # Errors
/// This machine, or this process, has no such CPU.
pub fn pin(cpu: usize) -> Result<(), Failure> {
    if core_affinity::set_for_current(core_affinity::CoreId { id: cpu }) {
        Ok(())
    } else {
        Err(Failure::Option(format!("cannot pin a thread to CPU {cpu}: this process may not use it, or there is none")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_iowait_and_steal_are_not_busy() {
        let stat = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 2 4 100 200 8 16 400 1 0\ncpu10 5 5 5 5 5 5 5 5 5 5\nintr 1\n";
        assert_eq!(other_ticks(stat, 0), Some(700));
        assert_eq!(other_ticks(stat, 1), None);
        assert_eq!(other_ticks(stat, 10), Some(15));
    }

    #[test]
    fn busy_time_grows_no_faster_than_time() {
        let cpu = core_affinity::get_core_ids().expect("there are cores")[0].id;
        let grown = busy_s(&[cpu], 100.0).unwrap() - busy_s(&[cpu], 99.9).unwrap();
        assert!(grown <= 0.1001, "{grown}");
        assert!(busy_s(&[4095], 0.0).is_err());
    }

    #[test]
    fn a_process_name_may_hold_anything() {
        let stat = "42 (a) b) c) S 1 2 3 4 5 6 7 8 9 10 1000 234 0 0 20 0";
        assert_eq!(process_ticks(stat), Some(1234));
    }

    #[test]
    fn a_thread_knows_how_long_it_ran() {
        let before = thread_times();
        while thread_times().ran_ns < before.ran_ns + 1_000_000 {}
        assert_eq!((waited_ns("12 345 6\n"), waited_ns("12")), (Some(345), None));
    }

    #[test]
    fn this_process_has_memory_and_the_machine_has_facts() {
        assert!(rss_bytes(std::process::id()).is_ok_and(|b| b > 100_000));
        assert!(process_s(std::process::id()).is_ok());
        let facts = facts();
        assert!(!facts.kernel.is_empty() && facts.sysctls.contains_key("net.core.somaxconn") && facts.descriptors > 0);
        assert_eq!(kib_of("A: 1 kB\nVmRSS:\t  77 kB\n", "VmRSS:"), Some(77));
    }
}
