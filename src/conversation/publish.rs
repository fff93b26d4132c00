//! Publish: sequence -> append -> acknowledge -> fan out, once per client id.

use std::sync::Arc;

use smallvec::SmallVec;

use super::dedupe::{Fingerprint, Known};
use super::{Appending, Conversation, Conversations, IN_FLIGHT_MAX, Key, Name, Record};
use crate::clock::Now;
use crate::effects::Effects;
use crate::mesh::{Event, Placed, Publish, Refusal, Reply};
use crate::slot::{RowId, ShardId, Slots};
use crate::store::{LogId, NotStored};
use crate::wire::schema::{ErrorCode, RecordKind};

/// How long a publisher whose append failed should wait.
const NOT_STORED_RETRY_MS: u32 = 1000;
/// How long one should wait whose append found the disk full.
const DISK_FULL_RETRY_MS: u32 = 5000;

/// Publishers that one append answers: the first, and those who repeat it while it is on its way. More are told `busy`.
pub(super) const REPLIES_MAX: usize = 8;

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
    pub(super) fn publish(&mut self, from: ShardId, publish: Publish, now: Now, fx: &mut Effects) {
        let reply = publish.reply;
        if let Err(refusal) = self.try_publish(from, publish, now, fx) {
            fx.event(from, Event::Placed { reply, result: Err(refusal) });
        }
    }

    /// Whether one more append may be on its way to the partition of a conversation: a commit that stalls must not fill the memory.
    pub(super) fn has_room_to_append(&self, row: RowId) -> bool {
        let Appending { records, bytes } = self.appending[usize::from(self.slots.partition(row.slot))];
        records < self.limits.appends_in_flight_max && bytes < self.limits.append_bytes_in_flight_max
    }

    /// Counts appends that a conversation has just sent to the disk.
    pub(super) fn count_appends(&mut self, log: LogId, records: usize) {
        let conversation = &self.all[log];
        if conversation.policy.durability.is_on_disk() {
            let appending = &mut self.appending[usize::from(self.slots.partition(conversation.place.row.slot))];
            for in_flight in conversation.in_flight.iter().rev().take(records) {
                appending.records += 1;
                appending.bytes += in_flight.record.memory_bytes() as u64;
            }
        }
    }

    fn count_appended(&mut self, row: RowId, in_flight: &[InFlight]) {
        let appending = &mut self.appending[usize::from(self.slots.partition(row.slot))];
        for in_flight in in_flight {
            appending.records -= 1;
            appending.bytes -= in_flight.record.memory_bytes() as u64;
        }
    }

    fn try_publish(&mut self, from: ShardId, publish: Publish, now: Now, fx: &mut Effects) -> Result<(), Refusal> {
        let (slots, dedupe_ms, dedupe_max) = (self.slots, self.limits.dedupe_ms, self.limits.dedupe_messages_max);
        let log = self.find_or_create(&publish.key)?.log;
        let is_on_disk = self.all[log].policy.durability.is_on_disk();
        if is_on_disk && !self.has_room_to_append(self.all[log].place.row) {
            return Err(Refusal::busy());
        }
        let conversation = &mut self.all[log];
        let may_publish = conversation.may_read(&publish.sender);
        if !may_publish {
            return Err(Refusal::new(ErrorCode::unknown_conversation));
        }
        if conversation.in_flight.len() >= IN_FLIGHT_MAX {
            return Err(Refusal::busy());
        }
        let Publish { sender, reply, content, .. } = publish;
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
                    return conversation.join_in_flight(seq, from, reply);
                }
            }
        }
        conversation.append(sender, content, |record| InFlight::of(record, from, reply), now, fx);
        if is_on_disk {
            self.count_appends(log, 1);
        }
        Ok(())
    }

    pub(super) fn appended(&mut self, log: LogId, attempt: u32, seq: u64, result: Result<(), NotStored>, fx: &mut Effects) {
        let slots = self.slots;
        let Some(conversation) = self.all.get_mut(log).filter(|c| c.attempt == attempt) else { return };
        let (row, is_on_disk) = (conversation.place.row, conversation.policy.durability.is_on_disk());
        let changes_before = conversation.changes_in_flight;
        match result {
            Ok(()) => {
                let done = conversation.commit(seq, &slots, fx);
                if is_on_disk {
                    self.count_appended(row, &[done]);
                }
            }
            Err(why) => {
                let failed = conversation.fail_all_in_flight();
                let refusal = refusal(why);
                let key = &conversation.key;
                for in_flight in &failed {
                    let answers = in_flight.replies.iter();
                    self.late.extend(answers.map(|&(to, reply)| (to, answer(key, &in_flight.record, reply, Err(refusal)))));
                }
                if is_on_disk {
                    let not_added = not_added(key, &failed);
                    self.late.extend(not_added.map(|(user, event)| (slots.home(user.as_bytes()), event)));
                    self.count_appended(row, &failed);
                }
            }
        }
        let conversation = &self.all[log];
        if conversation.group.as_ref().is_some_and(|group| group.is_empty()) && conversation.changes_in_flight == 0 {
            self.dissolve(log, fx);
        } else if conversation.changes_in_flight < changes_before {
            // What waited for the change is judged now, in order, up to the next change.
            self.make_ready(log);
        }
    }

    /// A disbanded group is gone once its last record is; those who still wait for it meet none, or found the next one.
    fn dissolve(&mut self, log: LogId, fx: &mut Effects) {
        let Some(conversation) = self.all.get_mut(log) else { return };
        let waiting = std::mem::take(&mut conversation.waiting);
        self.again.extend(waiting);
        self.remove(log, fx);
    }
}

impl Conversation {
    /// The same message is being written already: whoever repeats it gets the same answer.
    fn join_in_flight(&mut self, seq: u64, from: ShardId, reply: Reply) -> Result<(), Refusal> {
        let first = self.in_flight.front().map_or(seq, |f| f.record.seq);
        let in_flight = self.in_flight.get_mut((seq - first) as usize).expect("what is above committed is in flight");
        if in_flight.replies.len() >= REPLIES_MAX {
            return Err(Refusal::busy());
        }
        in_flight.replies.push((from, reply));
        Ok(())
    }

    fn commit(&mut self, seq: u64, slots: &Slots, fx: &mut Effects) -> InFlight {
        let done = self.in_flight.pop_front().expect("what completes was in flight");
        let InFlight { record, replies, publisher } = &done;
        let publisher = *publisher;
        assert_eq!((record.seq, seq), (self.committed + 1, self.committed + 1), "appends complete in order");
        self.committed = seq;
        let placed = Placed { epoch: self.epoch, seq, time_ms: record.time_ms, duplicate: false };
        for (i, &(from, reply)) in replies.iter().enumerate() {
            let placed = Placed { duplicate: i > 0, ..placed };
            fx.event(from, answer(&self.key, record, reply, Ok(placed)));
        }
        self.tell(slots, fx, |shard| Event::Delivered {
            key: self.key.clone(),
            record: record.clone(),
            publisher: publisher.filter(|&(from, _)| from == shard).map(|(_, reply)| reply.session),
        });
        if record.content.is_change() {
            self.changes_in_flight -= 1;
            self.apply_change(record, publisher, slots, fx);
        }
        if self.policy.durability.is_on_disk() {
            self.note_size(seq, record.content.body.len());
            self.retain();
            self.remember_for_readers(record);
        }
        done
    }

    /// Nothing of what failed was ever shown; the next attempt takes the same numbers.
    fn fail_all_in_flight(&mut self) -> Vec<InFlight> {
        self.attempt += 1;
        self.last_seq = self.committed;
        self.changes_in_flight = 0;
        self.dedupe.forget_above(self.committed);
        self.in_flight.drain(..).collect()
    }
}

/// Of a group that was founded, those whose records came after the first and failed: they were hinted for nothing, and nobody waits for an answer.
fn not_added<'a>(key: &'a Key, failed: &'a [InFlight]) -> impl Iterator<Item = (Name, Event)> + 'a {
    let is_founded = !failed.iter().any(|in_flight| in_flight.record.content.kind == RecordKind::created);
    let unasked = failed.iter().filter(move |in_flight| is_founded && in_flight.replies.is_empty());
    let subjects = unasked.filter_map(|in_flight| in_flight.record.content.subject.clone());
    subjects.map(|user| (user.clone(), Event::NotAdded { key: key.clone(), user }))
}

/// What those are told whose records were not stored.
pub(super) fn refusal(why: NotStored) -> Refusal {
    match why {
        NotStored::DiskFull => Refusal { code: ErrorCode::disk_full, retry_after_ms: DISK_FULL_RETRY_MS },
        NotStored::Failed => Refusal { code: ErrorCode::not_stored, retry_after_ms: NOT_STORED_RETRY_MS },
        NotStored::ListFull => Refusal::new(ErrorCode::too_many_conversations),
    }
}

/// The answer to whoever wanted this record.
fn answer(key: &Key, record: &Record, reply: Reply, result: Result<Placed, Refusal>) -> Event {
    match record.content.kind {
        RecordKind::message | RecordKind::retracted => Event::Placed { reply, result },
        kind => Event::Changed { key: key.clone(), reply, created: kind == RecordKind::created, result },
    }
}

/// Sender and client id, each with its length, hashed with the secret seed.
pub(super) fn fingerprint(slots: &Slots, sender: &str, client_id: &str) -> Fingerprint {
    let mut bytes = SmallVec::<[u8; 160]>::new();
    bytes.push(sender.len() as u8);
    bytes.extend_from_slice(sender.as_bytes());
    bytes.extend_from_slice(client_id.as_bytes());
    slots.fingerprint(&bytes)
}
