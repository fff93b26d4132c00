//! Receiving: attach to a conversation, catch up with its log, then live.
//!
//! A session that is behind reads pages from the conversation's home, one at a time, the next when the last has left its outbox. Live
//! records of that conversation pass it by meanwhile. The page that reaches the end of the log comes through the same lane as the records
//! that follow it, so from that page on the session is live, with neither gap nor repeat and nothing buffered.

use super::fan_out::Link;
use super::{Failure, More, Outcome, Users, address, bad_request, frames};
use crate::conversation::{Key, Kind, Name, Record};
use crate::effects::{Effects, Weight};
use crate::mesh::{Head, Page, Read, ReadFor, Refusal, Reply, Request, SessionKey, Skipped};
use crate::wire::schema::{self as s, Direction, ErrorCode, SkipReason};

/// Where a session wants to begin.
#[derive(Default)]
pub(super) struct Start {
    /// The cursor that the client presented.
    pub(super) cursor: Option<(u64, u64)>,
    /// The cursor that is stored for its device.
    pub(super) stored: Option<(u64, u64)>,
    /// From the first record that it may read.
    pub(super) from_visible: bool,
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

/// A conversation on its way to being received live.
pub(super) struct CatchUp {
    pub(super) key: Key,
    start: Start,
    state: State,
    epoch: u64,
    next: u64,
    /// The mirror that waits for it.
    mirror: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Attaching,
    Due,
    Reading,
}

/// Acks that are remembered until their records come by. A session has at most a window of them on the way at once.
const ACKED_MAX: usize = 4096;

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
        if let Some(catch_up) = self.take_catch_up(session, key) {
            if let Some(reference) = catch_up.start.reference {
                let reply = Reply { session, reference };
                self.answered(reply);
                self.fail(reply, &bad_request("a later request about this conversation took its place"), fx);
            }
            self.abandon(catch_up, fx);
            return true;
        }
        let link = self.link_to(session.index, key);
        if let Some(Link { mirror, place }) = link {
            self.unlink(mirror, place, fx);
        }
        link.is_some()
    }

    /// A session begins to receive a conversation.
    pub(super) fn attach(&mut self, session: SessionKey, key: Key, start: Start, fx: &mut Effects) {
        let newcomer = start.cursor.is_none() && start.stored.is_none() && !start.from_visible;
        if newcomer && let Some(mirror) = self.find_mirror(&key).filter(|&m| self.mirrors[m].takes_newcomers()) {
            let (epoch, next) = (self.mirrors[mirror].epoch, self.mirrors[mirror].next);
            // What is kept is not known here; a newcomer has no use for it.
            let head = Head { epoch, first: next, committed: next - 1, visible_from: 1 };
            self.say_subscribed(session, &key, start.reference, head, next, fx);
            return self.link(mirror, session.index, next, start.filter);
        }
        let home = self.home_of(&key);
        let user = self.user_of(session).name.clone();
        let catch_up = CatchUp { key: key.clone(), start, state: State::Attaching, epoch: 0, next: 0, mirror: None };
        self.more(session).catch_ups.push(catch_up);
        self.credits.send(home, Request::Attach { key, user, session }, fx);
    }

    fn more(&mut self, session: SessionKey) -> &mut More {
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
            Ok(head) if key.kind() != Kind::Direct => Some(self.mirror_attached(&key, head.epoch, head.committed)),
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
        } else if catch_up.start.cursor.is_some() || key.kind() == Kind::Topic {
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
        catch_up.epoch = head.epoch;
        catch_up.next = begin.next;
        catch_up.mirror = mirror;
        catch_up.state = State::Due;
        self.say_subscribed(session, key, reference, head, begin.next, fx);
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

    fn catch_up(&mut self, session: SessionKey, key: &Key) -> Option<&mut CatchUp> {
        self.session(session)?.more.as_mut()?.catch_ups.iter_mut().find(|c| c.key == *key)
    }

    fn take_catch_up(&mut self, session: SessionKey, key: &Key) -> Option<CatchUp> {
        let session = self.session(session)?;
        let more = session.more.as_mut()?;
        let at = more.catch_ups.iter().position(|c| c.key == *key)?;
        let catch_up = more.catch_ups.remove(at);
        if more.catch_ups.is_empty() {
            more.acked.clear();
            if more.watching.is_empty() && !more.awaits_drain {
                session.more = None;
            }
        }
        Some(catch_up)
    }

    /// The session is gone or wants it no more.
    pub(super) fn abandon(&mut self, catch_up: CatchUp, fx: &mut Effects) {
        if let Some(mirror) = catch_up.mirror {
            self.mirrors[mirror].catching_up -= 1;
            self.release_mirror(mirror, fx);
        }
    }

    fn go_live(&mut self, session: SessionKey, key: &Key, fx: &mut Effects) {
        let Some(catch_up) = self.take_catch_up(session, key) else { return };
        match catch_up.mirror {
            Some(mirror) => {
                self.link(mirror, session.index, catch_up.next, catch_up.start.filter);
                self.mirrors[mirror].catching_up -= 1;
            }
            None => {
                let user = self.sessions[session.index].user;
                if let Some(entry) = self.users[user].entry_mut(key) {
                    entry.epoch = catch_up.epoch;
                    entry.committed = entry.committed.max(catch_up.next - 1);
                }
            }
        }
        self.catch_up_next(session, fx);
    }

    /// Asks for the next page of the session's backlog, if it is time.
    fn catch_up_next(&mut self, session: SessionKey, fx: &mut Effects) {
        let user = self.user_of(session).name.clone();
        let Some(more) = &mut self.sessions[session.index].more else { return };
        if more.awaits_drain || more.catch_ups.iter().any(|c| c.state == State::Reading) {
            return;
        }
        let Some(catch_up) = more.catch_ups.iter_mut().find(|c| c.state == State::Due) else { return };
        catch_up.state = State::Reading;
        let key = catch_up.key.clone();
        let cursor = (catch_up.epoch, catch_up.next - 1);
        let purpose = ReadFor::CatchUp(session);
        let read = Read { key, user, purpose, cursor, limit: 0, direction: Direction::forward };
        let home = self.home_of(&read.key);
        self.credits.send(home, Request::Read(Box::new(read)), fx);
    }

    /// All that was sent to a session has left: its backlog may go on.
    pub fn drained(&mut self, key: SessionKey, fx: &mut Effects) {
        let Some(session) = self.session(key) else { return };
        if let Some(more) = &mut session.more {
            more.awaits_drain = false;
        }
        self.tell_dropped(key.index, fx);
        self.catch_up_next(key, fx);
    }

    /// A page of a log has come: for a sync, a session, or a mirror.
    pub(super) fn page(&mut self, key: Key, purpose: ReadFor, result: Result<Box<Page>, Refusal>, fx: &mut Effects) {
        match purpose {
            ReadFor::Mirror => self.mirror_page(&key, result, fx),
            ReadFor::CatchUp(session) => self.backlog_page(session, &key, result, fx),
            ReadFor::Sync(reply) => {
                let Some(connection) = self.answered(reply) else { return };
                let viewer = self.user_of(reply.session).name.clone();
                match result {
                    Ok(page) => fx.answer(connection, reply.reference, |b| frames::page(b, key.address(&viewer), &page)),
                    Err(refusal) => self.refuse(reply, refusal, fx),
                }
            }
        }
    }

    fn backlog_page(&mut self, session: SessionKey, key: &Key, result: Result<Box<Page>, Refusal>, fx: &mut Effects) {
        let is_reading = self.catch_up(session, key).is_some_and(|c| c.state == State::Reading);
        if !is_reading {
            // It is not wanted any more; others may have waited for it.
            if self.session(session).is_some() {
                self.catch_up_next(session, fx);
            }
            return;
        }
        let Ok(page) = result else {
            // No longer a member: he gets no more, and if the removal is behind his cursor he will never see why.
            // The mirror may go with him, before it has handed out the record that removed him: so his list is told here as well.
            let user = self.sessions[session.index].user;
            self.strike_from_list(user, key, fx);
            if let Some(catch_up) = self.take_catch_up(session, key) {
                self.abandon(catch_up, fx);
            }
            return self.catch_up_next(session, fx);
        };
        if self.catch_up(session, key).is_some_and(|c| c.epoch != page.head.epoch) {
            return self.begin_again(session, key, fx);
        }
        self.send_backlog(session, key, &page, fx);
        let connection = self.sessions[session.index].connection;
        self.more(session).awaits_drain = true;
        fx.watch_drained.push(connection);
        let catch_up = self.catch_up(session, key).expect("it is reading");
        catch_up.next = page.next + 1;
        catch_up.state = State::Due;
        if !page.has_more {
            self.go_live(session, key, fx);
        }
    }

    /// The group was disbanded and founded anew, and he is a member again: he is told by a gap.
    fn begin_again(&mut self, session: SessionKey, key: &Key, fx: &mut Effects) {
        let acked = std::mem::take(&mut self.more(session).acked);
        let Some(catch_up) = self.take_catch_up(session, key) else { return };
        let start = Start { cursor: Some((catch_up.epoch, catch_up.next - 1)), ..Start::default() };
        self.abandon(catch_up, fx);
        self.attach(session, key.clone(), start, fx);
        self.more(session).acked = acked;
        self.catch_up_next(session, fx);
    }

    fn send_backlog(&mut self, session: SessionKey, key: &Key, page: &Page, fx: &mut Effects) {
        let viewer = self.user_of(session).name.clone();
        let connection = self.sessions[session.index].connection;
        let Some(more) = &mut self.sessions[session.index].more else { return };
        let acked = &more.acked;
        let filter = more.catch_ups.iter_mut().find(|c| c.key == *key).and_then(|c| c.start.filter.as_mut());
        let (mut filter, epoch) = (filter, page.head.epoch);
        let say_skip = |skipped: Skipped, filter: &mut Option<&mut Box<Filter>>, fx: &mut Effects| {
            if let Some(filter) = filter {
                // What it passed over before this is said first.
                filter.passes(key, epoch, skipped.from, None, connection, fx);
            }
            let frame = fx.frame(0, |b| frames::skip(b, key.address(&viewer), epoch, skipped));
            fx.send(connection, frame, Weight::Data);
        };
        let mut skips = page.skips.iter().copied().peekable();
        for record in &page.records {
            while let Some(skipped) = skips.next_if(|s| s.from < record.seq) {
                say_skip(skipped, &mut filter, fx);
            }
            let passes = filter.as_mut().is_none_or(|f| f.passes(key, epoch, record.seq, Some(record), connection, fx));
            if passes && !acked.contains(&(record.epoch, record.seq)) {
                let frame = fx.message(key, &viewer, record);
                fx.deliveries += 1;
                fx.send(connection, frame, Weight::Data);
            }
        }
        skips.for_each(|skipped| say_skip(skipped, &mut filter, fx));
    }

    /// A session that catches up has an ack for a record that stands in its backlog.
    pub(super) fn remember_ack(&mut self, session: SessionKey, place: (u64, u64)) {
        if let Some(more) = self.session(session).and_then(|s| s.more.as_mut())
            && !more.catch_ups.is_empty()
        {
            if more.acked.len() >= ACKED_MAX {
                more.acked.remove(0);
            }
            more.acked.push(place);
        }
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
        // The hint has put it there, but what came meanwhile of an earlier membership may have struck it.
        let Ok(user) = self.put_into_list(user, key) else { return };
        if let Some(entry) = self.users[user].entry_mut(key) {
            entry.joined(place);
        }
        for index in self.users[user].sessions.clone() {
            let session = self.key_of_index(index);
            if let Some(link) = self.link_to(index, key) {
                self.end_former_membership(index, link, fx);
            }
            match self.catch_up(session, key).map(|c| (c.state, c.epoch)) {
                None => self.attach(session, key.clone(), Start { from_visible: true, ..Start::default() }, fx),
                Some((state, epoch)) if state != State::Attaching && epoch != place.0 => self.begin_again(session, key, fx),
                Some(_) => continue,
            }
            if publisher == Some(session) {
                self.remember_ack(session, place);
            }
        }
    }

    pub(super) fn sync(&mut self, reply: Reply, body: s::Sync<'_>, fx: &mut Effects) -> Outcome {
        let key = self.key_of(reply.session, address(body.conversation())?);
        let home = self.home_of(&key);
        let read = Read {
            key,
            user: self.user_of(reply.session).name.clone(),
            purpose: ReadFor::Sync(reply),
            cursor: body.cursor().map_or((0, 0), |c| (c.epoch(), c.seq())),
            limit: body.limit(),
            direction: body.direction(),
        };
        self.ask(reply.session, home, Request::Read(Box::new(read)), fx)
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
