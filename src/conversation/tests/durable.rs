//! Conversations that are on disk: what they ask of it, and what they make of its answers.

use super::*;
use crate::store::{Append, Load, NotRead, PutReceipts, ReadRange, Recent, StoredConversation};
use crate::wire::schema::RecordKind;

const STORED: u64 = 77;

/// A home whose direct conversations, groups and broadcast are on disk. The disk is the test.
fn home() -> Home {
    home_with(Limits::default(), Policies::default())
}

fn home_with(limits: Limits, policies: Policies) -> Home {
    let mut home = Home::new(limits.clone());
    home.conversations = Conversations::new(Slots::new(7, 2), Arc::new(limits), policies, EPOCH);
    home.now = Now { mono_ms: 1, wall_ms: 1_000_000 };
    home
}

fn pair() -> Key {
    Key::direct("ann", "bob")
}

fn stored(committed: u64) -> StoredConversation {
    StoredConversation { incarnation: STORED, epoch: STORED, first: 1, committed, last_time_ms: 900_000, ..Default::default() }
}

impl Home {
    fn outcome(&mut self, outcome: Outcome) -> Events {
        self.conversations.outcome(outcome, self.now, &mut self.fx);
        self.take()
    }

    fn next_load(&mut self) -> Load {
        match self.asked.pop_front() {
            Some(Command::Load(load)) => *load,
            other => panic!("{other:?}"),
        }
    }

    fn next_append(&mut self) -> Append {
        match self.asked.pop_front() {
            Some(Command::Append(append)) => append,
            other => panic!("{other:?}"),
        }
    }

    fn next_read(&mut self) -> ReadRange {
        match self.asked.pop_front() {
            Some(Command::Read(range)) => *range,
            other => panic!("{other:?}"),
        }
    }

    fn next_receipts(&mut self) -> Box<PutReceipts> {
        self.conversations.tick(self.now, &mut self.fx);
        assert_eq!(self.take(), []);
        match self.asked.pop_front() {
            Some(Command::PutReceipts(put)) => put,
            other => panic!("{other:?}"),
        }
    }

    fn load(&mut self, stored: Option<StoredConversation>) -> Events {
        let log = self.next_load().log;
        self.outcome(Outcome::Loaded { log, result: Ok(stored.map(Box::new)) })
    }

    /// The next append is stored, or not.
    fn append(&mut self, result: Result<(), NotStored>) -> (Arc<Record>, Events) {
        let Append { log, attempt, record, .. } = self.next_append();
        let seq = record.seq;
        (record, self.outcome(Outcome::Appended { log, attempt, seq, result }))
    }

    /// The next read gives these records.
    fn range(&mut self, records: &[Arc<Record>]) -> Events {
        let ReadRange { log, asked, .. } = self.next_read();
        self.outcome(Outcome::Range { log, records: Ok(records.to_vec()), asked })
    }

    fn sync(&mut self, user: &str, cursor: (u64, u64)) -> Events {
        let purpose = ReadFor::Sync(self.reply());
        let read = Read { key: pair(), user: user.into(), purpose, cursor, limit: 0, direction: Direction::forward };
        self.ask(0, Request::Read(Box::new(read)))
    }

    fn retract(&mut self, user: &str, cursor: (u64, u64)) -> (Reply, Events) {
        let reply = self.reply();
        let purpose = ReadFor::Retract(reply);
        let read = Read { key: pair(), user: user.into(), purpose, cursor, limit: 0, direction: Direction::forward };
        (reply, self.ask(0, Request::Read(Box::new(read))))
    }

    fn sweep(&mut self) {
        assert_eq!(self.conversations.sweep(0, usize::MAX / 2, self.now, &mut self.fx), None);
        assert_eq!(self.take(), []);
    }
}

fn page(events: &Events) -> Short {
    match &events[..] {
        [(0, Event::Page { result, .. })] => mesh_page::of(result.clone()).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_asked_waits_for_the_disk_in_order() {
    let mut home = home();
    let (first, events) = home.say(&pair(), "ann", "one");
    assert!(events.is_empty());
    let (second, events) = home.say(&pair(), "bob", "two");
    assert!(events.is_empty());
    assert_eq!(home.load(None), []);
    let (one, events) = home.append(Ok(()));
    assert_eq!((one.seq, &*one.sender, answer(&events, first).unwrap().unwrap().seq), (1, "ann", 1));
    let (two, events) = home.append(Ok(()));
    assert_eq!((two.seq, &*two.sender, answer(&events, second).unwrap().unwrap().seq), (2, "bob", 2));
    assert!(home.asked.is_empty(), "it is loaded once");
}

#[test]
fn a_conversation_goes_on_where_the_disk_has_it() {
    let mut home = home();
    let (reply, _) = home.say(&pair(), "ann", "next");
    home.load(Some(stored(9)));
    let append = home.next_append();
    assert_eq!((append.record.seq, append.record.epoch, append.place.incarnation), (10, STORED, STORED));
    assert_eq!((append.durability, append.record.time_ms), (Durability::Fsync, 1_000_000));
    let events = home.outcome(Outcome::Appended { log: append.log, attempt: append.attempt, seq: 10, result: Ok(()) });
    assert_eq!(answer(&events, reply).unwrap().unwrap().seq, 10);
}

#[test]
fn time_does_not_go_back_though_the_clock_did() {
    let mut home = home();
    home.say(&pair(), "ann", "next");
    home.load(Some(StoredConversation { last_time_ms: 9_000_000, ..stored(9) }));
    assert_eq!(home.next_append().record.time_ms, 9_000_000);
}

#[test]
fn a_repeated_publish_is_known_after_a_restart() {
    let mut home = home();
    let recent = Recent { seq: 4, time_ms: 999_000, sender: "ann".into(), client_id: "id-4".into() };
    let (reply, _) = home.publish(&pair(), "ann", with_id("again", "id-4"));
    let events = home.load(Some(StoredConversation { recent: vec![recent], ..stored(9) }));
    let placed = Placed { epoch: STORED, seq: 4, time_ms: 999_000, duplicate: true };
    assert_eq!(events, [(0, Event::Placed { reply, result: Ok(placed) })]);
    home.publish(&pair(), "bob", with_id("his own", "id-4"));
    assert_eq!(home.next_append().record.seq, 10, "an id is its sender's");
}

#[test]
fn a_repeated_publish_in_flight_gets_the_same_place_and_after_a_failure_a_new_attempt() {
    let mut home = home();
    let (first, _) = home.publish(&pair(), "ann", with_id("one", "id"));
    home.load(None);
    let (second, events) = home.publish(&pair(), "ann", with_id("one", "id"));
    assert!(events.is_empty());
    let (_, events) = home.append(Err(NotStored::Failed));
    assert_eq!(answer(&events, first), Some(Err(ErrorCode::not_stored)));
    assert_eq!(answer(&events, second), Some(Err(ErrorCode::not_stored)));
    let (third, _) = home.publish(&pair(), "ann", with_id("one", "id"));
    let (record, events) = home.append(Ok(()));
    assert_eq!((record.seq, answer(&events, third).unwrap().unwrap().duplicate), (1, false));
}

#[test]
fn only_so_many_repetitions_wait_for_one_append() {
    let mut home = home();
    home.publish(&pair(), "ann", with_id("one", "id"));
    home.load(None);
    for _ in 1..publish::REPLIES_MAX {
        assert!(home.publish(&pair(), "ann", with_id("one", "id")).1.is_empty());
    }
    let (reply, events) = home.publish(&pair(), "ann", with_id("one", "id"));
    assert_eq!(answer(&events, reply), Some(Err(ErrorCode::busy)));
}

#[test]
fn a_group_comes_back_with_its_members() {
    let mut home = home();
    let (allowed, _) = home.say(&team(), "bob", "in");
    let (refused, _) = home.say(&team(), "eve", "out");
    let log = home.next_load().log;
    let member = |role, joined, read| Member { role, joined, delivered: read, read };
    let members = vec![("ann".into(), member(Role::owner, 1, 7)), ("bob".into(), member(Role::member, 2, 5))];
    assert_eq!(home.outcome(Outcome::Members { log, members }), []);
    let group = StoredConversation { title: "The team".into(), flags: flags::WHOLE_HISTORY, ..stored(8) };
    let events = home.outcome(Outcome::Loaded { log, result: Ok(Some(Box::new(group))) });
    assert_eq!(answer(&events, refused), Some(Err(ErrorCode::unknown_conversation)));
    let (_, events) = home.append(Ok(()));
    assert_eq!(answer(&events, allowed).unwrap().unwrap().seq, 9);
    assert_eq!(home.attach(0, &team(), "bob").unwrap(), Head { epoch: STORED, first: 1, committed: 9, visible_from: 1 });
    let (reply, events) = home.change(&team(), "ann", Change::Leave);
    assert_eq!(answer(&events, reply), Some(Err(ErrorCode::last_owner)));
}

#[test]
fn a_group_that_there_is_not_is_not_kept() {
    let mut home = home();
    let (reply, _) = home.say(&team(), "ann", "hello?");
    let events = home.load(None);
    assert_eq!(answer(&events, reply), Some(Err(ErrorCode::unknown_conversation)));
    assert_eq!(home.conversations.len(), 0);
}

#[test]
fn a_group_is_founded_once_the_disk_knows_of_none() {
    let mut home = home();
    let create = Change::Create { title: Bytes::new(), open: true, whole_history: false, members: vec!["bob".into()] };
    let (reply, events) = home.change(&team(), "ann", create);
    assert!(events.is_empty());
    assert_eq!(home.load(None), []);
    let (created, events) = home.append(Ok(()));
    assert_eq!((created.content.kind, created.content.flags), (RecordKind::created, flags::OPEN));
    assert_eq!(answer(&events, reply).unwrap().unwrap().seq, 1);
    assert_eq!(home.append(Ok(())).0.content.kind, RecordKind::added);
}

#[test]
fn a_disk_that_cannot_be_read_is_not_an_empty_one() {
    let mut home = home();
    let (reply, _) = home.say(&pair(), "ann", "one");
    let log = home.next_load().log;
    let events = home.outcome(Outcome::Loaded { log, result: Err(NotRead) });
    assert_eq!(answer(&events, reply), Some(Err(ErrorCode::internal)));
    home.say(&pair(), "ann", "one");
    home.next_load();
}

#[test]
fn what_nobody_uses_leaves_memory_when_all_of_it_is_on_disk() {
    let mut home = home();
    home.say(&pair(), "ann", "one");
    home.load(None);
    home.now.mono_ms += 600_000;
    home.sweep();
    assert_eq!(home.conversations.len(), 1, "an append is in flight");
    home.append(Ok(()));
    let everyone = Key::new("", Address::Broadcast);
    home.ask(0, Request::Attach { key: everyone, user: "ann".into(), session: session(9) });
    home.load(None);
    home.now.mono_ms += 600_000;
    home.sweep();
    assert_eq!(home.conversations.len(), 1, "somebody receives broadcast");
    home.say(&pair(), "bob", "two");
    home.next_load();
}

#[test]
fn a_log_that_may_have_lost_something_gets_another_epoch() {
    let mut home = home();
    home.say(&pair(), "ann", "one");
    home.load(Some(StoredConversation { epoch: 0, ..stored(9) }));
    let append = home.next_append();
    assert_eq!((append.record.epoch, append.place.incarnation, append.record.seq), (EPOCH, STORED, 10));
    home.sweep();
    match home.asked.pop_front() {
        Some(Command::PutHead(head)) => assert_eq!((head.epoch, head.first), (EPOCH, 1)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn history_is_bounded_by_count_and_by_bytes() {
    let direct = Policy { history_messages_max: 3, ..Policy::of(Durability::Fsync) };
    let group = Policy { history_bytes_max: 10, ..Policy::of(Durability::Fsync) };
    let mut home = home_with(Limits::default(), Policies { direct, group, ..Policies::default() });
    home.say(&pair(), "ann", "five");
    home.load(Some(stored(4)));
    assert_eq!(home.attach(0, &pair(), "ann").unwrap().first, 2, "also what the disk had");
    home.append(Ok(()));
    assert_eq!(home.attach(0, &pair(), "ann").unwrap().first, 3);
    home.sweep();
    assert!(matches!(home.asked.pop_front(), Some(Command::PutHead(head)) if head.first == 3));
    home.sweep();
    assert!(home.asked.is_empty(), "it is told once");

    home.say(&team(), "ann", "123456");
    let load = home.next_load();
    assert_eq!(load.sizes_up_to, 10);
    let members = vec![("ann".into(), Member { role: Role::owner, joined: 1, ..Member::default() })];
    home.outcome(Outcome::Members { log: load.log, members });
    let group = StoredConversation { sizes: vec![(2, 3), (3, 4)], ..stored(3) };
    home.outcome(Outcome::Loaded { log: load.log, result: Ok(Some(Box::new(group))) });
    assert_eq!(home.attach(0, &team(), "ann").unwrap().first, 2);
    home.append(Ok(()));
    assert_eq!(home.attach(0, &team(), "ann").unwrap().first, 3, "4 + 6 bytes are kept");
}

#[test]
fn receipts_are_answered_when_they_are_stored_and_many_at_once() {
    let mut home = home();
    home.attach_loading(Some(stored(9)));
    let receipt = |home: &mut Home, user: &str, kind, seq| {
        let reply = home.reply();
        let request = Request::Receipt { key: pair(), user: user.into(), reply, kind, cursor: (STORED, seq) };
        assert_eq!(home.ask(0, request), []);
        reply
    };
    let replies = [receipt(&mut home, "ann", ReceiptKind::delivered, 5), receipt(&mut home, "ann", ReceiptKind::read, 3)];
    assert_eq!(home.conversations.next_tick_ms(), Some(21));
    home.now.mono_ms += 20;
    let put = home.next_receipts();
    assert_eq!(put.receipts, [("ann".into(), 5, 3)]);
    let third = receipt(&mut home, "bob", ReceiptKind::read, 9);
    let events = home.outcome(Outcome::ReceiptsPut { put, result: Ok(()) });
    let noted = |events: &Events| -> Vec<(Reply, Result<(), ErrorCode>)> {
        let noted = events.iter().filter_map(|(_, event)| match event {
            Event::Noted { reply, result, .. } => Some((*reply, result.map_err(|r| r.code))),
            _ => None,
        });
        noted.collect()
    };
    assert_eq!(noted(&events), replies.map(|reply| (reply, Ok(()))));
    assert!(events.iter().any(|(_, event)| matches!(event, Event::Receipted { .. })));
    home.now.mono_ms += 20;
    let put = home.next_receipts();
    assert_eq!(put.receipts, [("bob".into(), 0, 9)]);
    let events = home.outcome(Outcome::ReceiptsPut { put, result: Err(NotStored::DiskFull) });
    assert_eq!(noted(&events), [(third, Err(ErrorCode::disk_full))]);
    assert_eq!(events.len(), 1, "nobody else hears of what was not stored");
    assert_eq!(home.conversations.next_tick_ms(), None);
}

impl Home {
    fn attach_loading(&mut self, stored: Option<StoredConversation>) -> Events {
        self.ask(0, Request::Attach { key: pair(), user: "ann".into(), session: session(9) });
        self.load(stored)
    }
}

#[test]
fn a_partition_that_does_not_answer_is_not_fed_for_ever() {
    let mut home = home_with(Limits { appends_in_flight_max: 2, ..Limits::default() }, Policies::default());
    home.attach_loading(None);
    home.say(&pair(), "ann", "one");
    home.say(&pair(), "ann", "two");
    let (reply, events) = home.say(&pair(), "ann", "three");
    assert_eq!(answer(&events, reply), Some(Err(ErrorCode::busy)));
    let (_, events) = home.say(&news(), "ann", "in memory");
    assert!(events.is_empty());
    home.append(Ok(()));
    let (_, events) = home.say(&pair(), "ann", "three");
    assert!(events.is_empty());
    home.append(Err(NotStored::Failed));
    let (_, events) = home.say(&pair(), "ann", "four");
    assert!(events.is_empty(), "what failed is not on its way any more");
}

#[test]
fn a_page_reaches_the_end_though_messages_pour_in() {
    let mut home = home();
    home.attach_loading(Some(stored(1)));
    let one = Arc::new(Record { epoch: STORED, seq: 1, time_ms: 1, sender: "bob".into(), content: message("one") });
    assert_eq!(home.sync("ann", (STORED, 0)), []);
    for body in ["two", "three"] {
        home.say(&pair(), "bob", body);
    }
    let read = home.asked.pop_front().unwrap();
    home.append(Ok(()));
    home.append(Ok(()));
    home.asked.push_back(read);
    let events = home.range(&[one]);
    let short = page(&events);
    assert_eq!((short.seqs, short.has_more), (vec![1, 2, 3], false));
    assert!(home.conversations.all.iter().all(|c| c.tail.is_empty()), "nobody reads any more");
}

#[test]
fn a_page_that_comes_after_its_reader_has_left_and_come_back_has_nothing_from_before() {
    for direction in [Direction::forward, Direction::backward] {
        let mut home = home();
        let create = Change::Create { title: Bytes::new(), open: true, whole_history: false, members: vec!["bob".into()] };
        home.change(&team(), "ann", create);
        home.load(None);
        let mut log = vec![home.append(Ok(())).0, home.append(Ok(())).0];
        home.say(&team(), "ann", "three");
        log.push(home.append(Ok(())).0);
        let purpose = ReadFor::Sync(home.reply());
        let cursor = if direction == Direction::forward { (log[0].epoch, 1) } else { (0, 0) };
        let read = Read { key: team(), user: "bob".into(), purpose, cursor, limit: 0, direction };
        assert_eq!(home.ask(0, Request::Read(Box::new(read))), []);
        let asked = home.asked.pop_front().unwrap();
        for change in [Change::Leave, Change::Join] {
            home.change(&team(), "bob", change);
            log.push(home.append(Ok(())).0);
        }
        home.asked.push_back(asked);
        let seqs = page(&home.range(&log[1..3])).seqs;
        assert!(seqs.iter().all(|&seq| seq >= 5), "{direction:?}: {seqs:?}");
    }
}

#[test]
fn whoever_was_to_be_added_and_is_not_is_told_so() {
    let mut home = home();
    let members = vec!["bob".into(), "cat".into()];
    home.change(&team(), "ann", Change::Create { title: Bytes::new(), open: true, whole_history: false, members });
    home.load(None);
    home.append(Ok(()));
    let told = home.append(Err(NotStored::Failed)).1.into_iter().filter_map(|(_, event)| match event {
        Event::NotAdded { key, user } if key == team() => Some(user.to_string()),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), ["bob", "cat"]);
}

#[test]
fn what_fell_out_of_its_history_is_no_longer_read() {
    let policies = Policies { direct: Policy { history_ttl_ms: 1000, ..Policy::of(Durability::Fsync) }, ..Policies::default() };
    let mut home = home_with(Limits::default(), policies);
    home.say(&pair(), "ann", "new");
    home.load(Some(stored(1)));
    let append = home.next_append();
    assert_eq!(append.expires_ms, 1_001_000);
    home.asked.push_back(Command::Append(append));
    let (new, _) = home.append(Ok(()));
    let old = Arc::new(Record { epoch: STORED, seq: 1, time_ms: 900_000, sender: "bob".into(), content: message("old") });
    home.sync("ann", (STORED, 0));
    let short = page(&home.range(&[old, new]));
    assert_eq!((short.seqs, short.skips), (vec![2], vec![Skipped { from: 1, to: 1, why: SkipReason::expired }]));
}

#[test]
fn one_takes_back_what_one_has_said_and_nothing_else() {
    let mut home = home();
    home.attach_loading(Some(stored(2)));
    let said = |by: &str, seq| Arc::new(Record { epoch: STORED, seq, time_ms: 5, sender: by.into(), content: message("oops") });
    let (mine, events) = home.retract("ann", (STORED, 2));
    assert!(events.is_empty());
    assert_eq!(home.range(&[said("ann", 2)]), []);
    let (record, events) = home.append(Ok(()));
    assert_eq!((record.content.kind, record.content.target, record.seq), (RecordKind::retracted, 2, 3));
    assert_eq!(answer(&events, mine).unwrap().unwrap().seq, 3);

    let (his, _) = home.retract("ann", (STORED, 1));
    assert_eq!(answer(&home.range(&[said("bob", 1)]), his), Some(Err(ErrorCode::not_permitted)));
    let (gone, _) = home.retract("ann", (STORED, 2));
    let events = home.range(&[Arc::new(said("ann", 2).retracted())]);
    assert_eq!(answer(&events, gone).unwrap().unwrap(), Placed { epoch: STORED, seq: 2, time_ms: 5, duplicate: true });
    for nonsense in [(STORED, 9), (STORED, 0), (STORED - 1, 1)] {
        let (reply, events) = home.retract("ann", nonsense);
        assert_eq!(answer(&events, reply), Some(Err(ErrorCode::bad_request)), "{nonsense:?}");
    }
    let (stranger, events) = home.retract("eve", (STORED, 1));
    assert_eq!(answer(&events, stranger), Some(Err(ErrorCode::unknown_conversation)));
}

#[test]
fn a_disbanded_group_is_asked_for_on_disk_again() {
    let mut home = home();
    home.change(&team(), "ann", Change::Create { title: Bytes::new(), open: false, whole_history: false, members: vec![] });
    home.load(None);
    home.append(Ok(()));
    home.change(&team(), "ann", Change::Disband);
    let (late, events) = home.say(&team(), "ann", "after it");
    assert!(events.is_empty());
    home.append(Ok(()));
    assert_eq!(answer(&home.load(None), late), Some(Err(ErrorCode::unknown_conversation)));
    assert_eq!(home.conversations.len(), 0);
}
