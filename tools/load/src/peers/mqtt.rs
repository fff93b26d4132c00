//! MQTT 3.1.1: <https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/mqtt-v3.1.1.html>.

use super::{Front, Heard, MESSAGE_BYTES_MAX, Nonsense, Which};

const CONNECT: u8 = 0x10;
const PUBLISH_QOS_1: u8 = 0x32;
const SUBSCRIBE: u8 = 0x82;
const PINGREQ: u8 = 0xc0;
/// Its first packet is the session's only subscription whose answer anybody might wait for.
const SUBSCRIPTION: u16 = 1;

pub(super) fn hello(user: &str, out: &mut Vec<u8>) {
    // Protocol level 4, a clean session, no keep-alive: whether pings are sent is the workload's business.
    let mut body = b"\x00\x04MQTT\x04\x02\x00\x00".to_vec();
    text(user, &mut body);
    packet(CONNECT, &[&body], out);
}

pub(super) fn subscribe(topic: &str, out: &mut Vec<u8>) {
    let mut body = SUBSCRIPTION.to_be_bytes().to_vec();
    text(topic, &mut body);
    body.push(0);
    packet(SUBSCRIBE, &[&body], out);
}

/// The packet identifier is the message's place in its window, plus one.
pub(super) fn publish(topic: &str, reference: u64, body: &[u8], out: &mut Vec<u8>) {
    let mut head = Vec::new();
    text(topic, &mut head);
    head.extend_from_slice(&(reference as u16).wrapping_add(1).to_be_bytes());
    packet(PUBLISH_QOS_1, &[&head, body], out);
}

pub(super) fn ping(out: &mut Vec<u8>) {
    packet(PINGREQ, &[], out);
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn packet(kind: u8, parts: &[&[u8]], out: &mut Vec<u8>) {
    out.push(kind);
    let mut length: usize = parts.iter().map(|part| part.len()).sum();
    while length > 127 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

pub(super) fn hear(bytes: &[u8]) -> Front<'_> {
    let Some((begin, end)) = remaining(bytes)? else { return Ok(None) };
    let Some(rest) = bytes.get(begin..end) else { return Ok(None) };
    let heard = match (bytes[0] >> 4, rest) {
        (2, [_, 0]) => Heard::Nothing,
        (2, _) => Heard::Refused("CONNACK with a return code"),
        (3, _) => Heard::Message { body: body(bytes[0], rest)?, reply_to: None },
        (4, [high, low]) => {
            let id = u16::from_be_bytes([*high, *low]);
            Heard::Acked(Which::Place(u32::from(id.checked_sub(1).ok_or(Nonsense("a packet identifier"))?)))
        }
        (9, [.., 0x80]) => Heard::Refused("SUBACK with a failure"),
        (9, _) => Heard::Nothing,
        (13, []) => Heard::Pong,
        _ => return Err(Nonsense("a packet of a server")),
    };
    Ok(Some((heard, end)))
}

/// Where what follows the fixed header begins and ends.
fn remaining(bytes: &[u8]) -> Result<Option<(usize, usize)>, Nonsense> {
    let mut length = 0;
    for at in 1..5 {
        let Some(byte) = bytes.get(at) else { return Ok(None) };
        length |= usize::from(byte & 0x7f) << (7 * (at - 1));
        if byte & 0x80 == 0 {
            let begin = at + 1;
            let fits = length <= MESSAGE_BYTES_MAX;
            return if fits { Ok(Some((begin, begin + length))) } else { Err(Nonsense("a shorter packet")) };
        }
    }
    Err(Nonsense("a length of at most four bytes"))
}

/// What a PUBLISH carries behind its topic, and its packet identifier if it has one.
fn body(first: u8, rest: &[u8]) -> Result<&[u8], Nonsense> {
    let topic = rest.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length)));
    let id = if first & 0x06 == 0 { 0 } else { 2 };
    topic.and_then(|topic| rest.get(2 + topic + id..)).ok_or(Nonsense("a topic"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_as_many_bytes_as_they_need() {
        for length in [0, 127, 128, 16_383, 16_384, 2_097_152] {
            let mut out = Vec::new();
            publish("t", 4, &vec![9; length], &mut out);
            let (begin, end) = remaining(&out).unwrap().unwrap();
            assert_eq!((end, end - begin), (out.len(), length + 5), "{length}");
            let heard = hear(&out).unwrap().unwrap().0;
            assert_eq!(heard, Heard::Message { body: &vec![9; length], reply_to: None }, "the packet identifier is skipped");
        }
    }

    #[test]
    fn a_packet_identifier_is_never_zero_and_comes_back_as_the_place() {
        let mut out = Vec::new();
        publish("t", 5 << 16, b"", &mut out);
        assert_eq!(&out[out.len() - 2..], [0, 1]);
        assert_eq!(hear(&[0x40, 2, 0, 1]), Ok(Some((Heard::Acked(Which::Place(0)), 4))));
        assert_eq!(hear(&[0x20, 2, 0, 5]), Ok(Some((Heard::Refused("CONNACK with a return code"), 4))));
        assert_eq!(hear(&[0x90, 3, 0, 1, 0x80]), Ok(Some((Heard::Refused("SUBACK with a failure"), 5))));
    }
}
