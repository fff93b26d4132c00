//! Receiving: a session attaches to a conversation and is told where it begins. Behind, it catches up ([`super::catch_up`]); else it is live.

use super::catch_up::{CatchUp, State};
use super::fan_out::Link;
use super::{Failure, More, Outcome, Users, address, bad_request, frames};
use crate::conversation::{Key, Kind, Name, Record};
use crate::effects::{Effects, Weight};
use crate::mesh::{Head, Refusal, Reply, Request, SessionKey, Skipped};
use crate::wire::schema::{self as s, ErrorCode, SkipReason};

/// Where a session wants to begin.
#[derive(Default)]
pub(super) struct Start {
    /// The cursor that the client presented.
    pub(super) cursor: Option<(u64, u64)>,
    /// The cursor that is stored for its device.
    pub(super) stored: Option<(u64, u64)>,
    /// From the first record that it may read.
    pub(super) from_visible: bool,
    /// A direct conversation of which nothing is known since the list was loaded: if it has nothing new, nothing is said.
    pub(super) is_question: bool,
    /// The record that made its user a member, if it has the ack for it.
    pub(super) own: Option<(u64, u64)>,
    pub(super) filter: Option<Box<Filter>>,
    /// The subscribe that is to be answered.
    pub(super) reference: Option<u64>,
}

/// Tags that a subscription wants.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    tags: Vec<Box<str>>,
    /// First of the numbers that it has passed over without a word; 0: none.
    pub(super) skipping_from: u64,
}

impl Filter {
    pub(super) fn wants(&self, record: &Record) -> bool {
        record.content.tag.as_ref().is_some_and(|tag| self.tags.contains(tag))
    }
}

impl Users {
    pub(super) fn filter(
        &self,
        tags: Option<flatbuffers::Vector<'_, flatbuffers::ForwardsUOffset<&str>>>,
    ) -> Result<Option<Box<Filter>>, Failure> {
        let Some(tags) = tags.filter(|tags| !tags.is_empty()) else { return Ok(None) };
        if tags.len() > self.limits.tags_per_filter_max as usize {
            return Err(ErrorCode::too_many_items.into());
        }
        let tags = tags.iter().map(|tag| super::publish::short("tags", Some(tag)));
        let tags = tags.map(|tag| tag.map(Option::unwrap_or_default)).collect::<Result<_, _>>()?;
        Ok(Some(Box::new(Filter { tags, skipping_from: 0 })))
    }

    pub(super) fn subscribe(&mut self, reply: Reply, body: s::Subscribe<'_>, fx: &mut Effects) -> Outcome {
        let key = self.key_of(reply.session, address(body.conversation())?);
        let cursor = body.cursor().map(|c| (c.epoch(), c.seq()));
        let filter = self.filter(body.tags())?;
        if filter.is_some() && key.kind() != Kind::Topic {
            return Err(bad_request("tags filter topics only"));
        }
        self.has_window(reply.session)?;
        let again = self.stop_receiving(reply.session, &key, fx);
        let session = &mut self.sessions[reply.session.index];
        if key.kind() == Kind::Topic && !again {
            if session.topics >= self.limits.subscriptions_per_session_max {
                return Err(ErrorCode::too_many_subscriptions.into());
            }
            session.topics += 1;
        }
        session.outstanding += 1;
        let start = Start { cursor, filter, reference: Some(reply.reference), ..Start::default() };
        self.attach(reply.session, key, start, fx);
        Ok(())
    }

    pub(super) fn unsubscribe(&mut self, reply: Reply, body: s::Unsubscribe<'_>, fx: &mut Effects) -> Outcome {
        let key = self.key_of(reply.session, address(body.conversation())?);
        if self.stop_receiving(reply.session, &key, fx) && key.kind() == Kind::Topic {
            self.sessions[reply.session.index].topics -= 1;
        }
        self.say_done(reply, fx);
        Ok(())
    }

    /// Says whether the session had been receiving it, or was about to.
    fn stop_receiving(&mut self, session: SessionKey, key: &Key, fx: &mut Effects) -> bool {
        if let Some(starting) = self.starting(session) {
            starting.named(key);
        }
        if let Some(catch_up) = self.take_catch_up(session, key) {
            if let Some(reference) = catch_up.start.reference {
                let reply = Reply { session, reference };
                self.answered(reply);
                let message = "a later request about this conversation took its place".to_owned();
                self.fail(reply, &Failure { refusal: Refusal::busy(), message }, fx);
            }
            self.abandon(catch_up, fx);
            return true;
        }
        let link = self.link_to(session.index, key);
        if let Some(link @ Link { mirror, place }) = link {
            self.flush_to(session, link, fx);
            self.unlink(mirror, place, fx);
        }
        link.is_some()
    }

    /// A session begins to receive a conversation.
    pub(super) fn attach(&mut self, session: SessionKey, key: Key, start: Start, fx: &mut Effects) {
        let newcomer = start.cursor.is_none() && start.stored.is_none() && !start.from_visible;
        if newcomer && let Some(mirror) = self.find_mirror(&key).filter(|&m| self.mirrors[m].takes_newcomers()) {
            let here = &self.mirrors[mirror];
            let (epoch, first, next) = (here.epoch, here.first, here.next);
            let head = Head { epoch, first, committed: next - 1, visible_from: 1 };
            self.say_subscribed(session, &key, start.reference, head, next, fx);
            return self.link(mirror, session.index, next, start.filter);
        }
        let home = self.home_of(&key);
        let user = self.user_of(session).name.clone();
        let catch_up = CatchUp { key: key.clone(), start, state: State::Attaching, epoch: 0, next: 0, mirror: None };
        self.more(session).catch_ups.push(catch_up);
        self.credits.send(home, Request::Attach { key, user, session }, fx);
    }

    pub(super) fn more(&mut self, session: SessionKey) -> &mut More {
        self.sessions[session.index].more.get_or_insert_default()
    }

    /// The answer to subscribe; or word of what is received without asking.
    fn say_subscribed(
        &mut self,
        session: SessionKey,
        key: &Key,
        reference: Option<u64>,
        head: Head,
        next: u64,
        fx: &mut Effects,
    ) {
        let viewer = self.user_of(session).name.clone();
        let connection = match reference {
            Some(reference) => self.answered(Reply { session, reference }),
            None => self.session(session).map(|session| session.connection),
        };
        if let Some(connection) = connection {
            let frame = fx.frame(reference.unwrap_or(0), |b| frames::subscribed(b, key.address(&viewer), head, next));
            fx.send(connection, frame, Weight::Control);
        }
    }

    /// The home has answered an attach.
    pub(super) fn attached(&mut self, key: Key, session: SessionKey, result: Result<Head, Refusal>, fx: &mut Effects) {
        let mirror = match &result {
            Ok(head) if key.kind() != Kind::Direct => Some(self.mirror_attached(&key, head)),
            _ => None,
        };
        let is_attaching = |c: &CatchUp| c.key == key && c.state == State::Attaching;
        let waiting =
            self.session(session).and_then(|s| s.more.as_ref()).is_some_and(|more| more.catch_ups.iter().any(is_attaching));
        match (waiting, result) {
            (true, Ok(head)) => self.begin(session, &key, mirror, head, fx),
            (true, Err(refusal)) => self.not_attached(session, &key, refusal, fx),
            (false, _) => {}
        }
        if let Some(mirror) = mirror {
            self.release_mirror(mirror, fx);
        }
    }

    fn not_attached(&mut self, session: SessionKey, key: &Key, refusal: Refusal, fx: &mut Effects) {
        let Some(catch_up) = self.take_catch_up(session, key) else { return };
        let user = self.sessions[session.index].user;
        // A direct one that has no log yet may be about to get one.
        if refusal.code == ErrorCode::unknown_conversation && key.kind() == Kind::Group {
            self.strike_from_list(user, key, fx);
        }
        if key.kind() == Kind::Topic {
            self.sessions[session.index].topics -= 1;
        }
        let failure = |reference| Reply { session, reference };
        if let Some(reference) = catch_up.start.reference {
            self.answered(failure(reference));
            self.refuse(failure(reference), refusal, fx);
        } else if catch_up.start.cursor.is_some() || key.kind() == Kind::Topic || refusal.code != ErrorCode::unknown_conversation
        {
            // Also if it was not named: it counts on receiving what it does not now.
            self.say_not_resumed(session, key, refusal, fx);
        }
    }

    /// An entry of Connect.resume is not received: the client is told which.
    pub(super) fn say_not_resumed(&mut self, session: SessionKey, key: &Key, refusal: Refusal, fx: &mut Effects) {
        let viewer = self.user_of(session).name.clone();
        let (connection, about) = (self.sessions[session.index].connection, key.address(&viewer));
        let message = format!("{about} cannot be resumed: {}", super::sentence(refusal.code));
        fx.answer(connection, 0, |b| frames::error(b, refusal, &message, Some(about)));
    }

    /// Membership is certain: find the place to begin, and say what will not come.
    fn begin(&mut self, session: SessionKey, key: &Key, mirror: Option<u32>, head: Head, fx: &mut Effects) {
        let connection = self.sessions[session.index].connection;
        let viewer = self.user_of(session).name.clone();
        let catch_up = self.catch_up(session, key).expect("it is attaching");
        let (reference, begin) = (catch_up.start.reference.take(), beginning(&catch_up.start, &head));
        let is_question = catch_up.start.is_question;
        catch_up.epoch = head.epoch;
        catch_up.next = begin.next;
        catch_up.mirror = mirror;
        catch_up.state = State::Due;
        let has_nothing_new = !begin.gap && begin.skipped.is_none() && begin.next > head.committed;
        if !(is_question && has_nothing_new) {
            self.say_subscribed(session, key, reference, head, begin.next, fx);
        }
        if begin.gap {
            let frame = fx.frame(0, |b| frames::gap(b, key.address(&viewer), head));
            fx.send(connection, frame, Weight::Data);
        }
        if let Some(skipped) = begin.skipped {
            let frame = fx.frame(0, |b| frames::skip(b, key.address(&viewer), head.epoch, skipped));
            fx.send(connection, frame, Weight::Data);
        }
        if let Some(mirror) = mirror {
            self.mirrors[mirror].catching_up += 1;
        }
        if begin.next > head.committed { self.go_live(session, key, fx) } else { self.catch_up_next(session, fx) }
    }

    /// One of this shard's users has become a member: his sessions receive the group.
    pub(super) fn member_added(
        &mut self,
        key: &Key,
        user: &Name,
        place: (u64, u64),
        publisher: Option<SessionKey>,
        fx: &mut Effects,
    ) {
        let Some(user) = self.new_member(user, key) else { return };
        if let Some(entry) = self.users[user].entry_mut(key) {
            entry.joined(place);
        }
        let sessions = self.users[user].sessions.to_vec();
        for index in sessions {
            let session = self.key_of_index(index);
            if let Some(link) = self.link_to(index, key) {
                self.end_former_membership(index, link, fx);
            }
            match self.catch_up(session, key).map(|c| (c.state, c.epoch)) {
                None => {
                    let own = (publisher == Some(session)).then_some(place);
                    self.attach(session, key.clone(), Start { from_visible: true, own, ..Start::default() }, fx);
                }
                Some((state, epoch)) if state != State::Attaching && epoch != place.0 => self.begin_again(session, key, fx),
                Some(_) => continue,
            }
            if publisher == Some(session) {
                self.remember_ack(session, place);
            }
        }
    }
}

impl Users {
    /// The new member, if he must hear of it now. The hint has put the group into his list; in memory, what came meanwhile of an earlier membership
    /// may have struck it. One whose list is not loaded will find it there.
    fn new_member(&mut self, user: &Name, key: &Key) -> Option<u32> {
        if !self.policies.is_on_disk(key.kind()) {
            return self.put_into_list(user, key).ok();
        }
        self.not_expected(key, user);
        self.find_user(user).filter(|&user| self.users[user].is_loaded)
    }
}

/// Where a session begins, and what it must be told first.
#[derive(Debug, PartialEq, Eq)]
struct Beginning {
    next: u64,
    gap: bool,
    skipped: Option<Skipped>,
}

fn beginning(start: &Start, head: &Head) -> Beginning {
    let lowest = head.visible_from.max(head.first);
    let Some((epoch, seq)) = start.cursor.or(start.stored) else {
        let next = if start.from_visible { lowest } else { head.committed + 1 };
        let next = if start.own == Some((head.epoch, next)) { next + 1 } else { next };
        return Beginning { next, gap: false, skipped: None };
    };
    let from_nothing = seq == 0 && (epoch == 0 || start.cursor.is_none());
    let foreign = !from_nothing && (epoch != head.epoch || seq > head.committed);
    let gap = foreign || (seq + 1 < head.first && head.visible_from < head.first);
    let next = if gap { head.first } else { seq + 1 };
    if next >= lowest {
        return Beginning { next, gap, skipped: None };
    }
    let skipped = Skipped { from: next, to: lowest - 1, why: SkipReason::before_joined };
    Beginning { next: lowest, gap, skipped: Some(skipped) }
}

#[cfg(test)]
mod beginnings {
    use super::*;

    const HEAD: Head = Head { epoch: 5, first: 10, committed: 20, visible_from: 1 };

    fn from(cursor: (u64, u64), head: Head) -> Beginning {
        beginning(&Start { cursor: Some(cursor), ..Start::default() }, &head)
    }

    #[test]
    fn a_cursor_of_this_epoch_and_within_what_is_kept_goes_on() {
        assert_eq!(from((5, 14), HEAD), Beginning { next: 15, gap: false, skipped: None });
        assert_eq!(from((5, 9), HEAD), Beginning { next: 10, gap: false, skipped: None });
        assert_eq!(from((5, 20), HEAD), Beginning { next: 21, gap: false, skipped: None });
    }

    #[test]
    fn any_other_cursor_is_answered_with_a_gap() {
        let gap = Beginning { next: 10, gap: true, skipped: None };
        assert_eq!(
            [from((4, 14), HEAD), from((5, 21), HEAD), from((5, 8), HEAD), from((0, 0), HEAD)],
            [(); 4].map(|()| Beginning { next: gap.next, gap: gap.gap, skipped: None })
        );
        let whole = Head { first: 1, ..HEAD };
        assert_eq!(from((0, 0), whole), Beginning { next: 1, gap: false, skipped: None });
    }

    #[test]
    fn what_was_before_joining_is_skipped() {
        let head = Head { first: 1, visible_from: 12, ..HEAD };
        let skipped = |from| Some(Skipped { from, to: 11, why: SkipReason::before_joined });
        assert_eq!(from((5, 3), head), Beginning { next: 12, gap: false, skipped: skipped(4) });
        assert_eq!(from((9, 3), head), Beginning { next: 12, gap: true, skipped: skipped(1) });
        assert_eq!(from((5, 15), head), Beginning { next: 16, gap: false, skipped: None });
    }

    #[test]
    fn without_a_cursor_it_begins_now_or_where_it_may() {
        assert_eq!(beginning(&Start::default(), &HEAD).next, 21);
        let start = Start { from_visible: true, ..Start::default() };
        assert_eq!(beginning(&start, &HEAD).next, 10);
        assert_eq!(beginning(&start, &Head { visible_from: 12, ..HEAD }).next, 12);
    }
}
