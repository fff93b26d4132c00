//! Frames that are always alike but for some numbers: built once, and copied with other numbers in their places. A ping counts a quarter fewer
//! instructions for it (`cargo bench --bench counted`).

use std::sync::LazyLock;

use super::encode::build;
use super::schema::{Ack, AckArgs, Ping, PingArgs, Pong, PongArgs};

/// A frame, and where its numbers stand: 64 bits wide, little endian.
#[derive(Debug)]
pub(super) struct Fixed<const N: usize> {
    bytes: Vec<u8>,
    places: [usize; N],
}

impl<const N: usize> Fixed<N> {
    /// `build` makes the frame of any numbers but 0, which FlatBuffers leave out.
    fn new(build: impl FnOnce([u64; N]) -> Vec<u8>) -> Fixed<N> {
        let numbers = std::array::from_fn(|i| 0xA5C3_96E1_F00D_B001 + i as u64);
        let bytes = build(numbers);
        let place_of = |number: u64| {
            let found = bytes.windows(8).position(|window| window == number.to_le_bytes());
            found.expect("a number stands in its frame")
        };
        Fixed { places: numbers.map(place_of), bytes }
    }

    /// The frame of these numbers, none of which may be 0.
    pub(super) fn with(&mut self, numbers: [u64; N]) -> &[u8] {
        for (place, number) in self.places.into_iter().zip(numbers) {
            self.bytes[place..place + 8].copy_from_slice(&number.to_le_bytes());
        }
        &self.bytes
    }
}

/// The frames that an encoder has ready.
#[derive(Debug)]
pub(super) struct Ready {
    /// An `Ack` of what is no duplicate: `ref`, epoch, seq, time.
    pub(super) ack: Fixed<4>,
    /// A `Pong`: `ref`, time.
    pub(super) pong: Fixed<2>,
}

impl Default for Ready {
    fn default() -> Ready {
        Ready {
            ack: Fixed::new(|[reference, epoch, seq, time_ms]| {
                build(&mut super::Fbb::new(), reference, |b| Ack::create(b, &AckArgs { epoch, seq, time_ms, duplicate: false }))
                    .to_vec()
            }),
            pong: Fixed::new(|[reference, server_time_ms]| {
                build(&mut super::Fbb::new(), reference, |b| Pong::create(b, &PongArgs { server_time_ms })).to_vec()
            }),
        }
    }
}

/// If what stands at the front is a `Ping` as our encoder (and that of other languages) writes it: its `ref`, and its length in bytes. It is sound without
/// having been verified, because it is equal to one that is. Any other is left to [`super::read`].
pub fn ping(bytes: &[u8]) -> Option<(u64, usize)> {
    static PING: LazyLock<Fixed<1>> = LazyLock::new(|| {
        Fixed::new(|[reference]| build(&mut super::Fbb::new(), reference, |b| Ping::create(b, &PingArgs {})).to_vec())
    });
    let Fixed { bytes: ping, places: [place] } = &*PING;
    let (before, rest) = bytes.get(..ping.len())?.split_at(*place);
    let (number, after) = rest.split_first_chunk::<8>()?;
    let is_ping = before == &ping[..*place] && after == &ping[place + 8..];
    is_ping.then(|| (u64::from_le_bytes(*number), ping.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::schema::Body;
    use crate::wire::{Encoder, read};

    const NUMBERS: [u64; 4] = [1, 0xff, 1 << 40, u64::MAX];

    #[test]
    fn they_are_what_the_builder_makes() {
        let (mut encoder, mut builder) = (Encoder::default(), crate::wire::Fbb::new());
        for a in [0].into_iter().chain(NUMBERS) {
            for b in [0].into_iter().chain(NUMBERS) {
                let pong = build(&mut builder, a, |fbb| Pong::create(fbb, &PongArgs { server_time_ms: b }));
                assert_eq!(encoder.pong(a, b), pong);
                for (epoch, seq) in [(a, b), (b, 7), (9, a)] {
                    let args = AckArgs { epoch, seq, time_ms: b, duplicate: false };
                    let ack = build(&mut builder, a, |fbb| Ack::create(fbb, &args));
                    assert_eq!(encoder.ack(a, epoch, seq, b), ack);
                }
            }
        }
    }

    #[test]
    fn a_ping_is_known_by_its_bytes_and_nothing_else_is() {
        let mut builder = crate::wire::Fbb::new();
        for reference in NUMBERS {
            let mut bytes = build(&mut builder, reference, |b| Ping::create(b, &PingArgs {})).to_vec();
            assert_eq!(read(&bytes).unwrap().body_type(), Body::Ping);
            assert_eq!(ping(&bytes), Some((reference, bytes.len())));
            assert_eq!(ping(&bytes[..bytes.len() - 1]), None, "it is not whole");
            let length = bytes.len();
            bytes.extend_from_slice(b"more");
            assert_eq!(ping(&bytes), Some((reference, length)));
            let is_ref = |at: usize| {
                bytes[..length].windows(8).position(|w| w == reference.to_le_bytes()).is_some_and(|p| (p..p + 8).contains(&at))
            };
            for at in (0..length).filter(|&at| !is_ref(at)) {
                let mut other = bytes.clone();
                other[at] ^= 1;
                assert_eq!(ping(&other), None, "byte {at}");
            }
        }
        for other in [build(&mut builder, 5, |b| Pong::create(b, &PongArgs { server_time_ms: 5 })).to_vec(), vec![], vec![0; 100]]
        {
            assert_eq!(ping(&other), None);
        }
    }
}
