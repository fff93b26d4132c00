//! What an operator may change of the store on disk.

/// Options of every partition, with their units and defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// Blocks of tables kept in memory, per partition. Default 32 MiB.
    pub cache_bytes: u64,
    /// What is written is gathered in memory up to this size before it becomes a table, per partition; up to three times as much may
    /// wait while tables are written. Default 32 MiB.
    pub memtable_bytes: u64,
    /// Commands that share one sync at most. Default 4096.
    pub batch_rows_max: usize,
    /// Bytes of rows that share one sync, about. Default 4 MiB.
    pub batch_bytes_max: usize,
    /// The time for which one batch is gathered while commands keep coming, in microseconds. Default 2000.
    pub batch_age_us_max: u64,
    /// With less than this free on the disk nothing new is stored. Default 256 MiB.
    pub disk_free_bytes_min: u64,
    /// What expired or was trimmed is really removed after this time, in milliseconds: a clock that jumps destroys nothing. Default 600,000.
    pub removal_grace_ms: u64,
    /// A commit that takes longer turns readiness red, in milliseconds. Default 5000.
    pub commit_stall_ms: u64,
    /// Commands that one shard may have waiting at one partition's writer, and as many at its reader. Default 16,384.
    pub lane_capacity: usize,
    /// What a test lets fail.
    #[cfg(test)]
    pub faults: super::fault::Faults,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions {
            cache_bytes: 32 << 20,
            memtable_bytes: 32 << 20,
            batch_rows_max: 4096,
            batch_bytes_max: 4 << 20,
            batch_age_us_max: 2000,
            disk_free_bytes_min: 256 << 20,
            removal_grace_ms: 600_000,
            commit_stall_ms: 5000,
            lane_capacity: 16_384,
            #[cfg(test)]
            faults: super::fault::Faults::default(),
        }
    }
}
