//! Login and leaving: who a session belongs to, and what it receives from the start.

use std::collections::BTreeSet;
use std::time::Duration;

use super::loading::Login;
use super::receive::Start;
use super::user::User;
use super::{More, Session, Users};
use crate::clock::Now;
use crate::conversation::{Key, Name};
use crate::effects::Effects;
use crate::few::Few;
use crate::id::{Address, check_id};
use crate::mesh::{Reply, SessionKey};
use crate::ring::Slot;
use crate::wire::schema::{self as s, Body, CloseCode, Connect, ErrorCode, Frame};
use crate::wire::{AddressError, PROTOCOL_VERSION, address};

/// What a first frame claims, once it has been found sound: enough to find the user's home.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// The user.
    pub user: &'a str,
    /// His device.
    pub device: &'a str,
    /// The whole frame.
    pub connect: Connect<'a>,
}

/// Reads the first frame of a connection under the development identity: the token is `dev:<user>`.
///
/// # Errors
/// The code to close with.
pub fn credentials(frame: Frame<'_>) -> Result<Credentials<'_>, CloseCode> {
    if frame.body_type() != Body::Connect {
        return Err(CloseCode::connect_expected);
    }
    let connect = frame.body_as_connect().ok_or(CloseCode::malformed_frame)?;
    if connect.version() != PROTOCOL_VERSION || connect.features() != 0 {
        return Err(CloseCode::version_unsupported);
    }
    let user = connect.token().and_then(|token| token.strip_prefix("dev:")).ok_or(CloseCode::login_failed)?;
    let device = connect.device().ok_or(CloseCode::login_failed)?;
    check_id(user).and(check_id(device)).map_err(|_| CloseCode::login_failed)?;
    Ok(Credentials { user, device, connect })
}

/// What a login brings.
pub(super) struct Arrival {
    pub(super) connection: Slot,
    pub(super) device: Name,
    pub(super) reference: u64,
    pub(super) resume: Vec<(Key, Start)>,
}

impl Users {
    /// Opens a session on a connection that has come to its user's home; or begins to, if his list must be read first.
    ///
    /// # Errors
    /// The code to close the connection with.
    pub fn login(
        &mut self,
        connection: Slot,
        credentials: Credentials<'_>,
        reference: u64,
        now: Now,
        fx: &mut Effects,
    ) -> Result<Login, CloseCode> {
        let Credentials { user: name, device, connect } = credentials;
        let resume = self.resume_list(name, connect)?;
        let user = self.find_or_add_user(name);
        let arrival = Arrival { connection, device: device.into(), reference, resume };
        if !self.users[user].is_loaded {
            return Ok(Login::Waits(self.wait_for_list(user, arrival, fx)));
        }
        self.open(user, arrival, now, fx).map(Login::Done)
    }

    pub(super) fn open(&mut self, user: u32, arrival: Arrival, now: Now, fx: &mut Effects) -> Result<SessionKey, CloseCode> {
        let Arrival { connection, device, reference, resume } = arrival;
        self.make_room_for_device(user, &device, fx)?;
        self.wake(user);
        let session = Session { connection, user, device, outstanding: 0, topics: 0, links: Few::default(), more: None };
        let (index, generation) = self.sessions.insert(session);
        let key = SessionKey { index, generation };
        self.users[user].sessions.push(index);
        self.welcome(key, reference, now, fx);
        self.came(user);
        self.receive_from_start(key, resume, fx);
        Ok(key)
    }

    fn resume_list(&self, user: &str, connect: Connect<'_>) -> Result<Vec<(Key, Start)>, CloseCode> {
        let resume = connect.resume().unwrap_or_default();
        if resume.len() > self.limits.resume_max as usize {
            return Err(CloseCode::login_failed);
        }
        let read = |item: s::Resume<'_>| {
            let address = match address(item.conversation()) {
                Ok(address) => address,
                // A kind of a newer protocol: the rest of the list is no worse for it.
                Err(AddressError::Missing) => return Ok(None),
                Err(AddressError::Id(_)) => return Err(CloseCode::login_failed),
            };
            let filter = self.filter(item.tags()).map_err(|_| CloseCode::login_failed)?;
            let cursor = item.cursor().map(|c| (c.epoch(), c.seq()));
            let listed = matches!(address, Address::Direct(_) | Address::Group(_));
            // Without a cursor, those of the user's list begin where his device stands, named here or not.
            let start = Start { cursor, filter, ..Start::default() };
            Ok((cursor.is_some() || !listed).then(|| (Key::new(user, address), start)))
        };
        let mut list = resume.iter().filter_map(|item| read(item).transpose()).collect::<Result<Vec<_>, _>>()?;
        // What is named twice is received once.
        let mut seen = BTreeSet::new();
        list.retain(|(key, _)| seen.insert(key.clone()));
        Ok(list)
    }

    pub(super) fn find_user(&self, name: &str) -> Option<u32> {
        self.by_name.find(self.slots.hash(name.as_bytes()), |index| &*self.users[index].name == name)
    }

    pub(super) fn find_or_add_user(&mut self, name: &str) -> u32 {
        self.find_user(name).unwrap_or_else(|| {
            let (index, _) = self.users.insert(User::new(Name::from(name), !self.lists_on_disk));
            let (users, slots) = (&self.users, &self.slots);
            let hash_of = |index: u32| slots.hash(users[index].name.as_bytes());
            self.by_name.insert(hash_of(index), index, hash_of);
            index
        })
    }

    /// A device that comes again takes the place of its former session.
    fn make_room_for_device(&mut self, user: u32, device: &str, fx: &mut Effects) -> Result<(), CloseCode> {
        let sessions = &self.users[user].sessions;
        if let Some(former) = sessions.iter().copied().find(|&i| &*self.sessions[i].device == device) {
            let key = self.key_of_index(former);
            self.close(key, CloseCode::replaced, fx);
            self.leave(key, fx);
        } else if sessions.len() >= self.limits.sessions_per_user_max as usize {
            return Err(CloseCode::too_many_sessions);
        }
        Ok(())
    }

    pub(super) fn key_of_index(&self, index: u32) -> SessionKey {
        SessionKey { index, generation: self.sessions.generation(index).expect("the session lives") }
    }

    fn welcome(&mut self, key: SessionKey, reference: u64, now: Now, fx: &mut Effects) {
        let limits = self.limits.clone();
        let id = self.first_session_id ^ (u64::from(self.me) << 48 | u64::from(key.generation) << 24 | u64::from(key.index));
        let name = self.user_of(key).name.clone();
        fx.answer(self.sessions[key.index].connection, reference, |b| {
            let user = Some(b.create_string(&name));
            let server = Some(b.create_string(concat!("campanile ", env!("CARGO_PKG_VERSION"))));
            s::Welcome::create(
                b,
                &s::WelcomeArgs {
                    session: id,
                    user,
                    server_time_ms: now.wall_ms,
                    heartbeat_ms: limits.heartbeat_ms,
                    idle_timeout_ms: limits.idle_timeout_ms,
                    window: limits.window_requests,
                    frame_bytes_max: limits.frame_bytes_max,
                    body_bytes_max: limits.body_bytes_max,
                    page_messages_max: limits.page_messages_max,
                    subscriptions_max: limits.subscriptions_per_session_max,
                    features: 0,
                    server,
                    resume_max: limits.resume_max,
                    dedupe_ms: limits.dedupe_ms,
                },
            )
        });
    }

    /// The connection of a session is gone, or about to be.
    pub fn closed(&mut self, session: SessionKey, now: Now, fx: &mut Effects) {
        if let Some(user) = self.session(session).map(|s| s.user) {
            self.leave(session, fx);
            self.went(user, now);
        }
    }

    fn leave(&mut self, key: SessionKey, fx: &mut Effects) {
        let index = key.index;
        while let Some(link) = self.sessions[index].links.last() {
            let (mirror, place) = (link.mirror, link.place);
            self.unlink(mirror, place, fx);
        }
        let more = self.sessions[index].more.take().unwrap_or_default();
        let More { catch_ups, watching, .. } = *more;
        for catch_up in catch_ups {
            self.abandon(catch_up, fx);
        }
        for name in watching {
            let home = self.slots.home(name.as_bytes());
            self.credits.send(home, crate::mesh::Request::Unwatch { user: name, session: key }, fx);
        }
        if let Some(session) = self.sessions.remove(index) {
            let sessions = &mut self.users[session.user].sessions;
            if let Some(place) = sessions.iter().position(|&i| i == index) {
                sessions.swap_remove(place);
            }
        }
    }

    /// Users whose time of lingering is over are seen to be gone.
    pub fn tick(&mut self, now: Now) {
        while let Some(&(due, user, generation, absences)) = self.lingering.front() {
            if due > now.mono_ms {
                break;
            }
            self.lingering.pop_front();
            let has_not_come_back = |u: &User| u.sessions.is_empty() && u.absences == absences;
            if self.users.generation(user) == Some(generation) && has_not_come_back(&self.users[user]) {
                self.went_away(user);
                self.rest(user, now);
            }
        }
        self.forget_resting(now);
    }

    /// How long until [`Self::tick`] or [`Self::work`] has something to do.
    pub fn next_tick(&self, now: Now) -> Option<Duration> {
        let gone_at_ms = self.lingering.front().map(|&(due, ..)| due);
        // Those who rest wait for the store, or for the next turn.
        let forget_at_ms = self.has_too_many_resting().then_some(now.mono_ms + 1);
        let times = [gone_at_ms, forget_at_ms, self.waits_until_ms()];
        times.into_iter().flatten().min().map(|at_ms| Duration::from_millis(at_ms.saturating_sub(now.mono_ms)))
    }

    fn went(&mut self, user: u32, now: Now) {
        self.users[user].last_seen_ms = now.wall_ms;
        if self.users[user].sessions.is_empty()
            && let Some(generation) = self.users.generation(user)
        {
            let gone_at_ms = now.mono_ms + u64::from(self.limits.presence_linger_ms);
            let absences = self.users[user].absences.wrapping_add(1);
            self.users[user].absences = absences;
            self.lingering.push_back((gone_at_ms, user, generation, absences));
        }
    }

    /// Forgets a user of whom nothing is left.
    pub(super) fn forget_if_empty(&mut self, user: u32, now: Now) {
        if self.users[user].is_forgettable(now.mono_ms) {
            let hash = self.slots.hash(self.users[user].name.as_bytes());
            self.by_name.remove(hash, user);
            self.users.remove(user);
        }
    }

    pub(super) fn log_out_device(&mut self, reply: Reply, body: s::LogOutDevice<'_>, fx: &mut Effects) -> super::Outcome {
        let device = super::check_id("device", body.device())?;
        let sessions = &self.user_of(reply.session).sessions;
        let index = sessions.iter().copied().find(|&i| &*self.sessions[i].device == device).ok_or(ErrorCode::unknown_device)?;
        let key = self.key_of_index(index);
        self.say_done(reply, fx);
        self.close(key, CloseCode::logged_out, fx);
        Ok(())
    }
}
