//! The bytes of values: varints (LEB128, at most 64 bits), and byte strings with their length as a varint before them.

use std::fmt;

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged(pub &'static str);

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Damaged {}

/// Appends a number: 1 byte below 128, 6 for the milliseconds of these decades, 10 at most.
pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends bytes with their length before them.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads a value from its beginning. Every error names what was expected.
pub(super) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// A value whose first byte must be this version.
    pub(super) fn versioned(value: &'a [u8], version: u8) -> Result<Input<'a>, Damaged> {
        match value.split_first() {
            None => Err(Damaged("the value is empty")),
            Some((&found, rest)) if found == version => Ok(Input { rest }),
            Some(_) => Err(Damaged("the value has an unknown version")),
        }
    }

    pub(super) fn byte(&mut self) -> Result<u8, Damaged> {
        let (&byte, rest) = self.rest.split_first().ok_or(Damaged("the value is cut off"))?;
        self.rest = rest;
        Ok(byte)
    }

    pub(super) fn number(&mut self) -> Result<u64, Damaged> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Damaged("a number has more than 64 bits"))
    }

    /// A number that fits into 32 bits.
    pub(super) fn small_number(&mut self) -> Result<u32, Damaged> {
        u32::try_from(self.number()?).map_err(|_| Damaged("a number has more than 32 bits"))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Damaged> {
        let len = usize::try_from(self.number()?).map_err(|_| Damaged("the value is cut off"))?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Damaged("the value is cut off"))?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Damaged> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Damaged("a text is not UTF-8"))
    }

    /// All that is left.
    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), Damaged> {
        if self.rest.is_empty() { Ok(()) } else { Err(Damaged("the value goes on behind its end")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_back() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut value = vec![1];
            put_number(&mut value, number);
            let mut input = Input::versioned(&value, 1).unwrap();
            assert_eq!(input.number(), Ok(number));
            assert_eq!(input.end(), Ok(()));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let number = |bytes: &[u8]| Input { rest: bytes }.number();
        assert_eq!(number(&[]), Err(Damaged("the value is cut off")));
        assert_eq!(number(&[0x80]), Err(Damaged("the value is cut off")));
        assert_eq!(number(&[0xff; 11]), Err(Damaged("a number has more than 64 bits")));
        assert_eq!(number(&[[0x80; 9].as_slice(), &[2]].concat()), Err(Damaged("a number has more than 64 bits")));
        assert_eq!(number(&[[0x80; 9].as_slice(), &[1]].concat()), Ok(1 << 63));
        assert_eq!(Input { rest: &[3, b'a'] }.bytes(), Err(Damaged("the value is cut off")));
        assert_eq!(
            Input { rest: &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1] }.bytes(),
            Err(Damaged("the value is cut off"))
        );
        assert_eq!(Input { rest: &[1, 0xff] }.text(), Err(Damaged("a text is not UTF-8")));
        assert_eq!(Input { rest: &[1] }.end(), Err(Damaged("the value goes on behind its end")));
        assert!(Input::versioned(&[], 1).is_err() && Input::versioned(&[2], 1).is_err());
    }
}
