//! The rules of sessions, one by one, in a small world without sockets.

use super::world::{Client, Got, World};
use crate::limits::Limits;
use crate::slot::{ShardId, Slots};
use crate::wire::schema::{CloseCode, Direction, ErrorCode, ReceiptKind, Role};

/// Limits small enough to be reached.
pub(super) fn small() -> Limits {
    Limits { group_add_max: 2, lane_capacity: 68, presence_linger_ms: 100, publish_rate_per_user: 0, ..Limits::default() }
}

/// A name whose home is this one of two shards.
pub(super) fn at(shard: ShardId, nth: usize) -> &'static str {
    const NAMES: [&str; 12] = ["ann", "bob", "cat", "dan", "eve", "fay", "gus", "hal", "ida", "joe", "kim", "lea"];
    let slots = Slots::new(7, 2);
    NAMES.into_iter().filter(|name| slots.home(name.as_bytes()) == shard).nth(nth).expect("there are enough")
}

/// A topic whose home is this one of two shards.
fn topic_at(shard: ShardId) -> String {
    let slots = Slots::new(7, 2);
    let key = |i: u32| crate::conversation::Key::new("", crate::id::Address::Topic(&format!("t{i}")));
    let found = (0..).find(|&i| slots.home(key(i).bytes()) == shard);
    format!("topic:t{}", found.expect("there is one"))
}

pub(super) fn settled(world: &mut World, client: Client) -> Vec<String> {
    world.settle();
    world.check_at_rest();
    world.shorts(client)
}

pub(super) fn code(world: &mut World, client: Client, reference: u64) -> Option<ErrorCode> {
    world.take(client).into_iter().find_map(|got| match got {
        Got::Error { reference: r, code, .. } if r == reference => Some(code),
        _ => None,
    })
}

// ---- login and leaving

#[test]
fn a_login_is_welcomed_and_receives_broadcast() {
    let mut world = World::new(2, small());
    let ann = world.connect("ann", "phone", &[]).unwrap();
    assert_eq!(settled(&mut world, ann), ["welcome", "broadcast from 1"]);
}

#[test]
fn a_device_that_comes_again_replaces_its_former_session() {
    let mut world = World::new(2, small());
    let first = world.client("ann", "phone");
    let other = world.client("ann", "desk");
    let second = world.client("ann", "phone");
    assert_eq!(world.clients[first].closed, Some(CloseCode::replaced));
    assert_eq!((world.clients[other].closed, world.clients[second].closed), (None, None));
    world.check_at_rest();
}

#[test]
fn a_user_has_as_many_sessions_as_he_may() {
    let mut world = World::new(1, Limits { sessions_per_user_max: 2, ..small() });
    world.client("ann", "one");
    world.client("ann", "two");
    assert_eq!(world.connect("ann", "three", &[]), Err(CloseCode::too_many_sessions));
    assert!(world.connect("ann", "two", &[]).is_ok(), "a device may come again");
    assert!(world.connect("bob", "three", &[]).is_ok());
}

#[test]
fn a_login_that_makes_no_sense_is_refused() {
    let mut world = World::new(1, Limits { resume_max: 1, ..small() });
    for (user, device) in [("", "phone"), ("a\nb", "phone"), ("ann", "")] {
        assert_eq!(world.connect(user, device, &[]), Err(CloseCode::login_failed));
    }
    let two = [("topic:a", None), ("topic:b", None)];
    assert_eq!(world.connect("ann", "phone", &two), Err(CloseCode::login_failed));
    assert_eq!(world.shards[0].users.counts().0, 0);
}

#[test]
fn what_is_named_twice_in_a_resume_list_is_received_once() {
    let mut world = World::new(2, small());
    let ann = world.connect("ann", "phone", &[("topic:news", None), ("topic:news", None)]).unwrap();
    world.settle();
    world.take(ann);
    let bob = world.client("bob", "phone");
    world.publish(bob, "topic:news", "hello");
    assert_eq!(settled(&mut world, ann), ["topic:news 1 bob: hello"]);
}

#[test]
fn a_device_is_logged_out_by_another() {
    let mut world = World::new(1, small());
    let (phone, desk) = (world.client("ann", "phone"), world.client("ann", "desk"));
    let unknown = world.log_out(phone, "tablet");
    assert_eq!(code(&mut world, phone, unknown), Some(ErrorCode::unknown_device));
    world.log_out(phone, "desk");
    assert_eq!(world.clients[desk].closed, Some(CloseCode::logged_out));
    assert_eq!(settled(&mut world, phone), ["done"]);
}

#[test]
fn whatever_is_on_its_way_when_a_session_ends_disturbs_nobody() {
    let mut world = World::new(2, small());
    let (a, b) = (world.client(at(0, 0), "phone"), world.client(at(1, 0), "phone"));
    let topic = topic_at(1);
    world.subscribe(a, &topic, None, &[]);
    world.publish(a, &topic, "last words");
    world.list(a);
    world.presence(a, &[at(1, 0)], true);
    world.disconnect(a);
    // Somebody else gets its place in the table.
    let c = world.connect(at(0, 1), "phone", &[]).unwrap();
    world.settle();
    world.check_at_rest();
    assert_eq!(world.shorts(c), ["welcome", "broadcast from 1"]);
    assert!(world.shorts(b).is_empty());
}

// ---- publishing, the window and credits

#[test]
fn the_publishing_session_gets_the_ack_and_everyone_else_the_message() {
    let mut world = World::new(2, small());
    let (a, b) = (at(0, 0), at(1, 0));
    let (phone, desk, peer) = (world.client(a, "phone"), world.client(a, "desk"), world.client(b, "phone"));
    world.publish(phone, &format!("direct:{b}"), "hi");
    world.settle();
    let ack = world.shorts(phone);
    assert!(matches!(&ack[..], [ack] if ack.starts_with("ack ") && ack.ends_with("/1")), "{ack:?}");
    assert_eq!(world.shorts(desk), [format!("direct:{b} 1 {a}: hi")]);
    assert_eq!(settled(&mut world, peer), [format!("direct:{a} 1 {a}: hi")]);
}

#[test]
fn the_first_message_waits_for_the_hint_and_the_next_ones_with_it() {
    let mut world = World::new(2, small());
    let (a, b) = (at(0, 0), at(1, 0));
    let (ann, bob) = (world.client(a, "phone"), world.client(b, "phone"));
    for body in ["one", "two", "three"] {
        world.publish(ann, &format!("direct:{b}"), body);
    }
    let waiting: Vec<String> = world.shards[1].requests[0].iter().map(|r| format!("{r:?}")).collect();
    assert!(waiting.len() == 1 && waiting[0].starts_with("Hint"), "{waiting:?}");
    let expected: Vec<String> = ["1 {a}: one", "2 {a}: two", "3 {a}: three"].map(|t| t.replace("{a}", a)).into();
    let got: Vec<String> = settled(&mut world, bob).iter().map(|t| t.replace(&format!("direct:{a} "), "")).collect();
    assert_eq!(got, expected);
    // From now on nothing is asked first, from either side.
    world.publish(bob, &format!("direct:{a}"), "four");
    assert_eq!(settled(&mut world, ann).last().unwrap(), &format!("direct:{b} 4 {b}: four"));
}

#[test]
fn asking_for_a_direct_conversation_without_a_log_loses_nothing_that_waits() {
    let mut world = World::new(2, small());
    let (a, b) = (at(0, 0), at(1, 0));
    let (phone, desk) = (world.client(a, "phone"), world.client(a, "desk"));
    let to = format!("direct:{b}");
    // The second device asks for the log before the first message has one.
    world.subscribe(desk, &to, None, &[]);
    world.publish(phone, &to, "hello");
    world.settle();
    world.check_at_rest();
    assert!(world.shorts(phone)[0].starts_with("ack "));
}

#[test]
fn more_than_the_window_is_busy() {
    let mut world = World::new(2, Limits { window_requests: 2, ..small() });
    let ann = world.client("ann", "phone");
    let requests: Vec<u64> = (0..3).map(|_| world.publish(ann, "topic:news", "x")).collect();
    assert_eq!(code(&mut world, ann, requests[2]), Some(ErrorCode::busy));
    world.settle();
    assert_eq!(world.take(ann).len(), 2);
    world.publish(ann, "topic:news", "x");
    assert_eq!(settled(&mut world, ann).len(), 1, "the window is open again");
}

#[test]
fn a_request_that_a_later_one_replaced_is_answered_too() {
    let mut world = World::new(2, Limits { window_requests: 4, ..small() });
    let ann = world.client("ann", "phone");
    let first = world.subscribe(ann, "topic:news", None, &[]);
    let second = world.subscribe(ann, "topic:news", None, &[]);
    let third = world.unsubscribe(ann, "topic:news");
    world.settle();
    let answers: Vec<(u64, bool)> =
        world.take(ann).iter().map(|got| (got.reference(), matches!(got, Got::Error { .. }))).collect();
    assert_eq!(answers, [(first, true), (second, true), (third, false)]);
    world.check_at_rest();
}

#[test]
fn without_credit_a_client_is_told_busy_and_requests_of_the_shard_itself_go_first() {
    let mut world = World::new(2, Limits { lane_capacity: 16, window_requests: 64, ..small() });
    let ann = world.client(at(0, 0), "phone");
    let topic = topic_at(1);
    let requests: Vec<u64> = (0..16).map(|_| world.publish(ann, &topic, "x")).collect();
    let refused = world.publish(ann, &topic, "one too many");
    assert_eq!(code(&mut world, ann, refused), Some(ErrorCode::busy));
    world.subscribe(ann, &topic, None, &[]);
    assert_eq!(world.shards[1].requests[0].len(), 16, "the attach waits for a credit");
    assert!(world.take_request(1, 0) && world.take_event(0, 1), "one answer, one credit");
    let attach = world.shards[1].requests[0].back().map(|r| format!("{r:?}"));
    assert!(attach.is_some_and(|r| r.starts_with("Attach")), "and that is what it is spent on");
    let refused = world.publish(ann, &topic, "still");
    assert_eq!(code(&mut world, ann, refused), Some(ErrorCode::busy));
    assert_eq!(settled(&mut world, ann).len(), requests.len() - 1 + 1);
}

#[test]
fn a_failed_append_is_told_and_nobody_gets_it() {
    let mut world = World::new(2, small());
    let (ann, bob) = (world.client("ann", "phone"), world.client("bob", "phone"));
    world.appends_to_fail = 1;
    world.publish(ann, "broadcast", "lost");
    world.publish(ann, "broadcast", "kept");
    world.settle();
    let got = world.shorts(ann);
    assert!(got[1] == "error not_stored" && got[0].ends_with("/1"), "{got:?}");
    assert_eq!(settled(&mut world, bob), ["broadcast 1 ann: kept"]);
}

#[test]
fn a_session_that_took_the_place_of_the_publisher_gets_his_message() {
    let mut world = World::new(2, small());
    let (ann, other) = (at(0, 0), at(0, 1));
    world.client(other, "desk");
    let phone = world.client(ann, "phone");
    world.publish(phone, "broadcast", "goodbye");
    // Before the message comes back, its session has gone and another has its index.
    world.disconnect(phone);
    let next = world.connect(other, "phone", &[]).unwrap();
    assert_eq!(world.clients[next].session.index, world.clients[phone].session.index);
    let got = settled(&mut world, next);
    assert!(got.contains(&format!("broadcast 1 {ann}: goodbye")), "{got:?}");
}

// ---- receiving

#[test]
fn a_session_catches_up_page_by_page_while_live_messages_go_on() {
    let mut world = World::new(2, Limits { page_messages_max: 2, ..small() });
    let (ann, bob) = (world.client("ann", "phone"), world.client("bob", "phone"));
    for i in 1..=5 {
        world.publish(ann, "topic:news", &i.to_string());
    }
    world.settle();
    let epoch = *world.logs.keys().next().unwrap();
    world.subscribe(bob, "topic:news", Some((epoch, 1)), &[]);
    let mut published = 5;
    let mut got = Vec::new();
    while got.len() < 12 {
        // A live message after whatever comes, so that some fall into every state of the catching up.
        if published < 12 {
            published += 1;
            world.publish(ann, "topic:news", &published.to_string());
        }
        for at in 0..2 {
            for from in 0..2 {
                world.take_request(at, from);
                world.take_event(at, from);
            }
            world.work(at);
        }
        let bob_at = world.clients[bob].shard;
        world.drain(bob_at);
        got.extend(world.shorts(bob));
        world.check();
    }
    let expected: Vec<String> = (2..=12).map(|i| format!("topic:news {i} ann: {i}")).collect();
    assert_eq!(got[0], "topic:news from 2");
    assert_eq!(got[1..], expected);
    world.settle();
    world.check_at_rest();
    assert!(world.shorts(bob).is_empty());
}

#[test]
fn a_cursor_that_cannot_be_honoured_is_answered_with_a_gap() {
    let mut world = World::new(2, Limits { history_messages_max: 3, ..small() });
    let (ann, bob) = (world.client("ann", "phone"), world.client("bob", "phone"));
    for i in 1..=5 {
        world.publish(ann, "topic:news", &i.to_string());
    }
    world.settle();
    let epoch = *world.logs.keys().next().unwrap();
    for cursor in [(epoch, 1), (epoch - 1, 4), (epoch, 9)] {
        world.subscribe(bob, "topic:news", Some(cursor), &[]);
        let mut expected = vec!["topic:news from 3".to_owned(), "topic:news gap 3..5".to_owned()];
        expected.extend((3..=5).map(|i| format!("topic:news {i} ann: {i}")));
        assert_eq!(settled(&mut world, bob), expected, "{cursor:?}");
    }
}

#[test]
fn a_reconnect_with_its_cursor_gets_each_message_once() {
    let mut world = World::new(2, small());
    let (ann, bob) = (world.client("ann", "phone"), world.client("bob", "phone"));
    world.create_group(ann, "team", true, false, &["bob"]);
    world.settle();
    world.publish(ann, "group:team", "three");
    world.settle();
    assert_eq!(world.take(bob).len(), 3);
    let epoch = *world.logs.keys().next().unwrap();
    world.disconnect(bob);
    world.publish(ann, "group:team", "four");
    world.settle();
    let bob = world.connect("bob", "phone", &[("group:team", Some((epoch, 3)))]).unwrap();
    world.publish(ann, "group:team", "five");
    let expected = ["welcome", "broadcast from 1", "group:team from 4", "group:team 4 ann: four", "group:team 5 ann: five"];
    let mut got = settled(&mut world, bob);
    got[1..3].sort();
    assert_eq!(got, expected);
}

#[test]
fn a_filter_says_what_it_passed_over() {
    let mut world = World::new(2, small());
    let (ann, bob) = (world.client("ann", "phone"), world.client("bob", "phone"));
    world.subscribe(bob, "topic:news", None, &["red", "green"]);
    world.settle();
    for tag in [Some("red"), Some("blue"), None, Some("green"), Some("blue")] {
        world.publish_with(ann, "topic:news", tag.unwrap_or("-"), None, tag, 0);
    }
    let expected = ["topic:news from 1", "topic:news 1 ann: red", "topic:news skip 2..3 filtered", "topic:news 4 ann: green"];
    assert_eq!(settled(&mut world, bob), expected);
    // Many in a row are said without waiting for one that passes.
    for _ in 6..=14 {
        world.publish_with(ann, "topic:news", "blue", None, Some("blue"), 0);
    }
    assert_eq!(settled(&mut world, bob), ["topic:news skip 5..14 filtered"]);
}

#[test]
fn what_a_filter_passed_over_is_said_before_a_later_skip() {
    let mut world = World::new(2, small());
    let (ann, bob) = (world.client("ann", "phone"), world.client("bob", "phone"));
    let say = |world: &mut World, tag: &str, ttl_ms| world.publish_with(ann, "topic:news", tag, None, Some(tag), ttl_ms);
    say(&mut world, "red", 0);
    say(&mut world, "blue", 0);
    say(&mut world, "red", 10);
    say(&mut world, "blue", 0);
    say(&mut world, "red", 0);
    world.settle();
    world.pass(20);
    let epoch = *world.logs.keys().next().unwrap();
    world.subscribe(bob, "topic:news", Some((epoch, 0)), &["red"]);
    let expected = [
        "topic:news from 1",
        "topic:news 1 ann: red",
        "topic:news skip 2..2 filtered",
        "topic:news skip 3..3 expired",
        "topic:news skip 4..4 filtered",
        "topic:news 5 ann: red",
    ];
    assert_eq!(settled(&mut world, bob), expected);
}

#[test]
fn unsubscribing_during_a_page_does_not_stop_other_conversations() {
    let mut world = World::new(1, small());
    let (ann, bob) = (world.client("ann", "phone"), world.client("bob", "phone"));
    for topic in ["topic:a", "topic:b"] {
        world.publish(ann, topic, "x");
    }
    world.settle();
    let epochs: Vec<u64> = world.logs.keys().copied().collect();
    world.subscribe(bob, "topic:a", Some((epochs[0], 0)), &[]);
    world.subscribe(bob, "topic:b", Some((epochs[1], 0)), &[]);
    // Both are attached; the first reads its page, the second waits for its turn.
    (0..2).for_each(|_| assert!(world.take_request(0, 0)));
    (0..2).for_each(|_| assert!(world.take_event(0, 0)));
    world.unsubscribe(bob, "topic:a");
    let got = settled(&mut world, bob);
    assert_eq!(got.last().unwrap(), "topic:b 1 ann: x");
}

// ---- fan-out

/// Members of a group on one shard, a publisher on the other.
fn crowd(slice: u32, members: usize) -> (World, Client, Vec<Client>) {
    crowd_with(Limits { fan_out_slice: slice, fan_out_whole: 0, ..small() }, members)
}

fn crowd_with(limits: Limits, members: usize) -> (World, Client, Vec<Client>) {
    let mut world = World::new(2, limits);
    let publisher = world.client(at(0, 0), "phone");
    let devices: Vec<String> = (0..members).map(|i| format!("d{i}")).collect();
    let receivers: Vec<Client> = devices.iter().map(|device| world.client(at(1, 0), device)).collect();
    for &receiver in &receivers {
        world.subscribe(receiver, "topic:news", None, &[]);
    }
    world.settle();
    receivers.iter().for_each(|&r| drop(world.take(r)));
    (world, publisher, receivers)
}

/// Brings a published message to the receivers' shard without handing it out.
fn bring(world: &mut World) {
    for _ in 0..4 {
        for at in 0..2 {
            for from in 0..2 {
                while world.take_request(at, from) || world.take_event(at, from) {}
            }
        }
    }
}

#[test]
fn a_fan_out_goes_in_slices() {
    let (mut world, publisher, receivers) = crowd(3, 7);
    world.publish(publisher, "topic:news", "x");
    bring(&mut world);
    let mut counts = Vec::new();
    while world.work(1) {
        counts.push(receivers.iter().map(|&r| world.take(r).len()).sum::<usize>());
    }
    assert_eq!(counts, [3, 3, 1]);
}

#[test]
fn a_round_that_is_not_much_longer_than_a_slice_is_not_cut() {
    for (whole, expected) in [(7, vec![7]), (6, vec![3, 3, 1])] {
        let (mut world, publisher, receivers) = crowd_with(Limits { fan_out_slice: 3, fan_out_whole: whole, ..small() }, 7);
        world.publish(publisher, "topic:news", "x");
        bring(&mut world);
        let mut counts = Vec::new();
        while world.work(1) {
            counts.push(receivers.iter().map(|&r| world.take(r).len()).sum::<usize>());
        }
        assert_eq!(counts, expected);
    }
}

#[test]
fn whoever_comes_and_goes_during_a_fan_out_gets_each_message_once() {
    // Whoever leaves may have had the message or not, and may stand before, at, or behind the place that the fan-out has reached.
    for leaver in 0..5 {
        for turns in 0..4 {
            let (mut world, publisher, receivers) = crowd(2, 5);
            world.publish(publisher, "topic:news", "one");
            world.publish(publisher, "topic:news", "two");
            bring(&mut world);
            for _ in 0..turns {
                world.work(1);
            }
            world.unsubscribe(receivers[leaver], "topic:news");
            world.check();
            let newcomer = world.connect(at(1, 1), "phone", &[("topic:news", None)]).unwrap();
            world.check();
            world.publish(publisher, "topic:news", "three");
            world.settle();
            world.check_at_rest();
            let all: Vec<String> =
                (1..).zip(["one", "two", "three"]).map(|(i, t)| format!("topic:news {i} {}: {t}", at(0, 0))).collect();
            for (i, &receiver) in receivers.iter().enumerate().filter(|(i, _)| *i != leaver) {
                assert_eq!(world.shorts(receiver), all, "receiver {i}, leaver {leaver}, {turns} turns");
            }
            let late: Vec<String> =
                world.shorts(newcomer).into_iter().filter(|t| t.starts_with("topic:news ") && !t.contains("from")).collect();
            assert_eq!(late, all[2..], "who came after two messages");
        }
    }
}

#[test]
fn a_mirror_that_falls_behind_reads_what_it_missed_and_the_publisher_keeps_to_his_acks() {
    let (mut world, _, receivers) = crowd(1, 4);
    let publisher = receivers[0];
    // More than the queue of a mirror holds arrives before the first is handed out.
    for i in 1..=30 {
        world.publish(publisher, "topic:news", &i.to_string());
        bring(&mut world);
    }
    world.settle();
    world.check_at_rest();
    let own = world.shorts(publisher);
    assert!(own.len() == 30 && own.iter().all(|t| t.starts_with("ack ")), "nothing but acks: {own:?}");
    let expected: Vec<String> = (1..=30).map(|i| format!("topic:news {i} {}: {i}", at(1, 0))).collect();
    for &receiver in &receivers[1..] {
        assert_eq!(world.shorts(receiver), expected);
    }
}

// ---- groups

#[test]
fn a_removed_member_gets_nothing_that_is_numbered_after_it() {
    let mut world = World::new(2, Limits { fan_out_slice: 1, fan_out_whole: 0, ..small() });
    let (ann, bob, cat) = (world.client("ann", "phone"), world.client("bob", "phone"), world.client("cat", "phone"));
    world.create_group(ann, "team", false, false, &["bob", "cat"]);
    world.settle();
    for client in [ann, bob, cat] {
        world.take(client);
    }
    world.publish(cat, "group:team", "before");
    world.settle();
    world.remove(ann, "team", "bob");
    bring(&mut world);
    world.publish(ann, "group:team", "after");
    let late = world.publish(bob, "group:team", "let me back");
    world.settle();
    let got = world.take(bob);
    let shorts: Vec<String> = got.iter().map(Got::short).collect();
    assert_eq!(
        shorts.iter().filter(|t| t.starts_with("group:")).collect::<Vec<_>>(),
        ["group:team 4 cat: before", "group:team 5 ann removed bob"]
    );
    assert!(got.contains(&Got::Error { reference: late, code: ErrorCode::unknown_conversation, about: None }));
    assert_eq!(settled(&mut world, cat).last().unwrap(), "group:team 6 ann: after");
    world.list(bob);
    assert_eq!(settled(&mut world, bob), ["list "], "it is not in his list any more");
}

#[test]
fn who_is_removed_and_added_again_at_once_is_a_member_and_hears_it_in_order() {
    let mut world = World::new(2, Limits { fan_out_slice: 1, fan_out_whole: 0, ..small() });
    let (ann, bob) = (world.client("ann", "phone"), world.client("bob", "phone"));
    world.create_group(ann, "team", false, false, &["bob"]);
    world.settle();
    world.take(bob);
    world.remove(ann, "team", "bob");
    world.publish(ann, "group:team", "not for bob");
    world.add(ann, "team", "bob", Role::member);
    // The removal has come to bob's shard and was not handed out when he is a member again.
    bring(&mut world);
    world.publish(ann, "group:team", "welcome back");
    let expected =
        ["group:team 3 ann removed bob", "group:team from 5", "group:team 5 ann added bob", "group:team 6 ann: welcome back"];
    assert_eq!(settled(&mut world, bob), expected);
    let desk = world.connect("bob", "desk", &[]).unwrap();
    assert!(settled(&mut world, desk).contains(&"group:team 6 ann: welcome back".to_owned()), "his list has kept it");
}

#[test]
fn a_group_that_is_founded_anew_at_once_is_received() {
    let mut world = World::new(2, Limits { fan_out_slice: 1, fan_out_whole: 0, ..small() });
    let (ann, bob) = (world.client("ann", "phone"), world.client("bob", "phone"));
    world.create_group(ann, "team", false, false, &["bob"]);
    world.settle();
    world.take(bob);
    world.disband(ann, "team");
    world.create_group(ann, "team", false, false, &["bob"]);
    bring(&mut world);
    world.publish(ann, "group:team", "anew");
    let got = settled(&mut world, bob);
    let expected = ["group:team 3 ann disbanded -", "group:team from 2", "group:team 2 ann added bob", "group:team 3 ann: anew"];
    assert_eq!(got, expected);
    world.publish(ann, "group:team", "and on");
    assert_eq!(settled(&mut world, bob), ["group:team 4 ann: and on"]);
}

#[test]
fn the_founder_gets_no_message_besides_his_ack() {
    let mut world = World::new(2, small());
    let (phone, desk) = (world.client("ann", "phone"), world.client("ann", "desk"));
    world.create_group(phone, "team", true, false, &[]);
    world.publish(phone, "group:team", "hello");
    world.settle();
    let got = world.shorts(phone);
    assert_eq!(got.iter().filter(|t| t.starts_with("ack ")).count(), 2);
    assert!(!got.iter().any(|t| t.starts_with("group:team 1") || t.starts_with("group:team 2")), "{got:?}");
    let expected = ["group:team from 1", "group:team 1 ann created -", "group:team 2 ann: hello"];
    assert_eq!(settled(&mut world, desk), expected);
}

// ---- history, lists, receipts

#[test]
fn a_page_is_as_long_as_asked() {
    let mut world = World::new(2, small());
    let ann = world.client("ann", "phone");
    for _ in 0..5 {
        world.publish(ann, "topic:news", "x");
    }
    world.settle();
    world.take(ann);
    world.sync(ann, "topic:news", None, 2, Direction::forward);
    world.sync(ann, "topic:news", None, 2, Direction::backward);
    world.sync(ann, "topic:nothing", None, 2, Direction::forward);
    let mut got = settled(&mut world, ann);
    got.sort();
    assert_eq!(got, ["error unknown_conversation", "page [1, 2] next 2 more", "page [4, 5] next 3 more"]);
}

#[test]
fn receipts_reach_the_other_side_and_other_devices_and_count_as_read() {
    let mut world = World::new(2, small());
    let (a, b) = (at(0, 0), at(1, 0));
    let (ann, phone, desk) = (world.client(a, "phone"), world.client(b, "phone"), world.client(b, "desk"));
    for _ in 0..3 {
        world.publish(ann, &format!("direct:{b}"), "x");
    }
    world.settle();
    for client in [ann, phone, desk] {
        world.take(client);
    }
    let epoch = *world.logs.keys().next().unwrap();
    world.receipt(phone, &format!("direct:{a}"), ReceiptKind::read, (epoch, 2));
    world.settle();
    assert_eq!(world.shorts(ann), [format!("direct:{b} {b} read 2")]);
    assert_eq!(world.shorts(desk), [format!("direct:{a} {b} read 2")]);
    assert_eq!(world.shorts(phone), ["done"]);
    world.list(phone);
    assert_eq!(settled(&mut world, phone), [format!("list direct:{a}(1)")]);
    world.receipt(phone, &format!("direct:{a}"), ReceiptKind::read, (epoch, 1));
    world.settle();
    assert!(world.shorts(ann).is_empty(), "it never goes back");
}

#[test]
fn a_device_begins_where_it_stood_and_a_new_one_where_its_user_has_read() {
    let mut world = World::new(2, small());
    let (a, b) = (at(0, 0), at(1, 0));
    let (ann, phone) = (world.client(a, "phone"), world.client(b, "phone"));
    for i in 1..=4 {
        world.publish(ann, &format!("direct:{b}"), &i.to_string());
    }
    world.settle();
    let epoch = *world.logs.keys().next().unwrap();
    world.receipt(phone, &format!("direct:{a}"), ReceiptKind::delivered, (epoch, 3));
    world.receipt(phone, &format!("direct:{a}"), ReceiptKind::read, (epoch, 2));
    world.settle();
    world.disconnect(phone);
    let mut first = |device: &str| {
        let client = world.connect(b, device, &[]).unwrap();
        settled(&mut world, client).into_iter().find(|t| t.starts_with(&format!("direct:{a} from")))
    };
    assert_eq!(first("phone"), Some(format!("direct:{a} from 4")));
    assert_eq!(first("new"), Some(format!("direct:{a} from 3")));
}

// ---- presence and ephemeral events

#[test]
fn presence_is_for_those_who_share_a_conversation() {
    let mut world = World::new(2, small());
    let (a, b, c) = (at(0, 0), at(1, 0), at(1, 1));
    let (ann, bob) = (world.client(a, "phone"), world.client(b, "phone"));
    world.client(c, "phone");
    world.publish(ann, &format!("direct:{b}"), "hi");
    world.settle();
    world.take(ann);
    world.presence(ann, &[b, c], true);
    let mut expected = [format!("+{b}"), format!("-{c}")];
    expected.sort_by_key(|t| t[1..].to_owned());
    assert_eq!(settled(&mut world, ann), [format!("presence {} 0", expected.join(" "))]);
    // A second device changes nothing; the last one to leave does, a little later.
    let desk = world.client(b, "desk");
    world.disconnect(bob);
    world.pass(200);
    world.settle();
    assert!(world.shorts(ann).is_empty());
    world.disconnect(desk);
    world.pass(99);
    world.settle();
    assert!(world.shorts(ann).is_empty(), "a reconnect is not a leaving");
    world.pass(1);
    assert_eq!(settled(&mut world, ann), [format!("{b} is gone")]);
    world.client(b, "phone");
    assert_eq!(settled(&mut world, ann), [format!("{b} is here")]);
}

#[test]
fn a_big_conversation_is_counted() {
    let (mut world, publisher, receivers) = crowd(100, 5);
    world.count(publisher, "topic:news");
    assert_eq!(settled(&mut world, publisher), [format!("presence  {}", receivers.len())]);
}

#[test]
fn ephemeral_events_reach_those_who_are_there_and_drops_are_told() {
    let mut world = World::new(2, small());
    let (ann, bob) = (world.client("ann", "phone"), world.client("bob", "phone"));
    world.create_group(ann, "team", true, false, &["bob"]);
    world.settle();
    world.take(ann);
    world.take(bob);
    world.ephemeral(ann, "group:team", "typing");
    assert_eq!(settled(&mut world, bob), ["group:team ann typing"]);
    assert_eq!(world.shorts(ann), ["done"], "not to the one who did it");
    world.clients[bob].is_slow = true;
    world.ephemeral(ann, "group:team", "typing");
    world.ephemeral(ann, "group:team", "typing");
    bring(&mut world);
    world.clients[bob].is_slow = false;
    assert_eq!(settled(&mut world, bob), ["dropped 2"]);
}
