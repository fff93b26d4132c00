//! What was acknowledged is there after the process was killed: messages, members, cursors, and what was published before.

use std::path::Path;

use campanile::wire::schema::{Direction, ErrorCode, ReceiptKind, RecordKind, Role, SkipReason};

use crate::support::client::{Client, Extra};
use crate::support::seen::{Ack, Gap, Seen};
use crate::support::server::Server;

/// Everything of a conversation, read page by page.
fn history(client: &mut Client, of: &str) -> Vec<(u64, String)> {
    let (mut cursor, mut texts) = ((0, 0), Vec::new());
    loop {
        let page = client.sync(of, cursor, 7, Direction::forward);
        assert_eq!(page.gap, None, "{of}");
        texts.extend(page.messages.iter().map(|message| (message.seq, message.text().to_owned())));
        cursor = page.next;
        if !page.has_more {
            return texts;
        }
    }
}

/// Kills the server and starts it again on the same directory.
fn restart(server: Server, dir: &Path, options: &[&str]) -> Server {
    server.kill();
    Server::start_in(dir, options)
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_in(dir.path(), &[]);
    let mut alice = Client::connect(&server, "alice", "phone");
    alice.group_create("team", false, false, &["bob"]);
    let conversations = ["direct:bob", "group:team", "broadcast"];
    let mut acks: Vec<Vec<Ack>> = Vec::new();
    for conversation in conversations {
        acks.push((0..20).map(|i| alice.publish(conversation, &i.to_string())).collect());
    }
    let server = restart(server, dir.path(), &[]);
    let mut bob = Client::connect(&server, "bob", "laptop");
    let mut alice = Client::connect(&server, "alice", "phone");
    for (conversation, acks) in conversations.iter().zip(acks) {
        let seen_as = if *conversation == "direct:bob" { "direct:alice" } else { conversation };
        let texts = history(&mut bob, seen_as);
        for (i, ack) in acks.iter().enumerate() {
            assert!(texts.contains(&(ack.seq, i.to_string())), "{conversation}: {ack:?} is not in {texts:?}");
        }
        let next = alice.publish(conversation, "next");
        let last = acks.last().unwrap();
        assert_eq!((next.epoch, next.seq), (last.epoch, last.seq + 1), "{conversation} goes on");
        assert!(next.time_ms >= last.time_ms);
    }
}

#[test]
fn what_is_in_memory_says_that_it_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_in(dir.path(), &[]);
    let old = Client::connect(&server, "alice", "phone").publish("topic:news", "gone");
    let server = restart(server, dir.path(), &[]);
    let mut alice = Client::connect(&server, "alice", "phone");
    let new = alice.publish("topic:news", "new");
    assert!(new.epoch > old.epoch && new.seq == 1);
    let page = alice.sync("topic:news", (old.epoch, old.seq), 10, Direction::forward);
    assert_eq!(page.gap, Some(Gap { conversation: "topic:news".into(), epoch: new.epoch, first: 1, committed: 1 }));
}

#[test]
fn whoever_was_away_gets_what_came_also_from_strangers_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_in(dir.path(), &[]);
    for sender in ["alice", "carol"] {
        let mut sender = Client::connect(&server, sender, "phone");
        for i in 0..300 {
            sender.publish("direct:bob", &i.to_string());
        }
    }
    let server = restart(server, dir.path(), &[]);
    let mut bob = Client::connect(&server, "bob", "phone");
    let (infos, ..) = bob.conversations(0, 10);
    let unread: Vec<(String, u64)> = infos.iter().map(|info| (info.conversation.clone(), info.unread)).collect();
    assert_eq!(unread, [("direct:alice".into(), 300), ("direct:carol".into(), 300)]);
    let mut got: [Vec<String>; 2] = Default::default();
    while got.iter().any(|texts| texts.len() < 300) {
        let message = bob.message();
        got[usize::from(message.conversation == "direct:carol")].push(message.text().to_owned());
    }
    let wanted: Vec<String> = (0..300).map(|i| i.to_string()).collect();
    assert_eq!(got, [wanted.clone(), wanted]);
    assert!(!bob.rest().iter().any(|seen| matches!(seen, Seen::Message(_))), "nothing comes twice");
}

#[test]
fn cursors_are_where_they_were_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_in(dir.path(), &[]);
    let mut alice = Client::connect(&server, "alice", "phone");
    alice.group_create("team", false, false, &["bob"]);
    let direct = (0..10).map(|i| alice.publish("direct:bob", &i.to_string())).last().unwrap();
    let group = (0..10).map(|i| alice.publish("group:team", &i.to_string())).last().unwrap();
    let mut bob = Client::connect(&server, "bob", "phone");
    bob.receipt("direct:alice", ReceiptKind::delivered, (direct.epoch, 8));
    bob.receipt("direct:alice", ReceiptKind::read, (direct.epoch, 4));
    bob.receipt("group:team", ReceiptKind::delivered, (group.epoch, 12));
    bob.receipt("group:team", ReceiptKind::read, (group.epoch, 10));
    let server = restart(server, dir.path(), &[]);
    let mut phone = Client::connect(&server, "bob", "phone");
    let mut texts = phone.texts(2);
    assert_eq!(texts, ["8", "9"], "the phone goes on where it was in direct:alice, and has all of the group");
    let mut tablet = Client::connect(&server, "bob", "tablet");
    texts = tablet.texts(6 + 2);
    texts.sort();
    assert_eq!(texts, ["4", "5", "6", "7", "8", "8", "9", "9"], "a new device begins at what the user has read");
    let infos = phone.conversations(0, 10).0;
    let unread: Vec<u64> = infos.iter().map(|info| info.unread).collect();
    assert_eq!(unread.iter().sum::<u64>(), 6 + 2, "{infos:?}");
    let (members, _) = phone.members("group:team", None, 10);
    assert_eq!(members.iter().map(|m| (m.delivered, m.read)).collect::<Vec<_>>(), [(0, 0), (12, 10)]);
}

#[test]
fn a_repeated_publish_is_known_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_in(dir.path(), &[]);
    let mut alice = Client::connect(&server, "alice", "phone");
    let extra = || Extra { client_id: Some("once"), ..Extra::default() };
    let first = alice.publish_with("direct:bob", "one", extra());
    alice.publish("direct:bob", "two");
    let server = restart(server, dir.path(), &[]);
    let mut alice = Client::connect(&server, "alice", "phone");
    let again = alice.publish_with("direct:bob", "one", extra());
    assert_eq!((again.epoch, again.seq, again.time_ms, again.duplicate), (first.epoch, first.seq, first.time_ms, true));
    let mut bob = Client::connect(&server, "bob", "phone");
    assert_eq!(history(&mut bob, "direct:alice").len(), 2);
}

#[test]
fn members_are_who_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_in(dir.path(), &[]);
    let mut alice = Client::connect(&server, "alice", "phone");
    alice.group_create("team", true, true, &["bob", "carol"]);
    alice.publish("group:team", "hello");
    for reference in [
        alice.send_group_remove("team", "bob"),
        alice.send_group_set_role("team", "carol", Role::admin),
        alice.send_group_title("team", "The team"),
        alice.send_group_add("team", "dave", Role::member),
    ] {
        alice.ack(reference);
    }
    alice.group_create("gone", false, false, &["bob"]);
    let reference = alice.send_group_disband("gone");
    alice.ack(reference);
    let server = restart(server, dir.path(), &[]);
    let mut alice = Client::connect(&server, "alice", "phone");
    let (members, _) = alice.members("group:team", None, 10);
    let roles: Vec<(&str, Role)> = members.iter().map(|m| (&*m.user, m.role)).collect();
    assert_eq!(roles, [("alice", Role::owner), ("carol", Role::admin), ("dave", Role::member)]);
    assert_eq!(alice.conversations(0, 10).0[0].title, "The team");
    let mut bob = Client::connect(&server, "bob", "phone");
    for closed in ["group:team", "group:gone"] {
        let reference = bob.send_sync(closed, (0, 0), 10, Direction::forward);
        assert_eq!(bob.refused(reference), ErrorCode::unknown_conversation, "{closed}");
    }
    // Open, with its whole history: both were said when it was made.
    let reference = bob.send_group_join("team");
    bob.ack(reference);
    assert!(history(&mut bob, "group:team").iter().any(|(_, text)| text == "hello"));
    // The name of a group that is gone is free.
    let (epoch, seq) = bob.group_create("gone", false, false, &[]);
    assert!(epoch > 0 && seq == 1);
    assert_eq!(history(&mut bob, "group:gone").len(), 1);
}

#[test]
fn one_takes_back_what_one_has_said() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_in(dir.path(), &[]);
    let (mut alice, mut bob) = (Client::connect(&server, "alice", "phone"), Client::connect(&server, "bob", "phone"));
    let secret = alice.publish("direct:bob", "a secret that nobody should read");
    bob.message();
    let reference = bob.send_retract("direct:alice", (secret.epoch, secret.seq));
    assert_eq!(bob.refused(reference), ErrorCode::not_permitted);
    let reference = alice.send_retract("direct:bob", (secret.epoch, secret.seq));
    let ack = alice.ack(reference);
    assert_eq!(ack.seq, 2);
    let record = bob.record(RecordKind::retracted);
    assert_eq!((record.seq, record.target), (2, 1));
    let server = restart(server, dir.path(), &[]);
    let mut bob = Client::connect(&server, "bob", "tablet");
    let first = bob.message();
    assert!(first.is_retracted && first.text().is_empty() && first.seq == 1, "{first:?}");
    assert_eq!(bob.record(RecordKind::retracted).target, 1);
}

#[test]
fn what_expired_or_fell_out_of_its_history_is_hidden_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_in(dir.path(), &["--group-history-messages-max", "5"]);
    let mut alice = Client::connect(&server, "alice", "phone");
    alice.publish_with("direct:bob", "soon gone", Extra { ttl_ms: 1, ..Extra::default() });
    let stays = alice.publish("direct:bob", "stays");
    // The time of a later message is not before the earlier one's end.
    while alice.publish("direct:bob", "tick").time_ms < stays.time_ms + 2 {}
    let page = alice.sync("direct:bob", (0, 0), 10, Direction::forward);
    assert_eq!((page.messages[0].text(), page.skips[0].to, page.skips[0].why), ("stays", 1, SkipReason::expired));
    alice.group_create("team", false, false, &[]);
    let last = (0..20).map(|i| alice.publish("group:team", &i.to_string())).last().unwrap();
    let server = restart(server, dir.path(), &["--group-history-messages-max", "5"]);
    let mut alice = Client::connect(&server, "alice", "phone");
    let page = alice.sync("group:team", (last.epoch, 3), 10, Direction::forward);
    assert_eq!(page.gap.map(|gap| (gap.first, gap.committed)), Some((last.seq - 4, last.seq)));
    assert_eq!(page.messages.iter().map(|m| m.text()).collect::<Vec<_>>(), ["15", "16", "17", "18", "19"]);
}

#[test]
fn the_newest_of_an_old_conversation_come_first_when_asked_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_in(dir.path(), &[]);
    let mut alice = Client::connect(&server, "alice", "phone");
    for i in 0..100 {
        alice.publish("direct:bob", &i.to_string());
    }
    let server = restart(server, dir.path(), &[]);
    let mut bob = Client::connect(&server, "bob", "phone");
    let page = bob.sync("direct:alice", (0, 0), 20, Direction::backward);
    assert_eq!(page.messages.iter().map(|m| m.seq).collect::<Vec<_>>(), (81..=100).collect::<Vec<_>>());
    let page = bob.sync("direct:alice", page.next, 20, Direction::backward);
    assert_eq!((page.messages[0].seq, page.messages.len(), page.has_more), (61, 20, true));
}

#[test]
fn the_number_of_shards_may_change_between_two_starts() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_in(dir.path(), &[]);
    let mut alice = Client::connect(&server, "alice", "phone");
    for peer in 0..20 {
        alice.publish(&format!("direct:peer{peer}"), "hello");
    }
    let server = restart(server, dir.path(), &["--shards", "1"]);
    for peer in 0..20 {
        assert_eq!(Client::connect(&server, &format!("peer{peer}"), "phone").message().text(), "hello");
    }
    let server = restart(server, dir.path(), &["--shards", "3"]);
    for peer in 0..20 {
        assert_eq!(Client::connect(&server, &format!("peer{peer}"), "tablet").message().text(), "hello");
    }
}

#[test]
fn a_nearly_full_disk_refuses_what_it_would_have_to_keep_and_serves_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_in(dir.path(), &[]);
    Client::connect(&server, "alice", "phone").publish("direct:bob", "before");
    // No disk has so much.
    let full = ["--disk-free-bytes-min", "17_592_186_044_416"];
    let server = restart(server, dir.path(), &full);
    let (mut alice, mut bob) = (Client::connect(&server, "alice", "phone"), Client::connect(&server, "bob", "phone"));
    assert_eq!(bob.message().text(), "before");
    let reference = alice.send_publish("direct:bob", b"refused", Extra::default());
    assert_eq!(alice.refused(reference), ErrorCode::disk_full);
    bob.subscribe("topic:news", None, &[]);
    alice.publish("topic:news", "in memory");
    assert_eq!(bob.message().text(), "in memory");
    let server = restart(server, dir.path(), &[]);
    let mut alice = Client::connect(&server, "alice", "phone");
    assert_eq!(alice.publish("direct:bob", "after").seq, 2, "what was refused is nowhere");
}

#[test]
fn a_start_says_how_long_it_took() {
    let dir = tempfile::tempdir().unwrap();
    Client::connect(&Server::start_in(dir.path(), &[]), "alice", "phone").publish("direct:bob", "to be recovered");
    let log = Server::start_talkative(dir.path()).log();
    let line = log.lines().find(|line| line.contains("the store is open")).unwrap_or_else(|| panic!("{log}"));
    let took = line.split_whitespace().find_map(|word| word.strip_prefix("took_ms="));
    assert!(took.is_some_and(|took| took.parse::<u64>().is_ok()), "{line}");
}

#[test]
fn a_data_directory_has_one_server() {
    let dir = tempfile::tempdir().unwrap();
    let _server = Server::start_in(dir.path(), &[]);
    let said = Server::refuses_in(dir.path(), &[]);
    assert!(said.contains(&dir.path().display().to_string()) && said.contains("is used by process"), "{said}");
}

#[test]
fn a_newer_directory_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(Server::start_in(dir.path(), &[]));
    let manifest = dir.path().join("manifest.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    assert!(text.contains("format = 1"), "{text}");
    std::fs::write(&manifest, text.replace("format = 1", "format = 2")).unwrap();
    let said = Server::refuses_in(dir.path(), &[]);
    assert!(said.contains("newer"), "{said}");
}
