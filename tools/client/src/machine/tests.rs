//! Rules of the protocol, without socket or clock.

use campanile::wire::schema::{CloseCode, ErrorCode, ReceiptKind, RecordKind, Role, SkipReason};

use super::*;
use crate::backoff::Backoff;
use crate::values::{Ack, PresenceAnswer, Publish, Subscribed};

fn options() -> Options {
    Options { keep_trying: true, ..Options::new("tcp://here:1", "dev:alice", "test") }
}

fn welcome(window: u32) -> Welcome {
    let user = "alice".to_owned();
    Welcome { session: 1, user, window, heartbeat_ms: 1_000, idle_timeout_ms: 5_000, ..Welcome::default() }
}

/// A machine that has sent its Connect.
fn logging_in(options: Options) -> (Machine, Connect) {
    let mut machine = Machine::new(options, "prefix".into());
    let hello = log_in(&mut machine, 0);
    (machine, hello)
}

fn log_in(machine: &mut Machine, now_ms: u64) -> Connect {
    machine.handle_timeout(now_ms, 0);
    assert!(matches!(machine.phase(), Phase::Connecting { .. }), "{:?}", machine.phase());
    machine.handle_connected(now_ms);
    match machine.poll_transmit(now_ms) {
        Some(Outgoing::Connect(hello)) => hello,
        other => panic!("{other:?}"),
    }
}

/// A machine that is connected, with its first event taken.
fn up() -> Machine {
    let (mut machine, _) = logging_in(options());
    machine.handle_frame(0, Incoming::Welcome(welcome(8)), 0);
    assert!(matches!(machine.poll_event(), Some(Event::Connected { resumed: false, .. })));
    machine
}

/// Breaks the connection and makes another one at once (random 0: no wait).
fn reconnect(machine: &mut Machine, now_ms: u64) -> Connect {
    machine.handle_lost(now_ms, Disconnect::ClosedByServer, 0);
    assert!(matches!(machine.poll_event(), Some(Event::Disconnected { .. })));
    let hello = log_in(machine, now_ms);
    machine.handle_frame(now_ms, Incoming::Welcome(welcome(8)), 0);
    assert!(matches!(machine.poll_event(), Some(Event::Connected { resumed: true, .. })));
    hello
}

fn team() -> Conversation {
    Conversation::Group("team".into())
}

fn news() -> Conversation {
    Conversation::Topic("news".into())
}

fn cursor(seq: u64) -> Cursor {
    Cursor { epoch: 7, seq }
}

fn message(conversation: Conversation, seq: u64) -> Message {
    Message {
        conversation,
        epoch: 7,
        seq,
        time_ms: 0,
        sender: "bob".into(),
        client_id: None,
        content_type: None,
        body: b"hi".to_vec(),
        ttl_ms: 0,
        tag: None,
        kind: RecordKind::message,
        subject: None,
        role: Role::none,
        target: 0,
        is_retracted: false,
    }
}

fn receive(machine: &mut Machine, seq: u64) {
    machine.handle_frame(0, Incoming::Message(message(team(), seq)), 0);
}

fn answer(machine: &mut Machine, reference: u64, answer: Answer) {
    machine.handle_frame(0, Incoming::Answer { reference, answer }, 0);
}

fn ack(seq: u64) -> Answer {
    Answer::Ack(Ack { cursor: cursor(seq), time_ms: 0, duplicate: false })
}

fn refuse(machine: &mut Machine, now_ms: u64, reference: u64, code: ErrorCode, retry_after_ms: u32) {
    let message = String::new();
    machine.handle_frame(now_ms, Incoming::Error { reference, code, message, retry_after_ms, about: None }, 0);
}

fn publish(machine: &mut Machine, text: &str) -> u64 {
    machine.handle_request(Request::Publish(Publish::text(team(), text)))
}

/// Texts of the publishes that go out now, with their refs and client ids.
fn sent(machine: &mut Machine, now_ms: u64) -> Vec<(u64, String, String)> {
    let mut sent = Vec::new();
    while let Some(outgoing) = machine.poll_transmit(now_ms) {
        if let Outgoing::Request { reference, request } = outgoing
            && let Request::Publish(publish) = &*request
        {
            let client_id = publish.client_id.clone().unwrap_or_default();
            sent.push((reference, String::from_utf8_lossy(&publish.body).into_owned(), client_id));
        }
    }
    sent
}

fn texts(sent: &[(u64, String, String)]) -> Vec<&str> {
    sent.iter().map(|(_, text, _)| text.as_str()).collect()
}

/// The server says unasked that `conversation` goes on at `next`.
fn goes_on(machine: &mut Machine, conversation: Conversation, next: u64) {
    answer(machine, 0, Answer::Subscribed(Subscribed { conversation, epoch: 7, first: 1, committed: 20, next }));
}

/// The seqs of the messages among the events, and the names of the others.
fn events(machine: &mut Machine) -> Vec<String> {
    let mut names = Vec::new();
    while let Some(event) = machine.poll_event() {
        names.push(match event {
            Event::Message { message, resume } => format!("message {} resume {}", message.seq, resume.seq),
            Event::Record { message, .. } => format!("record {}", message.seq),
            Event::Acked { resume, .. } => format!("acked {}", resume.seq),
            Event::Hole { expected, got, .. } => format!("hole {} {}", expected.seq, got.seq),
            Event::Gap(gap) => format!("gap {} {}", gap.first, gap.committed),
            Event::Skip(skip) => format!("skip {} {}", skip.from, skip.to),
            Event::Receiving { resume, .. } => format!("receiving {}", resume.seq),
            Event::Presence(user) => format!("presence {} {}", user.user, user.online),
            other => format!("{other:?}"),
        });
    }
    names
}

#[test]
fn messages_come_once_and_in_order() {
    let mut machine = up();
    for seq in [5, 6, 6, 5, 7] {
        receive(&mut machine, seq);
    }
    assert_eq!(events(&mut machine), ["message 5 resume 5", "message 6 resume 6", "message 7 resume 7"]);
}

#[test]
fn an_ack_counts_as_received() {
    let mut machine = up();
    receive(&mut machine, 5);
    let reference = publish(&mut machine, "mine");
    sent(&mut machine, 0);
    answer(&mut machine, reference, ack(6));
    receive(&mut machine, 7);
    assert_eq!(events(&mut machine), ["message 5 resume 5", "acked 6", "message 7 resume 7"]);
    assert_eq!(machine.poll_outcome(), Some((reference, Ok(ack(6)))));
    assert_eq!(reconnect(&mut machine, 0).resume, [ResumePoint { conversation: team(), cursor: Some(cursor(7)), tags: vec![] }]);
}

#[test]
fn an_ack_above_the_backlog_does_not_move_the_cursor_yet() {
    let mut machine = up();
    receive(&mut machine, 5);
    let reference = publish(&mut machine, "mine");
    sent(&mut machine, 0);
    answer(&mut machine, reference, ack(8));
    assert_eq!(events(&mut machine), ["message 5 resume 5"]);
    assert_eq!(reconnect(&mut machine, 0).resume[0].cursor, Some(cursor(5)));
    for seq in [6, 7, 9] {
        receive(&mut machine, seq);
    }
    assert_eq!(events(&mut machine), ["message 6 resume 6", "message 7 resume 8", "message 9 resume 9"]);
    assert_eq!(reconnect(&mut machine, 0).resume[0].cursor, Some(cursor(9)));
}

#[test]
fn a_later_message_may_come_before_the_ack() {
    let mut machine = up();
    receive(&mut machine, 5);
    let reference = publish(&mut machine, "mine");
    sent(&mut machine, 0);
    receive(&mut machine, 7);
    answer(&mut machine, reference, ack(6));
    receive(&mut machine, 8);
    assert_eq!(events(&mut machine), ["message 5 resume 5", "message 7 resume 5", "acked 7", "message 8 resume 8"]);
}

#[test]
fn a_hole_is_told_at_once_or_when_no_ack_can_fill_it() {
    let mut machine = up();
    receive(&mut machine, 5);
    receive(&mut machine, 8);
    assert_eq!(events(&mut machine), ["message 5 resume 5", "hole 6 8", "message 8 resume 8"]);
    let reference = publish(&mut machine, "mine");
    sent(&mut machine, 0);
    receive(&mut machine, 10);
    assert_eq!(events(&mut machine), ["message 10 resume 8"]);
    refuse(&mut machine, 0, reference, ErrorCode::not_permitted, 0);
    assert_eq!(events(&mut machine), ["hole 9 10"]);
    assert!(matches!(machine.poll_outcome(), Some((_, Err(RequestError::Refused { .. })))));
}

#[test]
fn gaps_and_skips_are_shown_and_move_the_cursor() {
    let mut machine = up();
    receive(&mut machine, 5);
    let skip = Skip { conversation: team(), epoch: 7, from: 6, to: 9, why: SkipReason::expired };
    machine.handle_frame(0, Incoming::Skip(skip), 0);
    receive(&mut machine, 10);
    let gap = Gap { conversation: team(), epoch: 8, first: 3, committed: 4 };
    machine.handle_frame(0, Incoming::Gap(gap), 0);
    machine.handle_frame(0, Incoming::Message(Message { epoch: 8, ..message(team(), 3) }), 0);
    let expected = ["message 5 resume 5", "skip 6 9", "message 10 resume 10", "gap 3 4", "message 3 resume 3"];
    assert_eq!(events(&mut machine), expected);
    assert_eq!(reconnect(&mut machine, 0).resume[0].cursor, Some(Cursor { epoch: 8, seq: 3 }));
}

#[test]
fn a_publish_in_flight_is_sent_again_with_the_same_client_id() {
    let mut machine = up();
    let references: Vec<u64> = ["a", "b", "c"].iter().map(|text| publish(&mut machine, text)).collect();
    let before = sent(&mut machine, 0);
    assert_eq!(texts(&before), ["a", "b", "c"]);
    answer(&mut machine, references[0], ack(1));
    assert_eq!(events(&mut machine), ["acked 1"]);
    reconnect(&mut machine, 0);
    let after = sent(&mut machine, 0);
    assert_eq!(after, before[1..]);
    assert_eq!(before[1].2, "prefix-2");
}

#[test]
fn ones_own_message_whose_ack_was_lost_is_not_an_event() {
    let mut machine = up();
    receive(&mut machine, 5);
    assert_eq!(events(&mut machine), ["message 5 resume 5"]);
    let reference = publish(&mut machine, "mine");
    let client_id = sent(&mut machine, 0).remove(0).2;
    reconnect(&mut machine, 0);
    let own = Message { sender: "alice".into(), client_id: Some(client_id), ..message(team(), 6) };
    machine.handle_frame(0, Incoming::Message(own), 0);
    assert_eq!(sent(&mut machine, 0).len(), 1);
    answer(&mut machine, reference, ack(6));
    receive(&mut machine, 7);
    assert_eq!(events(&mut machine), ["acked 6", "message 7 resume 7"]);
    assert_eq!(machine.poll_outcome(), Some((reference, Ok(ack(6)))));
}

#[test]
fn what_must_not_be_done_twice_fails_when_the_connection_breaks() {
    let mut machine = up();
    let join = machine.handle_request(Request::GroupJoin { id: "team".into() });
    let members = machine.handle_request(Request::Members { conversation: team(), after: None, limit: 0 });
    while machine.poll_transmit(0).is_some() {}
    reconnect(&mut machine, 0);
    assert_eq!(machine.poll_outcome(), Some((join, Err(RequestError::ConnectionLost))));
    assert_eq!(machine.poll_outcome(), None);
    assert!(matches!(machine.poll_transmit(0), Some(Outgoing::Request { reference, .. }) if reference == members));
}

#[test]
fn a_publish_of_unknown_fate_is_not_sent_again_after_the_dedupe_window() {
    let mut machine = up();
    let reference = publish(&mut machine, "old");
    sent(&mut machine, 0);
    machine.handle_lost(1_000, Disconnect::ClosedByServer, 0);
    let never_sent = publish(&mut machine, "new");
    log_in(&mut machine, 121_000);
    machine.handle_frame(121_000, Incoming::Welcome(welcome(8)), 0);
    let sent = sent(&mut machine, 121_000);
    assert_eq!(machine.poll_outcome(), Some((reference, Err(RequestError::ConnectionLost))));
    assert_eq!((texts(&sent), sent[0].0), (vec!["new"], never_sent));
}

#[test]
fn the_window_is_kept() {
    let (mut machine, _) = logging_in(options());
    machine.handle_frame(0, Incoming::Welcome(welcome(2)), 0);
    let references: Vec<u64> = ["a", "b", "c", "d"].iter().map(|text| publish(&mut machine, text)).collect();
    assert_eq!(texts(&sent(&mut machine, 0)), ["a", "b"]);
    assert!(sent(&mut machine, 0).is_empty());
    answer(&mut machine, references[0], ack(1));
    assert_eq!(texts(&sent(&mut machine, 0)), ["c"]);
}

#[test]
fn a_busy_server_is_asked_again_later_and_in_order() {
    let mut machine = up();
    let a = publish(&mut machine, "a");
    let b = publish(&mut machine, "b");
    sent(&mut machine, 0);
    publish(&mut machine, "c");
    refuse(&mut machine, 0, b, ErrorCode::rate_limited, 400);
    refuse(&mut machine, 0, a, ErrorCode::busy, 100);
    assert!(sent(&mut machine, 399).is_empty());
    assert_eq!(machine.poll_timeout_ms(), Some(400));
    assert_eq!(texts(&sent(&mut machine, 400)), ["a", "b", "c"]);
    assert_eq!(machine.poll_outcome(), None);
}

#[test]
fn retries_are_bounded() {
    let mut machine = up();
    let reference = publish(&mut machine, "a");
    let mut now_ms = 0;
    for _ in 0..=machine.options.publish_retries {
        assert_eq!(sent(&mut machine, now_ms).len(), 1);
        refuse(&mut machine, now_ms, reference, ErrorCode::busy, 100);
        now_ms += 100;
    }
    assert!(sent(&mut machine, now_ms).is_empty());
    assert_eq!(machine.poll_outcome().and_then(|(_, outcome)| outcome.err()?.code()), Some(ErrorCode::busy));
}

#[test]
fn close_codes_say_whether_to_come_back() {
    for code in 2000..2020 {
        let (mut machine, _) = logging_in(options());
        let waiting = publish(&mut machine, "a");
        let bye = Incoming::GoAway { code: CloseCode(code), message: "no".into(), reconnect_after_ms: 0 };
        machine.handle_frame(0, bye, 0);
        let why = Ended::Refused { code: CloseCode(code), message: "no".into() };
        assert_eq!(machine.phase(), &Phase::Ended(why.clone()));
        assert_eq!(machine.poll_event(), Some(Event::Ended(why.clone())));
        assert_eq!(machine.poll_outcome(), Some((waiting, Err(RequestError::Ended(why)))));
    }
    for code in (1000..1010).chain([0, 3000]) {
        let mut machine = up();
        let bye = Incoming::GoAway { code: CloseCode(code), message: String::new(), reconnect_after_ms: 700 };
        machine.handle_frame(10, bye, 0);
        assert_eq!(machine.phase(), &Phase::Waiting { until_ms: 710 }, "{code}");
        assert!(matches!(machine.poll_event(), Some(Event::Disconnected { reason: Disconnect::GoAway { .. }, .. })));
    }
}

#[test]
fn waits_grow_and_a_good_connection_begins_anew() {
    let mut machine = up();
    let mut now_ms = GOOD_CONNECTION_MS;
    for bound_ms in [200, 400, 800, 1600] {
        machine.handle_lost(now_ms, Disconnect::ClosedByServer, u64::MAX);
        assert_eq!(machine.phase(), &Phase::Waiting { until_ms: now_ms + bound_ms });
        now_ms += bound_ms;
        machine.handle_timeout(now_ms, 0);
    }
    machine.handle_connected(now_ms);
    machine.handle_frame(now_ms, Incoming::Welcome(welcome(8)), 0);
    machine.handle_lost(now_ms + 1, Disconnect::ClosedByServer, u64::MAX);
    assert_eq!(machine.phase(), &Phase::Waiting { until_ms: now_ms + 1 + 3200 }, "a welcome alone does not reset the wait");
    assert_eq!(machine.options.backoff, Backoff::default());
}

#[test]
fn attempts_that_fail_are_one_event() {
    let mut machine = up();
    for now_ms in [0, 0, 0] {
        machine.handle_lost(now_ms, Disconnect::ClosedByServer, 0);
        machine.handle_timeout(now_ms, 0);
    }
    assert_eq!(machine.events.len(), 1);
    machine.poll_event();
    assert_eq!(machine.events_bytes, 0);
}

#[test]
fn the_first_failure_is_an_error_unless_told_otherwise() {
    let mut machine = Machine::new(Options { keep_trying: false, ..options() }, "prefix".into());
    machine.handle_timeout(0, 0);
    machine.handle_lost(0, Disconnect::Unreachable("refused".into()), 0);
    assert!(matches!(machine.phase(), Phase::Ended(Ended::Unreachable { .. })));
}

#[test]
fn silence_is_broken_by_pings_and_ends_the_connection() {
    let mut machine = up();
    assert_eq!(machine.poll_timeout_ms(), Some(900));
    assert_eq!(machine.poll_transmit(899), None);
    let Some(Outgoing::Request { reference, request }) = machine.poll_transmit(900) else { panic!("no ping") };
    assert_eq!(*request, Request::Ping);
    assert_eq!(machine.poll_transmit(901), None);
    machine.handle_frame(1_000, Incoming::Answer { reference, answer: Answer::Pong { server_time_ms: 0 } }, 0);
    machine.handle_timeout(5_999, 0);
    assert!(matches!(machine.phase(), Phase::Up { .. }));
    machine.handle_timeout(6_000, 0);
    assert!(matches!(machine.poll_event(), Some(Event::Disconnected { reason: Disconnect::Silent { .. }, .. })));
}

#[test]
fn pings_do_not_pile_up() {
    let mut machine = up();
    let references: Vec<u64> = [900, 1_800, 2_700]
        .into_iter()
        .filter_map(|now_ms| match machine.poll_transmit(now_ms) {
            Some(Outgoing::Request { reference, .. }) => Some(reference),
            _ => None,
        })
        .collect();
    assert_eq!(references, [1, 0, 0], "ref 0: answered only if it fails");
    assert_eq!(machine.requests.len(), 1);
}

#[test]
fn a_ping_of_the_server_is_answered() {
    let mut machine = up();
    machine.handle_frame(0, Incoming::Ping, 0);
    assert_eq!(machine.poll_transmit(0), Some(Outgoing::Pong));
}

#[test]
fn topics_and_watches_come_back_after_a_reconnect() {
    let mut machine = up();
    let tags = vec!["eu".to_owned()];
    let subscribe = machine.handle_request(Request::Subscribe { conversation: news(), cursor: None, tags: tags.clone() });
    let watch = machine.handle_request(Request::PresenceWatch { users: vec!["bob".into()] });
    while machine.poll_transmit(0).is_some() {}
    let subscribed = Subscribed { conversation: news(), epoch: 7, first: 1, committed: 4, next: 5 };
    answer(&mut machine, subscribe, Answer::Subscribed(subscribed));
    let here = PresenceAnswer { users: vec![UserPresence { user: "bob".into(), online: true, last_seen_ms: 0 }], sessions: 0 };
    answer(&mut machine, watch, Answer::Presence(here.clone()));
    let hello = reconnect(&mut machine, 0);
    assert_eq!(hello.resume, [ResumePoint { conversation: news(), cursor: Some(cursor(4)), tags }]);
    let Some(Outgoing::Request { reference, request }) = machine.poll_transmit(0) else { panic!("no watch") };
    assert_eq!(*request, Request::PresenceWatch { users: vec!["bob".into()] });
    answer(&mut machine, reference, Answer::Presence(here));
    assert_eq!(events(&mut machine), ["presence bob true"]);
}

#[test]
fn a_topic_that_is_only_published_to_is_not_resumed() {
    let mut machine = up();
    let reference = machine.handle_request(Request::Publish(Publish::text(news(), "x")));
    sent(&mut machine, 0);
    answer(&mut machine, reference, ack(1));
    assert_eq!(reconnect(&mut machine, 0).resume, []);
}

#[test]
fn a_group_that_one_was_removed_from_is_not_resumed() {
    let mut machine = up();
    receive(&mut machine, 5);
    let removed = Message { kind: RecordKind::removed, subject: Some("alice".into()), ..message(team(), 6) };
    machine.handle_frame(0, Incoming::Message(removed), 0);
    assert_eq!(events(&mut machine), ["message 5 resume 5", "record 6"]);
    assert_eq!(reconnect(&mut machine, 0).resume, []);
}

#[test]
fn the_application_may_bring_its_cursors() {
    let resume = vec![ResumePoint { conversation: team(), cursor: Some(cursor(5)), tags: vec![] }];
    let (mut machine, hello) = logging_in(Options { resume: resume.clone(), ..options() });
    assert_eq!(hello.resume, resume);
    machine.handle_frame(0, Incoming::Welcome(welcome(8)), 0);
    machine.poll_event();
    receive(&mut machine, 5);
    receive(&mut machine, 6);
    assert_eq!(events(&mut machine), ["message 6 resume 6"]);
}

#[test]
fn reading_stops_while_events_wait_unless_an_answer_stands_behind_them() {
    let mut machine = up();
    assert!(machine.wants_bytes());
    receive(&mut machine, 5);
    assert!(!machine.wants_bytes());
    let reference = publish(&mut machine, "a");
    sent(&mut machine, 0);
    assert!(machine.wants_bytes());
    machine.handle_frame(0, Incoming::Message(Message { body: vec![0; LOOKAHEAD_BYTES_MAX], ..message(team(), 6) }), 0);
    assert!(!machine.wants_bytes(), "looking ahead has a limit");
    machine.poll_event();
    machine.poll_event();
    assert!(machine.wants_bytes());
    answer(&mut machine, reference, ack(7));
}

#[test]
fn a_wrong_answer_is_an_error_and_a_stranger_is_ignored() {
    let mut machine = up();
    let reference = publish(&mut machine, "a");
    sent(&mut machine, 0);
    answer(&mut machine, 999, ack(1));
    answer(&mut machine, reference, Answer::Done);
    assert_eq!(machine.poll_outcome(), Some((reference, Err(RequestError::WrongAnswer))));
    assert_eq!(machine.poll_outcome(), None);
}

#[test]
fn a_receipt_is_asked_for_again_and_a_failure_without_ref_is_told() {
    let mut machine = up();
    let receipt = Request::Receipt { conversation: team(), kind: ReceiptKind::read, cursor: cursor(5) };
    let reference = machine.handle_request(receipt);
    while machine.poll_transmit(0).is_some() {}
    reconnect(&mut machine, 0);
    assert!(matches!(machine.poll_transmit(0), Some(Outgoing::Request { reference: again, .. }) if again == reference));
    refuse(&mut machine, 0, 0, ErrorCode::too_many_subscriptions, 0);
    assert!(matches!(machine.poll_event(), Some(Event::Trouble { code: ErrorCode::too_many_subscriptions, .. })));
}

#[test]
fn a_conversation_can_be_resumed_before_its_first_message() {
    let mut machine = up();
    goes_on(&mut machine, Conversation::Broadcast, 5);
    goes_on(&mut machine, team(), 1);
    assert_eq!(events(&mut machine), ["receiving 4", "receiving 0"]);
    let point = |conversation, seq| ResumePoint { conversation, cursor: Some(cursor(seq)), tags: vec![] };
    assert_eq!(reconnect(&mut machine, 0).resume, [point(Conversation::Broadcast, 4), point(team(), 0)]);
    goes_on(&mut machine, team(), 1);
    receive(&mut machine, 1);
    assert_eq!(events(&mut machine), ["message 1 resume 1"], "what is resumed keeps its cursor");
}

#[test]
fn an_ack_that_came_before_the_beginning_counts() {
    let mut machine = up();
    let join = machine.handle_request(Request::GroupJoin { id: "team".into() });
    while machine.poll_transmit(0).is_some() {}
    answer(&mut machine, join, ack(9));
    goes_on(&mut machine, team(), 8);
    receive(&mut machine, 8);
    receive(&mut machine, 10);
    assert_eq!(events(&mut machine), ["receiving 7", "message 8 resume 9", "message 10 resume 10"]);
}

#[test]
fn a_resumed_conversation_that_goes_on_later_says_why() {
    let mut machine = up();
    receive(&mut machine, 5);
    assert_eq!(events(&mut machine), ["message 5 resume 5"]);
    reconnect(&mut machine, 0);
    goes_on(&mut machine, team(), 9);
    let skip = Skip { conversation: team(), epoch: 7, from: 6, to: 8, why: SkipReason::before_joined };
    machine.handle_frame(0, Incoming::Skip(skip), 0);
    receive(&mut machine, 9);
    assert_eq!(events(&mut machine), ["skip 6 8", "message 9 resume 9"]);
    assert_eq!(machine.poll_transmit(0), None);
}

#[test]
fn a_conversation_that_was_not_resumed_is_asked_for_from_its_cursor() {
    let mut machine = up();
    receive(&mut machine, 5);
    goes_on(&mut machine, team(), 9);
    let Some(Outgoing::Request { reference, request }) = machine.poll_transmit(0) else { panic!("no subscribe") };
    let expected = Request::Subscribe { conversation: team(), cursor: Some(cursor(5)), tags: vec![] };
    assert_eq!(*request, expected);
    receive(&mut machine, 9);
    assert_eq!(events(&mut machine), ["message 5 resume 5", "message 9 resume 5"], "no hole while the answer is awaited");
    let subscribed = Subscribed { conversation: team(), epoch: 7, first: 1, committed: 9, next: 6 };
    answer(&mut machine, reference, Answer::Subscribed(subscribed));
    for seq in 6..=10 {
        receive(&mut machine, seq);
    }
    let expected = ["message 6 resume 6", "message 7 resume 7", "message 8 resume 9", "message 10 resume 10"];
    assert_eq!(events(&mut machine), expected, "9 came already");
}

#[test]
fn what_an_old_connection_brought_out_of_turn_is_no_hole_on_the_next() {
    let mut machine = up();
    receive(&mut machine, 5);
    publish(&mut machine, "6");
    publish(&mut machine, "8");
    let sent = sent(&mut machine, 0);
    receive(&mut machine, 7);
    receive(&mut machine, 9);
    machine.events.clear();
    machine.events_bytes = 0;
    reconnect(&mut machine, 0);
    for (seq, (_, _, client_id)) in [(6, &sent[0]), (8, &sent[1])] {
        let own = Message { sender: "alice".into(), client_id: Some(client_id.clone()), ..message(team(), seq) };
        machine.handle_frame(0, Incoming::Message(own), 0);
        receive(&mut machine, seq + 1);
    }
    assert_eq!(events(&mut machine), ["acked 7", "acked 9"]);
}

#[test]
fn what_cannot_be_resumed_is_told_and_not_resumed_again() {
    let mut machine = up();
    receive(&mut machine, 5);
    machine.poll_event();
    reconnect(&mut machine, 0);
    let (code, message) = (ErrorCode::unknown_conversation, "gone".to_owned());
    let failed = Incoming::Error { reference: 0, code, message: message.clone(), retry_after_ms: 0, about: Some(team()) };
    machine.handle_frame(0, failed, 0);
    assert_eq!(machine.poll_event(), Some(Event::Trouble { conversation: Some(team()), code, message }));
    assert_eq!(reconnect(&mut machine, 0).resume, []);
}

#[test]
fn the_servers_limits_bound_the_resume_list_and_the_resending() {
    let (mut machine, _) = logging_in(options());
    let limits = || Incoming::Welcome(Welcome { resume_max: 2, dedupe_ms: 10_000, ..welcome(8) });
    machine.handle_frame(0, limits(), 0);
    for group in ["a", "b", "c"] {
        machine.handle_frame(0, Incoming::Message(message(Conversation::Group(group.into()), 1)), 0);
    }
    machine.events.clear();
    machine.events_bytes = 0;
    let (old, _) = (publish(&mut machine, "old"), sent(&mut machine, 0));
    let young = publish(&mut machine, "young");
    sent(&mut machine, 500);
    machine.handle_lost(500, Disconnect::ClosedByServer, 0);
    assert_eq!(log_in(&mut machine, 9_400).resume.len(), 2);
    machine.handle_frame(9_400, limits(), 0);
    assert_eq!(sent(&mut machine, 9_400)[0].0, young, "nine tenths of what the server remembers");
    assert_eq!(machine.poll_outcome(), Some((old, Err(RequestError::ConnectionLost))));
}

/// A machine that has asked to add bob to the team, and the record of it.
fn adding_bob() -> (Machine, u64, Message) {
    let mut machine = up();
    receive(&mut machine, 5);
    machine.poll_event();
    let add = machine.handle_request(Request::GroupAdd { id: "team".into(), user: "bob".into(), role: Role::member });
    while machine.poll_transmit(0).is_some() {}
    let (sender, subject) = ("alice".to_owned(), Some("bob".to_owned()));
    let record = Message { sender, subject, kind: RecordKind::added, role: Role::member, ..message(team(), 6) };
    (machine, add, record)
}

#[test]
fn ones_own_change_of_a_group_is_told_by_its_ack_also_when_the_record_comes_first() {
    let (mut machine, add, record) = adding_bob();
    machine.handle_frame(0, Incoming::Message(record), 0);
    receive(&mut machine, 7);
    answer(&mut machine, add, ack(6));
    assert_eq!(events(&mut machine), ["message 7 resume 7", "acked 7"]);
}

#[test]
fn a_change_that_only_looks_like_ones_own_or_has_no_ack_is_told() {
    let (mut machine, add, record) = adding_bob();
    machine.handle_frame(0, Incoming::Message(record), 0);
    refuse(&mut machine, 0, add, ErrorCode::already_member, 0);
    assert_eq!(events(&mut machine), ["record 6"], "another device of the same user did it");
    let (mut machine, add, record) = adding_bob();
    machine.handle_frame(0, Incoming::Message(record), 0);
    machine.handle_lost(0, Disconnect::ClosedByServer, 0);
    assert_eq!(machine.poll_outcome(), Some((add, Err(RequestError::ConnectionLost))));
    assert_eq!(events(&mut machine)[0], "record 6");
}

/// A machine that takes back message 5 of the team, and the request's ref.
fn taking_back() -> (Machine, u64) {
    let mut machine = up();
    receive(&mut machine, 6);
    assert_eq!(events(&mut machine), ["message 6 resume 6"]);
    let reference = machine.handle_request(Request::Retract { conversation: team(), cursor: cursor(5) });
    assert!(matches!(machine.poll_transmit(0), Some(Outgoing::Request { .. })));
    (machine, reference)
}

#[test]
fn taking_back_writes_a_record_that_the_ack_tells() {
    let (mut machine, reference) = taking_back();
    answer(&mut machine, reference, ack(7));
    receive(&mut machine, 8);
    assert_eq!(events(&mut machine), ["acked 7", "message 8 resume 8"]);
    assert_eq!(machine.poll_outcome(), Some((reference, Ok(ack(7)))));
}

#[test]
fn taking_back_again_names_the_message_and_moves_no_cursor_back() {
    let (mut machine, reference) = taking_back();
    let before = Answer::Ack(Ack { cursor: cursor(5), time_ms: 0, duplicate: true });
    answer(&mut machine, reference, before.clone());
    receive(&mut machine, 7);
    assert_eq!(events(&mut machine), ["message 7 resume 7"]);
    assert_eq!(machine.poll_outcome(), Some((reference, Ok(before))));
}

#[test]
fn taking_back_goes_on_after_a_reconnect_and_the_record_of_the_first_try_is_told() {
    let (mut machine, reference) = taking_back();
    reconnect(&mut machine, 0);
    assert!(matches!(machine.poll_transmit(0), Some(Outgoing::Request { reference: again, .. }) if again == reference));
    let record = Message { kind: RecordKind::retracted, target: 5, sender: "alice".into(), ..message(team(), 7) };
    machine.handle_frame(0, Incoming::Message(record), 0);
    answer(&mut machine, reference, Answer::Ack(Ack { cursor: cursor(5), time_ms: 0, duplicate: true }));
    assert_eq!(events(&mut machine), ["record 7"]);
}
