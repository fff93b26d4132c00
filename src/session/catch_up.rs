//! Catching up: a session that is behind reads pages from the conversation's home, one at a time, the next when the last has left its
//! outbox. Live records of that conversation pass it by meanwhile. The page that reaches the end of the log comes through the same lane as the
//! records that follow it, so from that page on the session is live, with neither gap nor repeat and nothing buffered.

use super::mirror::say_filtered;
use super::receive::{Filter, Start};
use super::{Outcome, Users, address, frames};
use crate::conversation::Key;
use crate::effects::{Effects, Weight};
use crate::mesh::{Page, Read, ReadFor, Refusal, Reply, Request, SessionKey, Skipped};
use crate::wire::schema::{self as s, CloseCode, Direction, ErrorCode};

/// A conversation on its way to being received live.
pub(super) struct CatchUp {
    pub(super) key: Key,
    pub(super) start: Start,
    pub(super) state: State,
    pub(super) epoch: u64,
    pub(super) next: u64,
    /// The mirror that waits for it.
    pub(super) mirror: Option<u32>,
}

/// What it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Attaching,
    Due,
    Reading,
}

/// Acks that are remembered until their records come by. A session has at most a window of them on the way at once.
const ACKED_MAX: usize = 4096;

impl Users {
    pub(super) fn catch_up(&mut self, session: SessionKey, key: &Key) -> Option<&mut CatchUp> {
        self.session(session)?.more.as_mut()?.catch_ups.iter_mut().find(|c| c.key == *key)
    }

    pub(super) fn take_catch_up(&mut self, key_of_session: SessionKey, key: &Key) -> Option<CatchUp> {
        let session = self.session(key_of_session)?;
        let more = session.more.as_mut()?;
        let at = more.catch_ups.iter().position(|c| c.key == *key)?;
        let catch_up = more.catch_ups.remove(at);
        if more.starting.is_some() {
            self.go_on_starting(key_of_session);
        } else if more.catch_ups.is_empty() {
            more.acked.clear();
            self.tidy(key_of_session);
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

    pub(super) fn go_live(&mut self, session: SessionKey, key: &Key, fx: &mut Effects) {
        let Some(mut catch_up) = self.take_catch_up(session, key) else { return };
        if let Some(filter) = &mut catch_up.start.filter {
            // What the filter passed over at the end is said now, so that the client knows that it has caught up.
            let connection = self.sessions[session.index].connection;
            say_filtered(filter, key, catch_up.epoch, catch_up.next - 1, connection, fx);
        }
        match catch_up.mirror {
            Some(mirror) => {
                self.link(mirror, session.index, catch_up.next, catch_up.start.filter);
                self.mirrors[mirror].catching_up -= 1;
            }
            None => {
                let user = self.sessions[session.index].user;
                if let Some(entry) = self.users[user].entry_mut(key) {
                    let known = entry.log().filter(|&(epoch, _)| epoch == catch_up.epoch).map_or(0, |(_, committed)| committed);
                    entry.set_log((catch_up.epoch, known.max(catch_up.next - 1)));
                }
            }
        }
        self.catch_up_next(session, fx);
    }

    /// Asks for the next page of the session's backlog, if it is time.
    pub(super) fn catch_up_next(&mut self, session: SessionKey, fx: &mut Effects) {
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
        self.tidy(key);
    }

    /// A page of a log has come: for a sync, a session, or a mirror.
    pub(super) fn page(
        &mut self,
        key: Key,
        purpose: ReadFor,
        cursor: (u64, u64),
        result: Result<Box<Page>, Refusal>,
        fx: &mut Effects,
    ) {
        match purpose {
            ReadFor::Mirror => self.mirror_page(&key, cursor, result, fx),
            ReadFor::CatchUp(session) => self.backlog_page(session, &key, cursor, result, fx),
            ReadFor::Sync(reply) => {
                let Some(connection) = self.answered(reply) else { return };
                let viewer = self.user_of(reply.session).name.clone();
                match result {
                    Ok(page) => fx.answer(connection, reply.reference, |b| frames::page(b, key.address(&viewer), &page)),
                    Err(refusal) => self.refuse(reply, refusal, fx),
                }
            }
            ReadFor::Retract(_) => unreachable!("its answer is that of a publish"),
        }
    }

    fn backlog_page(
        &mut self,
        session: SessionKey,
        key: &Key,
        cursor: (u64, u64),
        result: Result<Box<Page>, Refusal>,
        fx: &mut Effects,
    ) {
        let asked = |c: &mut CatchUp| c.state == State::Reading && (c.epoch, c.next - 1) == cursor;
        let is_reading = self.catch_up(session, key).is_some_and(asked);
        if !is_reading {
            // It is not wanted any more; others may have waited for it.
            if self.session(session).is_some() {
                self.catch_up_next(session, fx);
            }
            return;
        }
        if result.as_ref().is_err_and(|refusal| refusal.code != ErrorCode::unknown_conversation) {
            // The log cannot be read just now. He comes back with his cursor and has lost nothing.
            return self.close(session, CloseCode::overloaded, fx);
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
    pub(super) fn begin_again(&mut self, session: SessionKey, key: &Key, fx: &mut Effects) {
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
            && (!more.catch_ups.is_empty() || more.starting.is_some())
        {
            if more.acked.len() >= ACKED_MAX {
                more.acked.remove(0);
            }
            more.acked.push(place);
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
