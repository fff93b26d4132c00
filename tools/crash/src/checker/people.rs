//! Who is in a room, what he may read, how far he has read.

use std::collections::BTreeMap;

use super::history::Room;
use super::{Found, MEMBER, MemberLine, OWNER, Reading, RoomRead, Rule, View, log};
use crate::entry::Record;

/// What the log says about a user of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Person {
    /// He is a member.
    Member {
        /// See the schema.
        role: u8,
        /// Seq of the record that made him one.
        joined: u64,
    },
    /// He is none any more since this seq.
    Gone(u64),
}

/// Everyone whom the log of a group names.
pub fn people(records: &[Record]) -> BTreeMap<String, Person> {
    let mut people = BTreeMap::new();
    for record in records {
        let subject = record.subject.clone();
        match (record.kind.as_str(), subject) {
            ("created", _) => {
                people.insert(record.sender.clone(), Person::Member { role: OWNER, joined: record.seq });
            }
            ("added", Some(user)) => {
                people.insert(user, Person::Member { role: record.role, joined: record.seq });
            }
            ("joined", Some(user)) => {
                people.insert(user, Person::Member { role: MEMBER, joined: record.seq });
            }
            ("removed" | "left", Some(user)) => {
                people.insert(user, Person::Gone(record.seq));
            }
            ("role", Some(user)) => {
                if let Some(Person::Member { role, .. }) = people.get_mut(&user) {
                    *role = record.role;
                }
            }
            _ => {}
        }
    }
    people
}

/// Everything about people.
pub fn check(name: &str, room: &Room, view: &View, read: &RoomRead, found: &mut Found<'_>) {
    let is_group = name.starts_with("group:");
    let people = if is_group { people(&view.records) } else { BTreeMap::new() };
    if let Some(members) = &read.members {
        if is_group {
            members_are(&people, members, found);
        }
        receipts(room, members, found);
    }
    if is_group {
        nothing_after_removal(room, view, found);
        let whole_history = room.has_whole_history();
        for (user, reading) in &read.others {
            may_read(user, people.get(user), whole_history, view, reading, found);
        }
    } else {
        let both = Person::Member { role: 0, joined: 1 };
        for (user, reading) in &read.others {
            may_read(user, Some(&both), false, view, reading, found);
        }
    }
    lists(name, room, view, read, &people, found);
}

fn members_are(people: &BTreeMap<String, Person>, members: &BTreeMap<String, MemberLine>, found: &mut Found<'_>) {
    for (user, person) in people {
        match (person, members.get(user)) {
            (Person::Member { role, joined }, Some(line)) if line.role == *role && line.joined == *joined => {}
            (Person::Gone(_), None) => {}
            (person, line) => {
                found.add(Rule::Members, None, format!("{user}: {person:?}, as the log says"), format!("in the list: {line:?}"));
            }
        }
    }
    for (user, line) in members.iter().filter(|(user, _)| !people.contains_key(*user)) {
        found.add(Rule::Members, line.joined, format!("no {user}, of whom the log says nothing"), format!("{line:?}"));
    }
}

fn receipts(room: &Room, members: &BTreeMap<String, MemberLine>, found: &mut Found<'_>) {
    for (user, receipts) in &room.receipts {
        let Some(line) = members.get(user) else { continue };
        // Who left and came again begins anew.
        if !receipts.is_stale && (line.read < receipts.read || line.delivered < receipts.delivered) {
            let expected = format!("{user} at least at read {}, delivered {}", receipts.read, receipts.delivered);
            found.add(Rule::Receipts, None, expected, format!("read {}, delivered {}", line.read, line.delivered));
        }
        if line.read > receipts.read_sent {
            let expected = format!("{user} at most at read {}, the highest that was sent", receipts.read_sent);
            found.add(Rule::Receipts, None, expected, format!("read {}", line.read));
        }
    }
}

/// No session of a removed user got anything live that was numbered after his removal and before he came again.
fn nothing_after_removal(room: &Room, view: &View, found: &mut Found<'_>) {
    let mut out: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    for record in &view.records {
        let Some(user) = record.subject.as_deref() else { continue };
        match record.kind.as_str() {
            "removed" | "left" => out.entry(user).or_default().push((record.seq, u64::MAX)),
            "added" | "joined" => {
                if let Some((_, until)) = out.get_mut(user).and_then(|times| times.last_mut()) {
                    *until = record.seq;
                }
            }
            _ => {}
        }
    }
    for (session, record) in &room.live {
        // A session is named after its user: "user/device".
        let user = session.split('/').next().unwrap_or_default();
        // With the whole history one who comes again gets what he missed.
        let whole_history = room.has_whole_history();
        let times = out.get(user).into_iter().flatten();
        let hit = times
            .into_iter()
            .find(|(from, until)| record.seq > *from && record.seq < *until && (*until == u64::MAX || !whole_history));
        if let Some((from, _)) = hit {
            let expected = format!("nothing for {user}, who was out since {from}");
            found.add(Rule::Membership, record.seq, expected, format!("{session} got it live"));
        }
    }
}

fn may_read(user: &str, person: Option<&Person>, whole_history: bool, view: &View, reading: &Reading, found: &mut Found<'_>) {
    match (person, reading) {
        (Some(Person::Member { joined, .. }), Reading::View(his)) => {
            let from = if whole_history { view.first } else { view.first.max(*joined) };
            let theirs: Vec<&Record> = view.records.iter().filter(|record| record.seq >= from).collect();
            if his.records.iter().ne(theirs.iter().copied()) {
                let expected = format!("{user} reads {} records from {from} on", theirs.len());
                let seen = format!("{} records from {:?} on", his.records.len(), his.records.first().map(|record| record.seq));
                found.add(Rule::Membership, from, expected, seen);
            }
            log::numbers(his.first, his.committed, his, found);
        }
        (Some(Person::Member { joined, .. }), Reading::Unknown) => {
            found.add(Rule::Membership, *joined, format!("{user} reads: he is a member"), "unknown conversation");
        }
        (Some(Person::Gone(seq)), Reading::View(his)) => {
            let expected = format!("{user} reads nothing: he is out since {seq}");
            found.add(Rule::Membership, *seq, expected, format!("{} records", his.records.len()));
        }
        (None, Reading::View(_)) => {
            found.add(Rule::Membership, None, format!("{user} reads nothing: he was never in"), "he reads");
        }
        (_, Reading::Unknown) => {}
    }
}

/// Whoever is in a room has it in his list, with the numbers that it has.
fn lists(name: &str, room: &Room, view: &View, read: &RoomRead, people: &BTreeMap<String, Person>, found: &mut Found<'_>) {
    let is_group = name.starts_with("group:");
    for (user, line) in &read.lists {
        let joined = match people.get(user) {
            Some(Person::Member { joined, .. }) => *joined,
            _ if is_group => continue,
            _ => 1,
        };
        let Some(line) = line else {
            if is_group || room.acked > 0 {
                found.add(Rule::List, None, format!("it is in the list of {user}"), "it is not");
            }
            continue;
        };
        if (line.epoch, line.first, line.committed) != (view.epoch, view.first, view.committed) {
            let expected = format!("epoch {}, first {}, committed {}", view.epoch, view.first, view.committed);
            found.add(Rule::List, None, expected, format!("in the list of {user}: {line:?}"));
        }
        if let Some(member) = read.members.as_ref().and_then(|members| members.get(user))
            && member.read != line.read
            && !room.receipts.get(user).is_some_and(|receipts| receipts.is_stale)
        {
            found.add(Rule::Receipts, None, format!("read {}, as in the member list", member.read), format!("{user}: {line:?}"));
        }
        let from = if room.has_whole_history() { 1 } else { joined };
        let seen = line.read.max(from.saturating_sub(1)).max(line.first.saturating_sub(1));
        let unread = line.committed.saturating_sub(seen);
        if line.unread != unread {
            found.add(Rule::List, None, format!("{unread} unread for {user}"), format!("{line:?}"));
        }
    }
}
