//! From HTTP to WebSocket, as a client (RFC 6455, section 4.1).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1_smol::Sha1;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// What is hashed behind a key.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Longest answer that is believed.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Most headers in it.
const HEADERS_MAX: usize = 64;

/// What a server has answered so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Not all of it has come.
    More,
    /// The protocol is WebSocket after so many bytes.
    Upgraded(usize),
    /// It does not want to just now, but may later.
    Later,
    /// It does not want to, or it is no server that may be believed.
    Refused(String),
}

/// The `Sec-WebSocket-Key` of a connection: made from its number, so that it need not be remembered.
pub fn key(seed: u64) -> String {
    STANDARD.encode(xxh3_128_with_seed(GUID.as_bytes(), seed).to_be_bytes())
}

/// The request.
pub fn request(host: &str, path: &str, protocol: &str, key: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
    )
}

/// Reads the answer to [`request`] at the front of `bytes`.
pub fn answer(bytes: &[u8], protocol: &str, key: &str) -> Answer {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < ANSWER_BYTES_MAX => return Answer::More,
        Ok(httparse::Status::Partial) => return Answer::Refused(format!("an answer of more than {ANSWER_BYTES_MAX} bytes")),
        Err(error) => return Answer::Refused(format!("no HTTP: {error}")),
    };
    match response.code.unwrap_or(0) {
        101 => {}
        429 | 503 => return Answer::Later,
        code => return Answer::Refused(format!("{code} {}", response.reason.unwrap_or(""))),
    }
    match check(response.headers, protocol, key) {
        Ok(()) => Answer::Upgraded(length),
        Err(wrong) => Answer::Refused(format!("101, but {wrong}")),
    }
}

/// Each of the headers must be there once, and say this.
fn check(headers: &[httparse::Header<'_>], protocol: &str, key: &str) -> Result<(), String> {
    let value = |name: &str| {
        let mut found = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value);
        found.next().filter(|_| found.next().is_none()).unwrap_or_default()
    };
    let accept = accept(key);
    for (name, wanted) in [("Sec-WebSocket-Accept", accept.as_str()), ("Sec-WebSocket-Protocol", protocol)] {
        if value(name) != wanted.as_bytes() {
            return Err(format!("{name} is not {wanted}"));
        }
    }
    for (name, wanted) in [("Upgrade", "websocket"), ("Connection", "Upgrade")] {
        if !value(name).eq_ignore_ascii_case(wanted.as_bytes()) {
            return Err(format!("{name} is not {wanted}"));
        }
    }
    let extension = headers.iter().any(|header| header.name.eq_ignore_ascii_case("Sec-WebSocket-Extensions"));
    if extension { Err("with an extension that nobody asked for".to_owned()) } else { Ok(()) }
}

/// What a server that has understood the key answers.
fn accept(key: &str) -> String {
    STANDARD.encode(Sha1::from(format!("{key}{GUID}")).digest().bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn good() -> String {
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nconnection: upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: p.v1\r\n\r\n"
            .to_owned()
    }

    #[test]
    fn the_answer_of_the_rfc_is_believed_once_it_is_whole() {
        // RFC 6455, section 1.3.
        let answered = good() + "frames";
        for cut in 0..good().len() {
            assert_eq!(answer(&answered.as_bytes()[..cut], "p.v1", KEY), Answer::More, "{cut}");
        }
        assert_eq!(answer(answered.as_bytes(), "p.v1", KEY), Answer::Upgraded(good().len()));
    }

    #[test]
    fn what_is_not_exactly_that_is_refused() {
        for (from, to) in [
            ("s3pP", "S3pP"),
            ("p.v1", "p.v2"),
            ("Sec-WebSocket-Protocol: p.v1\r\n", ""),
            ("Upgrade: WebSocket\r\n", "Upgrade: h2c\r\n"),
            ("connection: upgrade\r\n", "Connection: close\r\n"),
            ("Upgrade: WebSocket\r\n", "Upgrade: websocket\r\nUpgrade: websocket\r\n"),
            ("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
            ("HTTP/1.1 101", "HTTP/1.1 400"),
            ("HTTP/1.1", "SIP/2.0"),
        ] {
            let text = good().replace(from, to);
            assert_ne!(text, good(), "{from}");
            assert!(matches!(answer(text.as_bytes(), "p.v1", KEY), Answer::Refused(_)), "{from} -> {to}");
        }
        assert_eq!(answer(b"HTTP/1.1 503 Busy\r\n\r\n", "p.v1", KEY), Answer::Later);
        let endless = format!("HTTP/1.1 101 Go\r\nX: {}", "x".repeat(ANSWER_BYTES_MAX));
        assert!(matches!(answer(endless.as_bytes(), "p.v1", KEY), Answer::Refused(_)));
    }

    #[test]
    fn each_connection_has_a_key_of_16_bytes() {
        assert_ne!(key(1), key(2));
        assert_eq!(STANDARD.decode(key(1)).expect("base64").len(), 16);
    }

    #[test]
    fn the_request_is_one() {
        let text = request("localhost:1", "/", "p.v1", KEY);
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut parsed = httparse::Request::new(&mut headers);
        assert_eq!(parsed.parse(text.as_bytes()), Ok(httparse::Status::Complete(text.len())));
        assert_eq!((parsed.method, parsed.path, parsed.headers.len()), (Some("GET"), Some("/"), 6));
    }
}
