//! What the server counts: one block of numbers per shard and per partition of the store, written by its own thread and read by a scrape.
//!
//! Each number has one writer, so counting is a load and a store without a lock prefix, and the blocks are padded so that two shards
//! never share a cache line. A scrape reads the numbers from the control thread: it sends the shards nothing, wakes none of them and
//! takes no lock, so it costs them no more than the cache misses of their next writes. Numbers of one scrape are each true, but not
//! of the same instant.
//!
//! What is counted is declared here once, with its name and help; the code that counts holds a `&ShardMetrics` and says
//! `metrics.deliveries.add(n)` beside what it counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use crate::wire::schema::{self, CloseCode, ErrorCode};
use crate::ws::{Fault, Refusal};

/// The blocks of all shards; a shard's index is its number.
pub type Metrics = Arc<[CachePadded<ShardMetrics>]>;

/// Blocks for this many shards, all zero.
#[must_use]
pub fn for_shards(shards: usize) -> Metrics {
    (0..shards).map(|_| CachePadded::new(ShardMetrics::default())).collect()
}

/// A number that only grows. One thread writes it, any thread reads it.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it. Only its one writer may call this: between the load and the store nobody else may write.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Adds 1. Only its one writer may call this.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// The sum so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down. One thread writes it, any thread reads it.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Sets it. Only its one writer may call this.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// Adds to it. Only its one writer may call this.
    #[inline]
    pub fn add(&self, n: u64) {
        self.set(self.get().wrapping_add(n));
    }

    /// Takes from it. Only its one writer may call this.
    #[inline]
    pub fn sub(&self, n: u64) {
        debug_assert!(self.get() >= n, "a gauge never goes below zero");
        self.set(self.get().wrapping_sub(n));
    }

    /// The value now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// How often values fell into which power of two: bucket `i` counts values up to `first << i`, the last one all above. One thread
/// writes it, any thread reads it.
#[derive(Debug)]
pub struct Histogram<const FIRST: u64, const BUCKETS: usize> {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

/// Time in nanoseconds: up to 1.024 us, 2.048 us ... 537 ms, and longer.
pub type TimeHistogram = Histogram<1024, 21>;
/// Small numbers: up to 1, 2, 4 ... 16,384, and more.
pub type CountHistogram = Histogram<1, 16>;

impl<const FIRST: u64, const BUCKETS: usize> Default for Histogram<FIRST, BUCKETS> {
    fn default() -> Self {
        const { assert!(FIRST.is_power_of_two() && BUCKETS >= 2) };
        Self { buckets: std::array::from_fn(|_| AtomicU64::new(0)), sum: AtomicU64::new(0) }
    }
}

impl<const FIRST: u64, const BUCKETS: usize> Histogram<FIRST, BUCKETS> {
    /// Counts one value. Only its one writer may call this.
    #[inline]
    pub fn observe(&self, value: u64) {
        let bucket = &self.buckets[Self::bucket_of(value)];
        bucket.store(bucket.load(Relaxed).wrapping_add(1), Relaxed);
        self.sum.store(self.sum.load(Relaxed).wrapping_add(value), Relaxed);
    }

    /// The first bucket whose upper end is not below `value`.
    #[inline]
    fn bucket_of(value: u64) -> usize {
        let firsts = value.saturating_sub(1) >> FIRST.trailing_zeros();
        let index = (u64::BITS - firsts.leading_zeros()) as usize;
        index.min(BUCKETS - 1)
    }

    /// Upper end (the last one has none) and count of each bucket; the counts are not cumulative.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        self.buckets.iter().enumerate().map(|(index, count)| {
            let end = (index + 1 < BUCKETS).then_some(FIRST << index);
            (end, count.load(Relaxed))
        })
    }

    /// All values together.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum.load(Relaxed)
    }
}

/// What was left out though someone might have wanted it. Only what may be dropped (design: ephemeral events, expired messages) is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum DropReason {
    /// An ephemeral event for which a lane to another shard had no room.
    EphemeralLane,
    /// An ephemeral event for which a session's outbox had no room.
    EphemeralOutbox,
    /// A message whose TTL was over before it was sent.
    MessageExpired,
}

impl DropReason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::EphemeralLane, Self::EphemeralOutbox, Self::MessageExpired];

    /// The value of the label `reason`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EphemeralLane => "ephemeral_lane",
            Self::EphemeralOutbox => "ephemeral_outbox",
            Self::MessageExpired => "message_expired",
        }
    }
}

const CLOSE_CODES: usize = schema_len(&close_codes());
const ERROR_CODES: usize = schema_len(&error_codes());

/// The schema's own list, so that a new code is counted from the day it exists.
#[expect(deprecated, reason = "flatc marks its lists deprecated but offers nothing else that a constant could use")]
const fn close_codes() -> [CloseCode; schema::ENUM_VALUES_CLOSE_CODE.len()] {
    schema::ENUM_VALUES_CLOSE_CODE
}

/// See [`close_codes`].
#[expect(deprecated, reason = "see close_codes")]
const fn error_codes() -> [ErrorCode; schema::ENUM_VALUES_ERROR_CODE.len()] {
    schema::ENUM_VALUES_ERROR_CODE
}

const fn schema_len<T, const N: usize>(_: &[T; N]) -> usize {
    N
}

/// One counter for each code of an enum. An unknown code of the schema counts as its first, `none`.
#[derive(Debug)]
struct ByCode<const N: usize>([Counter; N]);

impl<const N: usize> Default for ByCode<N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

/// Declares a block of plain numbers: for each its doc comment (the help text), name and kind. `also` is counted by other means.
macro_rules! plain_metrics {
    (
        $(#[$attribute:meta])*
        pub struct $struct:ident {
            $( $(#[doc = $doc:literal])+ $field:ident: $kind:ident $(as $name:literal)?, )*
        }
        also { $( $other:ident: $other_type:ty, )* }
        const $plain:ident;
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Default)]
        pub struct $struct {
            $( $(#[doc = $doc])+ pub $field: $kind, )*
            $( $other: $other_type, )*
        }

        /// Name (without `campanile_`) and help of each plain number, and how it is read.
        pub(super) const $plain: &[Plain<$struct>] = &[
            $( Plain {
                name: plain_metrics!(@name $field $($name)?),
                help: concat!($($doc),+),
                read: |metrics| Reading::$kind(&metrics.$field),
            }, )*
        ];
    };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $name:literal) => { $name };
}

/// One plain number of every block of a kind.
pub(super) struct Plain<M> {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) read: fn(&M) -> Reading<'_>,
}

/// A number, by what it is.
pub(super) enum Reading<'a> {
    Counter(&'a Counter),
    Gauge(&'a Gauge),
    TimeHistogram(&'a TimeHistogram),
    CountHistogram(&'a CountHistogram),
}

plain_metrics! {
    /// What one shard counts. Its shard is the only writer.
    pub struct ShardMetrics {
        /// Connections of clients, logged in or not.
        connections: Gauge,
        /// Sessions that are logged in.
        sessions: Gauge,
        /// Users with a session, a conversation or a presence that lingers.
        users: Gauge,
        /// Conversations whose home is this shard.
        conversations: Gauge,
        /// Conversations of which this shard knows its own sessions' subscriptions, whatever their home.
        mirrors: Gauge,
        /// 1 while the shard sleeps in its ring, 0 while it works. Set around the wait: health tells a sleeping shard from a stuck one by it.
        asleep: Gauge,
        /// Messages that users published and that were numbered.
        messages_in: Counter,
        /// Messages that were put into the outbox of a session.
        deliveries: Counter,
        /// Frames from clients.
        frames_in: Counter,
        /// Bytes from clients.
        bytes_in: Counter as "received_bytes",
        /// Bytes to clients that the kernel took.
        bytes_out: Counter as "sent_bytes",
        /// Sends that were submitted: one for all that waits for a connection in a turn.
        sends: Counter,
        /// Turns of the shard's loop.
        turns: Counter,
        /// Requests from other shards that wait in this shard's lanes, as of its last turn.
        request_queue_depth: Gauge,
        /// Results from other shards that wait in this shard's lanes, as of its last turn.
        result_queue_depth: Gauge,
        /// What waits in all outboxes of this shard, shared bodies counted once.
        outbox_pool_bytes: Gauge,
        /// Messages kept for resume and sync.
        history_bytes: Gauge,
        /// Accepted connections that wait for their first turn: more than `logins_per_turn` came at once.
        waiting_at_door: Gauge,
        /// Connections that moved from this shard to their user's.
        handoffs: Counter,
        /// Connections that were accepted here.
        accepts: Counter,
        /// WebSockets that were agreed on here.
        upgrades: Counter,
        /// Times that accepting paused because the process or the machine had no file descriptor left (EMFILE, ENFILE).
        accept_backoffs: Counter,
        /// Times that a receive found no free receive buffer (ENOBUFS) and was armed again.
        recv_enobufs: Counter,
        /// Messages to other shards: requests, answers and news.
        lane_messages: Counter,
        /// Wake-ups sent to other threads that slept.
        doorbells_rung: Counter,
        /// Times that the shard let glommio's own tasks run.
        glommio_yields: Counter,
        /// Time that a turn worked, sleep excluded.
        turn_ns: TimeHistogram as "turn_seconds",
        /// Sends of one turn.
        sends_per_turn: CountHistogram,
    }
    also {
        drops: [Counter; DropReason::ALL.len()],
        closes: ByCode<CLOSE_CODES>,
        closes_by_peer: Counter,
        errors: ByCode<ERROR_CODES>,
        upgrade_refusals: ByCode<{ Refusal::ALL.len() }>,
        websocket_faults: ByCode<{ Fault::ALL.len() }>,
    }
    const PLAIN;
}

plain_metrics! {
    /// What one partition of the store counts. Reads are counted by its reader, all else by its writer, each of them alone.
    pub struct PartitionMetrics {
        /// Batches of changes that were written.
        batches: Counter as "store_batches",
        /// Rows that were written or removed.
        rows: Counter as "store_rows",
        /// Bytes of their keys and values.
        bytes: Counter as "store_bytes",
        /// Rows that were removed because they expired or were trimmed.
        removed_rows: Counter as "store_removed_rows",
        /// Commands that shared one batch.
        batch_commands: CountHistogram as "store_batch_commands",
        /// Time until a batch was written and on the disk.
        commit_ns: TimeHistogram as "store_commit_seconds",
        /// The part of it for which the disk was waited for.
        sync_ns: TimeHistogram as "store_sync_seconds",
        /// Commands that wait for the writer, as of its last batch.
        queue_depth: Gauge as "store_queue_depth",
        /// Batches that could not be written.
        write_failures: Counter as "store_write_failures",
        /// Times that the database was opened again after that.
        reopenings: Counter as "store_reopenings",
        /// Commands of the writer that failed because something could not be read.
        unreadable_writes: Counter as "store_unreadable_writes",
        /// Free bytes of the file system.
        disk_free_bytes: Gauge as "store_disk_free_bytes",
        /// 1 while the disk counts as full and nothing new is stored.
        disk_full: Gauge as "store_disk_full",
        /// Bytes of a torn batch that were cut from the journal at start.
        dropped_tail_bytes: Counter as "store_dropped_tail_bytes",
        /// Ranges, conversations and lists that were read.
        reads: Counter as "store_reads",
        /// Those that could not be read.
        unreadable_reads: Counter as "store_unreadable_reads",
    }
    also {
        committing: Committing,
    }
    const PARTITION_PLAIN;
}

/// The blocks of all partitions; a partition's index is its number.
pub type Partitions = Arc<[CachePadded<PartitionMetrics>]>;

/// Blocks for this many partitions, all zero.
#[must_use]
pub fn for_partitions(partitions: usize) -> Partitions {
    (0..partitions).map(|_| CachePadded::new(PartitionMetrics::default())).collect()
}

/// Since when a commit has been going on.
#[derive(Debug)]
struct Committing {
    origin: Instant,
    /// Milliseconds after `origin`, plus 1; 0: none goes on.
    since_ms: AtomicU64,
}

impl Default for Committing {
    fn default() -> Self {
        Self { origin: Instant::now(), since_ms: AtomicU64::new(0) }
    }
}

impl PartitionMetrics {
    /// A commit begins. Only the writer may call this.
    pub fn commit_begins(&self) {
        self.committing.since_ms.store(self.committing.origin.elapsed().as_millis() as u64 + 1, Relaxed);
    }

    /// It has ended, or failed for good. Only the writer may call this.
    pub fn commit_ends(&self) {
        self.committing.since_ms.store(0, Relaxed);
    }

    /// For how long the present commit has been going on.
    #[must_use]
    pub fn committing_for(&self, now: Instant) -> Option<Duration> {
        match self.committing.since_ms.load(Relaxed) {
            0 => None,
            since => Some(now.duration_since(self.committing.origin).saturating_sub(Duration::from_millis(since))),
        }
    }
}

impl ShardMetrics {
    /// Counts what was left out.
    #[inline]
    pub fn dropped(&self, reason: DropReason, n: u64) {
        self.drops[reason as usize].add(n);
    }

    /// Counts a connection that this server ended, with the code that it told the peer.
    pub fn closed(&self, code: CloseCode) {
        self.closes.0[position(&close_codes(), code)].inc();
    }

    /// Counts a connection that the peer ended.
    pub fn closed_by_peer(&self) {
        self.closes_by_peer.inc();
    }

    /// Counts a request that was answered with an error.
    pub fn answered_error(&self, code: ErrorCode) {
        self.errors.0[position(&error_codes(), code)].inc();
    }

    /// Counts a request that was not upgraded to WebSocket.
    pub fn upgrade_refused(&self, refusal: Refusal) {
        self.upgrade_refusals.0[refusal as usize].inc();
    }

    /// Counts a WebSocket that ended because its peer broke a rule.
    pub fn websocket_fault(&self, fault: Fault) {
        self.websocket_faults.0[fault as usize].inc();
    }

    /// What was left out, by reason.
    #[must_use]
    pub fn drops(&self) -> [(&'static str, u64); DropReason::ALL.len()] {
        DropReason::ALL.map(|reason| (reason.name(), self.drops[reason as usize].get()))
    }

    /// Connections that ended, by close code, and `peer` for those that the peer ended.
    pub fn closes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let by_us = close_codes().into_iter().zip(&self.closes.0);
        let by_us = by_us.map(|(code, counter)| (code.variant_name().unwrap_or("none"), counter.get()));
        by_us.chain(std::iter::once(("peer", self.closes_by_peer.get())))
    }

    /// Requests that were not upgraded to WebSocket, by reason.
    pub fn upgrade_refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Refusal::ALL.iter().zip(&self.upgrade_refusals.0).map(|(refusal, counter)| (refusal.name(), counter.get()))
    }

    /// WebSockets that ended because their peer broke a rule, by rule.
    pub fn websocket_faults(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Fault::ALL.iter().zip(&self.websocket_faults.0).map(|(fault, counter)| (fault.name(), counter.get()))
    }

    /// Requests that were answered with an error, by error code. `none` is none.
    pub fn errors(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let codes = error_codes().into_iter().zip(&self.errors.0);
        codes.map(|(code, counter)| (code.variant_name().unwrap_or("none"), counter.get()))
    }
}

/// Where a code stands in the schema's list.
fn position<T: PartialEq, const N: usize>(codes: &[T; N], code: T) -> usize {
    codes.iter().position(|known| *known == code).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_powers_of_two_with_their_end_inside() {
        let bucket = |value| TimeHistogram::bucket_of(value);
        assert_eq!([0, 1, 1024, 1025, 2048, 2049].map(bucket), [0, 0, 0, 1, 1, 2]);
        assert_eq!(bucket(u64::MAX), 20);
        assert_eq!([0, 1, 2, 3, 4, 5, 16_384, 16_385].map(CountHistogram::bucket_of), [0, 0, 1, 2, 2, 3, 14, 15]);
    }

    #[test]
    fn a_value_lies_below_the_end_of_its_bucket() {
        for value in [0, 1, 1023, 1024, 1025, 100_000, 536_870_912] {
            let histogram = TimeHistogram::default();
            histogram.observe(value);
            let (end, _) = histogram.buckets().find(|(_, count)| *count == 1).unwrap();
            assert!(end.unwrap() >= value, "{value} in {end:?}");
            assert_eq!(histogram.sum(), value);
        }
    }

    #[test]
    fn each_code_is_counted_under_its_name() {
        let metrics = ShardMetrics::default();
        metrics.closed(CloseCode::slow_consumer);
        metrics.closed(CloseCode(65_535));
        metrics.closed_by_peer();
        metrics.answered_error(ErrorCode::internal);
        metrics.dropped(DropReason::MessageExpired, 3);
        let closes: Vec<_> = metrics.closes().filter(|(_, n)| *n > 0).collect();
        assert_eq!(closes, [("none", 1), ("slow_consumer", 1), ("peer", 1)]);
        assert_eq!(metrics.errors().find(|(_, n)| *n > 0), Some(("internal", 1)));
        assert_eq!(metrics.drops()[2], ("message_expired", 3));
    }

    #[test]
    fn drop_reasons_are_numbered_as_they_are_listed() {
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }
}
