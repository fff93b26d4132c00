//! One connection: its phase, its partial frame, its outbox, its deadlines. It decides; the shard's loop acts.

use super::{Dress, Outbox};
use crate::clock::{Moment, Now};
use crate::limits::Limits;
use crate::mesh::SessionKey;
use crate::session::LoginKey;
use crate::slot::ShardId;
use crate::wire::schema::{CloseCode, Frame};
use crate::wire::{Split, read, split};
use crate::ws::Incoming;

/// How long a peer that was told to go may take to read that and go.
const GOODBYE_MS: u64 = 1000;
/// The same for one that reads slowly: the farewell is behind what it has not read.
const SLOW_GOODBYE_MS: u64 = 5000;

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Accepted; its first frame has not come. Nothing is armed but a receive for one buffer.
    Login {
        /// When it must have logged in.
        deadline: Moment,
    },
    /// On its way to another ring's table, as soon as nothing is being sent any more.
    Moving {
        /// The user's home.
        to: ShardId,
        /// See [`Phase::Login`].
        deadline: Moment,
    },
    /// At its user's home, where his list is being read. Nothing is armed, so that nothing is received that nobody could look at.
    Loading {
        /// What [`crate::session::Users`] calls it.
        login: LoginKey,
        /// See [`Phase::Login`].
        deadline: Moment,
    },
    /// Logged in.
    Active {
        /// Whose it is.
        session: SessionKey,
    },
    /// Told to go away; what it sends is thrown away until it goes.
    Goodbye {
        /// Then it is closed without more ado.
        deadline: Moment,
    },
    /// Shut down; waits for the kernel's last completion.
    Closing,
    /// The slot is being freed; nothing else is in flight.
    Closed,
}

/// What a shard keeps for a socket: a line of the processor's cache.
#[derive(Debug)]
#[repr(align(64))]
pub struct Connection {
    /// Where it is in its life.
    pub phase: Phase,
    /// What it speaks.
    pub dress: Dress,
    /// What waits to be sent.
    pub outbox: Outbox,
    /// The beginning of a frame that is not whole yet.
    partial: Option<Box<Partial>>,
    /// When something was last heard from the peer.
    heard: Moment,
    /// When the send in flight was submitted.
    send_began: Moment,
    /// Tells this use of the slot from earlier ones, for timers.
    pub stamp: u32,
    /// A receive is armed.
    pub receiving: bool,
    /// Shut-downs and questions that the kernel has not answered.
    pub asked: u8,
    /// The sending half is shut down, or about to be.
    pub is_shut: bool,
    /// Reading stopped because answers had no room.
    pub is_paused: bool,
    /// It broke the protocol or said that it goes, and will be told to in this turn: what follows is not looked at.
    pub is_leaving: bool,
    /// It was pinged since it was last heard.
    is_pinged: bool,
    /// The session wants to know when everything was sent.
    pub tell_drained: bool,
    /// It is in the list of those to be sent to.
    pub is_dirty: bool,
    /// It is in the list of those who read slowly.
    pub is_stalled: bool,
}

const _: () = assert!(size_of::<Option<Connection>>() == 64, "a million connections have a million of these");

#[derive(Debug)]
struct Partial {
    bytes: Vec<u8>,
    /// What was taken from a WebSocket's bytes before those.
    incoming: Option<Box<Incoming>>,
    began_ms: u64,
}

/// What the front of the received bytes is.
#[derive(Debug)]
pub enum Parsed<'a> {
    /// A sound frame of so many bytes.
    Frame(Frame<'a>, usize),
    /// More bytes are needed.
    Partial,
    /// This connection cannot go on.
    Broken(CloseCode),
}

/// What a timer finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet.
    Nothing,
    /// It should say something.
    Ping,
    /// It is to be told to go.
    Close(CloseCode),
    /// It was told, and did not go.
    Abandon,
}

impl Connection {
    /// A new connection that must log in by `deadline_ms`.
    pub fn new(stamp: u32, dress: Dress, now: Now, deadline_ms: u64) -> Connection {
        Connection {
            phase: Phase::Login { deadline: Moment::at(deadline_ms) },
            dress,
            outbox: Outbox::default(),
            partial: None,
            heard: Moment::at(now.mono_ms),
            send_began: Moment::at(now.mono_ms),
            stamp,
            receiving: false,
            asked: 0,
            is_shut: false,
            is_paused: false,
            is_leaving: false,
            is_pinged: false,
            tell_drained: false,
            is_dirty: false,
            is_stalled: false,
        }
    }

    /// Reads the front of `bytes`.
    pub fn parse<'a>(bytes: &'a [u8], limits: &Limits) -> Parsed<'a> {
        match split(bytes, limits.frame_bytes_max as usize) {
            Split::More(_) => Parsed::Partial,
            Split::TooLarge => Parsed::Broken(CloseCode::frame_too_large),
            Split::Whole(length) => match read(&bytes[..length]) {
                Ok(frame) => Parsed::Frame(frame, length),
                Err(_) => Parsed::Broken(CloseCode::malformed_frame),
            },
        }
    }

    /// The peer has sent something.
    pub fn heard(&mut self, now: Now) {
        self.heard = Moment::at(now.mono_ms);
        self.is_pinged = false;
    }

    /// Whether bytes wait for the rest of their frame, or for reading to go on.
    pub fn has_partial(&self) -> bool {
        self.partial.is_some()
    }

    /// Takes the bytes that wait.
    pub fn take_partial(&mut self) -> Vec<u8> {
        self.partial.take().map(|partial| partial.bytes).unwrap_or_default()
    }

    /// Takes what was taken from a WebSocket's bytes before those that wait. To be called before [`Self::take_partial`].
    pub fn take_incoming(&mut self) -> Incoming {
        self.partial.as_mut().and_then(|partial| partial.incoming.take()).map_or_else(Incoming::default, |incoming| *incoming)
    }

    /// Keeps bytes until there are more. `is_new_frame`: the frame that they begin began now.
    pub fn keep_partial(&mut self, bytes: Vec<u8>, is_new_frame: bool, began_ms: u64, now: Now) {
        self.keep_unread(Incoming::default(), bytes, is_new_frame, began_ms, now);
    }

    /// The same for a WebSocket, with the message that is unfinished.
    pub fn keep_unread(&mut self, incoming: Incoming, bytes: Vec<u8>, is_new_frame: bool, began_ms: u64, now: Now) {
        let incoming = (!incoming.is_idle()).then(|| Box::new(incoming));
        if !bytes.is_empty() || incoming.is_some() {
            let began_ms = if is_new_frame { now.mono_ms } else { began_ms };
            self.partial = Some(Box::new(Partial { bytes, incoming, began_ms }));
        }
    }

    /// When the frame that waits began.
    pub fn partial_began_ms(&self) -> u64 {
        self.partial.as_ref().map_or(0, |partial| partial.began_ms)
    }

    /// A send was submitted.
    pub fn send_began(&mut self, now: Now) {
        self.send_began = Moment::at(now.mono_ms);
    }

    /// The session, while logged in.
    pub fn session(&self) -> Option<SessionKey> {
        match self.phase {
            Phase::Active { session } => Some(session),
            _ => None,
        }
    }

    /// The login, while it waits for its user's list.
    pub fn login(&self) -> Option<LoginKey> {
        match self.phase {
            Phase::Loading { login, .. } => Some(login),
            _ => None,
        }
    }

    /// It has been told to go.
    pub fn begin_goodbye(&mut self, reads_slowly: bool, now: Now) {
        let wait_ms = if reads_slowly { SLOW_GOODBYE_MS } else { GOODBYE_MS };
        self.phase = Phase::Goodbye { deadline: Moment::at(now.mono_ms + wait_ms) };
        self.partial = None;
        self.tell_drained = false;
    }

    /// Whether the kernel still works on anything of it.
    pub fn is_quiet(&self) -> bool {
        !self.receiving && self.asked == 0 && !self.outbox.is_in_flight()
    }

    /// What is due now.
    pub fn due(&mut self, now: Now, limits: &Limits) -> Due {
        let passed = |since_ms: u64, limit_ms: u32| now.mono_ms >= since_ms + u64::from(limit_ms);
        let is_over = |deadline: Moment| now.mono_ms >= deadline.mono_ms(now);
        let heard_ms = self.heard.mono_ms(now);
        match self.phase {
            Phase::Login { deadline } if is_over(deadline) => Due::Close(CloseCode::login_timeout),
            // Not the peer's fault.
            Phase::Loading { deadline, .. } if is_over(deadline) => Due::Close(CloseCode::overloaded),
            // Its answer to the upgrade was never taken by the kernel, which has room for much more.
            Phase::Moving { deadline, .. } if self.asked == 0 && is_over(deadline) => Due::Close(CloseCode::overloaded),
            Phase::Goodbye { deadline } if is_over(deadline) => Due::Abandon,
            Phase::Active { .. } => {
                let stalled = self.outbox.is_in_flight() && passed(self.send_began.mono_ms(now), limits.send_stall_timeout_ms);
                let unfinished = self.partial.as_ref().is_some_and(|p| passed(p.began_ms, limits.frame_timeout_ms));
                if stalled {
                    Due::Close(CloseCode::slow_consumer)
                } else if self.is_paused {
                    // It may have said much that was not read: it is not silent, we are deaf.
                    Due::Nothing
                } else if unfinished {
                    Due::Close(CloseCode::frame_timeout)
                } else if passed(heard_ms, limits.idle_timeout_ms) {
                    Due::Close(CloseCode::idle_timeout)
                } else if !self.is_pinged && passed(heard_ms, limits.heartbeat_ms) {
                    self.is_pinged = true;
                    Due::Ping
                } else {
                    Due::Nothing
                }
            }
            _ => Due::Nothing,
        }
    }

    /// When to look at [`Self::due`] next. A frame or a send that begins meanwhile has its own limit, which bounds how far ahead this is.
    pub fn look_again_ms(&self, now: Now, limits: &Limits) -> u64 {
        match self.phase {
            Phase::Login { deadline } | Phase::Goodbye { deadline } => deadline.mono_ms(now),
            Phase::Moving { deadline, .. } | Phase::Loading { deadline, .. } => deadline.mono_ms(now),
            Phase::Closing | Phase::Closed => now.mono_ms + GOODBYE_MS,
            Phase::Active { .. } => {
                let silence_ms = if self.is_pinged { limits.idle_timeout_ms } else { limits.heartbeat_ms };
                let silent_ms = self.heard.mono_ms(now) + u64::from(silence_ms);
                let within_ms = limits.frame_timeout_ms.min(limits.send_stall_timeout_ms).min(limits.heartbeat_ms);
                silent_ms.clamp(now.mono_ms + 1, now.mono_ms + u64::from(within_ms))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, wall_ms: 0 }
    }

    fn active() -> Connection {
        let mut connection = Connection::new(1, Dress::Tcp, at(1000), 6000);
        connection.phase = Phase::Active { session: SessionKey { index: 0, generation: 0 } };
        connection
    }

    #[test]
    fn a_peer_that_never_logs_in_is_closed() {
        let limits = Limits::default();
        let mut connection = Connection::new(1, Dress::Tcp, at(1000), 6000);
        assert_eq!(connection.look_again_ms(at(1000), &limits), 6000);
        assert_eq!(connection.due(at(5999), &limits), Due::Nothing);
        assert_eq!(connection.due(at(6000), &limits), Due::Close(CloseCode::login_timeout));
    }

    #[test]
    fn one_whose_user_is_not_loaded_in_time_may_come_back() {
        let limits = Limits::default();
        let mut connection = Connection::new(1, Dress::Tcp, at(1000), 6000);
        connection.phase = Phase::Loading { login: LoginKey::default(), deadline: Moment::at(6000) };
        assert_eq!((connection.login(), connection.session()), (Some(LoginKey::default()), None));
        assert_eq!(connection.look_again_ms(at(1000), &limits), 6000);
        assert_eq!(connection.due(at(5999), &limits), Due::Nothing);
        assert_eq!(connection.due(at(6000), &limits), Due::Close(CloseCode::overloaded));
    }

    #[test]
    fn a_silent_peer_is_pinged_once_and_then_closed() {
        let limits = Limits::default();
        let mut connection = active();
        assert_eq!(connection.due(at(30_999), &limits), Due::Nothing);
        assert_eq!(connection.due(at(31_000), &limits), Due::Ping);
        assert_eq!(connection.due(at(60_000), &limits), Due::Nothing);
        assert_eq!(connection.due(at(76_000), &limits), Due::Close(CloseCode::idle_timeout));
        connection.heard(at(76_000));
        assert_eq!(connection.due(at(76_001), &limits), Due::Nothing);
        assert_eq!(connection.due(at(106_000), &limits), Due::Ping);
    }

    #[test]
    fn a_frame_that_trickles_in_has_a_limit_however_lively_it_is() {
        let limits = Limits::default();
        let mut connection = active();
        connection.keep_partial(vec![1], true, 0, at(2000));
        for second in 3..32 {
            connection.heard(at(second * 1000));
            let began_ms = connection.partial_began_ms();
            let mut bytes = connection.take_partial();
            bytes.push(1);
            connection.keep_partial(bytes, false, began_ms, at(second * 1000));
            assert_eq!(connection.due(at(second * 1000), &limits), Due::Nothing);
        }
        assert_eq!(connection.due(at(32_000), &limits), Due::Close(CloseCode::frame_timeout));
    }

    #[test]
    fn a_paused_peer_is_not_silent() {
        let limits = Limits::default();
        let mut connection = active();
        connection.is_paused = true;
        assert_eq!(connection.due(at(500_000), &limits), Due::Nothing);
    }

    #[test]
    fn one_that_was_told_to_go_is_given_a_second() {
        let limits = Limits::default();
        let mut connection = active();
        connection.begin_goodbye(false, at(2000));
        assert_eq!(connection.due(at(2999), &limits), Due::Nothing);
        assert_eq!(connection.due(at(3000), &limits), Due::Abandon);
    }

    #[test]
    fn garbage_is_told_from_what_is_not_whole() {
        let limits = Limits::default();
        assert!(matches!(Connection::parse(&[1, 0], &limits), Parsed::Partial));
        assert!(matches!(Connection::parse(&[0xff; 4], &limits), Parsed::Broken(CloseCode::frame_too_large)));
        assert!(matches!(Connection::parse(&[4, 0, 0, 0, 9, 9, 9, 9], &limits), Parsed::Broken(CloseCode::malformed_frame)));
    }
}
