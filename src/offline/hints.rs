//! Conversations into users' lists, as the server would put them there.

use std::io;

use crate::clock::Clock;
use crate::conversation::{Key, Name};
use crate::mesh::Then;
use crate::offline::Directory;
use crate::store::engine::WriteRows;
use crate::store::partition::{Partition, Settings};
use crate::store::rows::tag;
use crate::store::{Command, Hint};

/// Hints that share a sync.
const BATCH: usize = 1000;

/// What is on its way into the lists of a directory.
pub struct Hints {
    partitions: Vec<Partition>,
    clock: Clock,
    /// Entries that were put.
    pub count: u64,
}

impl Hints {
    /// For a directory.
    pub fn new(directory: &Directory) -> Hints {
        let settings = Settings { os_generation: directory.manifest.os_generation(), logs_cached: 1 };
        let partitions = directory.parts.iter().map(|_| Partition::new(settings)).collect();
        Hints { partitions, clock: Clock::start(), count: 0 }
    }

    /// Puts a conversation into a user's list, unless it is there. A list that is full gets longer.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub fn put(&mut self, user: &Name, key: &Key, directory: &mut Directory) -> io::Result<()> {
        let slots = directory.slots;
        let (user_row, key_row) = (slots.row(user.as_bytes()), slots.row(key.bytes()));
        let partition = usize::from(slots.partition(user_row.slot));
        let (user, key) = (user.clone(), key.clone());
        let hint = Hint { user, user_row, key, key_row, entries_max: u32::MAX, from: 0, then: Then::Nothing };
        let Ok(database) = directory.parts[partition].database.as_ref() else { return Ok(()) };
        let state = &mut self.partitions[partition];
        state.execute(0, Command::Hint(Box::new(hint)), self.clock.now(), database).map_err(io::Error::other)?;
        if state.batch().commands >= BATCH { self.flush_one(partition, directory) } else { Ok(()) }
    }

    /// All that was put is on the disk when this returns.
    ///
    /// # Errors
    /// The same.
    pub fn flush(&mut self, directory: &mut Directory) -> io::Result<()> {
        (0..self.partitions.len()).try_for_each(|partition| self.flush_one(partition, directory))
    }

    fn flush_one(&mut self, partition: usize, directory: &mut Directory) -> io::Result<()> {
        let state = &mut self.partitions[partition];
        let Ok(database) = directory.parts[partition].database.as_mut() else { return Ok(()) };
        if state.batch().changes > 0 {
            let changes = state.take_batch();
            self.count += changes.iter().filter(|change| change.key.get(2) == Some(&tag::ENTRY)).count() as u64;
            database.write(changes)?;
            database.sync()?;
        } else {
            state.take_batch();
        }
        state.committed();
        Ok(())
    }
}
