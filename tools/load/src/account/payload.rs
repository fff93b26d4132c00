//! The first bytes of every body: enough to count each message from what is received, not from what is assumed.

/// Bytes of the header, and so the smallest `--payload`.
pub const HEADER_BYTES: usize = 32;

/// Tells bodies of this program from those of anyone else who writes to the same conversation.
const MAGIC: u32 = u32::from_le_bytes(*b"cmpl");

/// What a message says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Number of the run, so that leftovers of an earlier one are not counted.
    pub run: u32,
    /// Index of the publishing connection.
    pub publisher: u32,
    /// The place that the message has in its publisher's window, below [`super::WINDOW_MAX`].
    pub place: u32,
    /// Number of the conversation in the plan; 0 where the plan does not number them.
    pub channel: u32,
    /// 0, 1, 2 ... per publisher, or per publisher and conversation where he speaks in several; 48 bits. Each attempt has its own number; a
    /// refused one leaves a hole on purpose.
    pub seq: u64,
    /// When it was meant to be sent, in ns since the run's origin, the same clock on all workers.
    pub intended_ns: u64,
}

impl Header {
    /// Writes the header over the front of a body.
    ///
    /// # Panics
    /// If the body is shorter than [`HEADER_BYTES`].
    pub fn write(&self, body: &mut [u8]) {
        body[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        body[4..8].copy_from_slice(&self.run.to_le_bytes());
        body[8..12].copy_from_slice(&self.publisher.to_le_bytes());
        body[12..14].copy_from_slice(&(self.place as u16).to_le_bytes());
        body[14..18].copy_from_slice(&self.channel.to_le_bytes());
        body[18..24].copy_from_slice(&self.seq.to_le_bytes()[..6]);
        body[24..32].copy_from_slice(&self.intended_ns.to_le_bytes());
    }

    /// Reads the header of a body, if it is one of this run.
    pub fn read(body: &[u8], run: u32) -> Option<Header> {
        let bytes = body.first_chunk::<HEADER_BYTES>()?;
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        (word(0) == MAGIC && word(4) == run).then(|| Header {
            run,
            publisher: word(8),
            place: word(12) & 0xFFFF,
            channel: word(14),
            seq: long(16) >> 16,
            intended_ns: long(24),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written_and_only_in_its_run() {
        let header =
            Header { run: 7, publisher: 3, place: 65_535, channel: 1 << 31 | 5, seq: (1 << 48) - 2, intended_ns: 1 << 40 };
        let mut body = vec![0xAA; 40];
        header.write(&mut body);
        assert_eq!(Header::read(&body, 7), Some(header));
        assert_eq!(Header::read(&body, 8), None);
        assert_eq!(Header::read(&body[..31], 7), None);
        body[0] ^= 1;
        assert_eq!(Header::read(&body, 7), None);
    }
}
