//! The values of all rows but records.

use bytes::Bytes;

use super::codec::{Damaged, Input, put_bytes, put_number};
use crate::conversation::Key;
use crate::wire::schema::Role;

const VERSION: u8 = 1;

/// Where a conversation stands: of every conversation that has a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadRow {
    /// Which.
    pub key: Key,
    /// The epoch with which its log began: see [`crate::store::LogPlace`].
    pub incarnation: u64,
    /// The epoch that its log has now.
    pub epoch: u64,
    /// First seq that is shown. Rows below it may still be there; above it there may be holes.
    pub first: u64,
    /// In which run of the machine records were appended with durability `os` since the epoch began: in a later one the log may have
    /// lost its end. 0: in none.
    pub os_generation: u64,
    /// Groups: for people.
    pub title: Bytes,
    /// Groups: see [`crate::conversation::flags`].
    pub flags: u8,
}

impl HeadRow {
    /// The value of the row.
    pub fn value(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.key.bytes().len() + self.title.len());
        out.extend_from_slice(&[VERSION, self.flags]);
        put_bytes(&mut out, self.key.bytes());
        put_number(&mut out, self.incarnation);
        put_number(&mut out, self.epoch);
        put_number(&mut out, self.first);
        put_number(&mut out, self.os_generation);
        put_bytes(&mut out, &self.title);
        out
    }

    /// Reads the value.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(value: &[u8]) -> Result<HeadRow, Damaged> {
        let mut input = Input::versioned(value, VERSION)?;
        let flags = input.byte()?;
        let key = read_key(&mut input)?;
        let (incarnation, epoch) = (input.number()?, input.number()?);
        let (first, os_generation) = (input.number()?, input.number()?);
        let title = Bytes::copy_from_slice(input.bytes()?);
        input.end()?;
        if first == 0 {
            return Err(Damaged("a head begins at seq 0"));
        }
        Ok(HeadRow { key, incarnation, epoch, first, os_generation, title, flags })
    }
}

/// A member of a group, as its log has made him.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberRow {
    /// Of the group's log. A row of another one is void.
    pub incarnation: u64,
    /// What he may do.
    pub role: Role,
    /// Seq of the record that made him a member.
    pub joined: u64,
}

impl MemberRow {
    /// The value of the row.
    pub fn value(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24);
        out.extend_from_slice(&[VERSION, self.role.0]);
        put_number(&mut out, self.incarnation);
        put_number(&mut out, self.joined);
        out
    }

    /// Reads the value.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(value: &[u8]) -> Result<MemberRow, Damaged> {
        let mut input = Input::versioned(value, VERSION)?;
        let role = Role(input.byte()?);
        if role.variant_name().is_none() {
            return Err(Damaged("a member has an unknown role"));
        }
        let member = MemberRow { role, incarnation: input.number()?, joined: input.number()? };
        input.end().map(|()| member)
    }
}

/// How far somebody has received and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptRow {
    /// Of the log. A row of another one is void.
    pub incarnation: u64,
    /// Up to here one of his devices has it.
    pub delivered: u64,
    /// Up to here he has read.
    pub read: u64,
}

impl ReceiptRow {
    /// The value of the row.
    pub fn value(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32);
        out.push(VERSION);
        put_number(&mut out, self.incarnation);
        put_number(&mut out, self.delivered);
        put_number(&mut out, self.read);
        out
    }

    /// Reads the value.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(value: &[u8]) -> Result<ReceiptRow, Damaged> {
        let mut input = Input::versioned(value, VERSION)?;
        let (incarnation, delivered, read) = (input.number()?, input.number()?, input.number()?);
        input.end().map(|()| ReceiptRow { incarnation, delivered, read })
    }
}

/// A user: of every user who has, or had, a conversation in his list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    /// His id.
    pub id: Box<str>,
    /// The number that was given to the last entry of his list.
    pub last_number: u32,
    /// Entries in his list.
    pub count: u32,
}

impl UserRow {
    /// The value of the row.
    pub fn value(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + self.id.len());
        out.push(VERSION);
        put_bytes(&mut out, self.id.as_bytes());
        put_number(&mut out, self.last_number.into());
        put_number(&mut out, self.count.into());
        out
    }

    /// Reads the value.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(value: &[u8]) -> Result<UserRow, Damaged> {
        let mut input = Input::versioned(value, VERSION)?;
        let user = UserRow { id: input.text()?.into(), last_number: input.small_number()?, count: input.small_number()? };
        input.end().map(|()| user)
    }
}

/// A conversation in a user's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRow {
    /// Which.
    pub key: Key,
    /// Its place in the list.
    pub number: u32,
}

impl EntryRow {
    /// The value of the row.
    pub fn value(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + self.key.bytes().len());
        out.push(VERSION);
        put_bytes(&mut out, self.key.bytes());
        put_number(&mut out, self.number.into());
        out
    }

    /// Reads the value.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(value: &[u8]) -> Result<EntryRow, Damaged> {
        let mut input = Input::versioned(value, VERSION)?;
        let entry = EntryRow { key: read_key(&mut input)?, number: input.small_number()? };
        input.end().map(|()| entry)
    }
}

/// How far a user and his devices are in a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorsRow {
    /// Of the cursors.
    pub epoch: u64,
    /// The user has read up to here.
    pub read: u64,
    /// Each device has received up to there.
    pub devices: Vec<(Box<str>, u64)>,
}

impl CursorsRow {
    /// The value of the row.
    pub fn value(&self) -> Vec<u8> {
        let devices: usize = self.devices.iter().map(|(device, _)| device.len() + 12).sum();
        let mut out = Vec::with_capacity(24 + devices);
        out.push(VERSION);
        put_number(&mut out, self.epoch);
        put_number(&mut out, self.read);
        put_number(&mut out, self.devices.len() as u64);
        for (device, seq) in &self.devices {
            put_bytes(&mut out, device.as_bytes());
            put_number(&mut out, *seq);
        }
        out
    }

    /// Reads the value.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(value: &[u8]) -> Result<CursorsRow, Damaged> {
        let mut input = Input::versioned(value, VERSION)?;
        let (epoch, read, count) = (input.number()?, input.number()?, input.number()?);
        // Nothing is reserved for a count that may be damaged.
        let mut devices = Vec::new();
        for _ in 0..count {
            devices.push((input.text()?.into(), input.number()?));
        }
        input.end().map(|()| CursorsRow { epoch, read, devices })
    }
}

fn read_key(input: &mut Input<'_>) -> Result<Key, Damaged> {
    Key::from_bytes(input.bytes()?).ok_or(Damaged("what should be a conversation's key is none"))
}

/// The value of an expiry row: all that it says is in its key.
pub fn expiry_value() -> Vec<u8> {
    vec![VERSION]
}

/// Reads the value of an expiry row.
///
/// # Errors
/// What is wrong with it.
pub fn read_expiry_value(value: &[u8]) -> Result<(), Damaged> {
    Input::versioned(value, VERSION)?.end()
}
