//! Answers to pings.

use crate::ws::frame::{Opcode, write};

/// While more than this waits for a connection, only the last ping of what was received at once is answered, as RFC 6455 allows in section 5.5.3.
/// Bytes.
const WAITING_MAX: usize = 1024;

/// Pongs for the pings in what was received at once. What a peer that does not read may make grow by them is bounded as its outbox is: over its limit
/// nothing more is received.
#[derive(Debug)]
pub struct Pongs {
    frames: Vec<u8>,
    /// Where the last one begins.
    last: usize,
    waiting: usize,
}

impl Pongs {
    /// None yet, for a connection for which so many bytes wait.
    pub fn behind(waiting: usize) -> Pongs {
        Pongs { frames: Vec::new(), last: 0, waiting }
    }

    /// One more ping.
    pub fn add(&mut self, payload: &[u8]) {
        if self.waiting + self.frames.len() > WAITING_MAX {
            self.frames.truncate(self.last);
        }
        self.last = self.frames.len();
        write(Opcode::Pong, payload, &mut self.frames);
    }

    /// Whether there is none to be sent.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The frames to be sent now; `None`: there are none.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        self.waiting += self.frames.len();
        self.last = 0;
        Some(std::mem::take(&mut self.frames)).filter(|frames| !frames.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pongs(waiting: usize, pings: u8) -> Vec<u8> {
        let mut pongs = Pongs::behind(waiting);
        (0..pings).for_each(|ping| pongs.add(&[ping]));
        pongs.take().unwrap_or_default()
    }

    #[test]
    fn each_ping_has_its_pong_as_long_as_they_are_read() {
        assert!(pongs(0, 0).is_empty());
        assert_eq!(pongs(100, 2), [0x8a, 1, 0, 0x8a, 1, 1]);
        assert_eq!(pongs(0, 255).len(), 3 * 255);
    }

    #[test]
    fn a_flood_is_answered_with_the_last_one() {
        assert_eq!(pongs(2000, 255), [0x8a, 1, 254]);
        let mut many = Pongs::behind(0);
        (0..10_000_u16).for_each(|ping| many.add(&ping.to_be_bytes()));
        let bytes = many.take().unwrap();
        assert!(bytes.len() <= WAITING_MAX + 8, "{}", bytes.len());
        assert_eq!(bytes[bytes.len() - 4..], [0x8a, 2, 39, 15]);
        assert_eq!(many.take(), None);
        (0..3).for_each(|ping| many.add(&[ping]));
        assert_eq!(many.take().as_deref(), Some(&[0x8a, 1, 2][..]), "those before have not been read");
    }
}
