//! From values to text. Whatever is written ends with a comma, and what closes an object or a list takes the place of its last one.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flatbuffers::{Follow, ForwardsUOffset, Vector};

use super::EXACT_MAX;
use super::content::is_text;
use crate::wire::schema::{Conversation, ConversationKind, Cursor};

/// The value of a field.
pub(super) trait Put {
    /// Appends key, value and comma, or nothing if there is no value. `key` comes with its quotes and its colon.
    fn put(self, key: &'static str, out: &mut Vec<u8>);
}

/// A value in a list, or one that is always there.
pub(super) trait Element {
    /// Appends the value alone.
    fn element(self, out: &mut Vec<u8>);
}

/// A table of the schema.
pub(super) trait Fields {
    /// Appends its fields, without the braces around them.
    fn put_fields(self, out: &mut Vec<u8>);
}

impl<T: Fields> Element for T {
    fn element(self, out: &mut Vec<u8>) {
        out.push(b'{');
        self.put_fields(out);
        close(out, b'}');
    }
}

impl<T: Element> Put for Option<T> {
    fn put(self, key: &'static str, out: &mut Vec<u8>) {
        if let Some(value) = self {
            pair(key, value, out);
        }
    }
}

/// Appends key, value and comma.
pub(super) fn pair(key: &str, value: impl Element, out: &mut Vec<u8>) {
    out.extend_from_slice(key.as_bytes());
    value.element(out);
    out.push(b',');
}

/// Ends an object or a list.
pub(super) fn close(out: &mut Vec<u8>, with: u8) {
    match out.last_mut() {
        Some(last) if *last == b',' => *last = with,
        _ => out.push(with),
    }
}

/// Appends the number by which an answer finds its request, unless there was none.
pub(super) fn put_reference(reference: u64, out: &mut Vec<u8>) {
    if reference != 0 {
        reference.put("\"ref\":", out);
    }
}

/// Whether a value is another than the one that stands for nothing.
pub(super) fn says_something<T: Default + PartialEq>(value: &T) -> bool {
    *value != T::default()
}

/// Numbers are never left out.
macro_rules! numbers {
    ($($number:ident)*) => { $(
        impl Put for $number {
            fn put(self, key: &'static str, out: &mut Vec<u8>) {
                pair(key, u64::from(self), out);
            }
        }
    )* };
}

numbers! { u8 u16 u32 u64 }

impl Put for bool {
    fn put(self, key: &'static str, out: &mut Vec<u8>) {
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(if self { b"true," } else { b"false," });
    }
}

impl Element for u64 {
    fn element(self, out: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(self);
        if self <= EXACT_MAX { out.extend_from_slice(digits.as_bytes()) } else { digits.element(out) }
    }
}

impl Element for &str {
    fn element(self, out: &mut Vec<u8>) {
        out.push(b'"');
        escape(self, out);
        out.push(b'"');
    }
}

impl<'a, T> Element for Vector<'a, ForwardsUOffset<T>>
where
    T: Follow<'a> + 'a,
    T::Inner: Element,
{
    fn element(self, out: &mut Vec<u8>) {
        out.push(b'[');
        for item in self {
            item.element(out);
            out.push(b',');
        }
        close(out, b']');
    }
}

impl Element for &Cursor {
    fn element(self, out: &mut Vec<u8>) {
        out.push(b'{');
        self.epoch().put("\"epoch\":", out);
        self.seq().put("\"seq\":", out);
        close(out, b'}');
    }
}

/// As people write it; one of a kind that this build does not know, as an object.
impl Element for Conversation<'_> {
    fn element(self, out: &mut Vec<u8>) {
        let kind: &[u8] = match self.kind() {
            ConversationKind::direct => b"direct:",
            ConversationKind::group => b"group:",
            ConversationKind::topic => b"topic:",
            ConversationKind::broadcast => return "broadcast".element(out),
            kind => {
                out.push(b'{');
                kind.put("\"kind\":", out);
                self.id().put("\"id\":", out);
                return close(out, b'}');
            }
        };
        out.push(b'"');
        out.extend_from_slice(kind);
        escape(self.id().unwrap_or_default(), out);
        out.push(b'"');
    }
}

/// A body, and its content type: text as text, anything else in base64.
impl Put for (Option<Vector<'_, u8>>, Option<&str>) {
    fn put(self, key: &'static str, out: &mut Vec<u8>) {
        let (Some(body), content_type) = self else { return };
        let text = if is_text(content_type) { std::str::from_utf8(body.bytes()).ok() } else { None };
        match text {
            Some(text) => pair(key, text, out),
            None => put_base64(body.bytes(), out),
        }
    }
}

/// A body that has no content type.
impl Put for Option<Vector<'_, u8>> {
    fn put(self, key: &'static str, out: &mut Vec<u8>) {
        (self, None).put(key, out);
    }
}

fn put_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"body_base64\":\"");
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    STANDARD.encode_slice(bytes, &mut out[start..]).expect("there is room for four letters of each three bytes");
    out.extend_from_slice(b"\",");
}

/// What stands behind the backslash for a byte that cannot stand in a string (RFC 8259, section 7); `u`: four hexadecimal digits more; 0: the byte can.
const ESCAPES: [u8; 256] = {
    let mut escapes = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        escapes[byte] = b'u';
        byte += 1;
    }
    escapes[0x08] = b'b';
    escapes[0x09] = b't';
    escapes[0x0a] = b'n';
    escapes[0x0c] = b'f';
    escapes[0x0d] = b'r';
    escapes[b'"' as usize] = b'"';
    escapes[b'\\' as usize] = b'\\';
    escapes
};

/// So many bytes are looked at together: the compiler makes vector instructions of it.
const TOGETHER: usize = 32;

/// Appends the inside of a string. One without anything to escape is copied at once.
fn escape(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let (chunks, rest) = bytes.as_chunks::<TOGETHER>();
    let mut copied = 0;
    for (index, chunk) in chunks.iter().enumerate() {
        if chunk.iter().fold(false, |any, &byte| any | (byte < 0x20) | (byte == b'"') | (byte == b'\\')) {
            let begin = index * TOGETHER;
            copied = escape_each(bytes, copied, begin..begin + TOGETHER, out);
        }
    }
    copied = escape_each(bytes, copied, bytes.len() - rest.len()..bytes.len(), out);
    out.extend_from_slice(&bytes[copied..]);
}

/// Escapes what must be in a range, and appends the bytes in front of it that were not copied yet. Gives the end of what is.
fn escape_each(bytes: &[u8], mut copied: usize, range: Range<usize>, out: &mut Vec<u8>) -> usize {
    for at in range {
        let byte = bytes[at];
        let escape = ESCAPES[usize::from(byte)];
        if escape == 0 {
            continue;
        }
        out.extend_from_slice(&bytes[copied..at]);
        copied = at + 1;
        out.extend_from_slice(&[b'\\', escape]);
        if escape == b'u' {
            out.extend_from_slice(&[b'0', b'0', b'0' + (byte >> 4), b"0123456789abcdef"[usize::from(byte & 15)]]);
        }
    }
    copied
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: impl Element) -> String {
        let mut out = Vec::new();
        value.element(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_are_escaped_as_serde_does_it_wherever_the_odd_byte_stands() {
        let odd: String = (0..0x30_u8).map(char::from).chain("\"\\/\u{7f}é\u{2028}🔔".chars()).collect();
        for before in 0..70 {
            let text = format!("{}{odd}{}", "x".repeat(before), "y".repeat(70 - before));
            assert_eq!(shown(text.as_str()), serde_json::to_string(&text).unwrap());
        }
        assert_eq!(shown(""), "\"\"");
    }

    #[test]
    fn numbers_that_a_script_cannot_hold_are_strings() {
        assert_eq!(shown(0), "0");
        assert_eq!(shown((1 << 53) - 1), "9007199254740991");
        assert_eq!(shown(1 << 53), "\"9007199254740992\"");
        assert_eq!(shown(u64::MAX), "\"18446744073709551615\"");
    }
}
