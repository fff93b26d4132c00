//! Reading a range of the log: for sync, for sessions that catch up, for shards whose fan-out fell behind.

use std::sync::Arc;

use super::{Conversations, Record};
use crate::clock::Now;
use crate::effects::Effects;
use crate::mesh::{Event, Head, Page, Read, ReadFor, Refusal, Skipped};
use crate::slot::ShardId;
use crate::store::{Asked, Command, LogId, ReadRange};
use crate::wire::schema::{Direction, ErrorCode, SkipReason};

impl Conversations {
    pub(super) fn read(&mut self, from: ShardId, read: Read, fx: &mut Effects) {
        let (records_max, bytes_max) = (self.limits.page_messages_max, self.limits.page_bytes_max);
        let (key, purpose) = (read.key.clone(), read.purpose);
        let refused = |refusal| Event::Page { key, purpose, result: Err(refusal) };
        let result = match purpose {
            // The members among the receivers of a shard are those of its attachments.
            ReadFor::Mirror => self.find(&read.key).ok_or(Refusal::new(ErrorCode::unknown_conversation)),
            _ => self.readable(&read.key, &read.user),
        };
        match result {
            Err(refusal) => fx.event(from, refused(refusal)),
            Ok(conversation) => {
                let head = conversation.head(&read.user);
                let backward = read.direction == Direction::backward;
                let (gap, start) = place(&read, &head);
                let lowest = head.first.max(visible_from(&read, &head));
                let (first, last) = if backward { (lowest, start) } else { (start.max(lowest), head.committed) };
                fx.commands.push(Command::Read(Box::new(ReadRange {
                    log: conversation.log,
                    place: conversation.place,
                    durability: conversation.policy.durability,
                    from: first,
                    to: last,
                    records_max: if read.limit == 0 { records_max } else { read.limit.min(records_max) },
                    bytes_max: bytes_max.into(),
                    backward,
                    asked: Asked { shard: from, epoch: head.epoch, read, gap, start },
                })));
            }
        }
    }

    pub(super) fn range(&mut self, log: LogId, records: Vec<Arc<Record>>, asked: Asked, now: Now, fx: &mut Effects) {
        let Some(conversation) = self.all.get(log).filter(|c| c.epoch == asked.epoch) else {
            // It has ended meanwhile; the log may be that of another one by now.
            let result = Err(Refusal::new(ErrorCode::unknown_conversation));
            return fx.event(asked.shard, Event::Page { key: asked.read.key, purpose: asked.read.purpose, result });
        };
        let head = conversation.head(&asked.read.user);
        let page = match asked.read.direction {
            Direction::backward => page_down(head, records, &asked, now),
            _ => page_up(head, records, &asked, now),
        };
        let event = Event::Page { key: asked.read.key, purpose: asked.read.purpose, result: Ok(Box::new(page)) };
        fx.event(asked.shard, event);
    }
}

fn visible_from(read: &Read, head: &Head) -> u64 {
    if read.purpose == ReadFor::Mirror { 1 } else { head.visible_from }
}

/// Where to begin, and whether the cursor could not be honoured. Forward: the first seq wanted; backward: the last.
fn place(read: &Read, head: &Head) -> (bool, u64) {
    let (epoch, seq) = read.cursor;
    let from_nothing = (epoch, seq) == (0, 0);
    if read.direction == Direction::backward {
        let foreign = !from_nothing && (epoch != head.epoch || seq > head.committed);
        return if from_nothing || foreign || seq == 0 { (foreign, head.committed) } else { (false, seq) };
    }
    let foreign = !from_nothing && (epoch != head.epoch || seq > head.committed);
    // A session or shard that was already receiving is told what was trimmed under it by a skip; it knows of the rest.
    let trimmed = seq + 1 < head.first && matches!(read.purpose, ReadFor::Sync(_));
    if foreign || trimmed { (true, head.first) } else { (false, seq + 1) }
}

fn page_up(head: Head, records: Vec<Arc<Record>>, asked: &Asked, now: Now) -> Page {
    let mut builder = Builder::new(asked.start);
    // What was trimmed after it had been read is here all the same.
    let first = records.first().map_or(head.first, |record| record.seq.min(head.first));
    builder.skip_to(first, SkipReason::trimmed);
    builder.skip_to(visible_from(&asked.read, &head).min(head.committed + 1), SkipReason::before_joined);
    records.into_iter().for_each(|record| builder.push(record, now));
    let next = builder.expected - 1;
    Page { head, gap: asked.gap, records: builder.records, skips: builder.skips, next, has_more: next < head.committed }
}

fn page_down(head: Head, records: Vec<Arc<Record>>, asked: &Asked, now: Now) -> Page {
    let lowest = head.first.max(head.visible_from);
    let begin = records.first().map_or(asked.start + 1, |r| r.seq);
    let mut builder = Builder::new(begin);
    records.into_iter().for_each(|record| builder.push(record, now));
    let next = begin - 1;
    Page { head, gap: asked.gap, records: builder.records, skips: builder.skips, next, has_more: next >= lowest }
}

/// Puts records in a row, and into words what is missing between them.
struct Builder {
    expected: u64,
    records: Vec<Arc<Record>>,
    skips: Vec<Skipped>,
}

impl Builder {
    fn new(expected: u64) -> Builder {
        Builder { expected, records: Vec::new(), skips: Vec::new() }
    }

    fn skip_to(&mut self, seq: u64, why: SkipReason) {
        if seq <= self.expected {
            return;
        }
        match self.skips.last_mut().filter(|last| last.why == why && last.to + 1 == self.expected) {
            Some(last) => last.to = seq - 1,
            None => self.skips.push(Skipped { from: self.expected, to: seq - 1, why }),
        }
        self.expected = seq;
    }

    fn push(&mut self, record: Arc<Record>, now: Now) {
        self.skip_to(record.seq, SkipReason::trimmed);
        if record.is_expired(now.wall_ms) {
            self.skip_to(record.seq + 1, SkipReason::expired);
        } else {
            self.expected = record.seq + 1;
            self.records.push(record);
        }
    }
}
