//! The home of conversations: numbering, members, the dedupe window, and what is in flight to the store.
//!
//! [`Conversations`] decides and does nothing: requests, outcomes of the store and the time go in, effects come out. One file per kind of
//! request: [`publish`], [`change`], [`attach`], [`read`], [`retract`], [`receipt`]; and [`load`] (from disk into memory and back), [`retain`] (what
//! is no longer shown).
//!
//! **Provisional until committed.** A seq counts when its append has completed; nothing above `committed` leaves this module. When an
//! append fails, all later ones of the conversation fail with it and numbering goes back. While a change of the group is in flight,
//! what comes after it waits, so that it is judged by the members that its place in the log implies; and while a conversation is being loaded,
//! everything waits. What waits is taken up by [`Conversations::work`], as far as the lanes have room.

mod attach;
mod change;
mod dedupe;
mod group;
mod key;
mod load;
mod policy;
mod publish;
mod read;
mod receipt;
mod record;
mod retain;
mod retract;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use smallvec::SmallVec;

pub use group::{Group, Member, TITLE_BYTES_MAX};
pub use key::{Key, Kind};
pub use policy::{Durability, Merge, Policies, Policy};
pub use record::{Content, Name, Record, flags};

use crate::clock::Now;
use crate::effects::Effects;
use crate::limits::Limits;
use crate::mesh::{Event, Head, Refusal, Request};
use crate::slab::{Index, Slab};
use crate::slot::{ShardId, Slots};
use crate::store::{Append, Command, LogId, LogPlace, Outcome, TERM};
use crate::wire::schema::ErrorCode;
use dedupe::Dedupe;
use load::{Held, refuse};
use publish::InFlight;

/// Appends of one conversation that may be in flight; more publishers are told `busy`.
const IN_FLIGHT_MAX: usize = 4096;
/// Requests that may wait for a conversation: for a change of the group to be committed, or to be loaded. More are told `busy`.
const WAITING_MAX: usize = 4096;
/// Records that are kept for those who are reading from disk just now, so that the last page meets what comes live.
const TAIL_MAX: usize = 256;

/// Events towards one shard that an outcome of the store can cause: the answers, the record, and word for a new member. More wait.
pub const EVENTS_PER_OUTCOME: usize = publish::REPLIES_MAX + 2;

/// Events towards one shard that a single request can cause: an answer, and a record and a notice for each member of a new group.
pub fn events_per_request(limits: &Limits) -> usize {
    2 * (limits.group_add_max as usize + 2)
}

/// All conversations that this shard is the home of.
#[derive(Debug)]
pub struct Conversations {
    slots: Slots,
    limits: Arc<Limits>,
    policies: Policies,
    by_key: Index,
    /// The index of a conversation is also that of its log.
    all: Slab<Conversation>,
    next_epoch: u64,
    /// Appends on their way to each partition of the store.
    appending: Vec<Appending>,
    /// Conversations in which something waits that can be taken up.
    ready: VecDeque<LogId>,
    /// Requests whose conversation has ended under them: they meet the next one of that name, or none.
    again: VecDeque<(ShardId, Request)>,
    /// Events that wait for room in their lanes.
    late: VecDeque<(ShardId, Event)>,
    /// Conversations with receipts to store, and when, in the order of time.
    receipts_due: VecDeque<(u64, LogId)>,
    /// Larger than the attempt of any log that was forgotten: what its store still says of it is not about the next of that number.
    first_attempt: u32,
}

/// What is on its way to one partition, unanswered.
#[derive(Clone, Copy, Debug, Default)]
struct Appending {
    records: u32,
    bytes: u64,
}

/// One conversation, at its home.
#[derive(Debug)]
struct Conversation {
    key: Key,
    log: LogId,
    place: LogPlace,
    policy: Policy,
    epoch: u64,
    first: u64,
    committed: u64,
    /// Committed, and in flight.
    last_seq: u64,
    last_time_ms: u64,
    attempt: u32,
    in_flight: VecDeque<InFlight>,
    /// Changes of the group among those in flight.
    changes_in_flight: u32,
    /// What it is asked comes from disk first.
    is_loading: bool,
    waiting: VecDeque<(ShardId, Request)>,
    /// It is in the list of those with something to take up.
    is_ready: bool,
    /// When it was used last, in monotonic ms.
    used_ms: u64,
    /// Reads from disk that are under way, and what was committed meanwhile.
    reading: u32,
    tail: VecDeque<Arc<Record>>,
    taken_back: read::TakenBack,
    /// What is kept of it changed, and the disk does not know yet.
    is_head_due: bool,
    /// Sizes of the bodies that are kept, ascending by seq, where they are limited.
    sizes: VecDeque<(u64, u32)>,
    sizes_sum: u64,
    /// Receipts on their way to the disk.
    noting: Option<Box<receipt::Noting>>,
    /// Which shards have receivers, and by how many attachments.
    interest: SmallVec<[(ShardId, u32); 2]>,
    group: Option<Box<Group>>,
    /// Delivered and read, of both users of a direct conversation.
    receipts: [(u64, u64); 2],
    dedupe: Dedupe,
}

impl Conversations {
    /// No conversations yet. `first_epoch` must be larger than any that an earlier run may have given out; from there
    /// on every shard takes each n-th number, so that no two conversations have the same epoch.
    pub fn new(slots: Slots, limits: Arc<Limits>, policies: Policies, first_epoch: u64) -> Conversations {
        Conversations {
            slots,
            limits,
            policies,
            by_key: Index::default(),
            all: Slab::default(),
            next_epoch: first_epoch,
            appending: vec![Appending::default(); slots.partitions().into()],
            ready: VecDeque::new(),
            again: VecDeque::new(),
            late: VecDeque::new(),
            receipts_due: VecDeque::new(),
            first_attempt: 0,
        }
    }

    /// Number of conversations.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// A shard asks for something.
    pub fn request(&mut self, from: ShardId, request: Request, now: Now, fx: &mut Effects) {
        match self.hold(from, request, now, fx) {
            Held::Free(request) => self.take_up(from, request, now, fx),
            Held::Waits => {}
            Held::Full(request) => refuse(from, request, Refusal::busy(), fx),
        }
    }

    /// Does what is asked, now that its conversation is in memory, or is none.
    fn take_up(&mut self, from: ShardId, request: Request, now: Now, fx: &mut Effects) {
        match request {
            Request::Publish(publish) => self.publish(from, *publish, now, fx),
            Request::Change(change) => self.change(from, *change, now, fx),
            Request::Attach { key, user, session } => self.attach(from, key, &user, session, fx),
            Request::Detach { key, epoch, attachments } => self.detach(from, &key, epoch, attachments, fx),
            Request::Read(read) => self.read(from, *read, now, fx),
            Request::Members { key, user, reply, after, limit } => self.members(from, key, &user, reply, after, limit, fx),
            Request::Describe { key, user, part } => self.describe(from, &key, &user, part, fx),
            Request::Receipt { key, user, reply, kind, cursor } => self.receipt(from, key, user, reply, kind, cursor, now, fx),
            Request::Ephemeral { key, sender, reply, name, body } => self.ephemeral(from, key, sender, reply, name, body, fx),
            Request::Receivers { key, user, part } => self.receivers(from, key, &user, part, fx),
            Request::CountReceivers { .. } | Request::Hint { .. } | Request::Presence { .. } | Request::Unwatch { .. } => {
                unreachable!("this request goes to the home of users")
            }
        }
    }

    /// The store did something. To be called only with room for [`EVENTS_PER_OUTCOME`] in every event lane.
    pub fn outcome(&mut self, outcome: Outcome, now: Now, fx: &mut Effects) {
        match outcome {
            Outcome::Appended { log, attempt, seq, result } => self.appended(log, attempt, seq, result, fx),
            Outcome::Trimmed { log, first } => {
                if let Some(conversation) = self.all.get_mut(log) {
                    conversation.first = first;
                }
            }
            Outcome::Range { log, records, asked } => self.range(log, records, asked, now, fx),
            Outcome::Members { log, members } => self.members_loaded(log, members),
            Outcome::Loaded { log, result } => self.loaded(log, result, now, fx),
            Outcome::ReceiptsPut { put, result } => self.receipts_put(&put, result, now, fx),
            Outcome::HeadPut => {}
            _ => unreachable!("this outcome goes to the home of users"),
        }
    }

    /// Goes on with what waited. `room`: events that fit into every lane.
    pub fn work(&mut self, mut room: usize, now: Now, fx: &mut Effects) {
        let each = events_per_request(&self.limits);
        loop {
            let late = self.late.len().min(room);
            room -= late;
            fx.events.extend(self.late.drain(..late));
            if room < each {
                return;
            }
            if let Some((from, request)) = self.again.pop_front() {
                self.request(from, request, now, fx);
            } else if !self.take_up_next(now, fx) {
                return;
            }
            room -= each;
        }
    }

    /// Whether [`Self::work`] has more to do.
    pub fn has_work(&self) -> bool {
        !self.late.is_empty() || !self.again.is_empty() || !self.ready.is_empty()
    }

    /// Looks at `count` conversations from `from` on and forgets what ran out. Says where to go on, if not all were seen.
    pub fn sweep(&mut self, from: usize, count: usize, now: Now, fx: &mut Effects) -> Option<usize> {
        let end = (from + count).min(self.all.places());
        let (count_max, dedupe_ms) = (self.limits.dedupe_messages_max as usize, u64::from(self.limits.dedupe_ms));
        let idle_ms = u64::from(self.limits.conversation_idle_ms);
        for log in from..end {
            let Some(conversation) = self.all.get_mut(log as LogId) else { continue };
            conversation.dedupe.trim(conversation.committed, count_max, now.wall_ms.saturating_sub(dedupe_ms));
            conversation.put_head_if_due(fx);
            conversation.give_back_room();
            if conversation.is_forgotten() || conversation.is_idle(now.mono_ms.saturating_sub(idle_ms)) {
                self.remove(log as LogId, fx);
            }
        }
        (end < self.all.places()).then_some(end)
    }

    fn index_of(&self, key: &Key) -> Option<LogId> {
        self.by_key.find(self.slots.hash(key.bytes()), |log| self.all[log].key == *key)
    }

    fn find(&mut self, key: &Key) -> Option<&mut Conversation> {
        let log = self.index_of(key)?;
        self.all.get_mut(log)
    }

    /// The conversation if this user may read it; else the one answer for "there is none" and "not for you".
    fn readable(&mut self, key: &Key, user: &str) -> Result<&mut Conversation, Refusal> {
        let unknown = Refusal::new(ErrorCode::unknown_conversation);
        if key.kind() == Kind::Direct && key.users().contains(&user) {
            // It is there for its two users, written to or not.
            return self.find_or_create(key);
        }
        self.find(key).filter(|c| c.may_read(user)).ok_or(unknown)
    }

    fn create(&mut self, key: Key) -> Result<&mut Conversation, Refusal> {
        if self.all.len() >= self.limits.conversations_per_shard_max as usize {
            return Err(Refusal::busy());
        }
        let epoch = self.next_epoch;
        self.next_epoch += u64::from(self.slots.shards());
        let place = LogPlace { row: self.slots.row(key.bytes()), incarnation: epoch };
        let (log, _) = self.all.insert(Conversation {
            policy: *self.policies.of(key.kind()),
            key,
            log: 0,
            place,
            epoch,
            first: 1,
            committed: 0,
            last_seq: 0,
            last_time_ms: 0,
            attempt: self.first_attempt,
            in_flight: VecDeque::new(),
            changes_in_flight: 0,
            is_loading: false,
            waiting: VecDeque::new(),
            is_ready: false,
            used_ms: 0,
            reading: 0,
            tail: VecDeque::new(),
            taken_back: read::TakenBack::default(),
            is_head_due: false,
            sizes: VecDeque::new(),
            sizes_sum: 0,
            noting: None,
            interest: SmallVec::new(),
            group: None,
            receipts: [(0, 0); 2],
            dedupe: Dedupe::default(),
        });
        let (all, slots) = (&self.all, &self.slots);
        let hash_of = |log: LogId| slots.hash(all[log].key.bytes());
        self.by_key.insert(hash_of(log), log, hash_of);
        self.all[log].log = log;
        Ok(&mut self.all[log])
    }

    /// The conversation, made if it is of a kind that needs no founding.
    fn find_or_create(&mut self, key: &Key) -> Result<&mut Conversation, Refusal> {
        match (self.index_of(key), key.kind()) {
            (Some(log), _) => Ok(&mut self.all[log]),
            (None, Kind::Group) => Err(Refusal::new(ErrorCode::unknown_conversation)),
            (None, Kind::Direct | Kind::Topic | Kind::Broadcast) => self.create(key.clone()),
        }
    }

    fn remove(&mut self, log: LogId, fx: &mut Effects) {
        if let Some(conversation) = self.all.remove(log) {
            self.first_attempt = self.first_attempt.max(conversation.attempt + 1);
            self.by_key.remove(self.slots.hash(conversation.key.bytes()), log);
            if !conversation.policy.durability.is_on_disk() {
                fx.commands.push(Command::Forget(log));
            }
        }
    }
}

impl Conversation {
    fn may_read(&self, user: &str) -> bool {
        match (&self.group, self.key.kind()) {
            (Some(group), _) => group.member(user).is_some(),
            (None, Kind::Direct) => self.key.users().contains(&user),
            (None, Kind::Group) => false,
            (None, Kind::Topic | Kind::Broadcast) => true,
        }
    }

    /// A topic that nobody receives, or a direct conversation without a message, that keeps nothing and remembers nothing: whoever comes
    /// next founds it anew, in another epoch.
    fn is_forgotten(&self) -> bool {
        let keeps_nothing = self.first > self.committed && self.is_at_rest() && self.dedupe.is_empty();
        let is_refounded = match self.key.kind() {
            Kind::Topic => self.interest.is_empty(),
            Kind::Direct => self.committed == 0,
            Kind::Group | Kind::Broadcast => false,
        };
        is_refounded && keeps_nothing
    }

    /// Nothing is on its way to or from the store, and nothing waits.
    fn is_at_rest(&self) -> bool {
        let store_is_quiet = self.in_flight.is_empty() && self.reading == 0 && self.noting.is_none();
        store_is_quiet && !self.is_loading && !self.is_ready && self.waiting.is_empty()
    }

    /// Queues that were used once, and are empty, hold more memory than all the rest.
    fn give_back_room(&mut self) {
        fn give_back<T>(queue: &mut VecDeque<T>) {
            if queue.is_empty() && queue.capacity() > 0 {
                *queue = VecDeque::new();
            }
        }
        give_back(&mut self.in_flight);
        give_back(&mut self.waiting);
        give_back(&mut self.tail);
        give_back(&mut self.sizes);
    }

    fn head(&self, user: &str) -> Head {
        let visible_from = match &self.group {
            Some(group) if !group.whole_history => group.member(user).map_or(1, |m| m.joined),
            _ => 1,
        };
        Head { epoch: self.epoch, first: self.first, committed: self.committed, visible_from }
    }

    /// Gives a record the next place, provisionally, and sends it to the store.
    fn append(
        &mut self,
        sender: Name,
        content: Content,
        in_flight: impl FnOnce(Arc<Record>) -> InFlight,
        now: Now,
        fx: &mut Effects,
    ) {
        self.last_seq += 1;
        self.last_time_ms = self.last_time_ms.max(now.wall_ms);
        if content.is_change() {
            self.changes_in_flight += 1;
        }
        let expires_ms = self.policy.expires_ms(self.last_time_ms, content.ttl_ms);
        let record = Arc::new(Record { epoch: self.epoch, seq: self.last_seq, time_ms: self.last_time_ms, sender, content });
        fx.commands.push(Command::Append(Append {
            log: self.log,
            attempt: self.attempt,
            place: self.place,
            durability: self.policy.durability,
            term: TERM,
            key: self.key.clone(),
            record: record.clone(),
            expires_ms,
        }));
        self.in_flight.push_back(in_flight(record));
    }

    /// The shards that hear what happens here. The homes of a direct conversation's users always do.
    fn listeners(&self, slots: &Slots) -> SmallVec<[ShardId; 8]> {
        if self.key.kind() != Kind::Direct {
            return self.interest.iter().map(|&(shard, _)| shard).collect();
        }
        let [a, b] = self.key.users().map(|user| slots.home(user.as_bytes()));
        if a == b { SmallVec::from_slice(&[a]) } else { SmallVec::from_slice(&[a, b]) }
    }

    fn tell(&self, slots: &Slots, fx: &mut Effects, event: impl Fn(ShardId) -> Event) {
        self.listeners(slots).into_iter().for_each(|shard| fx.event(shard, event(shard)));
    }
}
