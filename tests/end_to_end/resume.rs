//! Coming back: by cursor, by what is stored for the device, across an epoch, over trimmed history, and in the middle of a stream.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use campanile::wire::schema::{Direction, ErrorCode, ReceiptKind, SkipReason};

use crate::support::Enough;
use crate::support::client::{Client, Extra};
use crate::support::seen::{Gap, Message, Seen, Skip};
use crate::support::server::Server;

#[test]
fn a_cursor_brings_exactly_the_later_messages_each_once() {
    let server = Server::start(&[]);
    let [here, there] = server.users(2);
    let (alice, bob) = (&here[0], &there[0]);
    let (to_alice, to_bob) = (format!("direct:{alice}"), format!("direct:{bob}"));
    let mut publisher = Client::connect(&server, alice, "phone");
    publisher.group_create("team", false, false, &[bob, &here[1]]);
    for conversation in ["topic:news", "broadcast", "group:team", &to_bob] {
        let seen_as = if conversation == to_bob { &to_alice } else { conversation };
        let places: Vec<u64> = (0..20).map(|i| publisher.publish(conversation, &format!("{i}")).seq).collect();
        let epoch = publisher.publish(conversation, "last").epoch;
        let mut reader = Client::resume(&server, bob, "phone", &[(seen_as, (epoch, places[11]), &[])]);
        // Other conversations of bob come as well; only this one is looked at.
        let (mut texts, mut is_live) = (Vec::new(), false);
        while texts.last().is_none_or(|text| text != "live") {
            if texts.len() == 9 && !std::mem::replace(&mut is_live, true) {
                publisher.publish(conversation, "live");
            }
            match reader.event() {
                Seen::Message(message) if message.conversation == *seen_as => texts.push(message.text().to_owned()),
                Seen::Message(Message { conversation, .. }) | Seen::Skip(Skip { conversation, .. })
                    if conversation != *seen_as => {}
                other => panic!("{conversation}: {other:?}"),
            }
        }
        assert_eq!(texts, ["12", "13", "14", "15", "16", "17", "18", "19", "last", "live"], "{conversation}");
        let repeats = reader.rest_of(seen_as);
        assert!(!repeats.iter().any(|seen| matches!(seen, Seen::Message(m) if m.conversation == *seen_as)), "{repeats:?}");
    }
}

#[test]
fn what_came_while_one_was_away_is_delivered_without_a_cursor() {
    let server = Server::start(&[]);
    let [here, there] = server.users(1);
    let (alice, bob) = (&here[0], &there[0]);
    let (to_alice, to_bob) = (format!("direct:{alice}"), format!("direct:{bob}"));
    let mut alices = Client::connect(&server, alice, "phone");
    // Bob has never been here.
    let epoch = alices.publish(&to_bob, "1").epoch;
    alices.publish(&to_bob, "2");
    let mut phone = Client::connect(&server, bob, "phone");
    assert_eq!(phone.texts(2), ["1", "2"]);
    phone.receipt(&to_alice, ReceiptKind::delivered, (epoch, 2));
    drop(phone);
    server.wait_for("campanile_sessions", "", |sessions| sessions == 1);
    alices.publish(&to_bob, "3");
    // The phone goes on where it said it was; a new device where the user has read, which is nowhere yet.
    let mut phone = Client::connect(&server, bob, "phone");
    assert_eq!(phone.texts(1), ["3"]);
    let mut tablet = Client::connect(&server, bob, "tablet");
    assert_eq!(tablet.texts(3), ["1", "2", "3"]);
    phone.receipt(&to_alice, ReceiptKind::read, (epoch, 2));
    let mut laptop = Client::connect(&server, bob, "laptop");
    assert_eq!(laptop.texts(1), ["3"]);
    // Unsaid means unsure: at least once, from what is stored.
    drop(phone);
    let mut phone = Client::connect(&server, bob, "phone");
    assert_eq!(phone.texts(1), ["3"]);
    for device in [&mut phone, &mut tablet, &mut laptop] {
        assert!(!device.rest_of(&to_alice).iter().any(|seen| matches!(seen, Seen::Message(_) | Seen::Skip(_))));
    }
}

#[test]
fn after_a_restart_a_cursor_is_answered_with_a_gap_first() {
    let server = Server::start(&[]);
    let mut alice = Client::connect(&server, "alice", "phone");
    let old = ["topic:news", "broadcast", "direct:bob"].map(|to| {
        let ack = (0..6).map(|_| alice.publish(to, "old")).last().unwrap();
        (ack.epoch, ack.seq)
    });
    drop(server);
    let server = Server::start(&[]);
    let mut alice = Client::connect(&server, "alice", "phone");
    for (conversation, seen_as, old) in
        [("topic:news", "topic:news", old[0]), ("broadcast", "broadcast", old[1]), ("direct:bob", "direct:alice", old[2])]
    {
        let new = alice.publish(conversation, "new");
        assert!(new.epoch > old.0 && new.seq == 1);
        let mut bob = Client::resume(&server, "bob", conversation, &[(seen_as, old, &[])]);
        let gap = Gap { conversation: seen_as.into(), epoch: new.epoch, first: 1, committed: 1 };
        assert_eq!(bob.event(), Seen::Gap(gap.clone()));
        assert_eq!(bob.message().text(), "new");
        let page = bob.sync(seen_as, old, 10, Direction::forward);
        assert_eq!((page.gap, page.messages.len()), (Some(gap), 1));
    }
}

#[test]
fn what_was_trimmed_is_a_gap() {
    let server = Server::start(&["--history-messages-max", "10"]);
    let mut alice = Client::connect(&server, "alice", "phone");
    let epoch = (1..=25).map(|i| alice.publish("topic:news", &i.to_string()).epoch).last().unwrap();
    let gap = Gap { conversation: "topic:news".into(), epoch, first: 16, committed: 25 };
    let mut bob = Client::connect(&server, "bob", "phone");
    assert_eq!(bob.subscribe("topic:news", Some((epoch, 3)), &[]), (epoch, 16, 25));
    assert_eq!(bob.event(), Seen::Gap(gap.clone()));
    assert_eq!(bob.texts(10), (16..=25).map(|i| i.to_string()).collect::<Vec<_>>());
    // One before what is kept is no gap; above what is committed is one.
    bob.subscribe("topic:news", Some((epoch, 15)), &[]);
    assert_eq!(bob.texts(10)[0], "16");
    bob.subscribe("topic:news", Some((epoch, 26)), &[]);
    assert_eq!(bob.event(), Seen::Gap(gap));
    assert_eq!(bob.texts(10)[9], "25");
    assert_eq!(bob.rest_of("topic:news"), []);
}

#[test]
fn attaching_in_a_stream_of_messages_leaves_no_hole_and_repeats_nothing() {
    let server = Server::start(&[
        "--history-messages-max",
        "10000000",
        "--history-bytes-max",
        "1000000000",
        "--publish-rate-per-user",
        "0",
    ]);
    let [here, there] = server.users(1);
    for topic in ["topic:a", "topic:b"] {
        let mut alice = Client::connect(&server, &here[0], "phone");
        let epoch = alice.publish(topic, "first").epoch;
        let (enough, published, got) = (AtomicBool::new(false), AtomicU64::new(1), AtomicU64::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !enough.load(Ordering::Relaxed) {
                    // Several pages ahead of the reader, and no further: it is not slowness that is tried here.
                    if published.load(Ordering::Relaxed) > got.load(Ordering::Relaxed) + 1000 {
                        std::thread::yield_now();
                        continue;
                    }
                    let pipelined = [(); 16].map(|()| alice.publish_frame(topic, b"more", Extra::default()));
                    alice.write(&pipelined.each_ref().map(|(_, frame)| frame.clone()).concat());
                    let last = pipelined.map(|(reference, _)| alice.ack(reference).seq)[15];
                    published.store(last, Ordering::Relaxed);
                }
            });
            let _told = Enough(&enough);
            for (user, round) in [&here[0], &there[0]].into_iter().cycle().zip(0..10) {
                // Enough of a backlog for several pages, and a stream that goes on behind it.
                while published.load(Ordering::Relaxed) < 300 * (round + 1) {
                    std::thread::yield_now();
                }
                let mut reader = Client::connect(&server, user, "reader");
                reader.subscribe(topic, Some((epoch, 0)), &[]);
                let enough_seen = published.load(Ordering::Relaxed) + 300;
                for seq in 1..=enough_seen {
                    assert_eq!(reader.message().cursor(), (epoch, seq), "{topic}");
                    got.store(seq, Ordering::Relaxed);
                }
                // The newest only, in the middle of the stream: wherever it begins, it goes on without a hole.
                let (_, _, committed) = reader.subscribe(topic, None, &[]);
                got.store(committed, Ordering::Relaxed);
                let mut next = None;
                for _ in 0..200 {
                    let seq = loop {
                        let seq = reader.message().seq;
                        // What the first subscription had sent before the second was asked for.
                        if next.is_some() || seq > committed {
                            break seq;
                        }
                    };
                    assert_eq!(seq, next.unwrap_or(committed + 1), "{topic}");
                    next = Some(seq + 1);
                    got.store(seq, Ordering::Relaxed);
                }
            }
        });
    }
}

#[test]
fn a_page_goes_forward_and_backward_and_says_whether_there_is_more() {
    let server = Server::start(&[]);
    let mut alice = Client::connect(&server, "alice", "phone");
    let epoch = (1..=10).map(|i| alice.publish("direct:bob", &i.to_string()).epoch).last().unwrap();
    let mut pages = |direction, mut cursor| {
        let mut pages: Vec<Vec<u64>> = Vec::new();
        loop {
            let page = alice.sync("direct:bob", cursor, 4, direction);
            assert_eq!((page.epoch, page.first, page.committed, page.gap, page.skips), (epoch, 1, 10, None, vec![]));
            pages.push(page.messages.iter().map(|message| message.seq).collect());
            if !page.has_more {
                return pages;
            }
            cursor = page.next;
        }
    };
    assert_eq!(pages(Direction::forward, (0, 0)), [vec![1, 2, 3, 4], vec![5, 6, 7, 8], vec![9, 10]]);
    assert_eq!(pages(Direction::forward, (epoch, 8)), [vec![9, 10]]);
    assert_eq!(pages(Direction::forward, (epoch, 10)), [Vec::<u64>::new()]);
    assert_eq!(pages(Direction::backward, (0, 0)), [vec![7, 8, 9, 10], vec![3, 4, 5, 6], vec![1, 2]]);
    assert_eq!(pages(Direction::backward, (epoch, 3)), [vec![1, 2, 3]]);
    let mut carol = Client::connect(&server, "carol", "phone");
    // Hers with bob is another one, in which nothing was said yet; a group that is not hers does not exist.
    let page = carol.sync("direct:bob", (0, 0), 4, Direction::forward);
    assert_eq!((page.messages.len(), page.committed, page.has_more), (0, 0, false));
    let reference = carol.send_sync("group:none", (0, 0), 4, Direction::forward);
    assert_eq!(carol.refused(reference), ErrorCode::unknown_conversation);
    // A reader takes part in the same conversation under another name.
    let mut bob = Client::connect(&server, "bob", "phone");
    assert_eq!(bob.sync("direct:alice", (0, 0), 0, Direction::forward).messages.len(), 10);
}

#[test]
fn what_is_expired_is_skipped() {
    let server = Server::start(&[]);
    let mut alice = Client::connect(&server, "alice", "phone");
    let brief = Extra { ttl_ms: 1, ..Extra::default() };
    let epoch = alice.publish("topic:news", "1").epoch;
    for text in ["2", "3"] {
        alice.publish_with("topic:news", text, brief);
    }
    // The clock of the server moves on: what is published later has a later time.
    let third = alice.sync("topic:news", (epoch, 2), 1, Direction::forward);
    let expired_at = third.messages.first().map_or(0, |message| message.time_ms + 1);
    while alice.publish("topic:clock", "tick").time_ms <= expired_at {}
    alice.publish("topic:news", "4");
    let skip = |from, to| Skip { conversation: "topic:news".into(), epoch, from, to, why: SkipReason::expired };
    let page = alice.sync("topic:news", (epoch, 0), 10, Direction::forward);
    assert_eq!(page.messages.iter().map(|m| m.seq).collect::<Vec<_>>(), [1, 4]);
    assert_eq!(page.skips, [skip(2, 3)]);
    let mut bob = Client::connect(&server, "bob", "phone");
    bob.subscribe("topic:news", Some((epoch, 1)), &[]);
    assert_eq!(bob.event(), Seen::Skip(skip(2, 3)));
    assert_eq!(bob.message().text(), "4");
}
