//! Names: ids of users, devices, groups and topics, and how a conversation is addressed.
//!
//! An id is 1 - 64 bytes of NFC UTF-8 without control characters and is compared as bytes. It is checked once, where it enters.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

/// Longest id, in bytes.
pub const ID_BYTES_MAX: usize = 64;

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdError {
    /// It has no bytes.
    Empty,
    /// It has more than [`ID_BYTES_MAX`] bytes.
    TooLong,
    /// It contains a control character (Unicode category Cc).
    ControlCharacter,
    /// It is not in Unicode normalization form C (UAX 15).
    NotNfc,
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IdError::Empty => "an id has at least 1 byte",
            IdError::TooLong => "an id has at most 64 bytes",
            IdError::ControlCharacter => "an id has no control characters",
            IdError::NotNfc => "an id is in Unicode normalization form C",
        })
    }
}

impl std::error::Error for IdError {}

/// Checks the rules for ids and gives the text back.
///
/// # Errors
/// The first rule that is broken.
pub fn check_id(text: &str) -> Result<&str, IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > ID_BYTES_MAX {
        return Err(IdError::TooLong);
    }
    if text.is_ascii() {
        // ASCII is always NFC, so only the control characters are left to look for.
        return if text.bytes().any(|b| b.is_ascii_control()) { Err(IdError::ControlCharacter) } else { Ok(text) };
    }
    if text.chars().any(char::is_control) {
        return Err(IdError::ControlCharacter);
    }
    if !text.nfc().eq(text.chars()) {
        return Err(IdError::NotNfc);
    }
    Ok(text)
}

/// A conversation as a user names it: `direct:bob`, `group:team`, `topic:news`, `broadcast`.
///
/// `Direct` holds the id of the *other* user, so the same conversation has two addresses, one for each side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Address<'a> {
    /// The conversation with this user.
    Direct(&'a str),
    /// The group of this id.
    Group(&'a str),
    /// The topic of this id.
    Topic(&'a str),
    /// Every session.
    Broadcast,
}

impl<'a> Address<'a> {
    /// Reads the written form.
    ///
    /// # Errors
    /// A sentence that says what is expected, for people.
    pub fn parse(text: &'a str) -> Result<Address<'a>, String> {
        if text == "broadcast" {
            return Ok(Address::Broadcast);
        }
        let (kind, id) = text
            .split_once(':')
            .ok_or_else(|| format!("'{text}' names no conversation; write direct:USER, group:ID, topic:ID or broadcast"))?;
        check_id(id).map_err(|e| format!("'{text}': {e}"))?;
        match kind {
            "direct" => Ok(Address::Direct(id)),
            "group" => Ok(Address::Group(id)),
            "topic" => Ok(Address::Topic(id)),
            _ => Err(format!("'{kind}' is no kind of conversation; the kinds are direct, group, topic and broadcast")),
        }
    }

    /// The id behind the colon; empty for `broadcast`.
    pub fn id(&self) -> &'a str {
        match self {
            Address::Direct(id) | Address::Group(id) | Address::Topic(id) => id,
            Address::Broadcast => "",
        }
    }
}

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Direct(id) => write!(f, "direct:{id}"),
            Address::Group(id) => write!(f, "group:{id}"),
            Address::Topic(id) => write!(f, "topic:{id}"),
            Address::Broadcast => f.write_str("broadcast"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_the_rules() {
        assert_eq!(check_id("alice"), Ok("alice"));
        assert_eq!(check_id("Zoë"), Ok("Zoë"));
        assert_eq!(check_id(""), Err(IdError::Empty));
        assert_eq!(check_id(&"x".repeat(64)).map(str::len), Ok(64));
        assert_eq!(check_id(&"x".repeat(65)), Err(IdError::TooLong));
        assert_eq!(check_id("a\u{7}b"), Err(IdError::ControlCharacter));
        assert_eq!(check_id("é\u{85}"), Err(IdError::ControlCharacter));
        assert_eq!(check_id("Zoe\u{308}"), Err(IdError::NotNfc));
    }

    #[test]
    fn addresses_are_written_and_read() {
        for text in ["direct:bob", "group:team", "topic:news/eu", "topic:a:b", "broadcast"] {
            assert_eq!(Address::parse(text).map(|a| a.to_string()), Ok(text.to_owned()));
        }
        for text in ["bob", "direct:", "room:x", "", "group:a\nb"] {
            assert!(Address::parse(text).is_err(), "{text:?}");
        }
    }
}
