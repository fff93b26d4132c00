//! Placement: which shard is the home of an id.
//!
//! `slot = keyed_hash(id) % 4096`, a slot belongs to one shard. The hash is the same in every build (xxh3, with a secret seed), so a
//! slot is what can move between machines later, and the number of shards can change between two starts without moving data.

use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

/// Slots in all.
pub const SLOTS: u64 = 4096;

/// Names a shard: 0 .. number of shards.
pub type ShardId = u16;

/// Names a part of the store: 0 .. number of partitions.
pub type PartitionId = u16;

/// Where the rows of a user or conversation stand in the store: every key of theirs begins with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowId {
    /// Its slot.
    pub slot: u16,
    /// Stands for the id: a keyed 128-bit hash.
    pub fingerprint: u128,
}

/// The map from ids to slots to shards.
#[derive(Clone, Copy, Debug)]
pub struct Slots {
    seed: u64,
    shards: u64,
    partitions: u64,
}

impl Slots {
    /// `seed` is secret, so that nobody can pick ids that all fall on one shard.
    pub fn new(seed: u64, shards: ShardId) -> Slots {
        Slots::with_partitions(seed, shards, 1)
    }

    /// The store has so many partitions, whatever the number of shards.
    pub fn with_partitions(seed: u64, shards: ShardId, partitions: PartitionId) -> Slots {
        assert!(shards > 0 && u64::from(shards) <= SLOTS);
        assert!(partitions > 0 && u64::from(partitions) <= SLOTS);
        Slots { seed, shards: shards.into(), partitions: partitions.into() }
    }

    /// Number of partitions of the store.
    pub fn partitions(&self) -> PartitionId {
        self.partitions as PartitionId
    }

    /// The partition of a slot: `slot * partitions / 4096`.
    pub fn partition(&self, slot: u16) -> PartitionId {
        (u64::from(slot) * self.partitions / SLOTS) as PartitionId
    }

    /// Where the rows of an id (of a user, or the key of a conversation) stand.
    pub fn row(&self, id: &[u8]) -> RowId {
        RowId { slot: self.slot(id), fingerprint: self.fingerprint(id) }
    }

    /// The slot of an id.
    pub fn slot(&self, id: &[u8]) -> u16 {
        (self.hash(id) % SLOTS) as u16
    }

    /// The shard that is the home of an id: `slot * shards / 4096`.
    pub fn home(&self, id: &[u8]) -> ShardId {
        (u64::from(self.slot(id)) * self.shards / SLOTS) as ShardId
    }

    /// Number of shards.
    pub fn shards(&self) -> ShardId {
        self.shards as ShardId
    }

    /// The keyed hash itself, for comparing ids across shards without sending them.
    pub fn hash(&self, id: &[u8]) -> u64 {
        xxh3_64_with_seed(id, self.seed)
    }

    /// A keyed hash that is wide enough to stand for what was hashed.
    pub fn fingerprint(&self, bytes: &[u8]) -> u128 {
        xxh3_128_with_seed(bytes, self.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_gets_its_share() {
        for shards in [1, 2, 3, 7, 64] {
            let slots = Slots::new(7, shards);
            let mut count = vec![0_u32; shards as usize];
            (0..20_000_u32).for_each(|i| count[slots.home(&i.to_le_bytes()) as usize] += 1);
            let fair = 20_000 / u32::from(shards);
            assert!(count.iter().all(|&c| c > fair / 2 && c < fair * 2), "{count:?}");
        }
    }

    #[test]
    fn placement_is_the_same_in_every_build() {
        let slots = Slots::new(0x0123_4567_89ab_cdef, 4);
        assert_eq!([slots.slot(b"alice"), slots.slot(b"bob"), slots.slot(b"")], [1763, 454, 3164]);
    }
}
