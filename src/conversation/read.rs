//! Reading a range of the log: for sync, for sessions that catch up, for shards whose fan-out fell behind.

use std::collections::VecDeque;
use std::sync::Arc;

use super::retract::refused;
use super::{Conversation, Conversations, Record, TAIL_MAX};
use crate::clock::Now;
use crate::effects::Effects;
use crate::mesh::{Event, Head, Page, Read, ReadFor, Refusal, Skipped};
use crate::slot::ShardId;
use crate::store::{Asked, Command, LogId, NotRead, ReadRange};
use crate::wire::schema::{Direction, ErrorCode, RecordKind, SkipReason};

impl Conversations {
    pub(super) fn read(&mut self, from: ShardId, read: Read, now: Now, fx: &mut Effects) {
        let (records_max, bytes_max) = (self.limits.page_messages_max, self.limits.page_bytes_max);
        let found = match read.purpose {
            // The members among the receivers of a shard are those of its attachments.
            ReadFor::Mirror => self.find(&read.key).ok_or(Refusal::new(ErrorCode::unknown_conversation)),
            _ => self.readable(&read.key, &read.user),
        };
        let conversation = match found {
            Ok(conversation) => conversation,
            Err(refusal) => return fx.event(from, refused(read, refusal)),
        };
        let head = conversation.head(&read.user);
        let backward = read.direction == Direction::backward;
        let (gap, start) = place(&read, &head);
        let lowest = head.first.max(visible_from(&read, &head));
        let (first, last) = match read.purpose {
            ReadFor::Retract(_) if read.cursor.0 != head.epoch || read.cursor.1 < lowest || read.cursor.1 > head.committed => {
                (1, 0)
            }
            ReadFor::Retract(_) => (read.cursor.1, read.cursor.1),
            _ if backward => (lowest, start),
            _ => (start.max(lowest), head.committed),
        };
        let range = ReadRange {
            log: conversation.log,
            place: conversation.place,
            durability: conversation.policy.durability,
            from: first,
            to: last,
            records_max: if read.limit == 0 { records_max } else { read.limit.min(records_max) },
            bytes_max: bytes_max.into(),
            backward,
            asked: Asked { shard: from, epoch: head.epoch, read, gap, start, taken_back: conversation.taken_back.count },
        };
        conversation.reading += 1;
        if first > last {
            // There is nothing to ask the store for.
            let log = conversation.log;
            return self.range(log, Ok(Vec::new()), range.asked, now, fx);
        }
        fx.commands.push(Command::Read(Box::new(range)));
    }

    pub(super) fn range(
        &mut self,
        log: LogId,
        records: Result<Vec<Arc<Record>>, NotRead>,
        asked: Asked,
        now: Now,
        fx: &mut Effects,
    ) {
        let (records_max, bytes_max) = (self.limits.page_messages_max as usize, self.limits.page_bytes_max as usize);
        let Some(conversation) = self.all.get_mut(log).filter(|c| c.epoch == asked.epoch && c.key == asked.read.key) else {
            // It has ended meanwhile; the log may be that of another one by now.
            return fx.event(asked.shard, refused(asked.read, Refusal::new(ErrorCode::unknown_conversation)));
        };
        if let ReadFor::Retract(reply) = asked.read.purpose {
            conversation.done_reading();
            return self.retract(reply, records, asked, now, fx);
        }
        let Ok(mut records) = records else {
            conversation.done_reading();
            return fx.event(asked.shard, refused(asked.read, Refusal::new(ErrorCode::internal)));
        };
        if asked.read.purpose != ReadFor::Mirror && !conversation.may_read(&asked.read.user) {
            // He was removed while the disk was read; what is numbered after it is not for him.
            conversation.done_reading();
            return fx.event(asked.shard, refused(asked.read, Refusal::new(ErrorCode::unknown_conversation)));
        }
        let head = conversation.head(&asked.read.user);
        let history_ttl_ms = conversation.policy.history_ttl_ms;
        let is_backward = asked.read.direction == Direction::backward;
        if !is_backward {
            let records_max = if asked.read.limit == 0 { records_max } else { records_max.min(asked.read.limit as usize) };
            conversation.extend_to_the_end(&mut records, asked.start, records_max, bytes_max);
        }
        let is_current = conversation.taken_back.apply(&mut records, asked.taken_back);
        conversation.done_reading();
        if !is_current {
            return self.read(asked.shard, asked.read, now, fx);
        }
        let hides = |record: &Record| record.is_expired(now.wall_ms) || is_past(record, history_ttl_ms, now);
        let page = if is_backward { page_down(head, records, &asked, hides) } else { page_up(head, records, &asked, hides) };
        let Read { key, purpose, cursor, .. } = asked.read;
        fx.event(asked.shard, Event::Page { key, purpose, cursor, result: Ok(Box::new(page)) });
    }
}

/// Messages that were taken back while somebody reads from disk: what he reads may be from before that, and comes after it.
#[derive(Debug, Default)]
pub(super) struct TakenBack {
    count: u64,
    newest: VecDeque<u64>,
}

impl TakenBack {
    fn push(&mut self, seq: u64) {
        if self.newest.len() >= TAIL_MAX {
            self.newest.pop_front();
        }
        self.newest.push_back(seq);
        self.count += 1;
    }

    /// Removes their bodies from what was asked for when `before` had been taken back. False: too many have been since, it must be read again.
    fn apply(&self, records: &mut [Arc<Record>], before: u64) -> bool {
        if self.count - before > self.newest.len() as u64 {
            return false;
        }
        for record in records.iter_mut().filter(|record| self.newest.contains(&record.seq)) {
            *record = Arc::new(record.retracted());
        }
        true
    }
}

impl Conversation {
    fn done_reading(&mut self) {
        self.reading -= 1;
        if self.reading == 0 {
            self.tail.clear();
            self.taken_back = TakenBack::default();
        }
    }

    /// While somebody reads from disk, what is committed is kept for the end of his page: else a page could never reach the end of a busy log.
    pub(super) fn remember_for_readers(&mut self, record: &Arc<Record>) {
        if self.reading > 0 {
            if self.tail.len() >= TAIL_MAX {
                self.tail.pop_front();
            }
            self.tail.push_back(record.clone());
            if record.content.kind == RecordKind::retracted {
                self.taken_back.push(record.content.target);
            }
        }
    }

    /// Adds what was committed after the page had been asked for, if the page comes up to there, as far as it has room.
    fn extend_to_the_end(&self, records: &mut Vec<Arc<Record>>, start: u64, records_max: usize, bytes_max: usize) {
        let next = records.last().map_or(start, |record| record.seq + 1);
        let Some(first) = self.tail.front().map(|record| record.seq).filter(|&first| first <= next) else { return };
        let mut bytes: usize = records.iter().map(|record| record.memory_bytes()).sum();
        for record in self.tail.iter().skip((next - first) as usize) {
            bytes += record.memory_bytes();
            if records.len() >= records_max || bytes > bytes_max {
                return;
            }
            records.push(record.clone());
        }
    }
}

fn is_past(record: &Record, history_ttl_ms: u64, now: Now) -> bool {
    history_ttl_ms != 0 && record.time_ms.saturating_add(history_ttl_ms) <= now.wall_ms
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
    let trimmed = || seq + 1 < head.first && matches!(read.purpose, ReadFor::Sync(_));
    if foreign || trimmed() { (true, head.first) } else { (false, seq + 1) }
}

fn page_up(head: Head, records: Vec<Arc<Record>>, asked: &Asked, hides: impl Fn(&Record) -> bool) -> Page {
    let mut builder = Builder::new(asked.start);
    // What was trimmed after it had been read is here all the same.
    let first = records.first().map_or(head.first, |record| record.seq.min(head.first));
    builder.skip_to(first, SkipReason::trimmed);
    builder.skip_to(visible_from(&asked.read, &head).min(head.committed + 1), SkipReason::before_joined);
    records.into_iter().for_each(|record| builder.push(record, &hides));
    let next = builder.expected - 1;
    Page { head, gap: asked.gap, records: builder.records, skips: builder.skips, next, has_more: next < head.committed }
}

fn page_down(head: Head, records: Vec<Arc<Record>>, asked: &Asked, hides: impl Fn(&Record) -> bool) -> Page {
    let lowest = head.first.max(head.visible_from);
    // See [`Builder::push`].
    let records: Vec<_> = records.into_iter().skip_while(|record| record.seq < visible_from(&asked.read, &head)).collect();
    let begin = records.first().map_or(asked.start + 1, |r| r.seq);
    let mut builder = Builder::new(begin);
    records.into_iter().for_each(|record| builder.push(record, &hides));
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

    fn push(&mut self, record: Arc<Record>, hides: impl Fn(&Record) -> bool) {
        if record.seq < self.expected {
            // While it was read from disk, he whom the page is for has left and come back: it is from before that.
            return;
        }
        self.skip_to(record.seq, SkipReason::trimmed);
        if hides(&record) {
            self.skip_to(record.seq + 1, SkipReason::expired);
        } else {
            self.expected = record.seq + 1;
            self.records.push(record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::Content;

    #[test]
    fn a_page_is_read_again_when_it_is_not_known_what_it_should_not_show() {
        let record = |seq| Record { epoch: 1, seq, time_ms: 1, sender: "ann".into(), content: Content::message(&b"body"[..]) };
        let page = || (1..=3).map(|seq| Arc::new(record(seq))).collect::<Vec<_>>();
        let mut taken_back = TakenBack::default();
        taken_back.push(2);
        let mut records = page();
        assert!(taken_back.apply(&mut records, 0));
        assert_eq!(records.iter().map(|record| record.content.body.len()).collect::<Vec<_>>(), [4, 0, 4]);
        let before = taken_back.count;
        (0..TAIL_MAX as u64).for_each(|seq| taken_back.push(100 + seq));
        assert!(taken_back.apply(&mut page(), before));
        assert!(!taken_back.apply(&mut page(), before - 1));
    }
}
