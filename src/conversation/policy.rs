//! What is kept of each kind of conversation, and how surely.

use super::Kind;

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
}

impl Policy {
    /// Everything, for ever, with this durability.
    pub const fn of(durability: Durability) -> Policy {
        Policy { durability, history_messages_max: 0, history_bytes_max: 0, history_ttl_ms: 0 }
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
