//! The rules of a conversation's home, with a store that is driven by hand.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::*;
use crate::id::Address;
use crate::mesh::{Change, GroupChange, Head, Part, Placed, Publish, Read, ReadFor, Reply, SessionKey, Skipped};
use crate::store::{Memory, NotStored};
use crate::wire::schema::{Direction, ReceiptKind, Role, SkipReason};

const EPOCH: u64 = 100;

/// One shard's conversations. What they ask of the store waits until a test lets it happen, or fail.
struct Home {
    conversations: Conversations,
    store: Memory,
    asked: VecDeque<Command>,
    fx: Effects,
    now: Now,
    references: u64,
}

type Events = Vec<(ShardId, Event)>;

impl Home {
    fn new(limits: Limits) -> Home {
        let limits = Arc::new(limits);
        Home {
            conversations: Conversations::new(Slots::new(7, 2), limits.clone(), Policies::in_memory(), EPOCH),
            store: Memory::new(&limits, &Policies::in_memory()),
            asked: VecDeque::new(),
            fx: Effects::default(),
            now: Now { mono_ms: 1, wall_ms: 1000 },
            references: 0,
        }
    }

    fn ask(&mut self, from: ShardId, request: Request) -> Events {
        self.conversations.request(from, request, self.now, &mut self.fx);
        self.take()
    }

    fn take(&mut self) -> Events {
        self.conversations.work(usize::MAX, self.now, &mut self.fx);
        self.asked.extend(self.fx.commands.drain(..));
        std::mem::take(&mut self.fx.events)
    }

    /// The store does the first thing that it was asked, or fails at it.
    fn store(&mut self, works: bool) -> Events {
        let mut outcomes = Vec::new();
        match self.asked.pop_front().expect("the store was asked for something") {
            Command::Append(append) if !works => {
                let (log, attempt, seq) = (append.log, append.attempt, append.record.seq);
                outcomes.push(Outcome::Appended { log, attempt, seq, result: Err(NotStored::Failed) });
            }
            command => self.store.execute(command, &mut outcomes),
        }
        for outcome in outcomes {
            self.conversations.outcome(outcome, self.now, &mut self.fx);
        }
        self.take()
    }

    /// The store does all that it was asked.
    fn settle(&mut self) -> Events {
        let mut events = Vec::new();
        while !self.asked.is_empty() {
            events.extend(self.store(true));
        }
        events
    }

    /// Asks, and lets the store work.
    fn ask_all(&mut self, from: ShardId, request: Request) -> Events {
        let mut events = self.ask(from, request);
        events.extend(self.settle());
        events
    }

    fn reply(&mut self) -> Reply {
        self.references += 1;
        Reply { session: session(1), reference: self.references }
    }

    fn publish(&mut self, key: &Key, sender: &str, content: Content) -> (Reply, Events) {
        let reply = self.reply();
        let publish = Publish { key: key.clone(), sender: sender.into(), reply, content };
        (reply, self.ask(0, Request::Publish(Box::new(publish))))
    }

    fn say(&mut self, key: &Key, sender: &str, body: &str) -> (Reply, Events) {
        self.publish(key, sender, message(body))
    }

    fn change(&mut self, key: &Key, actor: &str, change: Change) -> (Reply, Events) {
        let reply = self.reply();
        let change = GroupChange { key: key.clone(), actor: actor.into(), reply, change, hints: Vec::new() };
        (reply, self.ask(0, Request::Change(Box::new(change))))
    }

    /// A group with an owner and members, all in the log.
    fn found(&mut self, members: &[&str], open: bool, whole_history: bool) -> Key {
        let members: Vec<Name> = members.iter().map(|&m| m.into()).collect();
        self.change(&team(), "owner", Change::Create { title: Bytes::new(), open, whole_history, members });
        self.settle();
        team()
    }

    fn attach(&mut self, from: ShardId, key: &Key, user: &str) -> Result<Head, ErrorCode> {
        let request = Request::Attach { key: key.clone(), user: user.into(), session: session(9) };
        match self.ask(from, request).pop() {
            Some((to, Event::Attached { result, .. })) if to == from => result.map_err(|refusal| refusal.code),
            other => panic!("{other:?}"),
        }
    }

    fn read(&mut self, key: &Key, user: &str, cursor: (u64, u64), limit: u32, direction: Direction) -> mesh_page::Read {
        let purpose = ReadFor::Sync(self.reply());
        self.read_for(key, user, purpose, cursor, limit, direction)
    }

    fn read_for(
        &mut self,
        key: &Key,
        user: &str,
        purpose: ReadFor,
        cursor: (u64, u64),
        limit: u32,
        direction: Direction,
    ) -> mesh_page::Read {
        let read = Read { key: key.clone(), user: user.into(), purpose, cursor, limit, direction };
        let events = self.ask_all(0, Request::Read(Box::new(read)));
        let page = events.into_iter().find_map(|event| match event {
            (0, Event::Page { result, .. }) => Some(mesh_page::of(result)),
            _ => None,
        });
        page.expect("a read is answered")
    }

    fn receipt(&mut self, key: &Key, user: &str, kind: ReceiptKind, cursor: (u64, u64)) -> (Result<(), ErrorCode>, Events) {
        let reply = self.reply();
        let request = Request::Receipt { key: key.clone(), user: user.into(), reply, kind, cursor };
        let mut events = self.ask(0, request);
        match events.pop() {
            Some((0, Event::Noted { result, .. })) => (result.map_err(|refusal| refusal.code), events),
            other => panic!("{other:?}"),
        }
    }
}

/// Pages in short: seqs and what is said between them.
mod mesh_page {
    use super::*;
    use crate::mesh::Page;

    pub(super) type Read = Result<Short, ErrorCode>;

    #[derive(Debug, PartialEq, Eq)]
    pub(super) struct Short {
        pub seqs: Vec<u64>,
        pub skips: Vec<Skipped>,
        pub gap: bool,
        pub next: u64,
        pub has_more: bool,
    }

    pub(super) fn of(result: Result<Box<Page>, Refusal>) -> Read {
        let Page { gap, records, skips, next, has_more, .. } = *result.map_err(|refusal| refusal.code)?;
        Ok(Short { seqs: records.iter().map(|r| r.seq).collect(), skips, gap, next, has_more })
    }

    pub(super) fn plain(seqs: impl IntoIterator<Item = u64>, next: u64, has_more: bool) -> Read {
        Ok(Short { seqs: seqs.into_iter().collect(), skips: Vec::new(), gap: false, next, has_more })
    }
}
use mesh_page::{Short, plain};

mod durable;

fn session(index: u32) -> SessionKey {
    SessionKey { index, generation: 0 }
}

fn team() -> Key {
    Key::new("", Address::Group("team"))
}

fn news() -> Key {
    Key::new("", Address::Topic("news"))
}

fn message(body: &str) -> Content {
    Content::message(body.as_bytes().to_vec())
}

fn with_id(body: &str, client_id: &str) -> Content {
    Content { client_id: Some(client_id.into()), ..message(body) }
}

/// What was answered to a request: its place, or the code of its refusal.
fn answer(events: &[(ShardId, Event)], to: Reply) -> Option<Result<Placed, ErrorCode>> {
    events.iter().find_map(|(_, event)| match event {
        Event::Placed { reply, result } | Event::Changed { reply, result, .. } if *reply == to => {
            Some(result.map_err(|refusal| refusal.code))
        }
        _ => None,
    })
}

fn seq(events: &[(ShardId, Event)], to: Reply) -> u64 {
    answer(events, to).expect("it was answered").expect("it was taken").seq
}

/// Seqs that were told to a shard.
fn told(events: &[(ShardId, Event)], shard: ShardId) -> Vec<u64> {
    let delivered = events.iter().filter_map(|(to, event)| match event {
        Event::Delivered { record, .. } if *to == shard => Some(record.seq),
        _ => None,
    });
    delivered.collect()
}

fn skipped(from: u64, to: u64, why: SkipReason) -> Skipped {
    Skipped { from, to, why }
}

/// A user whose home is this shard.
fn user_at(shard: ShardId, nth: usize) -> String {
    let slots = Slots::new(7, 2);
    (0..).map(|i| format!("user{i}")).filter(|name| slots.home(name.as_bytes()) == shard).nth(nth).expect("there are many")
}

impl Conversations {
    /// Who is attached to what: for each conversation and shard, the epoch and the number of attachments.
    pub(crate) fn interests(&self) -> Vec<((Key, ShardId), (u64, u32))> {
        let all = self.all.iter();
        all.flat_map(|c| c.interest.iter().map(|&(shard, count)| ((c.key.clone(), shard), (c.epoch, count)))).collect()
    }
}

// ---- provisional until committed

#[test]
fn a_place_counts_only_when_the_store_has_it() {
    let mut home = Home::new(Limits::default());
    home.attach(1, &news(), "reader").unwrap();
    let (first, events) = home.say(&news(), "alice", "one");
    let (second, more) = home.say(&news(), "alice", "two");
    assert!(events.is_empty() && more.is_empty(), "nothing leaves before it is stored");
    assert_eq!(home.attach(0, &news(), "reader").unwrap().committed, 0);
    assert_eq!(home.read(&news(), "reader", (0, 0), 0, Direction::forward), plain([], 0, false), "asked before it was stored");
    assert_eq!(home.attach(0, &news(), "reader").unwrap().committed, 2);
    assert_ne!(first, second);
}

#[test]
fn the_ack_and_the_deliveries_come_with_the_commit_and_in_order() {
    let mut home = Home::new(Limits::default());
    home.attach(1, &news(), "reader").unwrap();
    let (first, _) = home.say(&news(), "alice", "one");
    let (second, _) = home.say(&news(), "alice", "two");
    let events = home.store(true);
    assert_eq!((seq(&events, first), answer(&events, second), told(&events, 1)), (1, None, vec![1]));
    let events = home.store(true);
    assert_eq!((seq(&events, second), told(&events, 1)), (2, vec![2]));
}

#[test]
fn a_failed_append_takes_all_later_ones_with_it_and_numbering_goes_back() {
    let mut home = Home::new(Limits::default());
    home.attach(1, &news(), "reader").unwrap();
    let replies: Vec<Reply> = (0..5).map(|i| home.publish(&news(), "alice", with_id("x", &format!("id{i}"))).0).collect();
    let events = home.store(true);
    assert_eq!(seq(&events, replies[0]), 1);
    let failed = home.store(false);
    for &reply in &replies[1..] {
        assert_eq!(answer(&failed, reply), Some(Err(ErrorCode::not_stored)));
    }
    assert!(told(&failed, 1).is_empty(), "nobody has seen them");
    // A new attempt takes the same number while completions of the old one are still on their way.
    let (again, events) = home.publish(&news(), "alice", with_id("x", "id1"));
    assert_eq!(answer(&events, again), None, "what failed was forgotten: this is a new message");
    let void: Events = (0..3).flat_map(|_| home.store(true)).collect();
    assert!(void.is_empty(), "completions of the old attempt are void: {void:?}");
    let events = home.settle();
    assert_eq!((seq(&events, again), told(&events, 1)), (2, vec![2]));
    let placed = answer(&events, again).unwrap().unwrap();
    assert!(!placed.duplicate);
}

#[test]
fn a_failed_founding_leaves_nothing_and_its_completions_harm_nobody() {
    let mut home = Home::new(Limits::default());
    let members = vec!["m1".into(), "m2".into()];
    let create = Change::Create { title: Bytes::new(), open: true, whole_history: false, members };
    let (founding, _) = home.change(&team(), "owner", create);
    let events = home.store(false);
    assert_eq!(answer(&events, founding), Some(Err(ErrorCode::not_stored)));
    assert!(home.conversations.is_empty());
    // The next conversation gets the same log while the rest of the founding is still at the store.
    let (reply, _) = home.say(&news(), "alice", "hello");
    let mut events = home.store(true);
    events.extend(home.store(true));
    assert!(events.is_empty(), "what is left of the founding concerns nobody: {events:?}");
    assert_eq!(seq(&home.settle(), reply), 1);
}

#[test]
fn time_never_goes_back_within_a_conversation() {
    let mut home = Home::new(Limits::default());
    let (first, _) = home.say(&news(), "alice", "one");
    let first = answer(&home.settle(), first).unwrap().unwrap();
    home.now.wall_ms = 10;
    let (second, _) = home.say(&news(), "alice", "two");
    let second = answer(&home.settle(), second).unwrap().unwrap();
    assert_eq!((first.time_ms, second.time_ms), (1000, 1000));
}

#[test]
fn appends_in_flight_are_bounded() {
    let mut home = Home::new(Limits::default());
    (0..IN_FLIGHT_MAX).for_each(|_| drop(home.say(&news(), "alice", "x")));
    let (reply, events) = home.say(&news(), "alice", "one too many");
    assert_eq!(answer(&events, reply), Some(Err(ErrorCode::busy)));
    home.store(true);
    let (reply, _) = home.say(&news(), "alice", "room again");
    assert_eq!(seq(&home.settle(), reply), IN_FLIGHT_MAX as u64 + 1);
}

// ---- the dedupe window

#[test]
fn the_same_publish_gets_the_same_place_while_it_is_written_and_after() {
    let mut home = Home::new(Limits::default());
    home.attach(1, &news(), "reader").unwrap();
    let (first, _) = home.publish(&news(), "alice", with_id("hello", "a"));
    let (meanwhile, events) = home.publish(&news(), "alice", with_id("hello", "a"));
    assert!(events.is_empty());
    let (other, _) = home.publish(&news(), "bob", with_id("hello", "a"));
    let events = home.settle();
    let place = |reply| answer(&events, reply).unwrap().unwrap();
    assert_eq!(place(meanwhile), Placed { duplicate: true, ..place(first) });
    assert_eq!((place(first).seq, place(first).duplicate, place(other).seq), (1, false, 2));
    assert_eq!(told(&events, 1), [1, 2], "delivered once");
    let (after, events) = home.publish(&news(), "alice", with_id("hello", "a"));
    assert_eq!(answer(&events, after), Some(Ok(Placed { duplicate: true, ..place(first) })));
    assert!(home.asked.is_empty());
}

#[test]
fn a_repetition_shares_the_failure_of_the_first() {
    let mut home = Home::new(Limits::default());
    let (first, _) = home.publish(&news(), "alice", with_id("hello", "a"));
    let (second, _) = home.publish(&news(), "alice", with_id("hello", "a"));
    let events = home.store(false);
    assert_eq!(answer(&events, first), Some(Err(ErrorCode::not_stored)));
    assert_eq!(answer(&events, second), Some(Err(ErrorCode::not_stored)));
}

#[test]
fn the_window_ends_by_time() {
    let mut home = Home::new(Limits { dedupe_ms: 1000, ..Limits::default() });
    home.publish(&news(), "alice", with_id("hello", "a"));
    home.settle();
    home.now.wall_ms += 1001;
    let (reply, _) = home.publish(&news(), "alice", with_id("hello", "a"));
    assert_eq!(answer(&home.settle(), reply).unwrap().map(|p| (p.seq, p.duplicate)), Ok((2, false)));
}

#[test]
fn a_window_is_of_one_conversation() {
    let mut home = Home::new(Limits::default());
    let other = Key::new("", Address::Topic("other"));
    home.publish(&news(), "alice", with_id("hello", "a"));
    home.settle();
    let (reply, _) = home.publish(&other, "alice", with_id("hello", "a"));
    assert!(!answer(&home.settle(), reply).unwrap().unwrap().duplicate);
}

// ---- changes of groups, ordered with messages

#[test]
fn what_follows_a_removal_is_judged_without_him() {
    let mut home = Home::new(Limits::default());
    let key = home.found(&["bob", "carol"], false, false);
    home.attach(1, &key, "carol").unwrap();
    let (removal, _) = home.change(&key, "owner", Change::Remove { user: "bob".into() });
    let (pipelined, events) = home.say(&key, "bob", "am I still here?");
    let (carol, _) = home.say(&key, "carol", "he is gone");
    assert!(events.is_empty(), "it waits for the removal");
    let events = home.settle();
    assert_eq!(answer(&events, pipelined), Some(Err(ErrorCode::unknown_conversation)));
    assert_eq!((seq(&events, removal), seq(&events, carol)), (4, 5));
    assert_eq!(told(&events, 1), [4, 5], "the removal is told before anything later");
}

#[test]
fn what_follows_a_join_is_judged_with_him() {
    let mut home = Home::new(Limits::default());
    let key = home.found(&[], true, false);
    let (join, _) = home.change(&key, "bob", Change::Join);
    let (pipelined, _) = home.say(&key, "bob", "hello");
    let events = home.settle();
    assert_eq!((seq(&events, join), seq(&events, pipelined)), (2, 3));
}

#[test]
fn a_change_that_failed_changed_nothing() {
    let mut home = Home::new(Limits::default());
    let key = home.found(&["bob"], false, false);
    let (removal, _) = home.change(&key, "owner", Change::Remove { user: "bob".into() });
    let (pipelined, _) = home.say(&key, "bob", "still here");
    let mut events = home.store(false);
    events.extend(home.settle());
    assert_eq!(answer(&events, removal), Some(Err(ErrorCode::not_stored)));
    assert_eq!(seq(&events, pipelined), 3);
}

#[test]
fn waiting_requests_keep_their_order_and_are_bounded() {
    let mut home = Home::new(Limits::default());
    let key = home.found(&["bob"], false, false);
    home.change(&key, "owner", Change::Title { title: "new".into() });
    let waiting: Vec<Reply> = (0..WAITING_MAX).map(|_| home.say(&key, "bob", "x").0).collect();
    let (late, events) = home.say(&key, "bob", "x");
    assert_eq!(answer(&events, late), Some(Err(ErrorCode::busy)));
    let events = home.settle();
    let seqs: Vec<u64> = waiting.iter().map(|&reply| seq(&events, reply)).collect();
    assert_eq!(seqs, (4..4 + WAITING_MAX as u64).collect::<Vec<_>>());
}

#[test]
fn a_new_member_is_told_to_his_home_with_his_place() {
    let mut home = Home::new(Limits::default());
    let (here, there) = (user_at(0, 0), user_at(1, 0));
    let key = home.found(&[], true, false);
    let added = |events: &Events| {
        events.iter().find_map(|(to, event)| match event {
            Event::MemberAdded { user, place, publisher, .. } => Some((*to, user.to_string(), *place, *publisher)),
            _ => None,
        })
    };
    home.change(&key, "owner", Change::Add { user: there.as_str().into(), role: Role::member });
    assert_eq!(added(&home.settle()), Some((1, there, (EPOCH, 2), None)), "the adder's session is at another shard");
    let (join, _) = home.change(&key, &here, Change::Join);
    assert_eq!(added(&home.settle()), Some((0, here, (EPOCH, 3), Some(join.session))));
}

#[test]
fn the_publishing_session_is_named_only_to_its_own_shard() {
    let mut home = Home::new(Limits::default());
    home.attach(0, &news(), "a").unwrap();
    home.attach(1, &news(), "b").unwrap();
    home.say(&news(), "alice", "hello");
    let publishers: Vec<_> = home
        .settle()
        .into_iter()
        .filter_map(|(to, event)| match event {
            Event::Delivered { publisher, .. } => Some((to, publisher)),
            _ => None,
        })
        .collect();
    assert_eq!(publishers, [(0, Some(session(1))), (1, None)]);
}

#[test]
fn a_group_of_many_is_founded_in_one_go() {
    let mut home = Home::new(Limits::default());
    let members: Vec<Name> = (0..100).map(|i| format!("m{i}").as_str().into()).collect();
    let create = Change::Create { title: "t".into(), open: false, whole_history: false, members };
    let (founding, _) = home.change(&team(), "owner", create.clone());
    assert_eq!(home.attach(0, &team(), "m7"), Err(ErrorCode::unknown_conversation), "not before it is stored");
    let events = home.settle();
    assert_eq!(seq(&events, founding), 1);
    assert!(events.iter().any(|(_, e)| matches!(e, Event::Changed { created: true, .. })));
    assert_eq!(home.attach(0, &team(), "m7").unwrap().committed, 101);
    let per_shard = |shard| events.iter().filter(|(to, _)| *to == shard).count();
    assert!(per_shard(0).max(per_shard(1)) <= events_per_request(&Limits::default()));
    let (again, events) = home.change(&team(), "owner", create);
    assert_eq!(answer(&events, again), Some(Err(ErrorCode::already_exists)));
}

#[test]
fn a_disbanded_group_is_gone_and_a_new_one_has_another_epoch() {
    let mut home = Home::new(Limits::default());
    let key = home.found(&["bob"], true, false);
    home.attach(1, &key, "bob").unwrap();
    let epoch = home.attach(0, &key, "bob").unwrap().epoch;
    let (disband, _) = home.change(&key, "owner", Change::Disband);
    let (pipelined, _) = home.say(&key, "bob", "wait");
    let create = Change::Create { title: Bytes::new(), open: true, whole_history: false, members: Vec::new() };
    let (anew, _) = home.change(&key, "bob", create);
    let events = home.settle();
    assert_eq!(seq(&events, disband), 3);
    assert_eq!(told(&events, 1), [3], "those who listened hear that it ended, and nothing of the next one");
    assert_eq!(answer(&events, pipelined), Some(Err(ErrorCode::unknown_conversation)));
    let placed = answer(&events, anew).unwrap().expect("the id is free again");
    assert!(placed.epoch > epoch && placed.seq == 1, "{placed:?}");
    assert_eq!(home.attach(1, &key, "owner"), Err(ErrorCode::unknown_conversation));
}

// ---- interest

#[test]
fn a_shard_is_told_as_long_as_it_is_attached() {
    let mut home = Home::new(Limits::default());
    let key = news();
    let epoch = home.attach(1, &key, "a").unwrap().epoch;
    home.attach(1, &key, "b").unwrap();
    home.attach(0, &key, "c").unwrap();
    let say = |home: &mut Home| {
        home.say(&news(), "alice", "x");
        let events = home.settle();
        (told(&events, 0).len(), told(&events, 1).len())
    };
    assert_eq!(say(&mut home), (1, 1), "once for each shard, however many attachments");
    let detach = |home: &mut Home, epoch, attachments| {
        let events = home.ask(1, Request::Detach { key: news(), epoch, attachments });
        assert_eq!(events, [(1, Event::Detached)]);
    };
    detach(&mut home, epoch, 1);
    assert_eq!(say(&mut home), (1, 1));
    detach(&mut home, epoch - 1, 1);
    assert_eq!(say(&mut home), (1, 1), "a detachment from what had this name before is void");
    detach(&mut home, epoch, 1);
    assert_eq!(say(&mut home), (1, 0));
    let receivers = home.ask(1, Request::Receivers { key, user: "x".into(), part: Part { gather: 3, index: 4 } });
    let result = Ok(SmallVec::from_slice(&[0]));
    assert_eq!(receivers, [(1, Event::Receivers { key: news(), part: Part { gather: 3, index: 4 }, result })]);
}

#[test]
fn a_direct_conversation_is_offered_to_both_homes_once() {
    let mut home = Home::new(Limits::default());
    let (a, b, c) = (user_at(0, 0), user_at(1, 0), user_at(1, 1));
    for (key, expected) in [(Key::direct(&a, &b), (1, 1)), (Key::direct(&b, &c), (0, 1)), (Key::direct(&a, &a), (1, 0))] {
        // Attachments add nothing to it.
        let sender = key.users()[0].to_owned();
        home.say(&key, &sender, "before");
        home.settle();
        home.attach(1, &key, &sender).unwrap();
        home.say(&key, &sender, "hello");
        let events = home.settle();
        assert_eq!((told(&events, 0).len(), told(&events, 1).len()), expected, "{key:?}");
    }
}

// ---- who may know

#[test]
fn not_a_member_is_the_same_answer_as_no_such_conversation() {
    let mut home = Home::new(Limits::default());
    home.found(&["bob"], false, false);
    let none = Key::new("", Address::Group("none"));
    let unknown = ErrorCode::unknown_conversation;
    for key in [team(), none] {
        assert_eq!(home.attach(0, &key, "eve"), Err(unknown));
        assert_eq!(home.read(&key, "eve", (0, 0), 0, Direction::forward), Err(unknown));
        assert_eq!(home.receipt(&key, "eve", ReceiptKind::read, (EPOCH, 1)).0, Err(unknown));
        let (reply, events) = home.say(&key, "eve", "let me in");
        assert_eq!(answer(&events, reply), Some(Err(unknown)));
        for change in [Change::Join, Change::Leave, Change::Disband, Change::Remove { user: "bob".into() }] {
            let (reply, events) = home.change(&key, "eve", change);
            assert_eq!(answer(&events, reply), Some(Err(unknown)));
        }
        let part = Part { gather: 0, index: 0 };
        let events = home.ask(0, Request::Describe { key: key.clone(), user: "eve".into(), part });
        assert_eq!(events, [(0, Event::Described { part, description: Err(Refusal::new(ErrorCode::unknown_conversation)) })]);
        let events = home.ask(0, Request::Receivers { key: key.clone(), user: "eve".into(), part });
        assert!(matches!(&events[..], [(0, Event::Receivers { result: Err(refusal), .. })] if refusal.code == unknown));
        let reply = home.reply();
        let (name, body) = ("typing".into(), Bytes::new());
        let events = home.ask(0, Request::Ephemeral { key: key.clone(), sender: "eve".into(), reply, name, body });
        assert_eq!(events, [(0, Event::Done { reply, result: Err(Refusal::new(unknown)) })]);
        let request = Request::Members { key: key.clone(), user: "eve".into(), reply, after: None, limit: 10 };
        let events = home.ask(0, request);
        assert_eq!(events, [(0, Event::Members { key, reply, result: Err(Refusal::new(unknown)) })]);
    }
    let direct = Key::direct("alice", "bob");
    home.say(&direct, "alice", "psst");
    home.settle();
    assert_eq!(home.attach(0, &direct, "eve"), Err(unknown));
    assert!(home.attach(0, &direct, "bob").is_ok());
}

#[test]
fn a_group_has_as_many_members_as_it_may() {
    let mut home = Home::new(Limits { group_members_max: 3, ..Limits::default() });
    let key = home.found(&["bob", "carol"], true, false);
    let (reply, events) = home.change(&key, "dan", Change::Join);
    assert_eq!(answer(&events, reply), Some(Err(ErrorCode::too_many_members)));
    home.change(&key, "carol", Change::Leave);
    let (reply, _) = home.change(&key, "dan", Change::Join);
    assert!(answer(&home.settle(), reply).unwrap().is_ok(), "judged after the leaving before it");
}

#[test]
fn a_shard_has_as_many_conversations_as_it_may() {
    let mut home = Home::new(Limits { conversations_per_shard_max: 1, ..Limits::default() });
    home.say(&news(), "alice", "x");
    let (reply, events) = home.say(&Key::new("", Address::Topic("other")), "alice", "x");
    assert_eq!(answer(&events, reply), Some(Err(ErrorCode::busy)));
    assert_eq!(home.attach(0, &Key::new("", Address::Broadcast), "alice"), Err(ErrorCode::busy));
    let (reply, events) = home.say(&news(), "alice", "y");
    assert_eq!((answer(&events, reply), answer(&home.settle(), reply).is_some()), (None, true));
}

// ---- pages

/// Five messages of which the first two are trimmed.
fn trimmed() -> Home {
    let mut home = Home::new(Limits { history_messages_max: 3, ..Limits::default() });
    (0..5).for_each(|_| drop(home.say(&news(), "alice", "x")));
    home.settle();
    home
}

#[test]
fn pages_go_up_within_their_limits() {
    let mut home = Home::new(Limits { page_messages_max: 3, ..Limits::default() });
    (0..5).for_each(|_| drop(home.say(&news(), "alice", "x")));
    home.settle();
    let mut page = |cursor, limit| home.read(&news(), "bob", cursor, limit, Direction::forward);
    assert_eq!(page((0, 0), 0), plain(1..=3, 3, true));
    assert_eq!(page((0, 0), 99), plain(1..=3, 3, true), "a larger limit is cut");
    assert_eq!(page((EPOCH, 0), 2), plain(1..=2, 2, true));
    assert_eq!(page((EPOCH, 3), 0), plain(4..=5, 5, false));
    assert_eq!(page((EPOCH, 5), 0), plain([], 5, false));
}

#[test]
fn pages_go_down_in_ascending_order() {
    let mut home = Home::new(Limits::default());
    (0..5).for_each(|_| drop(home.say(&news(), "alice", "x")));
    home.settle();
    let mut page = |cursor, limit| home.read(&news(), "bob", cursor, limit, Direction::backward);
    assert_eq!(page((0, 0), 2), plain(4..=5, 3, true));
    assert_eq!(page((EPOCH, 3), 2), plain(2..=3, 1, true));
    assert_eq!(page((EPOCH, 1), 2), plain([1], 0, false));
    let foreign = page((EPOCH - 1, 3), 2);
    assert_eq!(foreign, Ok(Short { gap: true, ..plain(4..=5, 3, true).unwrap() }), "of another epoch: from the newest");
}

#[test]
fn a_page_is_bounded_in_bytes_but_always_has_a_message() {
    let mut home = Home::new(Limits { page_bytes_max: 8192, ..Limits::default() });
    let large = "x".repeat(6000);
    (0..3).for_each(|_| drop(home.say(&news(), "alice", &large)));
    home.say(&news(), "alice", &"x".repeat(20_000));
    home.settle();
    let mut page = |seq| home.read(&news(), "bob", (EPOCH, seq), 0, Direction::forward);
    assert_eq!(page(0), plain([1], 1, true));
    assert_eq!(page(3), plain([4], 4, false));
}

#[test]
fn a_cursor_that_cannot_be_honoured_is_a_gap() {
    let mut home = trimmed();
    let gap = Ok(Short { gap: true, ..plain(3..=5, 5, false).unwrap() });
    for cursor in [(EPOCH, 1), (EPOCH - 1, 4), (EPOCH, 6), (0, 0), (EPOCH, u64::MAX), (u64::MAX, u64::MAX)] {
        assert_eq!(home.read(&news(), "bob", cursor, 0, Direction::forward), gap, "{cursor:?}");
    }
    assert_eq!(home.read(&news(), "bob", (EPOCH, 2), 0, Direction::forward), plain(3..=5, 5, false));
    assert_eq!(home.read(&news(), "bob", (EPOCH, 4), 9, Direction::backward), plain(3..=4, 2, false));
}

#[test]
fn what_was_trimmed_under_a_receiver_is_a_skip() {
    let mut home = trimmed();
    let expected = Ok(Short { skips: vec![skipped(1, 2, SkipReason::trimmed)], ..plain(3..=5, 5, false).unwrap() });
    for purpose in [ReadFor::CatchUp(session(1)), ReadFor::Mirror] {
        assert_eq!(home.read_for(&news(), "bob", purpose, (EPOCH, 0), 0, Direction::forward), expected);
    }
}

#[test]
fn what_is_trimmed_while_it_is_read_stands_in_the_page_once() {
    let mut home = trimmed();
    let read = Read {
        key: news(),
        user: "bob".into(),
        purpose: ReadFor::CatchUp(session(1)),
        cursor: (EPOCH, 2),
        limit: 0,
        direction: Direction::forward,
    };
    home.ask(0, Request::Read(Box::new(read)));
    // The store has read the range; before it says so, another record pushes the first of it out.
    let Some(Command::Read(range)) = home.asked.pop_front() else { panic!("a read was asked for") };
    let mut outcomes = Vec::new();
    home.store.execute(Command::Read(range), &mut outcomes);
    home.say(&news(), "alice", "x");
    home.settle();
    home.conversations.outcome(outcomes.remove(0), home.now, &mut home.fx);
    match home.take().pop() {
        Some((0, Event::Page { result, .. })) => assert_eq!(mesh_page::of(result), plain(3..=5, 5, true)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_read_is_answered_even_if_the_conversation_ends_meanwhile() {
    let mut home = Home::new(Limits::default());
    let key = home.found(&[], true, false);
    let reply = home.reply();
    let (purpose, user) = (ReadFor::Sync(reply), "owner".into());
    let read = Read { key: key.clone(), user, purpose, cursor: (0, 0), limit: 0, direction: Direction::forward };
    home.ask(0, Request::Read(Box::new(read)));
    let read = home.asked.pop_front().unwrap();
    home.change(&key, "owner", Change::Disband);
    home.settle();
    home.say(&news(), "alice", "another log of the same number");
    home.settle();
    home.asked.push_back(read);
    let unknown = Err(Refusal::new(ErrorCode::unknown_conversation));
    assert_eq!(home.settle(), [(0, Event::Page { key, purpose, cursor: (0, 0), result: unknown })]);
}

#[test]
fn what_has_expired_is_hidden_and_said() {
    let mut home = Home::new(Limits::default());
    home.say(&news(), "alice", "stays");
    home.publish(&news(), "alice", Content { ttl_ms: 500, ..message("goes") });
    home.publish(&news(), "alice", Content { ttl_ms: 500, ..message("goes") });
    home.say(&news(), "alice", "stays");
    home.settle();
    assert_eq!(home.read(&news(), "bob", (0, 0), 0, Direction::forward), plain(1..=4, 4, false));
    home.now.wall_ms += 500;
    let expected = Short { skips: vec![skipped(2, 3, SkipReason::expired)], ..plain([1, 4], 4, false).unwrap() };
    assert_eq!(home.read(&news(), "bob", (0, 0), 0, Direction::forward).as_ref(), Ok(&expected));
    let down = Short { next: 0, ..expected };
    assert_eq!(home.read(&news(), "bob", (0, 0), 0, Direction::backward), Ok(down));
}

#[test]
fn a_new_member_reads_from_where_he_joined_or_all() {
    for whole_history in [false, true] {
        let mut home = Home::new(Limits::default());
        let key = home.found(&[], true, whole_history);
        home.say(&key, "owner", "before");
        home.change(&key, "bob", Change::Join);
        home.say(&key, "owner", "after");
        home.settle();
        let up = home.read(&key, "bob", (EPOCH, 0), 0, Direction::forward);
        let down = home.read(&key, "bob", (0, 0), 0, Direction::backward);
        if whole_history {
            assert_eq!((up, down), (plain(1..=4, 4, false), plain(1..=4, 0, false)));
        } else {
            let skips = vec![skipped(1, 2, SkipReason::before_joined)];
            assert_eq!((up, down), (Ok(Short { skips, ..plain(3..=4, 4, false).unwrap() }), plain(3..=4, 2, false)));
        }
        assert_eq!(home.attach(0, &key, "bob").unwrap().visible_from, if whole_history { 1 } else { 3 });
    }
}

// ---- receipts

#[test]
fn receipts_never_go_back_and_are_told_once() {
    let mut home = Home::new(Limits::default());
    let (a, b) = (user_at(0, 0), user_at(1, 0));
    let key = Key::direct(&a, &b);
    (0..3).for_each(|_| drop(home.say(&key, &a, "x")));
    home.settle();
    let (result, events) = home.receipt(&key, &b, ReceiptKind::read, (EPOCH, 2));
    assert_eq!((result, events.len()), (Ok(()), 2), "both homes hear of it");
    let origin = |shard| {
        events.iter().find_map(|(to, e)| match e {
            Event::Receipted { origin, .. } if *to == shard => Some(*origin),
            _ => None,
        })
    };
    assert_eq!((origin(0), origin(1)), (Some(Some(session(1))), Some(None)));
    for older in [1, 2] {
        assert_eq!(home.receipt(&key, &b, ReceiptKind::read, (EPOCH, older)), (Ok(()), Vec::new()));
    }
    assert_eq!(home.receipt(&key, &b, ReceiptKind::delivered, (EPOCH, 3)).1.len(), 2);
    for wrong in [(EPOCH, 4), (EPOCH + 1, 1)] {
        assert_eq!(home.receipt(&key, &b, ReceiptKind::read, wrong).0, Err(ErrorCode::bad_request));
    }
    let reply = home.reply();
    let request = Request::Members { key, user: a.as_str().into(), reply, after: None, limit: 9 };
    let lines = home.ask(0, request).into_iter().find_map(|(_, event)| match event {
        Event::Members { result, .. } => result.ok(),
        _ => None,
    });
    let (lines, has_more) = lines.unwrap();
    let seen: Vec<_> = lines.iter().map(|line| (*line.user == b, line.delivered, line.read)).collect();
    assert!(!has_more && seen.contains(&(true, 3, 2)) && seen.contains(&(false, 0, 0)), "{seen:?}");
}

#[test]
fn receipts_of_big_groups_are_kept_but_not_told() {
    let mut home = Home::new(Limits { receipts_group_members_max: 2, ..Limits::default() });
    let key = home.found(&["bob"], true, false);
    home.attach(1, &key, "bob").unwrap();
    assert_eq!(home.receipt(&key, "bob", ReceiptKind::read, (EPOCH, 1)).1.len(), 1);
    home.change(&key, "carol", Change::Join);
    home.settle();
    assert_eq!(home.receipt(&key, "bob", ReceiptKind::read, (EPOCH, 3)), (Ok(()), Vec::new()));
    let part = Part { gather: 0, index: 0 };
    let events = home.ask(0, Request::Describe { key, user: "bob".into(), part });
    assert!(matches!(&events[..], [(0, Event::Described { description: Ok(d), .. })] if d.read == 3));
}

// ---- members, pages of them

#[test]
fn members_come_in_pages() {
    let mut home = Home::new(Limits { page_messages_max: 2, ..Limits::default() });
    let key = home.found(&["a", "b", "c"], true, false);
    let mut page = |after: Option<&str>| {
        let reply = home.reply();
        let request = Request::Members { key: key.clone(), user: "a".into(), reply, after: after.map(Into::into), limit: 99 };
        match home.ask(0, request).pop() {
            Some((0, Event::Members { result: Ok((lines, more)), .. })) => {
                (lines.into_iter().map(|line| line.user.to_string()).collect::<Vec<_>>(), more)
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(page(None), (vec!["a".to_owned(), "b".to_owned()], true));
    assert_eq!(page(Some("b")), (vec!["c".to_owned(), "owner".to_owned()], false));
}

// ---- sweeping

#[test]
fn a_topic_that_nobody_needs_is_forgotten_and_comes_back_in_another_epoch() {
    let mut home = Home::new(Limits { history_pool_bytes_max: 1, dedupe_ms: 1000, ..Limits::default() });
    let sweep = |home: &mut Home| {
        assert_eq!(home.conversations.sweep(0, 1000, home.now, &mut home.fx), None);
        home.take();
        home.settle();
        home.conversations.len()
    };
    let epoch = home.attach(1, &news(), "bob").unwrap().epoch;
    home.publish(&news(), "alice", with_id("x", "a"));
    home.settle();
    assert_eq!(sweep(&mut home), 1, "somebody receives it");
    home.ask(1, Request::Detach { key: news(), epoch, attachments: 1 });
    assert_eq!(sweep(&mut home), 1, "a client id is remembered");
    home.now.wall_ms += 2000;
    assert_eq!(sweep(&mut home), 0);
    let head = home.attach(1, &news(), "bob").unwrap();
    assert!(head.epoch > epoch && head.committed == 0);
    // The log is used again from its beginning.
    let (reply, _) = home.say(&news(), "alice", "x");
    assert_eq!(seq(&home.settle(), reply), 1);
}

#[test]
fn a_sweep_goes_in_slices_and_keeps_what_keeps_messages() {
    let mut home = Home::new(Limits::default());
    for i in 0..10 {
        let key = Key::new("", Address::Topic(&format!("t{i}")));
        home.say(&key, "alice", "x");
    }
    home.settle();
    assert_eq!(home.conversations.sweep(0, 4, home.now, &mut home.fx), Some(4));
    assert_eq!(home.conversations.sweep(4, 1000, home.now, &mut home.fx), None);
    assert_eq!(home.conversations.len(), 10);
}

#[test]
fn epochs_of_shards_never_meet() {
    let mut home = Home::new(Limits::default());
    let epochs: Vec<u64> =
        (0..5).map(|i| home.attach(0, &Key::new("", Address::Topic(&format!("t{i}"))), "a").unwrap().epoch).collect();
    assert_eq!(epochs, [100, 102, 104, 106, 108]);
}
