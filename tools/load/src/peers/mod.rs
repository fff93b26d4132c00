//! Other servers' protocols, as far as the same workloads need them: the worker, its schedule, its books and its clock are those of Campanile's own.
//!
//! Pure: bytes in, what they mean out. What differs between servers is bounded to these files.
//!
//! | | deliveries | what ends a message besides its deliveries |
//! |---|---|---|
//! | redis | channels, RESP 3 | the reply to PUBLISH |
//! | nats | subjects | direct: the peer's reply to the request. Fan-out: nothing; the server has no ack |
//! | jetstream | subjects, which a stream in memory keeps | the stream's ack |
//! | mqtt | topics, QoS 0 | PUBACK: messages are published with QoS 1 |
//! | broker | a WebSocket broker that is written for this: `tools/compare/broker` | its ack |
//! | echo | none | |

mod broker;
mod echo;
mod mqtt;
pub mod nats;
mod redis;

use campanile::id::Address;

/// Longest message that is believed.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Longest line of a protocol of lines.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Whose protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Of our own brokers, over WebSocket.
    Broker,
    /// Whatever is sent comes back.
    Echo,
    /// NATS, with a stream that keeps and acknowledges what is published.
    JetStream,
    /// MQTT 3.1.1.
    Mqtt,
    /// NATS.
    Nats,
    /// Redis.
    Redis,
}

/// What a server said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// A message for this connection. With `reply_to` its sender waits for an answer there.
    #[allow(missing_docs)]
    Message { body: &'a [u8], reply_to: Option<&'a str> },
    /// A message of this connection is done, as far as the server tells.
    Acked(Which),
    /// The answer to a ping. Answers come in order, so all that was asked before it is done.
    Pong,
    /// Wants [`Peer::pong`].
    Ping,
    /// Nothing that anybody waits for.
    Nothing,
    /// The server does not want to, in its words.
    Refused(&'a str),
}

/// Which message an ack is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The oldest one without.
    Oldest,
    /// The one that was published with this reference.
    Reference(u64),
    /// The one in this place of the window.
    Place(u32),
}

/// What stands at the front of a stream, and how many bytes it is. None: not all of it has come.
type Front<'a> = Result<Option<(Heard<'a>, usize)>, Nonsense>;

/// It is not the protocol: what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonsense(pub &'static str);

impl Peer {
    /// By the scheme of a target.
    pub fn of_scheme(scheme: &str) -> Option<Peer> {
        Some(match scheme {
            "broker" => Peer::Broker,
            "echo" => Peer::Echo,
            "jetstream" => Peer::JetStream,
            "mqtt" => Peer::Mqtt,
            "nats" => Peer::Nats,
            "redis" => Peer::Redis,
            _ => return None,
        })
    }

    /// For reports: the scheme.
    pub fn name(self) -> &'static str {
        match self {
            Peer::Broker => "broker",
            Peer::Echo => "echo",
            Peer::JetStream => "jetstream",
            Peer::Mqtt => "mqtt",
            Peer::Nats => "nats",
            Peer::Redis => "redis",
        }
    }

    /// Whether it travels in messages of a WebSocket.
    pub fn is_websocket(self) -> bool {
        self == Peer::Broker
    }

    /// Whether a message to there is acknowledged by anybody.
    pub fn acks(self, to: Address<'_>) -> bool {
        !matches!((self, to), (Peer::Nats, Address::Group(_)))
    }

    /// Whether acks do not say what they are for.
    pub fn acks_in_order(self) -> bool {
        self == Peer::Redis
    }

    /// Appends the first words of a connection.
    pub fn hello(self, user: &str, out: &mut Vec<u8>) {
        match self {
            Peer::Redis => redis::hello(out),
            Peer::Nats | Peer::JetStream => nats::hello(out),
            Peer::Mqtt => mqtt::hello(user, out),
            Peer::Broker | Peer::Echo => {}
        }
    }

    /// Appends that this connection wants what is sent to its user, and answers to what it sends.
    pub fn listen(self, user: &str, out: &mut Vec<u8>) {
        match self {
            Peer::Redis => redis::subscribe(user, out),
            Peer::Nats | Peer::JetStream => nats::listen(user, out),
            Peer::Mqtt => mqtt::subscribe(user, out),
            Peer::Broker => broker::name(user, out),
            Peer::Echo => {}
        }
    }

    /// Appends that this connection wants what is sent to a group.
    pub fn join(self, group: &str, out: &mut Vec<u8>) {
        match self {
            Peer::Redis => redis::subscribe(group, out),
            Peer::Nats | Peer::JetStream => nats::join(group, out),
            Peer::Mqtt => mqtt::subscribe(group, out),
            Peer::Broker => broker::subscribe(group, out),
            Peer::Echo => {}
        }
    }

    /// Appends a message of `user`.
    pub fn publish(self, user: &str, to: Address<'_>, reference: u64, body: &[u8], out: &mut Vec<u8>) {
        match self {
            Peer::Redis => redis::publish(to.id(), body, out),
            Peer::Nats | Peer::JetStream if self.acks(to) => nats::request(user, to.id(), reference, body, out),
            Peer::Nats | Peer::JetStream => nats::tell(to.id(), body, out),
            Peer::Mqtt => mqtt::publish(to.id(), reference, body, out),
            Peer::Broker => broker::publish(to, reference, body, out),
            Peer::Echo => {}
        }
    }

    /// Appends the answer to a request. A stream has answered already.
    pub fn answer(self, reply_to: &str, out: &mut Vec<u8>) {
        if self == Peer::Nats {
            nats::publish(reply_to, None, b"", out);
        }
    }

    /// Appends a ping. Over WebSocket the ping is the WebSocket's own.
    pub fn ping(self, out: &mut Vec<u8>) {
        match self {
            Peer::Redis => redis::ping(out),
            Peer::Nats | Peer::JetStream => nats::ping(out),
            Peer::Mqtt => mqtt::ping(out),
            Peer::Echo => echo::ping(out),
            Peer::Broker => {}
        }
    }

    /// Appends the answer to a ping.
    pub fn pong(self, out: &mut Vec<u8>) {
        if matches!(self, Peer::Nats | Peer::JetStream) {
            nats::pong(out);
        }
    }

    /// What stands at the front of what was received; for a WebSocket, what a whole message says.
    ///
    /// # Errors
    /// It is not the protocol, or longer than anything that is believed.
    pub fn hear(self, bytes: &[u8]) -> Front<'_> {
        match self {
            Peer::Redis => redis::hear(bytes),
            Peer::Nats | Peer::JetStream => nats::hear(bytes),
            Peer::Mqtt => mqtt::hear(bytes),
            Peer::Broker => broker::hear(bytes),
            Peer::Echo => echo::hear(bytes),
        }
    }
}

/// The line at the front, without its end; the length is with it.
fn line(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, Nonsense> {
    let searched = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    match searched.windows(2).position(|pair| pair == b"\r\n") {
        Some(end) => Ok(Some((&bytes[..end], end + 2))),
        None if bytes.len() >= LINE_BYTES_MAX => Err(Nonsense("a line that ends")),
        None => Ok(None),
    }
}

/// A length in decimal digits.
fn length(digits: &[u8]) -> Result<usize, Nonsense> {
    let number = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
    number.filter(|n| *n <= MESSAGE_BYTES_MAX).ok_or(Nonsense("a length of a message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Peer; 6] = [Peer::Broker, Peer::Echo, Peer::JetStream, Peer::Mqtt, Peer::Nats, Peer::Redis];

    /// All that is heard in these bytes, however they are cut in two.
    fn heard(peer: Peer, bytes: &[u8]) -> Vec<String> {
        let whole = follow(peer, &[bytes]);
        for cut in 0..bytes.len() {
            assert_eq!(follow(peer, &[&bytes[..cut], &bytes[cut..]]), whole, "{peer:?} cut at {cut}");
        }
        let each: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(follow(peer, &each), whole, "{peer:?} byte by byte");
        whole
    }

    fn follow(peer: Peer, parts: &[&[u8]]) -> Vec<String> {
        let (mut bytes, mut all) = (Vec::new(), Vec::new());
        for part in parts {
            bytes.extend_from_slice(part);
            while let Some((heard, used)) = peer.hear(&bytes).unwrap() {
                assert!(used > 0 && used <= bytes.len());
                all.push(format!("{heard:?}"));
                bytes.drain(..used);
            }
        }
        assert!(bytes.is_empty(), "{peer:?} left {bytes:?}");
        all
    }

    #[test]
    fn streams_may_be_cut_anywhere() {
        let hello = b"%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nmodules\r\n*0\r\n+PONG\r\n:1\r\n";
        let message = b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\na\r\nb\r\n";
        let all =
            heard(Peer::Redis, &[&hello[..], message, b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", b"-ERR no\r\n"].concat());
        let body = Heard::Message { body: b"a\r\nb", reply_to: None };
        let expected = [Heard::Nothing, Heard::Pong, Heard::Acked(Which::Oldest), body, Heard::Nothing, Heard::Refused("ERR no")];
        assert_eq!(all, expected.map(|heard| format!("{heard:?}")));

        let nats = b"INFO {}\r\nPONG\r\nMSG bob 1 _INBOX.al.77 4\r\na\r\nb\r\nMSG _INBOX.al.77 2 0\r\n\r\nMSG g 3 4\r\na\r\nb\r\nPING\r\n+OK\r\n-ERR 'x'\r\n";
        let request = Heard::Message { body: b"a\r\nb", reply_to: Some("_INBOX.al.77") };
        let acked = Heard::Acked(Which::Reference(77));
        let rest = [Heard::Ping, Heard::Nothing, Heard::Refused("'x'")];
        let expected = [&[Heard::Nothing, Heard::Pong, request, acked, body], &rest[..]].concat();
        assert_eq!(heard(Peer::Nats, nats), expected.iter().map(|heard| format!("{heard:?}")).collect::<Vec<_>>());

        let long = [&[0x30, 0x83, 0x01, 0, 1, b't'][..], &[7; 128]].concat();
        let mqtt = [&[0x20, 2, 0, 0, 0x90, 3, 0, 1, 0, 0xd0, 0][..], &long, &[0x40, 2, 0x12, 0x34]].concat();
        let expected = [Heard::Nothing, Heard::Nothing, Heard::Pong, Heard::Message { body: &[7; 128], reply_to: None }];
        let expected = [&expected[..], &[Heard::Acked(Which::Place(0x1233))]].concat();
        assert_eq!(heard(Peer::Mqtt, &mqtt), expected.iter().map(|heard| format!("{heard:?}")).collect::<Vec<_>>());

        let mut echo = Vec::new();
        Peer::Echo.ping(&mut echo);
        Peer::Echo.ping(&mut echo);
        assert_eq!(heard(Peer::Echo, &echo), ["Pong", "Pong"]);
    }

    /// Nothing that is received can panic, be waited for without end, or be taken as longer than it is.
    #[test]
    fn hostile_bytes_are_refused_or_bounded() {
        let mut random = fastrand::Rng::with_seed(1);
        let seeds: [&[u8]; 4] =
            [b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\nabcd\r\n", b"MSG a 1 r 4\r\nabcd\r\n", &[0x30, 3, 0, 1, b't'], b"Mabc"];
        for peer in ALL {
            for round in 0..20_000 {
                let mut bytes = seeds[round % seeds.len()].to_vec();
                for _ in 0..random.u32(1..=3) {
                    let at = random.usize(0..bytes.len());
                    bytes[at] = random.u8(..);
                }
                if let Ok(Some((_, used))) = peer.hear(&bytes) {
                    assert!(used > 0 && used <= bytes.len(), "{peer:?} {bytes:?}");
                }
            }
            let endless = vec![b'1'; MESSAGE_BYTES_MAX + 64];
            assert!(!matches!(peer.hear(&endless), Ok(None)), "{peer:?} waits for the end of anything");
        }
        for (peer, bytes) in [
            (Peer::Redis, &b"$999999999\r\n"[..]),
            (Peer::Redis, b"$-5\r\n"),
            (Peer::Redis, b">9999\r\n"),
            (Peer::Redis, b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"),
            (Peer::Nats, b"MSG a 1 999999999\r\n"),
            (Peer::Nats, b"MSG a 1 x\r\n"),
            (Peer::Nats, b"MSG _INBOX.a.x 2 0\r\n\r\n"),
            (Peer::Nats, b"HTTP/1.1 400\r\n"),
            (Peer::Mqtt, &[0x30, 0xff, 0xff, 0xff, 0xff]),
            (Peer::Mqtt, &[0x30, 1, 0]),
            (Peer::Mqtt, &[0x40, 2, 0, 0]),
            (Peer::Broker, b"A123"),
            (Peer::Broker, b""),
            (Peer::Broker, b"X"),
        ] {
            assert!(peer.hear(bytes).is_err(), "{peer:?} {bytes:?}");
        }
    }

    #[test]
    fn what_is_said_names_its_receiver_and_carries_its_body() {
        for peer in ALL {
            assert_eq!(Peer::of_scheme(peer.name()), Some(peer));
            let mut out = Vec::new();
            peer.publish("al", Address::Direct("bob"), 0x1_0007, b"the body", &mut out);
            let holds = |part: &[u8]| out.windows(part.len()).any(|window| window == part);
            assert!(peer == Peer::Echo || (holds(b"bob") && holds(b"the body")), "{peer:?} {out:?}");
        }
        assert_eq!(Peer::of_scheme("tcp"), None);
        let acked = |peer: Peer| [Address::Direct("b"), Address::Group("g")].map(|to| peer.acks(to));
        assert_eq!((acked(Peer::Nats), acked(Peer::JetStream), acked(Peer::Redis)), ([true, false], [true; 2], [true; 2]));
    }
}
