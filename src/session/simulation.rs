//! The world under seeded streams of events: whatever clients do and in whichever order messages of different queues arrive, every
//! session gets what the protocol promises. A failure names its seed and step; [`crate::seeds`] says how to run that one alone, or more.
//! `CAMPANILE_TRACE=1` prints what clients get. Half of the worlds have a store on disk, and in those the machine goes down now and then.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher as Hash, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::stored::Step;
use super::world::{Client, Got, Log, World};
use crate::conversation::{Kind, Merge, Policies, Policy, Record};
use crate::limits::Limits;
use crate::seeds::seeds;
use crate::slot::ShardId;
use crate::wire::schema::{Direction, ErrorCode, ReceiptKind, RecordKind, Role, SkipReason};

const SEEDS: u64 = 200;
const STEPS: usize = 500;
const USERS: [&str; 5] = ["ann", "bob", "cat", "dan", "eve"];
const GROUPS: [&str; 2] = ["team", "club"];
const TOPICS: [&str; 2] = ["topic:news", "topic:jobs"];
const TAGS: [&str; 3] = ["red", "green", "blue"];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn within(&mut self, low: u32, high: u32) -> u32 {
        low + self.below((high - low + 1) as usize) as u32
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// Where a session stands in a conversation, by what it was told.
#[derive(Clone, Debug)]
struct Place {
    epoch: u64,
    next: u64,
    /// He was out for a while: it may also go on here.
    or: Option<u64>,
    /// It began from a cursor that only the server knows, so a gap cannot be judged.
    by_device: bool,
    tags: Vec<&'static str>,
}

/// What a client makes of what it gets; whatever it cannot explain is a failure.
#[derive(Default)]
struct View {
    user: &'static str,
    places: BTreeMap<String, Place>,
    /// Records that it wrote itself: it gets no other word of them.
    acked: BTreeSet<(u64, u64)>,
    /// The same, of repeated publishes: it may have got the record too.
    repeated: BTreeSet<(u64, u64)>,
    waiting: BTreeMap<u64, Asked>,
    /// Messages that were taken back, by the records that say so: those it has seen itself, and how many were gone for everybody when it came.
    taken_back: BTreeSet<(u64, u64)>,
    warned: usize,
    /// Receipts that want no answer, and were not refused: they are kept as soon as nothing is left to do.
    said: Vec<Noted>,
    /// Where it was told to begin without having asked.
    began: Vec<(String, u64, u64)>,
    /// Receipts that were answered: they are kept.
    noted: Vec<Noted>,
    /// What was promised before it came.
    kept: Kept,
    lost_interest: bool,
}

/// A receipt: of what, `delivered` or `read`, epoch and seq.
type Noted = (String, ReceiptKind, (u64, u64));

/// Messages of which somebody was told that they were taken back, and how many there were before. Whoever asks for them after that gets no body.
#[derive(Default)]
struct Gone(BTreeMap<(u64, u64), usize>);

impl Gone {
    fn add(&mut self, place: (u64, u64)) {
        let count = self.0.len();
        self.0.entry(place).or_insert(count);
    }

    fn was_among(&self, place: (u64, u64), first: usize) -> bool {
        self.0.get(&place).is_some_and(|&count| count < first)
    }
}

/// What is promised to be kept for a user's devices.
#[derive(Clone, Default)]
struct Kept {
    /// Up to where a device has received: what was answered.
    delivered: BTreeMap<(&'static str, &'static str, String), (u64, u64)>,
    /// Up to where a user has read.
    read: BTreeMap<(&'static str, String), (u64, u64)>,
    /// Devices that have said anything.
    heard: BTreeSet<(&'static str, &'static str, String)>,
}

impl Kept {
    fn note(&mut self, user: &'static str, device: &'static str, (to, kind, cursor): Noted) {
        let known = match kind {
            ReceiptKind::read => self.read.entry((user, to)).or_default(),
            _ => self.delivered.entry((user, device, to)).or_default(),
        };
        *known = cursor.max(*known);
    }

    /// A device that presented no cursor begins no earlier than behind what was answered to it; a new one, behind what its user has read.
    fn check(&self, user: &'static str, device: &'static str, to: &str, (epoch, next): (u64, u64), world: &World) {
        let place = (user, device, to.to_owned());
        let kept = if self.heard.contains(&place) { self.delivered.get(&place) } else { self.read.get(&(user, to.to_owned())) };
        let Some(&(_, seq)) = kept.filter(|kept| kept.0 == epoch) else { return };
        // Whoever leaves a group leaves his cursors too.
        let has_left = world.logs[&epoch].records.iter().any(|record| record.seq > seq && ends(record, user));
        assert!(has_left || next > seq, "{user} {device} {to} begins at {next}, but {seq} was kept");
    }
}

enum Asked {
    Subscribe {
        to: String,
        cursor: Option<(u64, u64)>,
        tags: Vec<&'static str>,
    },
    Unsubscribe(String),
    Receipt(Noted),
    Retract((u64, u64)),
    /// And how many messages had been taken back.
    Sync(usize),
    /// All up to this place, which is on the disk, when everything that was taken back is known.
    Records((u64, u64)),
    Other,
}

impl View {
    fn look(&mut self, got: Got, world: &World, gone: &mut Gone) {
        let asked = match got.reference() {
            0 | 1 => None,
            reference => Some(self.waiting.remove(&reference).expect("an answer to a question, and only one")),
        };
        match got {
            Got::Message { to, epoch, seq, sender, body, kind, subject, tag, is_retracted } => {
                let record = &world.logs[&epoch].records[seq as usize - 1];
                let same = (record.seq, &*record.sender, record.content.kind);
                assert_eq!((seq, &*sender, kind), same, "all see the same");
                self.content(record, &body, is_retracted, gone, self.warned, world);
                assert_eq!(subject.as_deref(), record.content.subject.as_deref());
                assert_eq!(world.logs[&epoch].key.address(self.user).to_string(), to);
                self.message(to, epoch, seq, tag.as_deref(), record, &world.logs[&epoch]);
                if kind == RecordKind::retracted {
                    self.learn((epoch, record.content.target), gone);
                }
            }
            Got::Page { epoch, seqs, contents, gap, next, .. } => {
                let warned = match asked {
                    Some(Asked::Sync(warned)) => warned,
                    Some(Asked::Records(place)) => {
                        // What was before he joined is passed over.
                        assert!(!gap && epoch == place.0 && next >= place.1, "{place:?} was there; now there is {epoch}/{next}");
                        usize::MAX
                    }
                    _ => panic!("a page, but that was not the question"),
                };
                for (seq, (body, is_retracted)) in seqs.into_iter().zip(contents) {
                    let record = &world.logs[&epoch].records[seq as usize - 1];
                    self.content(record, &body, is_retracted, gone, warned, world);
                    if record.content.kind == RecordKind::retracted {
                        self.learn((epoch, record.content.target), gone);
                    }
                }
            }
            Got::Ack { epoch, seq, duplicate, .. } => {
                let place = (epoch, seq);
                if let Some(Asked::Retract(target)) = asked {
                    let records = &world.logs[&target.0].records;
                    assert!(
                        records.iter().any(|r| r.content.target == target.1),
                        "{target:?}: nothing says that it is taken back"
                    );
                    // To this session itself it may be on its way.
                    gone.add(target);
                }
                if duplicate {
                    self.repeated.insert(place);
                } else {
                    assert!(self.acked.insert(place), "a place is given once");
                }
                assert!(seq as usize <= world.logs[&epoch].records.len());
            }
            Got::Subscribed { to, epoch, next, .. } => self.subscribed(asked, to, epoch, next, world),
            Got::Gap { to, epoch, first, committed } => {
                let place = self.places.get_mut(&to).expect("a gap in what is received");
                let cannot = place.epoch != epoch || place.next < first || place.next > committed + 1;
                let cannot = cannot || place.by_device;
                assert!(cannot, "{to}: {place:?} could have been honoured: {first}..{committed}");
                (place.epoch, place.next) = (epoch, first);
            }
            Got::Skip { to, epoch, from, until, why } => self.skip(&to, epoch, from, until, why, world),
            Got::Error { reference, about, code } => {
                // Over the window nothing was even looked at.
                if let Some(Asked::Subscribe { to, .. }) = asked
                    && code != ErrorCode::busy
                {
                    self.places.remove(&to);
                }
                // One without a question is about a receipt, or a conversation that cannot be resumed.
                if reference == 0 && about.is_none() {
                    self.said.clear();
                }
                if let Some(to) = about {
                    self.places.remove(&to);
                }
            }
            Got::Answer { reference: 0, text } => panic!("an answer that was not asked for: {text}"),
            Got::Answer { .. } => match asked {
                Some(Asked::Unsubscribe(to)) => drop(self.places.remove(&to)),
                Some(Asked::Receipt(noted)) => self.noted.push(noted),
                _ => {}
            },
            Got::Receipt { .. } | Got::Presence { .. } | Got::Ephemeral { .. } | Got::Dropped(_) => {}
        }
    }

    /// A message was taken back; whoever is told knows it from now on.
    fn learn(&mut self, place: (u64, u64), gone: &mut Gone) {
        self.taken_back.insert(place);
        gone.add(place);
    }

    /// What a record says: what its sender wrote, or nothing if he has taken it back. `warned`: how many messages had been taken back, as somebody had been
    /// told, when this client asked for it.
    fn content(&self, record: &Record, body: &[u8], is_retracted: bool, gone: &Gone, warned: usize, world: &World) {
        let place = (record.epoch, record.seq);
        if is_retracted {
            let said = world.logs[&record.epoch].records.iter().any(|r| r.content.target == record.seq);
            assert!(body.is_empty() && said, "{place:?} is said to be taken back: {body:?}");
            return;
        }
        assert_eq!(body, &record.content.body[..], "{place:?}: all see the same");
        assert!(!self.taken_back.contains(&place), "{place:?} is shown to one who knows that it was taken back");
        assert!(!gone.was_among(place, warned), "{place:?} is shown to one who asked when it had been taken back");
    }

    /// The place, moved past what this client wrote itself.
    fn advance(&mut self, to: &str) {
        let Some(place) = self.places.get_mut(to) else { return };
        while self.acked.contains(&(place.epoch, place.next)) || self.repeated.contains(&(place.epoch, place.next)) {
            place.next += 1;
        }
        while let Some(seq) = place.or.filter(|&seq| self.acked.contains(&(place.epoch, seq))) {
            place.or = Some(seq + 1);
        }
    }

    fn message(&mut self, to: String, epoch: u64, seq: u64, tag: Option<&str>, record: &Record, log: &Log) {
        assert!(!self.acked.contains(&(epoch, seq)), "{to} {seq}: the one who gets the ack does not get the message as well");
        if log.key.kind() == Kind::Group {
            assert!(may_see(log, self.user, seq), "{to} {seq}: {} was no member then", self.user);
        }
        if !self.places.contains_key(&to) && to.starts_with("direct:") {
            self.places.insert(to.clone(), Place { epoch, next: 1, or: None, by_device: false, tags: Vec::new() });
        }
        // One without a message may have been forgotten and founded anew.
        if let Some(place) = self.places.get_mut(&to).filter(|place| log.key.kind() == Kind::Direct && place.next == 1) {
            place.epoch = epoch;
        }
        let before = self.places.get(&to).cloned();
        let expected = before.as_ref().is_some_and(|p| p.epoch == epoch && (p.next == seq || p.or == Some(seq)));
        if !expected {
            self.advance(&to);
        }
        let place = self.places.get_mut(&to).unwrap_or_else(|| panic!("{to} {seq}: it is not received"));
        let expected = expected || place.or == Some(seq);
        assert_eq!(place.epoch, epoch, "{to} {seq}: of another epoch than announced");
        let again = seq < place.next && self.repeated.contains(&(epoch, seq));
        assert!(expected || place.next == seq || again, "{to}: {seq} when {before:?} was next");
        assert!(place.tags.is_empty() || tag.is_some_and(|tag| place.tags.contains(&tag)), "{to} {seq}: filtered");
        place.next = if place.or == Some(seq) { seq + 1 } else { place.next.max(seq + 1) };
        (place.or, place.by_device) = (None, false);
        let is_back = may_see(log, self.user, log.records.len() as u64 + 1);
        if ends(record, self.user) && !is_back {
            self.places.remove(&to);
        }
    }

    fn skip(&mut self, to: &str, epoch: u64, from: u64, until: u64, why: SkipReason, world: &World) {
        assert!(from <= until && until as usize <= world.logs[&epoch].records.len(), "{to}: {from}..{until}");
        if self.places.get(to).is_some_and(|p| p.next < from && p.or != Some(from)) {
            self.advance(to);
        }
        let place = self.places.get_mut(to).unwrap_or_else(|| panic!("{to}: a skip of what is not received"));
        assert_eq!(place.epoch, epoch);
        assert!(from <= place.next || place.or == Some(from), "{to}: skips from {from} when {place:?} was next");
        if place.or == Some(from) {
            place.next = from;
        }
        for seq in from.max(place.next)..=until {
            let content = &world.logs[&epoch].records[seq as usize - 1].content;
            match why {
                SkipReason::expired => assert!(content.ttl_ms > 0),
                SkipReason::filtered => {
                    let wanted = content.tag.as_deref().is_some_and(|tag| place.tags.contains(&tag));
                    assert!(!wanted || self.acked.contains(&(epoch, seq)) || self.repeated.contains(&(epoch, seq)));
                }
                SkipReason::before_joined => {
                    let is_his =
                        |r: &Record| r.content.subject.as_deref() == Some(self.user) || r.content.kind == RecordKind::created;
                    assert!(world.logs[&epoch].records[seq as usize..].iter().any(|r| is_his(r)), "he joined later");
                }
                SkipReason::members_changed => {
                    let record = &world.logs[&epoch].records[seq as usize - 1];
                    assert!(record.content.is_quiet() && !ends(record, self.user), "{to} {seq}: not to be passed over");
                }
                _ => {}
            }
        }
        place.next = place.next.max(until + 1);
        place.or = None;
    }

    fn subscribed(&mut self, asked: Option<Asked>, to: String, epoch: u64, next: u64, world: &World) {
        match asked {
            Some(Asked::Subscribe { to: wanted, cursor, tags }) => {
                assert_eq!(wanted, to);
                let (epoch, next) = cursor.map_or((epoch, next), |(epoch, seq)| (epoch, seq + 1));
                self.places.insert(to, Place { epoch, next, or: None, by_device: false, tags });
            }
            Some(_) => panic!("{to}: subscribed, but that was not the question"),
            None => {
                // What he wrote in an earlier membership is history to him now, if he may read it.
                let records = world.logs.get(&epoch).map_or(&[][..], |log| &log.records);
                let end = records.iter().rfind(|r| ends(r, self.user)).map_or(0, |r| r.seq);
                let former: Vec<_> = self.acked.range((epoch, next)..=(epoch, end.max(next))).copied().collect();
                for place in former.into_iter().filter(|place| place.1 <= end) {
                    self.acked.remove(&place);
                    self.repeated.insert(place);
                }
                if !self.places.contains_key(&to) {
                    self.began.push((to.clone(), epoch, next));
                }
                let before = self.places.get(&to).map_or(0, |p| p.next);
                self.advance(&to);
                let Some(place) = self.places.get_mut(&to) else {
                    let place = Place { epoch, next, or: None, by_device: true, tags: Vec::new() };
                    self.places.insert(to, place);
                    return;
                };
                let log = world.logs.get(&place.epoch);
                let was_out = log.is_some_and(|log| {
                    log.key.kind() == Kind::Group && log.records.iter().any(|r| r.seq + 1 >= before && ends(r, self.user))
                });
                if was_out && epoch != place.epoch {
                    *place = Place { epoch, next, or: None, by_device: true, tags: Vec::new() };
                } else if was_out {
                    place.or = Some(next);
                }
            }
        }
    }

    /// Everything that it receives has come.
    fn check_complete(&mut self, world: &World) {
        assert!(self.waiting.is_empty(), "every request is answered");
        for (epoch, log) in &world.logs {
            let to = log.key.address(self.user).to_string();
            let is_due = match log.key.kind() {
                Kind::Direct => log.key.users().contains(&self.user),
                Kind::Group => may_see(log, self.user, log.records.len() as u64 + 1),
                Kind::Topic => self.places.contains_key(&to),
                Kind::Broadcast => true,
            };
            if !is_due || log.is_lost {
                continue;
            }
            let first = Place { epoch: *epoch, next: 1, or: None, by_device: false, tags: Vec::new() };
            if log.key.kind() == Kind::Direct {
                self.places.entry(to.clone()).or_insert(first);
            }
            self.advance(&to);
            let place = self.places.get_mut(&to).unwrap_or_else(|| panic!("{to} is not received"));
            if log.key.kind() == Kind::Direct && place.next == 1 {
                // Nothing that could be seen has come since it was founded anew.
                place.epoch = *epoch;
            }
            assert_eq!(place.epoch, *epoch, "{to}");
            let is_wanted = |r: &&std::sync::Arc<Record>| {
                let filtered = !place.tags.is_empty() && !r.content.tag.as_deref().is_some_and(|tag| place.tags.contains(&tag));
                let own = self.acked.contains(&(r.epoch, r.seq)) || self.repeated.contains(&(r.epoch, r.seq));
                r.seq >= place.or.unwrap_or(place.next) && !filtered && !own
            };
            let missing: Vec<u64> = log.records.iter().filter(is_wanted).map(|r| r.seq).collect();
            assert!(missing.is_empty(), "{} {to}: {missing:?} never came; {place:?}", self.user);
        }
    }
}

/// Whether this record ends a user's membership.
fn ends(record: &Record, user: &str) -> bool {
    match record.content.kind {
        RecordKind::removed | RecordKind::left => record.content.subject.as_deref() == Some(user),
        RecordKind::disbanded => true,
        _ => false,
    }
}

/// Whether a user may see a record of a group: he is a member then, or it is the record that ends that. With the whole history: or he
/// became one later.
fn may_see(log: &Log, user: &str, seq: u64) -> bool {
    let whole_history = log.records[0].content.body.ends_with(b"+");
    let mut joined = None;
    for record in &log.records {
        let subject = record.content.subject.as_deref() == Some(user);
        match record.content.kind {
            RecordKind::created if *record.sender == *user => joined = Some(1),
            RecordKind::added | RecordKind::joined if subject => joined = Some(record.seq),
            _ if ends(record, user) => {
                if joined.is_some_and(|joined| seq <= record.seq && (whole_history || joined <= seq)) {
                    return true;
                }
                joined = None;
            }
            _ => {}
        }
    }
    joined.is_some_and(|joined| whole_history || joined <= seq)
}

struct Simulation {
    random: Random,
    world: World,
    views: Vec<View>,
    /// Where the last session of a device stood when it left.
    left: BTreeMap<(&'static str, &'static str), BTreeMap<String, Place>>,
    kept: Kept,
    gone: Gone,
    /// How many of them were gone when nothing was on its way to anybody.
    gone_for_all: usize,
    policies: Policies,
    is_on_disk: bool,
    /// Everything that clients got, hashed.
    trace: Hash,
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let mut random = Random(seed);
        let limits = Limits {
            fan_out_slice: random.within(1, 5),
            fan_out_whole: random.below(4) as u32,
            lane_capacity: random.within(16, 40),
            group_add_max: 2,
            history_messages_max: random.one(&[4, 20, 1000]),
            page_messages_max: random.within(1, 6),
            window_requests: random.within(4, 16),
            dedupe_messages_max: 16,
            presence_linger_ms: 50,
            publish_rate_per_user: 0,
            conversation_idle_ms: random.within(1, 50),
            users_idle_max: random.one(&[0, 1, 100]),
            member_changes_told_max: [1000, 0, 2][(seed % 3) as usize],
            ..Limits::default()
        };
        let shards = random.within(1, 3) as ShardId;
        let policies = policies(seed);
        let world = World::with(shards, limits, policies);
        let is_on_disk = policies.any_on_disk();
        let (views, left, kept, gone) = (Vec::new(), BTreeMap::new(), Kept::default(), Gone::default());
        Simulation { random, world, views, left, kept, gone, gone_for_all: 0, policies, is_on_disk, trace: Hash::default() }
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..4 => self.connect(),
            4..6 => self.disconnect(),
            6..36 => self.act(),
            36..38 => self.world.pass(self.random.0 % 40),
            39 if self.is_on_disk => {
                let at = self.random.below(self.world.shards.len()) as ShardId;
                self.world.sweep(at);
            }
            38 if self.is_on_disk && self.random.chance(25) => self.crash(),
            _ => self.deliver(),
        }
        self.world.check();
        self.read_all();
    }

    fn deliver(&mut self) {
        let shards = self.world.shards.len();
        let (at, from) = (self.random.below(shards) as ShardId, self.random.below(shards) as ShardId);
        let part = self.random.below(self.world.store.parts.len());
        for _ in 0..=self.random.below(4) {
            match self.random.below(14) {
                0..3 => self.world.take_event(at, from),
                3..6 => self.world.take_request(at, from),
                6 => self.world.work(at),
                7 => self.world.drain(at),
                8..10 => self.world.store_step(part, at, Step::Stage),
                10 => self.world.store_step(part, at, Step::Commit),
                11 => self.world.store_step(part, at, Step::Read),
                12 => self.world.take_outcome(at, part, true),
                _ => self.world.take_outcome(at, part, false),
            };
        }
    }

    /// Those whose login is through begin where their device stood, as far as they are not told.
    fn open(&mut self) {
        for (client, begin) in std::mem::take(&mut self.world.opened) {
            let begin = begin.into_iter();
            let place = |(to, epoch, next)| (to, Place { epoch, next, or: None, by_device: false, tags: Vec::new() });
            for (to, epoch, next) in begin.clone() {
                let (user, device) = self.who(client);
                self.views[client].kept.check(user, device, &to, (epoch, next), &self.world);
            }
            self.views[client].places.extend(begin.map(place));
        }
    }

    fn who(&self, client: Client) -> (&'static str, &'static str) {
        (self.views[client].user, if self.world.clients[client].device == "phone" { "phone" } else { "desk" })
    }

    /// The machine goes down. What clients had got before, they have; they come back with their cursors, or without.
    fn crash(&mut self) {
        let shards = self.random.within(1, 3) as ShardId;
        let (loses, share) = (self.random.chance(70), self.random.below(101));
        self.world.crash(shards, |unsynced| if loses { unsynced * share / 100 } else { unsynced });
        self.gone_for_all = self.gone.0.len();
        self.trace.write_u64(0);
    }

    fn trace(&mut self, client: Client, got: &Got) {
        self.trace.write(format!("{client} {got:?}").as_bytes());
        if std::env::var("CAMPANILE_TRACE").is_ok() {
            let (user, device) = self.who(client);
            eprintln!("{client} {user} {device}: {}", got.short());
        }
    }

    fn connect(&mut self) {
        let (user, device) = (self.random.one(&USERS), self.random.one(&["phone", "desk"]));
        let resumes = self.random.chance(60);
        self.connect_as(user, device, resumes);
    }

    fn connect_as(&mut self, user: &'static str, device: &'static str, resumes: bool) {
        let places = self.left.get(&(user, device)).cloned().unwrap_or_default();
        let resumed = if resumes { places } else { BTreeMap::new() };
        let resumed: BTreeMap<String, Place> = resumed.into_iter().filter(|(_, p)| p.tags.is_empty()).collect();
        let resume: Vec<_> = resumed.iter().map(|(to, p)| (&**to, Some((p.epoch, p.next - 1)))).collect();
        let Ok(client) = self.world.connect(user, device, &resume) else { return };
        assert_eq!(client, self.views.len());
        let (kept, warned) = (self.kept.clone(), self.gone_for_all);
        self.views.push(View { user, places: resumed, kept, warned, ..View::default() });
    }

    fn disconnect(&mut self) {
        if let Some(client) = self.someone() {
            self.world.disconnect(client);
        }
    }

    fn someone(&mut self) -> Option<Client> {
        let open: Vec<Client> = (0..self.views.len()).filter(|&c| self.world.clients[c].closed.is_none()).collect();
        (!open.is_empty()).then(|| self.random.one(&open))
    }

    fn read_all(&mut self) {
        self.open();
        for client in 0..self.views.len() {
            for got in self.world.take(client) {
                self.trace(client, &got);
                self.views[client].look(got, &self.world, &mut self.gone);
            }
            let (user, device) = self.who(client);
            let View { began, noted, .. } = &mut self.views[client];
            let (began, noted) = (std::mem::take(began), std::mem::take(noted));
            for (to, epoch, next) in began {
                self.views[client].kept.check(user, device, &to, (epoch, next), &self.world);
            }
            noted.into_iter().for_each(|noted| self.kept.note(user, device, noted));
            if self.world.clients[client].closed.is_some() && !self.views[client].lost_interest {
                let view = &mut self.views[client];
                view.lost_interest = true;
                let device = if self.world.clients[client].device == "phone" { "phone" } else { "desk" };
                self.left.insert((view.user, device), std::mem::take(&mut view.places));
            }
        }
    }

    fn act(&mut self) {
        let Some(client) = self.someone() else { return };
        let (world, random) = (&mut self.world, &mut self.random);
        let (group, user, topic) = (random.one(&GROUPS), random.one(&USERS), random.one(&TOPICS));
        let mut asked = Asked::Other;
        let group_to = format!("group:{group}");
        let reference = match random.below(43) {
            0..16 => {
                let to = match random.below(10) {
                    0..4 => group_to,
                    4..6 => format!("direct:{user}"),
                    6..9 => topic.to_owned(),
                    _ => "broadcast".to_owned(),
                };
                let body = format!("{}", random.next() % 1000);
                let id = random.chance(30).then(|| format!("id{}", random.below(6)));
                let tag = random.chance(60).then(|| random.one(&TAGS));
                let ttl_ms = if random.chance(15) { 30 } else { 0 };
                world.publish_with(client, &to, &body, id.as_deref(), tag, ttl_ms)
            }
            16..18 => {
                let others: Vec<&str> = USERS.into_iter().filter(|_| random.chance(30)).take(2).collect();
                let (open, whole) = (random.chance(80), random.chance(30));
                world.create_group(client, group, open, whole, &others)
            }
            18..20 => world.join(client, group),
            20 => world.leave(client, group),
            21..23 => world.add(client, group, user, random.one(&[Role::member, Role::admin, Role::owner])),
            23..25 => world.remove(client, group, user),
            25 => {
                if random.chance(40) {
                    world.disband(client, group)
                } else {
                    world.list(client)
                }
            }
            26..31 => {
                let to = match random.below(10) {
                    0..8 => topic.to_owned(),
                    8 => group_to,
                    _ => "broadcast".to_owned(),
                };
                let known = self.views[client].places.get(&to).cloned();
                let back = random.below(4) as u64;
                let cursor = known.filter(|_| random.chance(50)).map(|p| (p.epoch, (p.next - 1).saturating_sub(back)));
                let is_topic = to.starts_with("topic:");
                let tags: Vec<&'static str> = TAGS.into_iter().filter(|_| is_topic && random.chance(30)).collect();
                if let Some((epoch, seq)) = cursor {
                    let view = &mut self.views[client];
                    view.acked.retain(|&(e, s)| e != epoch || s <= seq);
                    view.repeated.extend(world.logs.get(&epoch).iter().flat_map(|log| {
                        // What it published and has no answer to yet may be acked before, or come by the backlog.
                        log.records.iter().filter(|r| r.seq > seq && *r.sender == *view.user).map(|r| (epoch, r.seq))
                    }));
                }
                let reference = world.subscribe(client, &to, cursor, &tags);
                asked = Asked::Subscribe { to, cursor, tags };
                reference
            }
            31 => {
                asked = Asked::Unsubscribe(topic.to_owned());
                world.unsubscribe(client, topic)
            }
            32..34 => {
                let direction = random.one(&[Direction::forward, Direction::backward]);
                asked = Asked::Sync(self.gone.0.len());
                world.sync(client, random.one(&[group_to.as_str(), topic]), None, random.within(0, 3), direction)
            }
            40.. => {
                let (user, foreign) = (self.views[client].user, random.chance(10));
                let is_his = |log: &Log, r: &Record| {
                    let has_it = log.key.kind() != Kind::Direct || log.key.users().contains(&user);
                    has_it && r.content.kind == RecordKind::message && (*r.sender == *user || foreign)
                };
                let messages = |log: &'_ Log| log.records.iter().filter(|r| is_his(log, r)).map(|r| r.seq).collect::<Vec<_>>();
                let logs: Vec<_> = world.logs.iter().map(|(epoch, log)| (*epoch, log, messages(log))).collect();
                let logs: Vec<_> = logs.into_iter().filter(|(.., messages)| !messages.is_empty()).collect();
                if logs.is_empty() {
                    return;
                }
                let (epoch, log, messages) = &logs[random.below(logs.len())];
                let (to, target) = (log.key.address(user).to_string(), (*epoch, random.one(messages)));
                asked = Asked::Retract(target);
                world.retract(client, &to, target)
            }
            34..36 => {
                let places: Vec<_> = self.views[client].places.iter().filter(|(_, p)| p.next > 1).collect();
                let Some((to, place)) = (!places.is_empty()).then(|| random.one(&places)) else { return };
                let kind = random.one(&[ReceiptKind::delivered, ReceiptKind::read]);
                let (to, cursor) = (to.clone(), (place.epoch, place.next - 1));
                if kind == ReceiptKind::delivered {
                    let (user, device) = (self.views[client].user, world.clients[client].device == "phone");
                    self.kept.heard.insert((user, if device { "phone" } else { "desk" }, to.clone()));
                }
                if random.chance(40) {
                    world.say_receipt(client, &to, kind, cursor);
                    self.views[client].said.push((to, kind, cursor));
                    return;
                }
                asked = Asked::Receipt((to.clone(), kind, cursor));
                world.receipt(client, &to, kind, cursor)
            }
            36 => world.presence(client, &[user, "ann"], random.chance(70)),
            37 => world.count(client, random.one(&[group_to.as_str(), topic])),
            38 => world.ephemeral(client, random.one(&[group_to.as_str(), topic]), "typing"),
            _ => {
                if random.chance(20) {
                    world.appends_to_fail += 1 + random.below(3);
                    world.store.batches_to_fail += 1;
                }
                if random.chance(10) { world.log_out(client, "desk") } else { world.list(client) }
            }
        };
        self.views[client].waiting.insert(reference, asked);
    }

    /// Every device comes once more, without a cursor, and each user reads all that is on the disk for him.
    fn read_back(&mut self) {
        for user in USERS {
            for device in ["desk", "phone"] {
                self.connect_as(user, device, false);
                self.world.settle();
                self.read_all();
                self.views.last_mut().expect("it came just now").check_complete(&self.world);
            }
            self.read_logs(self.views.len() - 1);
        }
    }

    fn read_logs(&mut self, client: Client) {
        let user = self.views[client].user;
        let is_there = |log: &Log| {
            let is_his = log.key.kind() != Kind::Direct || log.key.users().contains(&user);
            let is_over = log.records.last().is_some_and(|r| r.content.kind == RecordKind::disbanded);
            self.policies.is_on_disk(log.key.kind()) && is_his && !is_over
        };
        let logs = self.world.logs.iter().filter(|(_, log)| is_there(log));
        let logs: Vec<_> = logs.map(|(&epoch, log)| (epoch, log.key.address(user).to_string(), log.records.len())).collect();
        let page = self.world.limits.page_messages_max as usize;
        for (epoch, to, len) in logs {
            for before in (0..len).step_by(page) {
                let reference = self.world.sync(client, &to, Some((epoch, before as u64)), 0, Direction::forward);
                let through = (before + page).min(len) as u64;
                self.views[client].waiting.insert(reference, Asked::Records((epoch, through)));
                self.world.settle();
                self.read_all();
            }
        }
    }

    fn finish(&mut self) {
        self.world.appends_to_fail = 0;
        self.world.store.batches_to_fail = 0;
        self.world.settle();
        self.read_all();
        self.world.check_at_rest();
        self.gone_for_all = self.gone.0.len();
        for client in 0..self.views.len() {
            if self.world.clients[client].closed.is_none() {
                self.views[client].check_complete(&self.world);
                let (user, device) = self.who(client);
                let said = std::mem::take(&mut self.views[client].said);
                said.into_iter().for_each(|said| self.kept.note(user, device, said));
            }
        }
        self.read_back();
        for client in 0..self.views.len() {
            if self.world.clients[client].closed.is_none() {
                self.world.disconnect(client);
            }
        }
        self.world.settle();
        self.world.pass(1000);
        self.world.settle();
        self.world.check_at_rest();
        for node in &self.world.shards {
            let (sessions, _, mirrors) = node.users.counts();
            assert_eq!((sessions, mirrors), (0, 0), "nobody is there");
        }
    }
}

/// Half of the worlds are in memory; of the others some have everything on disk, and some only one of what stands in lists. In a third of
/// all, messages wait for others.
fn policies(seed: u64) -> Policies {
    let merge = seed.is_multiple_of(3).then_some(Merge { ms: 10, messages: 4, bytes: 40 });
    let Policies { direct, group, topic, broadcast } = durability(seed);
    let waiting = |policy| Policy { merge, ..policy };
    Policies { direct, group: waiting(group), topic: waiting(topic), broadcast: waiting(broadcast) }
}

fn durability(seed: u64) -> Policies {
    let (memory, disk) = (Policies::in_memory(), Policies::default());
    match seed % 8 {
        1 => Policies { topic: disk.group, ..disk },
        3 => disk,
        5 => Policies { group: disk.group, ..memory },
        7 => Policies { direct: disk.direct, ..memory },
        _ => memory,
    }
}

/// Gives the hash of everything that clients got, or at which step something did not hold.
fn try_run(seed: u64, acknowledges_before_sync: bool) -> Result<u64, (usize, Box<dyn Any + Send>)> {
    let mut step = 0;
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut simulation = Simulation::new(seed);
        simulation.world.store.acknowledges_before_sync = acknowledges_before_sync;
        while step < STEPS {
            simulation.step();
            step += 1;
        }
        simulation.finish();
        simulation.trace.finish()
    }));
    result.map_err(|panic| (step, panic))
}

fn run(seed: u64) -> u64 {
    try_run(seed, false).unwrap_or_else(|(step, panic)| {
        eprintln!("seed {seed}, step {step}: CAMPANILE_SEED={seed} cargo test --lib session::simulation");
        resume_unwind(panic)
    })
}

/// Does something that may panic, and says nothing of it.
fn quietly<T>(what: impl FnOnce() -> T) -> T {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = what();
    std::panic::set_hook(hook);
    result
}

#[test]
fn a_seed_runs_the_same_way_each_time() {
    for seed in 8..16 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}

#[test]
fn every_session_gets_what_the_protocol_promises() {
    seeds(SEEDS).for_each(|seed| _ = run(seed));
}

#[test]
fn a_store_that_acknowledges_before_the_sync_is_caught() {
    let on_disk = (0..SEEDS).filter(|seed| policies(*seed).any_on_disk());
    let caught = quietly(|| on_disk.map(|seed| try_run(seed, true)).filter(Result::is_err).count());
    eprintln!("caught {caught}");
    assert!(caught > 0, "no seed sees it");
}

#[test]
fn the_checker_sees_what_is_wrong() {
    let mut world = World::new(1, Limits::default());
    let ann = world.client("ann", "phone");
    world.publish(ann, "broadcast", "one");
    world.publish(ann, "broadcast", "two");
    world.publish(ann, "broadcast", "three");
    world.settle();
    let (&epoch, log) = world.logs.iter().next().expect("there is a log");
    assert_eq!(log.key.kind(), Kind::Broadcast);
    let message = |seq: u64| {
        let record = &log.records[seq as usize - 1];
        let (to, body) = ("broadcast".to_owned(), record.content.body.to_vec());
        let sender = record.sender.to_string();
        let (kind, subject, tag) = (RecordKind::message, None, None);
        Got::Message { to, epoch, seq, sender, body, kind, subject, tag, is_retracted: false }
    };
    let see = |got: Vec<Got>| {
        let place = Place { epoch, next: 1, or: None, by_device: false, tags: Vec::new() };
        let places = BTreeMap::from([("broadcast".to_owned(), place)]);
        let mut view = View { user: "bob", places, ..View::default() };
        let look = || {
            let mut gone = Gone::default();
            got.into_iter().for_each(|got| view.look(got, &world, &mut gone));
            view.check_complete(&world);
        };
        quietly(|| catch_unwind(AssertUnwindSafe(look))).is_ok()
    };
    let skip = |from, until| Got::Skip { to: "broadcast".to_owned(), epoch, from, until, why: SkipReason::trimmed };
    let ack = |seq| Got::Ack { reference: 0, epoch, seq, duplicate: false };
    assert!(see(vec![message(1), message(2), message(3)]));
    assert!(see(vec![message(1), skip(2, 2), message(3)]));
    assert!(see(vec![message(1), ack(2), message(3)]));
    assert!(!see(vec![message(1), message(3)]), "a hole");
    assert!(!see(vec![message(1), message(2)]), "one is missing at the end");
    assert!(!see(vec![message(1), message(2), message(2), message(3)]), "one came twice");
    assert!(!see(vec![message(2), message(1), message(3)]), "out of order");
    assert!(!see(vec![message(1), ack(2), message(2), message(3)]), "ack and message");
    let changed = match message(2) {
        Got::Message { to, epoch, seq, sender, kind, subject, tag, is_retracted, .. } => {
            Got::Message { to, epoch, seq, sender, body: b"other".to_vec(), kind, subject, tag, is_retracted }
        }
        _ => unreachable!(),
    };
    assert!(!see(vec![message(1), changed, message(3)]), "another content");
}

#[test]
fn the_checker_sees_what_should_be_gone() {
    let mut world = World::new(1, Limits::default());
    let ann = world.client("ann", "phone");
    world.publish(ann, "broadcast", "one");
    world.settle();
    let (&epoch, _) = world.logs.iter().next().expect("there is a log");
    world.retract(ann, "broadcast", (epoch, 1));
    world.settle();
    let page = |seq: u64, body: &str, is_retracted| Got::Page {
        reference: 9,
        epoch,
        seqs: vec![seq],
        contents: vec![(body.into(), is_retracted)],
        gap: false,
        next: seq,
        has_more: false,
    };
    // Pages that come one after the other, each with how many messages had been taken back, as was known when it was asked for.
    let see = |pages: Vec<(Got, usize)>| {
        let (mut view, mut gone) = (View { user: "bob", ..View::default() }, Gone::default());
        let look = || {
            for (page, warned) in pages {
                view.waiting.insert(9, Asked::Sync(warned));
                view.look(page, &world, &mut gone);
            }
        };
        quietly(|| catch_unwind(AssertUnwindSafe(look))).is_ok()
    };
    let (body, gone, word) = (|| page(1, "one", false), || page(1, "", true), || page(2, "", false));
    assert!(see(vec![(body(), 0), (word(), 0), (gone(), 0), (gone(), 1)]));
    assert!(!see(vec![(word(), 0), (body(), 0)]), "it knows of it");
    assert!(!see(vec![(page(1, "one", true), 0)]), "taken back, and with a body");
    assert!(!see(vec![(page(2, "", true), 0)]), "nobody has taken that back");
    let mut known = Gone::default();
    known.add((epoch, 1));
    assert!(known.was_among((epoch, 1), 1) && !known.was_among((epoch, 1), 0));
}
