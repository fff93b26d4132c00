//! What is on a simulated disk, as tests look at it.

use std::sync::Arc;

use super::Store;
use super::commands::{append, hint};
use crate::conversation::{Content, Key, Record};
use crate::store::rows::{Doomed, HeadRow, Row, describe};
use crate::store::{Append, Command, Listed, NotStored, Outcome};
use crate::wire::schema::Role;

impl Store {
    /// Does a single append.
    pub(crate) fn append(&mut self, append: Append) -> Result<(), NotStored> {
        match self.execute(0, Command::Append(append)).pop() {
            Some(Outcome::Appended { result, .. }) => result,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn put(&mut self, key: &Key, seq: u64, content: Content) {
        assert_eq!(self.append(append(key, seq, content)), Ok(()), "{key:?} {seq}");
    }

    /// Everything that is on the disk.
    pub(crate) fn all(&self) -> Vec<Row> {
        self.disk.rows().map(|(key, value)| describe(key, value).expect("a row")).collect()
    }

    pub(crate) fn head(&self) -> Option<HeadRow> {
        self.all().into_iter().find_map(|row| if let Row::Head { head, .. } = row { Some(head) } else { None })
    }

    pub(crate) fn record(&self, seq: u64) -> Option<Arc<Record>> {
        self.all().into_iter().find_map(|row| match row {
            Row::Log { record, .. } if record.seq == seq => Some(record),
            _ => None,
        })
    }

    pub(crate) fn members(&self) -> Vec<(String, Role, u64)> {
        let member = |row| match row {
            Row::Member { user, member, .. } => Some((user.to_string(), member.role, member.joined)),
            _ => None,
        };
        self.all().into_iter().filter_map(member).collect()
    }

    pub(crate) fn receipts(&self) -> Vec<(String, u64, u64)> {
        let receipt = |row| match row {
            Row::Receipt { user, receipt, .. } => Some((user.to_string(), receipt.delivered, receipt.read)),
            _ => None,
        };
        self.all().into_iter().filter_map(receipt).collect()
    }

    pub(crate) fn expiries(&self) -> Vec<(u64, Doomed)> {
        let expiry = |row| if let Row::Expiry(expiry) = row { Some((expiry.due_ms, expiry.doomed)) } else { None };
        self.all().into_iter().filter_map(expiry).collect()
    }

    /// Number of the entry, the conversation that left for it.
    pub(crate) fn hint(&mut self, user: &str, key: &Key, entries_max: u32) -> Result<(u32, Option<Key>), NotStored> {
        match self.execute(0, Command::Hint(hint(user, key, entries_max))).pop() {
            Some(Outcome::Hinted { result, .. }) => result.map(|Listed { number, dropped }| (number, dropped)),
            other => panic!("{other:?}"),
        }
    }

    /// Number and conversation of each entry, by number.
    pub(crate) fn list(&self) -> Vec<(u32, Key)> {
        let entry = |row| if let Row::Entry { entry, .. } = row { Some((entry.number, entry.key)) } else { None };
        let mut list: Vec<_> = self.all().into_iter().filter_map(entry).collect();
        list.sort();
        list
    }

    /// Last number and count of the one user that there is.
    pub(crate) fn user(&self) -> (u32, u32) {
        let user = |row| if let Row::User { user, .. } = row { Some((user.last_number, user.count)) } else { None };
        self.all().into_iter().find_map(user).expect("a user")
    }
}
