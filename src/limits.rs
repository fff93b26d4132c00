//! Every limit of the server, in one place: what a peer, a user or a conversation may make grow, and how far.
//!
//! The unit stands last in a name. What happens when a limit is reached stands in its reason. Limits that only make sense together
//! are checked by [`Limits::check`] at start.

use crate::config::setting::{grouped, settings};

/// What a message needs in a frame besides its body: ids, content type, tag, tables. Bytes.
pub const FRAME_OVERHEAD_BYTES: u64 = 4096;

/// Places in the lanes from one shard to all others together, unless somebody says otherwise; and in one lane at least.
const LANE_PLACES_ALL: u32 = 32_768;
/// See [`LANE_PLACES_ALL`].
const LANE_PLACES_MIN: u32 = 1024;

settings! {
    /// The limits of a server. [`Limits::default`] is what a server without options runs with.
    pub struct Limits {
        /// Connections in all, logged in or not; one more is told `too_many_connections` and closed.
        connections_max: u32 = 1_000_000, in 1..=100_000_000; "connections"
        /// New connections per second from one address; more are told `connect_rate_limited`. 0: no limit. Needs kernel 6.8, because
        /// an older one does not tell the peer's address of a socket that lives in the ring only.
        connect_rate_per_address: u32 = 0, in 0..=1_000_000; "connections/s"
        /// New connections from one address that may come at once before its rate counts: a whole office behind one address, after a restart.
        connect_burst_per_address: u32 = 1000, in 1..=10_000_000; "connections"
        /// A peer that has not logged in after this time is closed with `login_timeout`, so that silent peers hold nothing.
        login_timeout_ms: u32 = 5000, in 100..=600_000; "ms"
        /// How often a client should be heard; told in welcome. A peer that is silent for longer is pinged.
        heartbeat_ms: u32 = 30_000, in 100..=86_400_000; "ms"
        /// A peer that is silent for this long is closed with `idle_timeout`: two heartbeats may be lost, and half of one late.
        idle_timeout_ms: u32 = 75_000, in 200..=86_400_000; "ms"
        /// A frame that was begun must be whole within this time, or the peer is closed with `frame_timeout`: a byte a second holds memory.
        frame_timeout_ms: u32 = 30_000, in 100..=3_600_000; "ms"
        /// A peer whose socket takes nothing for this long while something waits for it is closed with `slow_consumer`.
        send_stall_timeout_ms: u32 = 30_000, in 100..=3_600_000; "ms"
        /// Largest frame from a client, without its size prefix; a larger one is closed with `frame_too_large` before it is read.
        frame_bytes_max: u32 = 73_728, in 8192..=16_777_216; "bytes"
        /// Longest request of a WebSocket client, up to the end of its headers; a longer one is answered 431 and closed. Cookies of other servers on the
        /// same host come with it.
        upgrade_bytes_max: u32 = 16_384, in 1024..=1_048_576; "bytes"
        /// Largest body of a message; a larger one is answered `body_too_large`.
        body_bytes_max: u32 = 65_536, in 1..=16_777_216; "bytes"
        /// What may wait for one session to read it; above that it is closed with `slow_consumer` and resumes by its cursor.
        outbox_bytes_max: u32 = 262_144, in 8192..=1_073_741_824; "bytes"
        /// All outboxes of one shard together, shared bodies counted once; above that the session with the oldest unsent data is closed.
        outbox_pool_bytes_max: u64 = 268_435_456, in 1_048_576..=1_099_511_627_776; "bytes per shard"
        /// Requests that one session may have outstanding; one more is answered `busy`. Told in welcome.
        window_requests: u32 = 128, in 1..=65_536; "requests"
        /// Publishes per second of one user, over all his sessions; more are answered `rate_limited`. 0: no limit.
        publish_rate_per_user: u32 = 20_000, in 0..=10_000_000; "messages/s"
        /// Publishes that a user may send at once before his rate counts.
        publish_burst_per_user: u32 = 20_000, in 1..=10_000_000; "messages"
        /// Sessions (devices) of one user at once; one more is closed with `too_many_sessions`.
        sessions_per_user_max: u32 = 16, in 1..=65_536; "sessions"
        /// Topics that one session may be subscribed to; one more is answered `too_many_subscriptions`.
        subscriptions_per_session_max: u32 = 1000, in 1..=1_000_000; "topics"
        /// Conversations that a connect may name to resume; a longer list is answered `login_failed`.
        resume_max: u32 = 1000, in 1..=100_000; "conversations"
        /// Conversations in one user's list; one more group is answered `too_many_conversations`, an old direct one leaves the list.
        conversations_per_user_max: u32 = 10_000, in 1..=10_000_000; "conversations"
        /// Conversations that one shard is home of; a new one above that is answered `busy`.
        conversations_per_shard_max: u32 = 1_000_000, in 1..=100_000_000; "conversations per shard"
        /// Members of one group; more are answered `too_many_members`.
        group_members_max: u32 = 100_000, in 2..=10_000_000; "members"
        /// Members that one request may name; a longer list is answered `too_many_items`, so that no request holds a turn.
        group_add_max: u32 = 100, in 1..=10_000; "members"
        /// Groups above this size tell who comes and leaves to that user only, as it happens; for the others a number passes by (`skip`), and pages have the
        /// record. Told to all, a group of n that forms would cost n * n / 2 deliveries.
        member_changes_told_max: u32 = 1000, in 0..=10_000_000; "members"
        /// Messages of a conversation that are kept in memory, unless its kind says otherwise; older ones are trimmed, which a cursor is told by `gap`.
        history_messages_max: u32 = 1000, in 1..=10_000_000; "messages"
        /// Bytes of a conversation that are kept in memory, unless its kind says otherwise; older messages are trimmed.
        history_bytes_max: u32 = 1_048_576, in 8192..=1_073_741_824; "bytes"
        /// All messages of one shard that are kept in memory; above that the conversations that were quiet longest are trimmed first.
        history_pool_bytes_max: u64 = 1_073_741_824, in 1_048_576..=17_592_186_044_416; "bytes per shard"
        /// Records in one batch of the store: what is gathered while the batch before it syncs shares one sync. A full batch goes at once.
        batch_messages_max: u32 = 4096, in 1..=1_000_000; "records"
        /// Bytes in one batch of the store; a full batch goes at once, so that no sync takes longer than a disk needs for this.
        batch_bytes_max: u32 = 4_194_304, in 8192..=1_073_741_824; "bytes"
        /// How long a batch may wait for more while nothing else syncs. An ack waits for no longer than this, one sync that runs, and its own.
        batch_age_us_max: u32 = 2000, in 0..=100_000; "us"
        /// Rows of the store that are kept in memory, for reading old messages; above that those that were read longest ago leave.
        store_cache_bytes: u64 = 33_554_432, in 1_048_576..=1_099_511_627_776; "bytes per partition"
        /// What was written is kept in memory up to this size, and then becomes a table on disk; up to four times as much while tables are being
        /// written. Larger tables are written less often, and a start reads up to as much again from the journal.
        store_memtable_bytes: u64 = 33_554_432, in 65_536..=1_073_741_824; "bytes per partition"
        /// Room that must be left on the data directory's disk: with less, what would be stored is answered `disk_full` until there is room again, and
        /// readiness says so. What is stored stays readable.
        disk_free_bytes_min: u64 = 268_435_456, in 1_048_576..=17_592_186_044_416; "bytes"
        /// What expired or was trimmed is hidden at once and removed from the disk only after this time, so that a clock that jumps destroys nothing.
        removal_grace_ms: u32 = 600_000, in 0..=2_592_000_000; "ms"
        /// A commit of the store that takes longer than this is told by metrics and readiness: acks wait for it.
        commit_stall_ms: u32 = 5000, in 100..=3_600_000; "ms"
        /// Receipts are gathered for this long and stored together; each is answered when it is stored.
        receipts_delay_ms: u32 = 20, in 0..=10_000; "ms"
        /// Appends that one shard may have with one partition and that are not committed yet; one more publish is answered `busy`.
        appends_in_flight_max: u32 = 32_768, in 1..=16_777_216; "appends per partition and shard"
        /// Bytes of those appends; one more publish is answered `busy`.
        append_bytes_in_flight_max: u64 = 67_108_864, in 8192..=1_099_511_627_776; "bytes per partition and shard"
        /// A stored conversation that nobody uses for this long leaves memory; the next use reads it from the disk again.
        conversation_idle_ms: u32 = 60_000, in 100..=86_400_000; "ms"
        /// Users without a session whose list of conversations stays in memory; above that the one who left first is forgotten there, and
        /// read from the disk when he is needed.
        users_idle_max: u32 = 10_000, in 0..=100_000_000; "users per shard"
        /// Publishes of a conversation whose `client_id` is remembered, so that a repeated one gets the first ack.
        dedupe_messages_max: u32 = 1000, in 1..=1_000_000; "messages"
        /// How long a `client_id` is remembered: longer than a client takes to reconnect and try again.
        dedupe_ms: u32 = 120_000, in 1000..=86_400_000; "ms"
        /// Messages in one page of sync; a larger limit in a request is cut to this. Told in welcome.
        page_messages_max: u32 = 256, in 1..=65_536; "messages"
        /// Bytes in one page of sync, so that a page never fills an outbox.
        page_bytes_max: u32 = 131_072, in 8192..=1_073_741_824; "bytes"
        /// A user whose last session left is shown as present for this long: a reconnect is not a leaving.
        presence_linger_ms: u32 = 5000, in 0..=3_600_000; "ms"
        /// Users whose presence one session may watch; a longer list is answered `too_many_items`.
        presence_watch_max: u32 = 1000, in 1..=1_000_000; "users"
        /// Groups above this size get no receipt and presence events: with more members they are a storm that nobody reads.
        receipts_group_members_max: u32 = 100, in 0..=100_000; "members"
        /// Largest body of an ephemeral event (typing and the like); a larger one is answered `body_too_large`.
        ephemeral_bytes_max: u32 = 1024, in 1..=65_536; "bytes"
        /// Tags in the filter of one subscription; more are answered `too_many_items`, since each message is compared with all of them.
        tags_per_filter_max: u32 = 16, in 1..=1024; "tags"
        /// After SIGTERM, what was acknowledged is finished within this time; then the server exits.
        stop_grace_ms: u32 = 10_000, in 0..=3_600_000; "ms"
        /// Clients of a stopping server are told to come back after a random time up to this, so that they do not come all at once.
        goaway_spread_ms: u32 = 5_000, in 0..=3_600_000; "ms"
        /// Accepted connections that one turn begins to listen to; when more come at once the rest waits at the door, in order, so that those who are
        /// logged in feel little of a storm. `login_timeout_ms` counts meanwhile.
        logins_per_turn: u32 = 64, in 1..=1_000_000; "connections per turn"
        /// Receivers that one turn hands what waits for them, one send each (4 KiB count as one more); the rest follows in the next turns, so that a
        /// ping never waits behind a big group.
        fan_out_slice: u32 = 128, in 1..=1_000_000; "receivers per turn"
        /// A conversation with at most so many receivers on a shard is handed out in one turn all the same: in slices it would cost more, because less goes
        /// together. A thousand sends take some 3 ms.
        fan_out_whole: u32 = 1024, in 0..=1_000_000; "receivers"
        /// Messages in one lane between two shards, and the credits that a shard has with each home: requests that may be on their way, also while the
        /// disk has them; more are answered `busy`. 0: by the number of shards, 32,768 for one shard with all homes together.
        lane_capacity: u32 = 0, in 0..=1_048_576; "messages"
        /// Receive buffers that all connections of a shard share: small enough to stay in cache. A power of two, as the kernel's buffer ring wants.
        recv_buffers: u32 = 512, in 8..=32_768; "buffers per shard"
        /// Size of one receive buffer; a larger frame is put together from several.
        recv_buffer_bytes: u32 = 4096, in 256..=1_048_576; "bytes"
    }
}

/// Two limits that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// What is wrong, with the values.
    pub cause: String,
    /// What to change.
    pub cure: String,
}

impl Limits {
    /// See `lane_capacity`: what it is with so many shards.
    pub fn lane_places(&self, shards: usize) -> u32 {
        match self.lane_capacity {
            0 => (LANE_PLACES_ALL / shards as u32).max(LANE_PLACES_MIN).max(2 * self.group_add_max + 64),
            set => set,
        }
    }

    /// Checks the limits against each other.
    ///
    /// # Errors
    /// The first two that cannot both hold.
    pub fn check(&self) -> Result<(), Contradiction> {
        let overhead = FRAME_OVERHEAD_BYTES;
        let larger_is_fine = [
            ("frame_bytes_max", self.frame_bytes_max.into(), "body_bytes_max", self.body_bytes_max.into(), overhead),
            ("page_bytes_max", self.page_bytes_max.into(), "frame_bytes_max", self.frame_bytes_max.into(), 0),
            ("outbox_bytes_max", self.outbox_bytes_max.into(), "page_bytes_max", self.page_bytes_max.into(), 0),
            ("outbox_bytes_max", self.outbox_bytes_max.into(), "frame_bytes_max", self.frame_bytes_max.into(), 0),
            ("outbox_pool_bytes_max", self.outbox_pool_bytes_max, "outbox_bytes_max", self.outbox_bytes_max.into(), 0),
            ("history_bytes_max", self.history_bytes_max.into(), "frame_bytes_max", self.frame_bytes_max.into(), 0),
            ("history_pool_bytes_max", self.history_pool_bytes_max, "history_bytes_max", self.history_bytes_max.into(), 0),
            ("body_bytes_max", self.body_bytes_max.into(), "ephemeral_bytes_max", self.ephemeral_bytes_max.into(), 0),
            ("idle_timeout_ms", self.idle_timeout_ms.into(), "heartbeat_ms", self.heartbeat_ms.into(), 1),
            // A client that lost its connection sends its whole window again, and must be recognized.
            ("dedupe_messages_max", self.dedupe_messages_max.into(), "window_requests", self.window_requests.into(), 0),
            // What a client may still ask about by its `client_id` must not be gone from the disk.
            ("removal_grace_ms", self.removal_grace_ms.into(), "dedupe_ms", self.dedupe_ms.into(), 0),
            ("batch_bytes_max", self.batch_bytes_max.into(), "frame_bytes_max", self.frame_bytes_max.into(), 0),
            // One session alone must never be told `busy` for what its window allows it.
            ("appends_in_flight_max", self.appends_in_flight_max.into(), "window_requests", self.window_requests.into(), 0),
            ("append_bytes_in_flight_max", self.append_bytes_in_flight_max, "frame_bytes_max", self.frame_bytes_max.into(), 0),
            // Else a disk that is nearly full is filled by the batches that are on their way.
            ("disk_free_bytes_min", self.disk_free_bytes_min, "batch_bytes_max", self.batch_bytes_max.into(), 0),
            // A home takes a request only while all that follows from it fits into the lanes.
            ("lane_capacity", self.lane_places(1).into(), "group_add_max", 2 * u64::from(self.group_add_max), 64),
            ("group_members_max", self.group_members_max.into(), "group_add_max", self.group_add_max.into(), 0),
        ];
        for (large, large_value, small, small_value, more) in larger_is_fine {
            at_least(large, large_value, small, small_value, more)?;
        }
        power_of_two("recv_buffers", self.recv_buffers)
    }
}

/// `large` must be at least `small + more`.
fn at_least(large: &str, large_value: u64, small: &str, small_value: u64, more: u64) -> Result<(), Contradiction> {
    let least = small_value.saturating_add(more);
    if large_value >= least {
        return Ok(());
    }
    let plus = if more == 0 { String::new() } else { format!(" + {}", grouped(more)) };
    Err(Contradiction {
        cause: format!(
            "{large} = {} is less than {small}{plus} = {}, and both must hold at once",
            grouped(large_value),
            grouped(least)
        ),
        cure: format!("set {large} to at least {}, or lower {small}", grouped(least)),
    })
}

/// A ring of the kernel has 2^n entries.
fn power_of_two(name: &str, value: u32) -> Result<(), Contradiction> {
    if value.is_power_of_two() {
        return Ok(());
    }
    Err(Contradiction {
        cause: format!("{name} = {} is not a power of two, which the kernel's buffer ring wants", grouped(value.into())),
        cure: format!("set {name} to {}", grouped(value.next_power_of_two().into())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_agree_with_each_other() {
        assert_eq!(Limits::default().check(), Ok(()));
    }

    #[test]
    fn the_defaults_lie_in_their_ranges() {
        for setting in Limits::SETTINGS {
            let text = (setting.show)(&Limits::default());
            assert_eq!((setting.set)(&mut Limits::default(), &text), Ok(()), "{}", setting.name);
        }
    }

    #[test]
    fn a_contradiction_names_both_limits_and_the_cure() {
        let limits = Limits { body_bytes_max: 70_000, ..Limits::default() };
        let wrong = limits.check().unwrap_err();
        assert!(wrong.cause.contains("frame_bytes_max = 73_728") && wrong.cause.contains("body_bytes_max + 4096"), "{wrong:?}");
        assert!(wrong.cure.contains("at least 74_096"), "{wrong:?}");
    }

    #[test]
    fn each_contradiction_is_found() {
        let default = Limits::default();
        let wrong = [
            Limits { idle_timeout_ms: 30_000, ..default.clone() },
            Limits { outbox_bytes_max: 70_000, ..default.clone() },
            Limits { page_bytes_max: 70_000, ..default.clone() },
            Limits { history_bytes_max: 70_000, ..default.clone() },
            Limits { recv_buffers: 500, ..default.clone() },
            Limits { dedupe_messages_max: 100, ..default.clone() },
            Limits { outbox_pool_bytes_max: 1, ..default.clone() },
            Limits { removal_grace_ms: 100_000, ..default.clone() },
            Limits { batch_bytes_max: 70_000, ..default.clone() },
            Limits { appends_in_flight_max: 100, ..default.clone() },
            Limits { append_bytes_in_flight_max: 70_000, ..default.clone() },
            Limits { disk_free_bytes_min: 1_000_000, ..default },
        ];
        for limits in wrong {
            assert!(limits.check().is_err(), "{limits:?}");
        }
    }
}
