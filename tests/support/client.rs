//! A blocking client that speaks frames: it sends what it is told, keeps what comes, and waits for what a test expects.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Instant;

use campanile::id::Address;
use campanile::wire::schema as s;
use campanile::wire::schema::{CloseCode, Cursor, Direction, ErrorCode, ReceiptKind, RecordKind, Role};
use campanile::wire::{Encoder, Fbb, Split, Verb, conversation, read, split};
use flatbuffers::WIPOffset;

use super::seen::{Ack, Info, Member, Message, Page, Seen, seen};
use super::server::Server;
use super::websocket::{BINARY, FB, FIN, Got, Socket};
use super::{OVER_WEBSOCKET, PATIENCE};

/// Where a conversation is taken up: its name, a cursor, and tags.
pub type Resume<'a> = (&'a str, (u64, u64), &'a [&'a str]);

/// What a message may carry besides its body.
#[derive(Clone, Copy, Default)]
pub struct Extra<'a> {
    pub client_id: Option<&'a str>,
    pub content_type: Option<&'a str>,
    pub ttl_ms: u32,
    pub tag: Option<&'a str>,
}

/// A connection.
pub struct Client {
    pub stream: TcpStream,
    /// The same stream, if frames go through a WebSocket.
    pub socket: Option<Socket>,
    encoder: Encoder,
    bytes: Vec<u8>,
    /// What came while something else was waited for.
    inbox: VecDeque<(u64, Seen)>,
    next_ref: u64,
}

// ---------------------------------------------------------------------------------------------------- connecting

impl Client {
    /// A connection that has said nothing.
    pub fn open(server: &Server) -> Client {
        if OVER_WEBSOCKET {
            return Client::open_websocket(server);
        }
        Client::over(TcpStream::connect(server.tcp).unwrap())
    }

    /// A connection whose kernel keeps little for it, so that a slow reader shows soon.
    pub fn open_narrow(address: SocketAddr, receive_bytes: usize) -> Client {
        use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};
        let fd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        sockopt::set_socket_recv_buffer_size(&fd, receive_bytes).unwrap();
        connect(&fd, &address).unwrap();
        Client::over(TcpStream::from(fd))
    }

    /// A connection that somebody else made.
    pub fn over(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, socket: None, encoder: Encoder::default(), bytes: Vec::new(), inbox: VecDeque::new(), next_ref: 1 }
    }

    /// The same, through a WebSocket.
    pub fn open_websocket(server: &Server) -> Client {
        let socket = Socket::upgraded(server.ws, FB);
        Client { socket: Some(Socket::over(socket.stream.try_clone().unwrap())), ..Client::over(socket.stream) }
    }

    /// A session through a WebSocket.
    pub fn connect_websocket(server: &Server, user: &str, device: &str) -> Client {
        let mut client = Client::open_websocket(server);
        client.log_in(user, device, &[]);
        client
    }

    /// A session.
    pub fn connect(server: &Server, user: &str, device: &str) -> Client {
        Client::resume(server, user, device, &[])
    }

    /// A session that says where it stands.
    pub fn resume(server: &Server, user: &str, device: &str, resume: &[Resume<'_>]) -> Client {
        let mut client = Client::open(server);
        client.log_in(user, device, resume);
        client
    }

    /// Logs in on a fresh connection and waits for the welcome.
    pub fn log_in(&mut self, user: &str, device: &str, resume: &[Resume<'_>]) -> Seen {
        let frame = connect_frame(user, device, resume);
        self.write(&frame);
        match self.answer(CONNECT_REF) {
            welcome @ Seen::Welcome { .. } => welcome,
            other => panic!("{user} is not welcome: {other:?}"),
        }
    }
}

/// The `ref` of every [`connect_frame`].
pub const CONNECT_REF: u64 = 1_000_000;

/// The first frame of a client.
pub fn connect_frame(user: &str, device: &str, resume: &[Resume<'_>]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    let build = |b: &mut Fbb| {
        let token = Some(b.create_string(&format!("dev:{user}")));
        let device = Some(b.create_string(device));
        let items: Vec<_> = resume
            .iter()
            .map(|(name, cursor, tags)| {
                let conversation = Some(named(b, name));
                let tags = strings(b, tags);
                let cursor = Cursor::new(cursor.0, cursor.1);
                s::Resume::create(b, &s::ResumeArgs { conversation, cursor: Some(&cursor), tags: Some(tags) })
            })
            .collect();
        let resume = (!items.is_empty()).then(|| b.create_vector(&items));
        s::Connect::create(b, &s::ConnectArgs { token, device, resume, ..Default::default() })
    };
    encoder.frame(CONNECT_REF, build).to_vec()
}

type Strings<'a> = WIPOffset<flatbuffers::Vector<'a, flatbuffers::ForwardsUOffset<&'a str>>>;

fn strings<'a>(b: &mut Fbb, list: &[&str]) -> Strings<'a> {
    let offsets: Vec<_> = list.iter().map(|text| b.create_string(text)).collect();
    WIPOffset::new(b.create_vector(&offsets).value())
}

/// A conversation as people write it, into a frame.
pub fn named(b: &mut Fbb, name: &str) -> WIPOffset<s::Conversation<'static>> {
    conversation(b, Address::parse(name).unwrap())
}

// ------------------------------------------------------------------------------------------------------- sending

impl Client {
    /// Sends frames.
    pub fn write(&mut self, mut bytes: &[u8]) {
        let Some(socket) = &mut self.socket else { return self.stream.write_all(bytes).unwrap() };
        while let Split::Whole(length) = split(bytes, 1 << 24) {
            socket.send(FIN | BINARY, &bytes[..length]);
            bytes = &bytes[length..];
        }
        assert!(bytes.is_empty(), "a message is a whole frame");
    }

    /// The bytes of a request, and its `ref`.
    pub fn frame<V: Verb>(&mut self, build: impl FnOnce(&mut Fbb) -> WIPOffset<V>) -> (u64, Vec<u8>) {
        let reference = self.next_ref;
        self.next_ref += 1;
        (reference, self.encoder.frame(reference, build).to_vec())
    }

    /// Sends a request and gives its `ref`.
    pub fn send<V: Verb>(&mut self, build: impl FnOnce(&mut Fbb) -> WIPOffset<V>) -> u64 {
        let (reference, frame) = self.frame(build);
        self.write(&frame);
        reference
    }

    pub fn publish_frame(&mut self, to: &str, body: &[u8], extra: Extra<'_>) -> (u64, Vec<u8>) {
        self.frame(|b| {
            let conversation = Some(named(b, to));
            let client_id = extra.client_id.map(|id| b.create_string(id));
            let content_type = extra.content_type.map(|text| b.create_string(text));
            let tag = extra.tag.map(|tag| b.create_string(tag));
            let body = Some(b.create_vector(body));
            let ttl_ms = extra.ttl_ms;
            s::Publish::create(b, &s::PublishArgs { conversation, client_id, content_type, body, ttl_ms, tag })
        })
    }

    pub fn send_publish(&mut self, to: &str, body: &[u8], extra: Extra<'_>) -> u64 {
        let (reference, frame) = self.publish_frame(to, body, extra);
        self.write(&frame);
        reference
    }

    /// Publishes and waits for the ack.
    pub fn publish(&mut self, to: &str, text: &str) -> Ack {
        self.publish_with(to, text, Extra::default())
    }

    pub fn publish_with(&mut self, to: &str, text: &str, extra: Extra<'_>) -> Ack {
        let reference = self.send_publish(to, text.as_bytes(), extra);
        self.ack(reference)
    }

    pub fn send_subscribe(&mut self, to: &str, cursor: Option<(u64, u64)>, tags: &[&str]) -> u64 {
        let cursor = cursor.map(|(epoch, seq)| Cursor::new(epoch, seq));
        self.send(|b| {
            let conversation = Some(named(b, to));
            let tags = Some(strings(b, tags));
            s::Subscribe::create(b, &s::SubscribeArgs { conversation, cursor: cursor.as_ref(), tags })
        })
    }

    /// Subscribes and gives (epoch, first, committed).
    pub fn subscribe(&mut self, to: &str, cursor: Option<(u64, u64)>, tags: &[&str]) -> (u64, u64, u64) {
        let reference = self.send_subscribe(to, cursor, tags);
        match self.answer(reference) {
            Seen::Subscribed { epoch, first, committed, .. } => (epoch, first, committed),
            other => panic!("{to} is not subscribed: {other:?}"),
        }
    }

    pub fn unsubscribe(&mut self, to: &str) {
        let reference = self.send(|b| {
            let conversation = Some(named(b, to));
            s::Unsubscribe::create(b, &s::UnsubscribeArgs { conversation })
        });
        self.done(reference);
    }

    pub fn send_sync(&mut self, of: &str, cursor: (u64, u64), limit: u32, direction: Direction) -> u64 {
        let cursor = Cursor::new(cursor.0, cursor.1);
        self.send(|b| {
            let conversation = Some(named(b, of));
            s::Sync::create(b, &s::SyncArgs { conversation, cursor: Some(&cursor), limit, direction })
        })
    }

    pub fn sync(&mut self, of: &str, cursor: (u64, u64), limit: u32, direction: Direction) -> Page {
        let reference = self.send_sync(of, cursor, limit, direction);
        match self.answer(reference) {
            Seen::Page(page) => page,
            other => panic!("no page of {of}: {other:?}"),
        }
    }

    pub fn send_group_create(&mut self, id: Option<&str>, open: bool, whole_history: bool, members: &[&str]) -> u64 {
        self.send(|b| {
            let id = id.map(|id| b.create_string(id));
            let title = Some(b.create_string("a title"));
            let members = Some(strings(b, members));
            s::GroupCreate::create(b, &s::GroupCreateArgs { id, title, open, whole_history, members })
        })
    }

    /// Founds a group and gives its name and first place.
    pub fn group_create(&mut self, id: &str, open: bool, whole_history: bool, members: &[&str]) -> (u64, u64) {
        let reference = self.send_group_create(Some(id), open, whole_history, members);
        match self.answer(reference) {
            Seen::GroupCreated { conversation, epoch, seq } => {
                assert_eq!(conversation, format!("group:{id}"));
                (epoch, seq)
            }
            other => panic!("no group {id}: {other:?}"),
        }
    }

    pub fn group_add_frame(&mut self, id: &str, user: &str, role: Role) -> (u64, Vec<u8>) {
        self.frame(|b| {
            let (id, user) = (Some(b.create_string(id)), Some(b.create_string(user)));
            s::GroupAdd::create(b, &s::GroupAddArgs { id, user, role })
        })
    }

    pub fn send_group_add(&mut self, id: &str, user: &str, role: Role) -> u64 {
        let (reference, frame) = self.group_add_frame(id, user, role);
        self.write(&frame);
        reference
    }

    pub fn group_remove_frame(&mut self, id: &str, user: &str) -> (u64, Vec<u8>) {
        self.frame(|b| {
            let (id, user) = (Some(b.create_string(id)), Some(b.create_string(user)));
            s::GroupRemove::create(b, &s::GroupRemoveArgs { id, user })
        })
    }

    pub fn send_group_remove(&mut self, id: &str, user: &str) -> u64 {
        let (reference, frame) = self.group_remove_frame(id, user);
        self.write(&frame);
        reference
    }

    pub fn send_group_join(&mut self, id: &str) -> u64 {
        self.send(|b| {
            let id = Some(b.create_string(id));
            s::GroupJoin::create(b, &s::GroupJoinArgs { id })
        })
    }

    pub fn send_group_leave(&mut self, id: &str) -> u64 {
        self.send(|b| {
            let id = Some(b.create_string(id));
            s::GroupLeave::create(b, &s::GroupLeaveArgs { id })
        })
    }

    pub fn send_group_title(&mut self, id: &str, title: &str) -> u64 {
        self.send(|b| {
            let (id, title) = (Some(b.create_string(id)), Some(b.create_string(title)));
            s::GroupTitle::create(b, &s::GroupTitleArgs { id, title })
        })
    }

    pub fn send_group_set_role(&mut self, id: &str, user: &str, role: Role) -> u64 {
        self.send(|b| {
            let (id, user) = (Some(b.create_string(id)), Some(b.create_string(user)));
            s::GroupSetRole::create(b, &s::GroupSetRoleArgs { id, user, role })
        })
    }

    pub fn send_group_disband(&mut self, id: &str) -> u64 {
        self.send(|b| {
            let id = Some(b.create_string(id));
            s::GroupDisband::create(b, &s::GroupDisbandArgs { id })
        })
    }

    pub fn send_members(&mut self, of: &str, after: Option<&str>, limit: u32) -> u64 {
        self.send(|b| {
            let conversation = Some(named(b, of));
            let after = after.map(|id| b.create_string(id));
            s::Members::create(b, &s::MembersArgs { conversation, after, limit })
        })
    }

    pub fn members(&mut self, of: &str, after: Option<&str>, limit: u32) -> (Vec<Member>, bool) {
        let reference = self.send_members(of, after, limit);
        match self.answer(reference) {
            Seen::Members { members, has_more } => (members, has_more),
            other => panic!("no members of {of}: {other:?}"),
        }
    }

    /// One page of the list: items, where to go on, and whether there is more.
    pub fn conversations(&mut self, after: u32, limit: u32) -> (Vec<Info>, u32, bool) {
        let reference = self.send(|b| s::Conversations::create(b, &s::ConversationsArgs { after, limit }));
        match self.answer(reference) {
            Seen::Conversations { items, next, has_more } => (items, next, has_more),
            other => panic!("no conversations: {other:?}"),
        }
    }

    pub fn receipt(&mut self, of: &str, kind: ReceiptKind, cursor: (u64, u64)) {
        let cursor = Cursor::new(cursor.0, cursor.1);
        let reference = self.send(|b| {
            let conversation = Some(named(b, of));
            s::Receipt::create(b, &s::ReceiptArgs { conversation, kind, cursor: Some(&cursor) })
        });
        self.done(reference);
    }

    /// Who of these is there.
    pub fn presence(&mut self, users: &[&str]) -> Vec<(String, bool)> {
        let reference = self.send(|b| {
            let users = Some(strings(b, users));
            s::PresenceQuery::create(b, &s::PresenceQueryArgs { users, conversation: None })
        });
        self.presence_answer(reference).0
    }

    /// How many sessions receive a conversation.
    pub fn count_sessions(&mut self, of: &str) -> u64 {
        let reference = self.send(|b| {
            let conversation = Some(named(b, of));
            s::PresenceQuery::create(b, &s::PresenceQueryArgs { users: None, conversation })
        });
        self.presence_answer(reference).1
    }

    pub fn watch(&mut self, users: &[&str]) -> Vec<(String, bool)> {
        let reference = self.send(|b| {
            let users = Some(strings(b, users));
            s::PresenceWatch::create(b, &s::PresenceWatchArgs { users })
        });
        self.presence_answer(reference).0
    }

    pub fn unwatch(&mut self, users: &[&str]) {
        let reference = self.send(|b| {
            let users = Some(strings(b, users));
            s::PresenceUnwatch::create(b, &s::PresenceUnwatchArgs { users })
        });
        self.done(reference);
    }

    fn presence_answer(&mut self, reference: u64) -> (Vec<(String, bool)>, u64) {
        match self.answer(reference) {
            Seen::Presence { users, sessions } => (users, sessions),
            other => panic!("no presence: {other:?}"),
        }
    }

    pub fn send_ephemeral(&mut self, to: &str, name: &str, body: &[u8]) -> u64 {
        self.send(|b| {
            let conversation = Some(named(b, to));
            let (name, body) = (Some(b.create_string(name)), Some(b.create_vector(body)));
            s::Ephemeral::create(b, &s::EphemeralArgs { conversation, name, body })
        })
    }

    pub fn send_retract(&mut self, of: &str, cursor: (u64, u64)) -> u64 {
        self.send(|b| {
            let conversation = Some(named(b, of));
            let cursor = Cursor::new(cursor.0, cursor.1);
            s::Retract::create(b, &s::RetractArgs { conversation, cursor: Some(&cursor) })
        })
    }

    pub fn send_log_out(&mut self, device: &str) -> u64 {
        self.send(|b| {
            let device = Some(b.create_string(device));
            s::LogOutDevice::create(b, &s::LogOutDeviceArgs { device })
        })
    }

    pub fn send_ping(&mut self) -> u64 {
        self.send(|b| s::Ping::create(b, &s::PingArgs {}))
    }
}

// ----------------------------------------------------------------------------------------------------- receiving

impl Client {
    /// The next frame from the socket. Pings, and word of what is received without asking, are left out unless a test looks for them with
    /// [`Self::raw`].
    fn receive(&mut self) -> (u64, Seen) {
        loop {
            match self.raw() {
                (0, Seen::Ping | Seen::Subscribed { .. }) => {}
                frame => return frame,
            }
        }
    }

    /// The next frame, with its `ref`.
    pub fn event_or_answer(&mut self) -> (u64, Seen) {
        self.inbox.pop_front().unwrap_or_else(|| self.receive())
    }

    /// The next frame from the socket, whatever it is.
    pub fn raw(&mut self) -> (u64, Seen) {
        let began = Instant::now();
        loop {
            match split(&self.bytes, 1 << 24) {
                Split::Whole(length) => {
                    let frame = read(&self.bytes[..length]).expect("the server sends sound frames");
                    let frame = (frame.ref_(), seen(frame));
                    self.bytes.drain(..length);
                    return frame;
                }
                Split::More(_) => {}
                Split::TooLarge => panic!("the server's stream is out of step"),
            }
            if let Some(socket) = &mut self.socket {
                match socket.next() {
                    Got::Frame(first, frame) => {
                        assert_eq!(first, FIN | BINARY);
                        assert_eq!(split(&frame, 1 << 24), Split::Whole(frame.len()), "a message is one frame");
                        self.bytes = frame;
                        continue;
                    }
                    Got::Close(..) => continue,
                    Got::End => return (0, Seen::End),
                }
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    assert!(self.bytes.is_empty(), "the server ended in the middle of a frame");
                    return (0, Seen::End);
                }
                Ok(length) => self.bytes.extend_from_slice(&chunk[..length]),
                // A read with a time limit is not begun again by itself after a signal.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return (0, Seen::End),
                Err(error) => panic!("nothing came for {:?}: {error}; before it: {:#?}", began.elapsed(), self.inbox),
            }
        }
    }

    /// The answer to a request. What comes before it waits.
    pub fn answer(&mut self, reference: u64) -> Seen {
        if let Some(at) = self.inbox.iter().position(|(r, _)| *r == reference) {
            return self.inbox.remove(at).unwrap().1;
        }
        loop {
            let (r, seen) = self.receive();
            if r == reference {
                return seen;
            }
            assert_ne!(seen, Seen::End, "the connection ended before answer {reference}: {:?}", self.inbox.back());
            self.inbox.push_back((r, seen));
        }
    }

    pub fn ack(&mut self, reference: u64) -> Ack {
        match self.answer(reference) {
            Seen::Ack(ack) => ack,
            other => panic!("no ack: {other:?}"),
        }
    }

    pub fn done(&mut self, reference: u64) {
        assert_eq!(self.answer(reference), Seen::Done);
    }

    /// The code of the error that answers a request.
    pub fn refused(&mut self, reference: u64) -> ErrorCode {
        match self.answer(reference) {
            Seen::Error { code, .. } => code,
            other => panic!("it was not refused: {other:?}"),
        }
    }

    /// The next frame that is no answer.
    pub fn event(&mut self) -> Seen {
        if let Some(at) = self.inbox.iter().position(|(r, _)| *r == 0) {
            return self.inbox.remove(at).unwrap().1;
        }
        loop {
            let (r, seen) = self.receive();
            if r == 0 {
                return seen;
            }
            self.inbox.push_back((r, seen));
        }
    }

    /// The next event, which must be a message of a user.
    pub fn message(&mut self) -> Message {
        match self.event() {
            Seen::Message(message) if message.kind == RecordKind::message => message,
            other => panic!("no message of a user: {other:?}"),
        }
    }

    /// The next event, which must be a record of this kind.
    pub fn record(&mut self, kind: RecordKind) -> Message {
        match self.event() {
            Seen::Message(message) if message.kind == kind => message,
            other => panic!("no {kind:?}: {other:?}"),
        }
    }

    /// Texts of the next `count` messages.
    pub fn texts(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.message().text().to_owned()).collect()
    }

    /// Waits until all that this shard had for this session has come, and gives the events.
    pub fn rest(&mut self) -> Vec<Seen> {
        for _ in 0..2 {
            let reference = self.send_ping();
            assert_eq!(self.answer(reference), Seen::Pong);
        }
        let (events, answers) = std::mem::take(&mut self.inbox).into_iter().partition(|(r, _)| *r == 0);
        self.inbox = answers;
        let events: VecDeque<(u64, Seen)> = events;
        events.into_iter().map(|(_, seen)| seen).collect()
    }

    /// Waits until everything that the home of a conversation said before now has come, and gives the events.
    pub fn rest_of(&mut self, conversation: &str) -> Vec<Seen> {
        let reference = self.send_members(conversation, None, 1);
        self.answer(reference);
        self.rest()
    }

    /// The code of the goodbye that comes next, after which the connection must end. What comes before it waits.
    pub fn closed(&mut self) -> CloseCode {
        loop {
            match self.receive() {
                (0, Seen::GoAway { code, .. }) => {
                    assert_eq!(self.receive(), (0, Seen::End));
                    return code;
                }
                (_, Seen::End) => panic!("the connection ended without a goodbye: {:?}", self.inbox),
                frame => self.inbox.push_back(frame),
            }
        }
    }

    /// Everything up to the end of the connection.
    pub fn until_end(&mut self) -> Vec<Seen> {
        let mut all: Vec<Seen> = self.inbox.drain(..).map(|(_, seen)| seen).collect();
        loop {
            match self.receive().1 {
                Seen::End => return all,
                seen => all.push(seen),
            }
        }
    }

    /// Says nothing more, but goes on reading.
    pub fn half_close(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }
}
