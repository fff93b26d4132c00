//! Mirrors: the receivers that a conversation has on this shard, and the fan-out to them.
//!
//! A record comes to a shard once, is encoded once, and is handed to the receivers in slices: a turn makes at most
//! `fan_out_slice` deliveries, and goes on in the next. What arrives meanwhile waits in the mirror's queue; when that is full the mirror
//! stops taking and later reads what it missed from the conversation's log. Each receiver keeps the next seq that it expects: lower is
//! ignored, so whoever comes or goes during a fan-out gets each record once.

use std::collections::VecDeque;
use std::sync::Arc;

use super::receive::Filter;
use super::user::User;
use super::{Users, frames};
use crate::conversation::{Key, Kind, Record};
use crate::effects::{Effects, Weight};
use crate::mesh::{Event, Page, Part, Read, ReadFor, Refusal, Request, SessionKey, Skipped};
use crate::ring::{Segment, Slot};
use crate::slot::ShardId;
use crate::wire::schema::{Direction, RecordKind, SkipReason};

/// Records that wait for their fan-out in one mirror; more are read from the log later.
const QUEUE_MAX: usize = if cfg!(test) { 8 } else { 256 };
/// Numbers that a filter passes over before the receiver's cursor is moved past them.
const FILTERED_MAX: u64 = if cfg!(test) { 10 } else { 1000 };

/// The receivers of a group, topic or broadcast on this shard.
pub(super) struct Mirror {
    pub(super) key: Key,
    pub(super) epoch: u64,
    /// The next seq that comes to this shard.
    pub(super) next: u64,
    live: Vec<Receiver>,
    /// Sessions that catch up and will be live.
    pub(super) catching_up: u32,
    /// How often the home has counted us.
    pub(super) attachments: u32,
    queue: VecDeque<Item>,
    /// How many of `live` have got the first item of the queue.
    position: usize,
    lag: Lag,
    /// Records that were not taken, and the sessions here that have an ack for them.
    acked: VecDeque<(u64, SessionKey)>,
    is_fanning_out: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lag {
    /// Records are taken as they come.
    None,
    /// They are not; the queue must get shorter first.
    Behind,
    /// They are not; what was missed is being read.
    Reading,
}

/// One session that receives the conversation live.
struct Receiver {
    connection: Slot,
    session: u32,
    generation: u32,
    /// Its place in the session's list of links.
    link: u32,
    next: u64,
    filter: Option<Box<Filter>>,
}

/// A session's way to its place in a mirror.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) mirror: u32,
    pub(super) place: u32,
}

/// What is handed to each receiver: a record, or word of numbers that do not come.
struct Item {
    /// The numbers that it is about; a receiver's cursor moves to the last.
    from: u64,
    to: u64,
    frame: Segment,
    record: Option<Arc<Record>>,
    /// The session that has its ack instead.
    publisher: Option<SessionKey>,
}

impl Users {
    // ---- mirrors come and go

    pub(super) fn find_mirror(&self, key: &Key) -> Option<u32> {
        self.by_key.find(self.slots.hash(key.bytes()), |index| self.mirrors[index].key == *key)
    }

    /// The mirror of a conversation that the home has just attached us to; it begins after `committed`.
    pub(super) fn mirror_attached(&mut self, key: &Key, epoch: u64, committed: u64) -> u32 {
        if let Some(former) = self.find_mirror(key).filter(|&m| self.mirrors[m].epoch != epoch) {
            self.retire_mirror(former);
        }
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

    /// The group was disbanded and founded anew: what is left of the former one is handed out, and the name belongs to the new one.
    fn retire_mirror(&mut self, index: u32) {
        self.by_key.remove(self.slots.hash(self.mirrors[index].key.bytes()), index);
        self.mirrors[index].attachments = 0;
    }

    /// Tells the home when nobody here receives the conversation any more.
    pub(super) fn release_mirror(&mut self, index: u32, fx: &mut Effects) {
        let mirror = &self.mirrors[index];
        if !mirror.live.is_empty() || mirror.catching_up > 0 {
            return;
        }
        let hash = self.slots.hash(mirror.key.bytes());
        self.by_key.remove(hash, index);
        self.fanning_out.retain(|&i| i != index);
        if let Some(Mirror { key, epoch, attachments, .. }) = self.mirrors.remove(index)
            && attachments > 0
        {
            self.credits.send(self.slots.home(key.bytes()), Request::Detach { key, epoch, attachments }, fx);
        }
    }

    /// A session receives live from `next` on.
    pub(super) fn link(&mut self, mirror: u32, session: u32, next: u64, filter: Option<Box<Filter>>) {
        let link = self.sessions[session].links.len() as u32;
        let place = self.mirrors[mirror].live.len() as u32;
        self.sessions[session].links.push(Link { mirror, place });
        let connection = self.sessions[session].connection;
        let generation = self.key_of_index(session).generation;
        self.mirrors[mirror].live.push(Receiver { connection, session, generation, link, next, filter });
    }

    /// A session receives no longer.
    pub(super) fn unlink(&mut self, mirror: u32, place: u32, fx: &mut Effects) {
        let m = &mut self.mirrors[mirror];
        let mut place = place as usize;
        let (session, link) = (m.live[place].session, m.live[place].link);
        if place < m.position {
            // It had its share of the fan-out that is under way: so had the one that takes its place.
            m.position -= 1;
            m.live.swap(place, m.position);
            self.sessions[m.live[place].session].links[m.live[place].link as usize].place = place as u32;
            place = m.position;
        }
        m.live.swap_remove(place);
        if let Some(moved) = m.live.get(place) {
            self.sessions[moved.session].links[moved.link as usize].place = place as u32;
        }
        let links = &mut self.sessions[session].links;
        links.swap_remove(link as usize);
        if let Some(&Link { mirror, place }) = links.get(link as usize) {
            self.mirrors[mirror].live[place as usize].link = link;
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
        self.mirrors[mirror].live.iter().map(|receiver| receiver.session).collect()
    }

    pub(super) fn count_receivers(&mut self, from: ShardId, key: &Key, part: Part, fx: &mut Effects) {
        let sessions = match (key.kind(), self.find_mirror(key)) {
            (Kind::Direct, _) => self.receivers(key).len(),
            (_, Some(mirror)) => self.mirrors[mirror].live.len() + self.mirrors[mirror].catching_up as usize,
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
        if mirror.queue.len() >= QUEUE_MAX {
            mirror.lag = Lag::Behind;
            mirror.acked.extend(publisher.map(|session| (record.seq, session)));
            return;
        }
        self.enqueue_record(index, record, publisher, fx);
    }

    fn enqueue_record(&mut self, index: u32, record: Arc<Record>, publisher: Option<SessionKey>, fx: &mut Effects) {
        if record.seq < self.mirrors[index].next {
            return;
        }
        let frame = fx.message(&self.mirrors[index].key, "", &record);
        let seq = record.seq;
        self.enqueue(index, Item { from: seq, to: seq, frame, record: Some(record), publisher });
    }

    fn enqueue(&mut self, index: u32, item: Item) {
        let mirror = &mut self.mirrors[index];
        mirror.next = item.to + 1;
        mirror.queue.push_back(item);
        if !std::mem::replace(&mut mirror.is_fanning_out, true) {
            self.fanning_out.push_back(index);
        }
    }

    /// The mirror fell behind, and here is what it missed.
    pub(super) fn mirror_page(&mut self, key: &Key, result: Result<Box<Page>, Refusal>, fx: &mut Effects) {
        let Some(index) = self.find_mirror(key) else { return };
        let mirror = &mut self.mirrors[index];
        let epoch = mirror.epoch;
        if mirror.lag != Lag::Reading {
            // An earlier mirror of this name asked for it.
            return;
        }
        let page = match result {
            Ok(page) if page.head.epoch == epoch => page,
            // The group is gone, and may have been founded anew: who received it has seen that in the log or never will.
            _ => return self.mirror_gone(index, fx),
        };
        mirror.lag = if page.has_more { Lag::Behind } else { Lag::None };
        let mut skips = page.skips.into_iter().peekable();
        for record in page.records {
            while let Some(skipped) = skips.next_if(|s| s.from < record.seq) {
                self.enqueue_skip(index, epoch, skipped, fx);
            }
            let publisher = self.mirrors[index].acked_by(record.seq);
            self.enqueue_record(index, record, publisher, fx);
        }
        skips.for_each(|skipped| self.enqueue_skip(index, epoch, skipped, fx));
        self.fan_out_next_turn(index);
    }

    fn enqueue_skip(&mut self, index: u32, epoch: u64, skipped: Skipped, fx: &mut Effects) {
        if skipped.to < self.mirrors[index].next {
            return;
        }
        let key = self.mirrors[index].key.clone();
        let frame = fx.frame(0, |b| frames::skip(b, key.address(""), epoch, skipped));
        self.enqueue(index, Item { from: skipped.from, to: skipped.to, frame, record: None, publisher: None });
    }

    fn fan_out_next_turn(&mut self, index: u32) {
        if !std::mem::replace(&mut self.mirrors[index].is_fanning_out, true) {
            self.fanning_out.push_back(index);
        }
    }

    // ---- the fan-out

    /// One turn's share: the mirrors take turns, a queue at a time.
    pub(super) fn fan_out(&mut self, fx: &mut Effects) {
        let mut budget = self.limits.fan_out_slice as usize;
        while budget > 0
            && let Some(index) = self.fanning_out.pop_front()
        {
            self.mirrors[index].is_fanning_out = false;
            self.fan_out_one(index, &mut budget, fx);
            // The last receiver may have gone with the last record.
            let Some(mirror) = self.mirrors.get(index) else { continue };
            if !mirror.queue.is_empty() {
                self.fan_out_next_turn(index);
            }
            self.read_what_was_missed(index, fx);
        }
    }

    fn fan_out_one(&mut self, index: u32, budget: &mut usize, fx: &mut Effects) {
        while let Some(mirror) = self.mirrors.get_mut(index) {
            if !mirror.fan_out_first(budget, fx) {
                return;
            }
            mirror.position = 0;
            let Some(item) = mirror.queue.pop_front() else { return };
            if let Some(record) = item.record {
                self.members_changed(index, &record, fx);
            }
        }
    }

    fn read_what_was_missed(&mut self, index: u32, fx: &mut Effects) {
        let mirror = &mut self.mirrors[index];
        if mirror.lag == Lag::Behind && mirror.queue.len() <= QUEUE_MAX / 2 {
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
        let receivers = &self.mirrors[mirror].live;
        let mut users: Vec<u32> = receivers.iter().map(|receiver| self.sessions[receiver.session].user).collect();
        users.sort_unstable();
        users.dedup();
        users.into_iter().for_each(|user| self.no_longer_member(mirror, user, end, fx));
    }

    /// A member who was removed is back, and a session of his waits here to be told of the removal: it is, before anything new.
    pub(super) fn end_former_membership(&mut self, session: u32, Link { mirror, place }: Link, fx: &mut Effects) {
        let name = self.users[self.sessions[session].user].name.clone();
        self.mirrors[mirror].hand_up_to_the_end(place as usize, &name, fx);
        self.unlink(mirror, place, fx);
    }

    /// `end`: the place of the record that ended his membership. If he has become a member again after it, his list keeps the group.
    fn no_longer_member(&mut self, mirror: u32, user: u32, end: (u64, u64), fx: &mut Effects) {
        let Some(key) = self.mirrors.get(mirror).map(|m| m.key.clone()) else { return };
        if self.users[user].entry(&key).is_none_or(|entry| entry.joined <= end) {
            self.strike_from_list(user, &key, fx);
        }
        let sessions = self.users[user].sessions.clone();
        for session in sessions {
            // One that is past that record has come by the new membership.
            if let Some(place) = self.place_of(session, mirror)
                && self.mirrors[mirror].live[place as usize].next <= end.1.saturating_add(1)
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
        let User { sessions, list, .. } = &mut self.users[user];
        if let Some(entry) = list.get_or_insert_default().insert(key, entries_max) {
            entry.epoch = record.epoch;
            entry.committed = record.seq;
        }
        let mut frame = None;
        for &index in sessions.iter() {
            let session = &self.sessions[index];
            let generation = self.sessions.generation(index).unwrap_or_default();
            let has_ack = publisher == Some(SessionKey { index, generation });
            let catches_up = session.more.as_ref().is_some_and(|more| more.catch_ups.iter().any(|c| c.key == *key));
            if !has_ack && !catches_up {
                let frame = frame.get_or_insert_with(|| fx.message(key, name, record)).clone();
                fx.send(session.connection, frame, Weight::Data);
            }
        }
    }
}

impl Mirror {
    fn new(key: Key, epoch: u64, next: u64) -> Mirror {
        Mirror {
            key,
            epoch,
            next,
            live: Vec::new(),
            catching_up: 0,
            attachments: 0,
            queue: VecDeque::new(),
            position: 0,
            lag: Lag::None,
            acked: VecDeque::new(),
            is_fanning_out: false,
        }
    }

    /// Session and link of a receiver.
    #[cfg(test)]
    pub(super) fn receiver(&self, place: u32) -> (u32, u32) {
        let receiver = &self.live[place as usize];
        (receiver.session, receiver.link)
    }

    /// What holds between steps; gives the number of receivers.
    #[cfg(test)]
    pub(super) fn check(&self) -> usize {
        assert!(!self.live.is_empty() || self.catching_up > 0, "{:?} has a mirror without receivers", self.key);
        assert!(self.position <= self.live.len() && (self.position == 0 || !self.queue.is_empty()));
        let tos: Vec<u64> = self.queue.iter().map(|item| item.to).collect();
        assert!(tos.is_sorted() && tos.last().is_none_or(|&to| to + 1 == self.next), "{tos:?} {}", self.next);
        self.live.len()
    }

    /// A session may be linked without asking the home when nothing is missing and nobody's permission is needed.
    pub(super) fn takes_newcomers(&self) -> bool {
        self.lag == Lag::None && self.attachments > 0 && matches!(self.key.kind(), Kind::Topic | Kind::Broadcast)
    }

    /// The session here that has an ack for a record which was not taken when it came.
    fn acked_by(&mut self, seq: u64) -> Option<SessionKey> {
        while self.acked.pop_front_if(|(acked, _)| *acked < seq).is_some() {}
        self.acked.pop_front_if(|(acked, _)| *acked == seq).map(|(_, session)| session)
    }

    /// Hands the first item to those who have not had it. Says whether all have.
    fn fan_out_first(&mut self, budget: &mut usize, fx: &mut Effects) -> bool {
        let Some(item) = self.queue.front() else { return false };
        for receiver in &mut self.live[self.position..] {
            if *budget == 0 {
                return false;
            }
            self.position += 1;
            *budget -= usize::from(receiver.hand(&self.key, self.epoch, item, fx));
        }
        true
    }

    /// Hands one receiver what waits for him, up to the record that ends a user's membership.
    fn hand_up_to_the_end(&mut self, place: usize, user: &str, fx: &mut Effects) {
        let receiver = &mut self.live[place];
        for item in &self.queue {
            receiver.hand(&self.key, self.epoch, item, fx);
            if item.record.as_ref().is_some_and(|record| ends_membership(record, user)) {
                return;
            }
        }
    }
}

impl Receiver {
    /// Says whether it was sent: not if it was had before, by its own ack, or filtered.
    fn hand(&mut self, key: &Key, epoch: u64, item: &Item, fx: &mut Effects) -> bool {
        if self.next > item.to {
            return false;
        }
        self.next = item.to + 1;
        if item.publisher == Some(SessionKey { index: self.session, generation: self.generation }) {
            return false;
        }
        if let Some(filter) = &mut self.filter
            && !filter.passes(key, epoch, item.from, item.record.as_deref(), self.connection, fx)
        {
            return false;
        }
        fx.send(self.connection, item.frame.clone(), Weight::Data);
        true
    }
}

fn ends_membership(record: &Record, user: &str) -> bool {
    match record.content.kind {
        RecordKind::removed | RecordKind::left => record.content.subject.as_deref() == Some(user),
        RecordKind::disbanded => true,
        _ => false,
    }
}

impl Filter {
    /// Whether a receiver with this filter gets the record; tells him in time which numbers he does not get.
    pub(super) fn passes(
        &mut self,
        key: &Key,
        epoch: u64,
        seq: u64,
        record: Option<&Record>,
        connection: Slot,
        fx: &mut Effects,
    ) -> bool {
        let passes = record.is_none_or(|record| self.wants(record));
        if !passes && self.skipping_from == 0 {
            self.skipping_from = seq;
        }
        let last = if passes { seq - 1 } else { seq };
        let is_due = passes || last + 1 - self.skipping_from >= FILTERED_MAX;
        if self.skipping_from != 0 && is_due {
            let from = std::mem::take(&mut self.skipping_from);
            let skipped = Skipped { from, to: last, why: SkipReason::filtered };
            let frame = fx.frame(0, |b| frames::skip(b, key.address(""), epoch, skipped));
            fx.send(connection, frame, Weight::Data);
        }
        passes
    }
}
