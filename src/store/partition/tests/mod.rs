//! Each rule of the writer, over a simulated disk; what is on it is looked at row by row.

mod append;
mod failure;
mod group;
mod head;
mod list;

use std::sync::Arc;

use super::*;
use crate::conversation::{Content, Key, Name, Record, flags};
use crate::id::Address;
use crate::mesh::{Reply, SessionKey, Then};
use crate::slot::Slots;
use crate::store::rows::{Row, describe};
use crate::store::simulated::Store;
use crate::store::{Append, Hint, Listed, PutCursors, Strike};
use crate::wire::schema::{RecordKind, Role};

const EPOCH: u64 = 50;

fn slots() -> Slots {
    Slots::new(7, 1)
}

fn group() -> Key {
    Key::new("", Address::Group("team"))
}

fn direct() -> Key {
    Key::direct("ann", "bob")
}

fn place(key: &Key) -> LogPlace {
    LogPlace { row: slots().row(key.bytes()), incarnation: EPOCH }
}

fn message(body: &str) -> Content {
    Content::message(body.to_owned())
}

fn change(kind: RecordKind, subject: Option<&str>, role: Role, body: &'static str) -> Content {
    Content::change(kind, subject.map(Into::into), role, Bytes::from_static(body.as_bytes()))
}

/// An append under fsync, of log 0 and attempt 0; a test changes what it is about.
fn append(key: &Key, seq: u64, content: Content) -> Append {
    let record = Record { epoch: EPOCH, seq, time_ms: 1000 + seq, sender: "ann".into(), content };
    Append {
        log: 0,
        attempt: 0,
        place: place(key),
        durability: Durability::Fsync,
        term: TERM,
        key: key.clone(),
        record: Arc::new(record),
        expires_ms: 0,
    }
}

impl Store {
    /// Does a single append.
    fn append(&mut self, append: Append) -> Result<(), NotStored> {
        match self.execute(0, Command::Append(append)).pop() {
            Some(Outcome::Appended { result, .. }) => result,
            other => panic!("{other:?}"),
        }
    }

    fn put(&mut self, key: &Key, seq: u64, content: Content) {
        assert_eq!(self.append(append(key, seq, content)), Ok(()), "{key:?} {seq}");
    }

    /// Everything that is on the disk.
    fn all(&self) -> Vec<Row> {
        self.disk.rows().map(|(key, value)| describe(key, value).expect("a row")).collect()
    }

    fn head(&self) -> Option<HeadRow> {
        self.all().into_iter().find_map(|row| if let Row::Head { head, .. } = row { Some(head) } else { None })
    }

    fn record(&self, seq: u64) -> Option<Arc<Record>> {
        self.all().into_iter().find_map(|row| match row {
            Row::Log { record, .. } if record.seq == seq => Some(record),
            _ => None,
        })
    }

    fn members(&self) -> Vec<(String, Role, u64)> {
        let member = |row| match row {
            Row::Member { user, member, .. } => Some((user.to_string(), member.role, member.joined)),
            _ => None,
        };
        self.all().into_iter().filter_map(member).collect()
    }

    fn receipts(&self) -> Vec<(String, u64, u64)> {
        let receipt = |row| match row {
            Row::Receipt { user, receipt, .. } => Some((user.to_string(), receipt.delivered, receipt.read)),
            _ => None,
        };
        self.all().into_iter().filter_map(receipt).collect()
    }

    fn expiries(&self) -> Vec<(u64, Doomed)> {
        let expiry = |row| if let Row::Expiry(expiry) = row { Some((expiry.due_ms, expiry.doomed)) } else { None };
        self.all().into_iter().filter_map(expiry).collect()
    }

    /// Number of the entry, the conversation that left for it.
    fn hint(&mut self, user: &str, key: &Key, entries_max: u32) -> Result<(u32, Option<Key>), NotStored> {
        match self.execute(0, Command::Hint(hint(user, key, entries_max))).pop() {
            Some(Outcome::Hinted { result, .. }) => result.map(|Listed { number, dropped }| (number, dropped)),
            other => panic!("{other:?}"),
        }
    }

    /// Number and conversation of each entry, by number.
    fn list(&self) -> Vec<(u32, Key)> {
        let entry = |row| if let Row::Entry { entry, .. } = row { Some((entry.number, entry.key)) } else { None };
        let mut list: Vec<_> = self.all().into_iter().filter_map(entry).collect();
        list.sort();
        list
    }

    /// Last number and count of the one user that there is.
    fn user(&self) -> (u32, u32) {
        let user = |row| if let Row::User { user, .. } = row { Some((user.last_number, user.count)) } else { None };
        self.all().into_iter().find_map(user).expect("a user")
    }
}

fn hint(user: &str, key: &Key, entries_max: u32) -> Box<Hint> {
    Box::new(Hint {
        user: user.into(),
        user_row: slots().row(user.as_bytes()),
        key: key.clone(),
        key_row: slots().row(key.bytes()),
        entries_max,
        from: 0,
        then: Then::Publish { sender: user.into() },
    })
}

fn strike(user: &str, key: &Key) -> Command {
    Command::Strike(Box::new(Strike {
        user: user.into(),
        user_row: slots().row(user.as_bytes()),
        key: key.clone(),
        key_row: slots().row(key.bytes()),
    }))
}

fn cursors(user: &str, key: &Key, read: u64) -> Box<PutCursors> {
    Box::new(PutCursors {
        user: user.into(),
        user_row: slots().row(user.as_bytes()),
        key: key.clone(),
        key_row: slots().row(key.bytes()),
        epoch: EPOCH,
        read,
        devices: vec![("phone".into(), read)],
        replies: Vec::new(),
    })
}

fn receipts(key: &Key, durability: Durability, list: &[(&str, u64, u64)]) -> Command {
    let receipts = list.iter().map(|&(user, delivered, read)| (Name::from(user), delivered, read)).collect();
    Command::PutReceipts(Box::new(PutReceipts { log: 0, place: place(key), durability, receipts }))
}

fn put_head(key: &Key, epoch: u64, first: u64) -> Command {
    Command::PutHead(Box::new(PutHead { key: key.clone(), place: place(key), epoch, first }))
}

/// A group with its owner, ann.
fn founded() -> Store {
    let mut store = Store::default();
    let created = change(RecordKind::created, None, Role::owner, "title");
    store.put(&group(), 1, Content { flags: flags::OPEN | flags::RETRACTED, ..created });
    store
}
