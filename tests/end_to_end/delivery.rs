//! Messages from a session to others, across shards: who gets what, in which order, and each once.

use campanile::wire::schema::{CloseCode, ErrorCode, SkipReason};

use crate::support::client::{Client, Extra};
use crate::support::seen::{Seen, Skip};
use crate::support::server::Server;

#[test]
fn a_direct_message_goes_to_all_devices_but_the_one_that_sent_it() {
    let server = Server::start(&[]);
    let [here, there] = server.users(4);
    for (alice, bob) in [(&here[0], &there[0]), (&there[1], &here[1]), (&here[2], &here[3]), (&there[2], &there[3])] {
        let (to_alice, to_bob) = (format!("direct:{alice}"), format!("direct:{bob}"));
        let mut phone = Client::connect(&server, alice, "phone");
        let mut laptop = Client::connect(&server, alice, "laptop");
        let mut bobs = Client::connect(&server, bob, "phone");
        let ack = phone.publish(&to_bob, "hello");
        let (got, copy) = (bobs.message(), laptop.message());
        assert_eq!((got.conversation.as_str(), got.text(), &got.sender), (to_alice.as_str(), "hello", alice));
        assert_eq!((got.epoch, got.seq, got.time_ms), (ack.epoch, ack.seq, ack.time_ms));
        assert_eq!((copy.conversation.as_str(), copy.text(), copy.cursor()), (to_bob.as_str(), "hello", got.cursor()));
        let answer = bobs.publish(&to_alice, "hi");
        assert_eq!((answer.epoch, answer.seq), (ack.epoch, ack.seq + 1));
        for alices in [&mut phone, &mut laptop] {
            assert_eq!(alices.message().text(), "hi");
            assert_eq!(alices.rest_of(&to_bob), []);
        }
        assert_eq!(bobs.rest_of(&to_alice), []);
    }
}

#[test]
fn what_a_message_carries_arrives() {
    let server = Server::start(&[]);
    let mut alice = Client::connect(&server, "alice", "phone");
    let mut bob = Client::connect(&server, "bob", "phone");
    let extra = Extra { client_id: Some("id-1"), content_type: Some("application/json"), ttl_ms: 60_000, tag: Some("t") };
    let body: Vec<u8> = (0..=255).collect();
    let reference = alice.send_publish("direct:bob", &body, extra);
    let ack = alice.ack(reference);
    let got = bob.message();
    assert_eq!(got.body, body);
    assert_eq!((&*got.client_id, &*got.content_type, got.ttl_ms, &*got.tag), ("id-1", "application/json", 60_000, "t"));
    assert_eq!((got.sender.as_str(), got.time_ms), ("alice", ack.time_ms));
}

#[test]
fn a_message_to_oneself_goes_to_ones_other_devices() {
    let server = Server::start(&[]);
    let mut phone = Client::connect(&server, "alice", "phone");
    let mut laptop = Client::connect(&server, "alice", "laptop");
    assert_eq!(phone.publish("direct:alice", "note").seq, 1);
    assert_eq!(laptop.message().text(), "note");
    assert_eq!((phone.rest_of("direct:alice"), laptop.rest_of("direct:alice")), (vec![], vec![]));
}

#[test]
fn several_messages_at_once_keep_their_order() {
    let server = Server::start(&[]);
    let [here, there] = server.users(1);
    let mut alice = Client::connect(&server, &here[0], "phone");
    let mut bob = Client::connect(&server, &there[0], "phone");
    let to_bob = format!("direct:{}", there[0]);
    let texts: Vec<String> = (0..100).map(|i| format!("message {i}")).collect();
    let (mut references, mut bytes) = (Vec::new(), Vec::new());
    for text in &texts {
        let (reference, frame) = alice.publish_frame(&to_bob, text.as_bytes(), Extra::default());
        references.push(reference);
        bytes.extend_from_slice(&frame);
    }
    alice.write(&bytes);
    let seqs: Vec<u64> = references.into_iter().map(|reference| alice.ack(reference).seq).collect();
    assert_eq!(seqs, (1..=100).collect::<Vec<_>>());
    assert_eq!(bob.texts(100), texts);
}

#[test]
fn where_a_kind_merges_messages_wait_for_others_and_acks_do_not() {
    let mut server = Server::start(&["--topic-merge-ms", "10000", "--topic-merge-messages", "3"]);
    let [here, there] = server.users(2);
    let mut publisher = Client::connect(&server, &here[0], "phone");
    let [mut leaver, mut other] = [&here[1], &there[0]].map(|user| Client::connect(&server, user, "phone"));
    for subscriber in [&mut leaver, &mut other] {
        subscriber.subscribe("topic:news", None, &[]);
    }
    for text in ["one", "two"] {
        publisher.publish("topic:news", text);
        assert_eq!([leaver.rest_of("topic:news"), other.rest_of("topic:news")], [vec![], vec![]], "{text} waits");
    }
    publisher.publish("topic:news", "three");
    assert_eq!([leaver.texts(3), other.texts(3)], [["one", "two", "three"], ["one", "two", "three"]]);
    // Who leaves gets what he was there for; so do all when the server stops.
    publisher.publish("topic:news", "four");
    assert_eq!([leaver.rest_of("topic:news"), other.rest_of("topic:news")], [vec![], vec![]]);
    leaver.unsubscribe("topic:news");
    assert_eq!(leaver.texts(1), ["four"]);
    server.terminate();
    assert_eq!(other.texts(1), ["four"]);
    assert_eq!(other.closed(), CloseCode::shutting_down);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_topic_reaches_its_subscribers_on_both_shards() {
    let server = Server::start(&[]);
    let [here, there] = server.users(2);
    // Several topics, since where the home of each is depends on chance.
    for topic in ["topic:news", "topic:sports", "topic:weather"] {
        let mut publisher = Client::connect(&server, &here[0], "phone");
        let mut others: Vec<Client> =
            [&here[1], &there[0], &there[1]].into_iter().map(|user| Client::connect(&server, user, "phone")).collect();
        for subscriber in others.iter_mut().chain([&mut publisher]) {
            let (_, first, committed) = subscriber.subscribe(topic, None, &[]);
            assert_eq!((first, committed), (1, 0));
        }
        assert_eq!(publisher.count_sessions(topic), 4);
        let ack = publisher.publish(topic, "one");
        for subscriber in &mut others {
            let got = subscriber.message();
            assert_eq!((got.conversation.as_str(), got.text(), got.cursor()), (topic, "one", (ack.epoch, ack.seq)));
        }
        others[0].unsubscribe(topic);
        // Whoever is not subscribed may publish, too.
        assert_eq!(others[0].publish(topic, "two").seq, 2);
        assert_eq!([publisher.message(), others[1].message()].map(|m| m.text().to_owned()), ["two", "two"]);
        assert_eq!(others[0].rest_of(topic), []);
    }
}

#[test]
fn a_tag_filter_lets_pass_what_it_names_and_says_what_it_does_not() {
    let server = Server::start(&[]);
    let [here, there] = server.users(1);
    let mut publisher = Client::connect(&server, &here[0], "phone");
    let mut live = Client::connect(&server, &there[0], "live");
    live.subscribe("topic:news", None, &["red", "green"]);
    let tags = ["red", "blue", "blue", "green", "", "red"];
    let places: Vec<(u64, u64)> = tags
        .iter()
        .map(|tag| {
            let extra = Extra { tag: (!tag.is_empty()).then_some(*tag), ..Extra::default() };
            let ack = publisher.publish_with("topic:news", tag, extra);
            (ack.epoch, ack.seq)
        })
        .collect();
    let epoch = places[0].0;
    let skip = |from, to| Seen::Skip(Skip { conversation: "topic:news".into(), epoch, from, to, why: SkipReason::filtered });
    let mut late = Client::connect(&server, &here[0], "late");
    late.subscribe("topic:news", Some((epoch, 0)), &["red", "green"]);
    for subscriber in [&mut live, &mut late] {
        assert_eq!(subscriber.message().text(), "red");
        assert_eq!(subscriber.event(), skip(2, 3));
        assert_eq!(subscriber.message().text(), "green");
        assert_eq!(subscriber.event(), skip(5, 5));
        assert_eq!(subscriber.message().cursor(), (epoch, 6));
    }
}

#[test]
fn broadcast_reaches_every_session() {
    let server = Server::start(&[]);
    let [here, there] = server.users(2);
    let mut sessions: Vec<Client> = here.iter().chain(&there).map(|user| Client::connect(&server, user, "phone")).collect();
    sessions.push(Client::connect(&server, &here[0], "laptop"));
    // A session receives broadcast from when its shard has attached it.
    let count = sessions.len() as u64;
    while sessions[0].count_sessions("broadcast") < count {}
    for round in 0..2 {
        let text = format!("to all {round}");
        let ack = sessions[round].publish("broadcast", &text);
        for (i, session) in sessions.iter_mut().enumerate() {
            if i != round {
                let got = session.message();
                assert_eq!((got.conversation.as_str(), got.text(), got.seq), ("broadcast", text.as_str(), ack.seq));
            }
            assert_eq!(session.rest_of("broadcast"), []);
        }
    }
}

#[test]
fn the_same_device_again_replaces_its_session() {
    let server = Server::start(&[]);
    let [here, there] = server.users(1);
    for user in [&here[0], &there[0]] {
        let mut first = Client::connect(&server, user, "phone");
        let mut second = Client::connect(&server, user, "phone");
        assert_eq!(first.closed(), CloseCode::replaced);
        let mut other = Client::connect(&server, user, "laptop");
        other.publish(&format!("direct:{user}"), "still here");
        assert_eq!(second.message().text(), "still here");
    }
    assert_eq!(server.closes("replaced"), 2);
}

#[test]
fn a_device_is_logged_out_by_another() {
    let server = Server::start(&[]);
    let mut phone = Client::connect(&server, "alice", "phone");
    let mut laptop = Client::connect(&server, "alice", "laptop");
    let reference = phone.send_log_out("laptop");
    phone.done(reference);
    assert_eq!(laptop.closed(), CloseCode::logged_out);
    // Its session ends when its connection does.
    server.wait_for("campanile_sessions", "", |sessions| sessions == 1);
    let reference = phone.send_log_out("laptop");
    assert_eq!(phone.refused(reference), ErrorCode::unknown_device);
    let reference = phone.send_log_out("phone");
    phone.done(reference);
    assert_eq!(phone.closed(), CloseCode::logged_out);
}

#[test]
fn the_same_client_id_gets_the_first_ack_and_is_delivered_once() {
    let server = Server::start(&[]);
    let [here, there] = server.users(1);
    let mut phone = Client::connect(&server, &here[0], "phone");
    let mut bob = Client::connect(&server, &there[0], "phone");
    let (to_bob, to_alice) = (format!("direct:{}", there[0]), format!("direct:{}", here[0]));
    let with_id = |id| Extra { client_id: Some(id), ..Extra::default() };
    let first = phone.publish_with(&to_bob, "once", with_id("a"));
    let again = phone.publish_with(&to_bob, "once", with_id("a"));
    assert!(!first.duplicate && again.duplicate);
    assert_eq!((first.epoch, first.seq, first.time_ms), (again.epoch, again.seq, again.time_ms));
    // After a reconnect, too; and in one write, while the first may still be under way.
    drop(phone);
    let mut phone = Client::connect(&server, &here[0], "phone");
    assert_eq!(phone.publish_with(&to_bob, "once", with_id("a")).seq, first.seq);
    let frames = [(); 2].map(|()| phone.publish_frame(&to_bob, b"twice", with_id("b")));
    phone.write(&frames.each_ref().map(|(_, frame)| frame.clone()).concat());
    let acks = frames.map(|(reference, _)| phone.ack(reference));
    assert_eq!((acks[0].seq, acks[0].duplicate, acks[1].seq, acks[1].duplicate), (2, false, 2, true));
    // The id is the sender's own: another user's or conversation's is another message.
    assert_eq!(bob.publish_with(&to_alice, "mine", with_id("a")).seq, 3);
    assert_eq!(bob.texts(2), ["once", "twice"]);
    assert_eq!(bob.rest_of(&to_alice), []);
}
