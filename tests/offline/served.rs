//! Directories that a server has filled, and goes on with after they were checked, exported and imported.

use std::path::Path;

use campanile::wire::schema::{Direction, ReceiptKind, Role};

use super::support::client::{Client, Extra};
use super::support::server::Server;
use super::{arg, campanile, campanile_reading};

fn stop(mut server: Server) {
    server.terminate();
    assert!(server.wait().success());
}

/// Says something of each kind.
fn fill(dir: &Path) {
    let server = Server::start_in(dir, &[]);
    let mut alice = Client::connect(&server, "alice", "phone");
    alice.group_create("team", true, false, &["bob"]);
    let reference = alice.send_group_title("team", "Zoë's team");
    alice.ack(reference);
    alice.publish("group:team", "hello");
    let reference = alice.send_publish("direct:bob", b"\x00\xff\xfe", Extra::default());
    alice.ack(reference);
    let secret = alice.publish("direct:bob", "a secret");
    let reference = alice.send_retract("direct:bob", (secret.epoch, secret.seq));
    alice.ack(reference);
    alice.publish("broadcast", "to all");
    let mut bob = Client::connect(&server, "bob", "phone");
    bob.receipt("direct:alice", ReceiptKind::delivered, (secret.epoch, 3));
    bob.receipt("direct:alice", ReceiptKind::read, (secret.epoch, 2));
    stop(server);
}

/// What bob sees of everything, but for epochs; and the epoch of his direct conversation.
fn seen_by_bob(dir: &Path) -> (String, u64) {
    let server = Server::start_in(dir, &[]);
    let mut bob = Client::connect(&server, "bob", "laptop");
    let mut seen = String::new();
    let mut epoch = 0;
    for of in ["direct:alice", "group:team", "broadcast"] {
        let page = bob.sync(of, (0, 0), 50, Direction::forward);
        if of == "direct:alice" {
            epoch = page.epoch;
        }
        for m in &page.messages {
            seen += &format!("{of} {} {} {} {:?}\n", m.seq, m.sender, m.time_ms, m.body);
        }
    }
    let (members, _) = bob.members("group:team", None, 10);
    let roles: Vec<(&str, Role)> = members.iter().map(|m| (&*m.user, m.role)).collect();
    let infos = bob.conversations(0, 10).0;
    let infos: Vec<_> = infos.iter().map(|info| (&*info.conversation, &*info.title, info.unread)).collect();
    seen += &format!("{roles:?} {infos:?}");
    stop(server);
    (seen, epoch)
}

fn sound(dir: &Path) {
    let said = campanile(&["fsck", arg(dir)]).expect(0, &["sound\n"]).out;
    assert!(!said.contains("warning:"), "{said}");
}

#[test]
fn what_a_server_leaves_is_sound_also_if_it_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    sound(dir.path());
    let (seen, epoch) = seen_by_bob(dir.path());
    let server = Server::start_in(dir.path(), &[]);
    campanile(&["fsck", arg(dir.path())]).expect(2, &["is used by process"]);
    campanile(&["export", arg(dir.path())]).expect(2, &["is used by process"]);
    let mut carol = Client::connect(&server, "carol", "phone");
    for number in 0..20 {
        carol.publish(&format!("direct:friend{number}"), "hello");
    }
    server.kill();
    campanile(&["fsck", arg(dir.path())]).expect(0, &["sound\n"]);
    assert_eq!(seen_by_bob(dir.path()), (seen, epoch), "looking changes nothing");
}

#[test]
fn an_import_is_what_was_exported() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(old.path());
    let exported = campanile(&["export", arg(old.path())]).expect(0, &[]).out;
    assert!(exported.contains("\"body_base64\":\"AP/+\"") && !exported.contains("a secret"), "it was taken back");
    let (seen, epoch) = seen_by_bob(old.path());
    campanile_reading(&["import", arg(new.path()), "--partitions", "3"], exported.as_bytes())
        .expect(0, &["imported 3 conversations"]);
    sound(new.path());
    let (seen_again, new_epoch) = seen_by_bob(new.path());
    assert_eq!(seen_again, seen);
    assert_ne!(new_epoch, epoch, "whoever has seen more is told");
    sound(new.path());
}

#[test]
fn what_is_added_to_a_directory_is_seen_by_those_who_are_there() {
    let (old, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(old.path());
    let server = Server::start_in(there.path(), &[]);
    Client::connect(&server, "bob", "phone").publish("direct:carol", "before");
    stop(server);
    let exported = campanile(&["export", arg(old.path())]).expect(0, &[]).out;
    campanile_reading(&["import", arg(there.path())], exported.as_bytes()).expect(0, &["imported 3 conversations"]);
    sound(there.path());
    let server = Server::start_in(there.path(), &[]);
    let mut bob = Client::connect(&server, "bob", "laptop");
    let infos = bob.conversations(0, 10).0;
    let mut names: Vec<&str> = infos.iter().map(|info| &*info.conversation).collect();
    names.sort_unstable();
    assert_eq!(names, ["direct:alice", "direct:carol", "group:team"]);
    assert_eq!(infos.iter().find(|info| &*info.conversation == "direct:alice").unwrap().unread, 1, "his receipts came along");
    bob.publish("direct:alice", "and on");
    stop(server);
    sound(there.path());
}

#[test]
fn a_client_that_has_seen_what_was_given_up_is_told_of_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_in(dir.path(), &["--shards", "1"]);
    let mut alice = Client::connect(&server, "alice", "phone");
    for number in 0..10 {
        alice.publish("direct:bob", &format!("message {number}"));
    }
    let last = alice.publish("direct:bob", "the last");
    stop(server);
    let partition = dir.path().join("partition-0");
    let journals = std::fs::read_dir(&partition).unwrap().map(|entry| entry.unwrap().path());
    let journal =
        journals.filter(|path| path.extension().is_some_and(|e| e == "jnl")).max_by_key(|path| super::house::used(path)).unwrap();
    super::house::cut(&journal, super::house::used(&journal) - 20);
    let start =
        ["serve", "--data-dir", arg(dir.path()), "--tcp", "127.0.0.1:0", "--ws", "", "--ops", "127.0.0.1:0", "--shards", "1"];
    campanile(&start).expect(1, &["had been synced", "fsck --cut"]);
    campanile(&["fsck", arg(dir.path()), "--cut"]).expect(0, &["1 conversations begin a new epoch", "sound\n"]);
    let server = Server::start_in(dir.path(), &["--shards", "1"]);
    let mut alice = Client::connect(&server, "alice", "phone");
    let page = alice.sync("direct:bob", (last.epoch, last.seq), 50, Direction::forward);
    assert!(page.gap.is_some() && !page.messages.is_empty(), "{page:?}");
    stop(server);
}
