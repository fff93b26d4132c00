//! Fan-out: a record comes to a shard once, is encoded once, and is handed to all receivers that the shard has.
//!
//! A turn makes at most `fan_out_slice` deliveries, and goes on in the next. When a mirror's queue is full, the mirror stops taking and
//! later reads what it missed from the conversation's log.

use std::sync::Arc;

use super::list::{Entry, HintState};
use super::mirror::{Item, Lag, Mirror, QUEUE_MAX};
use super::receive::Filter;
use super::{Session, Users};
use crate::clock::Now;
use crate::conversation::{Key, Kind, Record};
use crate::effects::{Effects, Weight};
use crate::limits::Limits;
use crate::mesh::{Event, Head, Page, Part, Read, ReadFor, Refusal, Request, SessionKey, Then};
use crate::slot::ShardId;
use crate::wire::schema::{CloseCode, Direction, ErrorCode, RecordKind};

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
    pub(super) fn mirror_attached(&mut self, key: &Key, head: &Head) -> u32 {
        if let Some(former) = self.find_mirror(key).filter(|&m| self.mirrors[m].epoch != head.epoch) {
            self.retire_mirror(former);
        }
        let merge = self.policies.of(key.kind()).merge;
        let index = self.find_mirror(key).unwrap_or_else(|| {
            let (index, _) = self.mirrors.insert(Mirror::new(key.clone(), head.epoch, head.committed + 1, merge));
            let (mirrors, slots) = (&self.mirrors, &self.slots);
            let hash_of = |index: u32| slots.hash(mirrors[index].key.bytes());
            self.by_key.insert(hash_of(index), index, hash_of);
            index
        });
        self.mirrors[index].attachments += 1;
        self.mirrors[index].first = head.first;
        index
    }

    /// The group was disbanded and founded anew: what is left of the former one is handed out, and the name belongs to the new one.
    fn retire_mirror(&mut self, index: u32) {
        self.by_key.remove(self.slots.hash(self.mirrors[index].key.bytes()), index);
        self.mirrors[index].attachments = 0;
    }

    /// Tells the home when nobody here receives the conversation any more.
    pub(super) fn release_mirror(&mut self, index: u32, fx: &mut Effects) {
        let mirror = &self.mirrors[index];
        if mirror.has_receivers() {
            return;
        }
        let hash = self.slots.hash(mirror.key.bytes());
        self.by_key.remove(hash, index);
        if mirror.is_fanning_out {
            self.fanning_out.retain(|&i| i != index);
        }
        if let Some(Mirror { key, epoch, attachments, .. }) = self.mirrors.remove(index)
            && attachments > 0
        {
            self.credits.send(self.slots.home(key.bytes()), Request::Detach { key, epoch, attachments }, fx);
        }
    }

    /// A session receives live from `next` on.
    pub(super) fn link(&mut self, mirror: u32, session: u32, next: u64, filter: Option<Box<Filter>>) {
        let Session { connection, links, .. } = &mut self.sessions[session];
        let place = self.mirrors[mirror].add(*connection, session, links.len() as u32, next, filter);
        links.push(Link { mirror, place });
        let (user, key) = (self.sessions[session].user, &self.mirrors[mirror].key);
        if key.kind() == Kind::Group
            && let Some(entry) = self.users[user].entry_mut(key)
        {
            // All lists share the group's name, not each the one that it came by.
            entry.key = key.clone();
        }
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

    /// The way of a session to where it receives a conversation live.
    pub(super) fn link_to(&self, session: u32, key: &Key) -> Option<Link> {
        self.sessions[session].links.iter().find(|link| self.mirrors[link.mirror].key == *key).copied()
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
        if record.seq < mirror.next {
            return;
        }
        if mirror.lag != Lag::None {
            mirror.acked.extend(publisher.map(|session| (record.seq, session)));
            return;
        }
        assert_eq!(record.seq, mirror.next, "{key:?}: a record is missing without a word");
        if mirror.waiting() >= QUEUE_MAX {
            mirror.lag = Lag::Behind;
            mirror.acked.extend(publisher.map(|session| (record.seq, session)));
            return;
        }
        self.enqueue(index, Item::Record { record, publisher }, fx);
    }

    fn enqueue(&mut self, index: u32, item: Item, fx: &mut Effects) {
        match &item {
            Item::Record { record, .. } if record.content.is_quiet() => self.pass_by(index, record, &item, fx),
            _ => self.mirrors[index].enqueue(item),
        }
        if self.mirrors.get(index).is_some() {
            self.fan_out_next(index);
        }
    }

    /// A change of members in a large group. Who leaves is told, with all that waits for him, and gone; the others learn that a number passed by.
    fn pass_by(&mut self, index: u32, record: &Record, item: &Item, fx: &mut Effects) {
        let leaver =
            record.content.subject.as_ref().filter(|name| item.ends_membership_of(name)).and_then(|name| self.find_user(name));
        let sessions = leaver.map(|user| self.users[user].sessions.to_vec()).unwrap_or_default();
        for session in sessions {
            if let Some(place) = self.place_of(session, index) {
                let me = self.key_of_index(session);
                self.mirrors[index].hand_last(place, me, item, fx);
            }
        }
        self.mirrors[index].pass_by(record.seq);
        if let Some(user) = leaver {
            self.no_longer_member(index, user, (record.epoch, record.seq), fx);
        }
    }

    fn fan_out_next(&mut self, index: u32) {
        if !std::mem::replace(&mut self.mirrors[index].is_fanning_out, true) {
            self.fanning_out.push_back(index);
        }
    }

    /// The mirror fell behind, and here is what it missed.
    pub(super) fn mirror_page(&mut self, key: &Key, cursor: (u64, u64), result: Result<Box<Page>, Refusal>, fx: &mut Effects) {
        // If it is not reading, an earlier mirror of this name asked.
        let asked = |mirror: &Mirror| mirror.lag == Lag::Reading && (mirror.epoch, mirror.next - 1) == cursor;
        let Some(index) = self.find_mirror(key).filter(|&index| asked(&self.mirrors[index])) else { return };
        let page = match result {
            Err(refusal) if refusal.code != ErrorCode::unknown_conversation => return self.mirror_failed(index, fx),
            Ok(page) if page.head.epoch == self.mirrors[index].epoch => page,
            // The group is gone, and may have been founded anew: who received it has seen that in the log or never will.
            _ => return self.mirror_gone(index, fx),
        };
        self.mirrors[index].lag = if page.has_more { Lag::Behind } else { Lag::None };
        let mut skips = page.skips.into_iter().peekable();
        for record in page.records {
            while let Some(skipped) = skips.next_if(|s| s.from < record.seq) {
                self.enqueue_missed(index, Item::Skip(skipped), fx);
            }
            // The last receiver may have gone with the record before.
            let Some(mirror) = self.mirrors.get_mut(index) else { return };
            let publisher = mirror.acked_by(record.seq);
            self.enqueue_missed(index, Item::Record { record, publisher }, fx);
        }
        for skipped in skips {
            self.enqueue_missed(index, Item::Skip(skipped), fx);
        }
        if self.mirrors.get(index).is_some() {
            self.fan_out_next(index);
        }
    }

    /// The log cannot be read just now: its receivers come back with their cursors and have lost nothing.
    fn mirror_failed(&mut self, index: u32, fx: &mut Effects) {
        let receivers: Vec<u32> = self.mirrors[index].receivers().collect();
        for session in receivers {
            self.close(self.key_of_index(session), CloseCode::overloaded, fx);
        }
        self.mirrors[index].lag = Lag::Behind;
        // Those who catch up may be live before it is gone.
        self.fan_out_next(index);
    }

    fn enqueue_missed(&mut self, index: u32, item: Item, fx: &mut Effects) {
        if self.mirrors.get(index).is_some_and(|mirror| item.to() >= mirror.next) {
            self.enqueue(index, item, fx);
        }
    }

    // ---- the fan-out

    /// One turn's share: the mirrors take turns.
    pub(super) fn fan_out(&mut self, now: Now, fx: &mut Effects) {
        // Who stops waits for nothing.
        let now_ms = if self.is_stopping { u64::MAX } else { now.mono_ms };
        self.end_waits(now_ms);
        let slice = self.limits.fan_out_slice as usize;
        let mut budget = slice;
        while budget > 0
            && let Some(index) = self.fanning_out.pop_front()
        {
            self.mirrors[index].is_fanning_out = false;
            let mut share = if budget == slice { self.first_share(index) } else { budget };
            let had = share;
            self.fan_out_one(index, &mut share, now_ms, fx);
            budget = budget.saturating_sub(had - share);
            // The last receiver may have gone with the last record.
            let Some(mirror) = self.mirrors.get_mut(index) else { continue };
            if let Some(until_ms) = mirror.waits_until(now_ms) {
                self.waiting.insert((until_ms, index));
            } else if mirror.has_work() {
                self.fan_out_next(index);
            }
            self.read_what_was_missed(index, fx);
        }
    }

    /// What the first mirror of a turn may hand out: a round that is not much longer than a slice is not cut, because what is published meanwhile would
    /// go with a round of its own.
    fn first_share(&self, index: u32) -> usize {
        let Limits { fan_out_slice, fan_out_whole, .. } = *self.limits;
        let is_whole = self.mirrors[index].receiver_count() <= fan_out_whole as usize;
        // Twice as much as for one send each, for long bodies.
        if is_whole { fan_out_slice.max(fan_out_whole.saturating_mul(2)) as usize } else { fan_out_slice as usize }
    }

    /// When records that wait for more go at the latest.
    pub(super) fn waits_until_ms(&self) -> Option<u64> {
        self.waiting.first().map(|&(until_ms, _)| until_ms)
    }

    /// What has waited for more long enough goes.
    fn end_waits(&mut self, now_ms: u64) {
        while let Some(&(until_ms, index)) = self.waiting.first()
            && until_ms <= now_ms
        {
            self.waiting.pop_first();
            // It may have gone since, or begun with another record.
            if self.mirrors.get(index).is_some_and(Mirror::has_work) {
                self.fan_out_next(index);
            }
        }
    }

    /// A session that leaves a conversation gets what waits there for more to come with it.
    pub(super) fn flush_to(&mut self, session: SessionKey, link: Link, fx: &mut Effects) {
        if !self.waiting.is_empty() && self.mirrors[link.mirror].has_only_waiting() {
            self.mirrors[link.mirror].hand_what_waits(link.place, session, |_| false, fx);
        }
    }

    fn fan_out_one(&mut self, index: u32, budget: &mut usize, now_ms: u64, fx: &mut Effects) {
        loop {
            let Users { mirrors, sessions, .. } = self;
            let Some(mirror) = mirrors.get_mut(index) else { return };
            if mirror.waits_until(now_ms).is_some() {
                return;
            }
            let Some(changes) = mirror.hand_out(sessions, budget, fx) else { return };
            for record in changes {
                self.members_changed(index, &record, fx);
            }
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
                    self.no_longer_member(mirror, user, (record.epoch, record.seq), fx);
                }
            }
            RecordKind::disbanded => self.mirror_gone(mirror, fx),
            _ => {}
        }
    }

    /// The group is gone: nobody receives it any more.
    fn mirror_gone(&mut self, mirror: u32, fx: &mut Effects) {
        let end = (self.mirrors[mirror].epoch, u64::MAX);
        let mut users: Vec<u32> = self.mirrors[mirror].receivers().map(|session| self.sessions[session].user).collect();
        users.sort_unstable();
        users.dedup();
        users.into_iter().for_each(|user| self.no_longer_member(mirror, user, end, fx));
    }

    /// A member who was removed is back, and a session of his waits here to be told of the removal: it is, before anything new.
    pub(super) fn end_former_membership(&mut self, session: u32, Link { mirror, place }: Link, fx: &mut Effects) {
        let name = self.users[self.sessions[session].user].name.clone();
        let me = self.key_of_index(session);
        self.mirrors[mirror].hand_what_waits(place, me, |item| item.ends_membership_of(&name), fx);
        self.unlink(mirror, place, fx);
    }

    /// `end`: the place of the record that ended his membership. If he has become a member again after it, his list keeps the group, and so
    /// do sessions that were attached after it.
    fn no_longer_member(&mut self, mirror: u32, user: u32, end: (u64, u64), fx: &mut Effects) {
        let Some(key) = self.mirrors.get(mirror).map(|m| m.key.clone()) else { return };
        let sessions = self.users[user].sessions.to_vec();
        let was_there = |&session: &u32| {
            let place = self.place_of(session, mirror);
            place.is_some_and(|place| self.mirrors[mirror].was_there_at(place, end.1))
        };
        // Of a list that was loaded later it is not known which membership it stands for, unless a session has been there since.
        let on_disk = self.policies.is_on_disk(key.kind());
        let is_void = |entry: &Entry| {
            entry.joined_at() <= end && (!on_disk || entry.joined_at() != (0, 0) || sessions.iter().any(was_there))
        };
        if self.users[user].entry(&key).is_none_or(is_void) {
            self.strike_from_list(user, &key, fx);
        }
        for session in sessions {
            if let Some(place) = self.place_of(session, mirror)
                && self.mirrors[mirror].was_there_at(place, end.1)
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
        let log = (record.epoch, record.seq);
        let listed = if self.policies.is_on_disk(Kind::Direct) {
            self.note_on_disk(name, key, record, fx)
        } else {
            self.note(name, key, log)
        };
        let Some((user, number)) = listed else { return };
        self.start_ahead(user, number, key, fx);
        let mut frame = None;
        for &index in self.users[user].sessions.iter() {
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

    /// The last record of a direct conversation in memory. Gives the user, and the conversation's place in his list.
    fn note(&mut self, name: &str, key: &Key, log: (u64, u64)) -> Option<(u32, u32)> {
        let user = self.find_or_add_user(name);
        let entries_max = self.limits.conversations_per_user_max as usize;
        let (slots, first) = (self.slots, self.first_number);
        let list = self.users[user].list(slots, first);
        let update = |entry: &mut Entry| {
            entry.set_log(log);
            entry.number
        };
        let number = match list.entry_mut(key) {
            Some(entry) => update(entry),
            // It had fallen out of a full list.
            None => list.insert(key, entries_max).map_or(0, update),
        };
        Some((user, number))
    }

    /// The same on disk. Whoever is not loaded has no sessions, and will ask when he has.
    fn note_on_disk(&mut self, name: &str, key: &Key, record: &Record, fx: &mut Effects) -> Option<(u32, u32)> {
        let user = self.find_user(name).filter(|&user| self.users[user].is_loaded)?;
        let Some(entry) = self.users[user].entry_mut(key) else {
            // It had fallen out of a full list.
            self.put_on_disk(self.me, name.into(), key.clone(), Then::Nothing, fx);
            return Some((user, 0));
        };
        entry.set_log((record.epoch, record.seq));
        let number = entry.number;
        if *record.sender != *name && !self.users[user].is_opening(key) {
            // Before the other wrote it, the list of either had the conversation. What this one has waiting goes first, though.
            self.users[user].entry_mut(key).into_iter().for_each(|entry| entry.hint = HintState::Ready);
        }
        Some((user, number))
    }
}
