//! A small world for tests: shards made of [`Users`], [`Conversations`] and a store, joined by queues that a test steps one message at
//! a time. What goes to connections is decoded as a client would.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use flatbuffers::WIPOffset;

use super::catch_up::CatchUp;
use super::list::Entry;
use super::mirror::Mirror;
use super::stored::{Step, Store};
use super::{LoggedIn, Login, LoginKey, Users, credentials};
use crate::clock::Now;
use crate::conversation::{Conversations, EVENTS_PER_OUTCOME, Key, Kind, Policies, Record, events_per_request};
use crate::effects::Effects;
use crate::id::Address;
use crate::limits::Limits;
use crate::mesh::{Event, Request, SessionKey};
use crate::ring::Slot;
use crate::slot::{ShardId, Slots};
use crate::store::{Append, Command, Memory, NotStored, Outcome};
use crate::wire::schema::{self as s, Body, CloseCode, Cursor, ErrorCode, Frame, ReceiptKind, RecordKind, Role, SkipReason};
use crate::wire::{Encoder, Fbb, Split, Verb, split};

/// Where a session begins in a conversation: which, epoch, and what is next.
pub(super) type Begins = (String, u64, u64);

/// Of a connection that is not logged in.
const NOBODY: SessionKey = SessionKey { index: u32::MAX, generation: u32::MAX };

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
    /// Appends in memory that are going to fail: so many from now on.
    pub(super) appends_to_fail: usize,
    pub(super) store: Store,
    /// Logins that are through: who, and where he begins in direct conversations without being told.
    pub(super) opened: Vec<(Client, Vec<Begins>)>,
    encoder: Encoder,
    policies: Policies,
    /// How often it was started.
    run: u64,
}

pub(super) struct Log {
    pub(super) key: Key,
    pub(super) records: Vec<Arc<Record>>,
    /// It was in memory only, and the process has ended.
    pub(super) is_lost: bool,
}

pub(super) struct Node {
    pub(super) users: Users,
    pub(super) conversations: Conversations,
    memory: Memory,
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
    /// Its user's list is being read.
    login: Option<LoginKey>,
    /// What it has sent since.
    early: VecDeque<Vec<u8>>,
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
        is_retracted: bool,
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
    /// Seqs, what they say, whether there was a gap, the next cursor's seq, and whether there is more.
    Page {
        reference: u64,
        epoch: u64,
        seqs: Vec<u64>,
        contents: Vec<(Vec<u8>, bool)>,
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
        World::with(shards, limits, Policies::in_memory())
    }

    pub(super) fn with(shards: ShardId, limits: Limits, policies: Policies) -> World {
        let (limits, slots) = (Arc::new(limits), Slots::with_partitions(7, shards, 2));
        let mut world = World {
            slots,
            now: Now { mono_ms: 1000, wall_ms: 1_000_000 },
            shards: Vec::new(),
            clients: Vec::new(),
            logs: BTreeMap::new(),
            appends_to_fail: 0,
            store: Store::new(slots),
            opened: Vec::new(),
            encoder: Encoder::default(),
            limits,
            policies,
            run: 0,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        self.run += 1;
        let (slots, limits, policies, run) = (self.slots, &self.limits, self.policies, self.run);
        let shards = slots.shards();
        let node = |id| Node {
            users: Users::new(id, slots, limits.clone(), policies, run),
            conversations: Conversations::new(slots, limits.clone(), policies, 100 * run + u64::from(id)),
            memory: Memory::new(limits, &policies),
            fx: Effects::default(),
            requests: (0..shards).map(|_| VecDeque::new()).collect(),
            events: (0..shards).map(|_| VecDeque::new()).collect(),
            draining: Vec::new(),
        };
        self.shards = (0..shards).map(node).collect();
    }

    /// The machine goes down and comes up again, with as many shards. `keep`: of so many batches that were not synced, how many are left on a disk.
    pub(super) fn crash(&mut self, shards: ShardId, keep: impl FnMut(usize) -> usize) {
        for peer in &mut self.clients {
            peer.closed.get_or_insert(CloseCode::none);
        }
        self.slots = Slots::with_partitions(7, shards, self.slots.partitions());
        self.store.crash(self.slots, keep);
        let policies = self.policies;
        self.logs.values_mut().for_each(|log| log.is_lost |= !policies.is_on_disk(log.key.kind()));
        self.now.mono_ms = 1000;
        self.opened.clear();
        self.start();
    }

    /// The process ends in good order and starts again.
    pub(super) fn restart(&mut self) {
        self.settle();
        self.crash(self.slots.shards(), |unsynced| unsynced);
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
        let Ok(login) = login else {
            self.absorb(shard);
            return login.map(|_| 0);
        };
        let client = self.clients.len();
        let (session, login) = match login {
            Login::Done(session) => (session, None),
            Login::Waits(login) => (NOBODY, Some(login)),
        };
        self.clients.push(Peer {
            user: user.to_owned(),
            device: device.to_owned(),
            shard,
            session,
            login,
            early: VecDeque::new(),
            closed: None,
            inbox: VecDeque::new(),
            is_slow: false,
            last_ref: 1,
        });
        if login.is_none() {
            self.opened.push((client, self.up_to_date(client)));
        }
        self.absorb(shard);
        Ok(client)
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
        let Peer { shard, session, login, .. } = self.clients[client];
        let node = &mut self.shards[shard as usize];
        match login {
            Some(login) => node.users.login_given_up(login),
            None => node.users.closed(session, self.now, &mut node.fx),
        }
        self.absorb(shard);
    }

    /// Sends a frame with the next `ref`, which it gives.
    pub(super) fn send<V: Verb>(&mut self, client: Client, build: impl FnOnce(&mut Fbb) -> WIPOffset<V>) -> u64 {
        self.clients[client].last_ref += 1;
        let reference = self.clients[client].last_ref;
        self.send_as(client, reference, build);
        reference
    }

    fn send_as<V: Verb>(&mut self, client: Client, reference: u64, build: impl FnOnce(&mut Fbb) -> WIPOffset<V>) {
        let peer = &mut self.clients[client];
        let (shard, session) = (peer.shard, peer.session);
        let bytes = self.encoder.frame(reference, build).to_vec();
        if peer.login.is_some() {
            return peer.early.push_back(bytes);
        }
        let frame = crate::wire::read(&bytes).expect("what a client encodes is sound");
        let node = &mut self.shards[shard as usize];
        node.users.frame(session, frame, self.now, &mut node.fx);
        self.absorb(shard);
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
        self.send(client, |b| receipt(b, to, kind, cursor))
    }

    pub(super) fn retract(&mut self, client: Client, to: &str, cursor: (u64, u64)) -> u64 {
        self.send(client, |b| {
            let conversation = Some(conversation(b, to));
            let cursor = Cursor::new(cursor.0, cursor.1);
            s::Retract::create(b, &s::RetractArgs { conversation, cursor: Some(&cursor) })
        })
    }

    /// A receipt that wants no answer.
    pub(super) fn say_receipt(&mut self, client: Client, to: &str, kind: ReceiptKind, cursor: (u64, u64)) {
        self.send_as(client, 0, |b| receipt(b, to, kind, cursor));
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

    /// Where a device that has just logged in begins in direct conversations, as far as it is not going to be told: who, epoch, and what is next.
    pub(super) fn up_to_date(&self, client: Client) -> Vec<Begins> {
        let peer = &self.clients[client];
        let users = &self.shards[peer.shard as usize].users;
        let (user, session) = (users.user_of(peer.session), &users.sessions[peer.session.index]);
        let is_asking = |c: &CatchUp| c.start.is_question;
        let is_told = |key: &Key| session.more.iter().flat_map(|more| &more.catch_ups).any(|c| c.key == *key && !is_asking(c));
        let entries = user.list.iter().flat_map(|list| list.iter());
        let untold = entries.filter(|e| e.key.kind() == Kind::Direct && !is_told(&e.key));
        let place = |e: &Entry| {
            let stored = e.cursor_of(&peer.device);
            let (epoch, seq) = match e.log() {
                Some(log) if e.has_news(stored, log) => None,
                // One without a message may be founded anew.
                Some(log) => (log.1 > 0).then_some(log),
                None => (stored > 0).then_some((e.epoch, stored)),
            }?;
            Some((e.key.address(&peer.user).to_string(), epoch, seq + 1))
        };
        untold.filter_map(place).collect()
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
        let node = &mut self.shards[at as usize];
        if Users::answers(&request) {
            node.users.request(from, request, self.now, &mut node.fx);
        } else {
            node.conversations.request(from, request, self.now, &mut node.fx);
        }
        self.absorb(at);
        true
    }

    /// Takes the next thing that a partition has done for a shard, if there is one and what follows from it has room.
    pub(super) fn take_outcome(&mut self, at: ShardId, part: usize, of_writes: bool) -> bool {
        if self.room(at) < EVENTS_PER_OUTCOME {
            return false;
        }
        let Some(outcome) = self.store.take(part, at, of_writes) else { return false };
        let node = &mut self.shards[at as usize];
        if outcome.is_for_users() {
            node.users.outcome(outcome, self.now, &mut node.fx);
        } else {
            node.conversations.outcome(outcome, self.now, &mut node.fx);
        }
        self.absorb(at);
        true
    }

    /// One step of a partition.
    pub(super) fn store_step(&mut self, part: usize, shard: ShardId, step: Step) -> bool {
        let did = self.store.step(part, shard, step, self.now);
        for (key, record) in std::mem::take(&mut self.store.appended) {
            self.log(key, record);
        }
        did
    }

    fn log(&mut self, key: Key, record: Arc<Record>) {
        let log = self.logs.entry(record.epoch).or_insert_with(|| Log { key, records: Vec::new(), is_lost: false });
        assert_eq!(record.seq, log.records.len() as u64 + 1, "numbers have no holes");
        log.records.push(record);
    }

    /// What is in memory is done at once; what is on disk goes to its partition.
    fn run_store(&mut self, at: ShardId) {
        while !self.shards[at as usize].fx.commands.is_empty() {
            let mut outcomes = Vec::new();
            for command in std::mem::take(&mut self.shards[at as usize].fx.commands) {
                match command {
                    command if command.row_on_disk().is_some() => self.store.push(at, command),
                    Command::Append(append) => self.append(at, append, &mut outcomes),
                    command => self.shards[at as usize].memory.execute(command, &mut outcomes),
                }
            }
            let node = &mut self.shards[at as usize];
            for outcome in outcomes {
                node.conversations.outcome(outcome, self.now, &mut node.fx);
            }
        }
    }

    fn append(&mut self, at: ShardId, append: Append, outcomes: &mut Vec<Outcome>) {
        let Append { log, attempt, ref key, ref record, .. } = append;
        let (key, record) = (key.clone(), record.clone());
        let seq = record.seq;
        if self.appends_to_fail > 0 {
            self.appends_to_fail -= 1;
            return outcomes.push(Outcome::Appended { log, attempt, seq, result: Err(NotStored::Failed) });
        }
        self.shards[at as usize].memory.execute(Command::Append(append), outcomes);
        let is_stored = |outcome: &Outcome| *outcome == Outcome::Appended { log, attempt, seq, result: Ok(()) };
        if outcomes.iter().any(is_stored) {
            self.log(key, record);
        }
    }

    /// Events that fit into every lane.
    fn room(&self, at: ShardId) -> usize {
        let capacity = self.limits.lane_places(self.shards.len()) as usize;
        self.shards.iter().map(|node| capacity - node.events[at as usize].len()).min().unwrap_or(0)
    }

    /// A turn's share of what is cut into slices.
    pub(super) fn work(&mut self, at: ShardId) -> bool {
        let room = self.room(at);
        let node = &mut self.shards[at as usize];
        let had_work = node.users.has_work();
        node.users.work(room, self.now, &mut node.fx);
        // What had waited for more may have begun.
        let had_work = had_work | node.users.has_work();
        self.absorb(at);
        let room = self.room(at);
        let node = &mut self.shards[at as usize];
        let had_work = had_work | node.conversations.has_work();
        node.conversations.work(room, self.now, &mut node.fx);
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
            let node = &mut self.shards[at];
            node.users.tick(self.now);
            node.conversations.tick(self.now, &mut node.fx);
            self.absorb(at as ShardId);
        }
    }

    /// Conversations that nobody uses leave memory.
    pub(super) fn sweep(&mut self, at: ShardId) {
        let node = &mut self.shards[at as usize];
        node.conversations.sweep(0, 1 << 20, self.now, &mut node.fx);
        self.absorb(at);
    }

    /// Time passes until something is written, or handed out, that waits for more. Says whether there is something.
    fn pass_to_next_write(&mut self) -> bool {
        let writes = self.shards.iter().map(|node| node.conversations.next_tick_ms());
        let waits = self.shards.iter().map(|node| node.users.waits_until_ms());
        let Some(due_ms) = writes.chain(waits).flatten().min() else { return false };
        self.pass(due_ms.saturating_sub(self.now.mono_ms));
        true
    }

    /// Everything that partitions can do now.
    fn settle_store(&mut self) -> bool {
        let mut busy = false;
        for part in 0..self.store.parts.len() {
            for shard in 0..self.shards.len() as ShardId {
                for step in [Step::Stage, Step::Read] {
                    while self.store_step(part, shard, step) {
                        busy = true;
                    }
                }
            }
            busy |= self.store_step(part, 0, Step::Commit);
            for shard in 0..self.shards.len() as ShardId {
                for of_writes in [true, false] {
                    while self.take_outcome(shard, part, of_writes) {
                        busy = true;
                    }
                }
            }
        }
        busy
    }

    /// Everything that can be done in memory without time passing.
    pub(super) fn at_once(&mut self) {
        let all = 0..self.shards.len() as ShardId;
        for _ in 0..8 {
            for at in all.clone() {
                for from in all.clone() {
                    while self.take_request(at, from) || self.take_event(at, from) {}
                }
                while self.work(at) {}
            }
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
            busy |= self.settle_store();
            if !busy && !self.pass_to_next_write() {
                return;
            }
            rounds += 1;
            assert!(rounds < 100_000, "it never comes to rest");
        }
    }

    /// Puts what a step wanted where it belongs.
    fn absorb(&mut self, at: ShardId) {
        loop {
            self.run_store(at);
            let node = &mut self.shards[at as usize];
            node.fx.open.seal();
            let logins = std::mem::take(&mut node.fx.logins);
            let sends = std::mem::take(&mut node.fx.sends);
            let requests = std::mem::take(&mut node.fx.requests);
            let events = std::mem::take(&mut node.fx.events);
            let closes = std::mem::take(&mut node.fx.closes);
            let draining = std::mem::take(&mut node.fx.watch_drained);
            node.draining.extend(draining);
            let mut closes = closes;
            for LoggedIn { connection, login, result } in &logins {
                let peer = &mut self.clients[connection.0 as usize];
                assert_eq!((peer.login, peer.closed), (Some(*login), None), "whoever gave up is not told");
                match result {
                    Ok(session) => (peer.session, peer.login) = (*session, None),
                    Err((code, after_ms)) => closes.push((*connection, *code, *after_ms)),
                }
            }
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
            let capacity = self.limits.lane_places(self.shards.len()) as usize;
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
            if closes.is_empty() && logins.is_empty() {
                return;
            }
            for LoggedIn { connection, result, .. } in logins {
                let client = connection.0 as usize;
                if result.is_ok() && self.clients[client].closed.is_none() {
                    self.opened.push((client, self.up_to_date(client)));
                    self.say_early(client);
                }
            }
            for (slot, code, _) in closes {
                let Peer { session, login, ref mut closed, .. } = self.clients[slot.0 as usize];
                if closed.is_none() {
                    *closed = Some(code);
                    let node = &mut self.shards[at as usize];
                    match login {
                        Some(login) => node.users.login_given_up(login),
                        None => node.users.closed(session, self.now, &mut node.fx),
                    }
                }
            }
        }
    }

    /// What a client has sent while it was not logged in.
    fn say_early(&mut self, client: Client) {
        let Peer { shard, session, .. } = self.clients[client];
        for bytes in std::mem::take(&mut self.clients[client].early) {
            let frame = crate::wire::read(&bytes).expect("what a client encodes is sound");
            let node = &mut self.shards[shard as usize];
            node.users.frame(session, frame, self.now, &mut node.fx);
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
            assert_eq!((node.users.changes.len(), node.users.strikes), (0, 0), "every change is through");
            assert_eq!((node.users.logins.len(), node.users.loads), (0, 0), "every list has been read");
            assert!(node.users.expected.is_empty(), "whoever was hinted is a member, or has been told that he is not");
            for session in node.users.sessions.iter() {
                assert_eq!(session.outstanding, 0, "every request is answered");
                assert!(
                    session.more.as_ref().is_none_or(|more| more.is_needed()),
                    "what is rare stays no longer than it is needed"
                );
            }
            for mirror in node.users.mirrors.iter() {
                attached.insert((mirror.key.clone(), at as ShardId), (mirror.epoch, mirror.attachments));
            }
        }
        let counted: BTreeMap<_, _> = self.shards.iter().flat_map(|node| node.conversations.interests()).collect();
        assert_eq!(attached, counted, "homes count the attachments that there are");
    }
}

fn receipt(b: &mut Fbb, to: &str, kind: ReceiptKind, cursor: (u64, u64)) -> WIPOffset<s::Receipt<'static>> {
    let conversation = Some(conversation(b, to));
    let cursor = Cursor::new(cursor.0, cursor.1);
    s::Receipt::create(b, &s::ReceiptArgs { conversation, kind, cursor: Some(&cursor) })
}

/// The address of a conversation, from the way people write it.
fn conversation(b: &mut Fbb, to: &str) -> WIPOffset<s::Conversation<'static>> {
    crate::wire::conversation(b, Address::parse(to).expect("an address"))
}

/// The body of a message, and whether it was taken back.
fn content(message: s::Message<'_>) -> (Vec<u8>, bool) {
    (message.body().map(|b| b.bytes().to_vec()).unwrap_or_default(), message.is_retracted())
}

fn decode(bytes: &[u8]) -> Got {
    let frame = crate::wire::read(bytes).expect("what a server encodes is sound");
    let reference = frame.ref_();
    let to = |c: Option<s::Conversation<'_>>| crate::wire::address(c).expect("a conversation").to_string();
    let owned = |t: Option<&str>| t.map(str::to_owned);
    match frame.body_type() {
        Body::Message => {
            let m = frame.body_as_message().unwrap();
            let (body, is_retracted) = content(m);
            Got::Message {
                to: to(m.conversation()),
                epoch: m.epoch(),
                seq: m.seq(),
                sender: owned(m.sender()).unwrap(),
                body,
                kind: m.kind(),
                subject: owned(m.subject()),
                tag: owned(m.tag()),
                is_retracted,
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
            let messages = p.messages().unwrap_or_default();
            let (seqs, contents) = messages.iter().map(|m| (m.seq(), content(m))).unzip();
            let next = p.next().map_or(0, |c| c.seq());
            Got::Page { reference, epoch: p.epoch(), seqs, contents, gap: p.gap().is_some(), next, has_more: p.has_more() }
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
