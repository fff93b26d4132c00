//! The home of users: their sessions, what each session receives, their list of conversations, presence and rates.
//!
//! [`Users`] decides and does nothing: frames of sessions, events of other homes and the time go in, effects come out. A subject is a file, in the
//! order of a message's way: [`login`] ([`loading`], [`start`]), [`publish`] (and [`hints`] before a first message), [`receive`] (subscribe, attach),
//! [`catch_up`] (the backlog), [`fan_out`], [`mirror`] and [`merge`] (live), then [`groups`], [`lists`], [`receipts`], [`presence`]; a user is [`user`] with his
//! [`list`], until he goes ([`resting`]).

mod catch_up;
mod changes;
mod credits;
mod cursors;
#[cfg(test)]
mod durable;
mod fan_out;
pub mod frames;
mod groups;
mod hints;
mod list;
mod lists;
mod loading;
mod login;
mod merge;
#[cfg(test)]
mod merging;
mod mirror;
#[cfg(test)]
mod passing;
mod presence;
mod publish;
mod receipts;
mod receive;
mod resting;
#[cfg(test)]
mod simulation;
mod start;
#[cfg(test)]
mod stored;
#[cfg(test)]
mod tests;
mod user;
#[cfg(test)]
mod world;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU64;
use std::sync::Arc;

pub use loading::{LoggedIn, Login, LoginKey};
pub use login::{Credentials, credentials};

use crate::clock::Now;
use crate::conversation::{Key, Kind, Name, Policies};
use crate::effects::Effects;
use crate::few::Few;
use crate::id::Address;
use crate::limits::Limits;
use crate::mesh::{Event, Refusal, Reply, Request, SessionKey};
use crate::rate::Rate;
use crate::ring::Slot;
use crate::slab::{Index, Slab};
use crate::slot::{ShardId, Slots};
use crate::wire::schema::{self as s, Body, CloseCode, ErrorCode, Frame};
use crate::wire::{self, AddressError};
use changes::OpenChange;
use credits::Credits;
use lists::Gather;
use loading::WaitingLogin;
use mirror::Mirror;
use user::User;

/// All users whose home is this shard, and their sessions.
pub struct Users {
    me: ShardId,
    slots: Slots,
    limits: Arc<Limits>,
    policies: Policies,
    /// The conversations of a user that are on disk stand in a list that is on disk.
    lists_on_disk: bool,
    /// The first place in a list that is given here.
    first_number: u32,
    publish_rate: Option<Rate>,
    sessions: Slab<Session>,
    users: Slab<User>,
    by_name: Index,
    mirrors: Slab<Mirror>,
    by_key: Index,
    /// Mirrors with a fan-out that is not finished, oldest first.
    fanning_out: VecDeque<u32>,
    /// Mirrors in which records wait for more, and until when; also of some that have gone since or wait no longer.
    waiting: BTreeSet<(u64, u32)>,
    gathers: Slab<Gather>,
    /// Changes of groups on disk that were asked for here and are not through.
    changes: Slab<OpenChange>,
    /// How often a user here was hinted that he would be a member of a group on disk, and it is not known yet whether he is.
    expected: BTreeMap<(Key, Name), u32>,
    credits: Credits,
    /// Logins that wait for their user's list.
    logins: Slab<WaitingLogin>,
    /// Users whose list is to be read, oldest first.
    to_load: VecDeque<u32>,
    /// Lists that are being read.
    loads: usize,
    /// Sessions that have not seen all of their user's list and may go on, oldest first.
    starting: VecDeque<SessionKey>,
    /// Cursors that have moved and are to be written: of which user, in which conversation.
    to_write: VecDeque<(u32, Key)>,
    /// Those, and the writes of cursors that are on their way.
    writes: u32,
    /// Entries that are being struck from lists on disk.
    strikes: u32,
    /// Users without sessions whose list is on disk as well, by the time at which they came to rest.
    resting: BTreeMap<NonZeroU64, u32>,
    /// How many ever came to rest.
    rested: NonZeroU64,
    /// When users whose last session left will be seen to be gone, who (index and generation), and their how manieth absence it is: in the order of
    /// time, since all wait equally long.
    lingering: VecDeque<(u64, u32, u32, u32)>,
    /// News for other shards that wait for room in their lanes.
    news: VecDeque<(ShardId, Event)>,
    is_stopping: bool,
    first_session_id: u64,
}

/// One device of a user that is connected. Most of them idle: what is rare stands in a box.
struct Session {
    connection: Slot,
    user: u32,
    device: Name,
    /// Requests that are not answered yet.
    outstanding: u32,
    topics: u32,
    /// What it receives live: its places in the mirrors.
    links: Few<fan_out::Link>,
    more: Option<Box<More>>,
}

const _: () = assert!(size_of::<Session>() <= 56 && size_of::<User>() <= 80, "a million users have a million of these");

#[derive(Default)]
struct More {
    /// It has not seen all of its user's list.
    starting: Option<Box<start::Starting>>,
    /// Conversations on their way to being received live.
    catch_ups: Vec<catch_up::CatchUp>,
    /// The backlog waits until what was sent is read.
    awaits_drain: bool,
    /// Ephemeral events that it did not get since it was last told.
    ephemeral_dropped: u32,
    /// Places (epoch, seq) that it has acks for and will meet in its backlog.
    acked: Vec<(u64, u64)>,
    watching: Vec<Name>,
}

impl More {
    fn is_needed(&self) -> bool {
        let receives = self.starting.is_some() || !self.catch_ups.is_empty();
        receives || self.awaits_drain || self.ephemeral_dropped > 0 || !self.watching.is_empty()
    }
}

/// A verb that failed, before or at its home.
type Outcome = Result<(), Failure>;

/// Why, and a sentence for people.
pub(crate) struct Failure {
    refusal: Refusal,
    message: String,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        Failure { refusal, message: sentence(refusal.code).to_owned() }
    }
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Failure {
        Refusal::new(code).into()
    }
}

fn bad_request(message: impl Into<String>) -> Failure {
    Failure { refusal: Refusal::new(ErrorCode::bad_request), message: message.into() }
}

fn invalid_id(field: &str, error: crate::id::IdError) -> Failure {
    Failure { refusal: Refusal::new(ErrorCode::invalid_id), message: format!("{field}: {error}") }
}

fn check_id<'a>(field: &str, text: Option<&'a str>) -> Result<&'a str, Failure> {
    let text = text.ok_or_else(|| bad_request(format!("{field} is missing")))?;
    crate::id::check_id(text).map_err(|e| invalid_id(field, e))
}

fn address(conversation: Option<s::Conversation<'_>>) -> Result<Address<'_>, Failure> {
    wire::address(conversation).map_err(|error| match error {
        AddressError::Missing => bad_request("conversation is missing or of an unknown kind"),
        AddressError::Id(e) => invalid_id("conversation.id", e),
    })
}

impl Users {
    /// Nobody yet. `seed` makes the ids of sessions, and of groups that the server names, differ from those of an earlier run.
    pub fn new(me: ShardId, slots: Slots, limits: Arc<Limits>, policies: Policies, seed: u64) -> Users {
        let lists_on_disk = policies.is_on_disk(Kind::Direct) || policies.is_on_disk(Kind::Group);
        Users {
            me,
            slots,
            lists_on_disk,
            first_number: if lists_on_disk { list::FIRST_IN_MEMORY } else { 1 },
            publish_rate: Rate::new(limits.publish_rate_per_user, limits.publish_burst_per_user),
            sessions: Slab::default(),
            users: Slab::default(),
            by_name: Index::default(),
            mirrors: Slab::default(),
            by_key: Index::default(),
            fanning_out: VecDeque::new(),
            waiting: BTreeSet::new(),
            gathers: Slab::default(),
            changes: Slab::default(),
            expected: BTreeMap::new(),
            logins: Slab::default(),
            to_load: VecDeque::new(),
            loads: 0,
            starting: VecDeque::new(),
            to_write: VecDeque::new(),
            writes: 0,
            strikes: 0,
            resting: BTreeMap::new(),
            rested: NonZeroU64::MIN,
            credits: Credits::new(slots.shards(), limits.lane_places(slots.shards().into())),
            lingering: VecDeque::new(),
            news: VecDeque::new(),
            is_stopping: false,
            first_session_id: seed,
            limits,
            policies,
        }
    }

    /// Sessions, users and mirrors that there are.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.sessions.len(), self.users.len(), self.mirrors.len())
    }

    /// Who a session belongs to.
    pub fn user_name(&self, session: SessionKey) -> Option<&str> {
        let is_it = self.sessions.generation(session.index) == Some(session.generation);
        is_it.then(|| &*self.user_of(session).name)
    }

    /// A frame of a session that is logged in.
    pub fn frame(&mut self, session: SessionKey, frame: Frame<'_>, now: Now, fx: &mut Effects) {
        let reply = Reply { session, reference: frame.ref_() };
        if self.session(session).is_none() {
            // It was replaced a moment ago; its connection does not know yet.
            return;
        }
        if let Err(failure) = self.verb(reply, frame, now, fx) {
            self.fail(reply, &failure, fx);
        }
    }

    /// A heartbeat of a session that is logged in: see [`wire::ping`].
    pub fn ping(&mut self, session: SessionKey, reference: u64, now: Now, fx: &mut Effects) {
        if self.session(session).is_some() {
            self.pong(Reply { session, reference }, now, fx);
        }
    }

    fn verb(&mut self, reply: Reply, frame: Frame<'_>, now: Now, fx: &mut Effects) -> Outcome {
        macro_rules! body {
            ($as:ident) => {
                frame.$as().ok_or_else(|| bad_request("the body is missing"))?
            };
        }
        match frame.body_type() {
            Body::Ping => self.pong(reply, now, fx),
            Body::Pong => {}
            Body::Connect => self.close(reply.session, CloseCode::already_connected, fx),
            Body::Publish => self.publish(reply, body!(body_as_publish), now, fx)?,
            Body::Subscribe => self.subscribe(reply, body!(body_as_subscribe), fx)?,
            Body::Unsubscribe => self.unsubscribe(reply, body!(body_as_unsubscribe), fx)?,
            Body::Sync => self.sync(reply, body!(body_as_sync), fx)?,
            Body::GroupCreate => self.group_create(reply, body!(body_as_group_create), fx)?,
            Body::GroupTitle => self.group_title(reply, body!(body_as_group_title), fx)?,
            Body::GroupAdd => self.group_add(reply, body!(body_as_group_add), fx)?,
            Body::GroupRemove => self.group_remove(reply, body!(body_as_group_remove), fx)?,
            Body::GroupJoin => self.group_join(reply, body!(body_as_group_join), fx)?,
            Body::GroupLeave => self.group_leave(reply, body!(body_as_group_leave), fx)?,
            Body::GroupSetRole => self.group_set_role(reply, body!(body_as_group_set_role), fx)?,
            Body::GroupDisband => self.group_disband(reply, body!(body_as_group_disband), fx)?,
            Body::Members => self.members(reply, body!(body_as_members), fx)?,
            Body::Conversations => self.conversations(reply, body!(body_as_conversations), fx)?,
            Body::Receipt => self.receipt(reply, body!(body_as_receipt), fx)?,
            Body::PresenceQuery => self.presence_query(reply, body!(body_as_presence_query), fx)?,
            Body::PresenceWatch => self.presence_watch(reply, body!(body_as_presence_watch), fx)?,
            Body::PresenceUnwatch => self.presence_unwatch(reply, body!(body_as_presence_unwatch), fx)?,
            Body::Ephemeral => self.ephemeral(reply, body!(body_as_ephemeral), fx)?,
            Body::Retract => self.retract(reply, body!(body_as_retract), now, fx)?,
            Body::LogOutDevice => self.log_out_device(reply, body!(body_as_log_out_device), fx)?,
            _ => return Err(ErrorCode::unknown_verb.into()),
        }
        Ok(())
    }

    /// What another home says, or this one to itself.
    pub fn event(&mut self, from: ShardId, event: Event, fx: &mut Effects) {
        if event.is_answer() {
            self.credits.give_back(from, fx);
        }
        match event {
            Event::Placed { reply, result } => self.placed(reply, result, fx),
            Event::Changed { key, reply, created, result } => self.changed(&key, reply, created, result, fx),
            Event::Attached { key, session, result } => self.attached(key, session, result, fx),
            Event::Page { key, purpose, cursor, result } => self.page(key, purpose, cursor, result, fx),
            Event::Members { key, reply, result } => self.members_listed(&key, reply, result, fx),
            Event::Described { part, description } => self.described(part, description, fx),
            Event::Done { reply, result } => self.done(reply, result, fx),
            Event::Noted { key, reply, kind, cursor, result } => self.noted(&key, reply, kind, cursor, result, fx),
            Event::Receivers { key, part, result } => self.receivers_known(&key, part, result, fx),
            Event::Counted { part, sessions } => self.counted(part, sessions, fx),
            Event::Hinted { key, then, result } => self.hinted(key, then, result, fx),
            Event::PresenceIs { part, online, last_seen_ms } => self.presence_is(part, online, last_seen_ms, fx),
            Event::Detached | Event::Unwatched => {}
            Event::Delivered { key, record, publisher } => self.delivered(key, record, publisher, fx),
            Event::MemberAdded { key, user, place, publisher } => self.member_added(&key, &user, place, publisher, fx),
            Event::NotAdded { key, user } => self.not_expected(&key, &user),
            Event::Receipted { key, user, kind, cursor, origin } => self.receipted(&key, &user, kind, cursor, origin, fx),
            Event::Ephemeral { key, sender, name, body } => self.ephemeral_event(&key, &sender, &name, &body, fx),
            Event::PresenceChanged { session, user, online, last_seen_ms } => {
                self.presence_changed(session, &user, online, last_seen_ms, fx);
            }
            Event::HandedOver(_) => unreachable!("connections are taken over by the shard"),
        }
    }

    /// A request to this shard as the home of users. [`crate::conversation::Conversations`] takes the others.
    pub fn request(&mut self, from: ShardId, request: Request, now: Now, fx: &mut Effects) {
        match request {
            Request::Hint { user, key, then } => self.hint(from, user, key, then, fx),
            Request::Presence { user, asker, shared, watch, part } => {
                self.presence(from, &user, asker, &shared, watch, part, fx);
            }
            Request::Unwatch { user, session } => self.unwatch(from, &user, session, now, fx),
            Request::CountReceivers { key, part } => self.count_receivers(from, &key, part, fx),
            _ => unreachable!("this request goes to the home of conversations"),
        }
    }

    /// The store did something for this shard as the home of users: see [`crate::store::Outcome::is_for_users`]. Needs room for one event in every lane.
    pub fn outcome(&mut self, outcome: crate::store::Outcome, now: Now, fx: &mut Effects) {
        use crate::store::Outcome as Stored;
        match outcome {
            Stored::Entries { index, generation, entries } => self.entries_loaded(index, generation, entries),
            Stored::UserLoaded { index, generation, result } => self.user_loaded(index, generation, result, now, fx),
            Stored::Hinted { hint, result } => self.hint_stored(*hint, result, fx),
            Stored::Struck => self.strikes -= 1,
            Stored::CursorsPut { put, result } => self.cursors_put(*put, result, fx),
            _ => unreachable!("this outcome goes to the home of conversations"),
        }
    }

    /// Goes on with what was cut into slices, as far as one turn should. `room`: events that fit into every lane.
    pub fn work(&mut self, room: usize, now: Now, fx: &mut Effects) {
        self.fan_out(now, fx);
        self.start_sessions(fx);
        self.write_cursors(fx);
        let news = self.news.len().min(room);
        fx.events.extend(self.news.drain(..news));
    }

    /// Whether [`Self::work`] has more to do.
    pub fn has_work(&self) -> bool {
        let must_not_wait = self.is_stopping && !self.waiting.is_empty();
        let goes_on = !self.fanning_out.is_empty() || !self.starting.is_empty();
        goes_on || must_not_wait || !self.to_write.is_empty() || !self.news.is_empty()
    }

    /// From now on nothing is published. What was is still delivered.
    pub fn stop_publishing(&mut self) {
        self.is_stopping = true;
    }

    /// Whether it is time to look for answers, lest clients be told `busy` for no better reason than a long turn.
    pub fn is_short_of_credits(&mut self) -> bool {
        self.credits.take_shortage()
    }

    /// Whether every request that left here has been answered, and every receipt that was taken is stored.
    pub fn is_quiet(&self) -> bool {
        self.credits.are_all_home() && self.writes == 0 && !self.has_work()
    }

    // ---- what all verbs share

    /// Which requests this shard, and not the home of conversations, answers.
    pub fn answers(request: &Request) -> bool {
        matches!(
            request,
            Request::Hint { .. } | Request::Presence { .. } | Request::Unwatch { .. } | Request::CountReceivers { .. }
        )
    }

    fn session(&mut self, key: SessionKey) -> Option<&mut Session> {
        if self.sessions.generation(key.index) != Some(key.generation) {
            return None;
        }
        self.sessions.get_mut(key.index)
    }

    fn user_of(&self, session: SessionKey) -> &User {
        &self.users[self.sessions[session.index].user]
    }

    /// As many users as there may be without a session.
    fn is_full(&self) -> bool {
        self.users.len() >= self.limits.conversations_per_shard_max as usize
    }

    /// What a session needs rarely goes when it is not needed any more.
    fn tidy(&mut self, session: SessionKey) {
        let Some(session) = self.session(session) else { return };
        if session.more.as_ref().is_some_and(|more| !more.is_needed()) {
            session.more = None;
        }
    }

    fn key_of(&self, session: SessionKey, address: Address<'_>) -> Key {
        Key::new(&self.user_of(session).name, address)
    }

    fn home_of(&self, key: &Key) -> ShardId {
        self.slots.home(key.bytes())
    }

    /// Asks a home on behalf of a session: one more of its requests is outstanding.
    fn ask(&mut self, session: SessionKey, to: ShardId, request: Request, fx: &mut Effects) -> Outcome {
        self.has_window(session)?;
        self.credits.spend(to).ok_or_else(Refusal::busy)?;
        self.sessions[session.index].outstanding += 1;
        fx.requests.push((to, request));
        Ok(())
    }

    fn has_window(&self, session: SessionKey) -> Outcome {
        if self.sessions[session.index].outstanding >= self.limits.window_requests {
            return Err(Failure {
                refusal: Refusal::busy(),
                message: "more requests are outstanding than the window of welcome".to_owned(),
            });
        }
        Ok(())
    }

    /// An answer came: gives where to send it, if the session is still there.
    fn answered(&mut self, reply: Reply) -> Option<Slot> {
        let session = self.session(reply.session)?;
        session.outstanding -= 1;
        Some(session.connection)
    }

    fn fail(&mut self, reply: Reply, failure: &Failure, fx: &mut Effects) {
        if let Some(connection) = self.session(reply.session).map(|session| session.connection) {
            fx.error(connection, reply.reference, failure.refusal, &failure.message);
        }
    }

    fn refuse(&mut self, reply: Reply, refusal: Refusal, fx: &mut Effects) {
        self.fail(reply, &refusal.into(), fx);
    }

    /// The answer where there is nothing to say; none at all if none is wanted.
    fn say_done(&mut self, reply: Reply, fx: &mut Effects) {
        if reply.reference != 0
            && let Some(connection) = self.session(reply.session).map(|session| session.connection)
        {
            fx.answer(connection, reply.reference, |b| s::Done::create(b, &s::DoneArgs {}));
        }
    }

    fn done(&mut self, reply: Reply, result: Result<(), Refusal>, fx: &mut Effects) {
        if self.answered(reply).is_some() {
            match result {
                Ok(()) => self.say_done(reply, fx),
                Err(refusal) => self.refuse(reply, refusal, fx),
            }
        }
    }

    fn pong(&mut self, reply: Reply, now: Now, fx: &mut Effects) {
        let connection = self.sessions[reply.session.index].connection;
        fx.pong(connection, reply.reference, now.wall_ms);
    }

    /// Says goodbye to a session; the connection reports back with [`Self::closed`].
    fn close(&mut self, session: SessionKey, code: CloseCode, fx: &mut Effects) {
        let after_ms = if code == CloseCode::overloaded { loading::RECONNECT_MS } else { 0 };
        let Some(Session { connection, links, .. }) = self.session(session) else { return };
        let (connection, links) = (*connection, links.clone());
        links.iter().for_each(|&link| self.flush_to(session, link, fx));
        fx.closes.push((connection, code, after_ms));
    }
}

/// One sentence for each code, where the verb has nothing better to say.
fn sentence(code: ErrorCode) -> &'static str {
    use ErrorCode as E;
    match code {
        E::unknown_verb => "this frame is not known here, or only servers send it",
        E::body_too_large => "the body is longer than welcome allows",
        E::unknown_conversation => "there is no such conversation, or you are not a member",
        E::not_permitted => "your role does not allow this",
        E::already_exists => "a group of this id exists",
        E::already_member => "he is a member already",
        E::not_a_member => "he is not a member",
        E::last_owner => "the last owner cannot go; make somebody else an owner, or disband the group",
        E::too_many_subscriptions => "this session has as many subscriptions as it may",
        E::too_many_members => "the group has as many members as it may",
        E::too_many_conversations => "the user has as many conversations as he may",
        E::too_many_items => "the list is longer than allowed",
        E::unknown_device => "none of your sessions is on this device",
        E::sender_mismatch => "the sender is not the user of this session",
        E::busy => "no room just now; send it again after retry_after_ms",
        E::rate_limited => "you publish faster than you may; send it again after retry_after_ms",
        E::not_stored => "it could not be stored, and nobody got it; send it again after retry_after_ms",
        E::disk_full => "the server's disk is nearly full; send it again after retry_after_ms",
        E::shutting_down => "the server is stopping",
        E::bad_request => "the request makes no sense",
        _ => "it failed",
    }
}
