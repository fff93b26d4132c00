//! RESP 3, in which a connection that has subscribed may publish too: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

use super::{Front, Heard, Nonsense, Which, length, line};

/// Deepest nesting that is followed: the answer to HELLO has a list in a map.
const DEPTH_MAX: usize = 4;
/// Most elements of one list or map.
const ELEMENTS_MAX: usize = 64;

pub(super) fn hello(out: &mut Vec<u8>) {
    command(&[b"HELLO", b"3"], out);
}

pub(super) fn subscribe(channel: &str, out: &mut Vec<u8>) {
    command(&[b"SUBSCRIBE", channel.as_bytes()], out);
}

pub(super) fn publish(channel: &str, body: &[u8], out: &mut Vec<u8>) {
    command(&[b"PUBLISH", channel.as_bytes(), body], out);
}

pub(super) fn ping(out: &mut Vec<u8>) {
    command(&[b"PING"], out);
}

fn command(words: &[&[u8]], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

pub(super) fn hear(bytes: &[u8]) -> Front<'_> {
    let Some(end) = end_of_value(bytes, 0)? else { return Ok(None) };
    let heard = match bytes[0] {
        b'+' if bytes.starts_with(b"+PONG\r\n") => Heard::Pong,
        b'-' => Heard::Refused(std::str::from_utf8(&bytes[1..end - 2]).map_err(|_| Nonsense("an error in words"))?),
        b':' => Heard::Acked(Which::Oldest),
        b'>' => pushed(&bytes[..end])?,
        _ => Heard::Nothing,
    };
    Ok(Some((heard, end)))
}

/// A push: `message`, channel, body, or the answer to a subscription.
fn pushed(push: &[u8]) -> Result<Heard<'_>, Nonsense> {
    let broken = Nonsense("a push of strings");
    let (_, first) = line(push)?.ok_or(broken)?;
    let (kind, second) = string(push, first)?.ok_or(broken)?;
    if kind != b"message" {
        return Ok(Heard::Nothing);
    }
    let (_, third) = string(push, second)?.ok_or(broken)?;
    let (body, _) = string(push, third)?.ok_or(broken)?;
    Ok(Heard::Message { body, reply_to: None })
}

/// A bulk string at a place, and where it ends.
fn string(bytes: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, Nonsense> {
    let Some((head, used)) = line(&bytes[at..])? else { return Ok(None) };
    let digits = head.strip_prefix(b"$").ok_or(Nonsense("a string"))?;
    let begin = at + used;
    let end = begin + length(digits)?;
    match bytes.get(end..end + 2) {
        None => Ok(None),
        Some(b"\r\n") => Ok(Some((&bytes[begin..end], end + 2))),
        Some(_) => Err(Nonsense("the end of a string")),
    }
}

/// Where the value at the front ends.
fn end_of_value(bytes: &[u8], depth: usize) -> Result<Option<usize>, Nonsense> {
    if depth > DEPTH_MAX {
        return Err(Nonsense("fewer lists in lists"));
    }
    let Some(kind) = bytes.first() else { return Ok(None) };
    let per_element = match kind {
        b'$' if !bytes.starts_with(b"$-1\r\n") => return Ok(string(bytes, 0)?.map(|(_, end)| end)),
        b'*' | b'>' | b'~' => 1,
        b'%' => 2,
        b'+' | b'-' | b':' | b'$' | b'_' | b'#' | b',' | b'(' => 0,
        _ => return Err(Nonsense("a value")),
    };
    let Some((head, mut end)) = line(bytes)? else { return Ok(None) };
    let elements = if per_element == 0 { 0 } else { length(&head[1..])? * per_element };
    if elements > ELEMENTS_MAX {
        return Err(Nonsense("fewer elements"));
    }
    for _ in 0..elements {
        let Some(used) = end_of_value(&bytes[end..], depth + 1)? else { return Ok(None) };
        end += used;
    }
    Ok(Some(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_lists_of_strings() {
        let mut out = Vec::new();
        publish("c", b"a\r\nb", &mut out);
        assert_eq!(out, b"*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$4\r\na\r\nb\r\n");
        assert_eq!(end_of_value(&out, 0), Ok(Some(out.len())), "our own commands are values too");
    }

    #[test]
    fn nulls_and_odd_values_end_where_they_end() {
        for bytes in [&b"$-1\r\n"[..], b"_\r\n", b"#t\r\n", b",1.5\r\n", b"*0\r\n", b"%1\r\n+a\r\n*2\r\n:1\r\n_\r\n"] {
            assert_eq!(hear(bytes), Ok(Some((Heard::Nothing, bytes.len()))), "{bytes:?}");
        }
        assert_eq!(hear(b"$3\r\nabcde"), Err(Nonsense("the end of a string")));
    }
}
