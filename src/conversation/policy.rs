//! What is kept of each kind of conversation, and how surely.

use super::Kind;
use crate::limits::Contradiction;

/// When a record counts as stored, and so may be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Durability {
    /// At once. It is gone with the process.
    Memory,
    /// When the operating system has it: it survives the process, not the machine.
    Os,
    /// When it is on the disk.
    Fsync,
}

impl Durability {
    /// Whether the store on disk keeps it.
    pub fn is_on_disk(self) -> bool {
        self != Durability::Memory
    }
}

/// What is kept of one kind of conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// When a record counts as stored.
    pub durability: Durability,
    /// Newest records that are kept; 0: no limit on disk, those of the limits in memory.
    pub history_messages_max: u64,
    /// Bytes of bodies that are kept; 0: no limit on disk, those of the limits in memory.
    pub history_bytes_max: u64,
    /// How long a record is kept, in ms; 0: for ever.
    pub history_ttl_ms: u64,
    /// Whether records wait for others before they are handed to receivers.
    pub merge: Option<Merge>,
}

/// How long records may wait for others, so that what came together leaves with one send for each receiver. What is reached first ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merge {
    /// Since the first of them, in ms.
    pub ms: u32,
    /// Records.
    pub messages: u32,
    /// Bytes of their bodies.
    pub bytes: u32,
}

impl Default for Merge {
    /// What bounds a wait of which nothing but the time was said. A receiver gets no more than this with one send.
    fn default() -> Merge {
        Merge { ms: 0, messages: 64, bytes: 32_768 }
    }
}

impl Policy {
    /// Everything, for ever, with this durability.
    pub const fn of(durability: Durability) -> Policy {
        Policy { durability, history_messages_max: 0, history_bytes_max: 0, history_ttl_ms: 0, merge: None }
    }

    /// When a record of this time and TTL may really be removed; 0: never. It is hidden at the same moment.
    pub fn expires_ms(&self, time_ms: u64, ttl_ms: u32) -> u64 {
        match (u64::from(ttl_ms), self.history_ttl_ms) {
            (0, 0) => 0,
            (0, ms) | (ms, 0) => time_ms.saturating_add(ms),
            (own, history) => time_ms.saturating_add(own.min(history)),
        }
    }
}

/// The policies of all kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Policies {
    pub direct: Policy,
    pub group: Policy,
    pub topic: Policy,
    pub broadcast: Policy,
}

impl Default for Policies {
    /// What people say to each other is on disk before it is acknowledged; what is a stream of events is not.
    fn default() -> Policies {
        let (fsync, memory) = (Policy::of(Durability::Fsync), Policy::of(Durability::Memory));
        Policies { direct: fsync, group: fsync, topic: memory, broadcast: fsync }
    }
}

impl Policies {
    /// Nothing is on disk.
    pub fn in_memory() -> Policies {
        Policies::default().kept_in_memory()
    }

    /// The same with nothing on disk.
    #[must_use]
    pub fn kept_in_memory(self) -> Policies {
        let memory = |policy| Policy { durability: Durability::Memory, ..policy };
        let Policies { direct, group, topic, broadcast } = self;
        Policies { direct: memory(direct), group: memory(group), topic: memory(topic), broadcast: memory(broadcast) }
    }

    /// Checks what the settings of a kind allow and the kind does not.
    ///
    /// # Errors
    /// The first that has no sense.
    pub fn check(&self) -> Result<(), Contradiction> {
        if self.direct.merge.is_none() {
            return Ok(());
        }
        Err(Contradiction {
            cause: "direct_merge_ms is set, and a direct conversation has no crowd for whom to merge".into(),
            cure: "leave it at 0, or set it for group, topic or broadcast".into(),
        })
    }

    /// That of a kind.
    pub fn of(&self, kind: Kind) -> &Policy {
        match kind {
            Kind::Direct => &self.direct,
            Kind::Group => &self.group,
            Kind::Topic => &self.topic,
            Kind::Broadcast => &self.broadcast,
        }
    }

    /// Whether anything is on disk.
    pub fn any_on_disk(&self) -> bool {
        [self.direct, self.group, self.topic, self.broadcast].iter().any(|policy| policy.durability.is_on_disk())
    }

    /// Whether conversations of a kind are on disk.
    pub fn is_on_disk(&self, kind: Kind) -> bool {
        self.of(kind).durability.is_on_disk()
    }
}
