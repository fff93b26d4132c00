//! Commands for tests: of the group `team`, of the direct conversation of ann and bob, of the lists of whoever.

use std::sync::Arc;

use bytes::Bytes;

use super::Store;
use crate::conversation::{Content, Durability, Key, Name, Record, flags};
use crate::id::Address;
use crate::mesh::Then;
use crate::slot::Slots;
use crate::store::{Append, Command, Hint, LogPlace, PutCursors, PutHead, PutReceipts, Strike, TERM};
use crate::wire::schema::{RecordKind, Role};

pub(crate) const EPOCH: u64 = 50;

pub(crate) fn slots() -> Slots {
    Slots::new(7, 1)
}

pub(crate) fn group() -> Key {
    Key::new("", Address::Group("team"))
}

pub(crate) fn direct() -> Key {
    Key::direct("ann", "bob")
}

pub(crate) fn place(key: &Key) -> LogPlace {
    LogPlace { row: slots().row(key.bytes()), incarnation: EPOCH }
}

pub(crate) fn message(body: &str) -> Content {
    Content::message(body.to_owned())
}

pub(crate) fn change(kind: RecordKind, subject: Option<&str>, role: Role, body: &'static str) -> Content {
    Content::change(kind, subject.map(Into::into), role, Bytes::from_static(body.as_bytes()))
}

/// An append under fsync, of log 0 and attempt 0; a test changes what it is about.
pub(crate) fn append(key: &Key, seq: u64, content: Content) -> Append {
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

pub(crate) fn hint(user: &str, key: &Key, entries_max: u32) -> Box<Hint> {
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

pub(crate) fn strike(user: &str, key: &Key) -> Command {
    Command::Strike(Box::new(Strike {
        user: user.into(),
        user_row: slots().row(user.as_bytes()),
        key: key.clone(),
        key_row: slots().row(key.bytes()),
    }))
}

pub(crate) fn cursors(user: &str, key: &Key, read: u64) -> Box<PutCursors> {
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

pub(crate) fn receipts(key: &Key, durability: Durability, list: &[(&str, u64, u64)]) -> Command {
    let receipts = list.iter().map(|&(user, delivered, read)| (Name::from(user), delivered, read)).collect();
    Command::PutReceipts(Box::new(PutReceipts { log: 0, place: place(key), durability, receipts }))
}

pub(crate) fn put_head(key: &Key, epoch: u64, first: u64) -> Command {
    Command::PutHead(Box::new(PutHead { key: key.clone(), place: place(key), epoch, first }))
}

/// A group with its owner, ann.
pub(crate) fn founded() -> Store {
    let mut store = Store::default();
    let created = change(RecordKind::created, None, Role::owner, "title");
    store.put(&group(), 1, Content { flags: flags::OPEN | flags::RETRACTED, ..created });
    store
}
