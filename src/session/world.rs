//! A small world for tests: shards made of [`Users`], [`Conversations`] and a store, joined by queues that a test steps one message at
//! a time. What goes to connections is decoded as a client would.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use flatbuffers::WIPOffset;

use super::{Users, credentials};
use crate::clock::Now;
use crate::conversation::{Conversations, Key, Policies, Record, events_per_request};
use crate::effects::Effects;
use crate::id::Address;
use crate::limits::Limits;
use crate::mesh::{Event, Request, SessionKey};
use crate::ring::Slot;
use crate::slot::{ShardId, Slots};
use crate::store::{Command, Memory, NotStored, Outcome};
use crate::wire::schema::{self as s, Body, CloseCode, Cursor, ErrorCode, Frame, ReceiptKind, RecordKind, Role, SkipReason};
use crate::wire::{Encoder, Fbb, Split, Verb, split};

/// A client: an index into [`World::clients`].
pub(super) type Client = usize;

pub(super) struct World {
    pub(super) slots: Slots,
    pub(super) limits: Arc<Limits>,
    pub(super) now: Now,
    pub(super) shards: Vec<Node>,
    pub(super) clients: Vec<Peer>,
    /// Everything that was ever committed, by epoch.
    pub(super) logs: BTreeMap<u64, Log>,
    /// Appends that are going to fail: so many from now on.
    pub(super) appends_to_fail: usize,
    encoder: Encoder,
}

pub(super) struct Log {
    pub(super) key: Key,
    pub(super) records: Vec<Arc<Record>>,
}

pub(super) struct Node {
    pub(super) users: Users,
    pub(super) conversations: Conversations,
    store: Memory,
    fx: Effects,
    /// What came from each shard and was not taken.
    pub(super) requests: Vec<VecDeque<Request>>,
    pub(super) events: Vec<VecDeque<Event>>,
    /// Connections that want to know when they have read everything.
    pub(super) draining: Vec<Slot>,
}

/// A client's side of a connection.
pub(super) struct Peer {
    pub(super) user: String,
    pub(super) device: String,
    pub(super) shard: ShardId,
    pub(super) session: SessionKey,
    pub(super) closed: Option<CloseCode>,
    /// Frames that arrived and were not looked at.
    inbox: VecDeque<Vec<u8>>,
    /// Ephemeral events do not fit.
    pub(super) is_slow: bool,
    pub(super) last_ref: u64,
}

/// A frame that a client got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Got {
    Message {
        to: String,
        epoch: u64,
        seq: u64,
        sender: String,
        body: Vec<u8>,
        kind: RecordKind,
        subject: Option<String>,
        tag: Option<String>,
    },
    Ack {
        reference: u64,
        epoch: u64,
        seq: u64,
        duplicate: bool,
    },
    Subscribed {
        reference: u64,
        to: String,
        epoch: u64,
        committed: u64,
        next: u64,
    },
    Gap {
        to: String,
        epoch: u64,
        first: u64,
        committed: u64,
    },
    Skip {
        to: String,
        epoch: u64,
        from: u64,
        until: u64,
        why: SkipReason,
    },
    /// `about`: the conversation that cannot be resumed.
    Error {
        reference: u64,
        code: ErrorCode,
        about: Option<String>,
    },
    /// Seqs, whether there was a gap, the next cursor's seq, and whether there is more.
    Page {
        reference: u64,
        seqs: Vec<u64>,
        gap: bool,
        next: u64,
        has_more: bool,
    },
    Receipt {
        to: String,
        user: String,
        kind: ReceiptKind,
        seq: u64,
    },
    Presence {
        user: String,
        online: bool,
    },
    Ephemeral {
        to: String,
        sender: String,
        name: String,
    },
    Dropped(u64),
    /// Any other answer, in words.
    Answer {
        reference: u64,
        text: String,
    },
}

impl Got {
    /// The request that it answers; 0: none.
    pub(super) fn reference(&self) -> u64 {
        match *self {
            Got::Ack { reference, .. }
            | Got::Subscribed { reference, .. }
            | Got::Error { reference, .. }
            | Got::Page { reference, .. }
            | Got::Answer { reference, .. } => reference,
            _ => 0,
        }
    }

    /// In short, for comparing a whole inbox at a glance.
    pub(super) fn short(&self) -> String {
        let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
        match self {
            Got::Message { to, seq, sender, body, kind: RecordKind::message, .. } => {
                format!("{to} {seq} {sender}: {}", text(body))
            }
            Got::Message { to, seq, sender, kind, subject, .. } => {
                format!("{to} {seq} {sender} {kind:?} {}", subject.as_deref().unwrap_or("-"))
            }
            Got::Ack { seq, duplicate, epoch, .. } => format!("ack {epoch}/{seq}{}", if *duplicate { " again" } else { "" }),
            Got::Subscribed { to, next, .. } => format!("{to} from {next}"),
            Got::Gap { to, first, committed, .. } => format!("{to} gap {first}..{committed}"),
            Got::Skip { to, from, until, why, .. } => format!("{to} skip {from}..{until} {why:?}"),
            Got::Error { code, .. } => format!("error {code:?}"),
            Got::Page { seqs, gap, next, has_more, .. } => {
                let more = if *has_more { " more" } else { "" };
                format!("page {seqs:?} next {next}{}{more}", if *gap { " gap" } else { "" })
            }
            Got::Receipt { to, user, kind, seq } => format!("{to} {user} {kind:?} {seq}"),
            Got::Presence { user, online } => format!("{user} is {}", if *online { "here" } else { "gone" }),
            Got::Ephemeral { to, sender, name } => format!("{to} {sender} {name}"),
            Got::Dropped(count) => format!("dropped {count}"),
            Got::Answer { text, .. } => text.clone(),
        }
    }
}

impl World {
    pub(super) fn new(shards: ShardId, limits: Limits) -> World {
        let (limits, slots) = (Arc::new(limits), Slots::new(7, shards));
        let queues = || (0..shards).map(|_| VecDeque::new()).collect();
        let node = |id| Node {
            users: Users::new(id, slots, limits.clone(), Policies::in_memory(), 1),
            conversations: Conversations::new(slots, limits.clone(), Policies::in_memory(), 100 + u64::from(id)),
            store: Memory::new(&limits, &Policies::in_memory()),
            fx: Effects::default(),
            requests: queues(),
            events: (0..shards).map(|_| VecDeque::new()).collect(),
            draining: Vec::new(),
        };
        let nodes = (0..shards).map(node).collect();
        World {
            slots,
            now: Now { mono_ms: 1000, wall_ms: 1_000_000 },
            shards: nodes,
            clients: Vec::new(),
            logs: BTreeMap::new(),
            appends_to_fail: 0,
            encoder: Encoder::default(),
            limits,
        }
    }

    // ---- what clients do

    /// A connection that logs in.
    pub(super) fn connect(
        &mut self,
        user: &str,
        device: &str,
        resume: &[(&str, Option<(u64, u64)>)],
    ) -> Result<Client, CloseCode> {
        let frame = self.encoder.frame(1, |b| {
            let token = Some(b.create_string(&format!("dev:{user}")));
            let device = Some(b.create_string(device));
            let entries: Vec<_> = resume
                .iter()
                .map(|&(to, cursor)| {
                    let conversation = Some(conversation(b, to));
                    let cursor = cursor.map(|(epoch, seq)| Cursor::new(epoch, seq));
                    s::Resume::create(b, &s::ResumeArgs { conversation, cursor: cursor.as_ref(), tags: None })
                })
                .collect();
            let resume = Some(b.create_vector(&entries));
            s::Connect::create(b, &s::ConnectArgs { version: 1, token, device, resume, features: 0 })
        });
        let frame = frame.to_vec();
        let frame = crate::wire::read(&frame).expect("what a client encodes is sound");
        let credentials = credentials(frame)?;
        let shard = self.slots.home(user.as_bytes());
        let slot = Slot(self.clients.len() as u32);
        let node = &mut self.shards[shard as usize];
        let login = node.users.login(slot, credentials, frame.ref_(), self.now, &mut node.fx);
        if let Ok(session) = login {
            self.clients.push(Peer {
                user: user.to_owned(),
                device: device.to_owned(),
                shard,
                session,
                closed: None,
                inbox: VecDeque::new(),
                is_slow: false,
                last_ref: 1,
            });
        }
        self.absorb(shard);
        login.map(|_| self.clients.len() - 1)
    }

    /// A client that is logged in and has read what that brought.
    pub(super) fn client(&mut self, user: &str, device: &str) -> Client {
        let client = self.connect(user, device, &[]).expect("the login succeeds");
        self.settle();
        self.take(client);
        client
    }

    /// The connection breaks.
    pub(super) fn disconnect(&mut self, client: Client) {
        self.clients[client].closed.get_or_insert(CloseCode::none);
        let (shard, session) = (self.clients[client].shard, self.clients[client].session);
        let node = &mut self.shards[shard as usize];
        node.users.closed(session, self.now, &mut node.fx);
        self.absorb(shard);
    }

    /// Sends a frame with the next `ref`, which it gives.
    pub(super) fn send<V: Verb>(&mut self, client: Client, build: impl FnOnce(&mut Fbb) -> WIPOffset<V>) -> u64 {
        let peer = &mut self.clients[client];
        peer.last_ref += 1;
        let (reference, shard, session) = (peer.last_ref, peer.shard, peer.session);
        let bytes = self.encoder.frame(reference, build).to_vec();
        let frame = crate::wire::read(&bytes).expect("what a client encodes is sound");
        let node = &mut self.shards[shard as usize];
        node.users.frame(session, frame, self.now, &mut node.fx);
        self.absorb(shard);
        reference
    }

    pub(super) fn publish(&mut self, client: Client, to: &str, body: &str) -> u64 {
        self.publish_with(client, to, body, None, None, 0)
    }

    pub(super) fn publish_with(
        &mut self,
        client: Client,
        to: &str,
        body: &str,
        client_id: Option<&str>,
        tag: Option<&str>,
        ttl_ms: u32,
    ) -> u64 {
        self.send(client, |b| {
            let conversation = Some(conversation(b, to));
            let (client_id, tag) = (client_id.map(|t| b.create_string(t)), tag.map(|t| b.create_string(t)));
            let body = Some(b.create_vector(body.as_bytes()));
            s::Publish::create(b, &s::PublishArgs { conversation, client_id, content_type: None, body, ttl_ms, tag })
        })
    }

    pub(super) fn subscribe(&mut self, client: Client, to: &str, cursor: Option<(u64, u64)>, tags: &[&str]) -> u64 {
        self.send(client, |b| {
            let conversation = Some(conversation(b, to));
            let cursor = cursor.map(|(epoch, seq)| Cursor::new(epoch, seq));
            let tags: Vec<_> = tags.iter().map(|tag| b.create_string(tag)).collect();
            let tags = Some(b.create_vector(&tags));
            s::Subscribe::create(b, &s::SubscribeArgs { conversation, cursor: cursor.as_ref(), tags })
        })
    }

    pub(super) fn unsubscribe(&mut self, client: Client, to: &str) -> u64 {
        self.send(client, |b| {
            let conversation = Some(conversation(b, to));
            s::Unsubscribe::create(b, &s::UnsubscribeArgs { conversation })
        })
    }

    pub(super) fn create_group(&mut self, client: Client, id: &str, open: bool, whole_history: bool, members: &[&str]) -> u64 {
        self.send(client, |b| {
            // The log shows by the title what its members may read.
            let title = if whole_history { format!("{id}+") } else { id.to_owned() };
            let (id, title) = (Some(b.create_string(id)), Some(b.create_string(&title)));
            let members: Vec<_> = members.iter().map(|m| b.create_string(m)).collect();
            let members = Some(b.create_vector(&members));
            s::GroupCreate::create(b, &s::GroupCreateArgs { id, title, open, whole_history, members })
        })
    }

    pub(super) fn join(&mut self, client: Client, id: &str) -> u64 {
        self.send(client, |b| {
            let id = Some(b.create_string(id));
            s::GroupJoin::create(b, &s::GroupJoinArgs { id })
        })
    }

    pub(super) fn leave(&mut self, client: Client, id: &str) -> u64 {
        self.send(client, |b| {
            let id = Some(b.create_string(id));
            s::GroupLeave::create(b, &s::GroupLeaveArgs { id })
        })
    }

    pub(super) fn disband(&mut self, client: Client, id: &str) -> u64 {
        self.send(client, |b| {
            let id = Some(b.create_string(id));
            s::GroupDisband::create(b, &s::GroupDisbandArgs { id })
        })
    }

    pub(super) fn add(&mut self, client: Client, id: &str, user: &str, role: Role) -> u64 {
        self.send(client, |b| {
            let (id, user) = (Some(b.create_string(id)), Some(b.create_string(user)));
            s::GroupAdd::create(b, &s::GroupAddArgs { id, user, role })
        })
    }

    pub(super) fn remove(&mut self, client: Client, id: &str, user: &str) -> u64 {
        self.send(client, |b| {
            let (id, user) = (Some(b.create_string(id)), Some(b.create_string(user)));
            s::GroupRemove::create(b, &s::GroupRemoveArgs { id, user })
        })
    }

    pub(super) fn sync(
        &mut self,
        client: Client,
        to: &str,
        cursor: Option<(u64, u64)>,
        limit: u32,
        direction: s::Direction,
    ) -> u64 {
        self.send(client, |b| {
            let conversation = Some(conversation(b, to));
            let cursor = cursor.map(|(epoch, seq)| Cursor::new(epoch, seq));
            s::Sync::create(b, &s::SyncArgs { conversation, cursor: cursor.as_ref(), limit, direction })
        })
    }

    pub(super) fn receipt(&mut self, client: Client, to: &str, kind: ReceiptKind, cursor: (u64, u64)) -> u64 {
        self.send(client, |b| {
            let conversation = Some(conversation(b, to));
            let cursor = Cursor::new(cursor.0, cursor.1);
            s::Receipt::create(b, &s::ReceiptArgs { conversation, kind, cursor: Some(&cursor) })
        })
    }

    pub(super) fn list(&mut self, client: Client) -> u64 {
        self.send(client, |b| s::Conversations::create(b, &s::ConversationsArgs { after: 0, limit: 0 }))
    }

    pub(super) fn presence(&mut self, client: Client, users: &[&str], watch: bool) -> u64 {
        if watch {
            return self.send(client, |b| {
                let users: Vec<_> = users.iter().map(|user| b.create_string(user)).collect();
                let users = Some(b.create_vector(&users));
                s::PresenceWatch::create(b, &s::PresenceWatchArgs { users })
            });
        }
        self.send(client, |b| {
            let users: Vec<_> = users.iter().map(|user| b.create_string(user)).collect();
            let users = Some(b.create_vector(&users));
            s::PresenceQuery::create(b, &s::PresenceQueryArgs { users, conversation: None })
        })
    }

    pub(super) fn count(&mut self, client: Client, to: &str) -> u64 {
        self.send(client, |b| {
            let conversation = Some(conversation(b, to));
            s::PresenceQuery::create(b, &s::PresenceQueryArgs { users: None, conversation })
        })
    }

    pub(super) fn ephemeral(&mut self, client: Client, to: &str, name: &str) -> u64 {
        self.send(client, |b| {
            let conversation = Some(conversation(b, to));
            let name = Some(b.create_string(name));
            s::Ephemeral::create(b, &s::EphemeralArgs { conversation, name, body: None })
        })
    }

    pub(super) fn log_out(&mut self, client: Client, device: &str) -> u64 {
        self.send(client, |b| {
            let device = Some(b.create_string(device));
            s::LogOutDevice::create(b, &s::LogOutDeviceArgs { device })
        })
    }

    /// What a client got since it last looked.
    pub(super) fn take(&mut self, client: Client) -> Vec<Got> {
        let frames = std::mem::take(&mut self.clients[client].inbox);
        frames.iter().map(|bytes| decode(bytes)).collect()
    }

    /// The same, in short.
    pub(super) fn shorts(&mut self, client: Client) -> Vec<String> {
        self.take(client).iter().map(Got::short).collect()
    }

    /// The direct conversations in which a device that has just logged in has everything: who, epoch, and what is next.
    pub(super) fn up_to_date(&self, client: Client) -> Vec<(String, u64, u64)> {
        let peer = &self.clients[client];
        let users = &self.shards[peer.shard as usize].users;
        let user = users.user_of(peer.session);
        let catches_up = |key: &Key| {
            let more = users.sessions[peer.session.index].more.as_ref();
            more.is_some_and(|more| more.catch_ups.iter().any(|c| c.key == *key))
        };
        let entries = user.list.iter().flat_map(|list| list.iter());
        let direct = entries.filter(|e| e.key.kind() == crate::conversation::Kind::Direct && e.epoch != 0);
        let current = direct.filter(|e| !catches_up(&e.key));
        current.map(|e| (e.key.address(&peer.user).to_string(), e.epoch, e.committed + 1)).collect()
    }

    // ---- steps

    /// Takes the next event from a shard, if there is one.
    pub(super) fn take_event(&mut self, at: ShardId, from: ShardId) -> bool {
        let node = &mut self.shards[at as usize];
        let Some(event) = node.events[from as usize].pop_front() else { return false };
        node.users.event(from, event, &mut node.fx);
        self.absorb(at);
        true
    }

    /// Takes the next request from a shard, if there is one and what follows from it has room.
    pub(super) fn take_request(&mut self, at: ShardId, from: ShardId) -> bool {
        if self.room(at) < events_per_request(&self.limits) {
            return false;
        }
        let Some(request) = self.shards[at as usize].requests[from as usize].pop_front() else { return false };
        let key = match &request {
            Request::Publish(publish) => Some(publish.key.clone()),
            Request::Change(change) => Some(change.key.clone()),
            _ => None,
        };
        let node = &mut self.shards[at as usize];
        if Users::answers(&request) {
            node.users.request(from, request, &mut node.fx);
        } else {
            node.conversations.request(from, request, self.now, &mut node.fx);
        }
        self.run_store(at, key.as_ref());
        self.absorb(at);
        true
    }

    fn run_store(&mut self, at: ShardId, key: Option<&Key>) {
        let node = &mut self.shards[at as usize];
        while !node.fx.commands.is_empty() {
            let mut outcomes = Vec::new();
            for command in std::mem::take(&mut node.fx.commands) {
                let record = match &command {
                    Command::Append(append) => Some(append.record.clone()),
                    _ => None,
                };
                match command {
                    Command::Append(append) if self.appends_to_fail > 0 => {
                        self.appends_to_fail -= 1;
                        let (log, attempt, seq) = (append.log, append.attempt, append.record.seq);
                        outcomes.push(Outcome::Appended { log, attempt, seq, result: Err(NotStored::Failed) });
                    }
                    command => node.store.execute(command, &mut outcomes),
                }
                let stored = outcomes.iter().any(|outcome| match outcome {
                    Outcome::Appended { seq, result: Ok(()), .. } => record.as_ref().is_some_and(|r| r.seq == *seq),
                    _ => false,
                });
                if let Some(record) = record.filter(|_| stored) {
                    let key = key.expect("only publishes and changes append").clone();
                    let log = self.logs.entry(record.epoch).or_insert_with(|| Log { key, records: Vec::new() });
                    assert_eq!(record.seq, log.records.len() as u64 + 1, "numbers have no holes");
                    log.records.push(record);
                }
            }
            for outcome in outcomes {
                node.conversations.outcome(outcome, self.now, &mut node.fx);
            }
        }
    }

    /// Events that fit into every lane.
    fn room(&self, at: ShardId) -> usize {
        let capacity = self.limits.lane_capacity as usize;
        self.shards.iter().map(|node| capacity - node.events[at as usize].len()).min().unwrap_or(0)
    }

    /// A turn's share of what is cut into slices.
    pub(super) fn work(&mut self, at: ShardId) -> bool {
        let room = self.room(at);
        let node = &mut self.shards[at as usize];
        let had_work = node.users.has_work();
        node.users.work(room, &mut node.fx);
        self.absorb(at);
        let room = self.room(at);
        let node = &mut self.shards[at as usize];
        let had_work = had_work | node.conversations.has_work();
        node.conversations.work(room, self.now, &mut node.fx);
        self.run_store(at, None);
        self.absorb(at);
        had_work
    }

    /// A connection that wanted to know has read everything.
    pub(super) fn drain(&mut self, at: ShardId) -> bool {
        let node = &mut self.shards[at as usize];
        if node.draining.is_empty() {
            return false;
        }
        let slot = node.draining.remove(0);
        let peer = &self.clients[slot.0 as usize];
        if peer.closed.is_none() {
            node.users.drained(peer.session, &mut node.fx);
        }
        self.absorb(at);
        true
    }

    /// Time passes.
    pub(super) fn pass(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.wall_ms += ms;
        for at in 0..self.shards.len() {
            self.shards[at].users.tick(self.now);
            self.absorb(at as ShardId);
        }
    }

    /// Until nothing is left to do.
    pub(super) fn settle(&mut self) {
        let all = 0..self.shards.len() as ShardId;
        let mut rounds = 0;
        loop {
            let mut busy = false;
            for at in all.clone() {
                for from in all.clone() {
                    while self.take_event(at, from) {
                        busy = true;
                    }
                    while self.take_request(at, from) {
                        busy = true;
                    }
                }
                busy |= self.work(at) | self.drain(at);
            }
            if !busy {
                return;
            }
            rounds += 1;
            assert!(rounds < 100_000, "it never comes to rest");
        }
    }

    /// Puts what a step wanted where it belongs.
    fn absorb(&mut self, at: ShardId) {
        loop {
            let node = &mut self.shards[at as usize];
            node.fx.open.seal();
            let sends = std::mem::take(&mut node.fx.sends);
            let requests = std::mem::take(&mut node.fx.requests);
            let events = std::mem::take(&mut node.fx.events);
            let closes = std::mem::take(&mut node.fx.closes);
            let draining = std::mem::take(&mut node.fx.watch_drained);
            node.draining.extend(draining);
            assert!(node.fx.commands.is_empty());
            for send in sends {
                let peer = &mut self.clients[send.to.0 as usize];
                assert_eq!(peer.shard, at);
                if peer.closed.is_some() {
                    continue;
                }
                if peer.is_slow && send.weight == crate::effects::Weight::Ephemeral {
                    node.users.ephemeral_dropped(peer.session);
                    node.draining.push(send.to);
                    continue;
                }
                let mut rest = send.frame.bytes();
                while !rest.is_empty() {
                    let Split::Whole(length) = split(rest, usize::MAX) else { panic!("a segment is whole frames") };
                    peer.inbox.push_back(rest[..length].to_vec());
                    rest = &rest[length..];
                }
            }
            let capacity = self.limits.lane_capacity as usize;
            for (to, request) in requests {
                let lane = &mut self.shards[to as usize].requests[at as usize];
                lane.push_back(request);
                assert!(lane.len() <= capacity, "credits keep requests within the lane");
            }
            for (to, event) in events {
                let lane = &mut self.shards[to as usize].events[at as usize];
                lane.push_back(event);
                assert!(lane.len() <= capacity, "what was taken had room");
            }
            if closes.is_empty() {
                return;
            }
            for (slot, code, _) in closes {
                let peer = &mut self.clients[slot.0 as usize];
                let session = peer.session;
                if peer.closed.is_none() {
                    peer.closed = Some(code);
                    let node = &mut self.shards[at as usize];
                    node.users.closed(session, self.now, &mut node.fx);
                }
            }
        }
    }

    // ---- what must hold

    /// What must hold between any two steps.
    pub(super) fn check(&self) {
        self.shards.iter().for_each(|node| node.users.check());
    }

    /// What must hold when nothing is left to do: every credit is home, every request is answered, and homes know exactly the shards that receive.
    pub(super) fn check_at_rest(&self) {
        self.check();
        let mut attached: BTreeMap<(Key, ShardId), (u64, u32)> = BTreeMap::new();
        for (at, node) in self.shards.iter().enumerate() {
            assert!(node.users.is_quiet(), "credits are home and nothing is left to do");
            assert_eq!(node.users.gathers.len(), 0, "nothing is being collected");
            for session in node.users.sessions.iter() {
                assert_eq!(session.outstanding, 0, "every request is answered");
            }
            for mirror in node.users.mirrors.iter() {
                attached.insert((mirror.key.clone(), at as ShardId), (mirror.epoch, mirror.attachments));
            }
        }
        let counted: BTreeMap<_, _> = self.shards.iter().flat_map(|node| node.conversations.interests()).collect();
        assert_eq!(attached, counted, "homes count the attachments that there are");
    }
}

/// The address of a conversation, from the way people write it.
fn conversation(b: &mut Fbb, to: &str) -> WIPOffset<s::Conversation<'static>> {
    crate::wire::conversation(b, Address::parse(to).expect("an address"))
}

fn decode(bytes: &[u8]) -> Got {
    let frame = crate::wire::read(bytes).expect("what a server encodes is sound");
    let reference = frame.ref_();
    let to = |c: Option<s::Conversation<'_>>| crate::wire::address(c).expect("a conversation").to_string();
    let owned = |t: Option<&str>| t.map(str::to_owned);
    match frame.body_type() {
        Body::Message => {
            let m = frame.body_as_message().unwrap();
            Got::Message {
                to: to(m.conversation()),
                epoch: m.epoch(),
                seq: m.seq(),
                sender: owned(m.sender()).unwrap(),
                body: m.body().map(|b| b.bytes().to_vec()).unwrap_or_default(),
                kind: m.kind(),
                subject: owned(m.subject()),
                tag: owned(m.tag()),
            }
        }
        Body::Ack => {
            let a = frame.body_as_ack().unwrap();
            Got::Ack { reference, epoch: a.epoch(), seq: a.seq(), duplicate: a.duplicate() }
        }
        Body::GroupCreated => {
            let g = frame.body_as_group_created().unwrap();
            Got::Ack { reference, epoch: g.epoch(), seq: g.seq(), duplicate: false }
        }
        Body::Subscribed => {
            let b = frame.body_as_subscribed().unwrap();
            let (epoch, committed, next) = (b.epoch(), b.committed(), b.next());
            Got::Subscribed { reference, to: to(b.conversation()), epoch, committed, next }
        }
        Body::Gap => {
            let g = frame.body_as_gap().unwrap();
            Got::Gap { to: to(g.conversation()), epoch: g.epoch(), first: g.first(), committed: g.committed() }
        }
        Body::Skip => {
            let k = frame.body_as_skip().unwrap();
            Got::Skip { to: to(k.conversation()), epoch: k.epoch(), from: k.from(), until: k.to(), why: k.why() }
        }
        Body::Error => {
            let e = frame.body_as_error().unwrap();
            Got::Error { reference, code: e.code(), about: e.conversation().map(|c| to(Some(c))) }
        }
        Body::Page => {
            let p = frame.body_as_page().unwrap();
            let seqs = p.messages().map(|m| m.iter().map(|m| m.seq()).collect()).unwrap_or_default();
            let next = p.next().map_or(0, |c| c.seq());
            Got::Page { reference, seqs, gap: p.gap().is_some(), next, has_more: p.has_more() }
        }
        Body::ReceiptEvent => {
            let r = frame.body_as_receipt_event().unwrap();
            Got::Receipt { to: to(r.conversation()), user: owned(r.user()).unwrap(), kind: r.kind(), seq: r.seq() }
        }
        Body::PresenceEvent => {
            let p = frame.body_as_presence_event().unwrap();
            Got::Presence { user: owned(p.user()).unwrap(), online: p.online() }
        }
        Body::EphemeralEvent => {
            let e = frame.body_as_ephemeral_event().unwrap();
            Got::Ephemeral { to: to(e.conversation()), sender: owned(e.sender()).unwrap(), name: owned(e.name()).unwrap() }
        }
        Body::EphemeralDropped => Got::Dropped(frame.body_as_ephemeral_dropped().unwrap().count()),
        _ => Got::Answer { reference, text: answer(frame) },
    }
}

fn answer(frame: Frame<'_>) -> String {
    match frame.body_type() {
        Body::PresenceAnswer => {
            let p = frame.body_as_presence_answer().unwrap();
            let users = p.users().unwrap_or_default();
            let users: Vec<String> =
                users.iter().map(|u| format!("{}{}", if u.online() { "+" } else { "-" }, u.user().unwrap())).collect();
            format!("presence {} {}", users.join(" "), p.sessions())
        }
        Body::ConversationsPage => {
            let items = frame.body_as_conversations_page().unwrap().items().unwrap_or_default();
            let item =
                |i: s::ConversationInfo<'_>| format!("{}({})", crate::wire::address(i.conversation()).unwrap(), i.unread());
            format!("list {}", items.iter().map(item).collect::<Vec<_>>().join(" "))
        }
        other => format!("{other:?}").to_lowercase().replace("body::", ""),
    }
}

impl Users {
    /// Sessions and mirrors point at each other.
    fn check(&self) {
        for (index, session) in self.sessions.entries() {
            assert!(session.outstanding <= self.limits.window_requests, "no more is outstanding than the window");
            for (i, link) in session.links.iter().enumerate() {
                let (who, back) = self.mirrors[link.mirror].receiver(link.place);
                assert_eq!((who, back), (index, i as u32), "a link and its place in the mirror name each other");
            }
        }
        let links: usize = self.sessions.iter().map(|session| session.links.len()).sum();
        let receivers: usize = self.mirrors.iter().map(Mirror::check).sum();
        assert_eq!(links, receivers);
    }
}

use super::mirror::Mirror;
