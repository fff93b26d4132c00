//! What was asked for and what was answered, by room, from the publishers' logs.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Rule, Violation};
use crate::entry::{Change, Entry, Record, fingerprint};

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It may have been done.
    Unknown,
    /// It was acknowledged at this seq.
    Acked(u64),
    /// It was refused with a code that says that it will never be done (100 - 199), and it was sent only once.
    Refused(u16),
}

/// A message under one `client_id`, however often it was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// See [`fingerprint`].
    pub body: u64,
    /// What became of it.
    pub fate: Fate,
    /// Everything up to here had been acknowledged in this room before it was sent for the first time.
    floor: u64,
}

/// A change of a group.
#[derive(Clone, Debug)]
pub struct Asked {
    /// By whom.
    pub actor: String,
    /// What.
    pub change: Change,
    /// What became of it.
    pub fate: Fate,
    floor: u64,
}

/// Receipts of one user in one room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipts {
    /// The highest acknowledged ones.
    pub read: u64,
    /// See `read`.
    pub delivered: u64,
    /// The highest that was ever sent.
    pub read_sent: u64,
    /// A join or removal lies behind, since which the server may have begun anew.
    pub is_stale: bool,
}

/// What is known of one room.
#[derive(Clone, Debug, Default)]
pub struct Room {
    /// The epoch of its acks.
    pub epoch: Option<u64>,
    /// Messages by sender and `client_id`.
    pub sent: HashMap<(String, String), Sent>,
    /// Changes, in the order in which they were asked for.
    pub asked: Vec<Asked>,
    /// By user.
    pub receipts: BTreeMap<String, Receipts>,
    /// What sessions got live since the last check.
    pub live: Vec<(String, Record)>,
    /// Numbers that sessions missed since the last check: session, the one that should have come, the one that came.
    pub holes: Vec<(String, u64, u64)>,
    /// The highest acknowledged seq.
    pub acked: u64,
    /// Something happened since the last check.
    pub is_touched: bool,
}

impl Room {
    /// Whether new members of the group read from the beginning.
    pub fn has_whole_history(&self) -> bool {
        self.asked.iter().any(|asked| matches!(asked.change, Change::Create { whole_history: true, .. }))
    }
}

/// Where the entries of a request lead.
#[derive(Clone, Debug)]
enum Op {
    Message { room: String, sender: String, client_id: String },
    Change { room: String, index: usize },
    Receipt { room: String, user: String, is_read: bool, seq: u64 },
}

/// Numbers of the whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Different messages sent.
    pub sent: u64,
    /// Of these acknowledged.
    pub acked: u64,
    /// Acks that told the place of a message that had been sent before.
    pub duplicates: u64,
    /// Changes of groups acknowledged.
    pub changes: u64,
    /// Receipts acknowledged.
    pub receipts: u64,
    /// Records that sessions got live.
    pub live: u64,
    /// Requests refused.
    pub refused: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct History {
    /// By name.
    pub rooms: BTreeMap<String, Room>,
    /// Of the whole run.
    pub counts: Counts,
    ops: HashMap<u64, Op>,
    /// Requests without an answer when their user's connection broke: a refusal later says nothing about the first attempt.
    uncertain: HashSet<u64>,
    /// What the entries themselves prove wrong.
    found: Vec<Violation>,
}

impl History {
    /// A new publisher begins: its requests have nothing to do with those of the one before, which all have got their answer by now.
    pub fn begin(&mut self) {
        self.ops.clear();
        self.uncertain.clear();
    }

    /// What the entries themselves proved wrong since the last call.
    pub fn take_found(&mut self) -> Vec<Violation> {
        std::mem::take(&mut self.found)
    }

    /// The rooms about which something was learned since the last check.
    pub fn touched(&self) -> Vec<String> {
        self.rooms.iter().filter(|(_, room)| room.is_touched).map(|(name, _)| name.clone()).collect()
    }

    /// A check has covered what sessions got live so far.
    pub fn checked(&mut self) {
        for room in self.rooms.values_mut() {
            room.is_touched = false;
            room.live = Vec::new();
            room.holes = Vec::new();
        }
    }

    /// Takes the next line of a log.
    pub fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Send { op, user, room, client_id, body } => self.send(op, user, room, client_id, body),
            Entry::Change { op, user, room, change } => self.change(op, user, room, change),
            Entry::Receipt { op, user, room, is_read, seq } => {
                let receipts = self.room(&room).receipts.entry(user.clone()).or_default();
                if is_read {
                    receipts.read_sent = receipts.read_sent.max(seq);
                }
                self.ops.insert(op, Op::Receipt { room, user, is_read, seq });
            }
            Entry::Acked { op, epoch, seq, duplicate } => self.acked(op, epoch, seq, duplicate),
            Entry::Done { op } => self.receipt_taken(op),
            Entry::Refused { op, code, .. } => self.refused(op, code),
            Entry::Unknown { op, .. } => {
                self.ops.remove(&op);
            }
            Entry::Got { session, room, record, .. } => {
                self.counts.live += 1;
                self.room(&room).live.push((session, record));
            }
            Entry::Skipped { session, room, from, to, why } => self.skipped(session, room, (from, to), why),
            Entry::Gap { session, room, epoch, first, committed } => {
                let seen = format!("{session} was told of a gap: epoch {epoch}, first {first}, committed {committed}");
                self.find(room, Some(first), Rule::Gap, "the log is the one that it was, and whole", seen);
            }
            Entry::Hole { session, room, expected, got } => self.room(&room).holes.push((session, expected, got)),
            Entry::Down { user } => self.down(&user),
            Entry::Note { .. } => {}
        }
    }

    fn room(&mut self, name: &str) -> &mut Room {
        let room = self.rooms.entry(name.to_owned()).or_default();
        room.is_touched = true;
        room
    }

    fn find(&mut self, room: impl Into<String>, seq: Option<u64>, rule: Rule, expected: impl Into<String>, seen: String) {
        self.found.push(Violation { room: room.into(), seq, rule, expected: expected.into(), seen });
    }

    fn send(&mut self, op: u64, sender: String, name: String, client_id: String, body: u64) {
        let room = self.room(&name);
        let floor = room.acked;
        let key = (sender.clone(), client_id.clone());
        let mut is_new = false;
        room.sent.entry(key).or_insert_with(|| {
            is_new = true;
            Sent { body, fate: Fate::Unknown, floor }
        });
        self.counts.sent += u64::from(is_new);
        self.ops.insert(op, Op::Message { room: name, sender, client_id });
    }

    fn change(&mut self, op: u64, actor: String, name: String, change: Change) {
        let room = self.room(&name);
        for user in who_moves(&actor, &change) {
            room.receipts.entry(user).or_default().is_stale = true;
        }
        room.asked.push(Asked { actor, change, fate: Fate::Unknown, floor: room.acked });
        let index = room.asked.len() - 1;
        self.ops.insert(op, Op::Change { room: name, index });
    }

    fn acked(&mut self, op: u64, epoch: u64, seq: u64, duplicate: bool) {
        let Some(op) = self.ops.remove(&op) else { return };
        let (Op::Message { room: name, .. } | Op::Change { room: name, .. }) = &op else { return };
        let name = name.clone();
        let room = self.room(&name);
        let expected = *room.epoch.get_or_insert(epoch);
        room.acked = room.acked.max(seq);
        let (before, floor) = match &op {
            Op::Message { sender, client_id, .. } => {
                let sent = room.sent.get_mut(&(sender.clone(), client_id.clone())).expect("what is acked was sent");
                (std::mem::replace(&mut sent.fate, Fate::Acked(seq)), sent.floor)
            }
            Op::Change { index, .. } => {
                let asked = &mut room.asked[*index];
                (std::mem::replace(&mut asked.fate, Fate::Acked(seq)), asked.floor)
            }
            Op::Receipt { .. } => return,
        };
        match op {
            Op::Change { .. } => self.counts.changes += 1,
            _ if matches!(before, Fate::Acked(_)) => {}
            _ => self.counts.acked += 1,
        }
        self.counts.duplicates += u64::from(duplicate);
        if epoch != expected {
            self.find(name.clone(), Some(seq), Rule::Epoch, format!("epoch {expected}"), format!("an ack of epoch {epoch}"));
        }
        match before {
            Fate::Acked(first) if first != seq => {
                self.find(
                    name,
                    Some(first),
                    Rule::Twice,
                    format!("the first ack, seq {first}, again"),
                    format!("an ack with seq {seq}"),
                );
            }
            Fate::Acked(_) => {}
            _ if seq <= floor => {
                let expected = format!("a seq above {floor}, which had been acknowledged before it was sent");
                self.find(name, Some(seq), Rule::Order, expected, format!("an ack with seq {seq}"));
            }
            _ => {}
        }
    }

    fn receipt_taken(&mut self, op: u64) {
        let Some(Op::Receipt { room, user, is_read, seq }) = self.ops.remove(&op) else { return };
        self.counts.receipts += 1;
        let receipts = self.room(&room).receipts.entry(user).or_default();
        let of_kind = if is_read { &mut receipts.read } else { &mut receipts.delivered };
        *of_kind = seq.max(*of_kind);
    }

    fn refused(&mut self, op: u64, code: u16) {
        self.counts.refused += 1;
        let is_final = (100..200).contains(&code) && !self.uncertain.contains(&op);
        let fate = if is_final { Fate::Refused(code) } else { Fate::Unknown };
        match self.ops.remove(&op) {
            Some(Op::Message { room, sender, client_id }) => {
                let sent = self.room(&room).sent.get_mut(&(sender, client_id)).expect("what is refused was sent");
                if !matches!(sent.fate, Fate::Acked(_)) {
                    sent.fate = fate;
                }
            }
            Some(Op::Change { room, index }) => self.room(&room).asked[index].fate = fate,
            Some(Op::Receipt { .. }) | None => {}
        }
    }

    fn skipped(&mut self, session: String, room: String, (from, to): (u64, u64), why: u8) {
        // Who joined later is told that what came before is not for him.
        if why != super::BEFORE_JOINED {
            let seen = format!("{session} was told that {from} - {to} will not come (reason {why})");
            self.find(room, Some(from), Rule::Skip, "every number to come, or to be from before a member joined", seen);
        }
    }

    fn down(&mut self, user: &str) {
        for (number, op) in &self.ops {
            let of = match op {
                Op::Message { sender, .. } => sender,
                Op::Change { room, index } => &self.rooms[room].asked[*index].actor,
                Op::Receipt { user, .. } => user,
            };
            if of == user {
                self.uncertain.insert(*number);
            }
        }
    }
}

/// Who comes into the group or leaves it by a change.
fn who_moves(actor: &str, change: &Change) -> Vec<String> {
    match change {
        Change::Add { user, .. } | Change::Remove { user } => vec![user.clone()],
        Change::Join | Change::Leave => vec![actor.to_owned()],
        Change::Create { .. } | Change::Role { .. } | Change::Title { .. } => Vec::new(),
    }
}

/// What a record of a change looks like: kind, subject, role, body.
pub type Shape = (&'static str, Option<String>, Option<u8>, Option<u64>);

/// The records that a change writes; those after the first are `added` records.
pub fn records_of(asked: &Asked) -> Vec<Shape> {
    let some = |user: &String| Some(user.clone());
    match &asked.change {
        Change::Create { members, .. } => {
            let added = members.iter().map(|user| ("added", some(user), Some(super::MEMBER), None));
            std::iter::once(("created", None, None, None)).chain(added).collect()
        }
        Change::Add { user, role } => vec![("added", some(user), Some(*role), None)],
        Change::Remove { user } => vec![("removed", some(user), None, None)],
        Change::Join => vec![("joined", some(&asked.actor), None, None)],
        Change::Leave => vec![("left", some(&asked.actor), None, None)],
        Change::Role { user, role } => vec![("role", some(user), Some(*role), None)],
        Change::Title { title } => vec![("title", None, None, Some(fingerprint(title.as_bytes())))],
    }
}
