//! The row with which every batch begins: its number, and how far the batches before it had been synced when it was written.
//!
//! It tells a torn end, which nobody was told of, from damage: a batch says itself what was on the disk before it. It also names the partition
//! and the data directory by a secret, so that neither another partition's file nor a message that looks like a batch is taken for one.

use crate::slot::PartitionId;

/// The key of the row; it stands behind all slots.
pub const KEY: &[u8] = b"\xff\xffbatch";
/// Length of its value.
const VALUE_BYTES: usize = 16 + 2 + 8 + 8;

/// Whose batches they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Of the data directory.
    pub data_id: u128,
    /// Which part of it.
    pub partition: PartitionId,
}

/// What a batch says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Counts from 1 without a hole.
    pub number: u64,
    /// This batch and all before it were on the disk when this one was written.
    pub synced: u64,
}

impl Stamp {
    /// The value of the row.
    pub fn encode(self, owner: Owner) -> Vec<u8> {
        let mut value = Vec::with_capacity(VALUE_BYTES);
        value.extend_from_slice(&owner.data_id.to_le_bytes());
        value.extend_from_slice(&owner.partition.to_le_bytes());
        value.extend_from_slice(&self.number.to_le_bytes());
        value.extend_from_slice(&self.synced.to_le_bytes());
        value
    }

    /// Reads it back, and says whether it is this owner's. `None`: it is no stamp.
    pub fn decode(value: &[u8], owner: Owner) -> Option<(Stamp, bool)> {
        let (id, rest) = value.split_first_chunk()?;
        let (partition, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let synced = rest.try_into().ok()?;
        let is_ours = u128::from_le_bytes(*id) == owner.data_id && PartitionId::from_le_bytes(*partition) == owner.partition;
        Some((Stamp { number: u64::from_le_bytes(*number), synced: u64::from_le_bytes(synced) }, is_ours))
    }
}
