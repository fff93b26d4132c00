//! Shards without sockets: the server's own users, conversations, memory store and lanes, in the order of a turn (`src/shard/turn.rs`), and
//! whoever uses them in place of the kernel. What goes to connections is counted and dropped.

use std::sync::Arc;

use campanile::clock::Now;
use campanile::conversation::{Conversations, Policies, events_per_request};
use campanile::effects::Effects;
use campanile::id::Address;
use campanile::limits::Limits;
use campanile::mesh::lanes::{Doorbell, Lanes};
use campanile::mesh::{Event, Request, SessionKey};
use campanile::ring::Slot;
use campanile::session::{Login, Users, credentials};
use campanile::slot::{ShardId, Slots};
use campanile::store::{Memory, Outcome};
use campanile::wire::schema::{self as s, CloseCode};
use campanile::wire::{Encoder, conversation, read};

/// When everything begins.
pub const BEGIN: Now = Now { mono_ms: 1_000, wall_ms: 1_700_000_000_000 };

/// What a shard has said and done.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Messages that were handed to connections.
    pub deliveries: u64,
    /// Frames that were, acks included.
    pub sends: u64,
    /// Requests to other shards.
    pub requests: u64,
    /// What other shards were answered.
    pub answers: u64,
    /// What they were told besides.
    pub news: u64,
    /// Sleepers that were rung.
    pub rung: u64,
    /// Requests to each shard, itself included, that are not answered.
    pub open: Vec<u32>,
    /// The most that ever were, to one.
    pub open_max: u32,
}

impl Counts {
    /// What crossed from one core to another.
    pub fn envelopes(&self) -> u64 {
        self.requests + self.answers + self.news
    }
}

/// A client: where its session is, and who it is.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    pub shard: ShardId,
    pub slot: Slot,
    pub session: SessionKey,
}

/// One shard.
pub struct Shard {
    me: ShardId,
    users: Users,
    conversations: Conversations,
    memory: Memory,
    pub lanes: Lanes,
    fx: Effects,
    sessions: Vec<SessionKey>,
    next_from: ShardId,
    events_per_request: usize,
    done: Vec<Outcome>,
    pub counts: Counts,
}

/// All of them.
pub struct Shards {
    pub all: Vec<Shard>,
    pub slots: Slots,
    pub now: Now,
    /// Places in each lane, and so credits towards each home.
    pub lane_places: u32,
    encoder: Encoder,
}

impl Shards {
    /// Nobody is there. Everything is kept in memory.
    pub fn new(shards: ShardId, limits: Limits) -> Shards {
        let (limits, slots, policies) = (Arc::new(limits), Slots::new(7, shards), Policies::in_memory());
        let bells: Arc<[Doorbell]> = (0..shards).map(|_| Doorbell::new().expect("a descriptor")).collect();
        let lane_places = limits.lane_places(shards.into());
        let lanes = Lanes::mesh(lane_places as usize, &bells);
        let shard = |(me, lanes): (ShardId, Lanes)| Shard {
            me,
            users: Users::new(me, slots, limits.clone(), policies, 1),
            conversations: Conversations::new(slots, limits.clone(), policies, 1 + u64::from(me)),
            memory: Memory::new(&limits, &policies),
            lanes,
            fx: Effects::default(),
            sessions: Vec::new(),
            next_from: 0,
            events_per_request: events_per_request(&limits),
            done: Vec::new(),
            counts: Counts { open: vec![0; shards.into()], ..Counts::default() },
        };
        Shards { all: (0..).zip(lanes).map(shard).collect(), slots, now: BEGIN, lane_places, encoder: Encoder::default() }
    }

    /// A client that is logged in, on a connection of its own.
    pub fn login(&mut self, user: &str) -> Client {
        let frame = self.encoder.frame(1, |b| {
            let (token, device) = (Some(b.create_string(&format!("dev:{user}"))), Some(b.create_string("d")));
            s::Connect::create(b, &s::ConnectArgs { token, device, ..Default::default() })
        });
        let shard = self.slots.home(user.as_bytes());
        let (session, slot) = self.all[usize::from(shard)].login(frame, self.now).expect("a session");
        Client { shard, slot, session }
    }

    /// A group of these members, the first of whom founds it. Its home must have answered before the next step: see [`Self::settle`].
    pub fn found_group(&mut self, owner: Client, id: &str, members: &[String]) {
        let frame = self.encoder.frame(2, |b| {
            let id = Some(b.create_string(id));
            let members: Vec<_> = members.iter().map(|member| b.create_string(member)).collect();
            let members = Some(b.create_vector(&members));
            s::GroupCreate::create(b, &s::GroupCreateArgs { id, title: None, open: true, whole_history: false, members })
        });
        self.all[usize::from(owner.shard)].frame(owner.session, frame, self.now);
    }

    /// A client joins an open group.
    pub fn join(&mut self, client: Client, id: &str) {
        let frame = self.encoder.frame(3, |b| {
            let id = Some(b.create_string(id));
            s::GroupJoin::create(b, &s::GroupJoinArgs { id })
        });
        self.all[usize::from(client.shard)].frame(client.session, frame, self.now);
    }

    /// A client subscribes to a topic.
    pub fn subscribe(&mut self, client: Client, topic: &str) {
        let frame = self.encoder.frame(4, |b| {
            let conversation = Some(conversation(b, Address::Topic(topic)));
            s::Subscribe::create(b, &s::SubscribeArgs { conversation, cursor: None, tags: None })
        });
        self.all[usize::from(client.shard)].frame(client.session, frame, self.now);
    }

    /// A frame of a client.
    pub fn frame(&mut self, client: Client, frame: &[u8]) {
        self.all[usize::from(client.shard)].frame(client.session, frame, self.now);
    }

    /// A turn of each shard, until nobody has anything left to do.
    pub fn settle(&mut self) {
        loop {
            let mut busy = false;
            for shard in &mut self.all {
                if shard.has_work() || shard.has_staged() {
                    shard.turn(self.now);
                    shard.publish();
                    busy = true;
                }
            }
            if !busy {
                return;
            }
        }
    }

    /// Sum over all shards.
    pub fn sum(&self, what: impl Fn(&Counts) -> u64) -> u64 {
        self.all.iter().map(|shard| what(&shard.counts)).sum()
    }

    /// Forgets what was counted.
    pub fn reset(&mut self) {
        for shard in &mut self.all {
            let open = std::mem::take(&mut shard.counts.open);
            shard.counts = Counts { open, ..Counts::default() };
        }
    }
}

impl Shard {
    /// A connection that has come home logs in.
    ///
    /// # Errors
    /// The code to close it with.
    pub fn login(&mut self, connect: &[u8], now: Now) -> Result<(SessionKey, Slot), CloseCode> {
        let frame = read(connect).expect("sound");
        let slot = Slot(self.sessions.len() as u32);
        let session = match self.users.login(slot, credentials(frame)?, frame.ref_(), now, &mut self.fx)? {
            Login::Done(session) => session,
            Login::Waits(_) => unreachable!("lists are in memory"),
        };
        self.sessions.push(session);
        Ok((session, slot))
    }

    /// The newest connection breaks.
    pub fn leave(&mut self, now: Now) {
        let session = self.sessions.pop().expect("somebody is there");
        self.users.closed(session, now, &mut self.fx);
    }

    /// A frame of a session, as it came from its connection: verified, read, decided.
    pub fn frame(&mut self, session: SessionKey, frame: &[u8], now: Now) {
        self.users.frame(session, read(frame).expect("sound"), now, &mut self.fx);
        if self.users.is_short_of_credits() {
            self.take_messages(now);
            self.publish();
        }
    }

    /// What was said in this turn goes to the others.
    pub fn publish(&mut self) {
        self.counts.rung += self.lanes.publish() as u64;
    }

    /// One turn, but for the end of it: what is for others is published with [`Self::publish`], and the kernel has taken all frames.
    pub fn turn(&mut self, now: Now) {
        self.take_messages(now);
        self.users.tick(now);
        self.conversations.tick(now, &mut self.fx);
        self.users.work(self.lanes.event_room(), now, &mut self.fx);
        self.stage();
        self.conversations.work(self.lanes.event_room(), now, &mut self.fx);
        self.run_store(now);
        self.act();
        self.stage();
    }

    /// Whether there is a reason for another turn.
    pub fn has_work(&self) -> bool {
        self.users.has_work() || self.conversations.has_work() || self.lanes.has_incoming()
    }

    /// Whether something was decided between two turns.
    fn has_staged(&self) -> bool {
        !(self.fx.requests.is_empty() && self.fx.events.is_empty() && self.fx.sends.is_empty())
    }

    /// Whether every request has its answer.
    pub fn is_quiet(&self) -> bool {
        self.users.is_quiet()
    }

    fn take_messages(&mut self, now: Now) {
        self.stage();
        loop {
            for from in 0..self.lanes.shards() {
                while let Some(event) = self.lanes.next_event(from) {
                    if event.is_answer() {
                        self.counts.open[usize::from(from)] -= 1;
                    }
                    self.users.event(from, event, &mut self.fx);
                    self.stage();
                }
            }
            self.take_requests(now);
            if !self.lanes.has_own() {
                return;
            }
        }
    }

    fn take_requests(&mut self, now: Now) {
        let shards = self.lanes.shards();
        self.next_from = (self.next_from + 1) % shards;
        let first = self.next_from;
        for from in (0..shards).map(|i| (first + i) % shards) {
            while self.lanes.event_room() >= self.events_per_request {
                let Some(request) = self.lanes.next_request(from) else { break };
                self.take_request(from, request, now);
            }
        }
    }

    fn take_request(&mut self, from: ShardId, request: Request, now: Now) {
        if Users::answers(&request) {
            self.users.request(from, request, now, &mut self.fx);
        } else {
            self.conversations.request(from, request, now, &mut self.fx);
            self.run_store(now);
        }
        self.stage();
    }

    fn run_store(&mut self, now: Now) {
        while !self.fx.commands.is_empty() {
            let mut commands = std::mem::take(&mut self.fx.commands);
            commands.drain(..).for_each(|command| self.memory.execute(command, &mut self.done));
            self.fx.commands = commands;
            let mut done = std::mem::take(&mut self.done);
            done.drain(..).for_each(|outcome| self.conversations.outcome(outcome, now, &mut self.fx));
            self.done = done;
        }
    }

    fn stage(&mut self) {
        let (me, counts) = (self.me, &mut self.counts);
        for (to, request) in self.fx.requests.drain(..) {
            counts.requests += u64::from(to != me);
            let open = &mut counts.open[usize::from(to)];
            *open += 1;
            counts.open_max = counts.open_max.max(*open);
            self.lanes.request(to, request);
        }
        for (to, event) in self.fx.events.drain(..) {
            match event {
                _ if to == me => {}
                ref answer if answer.is_answer() => counts.answers += 1,
                Event::HandedOver(_) => unreachable!("clients come where they belong"),
                _ => counts.news += 1,
            }
            self.lanes.event(to, event);
        }
    }

    /// The kernel takes everything at once.
    fn act(&mut self) {
        let fx = &mut self.fx;
        assert!(fx.closes.is_empty() && fx.logins.is_empty(), "nobody is sent away");
        assert!(fx.errors.is_empty(), "nothing is refused: {:?}", fx.errors);
        self.counts.sends += fx.sends.len() as u64;
        self.counts.deliveries += std::mem::take(&mut fx.deliveries);
        fx.sends.clear();
        fx.messages_in = 0;
        fx.open.seal();
        for slot in std::mem::take(&mut fx.watch_drained) {
            self.users.drained(self.sessions[slot.0 as usize], fx);
        }
    }
}
