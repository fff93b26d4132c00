//! The lists of the users of one slot: entries, cursors, and what the user's row says of them.

use std::collections::{HashMap, HashSet};

use super::findings::Findings;
use super::hints::Elsewhere;
use crate::conversation::Kind;
use crate::slot::{PartitionId, RowId, Slots};
use crate::store::rows::{self, EntryRow, UserRow};

/// What has been read of the users of one slot.
#[derive(Debug, Default)]
pub struct Lists {
    users: HashMap<u128, List>,
    /// User and conversation.
    entries: HashSet<(u128, u128)>,
}

/// One user's list.
#[derive(Debug, Default)]
struct List {
    row: Option<UserRow>,
    count: u32,
    last_number: u32,
    numbers: HashSet<u32>,
    /// His id, or the fingerprint and slot of a group that he may be a member of.
    id: Option<Box<str>>,
    groups: Vec<RowId>,
    /// Fingerprints of its conversations, as long as the user has no row.
    conversations: Vec<u128>,
}

impl Lists {
    /// Takes a user's row.
    pub fn user(&mut self, row: RowId, user: UserRow) {
        self.users.entry(row.fingerprint).or_default().row = Some(user);
    }

    /// Takes an entry. Says what is wrong with it.
    pub fn entry(&mut self, user: RowId, conversation: u128, entry: &EntryRow, slots: &Slots) -> Option<String> {
        let list = self.users.entry(user.fingerprint).or_default();
        self.entries.insert((user.fingerprint, conversation));
        list.count += 1;
        list.last_number = list.last_number.max(entry.number);
        if list.row.is_none() {
            list.may_be(user, entry, slots);
            list.conversations.push(conversation);
        }
        (!list.numbers.insert(entry.number)).then(|| format!("another entry has the number {} too", entry.number))
    }

    /// Whether a list has this entry.
    pub fn has(&self, user: RowId, conversation: u128) -> bool {
        self.entries.contains(&(user.fingerprint, conversation))
    }

    /// How a user is called.
    pub fn name(&self, user: RowId) -> String {
        let row = self.users.get(&user.fingerprint).and_then(|list| list.row.as_ref());
        row.map_or_else(|| format!("an unknown user ({:032x})", user.fingerprint), |row| row.id.to_string())
    }

    /// All of the slot has been read.
    pub fn finish(self, slot: u16, partition: PartitionId, elsewhere: &Elsewhere<'_>, found: &mut Findings) {
        for (fingerprint, list) in self.users {
            list.finish(RowId { slot, fingerprint }, partition, elsewhere, found);
        }
    }
}

impl List {
    /// Looks for the id of a user whose row is not there.
    fn may_be(&mut self, user: RowId, entry: &EntryRow, slots: &Slots) {
        match entry.key.kind() {
            Kind::Direct => {
                let is_he = |id: &&&str| slots.row(id.as_bytes()) == user;
                self.id = self.id.take().or(entry.key.users().iter().find(is_he).map(|id| (**id).into()));
            }
            Kind::Group => self.groups.push(slots.row(entry.key.bytes())),
            Kind::Topic | Kind::Broadcast => {}
        }
    }

    fn finish(self, user: RowId, partition: PartitionId, elsewhere: &Elsewhere<'_>, found: &mut Findings) {
        let List { row, count, last_number, id, groups, conversations, .. } = self;
        let Some(row) = row else {
            let id = id.or_else(|| groups.iter().find_map(|group| elsewhere.member_with_row(*group, user)));
            let name = id.as_deref().unwrap_or("an unknown user");
            found.damage(partition, format_args!("the list of {name} ({:032x})", user.fingerprint), "its user has no row");
            match id {
                Some(id) => found.fix(partition, rows::user_key(user), Some(UserRow { id, last_number, count }.value())),
                // What he would not hear of without them has his name.
                None => {
                    conversations.iter().for_each(|fingerprint| found.fix(partition, rows::entry_key(user, *fingerprint), None))
                }
            }
            return;
        };
        let mut right = row.clone();
        if row.count != count {
            found.damage(
                partition,
                format_args!("user {}", row.id),
                format_args!("his list has {count} entries, but his row says {}", row.count),
            );
            right.count = count;
        }
        if row.last_number < last_number {
            let what =
                format_args!("his list has the number {last_number}, but his row says that {} is the last", row.last_number);
            found.damage(partition, format_args!("user {}", row.id), what);
            right.last_number = last_number;
        }
        if right != row {
            found.fix(partition, rows::user_key(user), Some(right.value()));
        }
    }
}
