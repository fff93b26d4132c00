// A peer that follows a script: it takes one connection after another and says what the test tells it to say.

use campanile::id::Address;
use campanile::wire::schema as s;
use campanile::wire::{Encoder, Split, conversation, read, split};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Largest frame of a client, in bytes.
const FRAME_BYTES_MAX: usize = 1 << 16;

pub struct Peer {
    listener: TcpListener,
    pub target: String,
}

impl Peer {
    pub async fn start() -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let target = format!("tcp://{}", listener.local_addr().expect("bound"));
        Peer { listener, target }
    }

    /// Takes a connection and reads its first frame.
    pub async fn accept(&self) -> Session {
        let (stream, _) = self.listener.accept().await.expect("accept");
        let mut session = Session { stream, inbox: Vec::new(), encoder: Encoder::default(), frame: Vec::new() };
        session.next().await;
        assert_eq!(session.verb(), s::Body::Connect);
        session
    }

    /// Takes a connection and lets it in as alice.
    pub async fn welcome(&self) -> Session {
        let mut session = self.accept().await;
        session.say_welcome(8).await;
        session
    }
}

pub struct Session {
    stream: TcpStream,
    inbox: Vec<u8>,
    encoder: Encoder,
    /// The frame that was read last.
    frame: Vec<u8>,
}

impl Session {
    /// Reads the next frame; the connection must not end.
    pub async fn next(&mut self) -> s::Frame<'_> {
        while !self.whole() {
            let bytes = self.stream.read_buf(&mut self.inbox).await.expect("read");
            assert!(bytes > 0, "the client closed");
        }
        self.frame()
    }

    fn whole(&mut self) -> bool {
        match split(&self.inbox, FRAME_BYTES_MAX) {
            Split::Whole(bytes) => {
                self.frame = self.inbox.drain(..bytes).collect();
                true
            }
            Split::More(_) => false,
            Split::TooLarge => panic!("a frame that is too large"),
        }
    }

    /// Reads the next frame; false when the client has closed.
    pub async fn receives(&mut self) -> bool {
        while !self.whole() {
            if !self.stream.read_buf(&mut self.inbox).await.is_ok_and(|bytes| bytes > 0) {
                return false;
            }
        }
        true
    }

    /// The device of the Connect that was read last.
    pub fn connect_device(&self) -> String {
        self.frame().body_as_connect().and_then(|connect| connect.device()).unwrap_or_default().to_owned()
    }

    /// The frame that was read last.
    pub fn frame(&self) -> s::Frame<'_> {
        read(&self.frame).expect("a sound frame")
    }

    pub fn verb(&self) -> s::Body {
        self.frame().body_type()
    }

    /// Reads a publish; gives its ref, its client id and its text.
    pub async fn publish(&mut self) -> (u64, String, String) {
        let frame = self.next().await;
        let publish = frame.body_as_publish().expect("a publish");
        let text = String::from_utf8(publish.body().map_or_else(Vec::new, |body| body.bytes().to_vec())).expect("text");
        (frame.ref_(), publish.client_id().unwrap_or_default().to_owned(), text)
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("write");
    }

    pub async fn say_welcome(&mut self, window: u32) {
        let bytes = self
            .encoder
            .frame(0, |b| {
                let (user, server) = (Some(b.create_string("alice")), Some(b.create_string("scripted peer")));
                let args = s::WelcomeArgs {
                    session: 1,
                    user,
                    server,
                    window,
                    frame_bytes_max: FRAME_BYTES_MAX as u32,
                    body_bytes_max: 1 << 15,
                    heartbeat_ms: 20_000,
                    idle_timeout_ms: 60_000,
                    ..Default::default()
                };
                s::Welcome::create(b, &args)
            })
            .to_vec();
        self.send(&bytes).await;
    }

    pub async fn say_ack(&mut self, reference: u64, seq: u64) {
        let args = s::AckArgs { epoch: 7, seq, time_ms: 1, duplicate: false };
        let bytes = self.encoder.frame(reference, |b| s::Ack::create(b, &args)).to_vec();
        self.send(&bytes).await;
    }

    pub async fn say_go_away(&mut self, code: s::CloseCode, reconnect_after_ms: u32) {
        let bytes = self
            .encoder
            .frame(0, |b| {
                let message = Some(b.create_string("as the script says"));
                s::GoAway::create(b, &s::GoAwayArgs { code, message, reconnect_after_ms })
            })
            .to_vec();
        self.send(&bytes).await;
    }

    pub async fn say_message(&mut self, seq: u64, text: &str) {
        let bytes = message(&mut self.encoder, seq, text);
        self.send(&bytes).await;
    }

    /// Reads until the client closes.
    pub async fn ended(mut self) {
        while self.stream.read_buf(&mut self.inbox).await.is_ok_and(|bytes| bytes > 0) {}
    }
}

/// A message of bob to alice.
pub fn message(encoder: &mut Encoder, seq: u64, text: &str) -> Vec<u8> {
    encoder
        .frame(0, |b| {
            let from = Some(conversation(b, Address::Direct("bob")));
            let (sender, body) = (Some(b.create_string("bob")), Some(b.create_vector(text.as_bytes())));
            let args = s::MessageArgs { conversation: from, epoch: 7, seq, time_ms: 1, sender, body, ..Default::default() };
            s::Message::create(b, &args)
        })
        .to_vec()
}
