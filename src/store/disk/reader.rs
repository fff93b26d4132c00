//! A partition's reader: answers what is read from the disk, so that neither shards nor the writer wait for it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::lanes::ThreadLanes;
use super::shared::{Held, SharedRows};
use crate::control::metrics::Partitions;
use crate::slot::{PartitionId, ShardId};
use crate::store::engine::ReadRows;
use crate::store::{Command, reading};

/// Commands of one shard before the next has its turn.
const COMMANDS_PER_LANE: usize = 16;
/// The database is away only while the writer opens it again; what must be read meanwhile waits so long before it fails.
pub(super) const AWAY_WAIT: Duration = Duration::from_secs(2);
/// Longest sleep: a missed wake-up would be a bug that shows.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// What the thread works with.
pub(super) struct Reader {
    pub partition: PartitionId,
    pub lanes: ThreadLanes,
    pub shared: Arc<SharedRows>,
    pub metrics: Partitions,
    pub os_generation: u64,
    /// How long the next command waits for rows that are away; begins with [`AWAY_WAIT`].
    pub patience: Duration,
}

/// Rows that are away: reading fails.
struct Away;

impl ReadRows for Away {
    fn get(&self, _: &[u8]) -> io::Result<Option<Bytes>> {
        Err(io::Error::other("the database is being opened again"))
    }

    fn scan(&self, _: &[u8], _: &[u8], _: bool, _: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> io::Result<()> {
        self.get(&[]).map(drop)
    }
}

impl Reader {
    /// Answers until all shards are gone.
    pub fn run(mut self) {
        let mut held = Held::default();
        while !self.lanes.is_over() {
            if self.lanes.is_empty() {
                // What is taken away must be given back though nobody asks for it.
                held.refresh(&self.shared, Duration::ZERO);
                std::thread::park_timeout(SLEEP_MAX);
            }
            self.round(&mut held);
        }
        held.release(&self.shared);
    }

    /// Each shard in turn.
    fn round(&mut self, held: &mut Held) {
        for from in 0..self.lanes.shards() {
            for _ in 0..COMMANDS_PER_LANE {
                let Some(command) = self.lanes.next(from) else { break };
                self.answer(from, command, held);
            }
            self.lanes.publish();
        }
    }

    fn answer(&mut self, from: ShardId, command: Command, held: &mut Held) {
        let metrics = &self.metrics[usize::from(self.partition)];
        metrics.reads.inc();
        let lanes = &mut self.lanes;
        let mut emit = |outcome| lanes.send_waiting(from, outcome);
        let rows = held.refresh(&self.shared, self.patience);
        // What waits behind this command is not made to wait again.
        self.patience = if rows.is_some() { AWAY_WAIT } else { Duration::ZERO };
        let read = match rows {
            Some(rows) => reading::read(&rows.view(), command, self.os_generation, &mut emit),
            None => reading::read(&Away, command, self.os_generation, &mut emit),
        };
        if let Err(unreadable) = read {
            metrics.unreadable_reads.inc();
            tracing::error!(partition = self.partition, %unreadable, "cannot be read");
        }
    }
}
