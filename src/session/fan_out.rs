//! Fan-out: a record comes to a shard once, is encoded once, and is handed to all receivers that the shard has.
//!
//! A turn makes at most `fan_out_slice` deliveries, and goes on in the next. When a mirror's queue is full, the mirror stops taking and
//! later reads what it missed from the conversation's log.

use std::sync::Arc;

use super::mirror::{Item, Lag, Mirror, QUEUE_MAX};
use super::receive::Filter;
use super::user::Entry;
use super::{Session, Users};
use crate::conversation::{Key, Kind, Record};
use crate::effects::{Effects, Weight};
use crate::mesh::{Event, Page, Part, Read, ReadFor, Refusal, Request, SessionKey};
use crate::slab::Slab;
use crate::slot::ShardId;
use crate::wire::schema::{Direction, RecordKind};

/// A session's way to its place in a mirror.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) mirror: u32,
    pub(super) place: u32,
}

impl Users {
    // ---- mirrors come and go

    pub(super) fn find_mirror(&self, key: &Key) -> Option<u32> {
        self.by_key.find(self.slots.hash(key.bytes()), |index| self.mirrors[index].key == *key)
    }

    /// The mirror of a conversation that the home has just attached us to; it begins after `committed`.
    pub(super) fn mirror_attached(&mut self, key: &Key, epoch: u64, committed: u64) -> u32 {
        let index = self.find_mirror(key).unwrap_or_else(|| {
            let (index, _) = self.mirrors.insert(Mirror::new(key.clone(), epoch, committed + 1));
            let (mirrors, slots) = (&self.mirrors, &self.slots);
            let hash_of = |index: u32| slots.hash(mirrors[index].key.bytes());
            self.by_key.insert(hash_of(index), index, hash_of);
            index
        });
        self.mirrors[index].attachments += 1;
        index
    }

    /// Tells the home when nobody here receives the conversation any more.
    pub(super) fn release_mirror(&mut self, index: u32, fx: &mut Effects) {
        let mirror = &self.mirrors[index];
        if mirror.has_receivers() {
            return;
        }
        let hash = self.slots.hash(mirror.key.bytes());
        self.by_key.remove(hash, index);
        self.fanning_out.retain(|&i| i != index);
        if let Some(Mirror { key, epoch, attachments, lag, newcomers, .. }) = self.mirrors.remove(index) {
            self.lagging -= usize::from(lag != Lag::None);
            let detach = Request::Detach { key: key.clone(), epoch, attachments };
            self.credits.send(self.slots.home(key.bytes()), detach, fx);
            newcomers.into_iter().for_each(|newcomer| self.member_entered(&key, &newcomer, fx));
        }
    }

    /// A session receives live from `next` on.
    pub(super) fn link(&mut self, mirror: u32, session: u32, next: u64, filter: Option<Box<Filter>>) {
        let Session { connection, links, .. } = &mut self.sessions[session];
        let place = self.mirrors[mirror].add(*connection, session, links.len() as u32, next, filter);
        links.push(Link { mirror, place });
    }

    /// A session receives no longer.
    pub(super) fn unlink(&mut self, mirror: u32, place: u32, fx: &mut Effects) {
        let Users { mirrors, sessions, .. } = self;
        let removed = mirrors[mirror].remove(place, |moved, place| {
            sessions[moved.session].links[moved.link as usize].place = place;
        });
        let links = &mut sessions[removed.session].links;
        links.swap_remove(removed.link as usize);
        if let Some(&moved) = links.get(removed.link as usize) {
            mirrors[moved.mirror].receiver_mut(moved.place).link = removed.link;
        }
        self.release_mirror(mirror, fx);
    }

    /// The place of a session in a mirror, if it receives live.
    pub(super) fn place_of(&self, session: u32, mirror: u32) -> Option<u32> {
        self.sessions[session].links.iter().find(|link| link.mirror == mirror).map(|link| link.place)
    }

    /// Indexes of the sessions that receive a conversation here right now.
    pub(super) fn receivers(&self, key: &Key) -> Vec<u32> {
        if key.kind() == Kind::Direct {
            let [a, b] = key.users();
            let mut users: Vec<u32> = [a, b].into_iter().filter_map(|user| self.find_user(user)).collect();
            users.dedup();
            return users.into_iter().flat_map(|user| self.users[user].sessions.iter().copied()).collect();
        }
        let Some(mirror) = self.find_mirror(key) else { return Vec::new() };
        self.mirrors[mirror].receivers().collect()
    }

    pub(super) fn count_receivers(&mut self, from: ShardId, key: &Key, part: Part, fx: &mut Effects) {
        let sessions = match (key.kind(), self.find_mirror(key)) {
            (Kind::Direct, _) => self.receivers(key).len(),
            (_, Some(mirror)) => self.mirrors[mirror].receiver_count() + self.mirrors[mirror].catching_up as usize,
            (_, None) => 0,
        };
        fx.event(from, Event::Counted { part, sessions: sessions as u64 });
    }

    // ---- a record arrives

    pub(super) fn delivered(&mut self, key: Key, record: Arc<Record>, publisher: Option<SessionKey>, fx: &mut Effects) {
        if key.kind() == Kind::Direct {
            return self.delivered_direct(&key, &record, publisher, fx);
        }
        // Whoever has no mirror has just detached.
        let Some(index) = self.find_mirror(&key) else { return };
        let mirror = &mut self.mirrors[index];
        if mirror.lag != Lag::None || record.seq < mirror.next {
            return;
        }
        assert_eq!(record.seq, mirror.next, "{key:?}: a record is missing without a word");
        if mirror.waiting() >= QUEUE_MAX {
            mirror.lag = Lag::Behind;
            self.lagging += 1;
            return;
        }
        self.enqueue(index, Item::Record { record, publisher, reread: false });
    }

    fn enqueue(&mut self, index: u32, item: Item) {
        self.mirrors[index].enqueue(item);
        self.fan_out_next(index);
    }

    fn fan_out_next(&mut self, index: u32) {
        if !std::mem::replace(&mut self.mirrors[index].is_fanning_out, true) {
            self.fanning_out.push_back(index);
        }
    }

    /// The mirror fell behind, and here is what it missed.
    pub(super) fn mirror_page(&mut self, key: &Key, result: Result<Box<Page>, Refusal>) {
        let Some(index) = self.find_mirror(key).filter(|&index| self.mirrors[index].lag == Lag::Reading) else { return };
        // Refused: the group is gone, and those who received it have seen that in the log or never will.
        let Ok(page) = result else { return };
        self.mirrors[index].lag = if page.has_more { Lag::Behind } else { Lag::None };
        self.lagging -= usize::from(!page.has_more);
        let mut skips = page.skips.into_iter().peekable();
        for record in page.records {
            while let Some(skipped) = skips.next_if(|s| s.from < record.seq) {
                self.enqueue(index, Item::Skip(skipped));
            }
            self.enqueue(index, Item::Record { record, publisher: None, reread: true });
        }
        skips.for_each(|skipped| self.enqueue(index, Item::Skip(skipped)));
        self.fan_out_next(index);
    }

    // ---- the fan-out

    /// One turn's share: the mirrors take turns.
    pub(super) fn fan_out(&mut self, fx: &mut Effects) {
        let mut budget = self.limits.fan_out_slice as usize;
        while budget > 0
            && let Some(index) = self.fanning_out.pop_front()
        {
            self.mirrors[index].is_fanning_out = false;
            self.fan_out_one(index, &mut budget, fx);
            // The last receiver may have gone with the last record.
            let Some(mirror) = self.mirrors.get(index) else { continue };
            if mirror.has_work() {
                self.fan_out_next(index);
            }
            self.read_what_was_missed(index, fx);
        }
    }

    fn fan_out_one(&mut self, index: u32, budget: &mut usize, fx: &mut Effects) {
        loop {
            let Users { mirrors, sessions, .. } = self;
            let Some(mirror) = mirrors.get_mut(index) else { return };
            let mut has_ack = |session: u32, record: &Record| has_ack(sessions, session, record);
            let Some(changes) = mirror.hand_out(budget, &mut has_ack, fx) else { return };
            for record in changes {
                self.take_newcomers(index, record.seq, fx);
                self.members_changed(index, &record, fx);
            }
            // The record of a new member may have been trimmed before it was read.
            let Some(mirror) = self.mirrors.get(index) else { return };
            self.take_newcomers(index, mirror.pending_from() - 1, fx);
        }
    }

    fn take_newcomers(&mut self, index: u32, seq: u64, fx: &mut Effects) {
        while let Some(mirror) = self.mirrors.get_mut(index)
            && let Some(newcomer) = mirror.next_newcomer(seq)
        {
            let key = mirror.key.clone();
            self.member_entered(&key, &newcomer, fx);
        }
    }

    fn read_what_was_missed(&mut self, index: u32, fx: &mut Effects) {
        let mirror = &mut self.mirrors[index];
        if mirror.lag == Lag::Behind && mirror.waiting() <= QUEUE_MAX / 2 {
            mirror.lag = Lag::Reading;
            let read = Read {
                key: mirror.key.clone(),
                user: "".into(),
                purpose: ReadFor::Mirror,
                cursor: (mirror.epoch, mirror.next - 1),
                limit: (QUEUE_MAX / 2) as u32,
                direction: Direction::forward,
            };
            let home = self.slots.home(mirror.key.bytes());
            self.credits.send(home, Request::Read(Box::new(read)), fx);
        }
    }

    /// Everyone has seen the record that removed somebody; from here on he receives nothing.
    fn members_changed(&mut self, mirror: u32, record: &Record, fx: &mut Effects) {
        match record.content.kind {
            RecordKind::removed | RecordKind::left => {
                if let Some(user) = record.content.subject.as_ref().and_then(|name| self.find_user(name)) {
                    self.no_longer_member(mirror, user, record.seq, fx);
                }
            }
            RecordKind::disbanded => {
                let mut users: Vec<u32> = self.mirrors[mirror].receivers().map(|session| self.sessions[session].user).collect();
                users.dedup();
                users.into_iter().for_each(|user| self.no_longer_member(mirror, user, record.seq, fx));
            }
            _ => {}
        }
    }

    /// A session that was attached after this record belongs to one who has become a member again.
    fn no_longer_member(&mut self, mirror: u32, user: u32, seq: u64, fx: &mut Effects) {
        let Some(key) = self.mirrors.get(mirror).map(|m| m.key.clone()) else { return };
        self.strike_from_list(user, &key, fx);
        let sessions = self.users[user].sessions.clone();
        for session in sessions {
            if let Some(place) = self.place_of(session, mirror)
                && self.mirrors[mirror].was_there_at(place, seq)
            {
                self.unlink(mirror, place, fx);
            }
        }
    }

    // ---- direct conversations

    /// The home of a direct conversation offers every message to both users' homes; a session that is not busy catching up has had
    /// everything before it.
    fn delivered_direct(&mut self, key: &Key, record: &Record, publisher: Option<SessionKey>, fx: &mut Effects) {
        let [a, b] = key.users();
        let sides = if a == b { vec![a] } else { vec![a, b] };
        for name in sides {
            if self.slots.home(name.as_bytes()) == self.me {
                self.delivered_to_user(name, key, record, publisher, fx);
            }
        }
    }

    fn delivered_to_user(&mut self, name: &str, key: &Key, record: &Record, publisher: Option<SessionKey>, fx: &mut Effects) {
        let user = self.find_or_add_user(name);
        let entries_max = self.limits.conversations_per_user_max as usize;
        let list = self.users[user].list(self.slots);
        let update = |entry: &mut Entry| (entry.epoch, entry.committed) = (record.epoch, record.seq);
        match list.entry_mut(key) {
            Some(entry) => update(entry),
            // It had fallen out of a full list.
            None => list.insert(key, entries_max).into_iter().for_each(update),
        }
        let mut frame = None;
        for &index in &self.users[user].sessions {
            let session = &self.sessions[index];
            let generation = self.sessions.generation(index).unwrap_or_default();
            let has_ack = publisher == Some(SessionKey { index, generation });
            let catches_up = session.more.as_ref().is_some_and(|more| more.catch_ups.iter().any(|c| c.key == *key));
            if !has_ack && !catches_up {
                let frame = frame.get_or_insert_with(|| fx.message(key, name, record)).clone();
                fx.deliveries += 1;
                fx.send(session.connection, frame, Weight::Data);
            }
        }
    }
}

/// Whether a session has been told the place of a record as its own; says so once.
fn has_ack(sessions: &mut Slab<Session>, session: u32, record: &Record) -> bool {
    let Some(more) = &mut sessions[session].more else { return false };
    let at = more.acked.iter().position(|&place| place == (record.epoch, record.seq));
    at.map(|at| more.acked.swap_remove(at)).is_some()
}
