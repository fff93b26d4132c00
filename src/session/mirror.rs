//! A mirror: the receivers that a conversation has on this shard, and what is being handed to them.
//!
//! Records that arrive wait in a queue. A *round* takes all that wait, encodes them one after the other, and walks over the receivers: each gets the
//! whole run of bytes as one segment, so that what came together leaves with one send. A round can take many turns; what arrives meanwhile waits
//! for the next one. Each receiver keeps the next seq that it expects: lower is ignored, so whoever comes or goes during a round gets each record once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use smallvec::SmallVec;

use super::merge::Waiting;
use super::receive::Filter;
use super::{Session, frames};
use crate::conversation::{Key, Kind, Merge, Record};
use crate::effects::{Effects, Weight};
use crate::mesh::{SessionKey, Skipped};
use crate::near::Near;
use crate::ring::{Segment, Slot};
use crate::slab::{Pages, Slab};
use crate::wire::schema::{RecordKind, SkipReason};

/// Records that wait for their round; more are read from the log later.
pub(super) const QUEUE_MAX: usize = if cfg!(test) { 8 } else { 256 };
/// Bytes of one round, about: a fraction of what an outbox holds.
const ROUND_BYTES: usize = 32 * 1024;
/// Numbers that a filter passes over before the receiver's cursor is moved past them.
const FILTERED_MAX: u64 = if cfg!(test) { 10 } else { 1000 };
/// Numbers that only pass by wait this long for a message to be told with: meanwhile nobody needs to know.
const PASSING: Merge = Merge { ms: 10_000, messages: u32::MAX, bytes: u32::MAX };
/// A delivery of this many bytes counts twice in a turn's budget.
const BYTES_PER_DELIVERY: usize = 4096;

/// The receivers of a group, topic or broadcast on this shard.
pub(super) struct Mirror {
    pub(super) key: Key,
    pub(super) epoch: u64,
    /// The first seq that is kept, as it was when last heard of.
    pub(super) first: u64,
    /// The next seq that comes to this shard.
    pub(super) next: u64,
    live: Pages<Receiver>,
    /// Of those receivers who want only some of the records, by session.
    filters: BTreeMap<u32, Box<Filter>>,
    /// Sessions that catch up and will be live.
    pub(super) catching_up: u32,
    /// How often the home has counted us.
    pub(super) attachments: u32,
    queue: VecDeque<Item>,
    waiting: Waiting,
    merge: Option<Merge>,
    round: Option<Round>,
    pub(super) lag: Lag,
    /// Records that were not taken, and the sessions here that have an ack for them.
    pub(super) acked: VecDeque<(u64, SessionKey)>,
    /// It is in the list of those with something to hand out.
    pub(super) is_fanning_out: bool,
}

/// Whether records are taken as they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lag {
    /// They are.
    None,
    /// They are not; the queue must get shorter first.
    Behind,
    /// They are not; what was missed is being read.
    Reading,
}

/// One session that receives the conversation live.
pub(super) struct Receiver {
    connection: Slot,
    pub(super) session: u32,
    /// Its place in the session's list of links.
    pub(super) link: u32,
    /// The next seq that it expects: near the mirror's.
    next: Near,
}

const _: () = assert!(size_of::<Receiver>() == 16, "there is one for each conversation that each session receives");

/// What is handed to each receiver: a record, or word of numbers that do not come.
pub(super) enum Item {
    /// The session that published it has its ack instead.
    Record {
        record: Arc<Record>,
        publisher: Option<SessionKey>,
    },
    Skip(Skipped),
}

/// What is being handed out.
struct Round {
    items: Vec<(Item, Segment)>,
    /// All frames, merged where they follow one another in memory.
    whole: SmallVec<[Segment; 1]>,
    /// The first number in it, and the last.
    from: u64,
    to: u64,
    bytes: usize,
    /// Indexes of sessions that do not get all of it.
    publishers: SmallVec<[u32; 4]>,
    /// How many of the receivers have got it.
    position: usize,
}

/// What a finished round leaves to be done: changes of the group, in order.
pub(super) type Changes = Vec<Arc<Record>>;

impl Item {
    fn from(&self) -> u64 {
        match self {
            Item::Record { record, .. } => record.seq,
            Item::Skip(skipped) => skipped.from,
        }
    }

    /// The number that it moves a receiver's cursor to.
    pub(super) fn to(&self) -> u64 {
        match self {
            Item::Record { record, .. } => record.seq,
            Item::Skip(skipped) => skipped.to,
        }
    }

    fn encode(&self, key: &Key, epoch: u64, fx: &mut Effects) -> Segment {
        match self {
            Item::Record { record, .. } => fx.message(key, "", record),
            Item::Skip(skipped) => fx.frame(0, |b| frames::skip(b, key.address(""), epoch, *skipped)),
        }
    }

    pub(super) fn ends_membership_of(&self, user: &str) -> bool {
        let Item::Record { record, .. } = self else { return false };
        match record.content.kind {
            RecordKind::removed | RecordKind::left => record.content.subject.as_deref() == Some(user),
            RecordKind::disbanded => true,
            _ => false,
        }
    }

    fn passes_by(&self) -> bool {
        matches!(self, Item::Skip(skipped) if skipped.why == SkipReason::members_changed)
    }

    fn body_bytes(&self) -> usize {
        if let Item::Record { record, .. } = self { record.content.body.len() } else { 0 }
    }

    fn is_change(&self) -> bool {
        matches!(self, Item::Record { record, .. } if record.content.is_change())
    }

    /// After this record somebody is no longer there, so what follows is another round's.
    fn ends_round(&self) -> bool {
        let kind = match self {
            Item::Record { record, .. } => record.content.kind,
            Item::Skip(_) => return false,
        };
        matches!(kind, RecordKind::removed | RecordKind::left | RecordKind::disbanded)
    }
}

impl Mirror {
    pub(super) fn new(key: Key, epoch: u64, next: u64, merge: Option<Merge>) -> Mirror {
        Mirror {
            key,
            epoch,
            first: next,
            next,
            live: Pages::default(),
            filters: BTreeMap::new(),
            catching_up: 0,
            attachments: 0,
            queue: VecDeque::new(),
            waiting: Waiting::default(),
            merge,
            round: None,
            lag: Lag::None,
            acked: VecDeque::new(),
            is_fanning_out: false,
        }
    }

    // ---- receivers

    /// Adds a receiver; gives its place.
    pub(super) fn add(&mut self, connection: Slot, session: u32, link: u32, next: u64, filter: Option<Box<Filter>>) -> u32 {
        self.live.push(Receiver { connection, session, link, next: Near::new(next) });
        self.filters.extend(filter.map(|filter| (session, filter)));
        self.live.len() as u32 - 1
    }

    /// Removes the receiver at a place. Calls `moved` for each receiver that has another place now.
    pub(super) fn remove(&mut self, place: u32, mut moved: impl FnMut(&Receiver, u32)) -> Receiver {
        let mut place = place as usize;
        if let Some(round) = self.round.as_mut().filter(|round| place < round.position) {
            // It had its share of the round: so must the one that takes its place.
            round.position -= 1;
            let last_served = round.position;
            self.live.swap(place, last_served);
            if place != last_served {
                moved(&self.live[place], place as u32);
            }
            place = last_served;
        }
        let removed = self.live.swap_remove(place);
        self.filters.remove(&removed.session);
        if let Some(receiver) = self.live.get(place) {
            moved(receiver, place as u32);
        }
        removed
    }

    pub(super) fn receiver_mut(&mut self, place: u32) -> &mut Receiver {
        &mut self.live[place as usize]
    }

    pub(super) fn receivers(&self) -> impl Iterator<Item = u32> {
        self.live.iter().map(|receiver| receiver.session)
    }

    pub(super) fn receiver_count(&self) -> usize {
        self.live.len()
    }

    pub(super) fn has_receivers(&self) -> bool {
        !self.live.is_empty() || self.catching_up > 0
    }

    /// A session may be linked without asking the home when nothing is missing and nobody's permission is needed.
    pub(super) fn takes_newcomers(&self) -> bool {
        self.lag == Lag::None && self.attachments > 0 && matches!(self.key.kind(), Kind::Topic | Kind::Broadcast)
    }

    // ---- records

    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn has_work(&self) -> bool {
        self.round.is_some() || !self.queue.is_empty()
    }

    /// Whether it hands out nothing just now, and something waits.
    pub(super) fn has_only_waiting(&self) -> bool {
        self.round.is_none() && !self.queue.is_empty()
    }

    /// Until when what waits stays for more to come with it; `None`: nothing does.
    pub(super) fn waits_until(&mut self, now_ms: u64) -> Option<u64> {
        if !self.has_only_waiting() || self.lag != Lag::None {
            return None;
        }
        let only_passes = self.queue.len() == 1 && self.queue[0].passes_by();
        let merge = if only_passes { PASSING } else { self.merge? };
        self.waiting.until(merge, now_ms)
    }

    /// Whether the receiver at a place was there when this number was given out: else it has been attached later.
    pub(super) fn was_there_at(&self, place: u32, seq: u64) -> bool {
        self.live[place as usize].next.to(self.next) <= seq.saturating_add(1)
    }

    pub(super) fn enqueue(&mut self, item: Item) {
        self.next = item.to() + 1;
        if self.merge.is_some() {
            self.waiting.add(item.body_bytes(), item.is_change());
        }
        self.queue.push_back(item);
    }

    /// A change of members that is not told to those here: its number passes by, with those beside it.
    pub(super) fn pass_by(&mut self, seq: u64) {
        self.next = seq + 1;
        match self.queue.back_mut() {
            Some(Item::Skip(last)) if last.why == SkipReason::members_changed => last.to = seq,
            _ => self.queue.push_back(Item::Skip(Skipped { from: seq, to: seq, why: SkipReason::members_changed })),
        }
    }

    /// Hands out as much as the budget allows. Gives the changes of a round that has come to its end, and `None` when the budget has, or
    /// nothing waits.
    pub(super) fn hand_out(&mut self, sessions: &Slab<Session>, budget: &mut usize, fx: &mut Effects) -> Option<Changes> {
        if self.round.is_none() {
            self.round = self.begin_round(fx);
        }
        let round = self.round.as_mut()?;
        let Mirror { live, filters, key, epoch, .. } = self;
        for receiver in live.iter_mut_from(round.position) {
            if *budget == 0 {
                return None;
            }
            round.position += 1;
            *budget = budget.saturating_sub(1 + round.bytes / BYTES_PER_DELIVERY);
            let filter = if filters.is_empty() { None } else { filters.get_mut(&receiver.session) };
            if filter.is_none() && receiver.takes_all_of(round) {
                receiver.next = Near::new(round.to + 1);
                fx.deliveries += round.items.len() as u64;
                round.whole.iter().for_each(|run| fx.send(receiver.connection, run.clone(), Weight::Data));
            } else {
                let generation = sessions.generation(receiver.session).unwrap_or_default();
                let me = SessionKey { index: receiver.session, generation };
                let mut way = Way { key, epoch: *epoch, me, filter };
                round.items.iter().for_each(|(item, frame)| receiver.take(item, frame, &mut way, fx));
            }
        }
        let items = self.round.take().map(|round| round.items).unwrap_or_default();
        let changes = items.into_iter().filter_map(|(item, _)| match item {
            Item::Record { record, .. } if record.content.kind != RecordKind::message => Some(record),
            _ => None,
        });
        Some(changes.collect())
    }

    fn begin_round(&mut self, fx: &mut Effects) -> Option<Round> {
        let first = self.queue.front()?.from();
        let mut round = Round {
            items: Vec::with_capacity(self.queue.len().min(16)),
            whole: SmallVec::new(),
            from: first,
            to: first,
            bytes: 0,
            publishers: SmallVec::new(),
            position: 0,
        };
        while round.bytes < ROUND_BYTES
            && let Some(item) = self.queue.pop_front()
        {
            let last = item.ends_round();
            let frame = item.encode(&self.key, self.epoch, fx);
            round.push(item, frame);
            if last {
                break;
            }
        }
        self.waiting.taken(self.queue.len());
        Some(round)
    }

    /// Hands one receiver what waits for him, up to an item of which `is_last` says that he gets no more.
    pub(super) fn hand_what_waits(&mut self, place: u32, me: SessionKey, is_last: impl Fn(&Item) -> bool, fx: &mut Effects) {
        let receiver = &mut self.live[place as usize];
        let mut way = Way { key: &self.key, epoch: self.epoch, me, filter: self.filters.get_mut(&receiver.session) };
        for (item, frame) in self.round.iter().flat_map(|round| &round.items) {
            receiver.take(item, frame, &mut way, fx);
            if is_last(item) {
                return;
            }
        }
        for item in &self.queue {
            let frame = item.encode(&self.key, self.epoch, fx);
            receiver.take(item, &frame, &mut way, fx);
            if is_last(item) {
                return;
            }
        }
    }

    /// Hands one receiver what waits for him, and the record that ends his membership, which the others do not get.
    pub(super) fn hand_last(&mut self, place: u32, me: SessionKey, last: &Item, fx: &mut Effects) {
        self.hand_what_waits(place, me, |_| false, fx);
        let mut way = Way { key: &self.key, epoch: self.epoch, me, filter: None };
        let frame = last.encode(&self.key, self.epoch, fx);
        self.live[place as usize].take(last, &frame, &mut way, fx);
    }

    /// The session here that has an ack for a record which was not taken when it came.
    pub(super) fn acked_by(&mut self, seq: u64) -> Option<SessionKey> {
        while self.acked.pop_front_if(|(acked, _)| *acked < seq).is_some() {}
        self.acked.pop_front_if(|(acked, _)| *acked == seq).map(|(_, session)| session)
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
        assert!(self.has_receivers(), "{:?} has a mirror without receivers", self.key);
        assert!(self.round.as_ref().is_none_or(|round| round.position <= self.live.len()));
        let tos: Vec<u64> = self.queue.iter().map(Item::to).collect();
        assert!(tos.is_sorted() && tos.last().is_none_or(|&to| to + 1 == self.next), "{tos:?} {}", self.next);
        self.live.len()
    }
}

impl Round {
    fn push(&mut self, item: Item, frame: Segment) {
        self.to = item.to();
        self.bytes += frame.len();
        if let Item::Record { publisher: Some(session), .. } = &item {
            self.publishers.push(session.index);
        }
        if !self.whole.last_mut().is_some_and(|last| last.merge(&frame)) {
            self.whole.push(frame.clone());
        }
        self.items.push((item, frame));
    }
}

/// From a mirror to one receiver.
struct Way<'a> {
    key: &'a Key,
    epoch: u64,
    me: SessionKey,
    filter: Option<&'a mut Box<Filter>>,
}

impl Receiver {
    /// If it has no filter.
    fn takes_all_of(&self, round: &Round) -> bool {
        self.next == Near::new(round.from) && !round.publishers.contains(&self.session)
    }

    fn take(&mut self, item: &Item, frame: &Segment, way: &mut Way<'_>, fx: &mut Effects) {
        let next = self.next.to(item.to());
        if next > item.to() {
            return;
        }
        self.next = Near::new(item.to() + 1);
        let Way { key, epoch, filter, .. } = way;
        let (record, frame) = match item {
            Item::Record { publisher, .. } if *publisher == Some(way.me) => return,
            Item::Record { record, .. } => (Some(&**record), frame.clone()),
            Item::Skip(skipped) if skipped.from < next => {
                let rest = Item::Skip(Skipped { from: next, ..*skipped });
                (None, rest.encode(key, *epoch, fx))
            }
            Item::Skip(_) => (None, frame.clone()),
        };
        let passes = filter.as_mut().is_none_or(|f| f.passes(key, *epoch, item.from(), record, self.connection, fx));
        if passes {
            fx.deliveries += 1;
            fx.send(self.connection, frame, Weight::Data);
        }
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
        if passes || (self.skipping_from != 0 && last + 1 - self.skipping_from >= FILTERED_MAX) {
            say_filtered(self, key, epoch, last, connection, fx);
        }
        passes
    }
}

/// Tells a receiver which numbers its filter has passed over, up to `last`.
pub(super) fn say_filtered(filter: &mut Filter, key: &Key, epoch: u64, last: u64, connection: Slot, fx: &mut Effects) {
    let from = std::mem::take(&mut filter.skipping_from);
    if from != 0 && from <= last {
        let skipped = Skipped { from, to: last, why: SkipReason::filtered };
        let frame = fx.frame(0, |b| frames::skip(b, key.address(""), epoch, skipped));
        fx.send(connection, frame, Weight::Data);
    }
}
