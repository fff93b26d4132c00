//! The NATS client protocol, as far as publishing, requests and a stream's acks need it:
//! <https://docs.nats.io/reference/reference-protocols/nats-protocol>.

use super::{Front, Heard, Nonsense, Which, length, line};

/// Subscriptions by their number: what is for the user, answers to what he asked, what is for his group.
const OWN: &str = "1";
const INBOX: &str = "2";
const GROUP: &str = "3";
/// Subjects of users and groups, and so of a stream that keeps what they are sent.
pub const SUBJECTS: &str = "load.*";

/// What the server said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// A message on a subject, by the number of the subscription. With `reply_to` its sender waits for an answer there.
    #[allow(missing_docs)]
    Message { subject: &'a str, subscription: &'a str, reply_to: Option<&'a str>, payload: &'a [u8] },
    /// Wants a PONG.
    Ping,
    /// The answer to a PING.
    Pong,
    /// INFO and +OK, which nobody waits for.
    Other,
    /// What is wrong, in the server's words.
    Error(&'a str),
}

/// What stands at the front of the bytes, and how many they are. None: the rest has not come.
///
/// # Errors
/// It is not the protocol of NATS.
pub fn next(bytes: &[u8]) -> Result<Option<(Said<'_>, usize)>, Nonsense> {
    let Some((text, after)) = line(bytes)? else { return Ok(None) };
    let text = std::str::from_utf8(text).map_err(|_| Nonsense("a line of text"))?;
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    let said = match verb {
        "MSG" => return message(bytes, rest, after),
        "PING" => Said::Ping,
        "PONG" => Said::Pong,
        "INFO" | "+OK" => Said::Other,
        "-ERR" => Said::Error(rest),
        _ => return Err(Nonsense("a verb of NATS")),
    };
    Ok(Some((said, after)))
}

/// `subject number [reply] length`, and the payload behind it.
fn message<'a>(bytes: &'a [u8], head: &'a str, begin: usize) -> Result<Option<(Said<'a>, usize)>, Nonsense> {
    let mut words = head.split(' ');
    let [first, second, third, fourth] = std::array::from_fn(|_| words.next());
    let (reply_to, digits) = if fourth.is_some() { (third, fourth) } else { (None, third) };
    let ([Some(subject), Some(subscription), Some(digits)], None) = ([first, second, digits], words.next()) else {
        return Err(Nonsense("subject, subscription and length"));
    };
    let end = begin + length(digits.as_bytes())?;
    match bytes.get(end..end + 2) {
        None => Ok(None),
        Some(b"\r\n") => Ok(Some((Said::Message { subject, subscription, reply_to, payload: &bytes[begin..end] }, end + 2))),
        Some(_) => Err(Nonsense("the end of a payload")),
    }
}

/// Appends a PUB.
pub fn publish(subject: &str, reply_to: Option<&str>, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("PUB {subject} {} {}\r\n", reply_to.unwrap_or(""), payload.len()).as_bytes());
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// Whether the stream's answer says that the message is stored: `{"stream":"S","seq":1}`.
pub fn is_stored(payload: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(payload).is_ok_and(|ack| ack["seq"].is_u64() && ack.get("error").is_none())
}

/// Appends the introduction.
pub fn hello(out: &mut Vec<u8>) {
    out.extend_from_slice(b"CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":1,\"name\":\"campanile-load\"}\r\n");
}

pub(super) fn listen(user: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("SUB load.{user} {OWN}\r\nSUB _INBOX.{user}.* {INBOX}\r\n").as_bytes());
}

pub(super) fn join(group: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("SUB load.{group} {GROUP}\r\n").as_bytes());
}

/// A message to a user or group, whose answer comes to the inbox of `from`, under its reference.
pub(super) fn request(from: &str, to: &str, reference: u64, payload: &[u8], out: &mut Vec<u8>) {
    publish(&format!("load.{to}"), Some(&format!("_INBOX.{from}.{reference}")), payload, out);
}

/// A message that nobody answers.
pub(super) fn tell(to: &str, payload: &[u8], out: &mut Vec<u8>) {
    publish(&format!("load.{to}"), None, payload, out);
}

pub(super) fn ping(out: &mut Vec<u8>) {
    out.extend_from_slice(b"PING\r\n");
}

pub(super) fn pong(out: &mut Vec<u8>) {
    out.extend_from_slice(b"PONG\r\n");
}

pub(super) fn hear(bytes: &[u8]) -> Front<'_> {
    let Some((said, used)) = next(bytes)? else { return Ok(None) };
    let heard = match said {
        Said::Message { subject, subscription: INBOX, payload, .. } => answered(subject, payload)?,
        Said::Message { reply_to, payload, .. } => Heard::Message { body: payload, reply_to },
        Said::Ping => Heard::Ping,
        Said::Pong => Heard::Pong,
        Said::Other => Heard::Nothing,
        Said::Error(what) => Heard::Refused(what),
    };
    Ok(Some((heard, used)))
}

/// A peer answers with nothing, a stream says whether it has stored.
fn answered<'a>(subject: &str, payload: &'a [u8]) -> Result<Heard<'a>, Nonsense> {
    let reference = subject.rsplit('.').next().and_then(|number| number.parse().ok());
    let reference = reference.ok_or(Nonsense("an inbox of ours"))?;
    if payload.is_empty() || is_stored(payload) {
        return Ok(Heard::Acked(Which::Reference(reference)));
    }
    Ok(Heard::Refused(std::str::from_utf8(payload).map_err(|_| Nonsense("an answer in words"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_at_their_length() {
        let bytes = b"MSG _INBOX.1.7 1 7\r\na\r\nb\r\nc\r\nPING\r\n";
        let (said, used) = next(bytes).unwrap().unwrap();
        let payload = b"a\r\nb\r\nc";
        assert_eq!(said, Said::Message { subject: "_INBOX.1.7", subscription: "1", reply_to: None, payload });
        assert_eq!(next(&bytes[used..]), Ok(Some((Said::Ping, 6))));
        assert!((0..used).all(|length| next(&bytes[..length]) == Ok(None)));
        let with_reply = b"MSG a 1 reply 0\r\n\r\n";
        let said = Said::Message { subject: "a", subscription: "1", reply_to: Some("reply"), payload: b"" };
        assert_eq!(next(with_reply), Ok(Some((said, with_reply.len()))));
    }

    #[test]
    fn errors_and_nonsense_are_told() {
        assert_eq!(next(b"-ERR 'Authorization Violation'\r\n").unwrap().unwrap().0, Said::Error("'Authorization Violation'"));
        for wrong in ["HTTP/1.1 400", "MSG a 1 x", "MSG a 1", "MSG a 1 r 0 0"] {
            assert!(next(format!("{wrong}\r\n").as_bytes()).is_err(), "{wrong}");
        }
        assert!(next(b"MSG a 1 1\r\nabc").is_err());
        assert_eq!(next(b"INFO {\"a\":1}\r\n").unwrap().unwrap().0, Said::Other);
    }

    #[test]
    fn what_is_published_says_its_length() {
        let mut out = Vec::new();
        request("al", "bob", 7, b"hi", &mut out);
        assert_eq!(out, b"PUB load.bob _INBOX.al.7 2\r\nhi\r\n");
        out.clear();
        tell("bob", b"", &mut out);
        assert_eq!(out, b"PUB load.bob  0\r\n\r\n", "blanks between words may be many");
    }

    #[test]
    fn an_answer_is_empty_or_says_that_it_is_stored() {
        let stored = br#"{"stream":"S","seq":1}"#;
        let acked = Ok(Heard::Acked(Which::Reference(9)));
        assert_eq!((answered("_INBOX.al.9", b""), answered("_INBOX.al.9", stored)), (acked, acked));
        let refused = r#"{"error":{"code":503}}"#;
        assert_eq!(answered("_INBOX.al.9", refused.as_bytes()), Ok(Heard::Refused(refused)));
        assert!(!is_stored(b"+OK"));
    }
}
