//! Groups: who is in, who may what, who reads what, also while it changes in the middle of a stream.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use campanile::wire::schema::{ErrorCode, RecordKind, Role, SkipReason};

use crate::support::Enough;
use crate::support::client::{Client, Extra};
use crate::support::seen::{Message, Seen, Skip};
use crate::support::server::Server;

/// Messages of users among events.
fn texts(events: &[Seen]) -> Vec<String> {
    let text = |seen: &Seen| match seen {
        Seen::Message(m) if m.kind == RecordKind::message => Some(m.text().to_owned()),
        _ => None,
    };
    events.iter().filter_map(text).collect()
}

#[test]
fn members_on_both_shards_see_the_same_log() {
    let server = Server::start(&[]);
    let [here, there] = server.users(2);
    let names: Vec<&str> = [&here[0], &here[1], &there[0], &there[1]].map(|name| name.as_str()).to_vec();
    let mut clients: Vec<Client> = names.iter().map(|name| Client::connect(&server, name, "phone")).collect();
    for id in ["a", "b", "c"] {
        let group = format!("group:{id}");
        let (epoch, seq) = clients[0].group_create(id, false, false, &names[1..]);
        assert_eq!(seq, 1);
        // Each reads from where he came in.
        let mut joined = Vec::new();
        for (client, name) in clients.iter_mut().zip(&names).skip(1) {
            let first = client.record(RecordKind::added);
            assert_eq!((first.subject.as_str(), first.sender.as_str()), (*name, names[0]));
            joined.push(first.seq);
            for seq in first.seq + 1..=4 {
                assert_eq!(client.record(RecordKind::added).cursor(), (epoch, seq));
            }
        }
        joined.sort_unstable();
        assert_eq!(joined, [2, 3, 4]);
        for seq in 2..=4 {
            assert_eq!(clients[0].record(RecordKind::added).seq, seq);
        }
        for (i, name) in names.iter().enumerate() {
            let ack = clients[i].publish(&group, name);
            assert_eq!(ack.seq, 5 + i as u64);
            for (j, client) in clients.iter_mut().enumerate().filter(|(j, _)| *j != i) {
                let got = client.message();
                assert_eq!((got.text(), got.sender.as_str(), got.seq), (*name, *name, ack.seq), "{j}");
            }
        }
        assert_eq!(clients[0].count_sessions(&group), 4);
        for client in &mut clients {
            assert_eq!(client.rest_of(&group), []);
        }
    }
}

#[test]
fn the_server_makes_an_id_where_none_is_given() {
    let server = Server::start(&[]);
    let mut alice = Client::connect(&server, "alice", "phone");
    let names = [(); 2].map(|()| {
        let reference = alice.send_group_create(None, false, false, &[]);
        match alice.answer(reference) {
            Seen::GroupCreated { conversation, .. } => conversation,
            other => panic!("{other:?}"),
        }
    });
    assert!(names[0] != names[1] && names[0].starts_with("group:"));
    assert_eq!(alice.publish(&names[1], "hello").seq, 2);
    let reference = alice.send_group_create(Some(&names[0]["group:".len()..]), false, false, &[]);
    assert_eq!(alice.refused(reference), ErrorCode::already_exists);
}

#[test]
fn roles_decide_who_may_what() {
    let server = Server::start(&[]);
    let [here, there] = server.users(2);
    let [owner, admin, member, other] = [&here[0], &there[0], &here[1], &there[1]];
    let mut owners = Client::connect(&server, owner, "phone");
    let mut admins = Client::connect(&server, admin, "phone");
    let mut members = Client::connect(&server, member, "phone");
    owners.group_create("g", false, false, &[member]);
    let reference = owners.send_group_add("g", admin, Role::admin);
    owners.ack(reference);
    let refused = |client: &mut Client, reference| client.refused(reference);

    let reference = members.send_group_title("g", "mine");
    assert_eq!(refused(&mut members, reference), ErrorCode::not_permitted);
    let reference = members.send_group_add("g", other, Role::member);
    assert_eq!(refused(&mut members, reference), ErrorCode::not_permitted);
    let reference = members.send_group_disband("g");
    assert_eq!(refused(&mut members, reference), ErrorCode::not_permitted);
    let reference = admins.send_group_add("g", other, Role::admin);
    assert_eq!(refused(&mut admins, reference), ErrorCode::not_permitted);
    let reference = admins.send_group_remove("g", owner);
    assert_eq!(refused(&mut admins, reference), ErrorCode::not_permitted);
    let reference = admins.send_group_set_role("g", member, Role::admin);
    assert_eq!(refused(&mut admins, reference), ErrorCode::not_permitted);
    let reference = admins.send_group_add("g", member, Role::member);
    assert_eq!(refused(&mut admins, reference), ErrorCode::already_member);
    let reference = admins.send_group_remove("g", "nobody");
    assert_eq!(refused(&mut admins, reference), ErrorCode::not_a_member);

    let reference = admins.send_group_title("g", "ours");
    let titled = admins.ack(reference);
    let got = loop {
        if let Seen::Message(m) = owners.event()
            && m.kind == RecordKind::title
        {
            break m;
        }
    };
    assert_eq!((got.text(), got.seq), ("ours", titled.seq));
    assert_eq!(owners.conversations(0, 0).0[0].title, "ours");

    // The last owner stays, until there is another.
    for attempt in 0..2 {
        let references = [
            owners.send_group_leave("g"),
            owners.send_group_remove("g", owner),
            owners.send_group_set_role("g", owner, Role::member),
        ];
        assert_eq!(references.map(|r| owners.refused(r)), [ErrorCode::last_owner; 3], "{attempt}");
    }
    let reference = owners.send_group_set_role("g", admin, Role::owner);
    owners.ack(reference);
    let reference = owners.send_group_leave("g");
    owners.ack(reference);
    let reference = owners.send_publish("group:g", b"still?", Extra::default());
    assert_eq!(owners.refused(reference), ErrorCode::unknown_conversation);

    let reference = admins.send_group_disband("g");
    admins.ack(reference);
    for client in [&mut admins, &mut members] {
        let reference = client.send_publish("group:g", b"anyone?", Extra::default());
        assert_eq!(client.refused(reference), ErrorCode::unknown_conversation);
        assert!(client.rest().iter().all(|seen| texts(std::slice::from_ref(seen)).is_empty()));
        assert_eq!(client.conversations(0, 0).0, []);
    }
}

#[test]
fn a_closed_group_is_to_strangers_as_if_there_were_none() {
    let server = Server::start(&[]);
    let [here, there] = server.users(1);
    let mut owner = Client::connect(&server, &here[0], "phone");
    owner.group_create("closed", false, false, &[]);
    owner.group_create("open", true, false, &[]);
    owner.publish("group:closed", "secret");
    let mut stranger = Client::connect(&server, &there[0], "phone");
    let mut answers = |id: &str| {
        let group = format!("group:{id}");
        let references = [
            stranger.send_group_join(id),
            stranger.send_publish(&group, b"x", Extra::default()),
            stranger.send_subscribe(&group, None, &[]),
            stranger.send_sync(&group, (0, 0), 0, campanile::wire::schema::Direction::forward),
            stranger.send_members(&group, None, 0),
            stranger.send_group_leave(id),
            stranger.send_group_title(id, "x"),
            stranger.send_group_remove(id, &here[0]),
            stranger.send_group_disband(id),
            stranger.send_ephemeral(&group, "typing", b""),
        ];
        references.map(|reference| stranger.answer(reference))
    };
    let (closed, none) = (answers("closed"), answers("none"));
    assert_eq!(closed, none);
    assert!(none.iter().all(|seen| matches!(seen, Seen::Error { code: ErrorCode::unknown_conversation, .. })), "{none:?}");
    let reference = stranger.send_group_join("open");
    assert_eq!(stranger.ack(reference).seq, 2);
    let reference = stranger.send_group_join("open");
    assert_eq!(stranger.refused(reference), ErrorCode::already_member);
    assert_eq!(stranger.conversations(0, 0).0.iter().map(|i| i.conversation.as_str()).collect::<Vec<_>>(), ["group:open"]);
}

#[test]
fn a_new_member_reads_from_where_he_joined_unless_the_group_says_all() {
    let server = Server::start(&[]);
    let [here, there] = server.users(1);
    let mut owner = Client::connect(&server, &here[0], "phone");
    let mut new = Client::connect(&server, &there[0], "phone");
    for (id, whole_history) in [("new", false), ("whole", true)] {
        let group = format!("group:{id}");
        let (epoch, _) = owner.group_create(id, true, whole_history, &[]);
        owner.publish(&group, "before");
        let reference = new.send_group_join(id);
        let joined = new.ack(reference);
        assert_eq!(joined.seq, 3);
        owner.publish(&group, "after");
        if whole_history {
            assert_eq!(new.record(RecordKind::created).seq, 1);
            assert_eq!(new.message().text(), "before");
        }
        assert_eq!(new.message().text(), "after");
        // From the beginning, he is told what is not for him.
        let mut again = Client::resume(&server, &there[0], id, &[(&group, (epoch, 0), &[])]);
        let mut events = vec![];
        while texts(&events).last().is_none_or(|text| text != "after") {
            match again.event() {
                // The other group comes as well.
                Seen::Message(Message { conversation, .. }) | Seen::Skip(Skip { conversation, .. }) if conversation != group => {}
                seen => events.push(seen),
            }
        }
        let page = again.sync(&group, (epoch, 0), 0, campanile::wire::schema::Direction::forward);
        if whole_history {
            assert_eq!(texts(&events), ["before", "after"]);
            assert_eq!((page.messages.len(), page.skips), (4, vec![]));
        } else {
            let skip = Skip { conversation: group.clone(), epoch, from: 1, to: 2, why: SkipReason::before_joined };
            assert_eq!(events[0], Seen::Skip(skip.clone()));
            assert_eq!(texts(&events), ["after"]);
            assert_eq!((page.messages.len(), page.skips), (2, vec![skip]));
        }
    }
}

#[test]
fn members_come_in_pages_in_the_order_of_their_ids() {
    let server = Server::start(&[]);
    let mut owner = Client::connect(&server, "m00", "phone");
    let names: Vec<String> = (0..10).map(|i| format!("m{i:02}")).collect();
    let others: Vec<&str> = names[1..].iter().map(String::as_str).collect();
    owner.group_create("g", false, false, &others);
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let (members, has_more) = owner.members("group:g", after.as_deref(), 4);
        assert_eq!(has_more, members.len() == 4);
        after = members.last().map(|member| member.user.clone());
        listed.extend(members);
        if !has_more {
            break;
        }
    }
    assert_eq!(listed.iter().map(|m| m.user.clone()).collect::<Vec<_>>(), names);
    assert_eq!(listed.iter().filter(|m| m.role == Role::owner).map(|m| m.user.as_str()).collect::<Vec<_>>(), ["m00"]);
    assert!(listed.iter().all(|m| (1..=10).contains(&m.joined)));
}

#[test]
fn one_who_is_removed_and_added_again_at_once_goes_on_receiving() {
    let server = Server::start(&[]);
    let [here, there] = server.users(2);
    for id in ["a", "b", "c", "d"] {
        let group = format!("group:{id}");
        let mut owner = Client::connect(&server, &here[0], "phone");
        for user in [&here[1], &there[0]] {
            let reference = owner.send_group_create(Some(&format!("{id}-{user}")), false, false, &[user, &there[1]]);
            owner.answer(reference);
            let (id, group) = (format!("{id}-{user}"), format!("{group}-{user}"));
            let mut member = Client::connect(&server, user, "phone");
            member.rest_of(&group);
            let (_, remove) = owner.group_remove_frame(&id, user);
            let (added, add) = owner.group_add_frame(&id, user, Role::member);
            owner.write(&[remove, add].concat());
            let added = owner.ack(added);
            let said = owner.publish(&group, "welcome back");
            let got = loop {
                match member.event() {
                    Seen::Message(m) if m.conversation == group && m.kind == RecordKind::message => break m,
                    // What was before he came again is skipped if he had not had it yet.
                    Seen::Message(_) | Seen::Skip(_) => {}
                    other => panic!("{other:?}"),
                }
            };
            assert_eq!(got.cursor(), (said.epoch, said.seq));
            assert!(said.seq > added.seq);
            let listed = member.conversations(0, 0).0;
            assert!(listed.iter().any(|info| info.conversation == group), "{listed:?}");
        }
    }
}

/// Publishes until told to stop, several at once; `last` is what was acknowledged.
fn stream(publisher: &mut Client, to: &str, enough: &AtomicBool, last: &AtomicU64) {
    stream_paced(publisher, to, enough, last, &[]);
}

/// The same, but never far ahead of what the slowest of some readers has got.
fn stream_paced(publisher: &mut Client, to: &str, enough: &AtomicBool, last: &AtomicU64, got: &[AtomicU64]) {
    // Less than a page, so that whoever joins is live with his first one.
    const AHEAD_MAX: u64 = 100;
    while !enough.load(Ordering::Relaxed) {
        let slowest = got.iter().map(|got| got.load(Ordering::Relaxed)).min();
        if slowest.is_some_and(|slowest| slowest + AHEAD_MAX < last.load(Ordering::Relaxed)) {
            std::thread::yield_now();
            continue;
        }
        let frames = [(); 8].map(|()| publisher.publish_frame(to, b"more", Extra::default()));
        publisher.write(&frames.each_ref().map(|(_, frame)| frame.clone()).concat());
        let acks = frames.map(|(reference, _)| publisher.ack(reference).seq);
        last.store(acks[7], Ordering::Relaxed);
    }
}

/// Checks that records follow one another without hole or repeat, and gives the last seq.
fn follow(messages: &[Message]) -> u64 {
    for pair in messages.windows(2) {
        assert_eq!(pair[1].seq, pair[0].seq + 1);
    }
    messages.last().map_or(0, |message| message.seq)
}

fn messages(events: Vec<Seen>) -> Vec<Message> {
    let message = |seen| match seen {
        Seen::Message(message) => message,
        other => panic!("no message: {other:?}"),
    };
    events.into_iter().map(message).collect()
}

#[test]
fn who_is_removed_in_a_stream_of_messages_gets_nothing_after_his_removal() {
    let server = Server::start(&["--history-messages-max", "100000", "--publish-rate-per-user", "0"]);
    let [here, there] = server.users(5);
    for (round, member) in [&here[1], &there[0], &here[2], &there[1]].into_iter().enumerate() {
        let (id, group) = (format!("g{round}"), format!("group:g{round}"));
        let mut publisher = Client::connect(&server, &here[0], "publisher");
        let mut owner = Client::connect(&server, &here[0], "owner");
        let other = [&there[2], &there[3], &here[3], &here[4]][round];
        let mut stays = Client::connect(&server, other, "phone");
        let mut goes = Client::connect(&server, member, "phone");
        owner.group_create(&id, false, false, &[member, other]);
        let (enough, last) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| stream(&mut publisher, &group, &enough, &last));
            let told = Enough(&enough);
            while last.load(Ordering::Relaxed) < 200 {
                std::thread::yield_now();
            }
            let reference = owner.send_group_remove(&id, member);
            let removed = owner.ack(reference).seq;
            while last.load(Ordering::Relaxed) < removed + 200 {
                std::thread::yield_now();
            }
            drop(told);
            let mut received = messages(vec![goes.event()]);
            while received.last().is_none_or(|message| message.seq < removed) {
                received.extend(messages(vec![goes.event()]));
            }
            assert_eq!(follow(&received), removed);
            let end = received.last().unwrap();
            assert_eq!((end.kind, &end.subject), (RecordKind::removed, member));
            assert_eq!(goes.rest_of(&group), []);
            let mut received = Vec::new();
            while received.last().is_none_or(|message: &Message| message.seq < removed + 200) {
                received.extend(messages(vec![stays.event()]));
            }
            follow(&received);
        });
    }
}

#[test]
fn in_a_large_group_only_who_comes_or_leaves_is_told() {
    let server = Server::start(&["--member-changes-told-max", "1"]);
    let [here, there] = server.users(2);
    let mut owner = Client::connect(&server, &here[0], "phone");
    let mut stays = Client::connect(&server, &there[0], "phone");
    let mut goes = Client::connect(&server, &there[1], "phone");
    let (epoch, _) = owner.group_create("g", true, false, &[&there[0]]);
    assert_eq!(stays.record(RecordKind::added).seq, 2);
    let reference = goes.send_group_join("g");
    assert_eq!(goes.ack(reference).seq, 3);
    owner.publish("group:g", "hello");
    assert_eq!(goes.message().text(), "hello");
    let reference = owner.send_group_remove("g", &there[1]);
    assert_eq!(owner.ack(reference).seq, 5);
    owner.publish("group:g", "goodbye");
    assert_eq!(goes.record(RecordKind::removed).cursor(), (epoch, 5));
    let passed = |seq| {
        let (conversation, why) = ("group:g".to_owned(), SkipReason::members_changed);
        Seen::Skip(Skip { conversation, epoch, from: seq, to: seq, why })
    };
    for (seq, text) in [(3, "hello"), (5, "goodbye")] {
        assert_eq!(stays.event(), passed(seq));
        let message = stays.message();
        assert_eq!((message.seq, message.text()), (seq + 1, text));
    }
    let page = stays.sync("group:g", (epoch, 2), 0, campanile::wire::schema::Direction::forward);
    assert_eq!(
        page.messages.iter().map(|m| m.kind).collect::<Vec<_>>(),
        [RecordKind::joined, RecordKind::message, RecordKind::removed, RecordKind::message]
    );
    assert_eq!(goes.rest_of("group:g"), []);
}

#[test]
fn a_fan_out_in_slices_is_exact_while_members_come_and_go() {
    let server = Server::start(&[
        "--fan-out-slice",
        "2",
        "--history-messages-max",
        "100000",
        "--history-bytes-max",
        "100000000",
        "--publish-rate-per-user",
        "0",
    ]);
    let [here, there] = server.users(5);
    let mut publisher = Client::connect(&server, &here[0], "phone");
    let mut owner = Client::connect(&server, &here[0], "owner");
    let names: Vec<&str> = here[1..].iter().chain(&there).map(String::as_str).collect();
    let (steady, fickle) = names.split_at(5);
    let mut steadies: Vec<Client> = steady.iter().map(|name| Client::connect(&server, name, "phone")).collect();
    owner.group_create("g", true, false, steady);
    let (enough, last) = (AtomicBool::new(false), AtomicU64::new(0));
    let got = [const { AtomicU64::new(0) }; 5];
    std::thread::scope(|scope| {
        let publishing = scope.spawn(|| stream_paced(&mut publisher, "group:g", &enough, &last, &got));
        let told = Enough(&enough);
        let (last, got) = (&last, &got);
        let reading: Vec<_> = steadies
            .iter_mut()
            .zip(got)
            .map(|(client, got)| {
                scope.spawn(move || {
                    let mut previous = messages(vec![client.event()]).remove(0);
                    while previous.body != b"the end" {
                        let next = messages(vec![client.event()]).remove(0);
                        assert_eq!(next.seq, previous.seq + 1);
                        previous = next;
                        got.store(previous.seq, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        // Some come and go by joining and leaving, some resume in between.
        let comings: Vec<_> = fickle
            .iter()
            .enumerate()
            .map(|(i, name)| {
                let server = &server;
                scope.spawn(move || {
                    let mut client = Client::connect(server, name, "phone");
                    for _ in 0..6 {
                        let reference = client.send_group_join("g");
                        let joined = client.ack(reference).seq;
                        let mut cursor = (0, joined);
                        let mut follow_to = |client: &mut Client, until: u64| {
                            while cursor.1 < until {
                                let Seen::Message(message) = client.event() else { panic!("no message") };
                                assert_eq!(message.seq, cursor.1 + 1, "{name}");
                                cursor = message.cursor();
                            }
                            cursor
                        };
                        let cursor = follow_to(&mut client, last.load(Ordering::Relaxed) + 40);
                        if i % 2 == 0 {
                            client = Client::resume(server, name, "phone", &[("group:g", cursor, &[])]);
                            follow_to(&mut client, last.load(Ordering::Relaxed) + 40);
                        }
                        let reference = client.send_group_leave("g");
                        let left = client.ack(reference).seq;
                        // All that was numbered before he left, and nothing after it.
                        follow_to(&mut client, left - 1);
                        assert_eq!(client.rest_of("group:g"), []);
                    }
                })
            })
            .collect();
        comings.into_iter().for_each(|thread| thread.join().unwrap());
        drop(told);
        publishing.join().unwrap();
        owner.publish("group:g", "the end");
        reading.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn the_list_of_conversations_is_paged_and_counts_what_is_unread() {
    let server = Server::start(&[]);
    let [here, there] = server.users(1);
    let (alice, bob) = (&here[0], &there[0]);
    let mut alices = Client::connect(&server, alice, "phone");
    let mut bobs = Client::connect(&server, bob, "phone");
    let to_alice = format!("direct:{alice}");
    alices.group_create("first", false, false, &[bob]);
    alices.publish("group:first", "1");
    let ack = alices.publish(&format!("direct:{bob}"), "2");
    alices.publish(&format!("direct:{bob}"), "3");
    alices.group_create("second", false, true, &[bob]);
    let (first, next, has_more) = bobs.conversations(0, 2);
    let (second, _, end) = bobs.conversations(next, 2);
    assert!(has_more && !end);
    let lines = |items: &[crate::support::seen::Info]| -> Vec<(String, Role, u64, u64)> {
        items.iter().map(|i| (i.conversation.clone(), i.role, i.read, i.unread)).collect()
    };
    // He joined "first" with its second record: that and the message are unread. "second" is readable from its first.
    assert_eq!(lines(&first), [("group:first".into(), Role::member, 0, 2), (to_alice.clone(), Role::none, 0, 2)]);
    assert_eq!(lines(&second), [("group:second".into(), Role::member, 0, 2)]);
    bobs.receipt(&to_alice, campanile::wire::schema::ReceiptKind::read, (ack.epoch, 1));
    let (all, ..) = bobs.conversations(0, 0);
    assert_eq!(lines(&all)[1], (to_alice, Role::none, 1, 1));
}
