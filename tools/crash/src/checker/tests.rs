//! A history that is right, and one with each thing that can be wrong.

use super::*;
use crate::entry::{Change, Entry, fingerprint};

/// What the publishers logged, and what is read back.
struct Case {
    name: &'static str,
    history: History,
    read: RoomRead,
}

impl Case {
    fn verdicts(&mut self) -> Vec<Rule> {
        let mut found = self.history.take_found();
        found.extend(check(self.name, self.history.rooms.get(self.name).unwrap_or(&Room::default()), &self.read));
        found.iter().map(|violation| violation.rule).collect()
    }

    fn view(&mut self) -> &mut View {
        match &mut self.read.whole {
            Reading::View(view) => view,
            Reading::Unknown => panic!("it is read"),
        }
    }

    /// Changes what is read, forward and backward alike.
    fn with_records(mut self, change: impl Fn(&mut Vec<Record>)) -> Case {
        change(&mut self.view().records);
        change(&mut self.read.backward.as_mut().expect("it is read backward").records);
        self
    }

    fn then(mut self, entry: Entry) -> Case {
        self.history.apply(entry);
        self
    }
}

fn record(seq: u64, kind: &str, sender: &str, subject: Option<&str>, role: u8) -> Record {
    let (sender, kind) = (sender.to_owned(), kind.to_owned());
    Record { epoch: 5, seq, kind, sender, client_id: None, body: fingerprint(b""), subject: subject.map(str::to_owned), role }
}

fn message(seq: u64, sender: &str, client_id: &str) -> Record {
    let body = fingerprint(client_id.as_bytes());
    Record { client_id: Some(client_id.to_owned()), body, ..record(seq, "message", sender, None, 0) }
}

fn send(op: u64, room: &str, user: &str, client_id: &str) -> Entry {
    let (room, user) = (room.to_owned(), user.to_owned());
    Entry::Send { op, user, room, client_id: client_id.to_owned(), body: fingerprint(client_id.as_bytes()) }
}

fn asks(op: u64, user: &str, change: Change) -> Entry {
    Entry::Change { op, user: user.to_owned(), room: "group:g".to_owned(), change }
}

fn acked(op: u64, seq: u64) -> Entry {
    Entry::Acked { op, epoch: 5, seq, duplicate: false }
}

fn got(session: &str, room: &str, record: &Record) -> Entry {
    let user = session.split('/').next().unwrap().to_owned();
    Entry::Got { session: session.to_owned(), user, room: room.to_owned(), record: record.clone() }
}

fn view(records: Vec<Record>, committed: u64) -> View {
    View { epoch: 5, first: 1, committed, records, ..View::default() }
}

fn line(role: u8, joined: u64, read: u64) -> MemberLine {
    MemberLine { role, joined, delivered: read, read }
}

/// alice founded g with bob; carol was added and removed; three messages, one of them without an answer.
fn group() -> Case {
    let mut history = History::default();
    let founds = Change::Create { members: vec!["bob".into()], open: false, whole_history: false };
    let records = vec![
        record(1, "created", "alice", None, OWNER),
        record(2, "added", "alice", Some("bob"), MEMBER),
        message(3, "alice", "a1"),
        record(4, "added", "alice", Some("carol"), MEMBER),
        message(5, "bob", "b1"),
        record(6, "removed", "alice", Some("carol"), 0),
        message(7, "alice", "a2"),
    ];
    let entries = [
        asks(1, "alice", founds),
        acked(1, 1),
        send(2, "group:g", "alice", "a1"),
        acked(2, 3),
        asks(3, "alice", Change::Add { user: "carol".into(), role: MEMBER }),
        acked(3, 4),
        send(4, "group:g", "bob", "b1"),
        got("carol/p", "group:g", &records[4]),
        Entry::Receipt { op: 5, user: "bob".into(), room: "group:g".into(), is_read: true, seq: 3 },
        Entry::Done { op: 5 },
        asks(6, "alice", Change::Remove { user: "carol".into() }),
        acked(6, 6),
        send(7, "group:g", "alice", "a2"),
        acked(7, 7),
    ];
    entries.into_iter().for_each(|entry| history.apply(entry));
    let list = |role, read, unread| Some(ListLine { role, epoch: 5, first: 1, committed: 7, read, unread });
    let bobs = View { skips: vec![(1, 1, BEFORE_JOINED)], ..view(records[1..].to_vec(), 7) };
    let read = RoomRead {
        backward: Some(view(records.clone(), 7)),
        whole: Reading::View(view(records, 7)),
        members: Some(BTreeMap::from([
            ("alice".into(), line(OWNER, 1, 0)),
            ("bob".into(), MemberLine { delivered: 0, ..line(MEMBER, 2, 3) }),
        ])),
        others: BTreeMap::from([("bob".into(), Reading::View(bobs)), ("carol".into(), Reading::Unknown)]),
        lists: BTreeMap::from([("alice".into(), list(OWNER, 0, 7)), ("bob".into(), list(MEMBER, 3, 4)), ("carol".into(), None)]),
    };
    Case { name: "group:g", history, read }
}

#[test]
fn what_is_right_is_right() {
    assert_eq!(group().verdicts(), []);
}

#[test]
fn a_lost_message_is_found() {
    let end = |records: &mut Vec<Record>| records.truncate(6);
    let mut case = group().with_records(end);
    case.view().committed = 6;
    assert!(case.verdicts().contains(&Rule::Lost));
    let mut gone = group();
    gone.read.whole = Reading::Unknown;
    assert!(gone.verdicts().contains(&Rule::Lost));
}

#[test]
fn a_message_at_another_place_is_found() {
    let swap = |records: &mut Vec<Record>| {
        let (third, fifth) = (records[2].clone(), records[4].clone());
        records[2] = Record { seq: 3, ..fifth };
        records[4] = Record { seq: 5, ..third };
    };
    assert!(group().with_records(swap).verdicts().contains(&Rule::Lost));
}

#[test]
fn an_altered_body_is_found_and_an_altered_sender() {
    assert_eq!(group().with_records(|records| records[2].body ^= 1).verdicts(), [Rule::Altered, Rule::Membership]);
    let mut case = group().with_records(|records| records[2].sender = "bob".into());
    assert!(case.verdicts().contains(&Rule::Lost));
}

#[test]
fn a_hole_is_found_unless_it_is_explained() {
    let mut case = group().with_records(|records| drop(records.remove(4)));
    let verdicts = case.verdicts();
    assert!(verdicts.contains(&Rule::Hole), "{verdicts:?}");
    case.view().skips.push((5, 5, 1));
    let verdicts = case.verdicts();
    assert!(!verdicts.contains(&Rule::Hole) && verdicts.contains(&Rule::Skip), "{verdicts:?}");
}

#[test]
fn a_message_that_is_there_twice_is_found() {
    let twice = |records: &mut Vec<Record>| records.push(Record { seq: 8, ..records[2].clone() });
    let mut case = group().with_records(twice);
    case.view().committed = 8;
    assert!(case.verdicts().contains(&Rule::Twice));
    let mut repeated = group().then(send(8, "group:g", "alice", "a1")).then(acked(8, 9));
    assert!(repeated.verdicts().contains(&Rule::Twice), "a repeated publish got another ack");
    let mut same = group().then(send(8, "group:g", "alice", "a1")).then(acked(8, 3));
    assert_eq!(same.verdicts(), []);
}

#[test]
fn a_number_that_comes_twice_is_found() {
    let mut case = group().with_records(|records| records.insert(3, records[2].clone()));
    assert!(case.verdicts().contains(&Rule::Twice));
}

#[test]
fn what_was_never_sent_is_found() {
    let more = |records: &mut Vec<Record>| records.push(message(8, "alice", "a9"));
    let mut case = group().with_records(more);
    case.view().committed = 8;
    assert!(case.verdicts().contains(&Rule::NeverSent));
    let more = |records: &mut Vec<Record>| records.push(record(8, "added", "alice", Some("dave"), MEMBER));
    assert!(group().with_records(more).verdicts().contains(&Rule::NeverSent));
}

/// The group with one more record at the end, wherever somebody reads it.
fn with_another(record: &Record) -> Case {
    let mut case = group().with_records(|records| records.push(record.clone()));
    case.view().committed = 8;
    if let Some(Reading::View(bobs)) = case.read.others.get_mut("bob") {
        bobs.records.push(record.clone());
        bobs.committed = 8;
    }
    for line in case.read.lists.values_mut().flatten() {
        (line.committed, line.unread) = (8, line.unread + 1);
    }
    case
}

#[test]
fn an_unanswered_message_may_be_there_or_not() {
    let unanswered = || send(8, "group:g", "alice", "a9");
    assert_eq!(group().then(unanswered()).verdicts(), []);
    assert_eq!(with_another(&message(8, "alice", "a9")).then(unanswered()).verdicts(), []);
}

#[test]
fn an_unanswered_change_may_be_there_or_not_but_once() {
    let asked = || asks(8, "alice", Change::Title { title: "t".into() });
    let title = Record { body: fingerprint(b"t"), ..record(8, "title", "alice", None, 0) };
    assert_eq!(group().then(asked()).verdicts(), []);
    assert_eq!(with_another(&title).then(asked()).verdicts(), []);
    let mut twice = with_another(&title).with_records(|records| records.push(Record { seq: 9, ..title.clone() })).then(asked());
    assert!(twice.verdicts().contains(&Rule::NeverSent));
}

#[test]
fn a_refused_message_must_not_be_there() {
    let refused = || Entry::Refused { op: 8, code: 104, name: "unknown_conversation".into() };
    let sends = || send(8, "group:g", "alice", "a9");
    assert_eq!(group().then(sends()).then(refused()).verdicts(), []);
    assert_eq!(with_another(&message(8, "alice", "a9")).then(sends()).then(refused()).verdicts(), [Rule::NeverSent]);
    // The first attempt may have been taken before the connection broke.
    let down = Entry::Down { user: "alice".into() };
    assert_eq!(with_another(&message(8, "alice", "a9")).then(sends()).then(down).then(refused()).verdicts(), []);
    // "Later" is no word about the first attempt either.
    let later = Entry::Refused { op: 8, code: 202, name: "not_stored".into() };
    assert_eq!(with_another(&message(8, "alice", "a9")).then(sends()).then(later).verdicts(), []);
}

#[test]
fn a_lost_change_is_found() {
    let mut case = group().with_records(|records| records[5] = record(6, "title", "alice", None, 0));
    let verdicts = case.verdicts();
    assert!(verdicts.contains(&Rule::Lost) && verdicts.contains(&Rule::NeverSent), "{verdicts:?}");
    let mut members = group().with_records(|records| records[1].subject = Some("eve".into()));
    assert!(members.verdicts().contains(&Rule::Lost), "a member of the new group");
}

#[test]
fn another_epoch_is_found() {
    let mut case = group();
    case.view().epoch = 6;
    assert!(case.verdicts().contains(&Rule::Epoch));
    let mut ack =
        group().then(send(8, "group:g", "alice", "a9")).then(Entry::Acked { op: 8, epoch: 6, seq: 9, duplicate: false });
    assert!(ack.verdicts().contains(&Rule::Epoch));
}

#[test]
fn an_order_against_the_acks_is_found() {
    let mut case = group().then(send(8, "group:g", "bob", "b9")).then(acked(8, 2));
    assert!(case.verdicts().contains(&Rule::Order));
}

#[test]
fn a_log_that_begins_too_late_is_found() {
    let mut case = group().with_records(|records| drop(records.drain(..2)));
    case.view().first = 3;
    assert!(case.verdicts().contains(&Rule::Lost));
}

#[test]
fn gaps_holes_and_skips_that_sessions_met_are_found() {
    let (session, room) = ("bob/p".to_owned(), "group:g".to_owned());
    let (s, r) = (session.clone(), room.clone());
    assert_eq!(group().then(Entry::Gap { session: s, room: r, epoch: 6, first: 1, committed: 0 }).verdicts(), [Rule::Gap]);
    let (s, r) = (session.clone(), room.clone());
    assert_eq!(group().then(Entry::Hole { session: s, room: r, expected: 3, got: 5 }).verdicts(), [Rule::Hole]);
    let (s, r) = (session.clone(), room.clone());
    assert_eq!(group().then(Entry::Hole { session: s, room: r, expected: 5, got: 6 }).verdicts(), [], "bob's own");
    let (s, r) = (session.clone(), room.clone());
    assert_eq!(group().then(Entry::Skipped { session: s, room: r, from: 1, to: 2, why: 2 }).verdicts(), [Rule::Skip]);
    assert_eq!(group().then(Entry::Skipped { session, room, from: 1, to: 2, why: BEFORE_JOINED }).verdicts(), []);
    let mut page = group();
    page.view().gap = Some((5, 1, 7));
    assert_eq!(page.verdicts(), [Rule::Gap]);
}

#[test]
fn what_was_shown_live_and_is_gone_is_found() {
    assert_eq!(group().then(got("bob/p", "group:g", &message(8, "alice", "a9"))).verdicts(), [Rule::Live]);
    assert_eq!(group().then(got("bob/p", "group:g", &message(7, "alice", "a1"))).verdicts(), [Rule::Live], "not the same");
    let twice = group().then(got("bob/p", "group:g", &message(7, "alice", "a2"))).then(got(
        "bob/p",
        "group:g",
        &message(7, "alice", "a2"),
    ));
    assert_eq!({ twice }.verdicts(), [Rule::Live]);
}

#[test]
fn a_removed_member_who_reads_on_is_found() {
    let mut case = group();
    let whole = case.view().clone();
    case.read.others.insert("carol".into(), Reading::View(whole));
    assert_eq!(case.verdicts(), [Rule::Membership]);
    let mut live = group().then(got("carol/p", "group:g", &message(7, "alice", "a2")));
    assert_eq!(live.verdicts(), [Rule::Membership]);
    let mut stranger = group();
    stranger.read.others.insert("eve".into(), Reading::View(View::default()));
    assert_eq!(stranger.verdicts(), [Rule::Membership]);
}

#[test]
fn a_member_who_does_not_read_everything_is_found() {
    let mut case = group();
    case.read.others.insert("bob".into(), Reading::Unknown);
    assert_eq!(case.verdicts(), [Rule::Membership]);
    let mut less = group();
    if let Some(Reading::View(view)) = less.read.others.get_mut("bob") {
        view.records.pop();
    }
    assert!(less.verdicts().contains(&Rule::Membership));
}

#[test]
fn a_wrong_member_list_is_found() {
    let change = |change: fn(&mut BTreeMap<String, MemberLine>)| {
        let mut case = group();
        change(case.read.members.as_mut().expect("a group has members"));
        case.verdicts()
    };
    assert!(change(|members| _ = members.remove("alice")).contains(&Rule::Members));
    assert!(change(|members| _ = members.insert("carol".into(), line(MEMBER, 4, 0))).contains(&Rule::Members));
    assert!(change(|members| _ = members.insert("eve".into(), line(MEMBER, 4, 0))).contains(&Rule::Members));
    assert!(change(|members| members.get_mut("bob").unwrap().role = OWNER).contains(&Rule::Members));
    assert!(change(|members| members.get_mut("bob").unwrap().joined = 1).contains(&Rule::Members));
}

#[test]
fn receipts_that_went_back_or_came_from_nowhere_are_found() {
    let with = |read: u64| {
        let mut case = group();
        case.read.members.as_mut().unwrap().get_mut("bob").unwrap().read = read;
        let line = case.read.lists.get_mut("bob").unwrap().as_mut().unwrap();
        (line.read, line.unread) = (read, 7 - read.max(1));
        case.verdicts()
    };
    assert_eq!(with(3), []);
    assert_eq!(with(2), [Rule::Receipts]);
    assert_eq!(with(4), [Rule::Receipts]);
    let receipt = |op| Entry::Receipt { op, user: "bob".into(), room: "group:g".into(), is_read: false, seq: 5 };
    assert_eq!(group().then(receipt(8)).verdicts(), [], "it was not acknowledged");
    assert_eq!(group().then(receipt(8)).then(Entry::Done { op: 8 }).verdicts(), [Rule::Receipts]);
}

#[test]
fn a_wrong_list_of_conversations_is_found() {
    let with = |change: fn(&mut ListLine)| {
        let mut case = group();
        change(case.read.lists.get_mut("alice").unwrap().as_mut().unwrap());
        case.verdicts()
    };
    assert_eq!(with(|_| ()), []);
    assert_eq!(with(|line| line.unread = 6), [Rule::List]);
    assert!(with(|line| line.committed = 6).contains(&Rule::List));
    assert!(with(|line| line.epoch = 6).contains(&Rule::List));
    let mut missing = group();
    missing.read.lists.insert("bob".into(), None);
    assert_eq!(missing.verdicts(), [Rule::List]);
}

#[test]
fn a_log_that_reads_differently_backward_is_found() {
    let mut case = group();
    case.read.backward.as_mut().unwrap().records.remove(2);
    assert_eq!(case.verdicts(), [Rule::Backward]);
}

#[test]
fn counts_tell_messages_from_attempts() {
    let case = group().then(send(8, "group:g", "alice", "a1")).then(Entry::Acked { op: 8, epoch: 5, seq: 3, duplicate: true });
    let counts = case.history.counts;
    assert_eq!((counts.sent, counts.acked, counts.duplicates, counts.changes, counts.receipts), (3, 2, 1, 3, 1));
}

#[test]
fn a_room_without_an_ack_need_not_be_there() {
    let mut history = History::default();
    history.apply(asks(1, "alice", Change::Join));
    let read = RoomRead {
        whole: Reading::Unknown,
        backward: None,
        members: None,
        others: BTreeMap::new(),
        lists: BTreeMap::from([("alice".into(), None)]),
    };
    assert_eq!(Case { name: "group:g", history, read }.verdicts(), []);
}
