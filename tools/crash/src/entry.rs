//! What a publisher did and saw, one line of JSON each, in the order in which it happened.
//!
//! The line of a send is written before the request goes out, the line of an answer after it came. So whoever reads "acked A" before
//! "sent B" knows that the server had acknowledged A before it could know of B.

use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use campanile_client::{Conversation, RecordKind, Role};
use serde::{Deserialize, Serialize};

/// A room is a conversation by a name that is the same for everyone in it: a direct conversation is `direct:alice|bob`.
pub fn room(user: &str, conversation: &Conversation) -> String {
    match conversation {
        Conversation::Direct(other) => {
            let (first, second) = if user < other.as_str() { (user, other.as_str()) } else { (other.as_str(), user) };
            format!("direct:{first}|{second}")
        }
        other => other.to_string(),
    }
}

/// The conversation that `user` means by a room.
pub fn conversation(user: &str, room: &str) -> Conversation {
    match room.split_once(':') {
        Some(("direct", both)) => {
            let (first, second) = both.split_once('|').unwrap_or((both, both));
            Conversation::Direct(if first == user { second } else { first }.to_owned())
        }
        Some((_, id)) => Conversation::Group(id.to_owned()),
        None => Conversation::Broadcast,
    }
}

/// Stands for a body, so that a long run need not keep them all.
pub fn fingerprint(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    hasher.finish()
}

/// Which kind of record, in words; a number that this build does not know stays visible.
pub fn kind_name(kind: RecordKind) -> String {
    kind.variant_name().map_or_else(|| kind.0.to_string(), str::to_owned)
}

/// A change of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Founded, with these members besides the founder.
    Create {
        /// Users.
        members: Vec<String>,
        /// Anyone may join.
        open: bool,
        /// New members read from the beginning.
        whole_history: bool,
    },
    /// A user comes.
    Add {
        /// Who.
        user: String,
        /// As what.
        role: u8,
    },
    /// A user is put out.
    Remove {
        /// Who.
        user: String,
    },
    /// The actor comes.
    Join,
    /// The actor goes.
    Leave,
    /// A user gets another role.
    Role {
        /// Who.
        user: String,
        /// As what.
        role: u8,
    },
    /// The group gets another title.
    Title {
        /// Which.
        title: String,
    },
}

/// A record of a log, as a session got it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its log's epoch.
    pub epoch: u64,
    /// Its place.
    pub seq: u64,
    /// `message`, `added` ...
    pub kind: String,
    /// Who did it.
    pub sender: String,
    /// The sender's name for it.
    pub client_id: Option<String>,
    /// See [`fingerprint`].
    pub body: u64,
    /// Whom it concerns.
    pub subject: Option<String>,
    /// The new role.
    pub role: u8,
}

impl From<&campanile_client::Message> for Record {
    fn from(message: &campanile_client::Message) -> Record {
        Record {
            epoch: message.epoch,
            seq: message.seq,
            kind: kind_name(message.kind),
            sender: message.sender.clone(),
            client_id: message.client_id.clone(),
            body: fingerprint(&message.body),
            subject: message.subject.clone(),
            role: message.role.0,
        }
    }
}

/// The role of a number.
pub fn role(number: u8) -> Role {
    Role(number)
}

/// One line. `op` names a request within one publisher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Entry {
    /// A message goes out.
    Send { op: u64, user: String, room: String, client_id: String, body: u64 },
    /// A change goes out.
    Change { op: u64, user: String, room: String, change: Change },
    /// A receipt goes out.
    Receipt { op: u64, user: String, room: String, is_read: bool, seq: u64 },
    /// The server took a message or a change.
    Acked { op: u64, epoch: u64, seq: u64, duplicate: bool },
    /// The server took a receipt.
    Done { op: u64 },
    /// The server said no.
    Refused { op: u64, code: u16, name: String },
    /// It is not known, and will not be, whether the server did it.
    Unknown { op: u64, why: String },
    /// A session got a record live.
    Got { session: String, user: String, room: String, record: Record },
    /// A session was told that numbers will not come.
    Skipped { session: String, room: String, from: u64, to: u64, why: u8 },
    /// A session was told that its cursor does not fit.
    Gap { session: String, room: String, epoch: u64, first: u64, committed: u64 },
    /// A session found that numbers are missing.
    Hole { session: String, room: String, expected: u64, got: u64 },
    /// A user's session lost its connection.
    Down { user: String },
    /// The publisher's wishes about the end of its life.
    Note { text: String },
}

/// The log file.
pub struct Log {
    file: File,
}

impl Log {
    /// Appends to `path`.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> io::Result<Log> {
        Ok(Log { file: File::options().create(true).append(true).open(path)? })
    }

    /// One write(2) for a line: it is in the kernel when this returns, whatever happens to the process then.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&mut self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }
}

/// Reads a log.
///
/// # Errors
/// The file cannot be read, or a line is none.
pub fn read_log(path: &Path) -> io::Result<Vec<Entry>> {
    let lines = BufReader::new(File::open(path)?).lines();
    lines.map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_has_one_name_and_two_addresses() {
        let direct = |other: &str| Conversation::Direct(other.into());
        assert_eq!(room("bob", &direct("alice")), "direct:alice|bob");
        assert_eq!(room("alice", &direct("bob")), "direct:alice|bob");
        assert_eq!(conversation("bob", "direct:alice|bob"), direct("alice"));
        assert_eq!(conversation("alice", "direct:alice|bob"), direct("bob"));
        for name in ["group:g", "broadcast"] {
            assert_eq!(room("x", &conversation("x", name)), name);
        }
    }
}
