//! The key of a conversation: a kind byte and length-prefixed parts, so that two keys never collide. Kinds and lengths are below 128, so
//! the whole is text.

use std::fmt;

use ecow::EcoString;

use crate::id::{Address, ID_BYTES_MAX};

/// A kind, and two parts of the greatest length.
const KEY_BYTES_MAX: usize = 1 + 2 * (1 + ID_BYTES_MAX);

/// The four kinds of conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Two users.
    Direct = 1,
    /// A member list with roles.
    Group = 2,
    /// Whoever subscribes.
    Topic = 3,
    /// Every session.
    Broadcast = 4,
}

/// Identifies a conversation. Cheap to clone; equal keys are the same conversation whoever's view they were made from.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(EcoString);

impl Key {
    /// The conversation that `user` means by `address`.
    pub fn new(user: &str, address: Address<'_>) -> Key {
        match address {
            Address::Direct(peer) => Key::direct(user, peer),
            Address::Group(id) => Key::of(Kind::Group, &[id]),
            Address::Topic(id) => Key::of(Kind::Topic, &[id]),
            Address::Broadcast => Key::of(Kind::Broadcast, &[]),
        }
    }

    /// The conversation of two users, in whichever order. A user may write to himself.
    pub fn direct(a: &str, b: &str) -> Key {
        if a <= b { Key::of(Kind::Direct, &[a, b]) } else { Key::of(Kind::Direct, &[b, a]) }
    }

    fn of(kind: Kind, parts: &[&str]) -> Key {
        let (mut text, mut end) = ([0; KEY_BYTES_MAX], 1);
        text[0] = kind as u8;
        for part in parts {
            assert!(part.len() <= ID_BYTES_MAX, "an id was checked where it entered");
            text[end] = part.len() as u8;
            text[end + 1..][..part.len()].copy_from_slice(part.as_bytes());
            end += 1 + part.len();
        }
        Key(str::from_utf8(&text[..end]).expect("kinds and lengths are ASCII, parts are text").into())
    }

    /// Reads what [`Key::bytes`] gave. `None`: it is no key.
    pub fn from_bytes(bytes: &[u8]) -> Option<Key> {
        let (&kind, mut parts) = bytes.split_first()?;
        let count = match kind {
            1 => 2,
            2 | 3 => 1,
            4 => 0,
            _ => return None,
        };
        for _ in 0..count {
            let (&len, rest) = parts.split_first()?;
            let (part, rest) = rest.split_at_checked(len.into())?;
            let is_id = part.len() <= ID_BYTES_MAX && std::str::from_utf8(part).is_ok();
            parts = is_id.then_some(rest)?;
        }
        let text = std::str::from_utf8(bytes).ok()?;
        parts.is_empty().then(|| Key(text.into()))
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self.bytes()[0] {
            1 => Kind::Direct,
            2 => Kind::Group,
            3 => Kind::Topic,
            4 => Kind::Broadcast,
            other => unreachable!("a key begins with a kind, not {other}"),
        }
    }

    /// The bytes that are hashed and stored.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn part(&self, index: usize) -> &str {
        let mut rest = &self.0[1..];
        for _ in 0..index {
            rest = &rest[1 + rest.as_bytes()[0] as usize..];
        }
        &rest[1..1 + rest.as_bytes()[0] as usize]
    }

    /// The two users of a direct conversation, in the order of their ids.
    ///
    /// # Panics
    /// For another kind.
    pub fn users(&self) -> [&str; 2] {
        assert_eq!(self.kind(), Kind::Direct);
        [self.part(0), self.part(1)]
    }

    /// How `user` names this conversation.
    pub fn address<'a>(&'a self, user: &str) -> Address<'a> {
        match self.kind() {
            Kind::Direct => {
                let [a, b] = self.users();
                Address::Direct(if a == user { b } else { a })
            }
            Kind::Group => Address::Group(self.part(0)),
            Kind::Topic => Address::Topic(self.part(0)),
            Kind::Broadcast => Address::Broadcast,
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            Kind::Direct => write!(f, "direct:{}+{}", self.part(0), self.part(1)),
            _ => write!(f, "{}", self.address("")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_mean_the_same_direct_conversation() {
        let key = Key::new("bob", Address::Direct("alice"));
        assert_eq!(key, Key::new("alice", Address::Direct("bob")));
        assert_eq!(key.users(), ["alice", "bob"]);
        assert_eq!(key.address("alice"), Address::Direct("bob"));
        assert_eq!(key.address("bob"), Address::Direct("alice"));
        assert_eq!(Key::direct("me", "me").address("me"), Address::Direct("me"));
    }

    #[test]
    fn a_key_is_read_back_and_nothing_else_is() {
        let keys = [
            Key::direct("a", "Zo\u{eb}"),
            Key::new("x", Address::Group("team")),
            Key::new("x", Address::Topic(&"t".repeat(64))),
            Key::new("x", Address::Broadcast),
        ];
        for key in keys {
            let bytes = key.bytes().to_vec();
            assert_eq!(Key::from_bytes(&bytes), Some(key));
            assert_eq!(Key::from_bytes(&bytes[..bytes.len() - 1]), None, "cut off");
            assert_eq!(Key::from_bytes(&[&bytes[..], b"x"].concat()), None, "too long");
        }
        // A length that splits a letter, one above that of any id, and a kind that is none.
        for bytes in [&b"\x01\x01\xc3\x01\xab"[..], &[&b"\x02\x41"[..], &[b'x'; 65]].concat(), b"\x05\x01a", b""] {
            assert_eq!(Key::from_bytes(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn keys_do_not_collide() {
        let keys = [
            Key::direct("a", "bc"),
            Key::direct("ab", "c"),
            Key::new("x", Address::Group("a")),
            Key::new("x", Address::Topic("a")),
            Key::new("x", Address::Broadcast),
        ];
        for (i, a) in keys.iter().enumerate() {
            assert!(keys[i + 1..].iter().all(|b| a != b));
        }
        assert_eq!(keys[2].address("whoever"), Address::Group("a"));
    }
}
