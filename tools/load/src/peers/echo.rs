//! Whatever is sent comes back: the floor of heartbeats.

use super::{Front, Heard, Nonsense};

/// As long as Campanile's ping, which a test holds it to.
const PING: &[u8; 40] = &[b'p'; 40];

pub(super) fn ping(out: &mut Vec<u8>) {
    out.extend_from_slice(PING);
}

pub(super) fn hear(bytes: &[u8]) -> Front<'_> {
    match bytes.first_chunk::<{ PING.len() }>() {
        Some(PING) => Ok(Some((Heard::Pong, PING.len()))),
        Some(_) => Err(Nonsense("what was sent")),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use campanile::wire::Encoder;
    use campanile::wire::schema;

    use super::*;

    #[test]
    fn a_ping_is_as_long_as_campaniles() {
        let mut encoder = Encoder::default();
        let ping = encoder.frame(0, |b| schema::Ping::create(b, &schema::PingArgs {}));
        assert_eq!(ping.len(), PING.len());
    }
}
