//! Receipts, which are remembered and passed on, and ephemeral events, which are only passed on.

use bytes::Bytes;

use super::publish::refusal;
use super::{Conversation, Conversations, Key, Kind, Name};
use crate::clock::Now;
use crate::effects::Effects;
use crate::mesh::{Event, Refusal, Reply};
use crate::slot::{ShardId, Slots};
use crate::store::{Command, LogId, NotStored, PutReceipts};
use crate::wire::schema::{ErrorCode, ReceiptKind};

/// A receipt that waits to be stored, with who is told then.
#[derive(Clone, Debug)]
struct Note {
    from: ShardId,
    user: Name,
    reply: Reply,
    kind: ReceiptKind,
    seq: u64,
}

/// Receipts of a conversation that are on their way to the disk: lazily, and many at once.
#[derive(Debug, Default)]
pub(super) struct Noting {
    waiting: Vec<Note>,
    writing: Vec<Note>,
}

impl Conversations {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn receipt(
        &mut self,
        from: ShardId,
        key: Key,
        user: Name,
        reply: Reply,
        kind: ReceiptKind,
        (epoch, seq): (u64, u64),
        now: Now,
        fx: &mut Effects,
    ) {
        let due_ms = now.mono_ms + u64::from(self.limits.receipts_delay_ms);
        let result = self.readable(&key, &user).and_then(|conversation| {
            if epoch != conversation.epoch || seq > conversation.committed {
                return Err(Refusal::new(ErrorCode::bad_request));
            }
            Ok(conversation.log)
        });
        let note = Note { from, user, reply, kind, seq };
        match result {
            Err(refusal) => fx.event(from, noted(&key, epoch, &note, Err(refusal))),
            Ok(log) if self.all[log].policy.durability.is_on_disk() => {
                let is_first = self.all[log].noting.is_none();
                self.all[log].noting.get_or_insert_default().waiting.push(note);
                if is_first {
                    self.receipts_due.push_back((due_ms, log));
                }
            }
            Ok(log) => {
                let (slots, members_max) = (self.slots, self.limits.receipts_group_members_max as usize);
                self.all[log].note(&note, members_max, &slots, fx);
                fx.event(from, noted(&key, epoch, &note, Ok(())));
            }
        }
    }

    /// Sends receipts to the disk that have waited long enough.
    pub fn tick(&mut self, now: Now, fx: &mut Effects) {
        while let Some((_, log)) = self.receipts_due.pop_front_if(|(due_ms, _)| *due_ms <= now.mono_ms) {
            self.put_receipts(log, fx);
        }
    }

    /// When [`Self::tick`] has something to do, in monotonic ms.
    pub fn next_tick_ms(&self) -> Option<u64> {
        self.receipts_due.front().map(|&(due_ms, _)| due_ms)
    }

    fn put_receipts(&mut self, log: LogId, fx: &mut Effects) {
        let Some(conversation) = self.all.get_mut(log) else { return };
        let Some(mut noting) = conversation.noting.take() else { return };
        noting.writing = std::mem::take(&mut noting.waiting);
        let mut receipts: Vec<(Name, u64, u64)> = Vec::new();
        for Note { user, kind, seq, .. } in &noting.writing {
            let at = receipts.iter().position(|(known, ..)| known == user).unwrap_or_else(|| {
                let (delivered, read) = conversation.receipts_of(user);
                receipts.push((user.clone(), delivered, read));
                receipts.len() - 1
            });
            let (_, delivered, read) = &mut receipts[at];
            let place = if *kind == ReceiptKind::read { read } else { delivered };
            *place = (*place).max(*seq);
        }
        let (place, durability) = (conversation.place, conversation.policy.durability);
        fx.commands.push(Command::PutReceipts(Box::new(PutReceipts { log, place, durability, receipts })));
        conversation.noting = Some(noting);
    }

    /// Receipts are stored, or not: those who gave them are told, and the others if they are.
    pub(super) fn receipts_put(&mut self, put: &PutReceipts, result: Result<(), NotStored>, now: Now, fx: &mut Effects) {
        let (slots, members_max) = (self.slots, self.limits.receipts_group_members_max as usize);
        let Some(conversation) = self.all.get_mut(put.log).filter(|c| c.place == put.place) else { return };
        let Some(mut noting) = conversation.noting.take() else { return };
        let (key, epoch) = (conversation.key.clone(), conversation.epoch);
        let mut told = Effects::default();
        for note in noting.writing.drain(..) {
            if result.is_ok() {
                conversation.note(&note, members_max, &slots, &mut told);
            }
            told.event(note.from, noted(&key, epoch, &note, result.map_err(refusal)));
        }
        if !noting.waiting.is_empty() {
            conversation.noting = Some(noting);
            self.receipts_due.push_back((now.mono_ms + u64::from(self.limits.receipts_delay_ms), put.log));
        }
        self.late.extend(told.events);
        let _ = fx;
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn ephemeral(
        &mut self,
        from: ShardId,
        key: Key,
        sender: Name,
        reply: Reply,
        name: Box<str>,
        body: Bytes,
        fx: &mut Effects,
    ) {
        let slots = self.slots;
        let result = match self.readable(&key, &sender) {
            Ok(conversation) => {
                conversation.tell(&slots, fx, |_| Event::Ephemeral {
                    key: key.clone(),
                    sender: sender.clone(),
                    name: name.clone(),
                    body: body.clone(),
                });
                Ok(())
            }
            Err(refusal) => Err(refusal),
        };
        fx.event(from, Event::Done { reply, result });
    }
}

/// The answer to a receipt.
fn noted(key: &Key, epoch: u64, note: &Note, result: Result<(), Refusal>) -> Event {
    Event::Noted { key: key.clone(), reply: note.reply, kind: note.kind, cursor: (epoch, note.seq), result }
}

impl Conversation {
    /// Remembers a receipt, and tells others.
    fn note(&mut self, note: &Note, members_max: usize, slots: &Slots, fx: &mut Effects) {
        let Note { from, user, reply, kind, seq } = note;
        let advanced = self.advance_receipt(user, *kind, *seq);
        let told = advanced && self.group.as_ref().is_none_or(|group| group.len() <= members_max);
        if told {
            self.tell(slots, fx, |shard| Event::Receipted {
                key: self.key.clone(),
                user: user.clone(),
                kind: *kind,
                cursor: (self.epoch, *seq),
                origin: (shard == *from).then_some(reply.session),
            });
        }
    }

    /// Delivered and read, as they are remembered.
    fn receipts_of(&self, user: &str) -> (u64, u64) {
        match &self.group {
            Some(group) => group.member(user).map_or((0, 0), |member| (member.delivered, member.read)),
            None => self.receipt_of(user),
        }
    }

    /// Receipts never go back. Says whether this one went on. Topics and broadcast keep none.
    fn advance_receipt(&mut self, user: &Name, kind: ReceiptKind, seq: u64) -> bool {
        let side = if self.key.kind() == Kind::Direct { self.side(user) } else { 0 };
        let place = match (&mut self.group, self.key.kind()) {
            (Some(group), _) => match group.member_mut(user) {
                Some(member) if kind == ReceiptKind::read => &mut member.read,
                Some(member) => &mut member.delivered,
                None => return false,
            },
            (None, Kind::Direct) if kind == ReceiptKind::read => &mut self.receipts[side].1,
            (None, Kind::Direct) => &mut self.receipts[side].0,
            _ => return false,
        };
        let advanced = seq > *place;
        *place = seq.max(*place);
        advanced
    }
}
