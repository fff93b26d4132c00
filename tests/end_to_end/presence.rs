//! Who is there, who is typing, who has read what.

use campanile::wire::schema::{ErrorCode, ReceiptKind, RecordKind};

use crate::support::client::Client;
use crate::support::seen::Seen;
use crate::support::server::Server;

fn line(user: &str, online: bool) -> (String, bool) {
    (user.to_owned(), online)
}

fn change(user: &str, online: bool) -> Seen {
    Seen::PresenceChanged { user: user.to_owned(), online }
}

#[test]
fn presence_is_seen_across_shards_by_those_who_share_a_conversation() {
    let server = Server::start(&["--presence-linger-ms", "200", "--users-idle-max", "0"]);
    let [here, there] = server.users(3);
    server.wait_for("campanile_users", "", |users| users == 0);
    let mut watcher = Client::connect(&server, &here[0], "phone");
    let mut stranger = Client::connect(&server, &there[2], "phone");
    let shared: Vec<&str> = [&here[1], &there[0], &there[1]].map(|name| name.as_str()).to_vec();
    watcher.group_create("g", false, false, &shared[..2]);
    watcher.publish(&format!("direct:{}", there[1]), "hello");
    for _ in 0..2 {
        watcher.record(RecordKind::added);
    }
    assert_eq!(stranger.watch(&shared), {
        let mut all: Vec<_> = shared.iter().map(|user| line(user, false)).collect();
        all.sort();
        all
    });
    assert!(watcher.watch(&shared).iter().all(|(_, online)| !online));
    for user in &shared {
        let first = Client::connect(&server, user, "phone");
        let second = Client::connect(&server, user, "laptop");
        assert_eq!(watcher.event(), change(user, true));
        assert_eq!(watcher.presence(&[user]), [line(user, true)]);
        assert_eq!(stranger.presence(&[user]), [line(user, false)]);
        // Not when one of two sessions goes, and not when the last one is soon back.
        drop(first);
        drop(second);
        let back = Client::connect(&server, user, "phone");
        assert_eq!(watcher.rest(), []);
        drop(back);
        assert_eq!(watcher.event(), change(user, false));
        assert_eq!(watcher.presence(&[user]), [line(user, false)]);
    }
    watcher.unwatch(&shared[..1]);
    let _one = Client::connect(&server, shared[0], "phone");
    let _two = Client::connect(&server, shared[1], "phone");
    assert_eq!(watcher.event(), change(shared[1], true));
    // Whoever is no longer in the group is seen to be gone, and that is the last that is seen.
    let reference = watcher.send_group_remove("g", shared[1]);
    watcher.ack(reference);
    assert_eq!(watcher.event(), change(shared[1], false));
    assert_eq!(watcher.presence(&[shared[1]]), [line(shared[1], false)]);
    assert_eq!(stranger.rest(), []);
}

#[test]
fn typing_goes_to_those_who_are_there_and_is_kept_by_nobody() {
    let server = Server::start(&[]);
    let [here, there] = server.users(2);
    let mut phone = Client::connect(&server, &here[0], "phone");
    let mut laptop = Client::connect(&server, &here[0], "laptop");
    let mut others: Vec<Client> = [&here[1], &there[0]].into_iter().map(|user| Client::connect(&server, user, "phone")).collect();
    phone.group_create("g", false, false, &[&here[1], &there[0], &there[1]]);
    phone.publish("group:g", "hello");
    for other in &mut others {
        while !matches!(other.event(), Seen::Message(m) if m.body == b"hello") {}
    }
    let reference = phone.send_ephemeral("group:g", "typing", b"...");
    phone.done(reference);
    let typing = |conversation: &str| Seen::Ephemeral {
        conversation: conversation.into(),
        sender: here[0].clone(),
        name: "typing".into(),
        body: b"...".to_vec(),
    };
    for other in &mut others {
        assert_eq!(other.event(), typing("group:g"));
    }
    laptop.rest_of("group:g");
    assert!(!phone.rest_of("group:g").contains(&typing("group:g")));
    let mut late = Client::connect(&server, &there[1], "phone");
    let missed = late.rest_of("group:g");
    assert!(!missed.iter().any(|seen| matches!(seen, Seen::Ephemeral { .. })), "{missed:?}");
    phone.publish(&format!("direct:{}", there[0]), "hello");
    let reference = phone.send_ephemeral(&format!("direct:{}", there[0]), "typing", b"...");
    phone.done(reference);
    assert_eq!(others[1].message().text(), "hello");
    assert_eq!(others[1].event(), typing(&format!("direct:{}", here[0])));
    let reference = phone.send_ephemeral("group:g", "typing", &[0; 1025]);
    assert_eq!(phone.refused(reference), ErrorCode::body_too_large);
}

#[test]
fn receipts_go_to_the_other_side_and_never_back() {
    let server = Server::start(&[]);
    let [here, there] = server.users(2);
    let mut alice = Client::connect(&server, &here[0], "phone");
    let mut bob = Client::connect(&server, &there[0], "phone");
    let (to_bob, to_alice) = (format!("direct:{}", there[0]), format!("direct:{}", here[0]));
    let epoch = (0..5).map(|_| alice.publish(&to_bob, "x").epoch).last().unwrap();
    bob.texts(5);
    let event =
        |conversation: &str, kind, seq| Seen::Receipt { conversation: conversation.into(), user: there[0].clone(), kind, seq };
    bob.receipt(&to_alice, ReceiptKind::delivered, (epoch, 5));
    bob.receipt(&to_alice, ReceiptKind::read, (epoch, 3));
    bob.receipt(&to_alice, ReceiptKind::read, (epoch, 2));
    bob.receipt(&to_alice, ReceiptKind::read, (epoch, 4));
    assert_eq!(alice.event(), event(&to_bob, ReceiptKind::delivered, 5));
    assert_eq!(alice.event(), event(&to_bob, ReceiptKind::read, 3));
    assert_eq!(alice.event(), event(&to_bob, ReceiptKind::read, 4));
    let (members, _) = alice.members(&to_bob, None, 0);
    let bobs = members.iter().find(|member| member.user == there[0]).unwrap();
    assert_eq!((bobs.delivered, bobs.read), (5, 4));
    assert_eq!((alice.rest_of(&to_bob), bob.rest_of(&to_alice)), (vec![], vec![]));
    // In a group, to the members, up to a size.
    let (epoch, _) = alice.group_create("g", false, true, &[&there[0], &here[1]]);
    let mut carol = Client::connect(&server, &here[1], "phone");
    for client in [&mut bob, &mut carol] {
        client.record(RecordKind::created);
        client.record(RecordKind::added);
        client.record(RecordKind::added);
    }
    bob.receipt("group:g", ReceiptKind::read, (epoch, 2));
    alice.rest_of("group:g");
    assert!(carol.rest_of("group:g").contains(&event("group:g", ReceiptKind::read, 2)));
}
