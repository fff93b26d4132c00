//! The shard's side of the store. What is kept in memory is done at once, within the turn. What is on disk goes to the thread of its partition
//! and is answered in a later turn; nothing here waits for it.

use std::collections::VecDeque;

use super::Shard;
use crate::conversation::EVENTS_PER_OUTCOME;
use crate::slot::{PartitionId, Slots};
use crate::store::disk::ShardStore;
use crate::store::{Command, Memory, Outcome};

/// Outcomes of the disk that one turn takes; the rest follows in the next.
const OUTCOMES_PER_TURN: usize = 1024;

/// Where records go, and come from.
pub(super) struct Keep {
    pub(super) memory: Memory,
    /// Absent where every kind of conversation is in memory.
    disk: Option<ShardStore>,
    slots: Slots,
    /// For each partition, its writer and its reader, commands that found the queue full, in order. Bounded by what homes have on their way: appends by their limit, all else by
    /// credits.
    overflow: Vec<VecDeque<Command>>,
    /// Kept between turns for its memory.
    done: Vec<Outcome>,
}

impl Keep {
    pub(super) fn new(memory: Memory, disk: Option<ShardStore>, slots: Slots) -> Keep {
        let overflow = (0..2 * slots.partitions()).map(|_| VecDeque::new()).collect();
        Keep { memory, disk, slots, overflow, done: Vec::new() }
    }

    fn take(&mut self, command: Command) {
        match command.row_on_disk() {
            None => self.memory.execute(command, &mut self.done),
            Some(row) => {
                let partition = self.slots.partition(row.slot);
                let overflow = &mut self.overflow[2 * usize::from(partition) + usize::from(command.is_read())];
                overflow.push_back(command);
                if overflow.len() == 1 {
                    send(self.disk.as_mut(), partition, overflow);
                }
            }
        }
    }

    /// Sends what found no room before, and wakes the threads that have something to do.
    pub(super) fn publish(&mut self) {
        for (lane, overflow) in (0..).zip(&mut self.overflow) {
            send(self.disk.as_mut(), lane / 2, overflow);
        }
        if let Some(disk) = &mut self.disk {
            disk.publish();
        }
    }

    /// Whether the disk has answered something.
    pub(super) fn has_outcomes(&self) -> bool {
        self.disk.as_ref().is_some_and(ShardStore::has_outcomes)
    }

    fn next_outcome(&mut self) -> Option<Outcome> {
        self.disk.as_mut()?.next()
    }

    /// The threads of the store see that nothing more comes.
    pub(super) fn close(&mut self) {
        self.disk = None;
    }

    /// Whether every command has left for its partition.
    pub(super) fn is_quiet(&self) -> bool {
        self.overflow.iter().all(VecDeque::is_empty)
    }
}

/// As many as there is room for.
fn send(disk: Option<&mut ShardStore>, partition: PartitionId, commands: &mut VecDeque<Command>) {
    if commands.is_empty() {
        return;
    }
    let disk = disk.expect("what is on disk has a disk");
    while let Some(command) = commands.pop_front() {
        if let Err(command) = disk.send(partition, command) {
            return commands.push_front(command);
        }
    }
}

impl Shard {
    /// Gives the store what was asked of it. What is in memory completes at once, and what that leads to goes to the store again.
    pub(super) fn run_store(&mut self) {
        let Shard { fx, keep, conversations, now, .. } = self;
        while !fx.commands.is_empty() {
            let mut commands = std::mem::take(&mut fx.commands);
            commands.drain(..).for_each(|command| keep.take(command));
            fx.commands = commands;
            let mut done = std::mem::take(&mut keep.done);
            done.drain(..).for_each(|outcome| conversations.outcome(outcome, *now, fx));
            keep.done = done;
        }
    }

    /// What the disk has done, as far as the lanes have room for what follows from it.
    pub(super) fn take_outcomes(&mut self) {
        for _ in 0..OUTCOMES_PER_TURN {
            if self.room() < EVENTS_PER_OUTCOME {
                return;
            }
            let Some(outcome) = self.keep.next_outcome() else { return };
            if outcome.is_for_users() {
                self.users.outcome(outcome, self.now, &mut self.fx);
            } else {
                self.conversations.outcome(outcome, self.now, &mut self.fx);
            }
            self.run_store();
            self.stage();
        }
    }
}
