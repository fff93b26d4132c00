//! As much of the NATS client protocol as publishing to a stream needs: <https://docs.nats.io/reference/reference-protocols/nats-protocol>.

/// What the server said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// A message on a subject: here the answer of the stream.
    #[allow(missing_docs)]
    Message { subject: &'a str, payload: &'a [u8] },
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
/// It is not the protocol of NATS; the text is the line.
pub fn next(bytes: &[u8]) -> Result<Option<(Said<'_>, usize)>, String> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| "a line that is no text".to_owned())?;
    let after = end + 2;
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let said = match verb {
        "MSG" => {
            // MSG subject sid [reply] bytes
            let subject = rest.split(' ').next().unwrap_or("");
            let length = rest.rsplit(' ').next().and_then(|n| n.parse::<usize>().ok()).ok_or_else(|| line.to_owned())?;
            if bytes.len() < after + length + 2 {
                return Ok(None);
            }
            let payload = &bytes[after..after + length];
            return Ok(Some((Said::Message { subject, payload }, after + length + 2)));
        }
        "PING" => Said::Ping,
        "PONG" => Said::Pong,
        "INFO" | "+OK" => Said::Other,
        "-ERR" => Said::Error(rest),
        _ => return Err(line.to_owned()),
    };
    Ok(Some((said, after)))
}

/// Appends a PUB.
pub fn publish(out: &mut Vec<u8>, subject: &str, reply: &str, payload: &[u8]) {
    out.extend_from_slice(format!("PUB {subject} {reply} {}\r\n", payload.len()).as_bytes());
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// Whether the stream's answer says that the message is stored: `{"stream":"S","seq":1}`.
pub fn is_stored(payload: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(payload).is_ok_and(|ack| ack["seq"].is_u64() && ack.get("error").is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_at_their_length() {
        let bytes = b"MSG _INBOX.1.7 1 7\r\na\r\nb\r\nc\r\nPING\r\n";
        let (said, used) = next(bytes).unwrap().unwrap();
        assert_eq!(said, Said::Message { subject: "_INBOX.1.7", payload: b"a\r\nb\r\nc" });
        assert_eq!(next(&bytes[used..]), Ok(Some((Said::Ping, 6))));
        assert!((0..used).all(|length| next(&bytes[..length]) == Ok(None)));
        let with_reply = b"MSG a 1 reply 0\r\n\r\n";
        assert_eq!(next(with_reply).unwrap().unwrap(), (Said::Message { subject: "a", payload: b"" }, with_reply.len()));
    }

    #[test]
    fn errors_and_nonsense_are_told() {
        assert_eq!(next(b"-ERR 'Authorization Violation'\r\n").unwrap().unwrap().0, Said::Error("'Authorization Violation'"));
        assert_eq!(next(b"HTTP/1.1 400\r\n"), Err("HTTP/1.1 400".into()));
        assert!(next(b"MSG a 1 x\r\n").is_err());
        assert_eq!(next(b"INFO {\"a\":1}\r\n").unwrap().unwrap().0, Said::Other);
    }

    #[test]
    fn what_is_published_says_its_length() {
        let mut out = Vec::new();
        publish(&mut out, "a.b", "r", b"hi");
        assert_eq!(out, b"PUB a.b r 2\r\nhi\r\n");
        assert!(is_stored(br#"{"stream":"S","seq":1}"#));
        assert!(!is_stored(br#"{"error":{"code":503}}"#) && !is_stored(b"+OK"));
    }
}
