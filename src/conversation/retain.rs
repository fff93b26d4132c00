//! What is no longer shown: a conversation keeps so many messages, or so many bytes, of what it had. What falls out is hidden at once; the disk
//! learns of it soon, and really removes it after the grace period.

use super::Conversation;
use crate::effects::Effects;
use crate::store::{Command, PutHead};

impl Conversation {
    /// A record has been committed.
    pub(super) fn note_size(&mut self, seq: u64, bytes: usize) {
        if self.policy.history_bytes_max > 0 {
            self.sizes.push_back((seq, bytes as u32));
            self.sizes_sum += bytes as u64;
        }
    }

    /// Moves `first` to where the policy has it. Logs in memory are trimmed by their store.
    pub(super) fn retain(&mut self) {
        if !self.policy.durability.is_on_disk() {
            return;
        }
        let before = self.first;
        if self.policy.history_messages_max > 0 {
            self.first = self.first.max((self.committed + 1).saturating_sub(self.policy.history_messages_max));
        }
        if self.policy.history_bytes_max > 0 {
            // The newest is kept however large it is.
            while self.sizes_sum > self.policy.history_bytes_max && self.sizes.len() > 1 {
                let (seq, bytes) = self.sizes.pop_front().expect("there are two");
                self.sizes_sum -= u64::from(bytes);
                self.first = self.first.max(seq + 1);
            }
            while let Some((_, bytes)) = self.sizes.pop_front_if(|&mut (seq, _)| seq < self.first) {
                self.sizes_sum -= u64::from(bytes);
            }
        }
        self.is_head_due |= self.first != before;
    }

    /// Tells the disk, if it does not know, once there is something on it.
    pub(super) fn put_head_if_due(&mut self, fx: &mut Effects) {
        if self.is_head_due && self.committed > 0 {
            self.is_head_due = false;
            let (key, place, epoch, first) = (self.key.clone(), self.place, self.epoch, self.first);
            fx.commands.push(Command::PutHead(Box::new(PutHead { key, place, epoch, first })));
        }
    }
}
