//! One log, record by record: no number twice, no time going back, no hole that nothing explains; and the members that it makes.

use std::collections::HashMap;

use super::Rules;
use crate::conversation::{Content, Name, Record};
use crate::store::LogPlace;
use crate::wire::schema::{RecordKind, Role};

/// Milliseconds of an epoch's birth: epochs count 2^20 for each.
const EPOCH_SHIFT: u32 = 20;
/// Holes of which each is remembered.
const HOLES_MAX: usize = 10_000;

/// A log up to the record that was read last.
#[derive(Debug)]
pub struct Log {
    /// Which.
    pub place: LogPlace,
    /// Its rows.
    pub rows: u64,
    first: u64,
    /// The last seq, and its time.
    pub last: (u64, u64),
    /// Seqs without a record, between the first row and the last, and a last row without one.
    holes: Vec<(u64, u64)>,
    /// How many seqs these are.
    pub gone: u64,
    /// What the records say of members.
    pub standings: HashMap<Name, Standing>,
    is_disbanded: bool,
}

/// What is wrong with a row of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// What stood before it is lost. This says what.
    Lost(String),
    /// It should not be there.
    Superfluous(&'static str),
    /// Nothing can be done about it.
    Odd(String),
}

/// What the last record about a user has made of him.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Of that record.
    pub seq: u64,
    /// Whether he is a member.
    pub is_member: bool,
    /// Seq with which he became one, if that record is there.
    pub joined: Option<u64>,
    /// What he may do.
    pub role: Role,
}

impl Log {
    /// Nothing of it has been read.
    pub fn new(place: LogPlace) -> Log {
        Log { place, rows: 0, first: 0, last: (0, 0), holes: Vec::new(), gone: 0, standings: HashMap::new(), is_disbanded: false }
    }

    /// Takes the next row; without a record if that was removed. `shown_from` and `epoch` are the head's. Says what is wrong.
    pub fn take(
        &mut self,
        (seq, time_ms): (u64, u64),
        record: Option<&Record>,
        (shown_from, epoch): (u64, u64),
        rules: Rules,
    ) -> Option<Wrong> {
        if seq == 0 {
            return Some(Wrong::Superfluous("records count from 1"));
        }
        let (before, time_before) = self.last;
        let mut wrong = None;
        if self.rows > 0 && time_ms < time_before {
            wrong = Some(Wrong::Odd(format!("its time is before that of record {before}")));
        }
        if self.is_disbanded {
            wrong = Some(Wrong::Odd("it comes after the group was disbanded".into()));
        }
        if self.rows > 0 && seq > before + 1 {
            self.hole(before + 1, seq - 1);
            // Whoever saw more knows by the epoch that something is lost.
            let is_announced = epoch == 0 || epoch >> EPOCH_SHIFT > time_before;
            let is_young = time_before.saturating_add(rules.grace_ms) > rules.now_ms.max(time_ms);
            if seq > shown_from && is_young && !is_announced {
                wrong = Some(Wrong::Lost(format!(
                    "records {} to {} are missing, and too young to have expired",
                    before + 1,
                    seq - 1
                )));
            }
        }
        if self.rows == 0 {
            self.first = seq;
        }
        match record {
            Some(record) => self.replay(record),
            None => self.hole(seq, seq),
        }
        self.rows += 1;
        self.last = (seq, time_ms);
        wrong
    }

    fn hole(&mut self, from: u64, to: u64) {
        self.gone += to - from + 1;
        let is_full = self.holes.len() >= HOLES_MAX;
        match self.holes.last_mut() {
            Some(last) if last.1 + 1 >= from || is_full => last.1 = to,
            _ => self.holes.push((from, to)),
        }
    }

    /// Whether the record with this seq is there. When there were too many holes to remember: whether it surely is.
    pub fn has(&self, seq: u64) -> bool {
        let at = self.holes.partition_point(|(_, to)| *to < seq);
        self.rows > 0 && seq >= self.first && seq <= self.last.0 && self.holes.get(at).is_none_or(|(from, _)| seq < *from)
    }

    /// Whether all records after this one are there.
    pub fn is_whole_after(&self, seq: u64) -> bool {
        self.holes.last().is_none_or(|(_, to)| *to <= seq)
    }

    /// What [`Group::apply`](crate::conversation::Group::apply) would make of it.
    fn replay(&mut self, record: &Record) {
        let Content { kind, subject, role, .. } = &record.content;
        let seq = record.seq;
        let enters = |role| Standing { seq, is_member: true, joined: Some(seq), role };
        match (*kind, subject) {
            (RecordKind::created, _) => drop(self.standings.insert(record.sender.clone(), enters(Role::owner))),
            (RecordKind::added | RecordKind::joined, Some(user)) => drop(self.standings.insert(user.clone(), enters(*role))),
            (RecordKind::removed | RecordKind::left, Some(user)) => {
                self.standings.insert(user.clone(), Standing { seq, is_member: false, joined: None, role: Role::none });
            }
            (RecordKind::role, Some(user)) => {
                let joined = self.standings.get(user).and_then(|before| before.joined);
                self.standings.insert(user.clone(), Standing { seq, is_member: true, joined, role: *role });
            }
            (RecordKind::disbanded, _) => self.is_disbanded = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::slot::RowId;

    const RULES: Rules = Rules { now_ms: 10_000, grace_ms: 1000, os_generation: 1 };

    fn log() -> Log {
        Log::new(LogPlace { row: RowId { slot: 1, fingerprint: 2 }, incarnation: 3 })
    }

    fn message(seq: u64, time_ms: u64) -> Record {
        Record { epoch: 0, seq, time_ms, sender: "alice".into(), content: Content::message("x") }
    }

    /// What is wrong with a log of records with these numbers and times, in an epoch that began at `epoch_ms`.
    fn wrong(records: &[(u64, u64)], shown_from: u64, epoch_ms: u64) -> Vec<Wrong> {
        let mut log = log();
        let take = |&(seq, time_ms): &(u64, u64)| {
            log.take((seq, time_ms), Some(&message(seq, time_ms)), (shown_from, epoch_ms << EPOCH_SHIFT), RULES)
        };
        records.iter().flat_map(take).collect()
    }

    #[test]
    fn a_hole_must_be_old_enough_or_announced() {
        assert!(wrong(&[(1, 5), (2, 5), (3, 7)], 1, 1).is_empty());
        assert!(wrong(&[(1, 5), (9, 9900)], 1, 1).is_empty(), "they expired long ago");
        let young = wrong(&[(1, 9500), (9, 9900)], 1, 1);
        assert!(matches!(&young[..], [Wrong::Lost(what)] if what.contains("records 2 to 8 are missing")), "{young:?}");
        assert!(wrong(&[(1, 9500), (9, 9900)], 9, 1).is_empty(), "they are not shown");
        assert!(wrong(&[(1, 9500), (9, 9900)], 1, 9600).is_empty(), "the epoch is younger than the hole");
        assert!(wrong(&[(4, 9500), (5, 9900)], 1, 1).is_empty(), "the beginning goes first");
        assert!(matches!(wrong(&[(1, 7), (2, 6)], 1, 1)[..], [Wrong::Odd(_)]));
        assert!(matches!(wrong(&[(0, 7), (1, 7)], 1, 1)[..], [Wrong::Superfluous(_)]));
    }

    #[test]
    fn holes_are_remembered() {
        let mut log = log();
        for seq in [3, 4, 8, 10] {
            log.take((seq, seq), Some(&message(seq, seq)), (1, 0), RULES);
        }
        log.take((11, 11), None, (1, 0), RULES);
        let there: Vec<u64> = (0..15).filter(|seq| log.has(*seq)).collect();
        assert_eq!(there, [3, 4, 8, 10]);
        assert_eq!(log.gone, 3 + 1 + 1);
        assert!(!log.is_whole_after(10) && log.is_whole_after(11));
    }

    #[test]
    fn members_are_those_of_the_last_record() {
        let mut log = log();
        let mut seq = 0;
        let mut put = |kind, subject: Option<&str>, role| {
            seq += 1;
            let content = Content::change(kind, subject.map(Into::into), role, Bytes::new());
            let record = Record { epoch: 0, seq, time_ms: 1, sender: "owner".into(), content };
            log.take((seq, 1), Some(&record), (1, 0), RULES)
        };
        put(RecordKind::created, None, Role::none);
        put(RecordKind::added, Some("ann"), Role::member);
        put(RecordKind::role, Some("ann"), Role::admin);
        put(RecordKind::joined, Some("ben"), Role::member);
        put(RecordKind::left, Some("ben"), Role::none);
        assert!(put(RecordKind::disbanded, None, Role::none).is_none());
        assert!(matches!(put(RecordKind::message, None, Role::none), Some(Wrong::Odd(what)) if what.contains("disbanded")));
        let standing = |user: &str| log.standings[user];
        assert_eq!(standing("owner"), Standing { seq: 1, is_member: true, joined: Some(1), role: Role::owner });
        assert_eq!(standing("ann"), Standing { seq: 3, is_member: true, joined: Some(2), role: Role::admin });
        assert!(!standing("ben").is_member);
    }
}
