//! The end of a connection: what a close frame says (RFC 6455, sections 5.5.1 and 7.4).

use super::Fault;
use super::frame::{CONTROL_BYTES_MAX, Opcode, write};

/// All was said.
pub const NORMAL: u16 = 1000;
/// The peer broke a rule of the protocol.
pub const PROTOCOL_ERROR: u16 = 1002;
/// It sent text where bytes were agreed, or bytes where text was.
pub const UNACCEPTABLE: u16 = 1003;
/// A text was not UTF-8.
pub const INVALID_TEXT: u16 = 1007;
/// A message was longer than is taken.
pub const TOO_BIG: u16 = 1009;

/// Whether a peer may send this code: those of the RFC less the three that stand for the lack of one, those that IANA has registered
/// since, and those of libraries and applications.
pub fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// What the payload of a close frame says; `None`: nothing.
///
/// # Errors
/// [`Fault::BadClose`], [`Fault::InvalidUtf8`] in its reason.
pub fn read(payload: &[u8]) -> Result<Option<u16>, Fault> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(None) } else { Err(Fault::BadClose) };
    };
    let code = u16::from_be_bytes(*code);
    if !may_be_sent(code) {
        return Err(Fault::BadClose);
    }
    std::str::from_utf8(reason).map_err(|_| Fault::InvalidUtf8)?;
    Ok(Some(code))
}

/// Appends a close frame. A reason that is too long for one is cut after a character.
pub fn write_frame(code: Option<u16>, reason: &str, into: &mut Vec<u8>) {
    let mut payload = Vec::with_capacity(CONTROL_BYTES_MAX);
    if let Some(code) = code {
        payload.extend_from_slice(&code.to_be_bytes());
        payload.extend_from_slice(&reason.as_bytes()[..reason.floor_char_boundary(CONTROL_BYTES_MAX - payload.len())]);
    }
    write(Opcode::Close, &payload, into);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_mean_something_may_be_sent() {
        let wrong = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535];
        let right = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];
        assert!(right.iter().all(|&code| may_be_sent(code)));
        assert!(!wrong.iter().any(|&code| may_be_sent(code)));
        for code in wrong {
            assert_eq!(read(&u16::to_be_bytes(code)), Err(Fault::BadClose), "{code}");
        }
    }

    #[test]
    fn a_close_says_nothing_or_a_code_with_a_reason() {
        assert_eq!(read(b""), Ok(None));
        assert_eq!(read(b"\x03"), Err(Fault::BadClose));
        assert_eq!(read(b"\x03\xe8"), Ok(Some(1000)));
        assert_eq!(read("\x0f\u{41}".as_bytes()), Ok(Some(0x0f41)));
        assert_eq!(read(b"\x03\xe8why \xe2\x82\xac"), Ok(Some(1000)));
        assert_eq!(read(b"\x03\xe8\xe2\x82"), Err(Fault::InvalidUtf8));
    }

    #[test]
    fn what_is_written_can_be_read() {
        let frame = |code, reason: &str| {
            let mut bytes = Vec::new();
            write_frame(code, reason, &mut bytes);
            bytes
        };
        assert_eq!(frame(None, "lost"), [0x88, 0]);
        assert_eq!(frame(Some(1000), "ok"), [0x88, 4, 0x03, 0xe8, b'o', b'k']);
        let long = frame(Some(4000), &"€".repeat(100));
        assert_eq!((long.len(), long[1]), (2 + 125, 125));
        assert_eq!(read(&frame(Some(4000), &"€".repeat(100))[2..]), Ok(Some(4000)));
        assert_eq!(frame(Some(4000), &"é".repeat(100))[1], 124);
    }
}
