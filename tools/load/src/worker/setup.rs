//! Before the run: connecting, logging in, the group. Only so much at once, so that the server is measured and not stormed.

use campanile::ring::{Ring, Slot};
use campanile::wire::PROTOCOL_VERSION;
use campanile::wire::schema::{Connect, ConnectArgs, GroupCreate, GroupCreateArgs, GroupJoin, GroupJoinArgs, Welcome};

use super::connection::State;
use super::traffic::{attached, resume};
use super::{Worker, socket};
use crate::account::Publisher;
use crate::dress::{Answer, Dress};
use crate::error::Failure;
use crate::scenario::Role;
use crate::stage::Step;

/// The `ref` of requests before the run; those of publishes are far above.
pub(super) const SETUP_REF: u64 = 1;
/// Connections that one turn makes, so that what is received meanwhile does not wait for long.
const MADE_PER_TURN: usize = 16;
/// Pause before an attempt is repeated where the server did not say how long.
pub(super) const PAUSE_NS: u64 = 100_000_000;

impl Worker<'_> {
    /// Makes the next connections, as far as the conductor and the bound allow.
    pub(super) fn log_in(&mut self, ring: &mut Ring) {
        self.make_again();
        for _ in 0..MADE_PER_TURN {
            let Some(local) = self.to_make.front().copied().filter(|_| self.may_make()) else { return };
            self.to_make.pop_front();
            if let Err(cause) = self.make(ring, local)
                && !self.comes_back_later(local)
            {
                self.failure = Some(Failure::Connect { target: self.crew.target.address, cause });
                return;
            }
        }
    }

    /// Whether there is one to be made, and it may be now.
    pub(super) fn may_make(&self) -> bool {
        let until = self.crew.stage.log_in_until();
        let is_allowed = |local: &u32| self.connections[*local as usize].index < until;
        let settings = &self.crew.settings;
        let at_once = if self.crew.stage.step() < Step::Run { settings.logins_per_worker } else { settings.returns_per_worker };
        self.under_way < at_once && self.to_make.front().is_some_and(is_allowed)
    }

    fn make(&mut self, ring: &mut Ring, local: u32) -> std::io::Result<()> {
        let crew = self.crew;
        let connection = &mut self.connections[local as usize];
        let (settings, target) = (&crew.settings, crew.target.address);
        let source = socket::source(target, &settings.sources, crew.plan.run, connection.index, settings.per_address);
        let comes_back = connection.attendance.as_ref().is_some_and(|attendance| attendance.absence.is_some());
        // Others go on meanwhile, and do not wait for one that comes back.
        let socket = if comes_back { socket::begin_to_connect(target, source) } else { socket::connect(target, source) };
        ring.adopt(Slot(local), socket?)?;
        ring.receive(Slot(local));
        connection.receiving = true;
        connection.said_goodbye = false;
        if connection.begun_ns == 0 {
            connection.begun_ns = crew.stage.now_ns();
        }
        self.under_way += 1;
        match crew.target.request(crew.key_seed(connection.index)) {
            Some(request) => {
                connection.state = State::Upgrading;
                self.outgoing.request(connection, local, &request);
            }
            None => self.introduce(local),
        }
        Ok(())
    }

    /// Reads the answer to the request for a WebSocket, and gives its length once it is the right one.
    pub(super) fn take_answer(&mut self, local: u32, bytes: &[u8]) -> Option<usize> {
        let connection = &mut self.connections[local as usize];
        match self.crew.target.answer(bytes, self.crew.key_seed(connection.index)) {
            Answer::More => return None,
            Answer::Upgraded(length) => {
                self.introduce(local);
                return Some(length);
            }
            // The server closes; that it did so during a login is followed by another attempt.
            Answer::Later => connection.again_ns = Some(self.crew.stage.now_ns() + PAUSE_NS),
            Answer::Refused(answer) => self.failure = Some(Failure::Refused { request: "a WebSocket", answer }),
        }
        None
    }

    /// Sends Connect.
    fn introduce(&mut self, local: u32) {
        let crew = self.crew;
        if let Dress::Peer(peer) = crew.target.dress {
            return self.greet(local, peer);
        }
        let connection = &mut self.connections[local as usize];
        connection.state = State::LoggingIn;
        let index = connection.index;
        let token = format!("dev:{}", crew.plan.user(index));
        let mut attendance = connection.attendance.take();
        self.outgoing.frame(connection, local, SETUP_REF, |b| {
            let resume = match &mut attendance {
                Some(attendance) => resume(&crew.plan, index, attendance, &mut self.name, b),
                None => attached(&crew.plan, index, &mut self.name, b),
            };
            let (token, device) = (Some(b.create_string(&token)), Some(b.create_string("load")));
            Connect::create(b, &ConnectArgs { version: PROTOCOL_VERSION, token, device, resume, ..Default::default() })
        });
        connection.attendance = attendance;
    }

    /// Moves connections whose pause is over to those that are to be made.
    fn make_again(&mut self) {
        if self.again.is_empty() {
            return;
        }
        let now = self.crew.stage.now_ns();
        let (connections, to_make) = (&mut self.connections, &mut self.to_make);
        self.again.retain(|local| {
            let connection = &mut connections[*local as usize];
            let due = connection.state == State::None && connection.again_ns.is_none_or(|at| at <= now);
            if due {
                connection.again_ns = None;
                to_make.push_front(*local);
            }
            !due
        });
    }

    /// Welcome came.
    pub(super) fn welcome(&mut self, local: u32, welcome: Welcome<'_>) {
        self.welcomed(local, welcome.window(), u64::from(welcome.heartbeat_ms().max(1_000)));
    }

    /// The server knows who it is. `window`: most publishes without an answer.
    pub(super) fn welcomed(&mut self, local: u32, window: u32, heartbeat_ms: u64) {
        let connection = &mut self.connections[local as usize];
        if connection.state != State::LoggingIn {
            self.tally.unexpected += 1;
            return;
        }
        connection.state = State::Ready;
        // Of those who take part in traffic most only listen, and need no books for what they say.
        if connection.attendance.as_ref().map_or(self.crew.plan.publishes(connection.index), |attendance| attendance.speaks) {
            let new = || Box::new(Publisher::new(self.crew.settings.pace, window));
            connection.publisher.get_or_insert_with(new).connected(window);
            self.tally.window(window);
        }
        self.heartbeat_ms = self.heartbeat_ms.min(heartbeat_ms);
        self.under_way -= 1;
        self.logged_in += 1;
    }

    /// The owner asks for the group, once.
    pub(super) fn create(&mut self) {
        let Some(local) = self.connections.iter().position(|c| c.role == Role::Owner && c.state == State::Ready) else { return };
        let id = self.crew.plan.group_id();
        let connection = &mut self.connections[local];
        connection.state = State::Asking;
        if let Dress::Peer(_) = self.crew.target.dress {
            // A group is there when somebody listens to it.
            return self.group_created(local as u32);
        }
        self.outgoing.frame(connection, local as u32, SETUP_REF, |b| {
            let id = Some(b.create_string(&id));
            GroupCreate::create(b, &GroupCreateArgs { id, open: true, ..Default::default() })
        });
    }

    /// The next members ask to join.
    pub(super) fn join(&mut self) {
        self.join_again();
        let id = self.crew.plan.group_id();
        while self.under_way < self.crew.settings.logins_per_worker {
            let Some(local) = self.to_join.pop_front() else { return };
            let connection = &mut self.connections[local as usize];
            if connection.state != State::Ready {
                continue;
            }
            connection.state = State::Asking;
            self.under_way += 1;
            if let Dress::Peer(peer) = self.crew.target.dress {
                self.outgoing.words(connection, local, |out| peer.join(&id, out));
                self.ping_peer(local, peer);
                continue;
            }
            self.outgoing.frame(connection, local, SETUP_REF, |b| {
                let id = Some(b.create_string(&id));
                GroupJoin::create(b, &GroupJoinArgs { id })
            });
        }
    }

    fn join_again(&mut self) {
        if self.again.is_empty() {
            return;
        }
        let now = self.crew.stage.now_ns();
        let (connections, to_join) = (&mut self.connections, &mut self.to_join);
        self.again.retain(|local| {
            let due = connections[*local as usize].again_ns.is_none_or(|at| at <= now);
            if due {
                to_join.push_front(*local);
            }
            !due
        });
    }

    /// GroupCreated came.
    pub(super) fn group_created(&mut self, local: u32) {
        self.connections[local as usize].state = State::Done;
        self.created += 1;
    }

    /// An ack came that is not for a publish.
    pub(super) fn joined(&mut self, local: u32) {
        let connection = &mut self.connections[local as usize];
        if connection.role != Role::Member || connection.state != State::Asking {
            self.tally.unexpected += 1;
            return;
        }
        connection.state = State::Done;
        self.under_way -= 1;
        self.joined += 1;
    }

    /// A request before the run was refused: again later, or the end.
    pub(super) fn setup_refused(&mut self, local: u32, again_ns: Option<u64>, answer: String) {
        let connection = &mut self.connections[local as usize];
        match (connection.state, connection.role, again_ns) {
            (State::Asking, Role::Member, Some(at)) => {
                connection.state = State::Ready;
                connection.again_ns = Some(at);
                self.again.push(local);
                self.under_way -= 1;
            }
            // `create` asks again in the next turn that finds the owner ready.
            (State::Asking, Role::Owner, Some(_)) => connection.state = State::Ready,
            (State::Asking, Role::Owner, None) => self.failure = Some(Failure::Refused { request: "GroupCreate", answer }),
            (State::Asking, _, None) => self.failure = Some(Failure::Refused { request: "GroupJoin", answer }),
            (State::LoggingIn, ..) => self.failure = Some(Failure::Refused { request: "Connect", answer }),
            _ => self.tally.unexpected += 1,
        }
    }

    /// A connection has ended. During its login it is made again; later that is a loss.
    pub(super) fn ended_in(&mut self, local: u32, before: State) {
        if self.is_away(local, before) {
            return;
        }
        let connection = &mut self.connections[local as usize];
        if matches!(before, State::Upgrading | State::LoggingIn) {
            self.under_way -= 1;
            let at = connection.again_ns.unwrap_or(self.crew.stage.now_ns() + PAUSE_NS);
            connection.again_ns = Some(at);
            self.again.push(local);
            return;
        }
        if before == State::Asking && connection.role == Role::Member {
            self.under_way -= 1;
        }
        connection.publisher = None;
        self.tally.disconnects += 1;
        self.end_reading(local, None);
    }

    /// The slot is free; a login that failed may use it again.
    pub(super) fn closed(&mut self, local: u32) {
        if self.may_come_back(local) {
            return;
        }
        let connection = &mut self.connections[local as usize];
        if connection.again_ns.is_some() && connection.publisher.is_none() && self.again.contains(&local) {
            connection.state = State::None;
        }
    }
}
