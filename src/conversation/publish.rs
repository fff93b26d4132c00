//! Publish: sequence -> append -> acknowledge -> fan out, once per client id.

use std::sync::Arc;

use smallvec::SmallVec;

use super::dedupe::{Fingerprint, Known};
use super::{Conversation, Conversations, IN_FLIGHT_MAX, Key, Record, WAITING_MAX, Waiting};
use crate::clock::Now;
use crate::effects::Effects;
use crate::mesh::{Event, Placed, Publish, Refusal, Reply};
use crate::slot::{ShardId, Slots};
use crate::store::{LogId, NotStored};
use crate::wire::schema::{ErrorCode, RecordKind};

/// How long a publisher whose append failed should wait.
const NOT_STORED_RETRY_MS: u32 = 1000;
/// How long one should wait whose append found the disk full.
const DISK_FULL_RETRY_MS: u32 = 5000;

/// An append on its way to the store.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) record: Arc<Record>,
    /// Who is told: the publisher, and those who published the same meanwhile. Empty for the later records of a larger change.
    pub(super) replies: SmallVec<[(ShardId, Reply); 1]>,
    /// The session that gets the ack in place of the record.
    pub(super) publisher: Option<(ShardId, Reply)>,
}

impl InFlight {
    pub(super) fn of(record: Arc<Record>, from: ShardId, reply: Reply) -> InFlight {
        InFlight { record, replies: SmallVec::from_slice(&[(from, reply)]), publisher: Some((from, reply)) }
    }
}

impl Conversations {
    pub(super) fn publish(&mut self, from: ShardId, publish: Box<Publish>, now: Now, fx: &mut Effects) {
        let reply = publish.reply;
        if let Err(refusal) = self.try_publish(from, publish, now, fx) {
            fx.event(from, Event::Placed { reply, result: Err(refusal) });
        }
    }

    fn try_publish(&mut self, from: ShardId, publish: Box<Publish>, now: Now, fx: &mut Effects) -> Result<(), Refusal> {
        let (slots, dedupe_ms, dedupe_max) = (self.slots, self.limits.dedupe_ms, self.limits.dedupe_messages_max);
        let conversation = self.find_or_create(&publish.key)?;
        if conversation.changes_in_flight > 0 {
            return conversation.wait(from, Waiting::Publish(publish));
        }
        let may_publish = conversation.may_read(&publish.sender);
        if !may_publish {
            return Err(Refusal::new(ErrorCode::unknown_conversation));
        }
        if conversation.in_flight.len() >= IN_FLIGHT_MAX {
            return Err(Refusal::busy());
        }
        let Publish { sender, reply, content, .. } = *publish;
        if let Some(client_id) = content.client_id.as_deref() {
            let fingerprint = fingerprint(&slots, &sender, client_id);
            conversation.dedupe.trim(conversation.committed, dedupe_max as usize, now.wall_ms.saturating_sub(dedupe_ms.into()));
            match conversation.dedupe.look_up(fingerprint, conversation.epoch, conversation.committed) {
                Known::No => {
                    let time_ms = conversation.last_time_ms.max(now.wall_ms);
                    conversation.dedupe.insert(fingerprint, conversation.last_seq + 1, time_ms);
                }
                Known::Placed(placed) => {
                    fx.event(from, Event::Placed { reply, result: Ok(placed) });
                    return Ok(());
                }
                Known::InFlight(seq) => {
                    conversation.join_in_flight(seq, from, reply);
                    return Ok(());
                }
            }
        }
        conversation.append(sender, content, |record| InFlight::of(record, from, reply), now, fx);
        Ok(())
    }

    pub(super) fn appended(
        &mut self,
        log: LogId,
        attempt: u32,
        seq: u64,
        result: Result<(), NotStored>,
        now: Now,
        fx: &mut Effects,
    ) {
        let slots = self.slots;
        let Some(conversation) = self.all.get_mut(log).filter(|c| c.attempt == attempt) else { return };
        match result {
            Ok(()) => conversation.commit(seq, &slots, fx),
            Err(why) => conversation.fail_all_in_flight(why, fx),
        }
        if conversation.group.as_ref().is_some_and(|group| group.is_empty()) && conversation.changes_in_flight == 0 {
            self.dissolve(log, now, fx);
        } else if conversation.changes_in_flight == 0 && !conversation.waiting.is_empty() {
            self.take_up_waiting(log, now, fx);
        }
    }

    /// What waited for a change of the group is judged now, in order, up to the next change.
    fn take_up_waiting(&mut self, log: LogId, now: Now, fx: &mut Effects) {
        while let Some(conversation) = self.all.get_mut(log) {
            if conversation.changes_in_flight > 0 {
                return;
            }
            match conversation.waiting.pop_front() {
                Some((from, Waiting::Publish(publish))) => self.publish(from, publish, now, fx),
                Some((from, Waiting::Change(change))) => self.change(from, change, now, fx),
                None => return,
            }
        }
    }

    /// A disbanded group is gone once its last record is; those who still wait for it meet none, or found the next one.
    fn dissolve(&mut self, log: LogId, now: Now, fx: &mut Effects) {
        let Some(conversation) = self.all.get_mut(log) else { return };
        let waiting = std::mem::take(&mut conversation.waiting);
        self.remove(log, fx);
        for (from, waiting) in waiting {
            match waiting {
                Waiting::Publish(publish) => self.publish(from, publish, now, fx),
                Waiting::Change(change) => self.change(from, change, now, fx),
            }
        }
    }
}

impl Conversation {
    pub(super) fn wait(&mut self, from: ShardId, waiting: Waiting) -> Result<(), Refusal> {
        if self.waiting.len() >= WAITING_MAX {
            return Err(Refusal::busy());
        }
        self.waiting.push_back((from, waiting));
        Ok(())
    }

    /// The same message is being written already: whoever repeats it gets the same answer.
    fn join_in_flight(&mut self, seq: u64, from: ShardId, reply: Reply) {
        let first = self.in_flight.front().map_or(seq, |f| f.record.seq);
        if let Some(in_flight) = self.in_flight.get_mut((seq - first) as usize) {
            in_flight.replies.push((from, reply));
        }
    }

    fn commit(&mut self, seq: u64, slots: &Slots, fx: &mut Effects) {
        let InFlight { record, replies, publisher } = self.in_flight.pop_front().expect("what completes was in flight");
        assert_eq!((record.seq, seq), (self.committed + 1, self.committed + 1), "appends complete in order");
        self.committed = seq;
        let placed = Placed { epoch: self.epoch, seq, time_ms: record.time_ms, duplicate: false };
        for (i, &(from, reply)) in replies.iter().enumerate() {
            let placed = Placed { duplicate: i > 0, ..placed };
            fx.event(from, answer(&self.key, &record, reply, Ok(placed)));
        }
        self.tell(slots, fx, |shard| Event::Delivered {
            key: self.key.clone(),
            record: record.clone(),
            publisher: publisher.filter(|&(from, _)| from == shard).map(|(_, reply)| reply.session),
        });
        if record.content.kind != RecordKind::message {
            self.changes_in_flight -= 1;
            self.apply_change(&record, publisher, slots, fx);
        }
    }

    /// Nothing of what failed was ever shown; the next attempt takes the same numbers.
    fn fail_all_in_flight(&mut self, why: NotStored, fx: &mut Effects) {
        self.attempt += 1;
        self.last_seq = self.committed;
        self.changes_in_flight = 0;
        self.dedupe.forget_above(self.committed);
        let refusal = match why {
            NotStored::DiskFull => Refusal { code: ErrorCode::disk_full, retry_after_ms: DISK_FULL_RETRY_MS },
            _ => Refusal { code: ErrorCode::not_stored, retry_after_ms: NOT_STORED_RETRY_MS },
        };
        for in_flight in self.in_flight.drain(..) {
            for &(from, reply) in &in_flight.replies {
                fx.event(from, answer(&self.key, &in_flight.record, reply, Err(refusal)));
            }
        }
    }
}

/// The answer to whoever wanted this record.
fn answer(key: &Key, record: &Record, reply: Reply, result: Result<Placed, Refusal>) -> Event {
    match record.content.kind {
        RecordKind::message => Event::Placed { reply, result },
        kind => Event::Changed { key: key.clone(), reply, created: kind == RecordKind::created, result },
    }
}

/// Sender and client id, each with its length, hashed with the secret seed.
fn fingerprint(slots: &Slots, sender: &str, client_id: &str) -> Fingerprint {
    let mut bytes = SmallVec::<[u8; 160]>::new();
    bytes.push(sender.len() as u8);
    bytes.extend_from_slice(sender.as_bytes());
    bytes.extend_from_slice(client_id.as_bytes());
    slots.fingerprint(&bytes)
}
