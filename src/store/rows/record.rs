//! The value of a log row: a record without its epoch and seq.

use bytes::Bytes;

use super::codec::{Damaged, Input, put_bytes, put_number};
use crate::conversation::{Content, Record};
use crate::wire::schema::{RecordKind, Role};

const VERSION: u8 = 1;
/// In place of a kind: the record was removed, its place is kept.
const REMOVED: u8 = 0xff;

/// Which of the parts that may be absent are there.
mod has {
    pub(super) const FLAGS: u8 = 1;
    pub(super) const ROLE: u8 = 2;
    pub(super) const TTL: u8 = 4;
    pub(super) const TARGET: u8 = 8;
    pub(super) const CLIENT_ID: u8 = 16;
    pub(super) const CONTENT_TYPE: u8 = 32;
    pub(super) const TAG: u8 = 64;
    pub(super) const SUBJECT: u8 = 128;
}

/// A log row's value, read in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogValue<'a> {
    /// A record.
    Record(RecordView<'a>),
    /// The last record of its log was removed. Its row stays for the next seq, and the time below which the next record's must not be.
    Removed {
        /// Of the record.
        time_ms: u64,
    },
}

/// A record, read in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct RecordView<'a> {
    pub kind: RecordKind,
    pub flags: u8,
    pub role: Role,
    pub time_ms: u64,
    pub ttl_ms: u32,
    pub target: u64,
    pub sender: &'a str,
    pub client_id: Option<&'a str>,
    pub content_type: Option<&'a str>,
    pub tag: Option<&'a str>,
    pub subject: Option<&'a str>,
    pub body: &'a [u8],
}

/// The value of a record's row. One allocation; about 15 bytes and the ids, and the body.
pub fn record_value(record: &Record) -> Vec<u8> {
    let content = &record.content;
    let texts: [(u8, Option<&str>); 4] = [
        (has::CLIENT_ID, content.client_id.as_deref()),
        (has::CONTENT_TYPE, content.content_type.as_deref()),
        (has::TAG, content.tag.as_deref()),
        (has::SUBJECT, content.subject.as_deref()),
    ];
    let texts_bytes: usize = texts.iter().map(|(_, text)| text.map_or(0, |text| text.len() + 2)).sum();
    let mut parts = texts.iter().fold(0, |parts, (bit, text)| if text.is_some() { parts | bit } else { parts });
    let present = |bit, is_there| if is_there { bit } else { 0 };
    parts |= present(has::FLAGS, content.flags != 0) | present(has::ROLE, content.role != Role::none);
    parts |= present(has::TTL, content.ttl_ms != 0) | present(has::TARGET, content.target != 0);

    let mut out = Vec::with_capacity(32 + record.sender.len() + texts_bytes + content.body.len());
    out.extend_from_slice(&[VERSION, content.kind.0, parts]);
    put_number(&mut out, record.time_ms);
    put_bytes(&mut out, record.sender.as_bytes());
    if content.flags != 0 {
        out.push(content.flags);
    }
    if content.role != Role::none {
        out.push(content.role.0);
    }
    if content.ttl_ms != 0 {
        put_number(&mut out, content.ttl_ms.into());
    }
    if content.target != 0 {
        put_number(&mut out, content.target);
    }
    texts.iter().filter_map(|(_, text)| *text).for_each(|text| put_bytes(&mut out, text.as_bytes()));
    out.extend_from_slice(&content.body);
    out
}

/// The value that stays of the last record of a log.
pub fn removed_value(time_ms: u64) -> Vec<u8> {
    let mut out = vec![VERSION, REMOVED];
    put_number(&mut out, time_ms);
    out
}

/// Reads a log row's value.
///
/// # Errors
/// What is wrong with it.
pub fn log_value(value: &[u8]) -> Result<LogValue<'_>, Damaged> {
    let mut input = Input::versioned(value, VERSION)?;
    let kind = RecordKind(input.byte()?);
    if kind.0 == REMOVED {
        let time_ms = input.number()?;
        return input.end().map(|()| LogValue::Removed { time_ms });
    }
    if kind.variant_name().is_none() {
        return Err(Damaged("a record has an unknown kind"));
    }
    let parts = input.byte()?;
    let time_ms = input.number()?;
    let sender = input.text()?;
    let has = |bit| parts & bit != 0;
    let flags = if has(has::FLAGS) { input.byte()? } else { 0 };
    let role = if has(has::ROLE) { Role(input.byte()?) } else { Role::none };
    if role.variant_name().is_none() {
        return Err(Damaged("a record has an unknown role"));
    }
    let ttl_ms = if has(has::TTL) { input.small_number()? } else { 0 };
    let target = if has(has::TARGET) { input.number()? } else { 0 };
    let mut text = |bit| if has(bit) { input.text().map(Some) } else { Ok(None) };
    let (client_id, content_type) = (text(has::CLIENT_ID)?, text(has::CONTENT_TYPE)?);
    let (tag, subject) = (text(has::TAG)?, text(has::SUBJECT)?);
    let body = input.rest();
    Ok(LogValue::Record(RecordView {
        kind,
        flags,
        role,
        time_ms,
        ttl_ms,
        target,
        sender,
        client_id,
        content_type,
        tag,
        subject,
        body,
    }))
}

impl LogValue<'_> {
    /// Server time of the record.
    pub fn time_ms(&self) -> u64 {
        match self {
            LogValue::Record(record) => record.time_ms,
            LogValue::Removed { time_ms } => *time_ms,
        }
    }
}

impl RecordView<'_> {
    /// The record. Its epoch is not in the row, its seq is in the key.
    pub fn to_record(&self, epoch: u64, seq: u64) -> Record {
        let content = Content {
            kind: self.kind,
            client_id: self.client_id.map(Into::into),
            content_type: self.content_type.map(Into::into),
            tag: self.tag.map(Into::into),
            subject: self.subject.map(Into::into),
            role: self.role,
            ttl_ms: self.ttl_ms,
            flags: self.flags,
            target: self.target,
            body: Bytes::copy_from_slice(self.body),
        };
        Record { epoch, seq, time_ms: self.time_ms, sender: self.sender.into(), content }
    }
}
