//! Memory that belongs to no process: what the kernel itself uses, from `/proc`.

use std::fs;
use std::ops::Sub;

use serde::Serialize;

use crate::error::Failure;

/// What the kernel of this machine uses, or how much more than before. All in bytes, and of all that goes on here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct KernelMemory {
    /// All that is neither free nor holds pages of processes and files.
    pub all: i64,
    /// Objects of all kinds: sockets, files, buffers of sockets, what io_uring has armed. Part of `all`, as what follows.
    pub slab: i64,
    /// Page tables.
    pub page_tables: i64,
    /// Stacks of threads in the kernel.
    pub stacks: i64,
    /// What each processor has for itself.
    pub per_cpu: i64,
    /// Larger pieces: tables of descriptors, hashes.
    pub vmalloc: i64,
    /// What sockets of TCP hold in buffers, as the kernel accounts for it; it lies in some of the above.
    pub tcp_buffers: i64,
}

impl KernelMemory {
    /// Reads it.
    ///
    /// # Errors
    /// `/proc` is not what it should be.
    pub fn read() -> Result<KernelMemory, Failure> {
        let file = |path: &str| fs::read_to_string(path).map_err(|e| Failure::Proc(format!("{path}: {e}")));
        let page = rustix::param::page_size() as i64;
        // Which not everyone may read.
        let zones = fs::read_to_string("/proc/zoneinfo").unwrap_or_default();
        KernelMemory::parse(&file("/proc/meminfo")?, &file("/proc/net/sockstat")?, &zones, page)
            .ok_or_else(|| Failure::Proc("/proc/meminfo is not understood".to_owned()))
    }

    fn parse(meminfo: &str, sockstat: &str, zones: &str, page: i64) -> Option<KernelMemory> {
        let of = |key: &str| -> Option<i64> {
            let value = meminfo.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
            Some(value.split_ascii_whitespace().next()?.parse::<i64>().ok()? * 1024)
        };
        let of_processes = ["MemFree", "Buffers", "Cached", "SwapCached", "AnonPages"].map(of);
        let of_processes = of_processes.into_iter().sum::<Option<i64>>()? + of("Hugetlb").unwrap_or(0);
        let tcp = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"));
        let tcp_pages = tcp.and_then(|tcp| tcp.split_once(" mem ")?.1.split_ascii_whitespace().next()?.parse::<i64>().ok());
        // Free pages that a processor keeps for its next need, which MemFree leaves out: tens of MiB, and sometimes none.
        let kept = zones.lines().filter_map(|line| line.trim_start().strip_prefix("count:")?.trim().parse::<i64>().ok());
        Some(KernelMemory {
            all: of("MemTotal")? - of_processes - kept.sum::<i64>() * page,
            slab: of("Slab")?,
            page_tables: of("PageTables")?,
            stacks: of("KernelStack")?,
            per_cpu: of("Percpu").unwrap_or(0),
            vmalloc: of("VmallocUsed").unwrap_or(0),
            tcp_buffers: tcp_pages.unwrap_or(0) * page,
        })
    }
}

impl Sub for KernelMemory {
    type Output = KernelMemory;

    fn sub(self, before: KernelMemory) -> KernelMemory {
        KernelMemory {
            all: self.all - before.all,
            slab: self.slab - before.slab,
            page_tables: self.page_tables - before.page_tables,
            stacks: self.stacks - before.stacks,
            per_cpu: self.per_cpu - before.per_cpu,
            vmalloc: self.vmalloc - before.vmalloc,
            tcp_buffers: self.tcp_buffers - before.tcp_buffers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal: 1000 kB\nMemFree:  400 kB\nBuffers: 10 kB\nCached: 90 kB\nSwapCached: 0 kB\nAnonPages: 200 kB\n\
                           Slab: 150 kB\nKernelStack: 16 kB\nPageTables: 24 kB\nVmallocUsed: 8 kB\nPercpu: 2 kB\n";
    const ZONES: &str = "Node 0, zone Normal\n  pages free 9\n  pagesets\n    cpu: 0\n              count:    3\n              high:     9\n    cpu: 1\n              count: 4\n";
    const SOCKSTAT: &str = "sockets: used 9\nTCP: inuse 5 orphan 0 tw 0 alloc 7 mem 3\nUDP: inuse 1 mem 2\n";

    #[test]
    fn what_no_process_has_and_is_not_free_is_the_kernels() {
        let memory = KernelMemory::parse(MEMINFO, SOCKSTAT, ZONES, 4096).unwrap();
        assert_eq!((memory.all, memory.slab, memory.page_tables), (300 * 1024 - 7 * 4096, 150 * 1024, 24 * 1024));
        assert_eq!((memory.stacks, memory.vmalloc, memory.tcp_buffers), (16 * 1024, 8 * 1024, 3 * 4096));
        assert_eq!((memory - memory), KernelMemory::default());
        assert_eq!(KernelMemory::parse("MemTotal: 1 kB\n", SOCKSTAT, ZONES, 4096), None);
    }

    #[test]
    fn this_machine_has_a_kernel() {
        let memory = KernelMemory::read().unwrap();
        assert!(memory.slab > 0 && memory.all > memory.slab / 2, "{memory:?}");
    }
}
