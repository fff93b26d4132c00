//! The lines of an export: JSON, one object per line, UTF-8. Fields that are absent have their default (none, 0, false). Numbers are whole and up to
//! 64 bits: epochs do not fit into a double.
//!
//! | `thing` | fields |
//! |---|---|
//! | `export` | the first line: `format` (1), `version` of the server, `data` (tells apart from which data directory), `time_ms` |
//! | `listed` | `user` has `conversation` in his list. If he has cursors there of its present epoch: `read`, `devices` (device: seq) |
//! | `conversation` | `conversation`, `kind`, `epoch`, `first`, `committed`, `last_time_ms`; groups: `title`, `flags`. The lines up to the next one are its own |
//! | `member` | `conversation`, `user`, `role`, `joined` |
//! | `receipt` | `conversation`, `user`, `delivered`, `read` |
//! | `record` | `conversation`, `seq`, `time_ms`, `kind`, `sender`, `client_id`, `content_type`, `tag`, `subject`, `role`, `ttl_ms`, `flags`, `target`, and `body` or `body_base64` |
//! | `end` | the last line: how many `listed`, `conversations`, `records` there were. Without it, the export is cut off |
//!
//! - A **conversation** is written `direct:alice+bob` (the two ids, in order), `group:team`, `topic:news`, `broadcast`. Where an id has a `+`, a
//!   direct conversation also has `users`, a list of the two.
//! - **Kinds** and **roles** are those of the schema: `message`, `created`, `joined` ...; `owner`, `admin`, `member`. **Flags** are a list of
//!   `open`, `whole_history`, `retracted`.
//! - **Records** are in the order of their seq. Those that expired or were trimmed are missing.
//! - A **body** is text if it is UTF-8 and its content type begins with `text/` or is absent. A title that is not UTF-8 is `title_base64`.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value};

use crate::conversation::{Content, Key, Kind, Name, Record, flags};
use crate::id::{Address, check_id};
use crate::wire::schema::{RecordKind, Role};

/// What this version writes, and the newest that it reads.
pub const FORMAT: u64 = 1;
/// Device ids have the rules of all ids; a content type, tag or client id may be this long, in bytes.
const TEXT_BYTES_MAX: usize = 4096;
const FLAGS: [(&str, u8); 4] =
    [("open", flags::OPEN), ("whole_history", flags::WHOLE_HISTORY), ("retracted", flags::RETRACTED), ("quiet", flags::QUIET)];

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Thing {
    Export { format: u64, version: String, data: String, time_ms: u64 },
    Listed { user: Name, key: Key, cursors: Option<Cursors> },
    Conversation(Conversation),
    Member { key: Key, user: Name, role: Role, joined: u64 },
    Receipt { key: Key, user: Name, delivered: u64, read: u64 },
    Record { key: Key, record: Record },
    End(Totals),
}

/// How far a user is in a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Cursors {
    pub read: u64,
    pub devices: Vec<(Box<str>, u64)>,
}

/// Where a conversation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Conversation {
    pub key: Key,
    pub epoch: u64,
    pub first: u64,
    pub committed: u64,
    pub last_time_ms: u64,
    pub title: Bytes,
    pub flags: u8,
}

/// What an export holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Totals {
    pub listed: u64,
    pub conversations: u64,
    pub records: u64,
}

/// A line that is being written. Fields come in the order in which they are put.
struct Line(String);

impl Line {
    fn new(thing: &str) -> Line {
        Line(format!("{{\"thing\":\"{thing}\""))
    }

    fn value(mut self, name: &str, value: &Value) -> Line {
        let _ = write!(self.0, ",\"{name}\":{value}");
        self
    }

    fn text(self, name: &str, text: &str) -> Line {
        self.value(name, &text.into())
    }

    fn optional(self, name: &str, text: Option<&str>) -> Line {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    /// A number, unless it is 0.
    fn number(self, name: &str, number: u64) -> Line {
        if number == 0 { self } else { self.value(name, &number.into()) }
    }

    fn key(self, key: &Key) -> Line {
        let line = self.text("conversation", &format!("{key:?}"));
        match key.kind() {
            Kind::Direct if key.users().concat().contains('+') => line.value("users", &key.users().to_vec().into()),
            _ => line,
        }
    }

    /// Bytes that are text if they can be.
    fn bytes(self, name: &str, bytes: &[u8], may_be_text: bool) -> Line {
        match std::str::from_utf8(bytes) {
            _ if bytes.is_empty() => self,
            Ok(text) if may_be_text => self.text(name, text),
            _ => self.text(&format!("{name}_base64"), &STANDARD.encode(bytes)),
        }
    }

    fn flags(self, set: u8) -> Line {
        let names: Vec<&str> = FLAGS.iter().filter(|(_, bit)| set & bit != 0).map(|(name, _)| *name).collect();
        if names.is_empty() { self } else { self.value("flags", &names.into()) }
    }

    fn role(self, role: Role) -> Line {
        self.optional("role", role.variant_name().filter(|_| role != Role::none))
    }

    fn end(mut self) -> String {
        self.0.push_str("}\n");
        self.0
    }
}

impl Thing {
    /// The line, with its end.
    pub fn line(&self) -> String {
        match self {
            Thing::Export { format, version, data, time_ms } => {
                let line = Line::new("export").number("format", *format).text("version", version);
                line.text("data", data).number("time_ms", *time_ms).end()
            }
            Thing::Listed { user, key, cursors: None } => Line::new("listed").text("user", user).key(key).end(),
            Thing::Listed { user, key, cursors: Some(Cursors { read, devices }) } => {
                let devices: Map<String, Value> =
                    devices.iter().map(|(device, seq)| (device.to_string(), (*seq).into())).collect();
                let line = Line::new("listed").text("user", user).key(key);
                line.value("read", &(*read).into()).value("devices", &devices.into()).end()
            }
            Thing::Conversation(Conversation { key, epoch, first, committed, last_time_ms, title, flags }) => {
                let line = Line::new("conversation").key(key).text("kind", kind_name(key.kind())).number("epoch", *epoch);
                let line = line.number("first", *first).number("committed", *committed).number("last_time_ms", *last_time_ms);
                line.bytes("title", title, true).flags(*flags).end()
            }
            Thing::Member { key, user, role, joined } => {
                Line::new("member").key(key).text("user", user).role(*role).number("joined", *joined).end()
            }
            Thing::Receipt { key, user, delivered, read } => {
                Line::new("receipt").key(key).text("user", user).number("delivered", *delivered).number("read", *read).end()
            }
            Thing::Record { key, record } => record_line(key, record),
            Thing::End(Totals { listed, conversations, records }) => {
                let line = Line::new("end").number("listed", *listed).number("conversations", *conversations);
                line.number("records", *records).end()
            }
        }
    }

    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(line: &str) -> Result<Thing, String> {
        let value: Value = serde_json::from_str(line).map_err(|error| format!("it is no JSON: {error}"))?;
        let Value::Object(fields) = value else { return Err("it is no JSON object".into()) };
        let mut fields = Fields(fields);
        let thing = fields.text("thing")?.ok_or("it does not say which thing it is")?;
        let parsed = match thing.as_str() {
            "export" => fields.export()?,
            "listed" => fields.listed()?,
            "conversation" => fields.conversation()?,
            "member" => Thing::Member {
                key: fields.key()?,
                user: fields.id("user")?,
                role: fields.role()?,
                joined: fields.number("joined")?,
            },
            "receipt" => {
                let (key, user) = (fields.key()?, fields.id("user")?);
                Thing::Receipt { key, user, delivered: fields.number("delivered")?, read: fields.number("read")? }
            }
            "record" => Thing::Record { key: fields.key()?, record: fields.record()? },
            "end" => Thing::End(Totals {
                listed: fields.number("listed")?,
                conversations: fields.number("conversations")?,
                records: fields.number("records")?,
            }),
            other => return Err(format!("there is no thing {other:?}")),
        };
        match fields.0.keys().next() {
            None => Ok(parsed),
            Some(name) => Err(format!("{thing} has no field {name:?}, or not here")),
        }
    }
}

fn record_line(key: &Key, record: &Record) -> String {
    let Record { seq, time_ms, sender, content, .. } = record;
    let Content { kind, client_id, content_type, tag, subject, role, ttl_ms, flags, target, body } = content;
    let line = Line::new("record").key(key).number("seq", *seq).number("time_ms", *time_ms);
    let line = line.text("kind", kind.variant_name().unwrap_or("message")).text("sender", sender);
    let line = line.optional("client_id", client_id.as_deref()).optional("content_type", content_type.as_deref());
    let line = line.optional("tag", tag.as_deref()).optional("subject", subject.as_deref()).role(*role);
    let line = line.number("ttl_ms", (*ttl_ms).into()).flags(*flags).number("target", *target);
    let is_text = content_type.as_deref().is_none_or(|content_type| content_type.starts_with("text/"));
    line.bytes("body", body, is_text).end()
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Direct => "direct",
        Kind::Group => "group",
        Kind::Topic => "topic",
        Kind::Broadcast => "broadcast",
    }
}

/// The conversations that an address may mean: `direct:a+b+c` may be one of `a` and `b+c`, or of `a+b` and `c`.
///
/// # Errors
/// It is no address.
pub fn keys(address: &str) -> Result<Vec<Key>, String> {
    let Some(users) = address.strip_prefix("direct:") else {
        return Address::parse(address).map(|address| vec![Key::new("", address)]);
    };
    let pair = |(at, _): (usize, &str)| Some((check_id(&users[..at]).ok()?, check_id(&users[at + 1..]).ok()?));
    let keys: Vec<Key> = users.match_indices('+').filter_map(pair).map(|(a, b)| Key::direct(a, b)).collect();
    if keys.is_empty() { Err(format!("'{address}' does not name two users; write direct:alice+bob")) } else { Ok(keys) }
}

/// The fields of a line that have not been taken.
struct Fields(Map<String, Value>);

impl Fields {
    fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("{name} is {other}, and should be a text")),
        }
    }

    fn short_text(&mut self, name: &str) -> Result<Option<Box<str>>, String> {
        match self.text(name)? {
            Some(text) if text.len() > TEXT_BYTES_MAX => Err(format!("{name} has more than {TEXT_BYTES_MAX} bytes")),
            text => Ok(text.map(String::into_boxed_str)),
        }
    }

    /// 0 if it is absent.
    fn number(&mut self, name: &str) -> Result<u64, String> {
        match self.0.remove(name) {
            None => Ok(0),
            Some(value) => value.as_u64().ok_or_else(|| format!("{name} is {value}, and should be a whole number")),
        }
    }

    fn id(&mut self, name: &str) -> Result<Name, String> {
        let text = self.text(name)?.ok_or_else(|| format!("{name} is missing"))?;
        check_id(&text).map(Into::into).map_err(|error| format!("{name} is {text:?}: {error}"))
    }

    fn key(&mut self) -> Result<Key, String> {
        let address = self.text("conversation")?.ok_or("conversation is missing")?;
        let keys = keys(&address)?;
        let Some(users) = self.0.remove("users") else {
            return match &keys[..] {
                [key] => Ok(key.clone()),
                _ => Err(format!("{address} may be several conversations; users must say which")),
            };
        };
        let users: Option<Vec<&str>> = users.as_array().and_then(|users| users.iter().map(Value::as_str).collect());
        let named = match users.as_deref() {
            Some([a, b]) => keys.into_iter().find(|key| key.kind() == Kind::Direct && *key == Key::direct(a, b)),
            _ => None,
        };
        named.ok_or_else(|| format!("users are not those of {address}"))
    }

    fn role(&mut self) -> Result<Role, String> {
        let Some(name) = self.text("role")? else { return Ok(Role::none) };
        let role = Role::ENUM_VALUES.iter().find(|role| role.variant_name() == Some(&name));
        role.copied().ok_or_else(|| format!("there is no role {name:?}"))
    }

    fn flags(&mut self) -> Result<u8, String> {
        let Some(value) = self.0.remove("flags") else { return Ok(0) };
        let names = value.as_array().ok_or("flags should be a list")?;
        names.iter().try_fold(0, |flags, name| {
            let known = FLAGS.iter().find(|(known, _)| name == known);
            known.map(|(_, bit)| flags | bit).ok_or_else(|| format!("there is no flag {name}"))
        })
    }

    fn bytes(&mut self, name: &str) -> Result<Bytes, String> {
        match (self.text(name)?, self.text(&format!("{name}_base64"))?) {
            (Some(_), Some(_)) => Err(format!("it has {name} and {name}_base64")),
            (Some(text), None) => Ok(text.into()),
            (None, None) => Ok(Bytes::new()),
            (None, Some(text)) => STANDARD.decode(&text).map(Into::into).map_err(|_| format!("{name}_base64 is no base64")),
        }
    }

    fn export(&mut self) -> Result<Thing, String> {
        let text = |text: Option<String>| text.unwrap_or_default();
        let format = self.number("format")?;
        if format == 0 || format > FORMAT {
            return Err(format!("its format is {format}, and this version reads up to {FORMAT}; use a newer one"));
        }
        Ok(Thing::Export {
            format,
            version: text(self.text("version")?),
            data: text(self.text("data")?),
            time_ms: self.number("time_ms")?,
        })
    }

    fn listed(&mut self) -> Result<Thing, String> {
        let (user, key) = (self.id("user")?, self.key()?);
        let has_cursors = self.0.contains_key("read") || self.0.contains_key("devices");
        let read = self.number("read")?;
        let mut devices = Vec::new();
        match self.0.remove("devices") {
            None => {}
            Some(Value::Object(seqs)) => {
                for (device, seq) in seqs {
                    check_id(&device).map_err(|error| format!("device {device:?}: {error}"))?;
                    devices.push((
                        device.as_str().into(),
                        seq.as_u64().ok_or_else(|| format!("the seq of device {device:?} is {seq}"))?,
                    ));
                }
            }
            Some(other) => return Err(format!("devices is {other}, and should be an object")),
        }
        Ok(Thing::Listed { user, key, cursors: has_cursors.then_some(Cursors { read, devices }) })
    }

    fn conversation(&mut self) -> Result<Thing, String> {
        let key = self.key()?;
        let kind = self.text("kind")?;
        if kind.as_deref().is_some_and(|kind| kind != kind_name(key.kind())) {
            return Err(format!("{key:?} is of kind {}", kind_name(key.kind())));
        }
        let (epoch, first, committed) = (self.number("epoch")?, self.number("first")?, self.number("committed")?);
        if first == 0 || committed == 0 || first > committed.saturating_add(1) || committed == u64::MAX {
            return Err(format!("no log goes from {first} to {committed}"));
        }
        let last_time_ms = self.number("last_time_ms")?;
        let (title, flags) = (self.bytes("title")?, self.flags()?);
        Ok(Thing::Conversation(Conversation { key, epoch, first, committed, last_time_ms, title, flags }))
    }

    fn record(&mut self) -> Result<Record, String> {
        let kind = self.text("kind")?.ok_or("kind is missing")?;
        let kind = RecordKind::ENUM_VALUES
            .iter()
            .find(|known| known.variant_name() == Some(&kind))
            .ok_or_else(|| format!("there is no kind {kind:?}"))?;
        let subject = if self.0.contains_key("subject") { Some(self.id("subject")?) } else { None };
        let content = Content {
            kind: *kind,
            client_id: self.short_text("client_id")?,
            content_type: self.short_text("content_type")?,
            tag: self.short_text("tag")?,
            subject,
            role: self.role()?,
            ttl_ms: u32::try_from(self.number("ttl_ms")?).map_err(|_| "ttl_ms has more than 32 bits")?,
            flags: self.flags()?,
            target: self.number("target")?,
            body: self.bytes("body")?,
        };
        Ok(Record { epoch: 0, seq: self.number("seq")?, time_ms: self.number("time_ms")?, sender: self.id("sender")?, content })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(thing: Thing) -> String {
        let line = thing.line();
        assert!(line.ends_with("}\n") && line.matches('\n').count() == 1, "{line}");
        assert_eq!(Thing::parse(&line).as_ref(), Ok(&thing), "{line}");
        line
    }

    fn record(content: Content) -> Thing {
        let record = Record { epoch: 0, seq: 7, time_ms: 1_700_000_000_000, sender: "alice".into(), content };
        Thing::Record { key: Key::new("", Address::Group("team")), record }
    }

    #[test]
    fn every_thing_is_read_back() {
        let key = Key::direct("bob", "alice");
        let totals = Totals { listed: 1, conversations: 2, records: u64::MAX };
        there_and_back(Thing::Export { format: 1, version: "0.1.0".into(), data: "ab".into(), time_ms: 5 });
        there_and_back(Thing::Listed { user: "alice".into(), key: key.clone(), cursors: None });
        let cursors = Cursors { read: 0, devices: vec![("laptop".into(), u64::MAX), ("phone".into(), 3)] };
        there_and_back(Thing::Listed { user: "alice".into(), key: key.clone(), cursors: Some(cursors) });
        let conversation = Conversation {
            key: Key::new("", Address::Group("team")),
            epoch: u64::MAX,
            first: 3,
            committed: 2,
            last_time_ms: 9,
            title: Bytes::from_static(b"\"The\" team\n"),
            flags: flags::OPEN | flags::WHOLE_HISTORY,
        };
        there_and_back(Thing::Conversation(conversation.clone()));
        let line = there_and_back(Thing::Conversation(Conversation { title: Bytes::from_static(&[0xff]), ..conversation }));
        assert!(line.contains("title_base64"), "{line}");
        there_and_back(Thing::Member { key: key.clone(), user: "bob".into(), role: Role::admin, joined: 4 });
        there_and_back(Thing::Receipt { key, user: "bob".into(), delivered: 4, read: 0 });
        there_and_back(Thing::End(totals));
        let full = Content {
            client_id: Some("c".into()),
            content_type: Some("image/png".into()),
            tag: Some("t".into()),
            subject: Some("bob".into()),
            role: Role::owner,
            ttl_ms: u32::MAX,
            flags: flags::RETRACTED,
            target: 3,
            ..Content::message("\u{0}\u{7f}\"é")
        };
        let line = there_and_back(record(full.clone()));
        assert!(line.contains("body_base64"), "it is an image: {line}");
        let line = there_and_back(record(Content { content_type: Some("text/html".into()), ..full.clone() }));
        assert!(line.contains("\"body\":"), "{line}");
        there_and_back(record(Content { content_type: None, body: Bytes::from_static(&[0xff, 0]), ..full }));
        there_and_back(record(Content::message("")));
    }

    #[test]
    fn a_plus_in_an_id_is_no_secret() {
        let key = Key::direct("a+b", "c");
        let line = there_and_back(Thing::Listed { user: "c".into(), key: key.clone(), cursors: None });
        assert!(line.contains("\"users\":[\"a+b\",\"c\"]"), "{line}");
        assert_eq!(keys("direct:a+b+c").unwrap(), [Key::direct("a", "b+c"), key]);
        let several = Thing::parse(r#"{"thing":"listed","user":"c","conversation":"direct:a+b+c"}"#).unwrap_err();
        assert!(several.contains("users must say which"), "{several}");
    }

    #[test]
    fn what_is_wrong_is_told() {
        let wrong = |line: &str, part: &str| {
            let told = Thing::parse(line).unwrap_err();
            assert!(told.contains(part), "{part:?} in {told:?}");
        };
        wrong("", "no JSON");
        wrong("[]", "no JSON object");
        wrong("{}", "which thing");
        wrong(r#"{"thing":"song"}"#, "no thing \"song\"");
        wrong(r#"{"thing":"export","format":2}"#, "use a newer one");
        wrong(r#"{"thing":"end","recordz":2}"#, "no field \"recordz\"");
        wrong(r#"{"thing":"end","records":-1}"#, "records is -1");
        wrong(r#"{"thing":"end","records":1.5}"#, "whole number");
        wrong(r#"{"thing":"member","conversation":"group:","user":"a"}"#, "at least 1 byte");
        wrong(r#"{"thing":"member","conversation":"direct:a","user":"a"}"#, "two users");
        wrong(r#"{"thing":"member","conversation":"group:a","user":"a\u0007"}"#, "control");
        wrong(r#"{"thing":"member","conversation":"group:a","user":"a","role":"king"}"#, "no role \"king\"");
        wrong(r#"{"thing":"conversation","conversation":"group:a","kind":"topic","first":1,"committed":1}"#, "of kind group");
        wrong(r#"{"thing":"conversation","conversation":"group:a","first":9,"committed":1}"#, "from 9 to 1");
        wrong(r#"{"thing":"conversation","conversation":"group:a","first":1,"committed":1,"flags":["odd"]}"#, "no flag");
        wrong(r#"{"thing":"record","conversation":"group:a","seq":1,"kind":"message"}"#, "sender is missing");
        wrong(r#"{"thing":"record","conversation":"group:a","seq":1,"kind":"shout","sender":"a"}"#, "no kind \"shout\"");
        wrong(
            r#"{"thing":"record","conversation":"group:a","seq":1,"kind":"message","sender":"a","body_base64":"?"}"#,
            "no base64",
        );
        wrong(r#"{"thing":"listed","user":"c","conversation":"group:a","devices":{"":1}}"#, "device");
        wrong(r#"{"thing":"listed","user":"c","conversation":"direct:a+b","users":["a","c"]}"#, "not those of");
    }
}
