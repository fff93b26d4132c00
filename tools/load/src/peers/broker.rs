//! Our own brokers: the least that fan-out and acknowledged direct messages need, in binary messages of a WebSocket. Numbers are little-endian.
//!
//! ```text
//! to the broker    N name                                   this connection is called so
//!                  S topic                                  it wants what is published to that topic
//!                  P ref:8 length:1 topic   M body          publish; what follows the topic is what subscribers get
//!                  D ref:8 length:1 name    M body          the same to the connection of that name
//! from the broker  M body                                   a message
//!                  A ref:8                                  the message with this ref was passed on
//! ```

use campanile::id::Address;

use super::{Front, Heard, Nonsense, Which};

pub(super) fn name(name: &str, out: &mut Vec<u8>) {
    out.push(b'N');
    out.extend_from_slice(name.as_bytes());
}

pub(super) fn subscribe(topic: &str, out: &mut Vec<u8>) {
    out.push(b'S');
    out.extend_from_slice(topic.as_bytes());
}

pub(super) fn publish(to: Address<'_>, reference: u64, body: &[u8], out: &mut Vec<u8>) {
    let id = to.id();
    out.push(if let Address::Direct(_) = to { b'D' } else { b'P' });
    out.extend_from_slice(&reference.to_le_bytes());
    out.push(id.len() as u8);
    out.extend_from_slice(id.as_bytes());
    out.push(b'M');
    out.extend_from_slice(body);
}

pub(super) fn hear(message: &[u8]) -> Front<'_> {
    let heard = match message {
        [b'M', body @ ..] => Heard::Message { body, reply_to: None },
        [b'A', rest @ ..] => {
            let reference = rest.try_into().map_err(|_| Nonsense("an ack of nine bytes"))?;
            Heard::Acked(Which::Reference(u64::from_le_bytes(reference)))
        }
        _ => return Err(Nonsense("M or A")),
    };
    Ok(Some((heard, message.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_on_is_the_end_of_what_was_published() {
        let mut out = Vec::new();
        publish(Address::Group("team"), 0x0102, b"hi", &mut out);
        assert_eq!(out, b"P\x02\x01\0\0\0\0\0\0\x04teamMhi");
        assert_eq!(hear(&out[14..]), Ok(Some((Heard::Message { body: b"hi", reply_to: None }, 3))));
        assert_eq!(hear(b"A\x07\0\0\0\0\0\0\0"), Ok(Some((Heard::Acked(Which::Reference(7)), 9))));
    }
}
