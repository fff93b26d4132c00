//! Logs and who is in them.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

/// Largest page.
pub const PAGE_MESSAGES_MAX: u32 = 64;

/// One record. Numbers are those of the schema.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    pub seq: u64,
    pub kind: u8,
    pub sender: String,
    pub client_id: Option<String>,
    pub body: String,
    pub subject: Option<String>,
    pub role: u8,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Member {
    pub role: u8,
    pub joined: u64,
    pub delivered: u64,
    pub read: u64,
}

#[derive(Debug, Default)]
pub struct Room {
    pub records: Vec<Record>,
    pub places: HashMap<(String, String), u64>,
    pub members: BTreeMap<String, Member>,
    pub open: bool,
    pub whole_history: bool,
}

impl Room {
    pub fn committed(&self) -> u64 {
        self.records.len() as u64
    }

    fn apply(&mut self, record: Record) {
        let seq = record.seq;
        let enter = |role| Member { role, joined: seq, ..Member::default() };
        match (record.kind, record.subject.clone()) {
            (0, _) => {
                if let Some(client_id) = &record.client_id {
                    self.places.insert((record.sender.clone(), client_id.clone()), seq);
                }
            }
            (1, _) => _ = self.members.insert(record.sender.clone(), enter(3)),
            (3 | 4, Some(user)) => _ = self.members.insert(user, enter(record.role)),
            (5 | 6, Some(user)) => _ = self.members.remove(&user),
            (7, Some(user)) => {
                if let Some(member) = self.members.get_mut(&user) {
                    member.role = record.role;
                }
            }
            _ => {}
        }
        self.records.push(record);
    }
}

/// By name: `direct:alice|bob`, `group:team`, `broadcast`.
#[derive(Debug, Default)]
pub struct Rooms(pub BTreeMap<String, Room>);

impl Rooms {
    /// Makes a line true.
    pub fn apply(&mut self, line: crate::store::Line) {
        use crate::store::Line;
        match line {
            Line::Group { room, open, whole_history } => {
                let room = self.0.entry(room).or_default();
                (room.open, room.whole_history) = (open, whole_history);
            }
            Line::Record { room, record } => self.direct(&room).apply(record),
            Line::Receipt { room, user, is_read, seq } => {
                if let Some(member) = self.direct(&room).members.get_mut(&user) {
                    let of_kind = if is_read { &mut member.read } else { &mut member.delivered };
                    *of_kind = seq.max(*of_kind);
                }
            }
        }
    }

    /// A room; a direct one has its two members from the beginning.
    fn direct(&mut self, name: &str) -> &mut Room {
        let room = self.0.entry(name.to_owned()).or_default();
        if let Some(both) = name.strip_prefix("direct:").filter(|_| room.members.is_empty()) {
            room.members = both.split('|').map(|user| (user.to_owned(), Member::default())).collect();
        }
        room
    }
}
