//! UTF-8 that comes in pieces.

use super::Fault;

/// What is known of a text whose end has not come.
#[derive(Debug, Default)]
pub struct Utf8 {
    /// A character that was begun.
    begun: [u8; 4],
    bytes: u8,
}

impl Utf8 {
    /// Looks at more of the text.
    ///
    /// # Errors
    /// [`Fault::InvalidUtf8`], at the first byte after which the text cannot be UTF-8, whatever follows.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), Fault> {
        while self.bytes > 0
            && let [byte, rest @ ..] = piece
        {
            self.begun[usize::from(self.bytes)] = *byte;
            self.bytes += 1;
            piece = rest;
            match std::str::from_utf8(&self.begun[..self.bytes.into()]) {
                Ok(_) => self.bytes = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(Fault::InvalidUtf8),
            }
        }
        match std::str::from_utf8(piece) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_none() => {
                let begun = &piece[error.valid_up_to()..];
                self.begun[..begun.len()].copy_from_slice(begun);
                self.bytes = begun.len() as u8;
                Ok(())
            }
            Err(_) => Err(Fault::InvalidUtf8),
        }
    }

    /// The text has come to its end.
    ///
    /// # Errors
    /// [`Fault::InvalidUtf8`]: within a character.
    pub fn end(&self) -> Result<(), Fault> {
        if self.bytes == 0 { Ok(()) } else { Err(Fault::InvalidUtf8) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of bytes after which a text was refused, if it was; its whole length if only its end was missing.
    fn refused_at(text: &[u8]) -> Option<usize> {
        let mut utf8 = Utf8::default();
        for (at, byte) in text.iter().enumerate() {
            if utf8.push(&[*byte]).is_err() {
                return Some(at + 1);
            }
        }
        utf8.end().is_err().then_some(text.len())
    }

    #[test]
    fn texts_are_taken_wherever_they_are_cut() {
        let text =
            "ASCII, \u{80}\u{7ff}, κόσμε, \u{800}\u{ffff}\u{fffd}\u{d7ff}\u{e000}, \u{10000}\u{10ffff}, a\u{0}b".as_bytes();
        assert_eq!(refused_at(text), None);
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let mut utf8 = Utf8::default();
                for piece in [&text[..first], &text[first..second], &text[second..]] {
                    utf8.push(piece).unwrap();
                }
                assert_eq!(utf8.end(), Ok(()), "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn what_cannot_become_utf8_is_refused_at_its_first_bad_byte() {
        for (text, at) in [
            (&b"\x80"[..], 1), // a continuation that continues nothing
            (b"a\xbf", 2),
            (b"\xc0\xaf", 1), // overlong, which no first byte below c2 can help being
            (b"\xc1", 1),
            (b"\xe0\x80\xaf", 2), // overlong
            (b"\xf0\x80\x80\xaf", 2),
            (b"\xed\xa0\x80", 2), // surrogates
            (b"\xed\xbf\xbf", 2),
            (b"\xf4\x90\x80\x80", 2), // above 10ffff
            (b"\xf5", 1),
            (b"\xf8\x88\x80\x80\x80", 1), // five bytes
            (b"\xfe", 1),
            (b"\xff", 1),
            (b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", 13),
            (b"\xe2\x28\xa1", 2), // a character that is left unfinished
            (b"\xf0\x9f\x92a", 4),
            (b"\xe2\x82", 2), // one that the end cuts off
            (b"ok \xf0\x9f\x92", 6),
        ] {
            assert_eq!(refused_at(text), Some(at), "{text:x?}");
            let mut whole = Utf8::default();
            assert!(whole.push(text).and_then(|()| whole.end()).is_err(), "{text:x?}");
        }
    }
}
