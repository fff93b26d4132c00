//! The first way through an export: nothing is written before every line makes sense.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::ImportError;
use super::source::{Source, Stopped};
use crate::conversation::{Key, Kind, Name, Record};
use crate::offline::format::{Conversation, Thing, Totals};
use crate::offline::fsck::Rules;
use crate::offline::fsck::log::{Log, Wrong};
use crate::offline::fsck::members;
use crate::offline::{Directory, Progress};
use crate::slot::RowId;
use crate::store::LogPlace;
use crate::store::disk::OpenError;
use crate::store::engine::ReadRows;
use crate::store::rows::{self, MemberRow};
use crate::wire::schema::Role;

/// An export whose lines make sense.
#[derive(Debug, Default)]
pub struct Checked {
    /// The conversations in it, and their last seqs.
    pub committed: HashMap<Key, u64>,
    /// What its last line says.
    pub totals: Totals,
}

impl Checked {
    /// Those that the directory has already, in order.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn existing(&self, directory: &Directory) -> Result<Vec<Key>, OpenError> {
        let views = directory.views();
        let mut existing = BTreeSet::new();
        for key in self.committed.keys() {
            let row = directory.slots.row(key.bytes());
            let partition = directory.slots.partition(row.slot);
            let view = views[usize::from(partition)].as_ref().expect("all partitions are open");
            let path = || directory.manifest.partition_dir(partition);
            let head = view.get(&rows::head_key(row)).map_err(|error| OpenError::Database { partition, path: path(), error })?;
            if head.is_some() {
                existing.insert(key.clone());
            }
        }
        Ok(existing.into_iter().collect())
    }
}

/// A conversation whose lines are being read.
struct Open {
    conversation: Conversation,
    line: u64,
    log: Log,
    members: HashMap<Name, (u64, MemberRow)>,
    receipts: HashSet<Name>,
}

#[derive(Default)]
struct Check {
    checked: Checked,
    counted: Totals,
    open: Option<Open>,
    has_begun: bool,
    is_over: bool,
}

/// Reads all lines.
///
/// # Errors
/// The first line that is wrong.
pub fn check(source: &mut Source, progress: &mut Progress) -> Result<Checked, ImportError> {
    let mut check = Check::default();
    let read = source.each(&mut |line, thing| {
        progress.step(|| format!("line {line} is checked"));
        check.take(line, thing)
    });
    match read {
        Ok(()) if check.is_over => Ok(check.checked),
        Ok(()) => Err(ImportError::Line(0, "it has no end: it was cut off, or is no export".into())),
        Err(Stopped::By(line, what)) => Err(ImportError::Line(line, what)),
        Err(Stopped::Read(error)) => Err(error),
    }
}

impl Check {
    fn take(&mut self, line: u64, thing: Thing) -> Result<(), (u64, String)> {
        let wrong = |what: String| (line, what);
        if self.is_over {
            return Err(wrong("it stands behind the end of the export".into()));
        }
        if !std::mem::replace(&mut self.has_begun, true) && !matches!(thing, Thing::Export { .. }) {
            return Err(wrong("an export begins with the thing export".into()));
        }
        match thing {
            Thing::Export { .. } if line == 1 => Ok(()),
            Thing::Export { .. } => Err(wrong("only the first line is an export".into())),
            Thing::Listed { .. } if self.open.is_some() || self.counted.conversations > 0 => {
                Err(wrong("lists stand before all conversations: an entry is there before what it names".into()))
            }
            Thing::Listed { .. } => {
                self.counted.listed += 1;
                Ok(())
            }
            Thing::Conversation(conversation) => {
                self.close()?;
                self.counted.conversations += 1;
                if self.checked.committed.insert(conversation.key.clone(), conversation.committed).is_some() {
                    return Err(wrong(format!("{:?} was there before", conversation.key)));
                }
                let place = LogPlace { row: RowId { slot: 0, fingerprint: 0 }, incarnation: 0 };
                self.open =
                    Some(Open { conversation, line, log: Log::new(place), members: HashMap::new(), receipts: HashSet::new() });
                Ok(())
            }
            Thing::Member { key, user, role, joined } => {
                self.of(&key).and_then(|open| open.member(line, user, role, joined)).map_err(wrong)
            }
            Thing::Receipt { key, user, delivered, read } => {
                self.of(&key).and_then(|open| open.receipt(user, delivered.max(read))).map_err(wrong)
            }
            Thing::Record { key, record } => {
                self.counted.records += 1;
                self.of(&key).and_then(|open| open.record(&record)).map_err(wrong)
            }
            Thing::End(totals) => {
                self.close()?;
                self.is_over = true;
                self.checked.totals = totals;
                let counted = self.counted;
                (totals == counted).then_some(()).ok_or_else(|| wrong(format!("it counts {totals:?}, but there are {counted:?}")))
            }
        }
    }

    fn of(&mut self, key: &Key) -> Result<&mut Open, String> {
        let open = self.open.as_mut().filter(|open| open.conversation.key == *key);
        open.ok_or_else(|| format!("it stands under another conversation than {key:?}"))
    }

    fn close(&mut self) -> Result<(), (u64, String)> {
        self.open.take().map_or(Ok(()), Open::close)
    }
}

impl Open {
    fn member(&mut self, line: u64, user: Name, role: Role, joined: u64) -> Result<(), String> {
        if self.conversation.key.kind() != Kind::Group {
            return Err("only groups have members".into());
        }
        if role == Role::none {
            return Err(format!("{user} has no role"));
        }
        let twice = format!("{user} is a member already");
        let member = MemberRow { incarnation: 0, role, joined };
        self.members.insert(user, (line, member)).map_or(Ok(()), |_| Err(twice))
    }

    fn receipt(&mut self, user: Name, seq: u64) -> Result<(), String> {
        let Conversation { key, committed, .. } = &self.conversation;
        let concerns_him = match key.kind() {
            Kind::Direct => key.users().contains(&&*user),
            _ => self.members.contains_key(&user),
        };
        if !concerns_him {
            return Err(format!("{user} is not in {key:?}; members stand before receipts"));
        }
        if seq > *committed {
            return Err(format!("it goes beyond {committed}, the last record"));
        }
        let twice = format!("{user} has a receipt already");
        if self.receipts.insert(user) { Ok(()) } else { Err(twice) }
    }

    fn record(&mut self, record: &Record) -> Result<(), String> {
        let Conversation { first, committed, last_time_ms, .. } = self.conversation;
        let &Record { seq, time_ms, .. } = record;
        if seq < first || seq > committed || (self.log.rows > 0 && seq <= self.log.last.0) {
            return Err(format!("record {seq} does not follow record {} in a log from {first} to {committed}", self.log.last.0));
        }
        if time_ms > last_time_ms {
            return Err(format!("record {seq} is younger than last_time_ms says"));
        }
        // Whatever is missing: the log begins a new epoch.
        let rules = Rules { now_ms: u64::MAX, grace_ms: 0, os_generation: 0 };
        match self.log.take((seq, time_ms), Some(record), (first, 0), rules) {
            None => Ok(()),
            Some(Wrong::Lost(what) | Wrong::Odd(what)) => Err(format!("record {seq}: {what}")),
            Some(Wrong::Superfluous(what)) => Err(format!("record {seq}: {what}")),
        }
    }

    /// All lines of the conversation have been read.
    fn close(mut self) -> Result<(), (u64, String)> {
        let Conversation { key, committed, last_time_ms, .. } = &self.conversation;
        if self.log.rows > 0 && self.log.last.0 < *committed {
            let rules = Rules { now_ms: u64::MAX, grace_ms: 0, os_generation: 0 };
            self.log.take((*committed, *last_time_ms), None, (0, 0), rules);
        }
        if self.log.rows == 0 {
            return Ok(());
        }
        for (user, (line, member)) in &self.members {
            if let Some(wrong) = members::wrong(&self.log, *committed, user, *member) {
                return Err((*line, format!("member {user} of {key:?}: {}", wrong.what)));
            }
        }
        let missing = if key.kind() == Kind::Group {
            members::missing(&self.log, |user| self.members.contains_key(user))
        } else {
            Vec::new()
        };
        missing.first().map_or(Ok(()), |(user, wrong)| Err((self.line, format!("member {user} of {key:?}: {}", wrong.what))))
    }
}
