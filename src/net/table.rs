//! The connections of a shard, by the slot of their socket.

use super::Connection;
use crate::ring::Slot;
use crate::slab::CHUNK_BYTES;

/// Connections in a chunk.
const CHUNK: usize = CHUNK_BYTES / size_of::<Option<Connection>>();

/// Grows by chunks, as far as the kernel gives out slots.
#[derive(Debug, Default)]
pub struct Table {
    chunks: Vec<Option<Box<[Option<Connection>]>>>,
    len: usize,
}

impl Table {
    /// Puts a connection into its slot, which is free.
    pub fn insert(&mut self, slot: Slot, connection: Connection) -> &mut Connection {
        let (chunk, place) = split(slot);
        if self.chunks.len() <= chunk {
            self.chunks.resize_with(chunk + 1, || None);
        }
        let chunk = self.chunks[chunk].get_or_insert_with(|| (0..CHUNK).map(|_| None).collect());
        assert!(chunk[place].is_none(), "the kernel gives out a slot once");
        self.len += 1;
        chunk[place].insert(connection)
    }

    /// The connection in a slot.
    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut Connection> {
        let (chunk, place) = split(slot);
        self.chunks.get_mut(chunk)?.as_mut()?[place].as_mut()
    }

    /// Takes the connection out of a slot.
    pub fn remove(&mut self, slot: Slot) -> Option<Connection> {
        let (chunk, place) = split(slot);
        let connection = self.chunks.get_mut(chunk)?.as_mut()?[place].take()?;
        self.len -= 1;
        Some(connection)
    }

    /// Number of connections.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// One more than the highest slot that was ever used, about.
    pub fn slots(&self) -> u32 {
        (self.chunks.len() * CHUNK) as u32
    }
}

fn split(slot: Slot) -> (usize, usize) {
    (slot.0 as usize / CHUNK, slot.0 as usize % CHUNK)
}
