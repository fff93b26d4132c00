//! Judges: what was asked for and answered, against what is read back. No I/O, no clock, no randomness.

mod history;
mod log;
mod people;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

pub use history::{Counts, History, Room};

use crate::entry::Record;

/// `SkipReason::before_joined` in the schema.
pub const BEFORE_JOINED: u8 = 4;
/// `Role::member` and `Role::owner` in the schema.
pub const MEMBER: u8 = 1;
/// See [`MEMBER`].
pub const OWNER: u8 = 3;

/// What must hold, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// What was acknowledged is there, at its seq.
    Lost,
    /// It is what was sent: body, sender, kind.
    Altered,
    /// The epoch stays.
    Epoch,
    /// What was sent after an ack stands after it.
    Order,
    /// Numbers have no holes.
    Hole,
    /// Nothing is there twice, and a repeated publish gets its first ack.
    Twice,
    /// Nothing is there that was never sent, or was refused.
    NeverSent,
    /// A cursor that was given still fits.
    Gap,
    /// Nothing is left out without a reason that is known here.
    Skip,
    /// What a session got live is what the log has.
    Live,
    /// Who is no member reads nothing, and who is one everything since he joined.
    Membership,
    /// The member list is what the log says.
    Members,
    /// Receipts stay.
    Receipts,
    /// The list of conversations is complete, and right about them.
    List,
    /// Backward is forward, read from the other end.
    Backward,
    /// The server does what it was asked for in time, and lives.
    Server,
}

/// One thing that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where.
    pub room: String,
    /// The place, if it is about one.
    pub seq: Option<u64>,
    /// What must hold.
    pub rule: Rule,
    /// In words.
    pub expected: String,
    /// In words.
    pub seen: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { room, rule, expected, seen, .. } = self;
        let seq = self.seq.map(|seq| format!(" seq {seq}")).unwrap_or_default();
        write!(f, "{rule:?}: {room}{seq}\n    expected: {expected}\n    seen:     {seen}")
    }
}

/// Numbers that a page said will not come: from, to, `SkipReason`.
pub type Skip = (u64, u64, u8);

/// What one user reads of a room.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The log's epoch.
    pub epoch: u64,
    /// The first seq that the server keeps.
    pub first: u64,
    /// The last.
    pub committed: u64,
    /// In ascending order.
    pub records: Vec<Record>,
    /// What does not come.
    pub skips: Vec<Skip>,
    /// A page said that the cursor does not fit: (epoch, first, committed).
    pub gap: Option<(u64, u64, u64)>,
}

/// What a user was answered when he read.
#[derive(Clone, Debug)]
pub enum Reading {
    /// He reads.
    View(View),
    /// "No such conversation, or not a member."
    Unknown,
}

/// One line of the member list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemberLine {
    /// See the schema.
    pub role: u8,
    /// Seq of the record that made him a member.
    pub joined: u64,
    /// Receipts.
    pub delivered: u64,
    /// See `delivered`.
    pub read: u64,
}

/// One line of a user's list of conversations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListLine {
    /// See [`MemberLine`].
    pub role: u8,
    /// The log's epoch.
    pub epoch: u64,
    /// First kept seq.
    pub first: u64,
    /// Last seq.
    pub committed: u64,
    /// Receipt.
    pub read: u64,
    /// Messages after it.
    pub unread: u64,
}

/// What was read back of one room.
#[derive(Clone, Debug)]
pub struct RoomRead {
    /// By somebody who sees everything.
    pub whole: Reading,
    /// The same, read backward.
    pub backward: Option<View>,
    /// The member list. None: there is none (broadcast).
    pub members: Option<BTreeMap<String, MemberLine>>,
    /// What others read: members (from where they joined) and those who are none.
    pub others: BTreeMap<String, Reading>,
    /// The line of each user whose list was read; None: his list does not have the room.
    pub lists: BTreeMap<String, Option<ListLine>>,
}

/// Checks one room.
pub fn check(name: &str, room: &Room, read: &RoomRead) -> Vec<Violation> {
    let mut found = Found { room: name, violations: Vec::new() };
    match &read.whole {
        Reading::Unknown => log::nothing_is_there(room, &mut found),
        Reading::View(view) => {
            log::whole(room, view, &mut found);
            if let Some(backward) = &read.backward {
                log::backward(view, backward, &mut found);
            }
            log::live(room, view, &mut found);
            log::holes(room, view, &mut found);
            people::check(name, room, view, read, &mut found);
        }
    }
    found.violations
}

/// Collects what is found in a room.
struct Found<'a> {
    room: &'a str,
    violations: Vec<Violation>,
}

impl Found<'_> {
    fn add(&mut self, rule: Rule, seq: impl Into<Option<u64>>, expected: impl Into<String>, seen: impl Into<String>) {
        let (room, expected, seen) = (self.room.to_owned(), expected.into(), seen.into());
        self.violations.push(Violation { room, seq: seq.into(), rule, expected, seen });
    }
}

/// A record in words.
fn described(record: &Record) -> String {
    let Record { seq, kind, sender, body, .. } = record;
    let id = record.client_id.as_deref().unwrap_or("none");
    let subject = record.subject.as_deref().map(|subject| format!(" of {subject}")).unwrap_or_default();
    format!("seq {seq}: {kind}{subject} by {sender}, client_id {id}, body {body:016x}")
}
