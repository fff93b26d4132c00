//! A conversation's address that owns its text.

use std::fmt;
use std::str::FromStr;

use campanile::id::{Address, IdError, check_id};

/// A conversation as its reader names it: `direct:bob`, `group:team`, `topic:news`, `broadcast`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Conversation {
    /// With this user.
    Direct(String),
    /// The group of this id.
    Group(String),
    /// The topic of this id.
    Topic(String),
    /// Every session.
    Broadcast,
}

impl Conversation {
    /// The same address, borrowed.
    pub fn address(&self) -> Address<'_> {
        match self {
            Conversation::Direct(id) => Address::Direct(id),
            Conversation::Group(id) => Address::Group(id),
            Conversation::Topic(id) => Address::Topic(id),
            Conversation::Broadcast => Address::Broadcast,
        }
    }

    /// Checks the id; a value that was parsed is always sound, one that was put together need not be.
    ///
    /// # Errors
    /// The first rule for ids that is broken.
    pub fn check(&self) -> Result<(), IdError> {
        match self {
            Conversation::Broadcast => Ok(()),
            other => check_id(other.address().id()).map(|_| ()),
        }
    }
}

impl From<Address<'_>> for Conversation {
    fn from(address: Address<'_>) -> Self {
        match address {
            Address::Direct(id) => Conversation::Direct(id.to_owned()),
            Address::Group(id) => Conversation::Group(id.to_owned()),
            Address::Topic(id) => Conversation::Topic(id.to_owned()),
            Address::Broadcast => Conversation::Broadcast,
        }
    }
}

impl FromStr for Conversation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Address::parse(text).map(Conversation::from)
    }
}

impl fmt::Display for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().fmt(f)
    }
}
