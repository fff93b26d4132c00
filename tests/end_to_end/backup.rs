//! A backup of a server under load is a directory that a server can be started on.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use campanile::wire::schema::{Direction, ReceiptKind};

use crate::support::client::Client;
use crate::support::server::Server;
use crate::support::{Enough, PATIENCE};

const ASYNC: &str = "Prefer: respond-async\r\n";

/// The command, as an operator types it.
fn campanile_backup(ops: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_campanile")).env_clear().args(["backup", "--ops", ops]).output().unwrap()
}

fn start(dir: &Path, backups: &Path) -> Server {
    Server::start_in(dir, &["--backup-dir", backups.to_str().unwrap()])
}

/// Everything of a conversation, whose seqs have no holes.
fn history(client: &mut Client, of: &str) -> Vec<String> {
    let (mut cursor, mut texts, mut last) = ((0, 0), Vec::new(), None);
    loop {
        let page = client.sync(of, cursor, 100, Direction::forward);
        assert_eq!(page.gap, None, "{of}");
        for message in &page.messages {
            assert!(last.is_none_or(|last| message.seq == last + 1), "a hole before {}", message.seq);
            last = Some(message.seq);
            texts.push(message.text().to_owned());
        }
        cursor = page.next;
        if !page.has_more {
            return texts;
        }
    }
}

#[test]
fn a_backup_under_load_has_everything_that_was_acknowledged_before() {
    let (dir, backups) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = start(dir.path(), backups.path());
    let mut alice = Client::connect(&server, "alice", "phone");
    alice.group_create("team", false, true, &["bob"]);
    for i in 0..50 {
        alice.publish("direct:bob", &i.to_string());
        alice.publish("group:team", &i.to_string());
    }
    let is_enough = AtomicBool::new(false);
    let output = std::thread::scope(|scope| {
        let _enough = Enough(&is_enough);
        scope.spawn(|| {
            for i in 50.. {
                for to in ["direct:bob", "group:team", &format!("direct:peer{i}")] {
                    alice.publish(to, &i.to_string());
                }
                if is_enough.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        campanile_backup(&server.ops.to_string())
    });
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("rows"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let copy = PathBuf::from(said.lines().next().unwrap());
    assert_eq!(copy.parent().unwrap(), std::fs::canonicalize(backups.path()).unwrap());
    let (status, report) = server.get("/backup");
    assert!(status == 200 && report.contains("state: done") && report.contains(copy.to_str().unwrap()), "{report}");
    server.kill();

    let server = Server::start_in(&copy, &[]);
    let (mut alice, mut bob) = (Client::connect(&server, "alice", "laptop"), Client::connect(&server, "bob", "laptop"));
    for of in ["direct:alice", "group:team"] {
        let texts: Vec<String> = history(&mut bob, of).into_iter().filter(|text| text.parse::<u64>().is_ok()).collect();
        assert!(texts.len() >= 50, "{of}: {texts:?}");
        assert_eq!(texts, (0..texts.len()).map(|i| i.to_string()).collect::<Vec<_>>(), "{of}");
    }
    let listed: Vec<String> = bob.conversations(0, 100).0.into_iter().map(|info| info.conversation).collect();
    assert!(["direct:alice", "group:team"].iter().all(|of| listed.iter().any(|l| l == of)), "{listed:?}");
    // Whoever has a record of the copy has it in his list.
    for i in 50.. {
        let mut peer = Client::connect(&server, &format!("peer{i}"), "phone");
        let has_record = !alice.sync(&format!("direct:peer{i}"), (0, 0), 1, Direction::forward).messages.is_empty();
        if !has_record {
            break;
        }
        let listed = peer.conversations(0, 10).0;
        assert_eq!(listed.iter().map(|info| &*info.conversation).collect::<Vec<_>>(), ["direct:alice"]);
        assert_eq!(peer.message().text(), i.to_string());
    }
    let members = alice.members("group:team", None, 10).0;
    assert_eq!(members.iter().map(|m| &*m.user).collect::<Vec<_>>(), ["alice", "bob"]);
}

#[test]
fn whoever_saw_more_than_a_backup_has_is_told_and_misses_nothing() {
    let (dir, backups) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = start(dir.path(), backups.path());
    let mut alice = Client::connect(&server, "alice", "phone");
    let mut bob = Client::connect(&server, "bob", "phone");
    alice.publish("direct:bob", "kept");
    assert_eq!(bob.message().text(), "kept");
    let (status, report) = server.ask("POST", "/backup", "");
    assert_eq!(status, 200, "{report}");
    let copy = report.lines().find_map(|line| line.strip_prefix("directory: ")).unwrap();
    let lost = alice.publish("direct:bob", "lost");
    assert_eq!(bob.message().text(), "lost");
    bob.receipt("direct:alice", ReceiptKind::delivered, (lost.epoch, lost.seq));
    server.kill();

    let server = Server::start_in(Path::new(copy), &[]);
    let (mut alice, mut bob) = (Client::connect(&server, "alice", "phone"), Client::connect(&server, "bob", "tablet"));
    let new = alice.publish("direct:bob", "new");
    assert!(new.epoch > lost.epoch && new.seq == lost.seq, "the number is given again, in another epoch: {new:?}");
    assert_eq!(bob.texts(2), ["kept", "new"]);
    let page = bob.sync("direct:alice", (lost.epoch, lost.seq), 10, Direction::forward);
    assert_eq!(page.gap.map(|gap| gap.epoch), Some(new.epoch), "a cursor behind the backup is answered with a gap");
}

#[test]
fn backups_are_made_one_at_a_time() {
    let (dir, backups) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = start(dir.path(), backups.path());
    let mut alice = Client::connect(&server, "alice", "phone");
    for _ in 0..100 {
        alice.publish("direct:bob", &"x".repeat(30_000));
    }
    let (status, begun) = server.ask("POST", "/backup", ASYNC);
    assert_eq!(status, 202, "{begun}");
    let (status, refused) = server.ask("POST", "/backup", ASYNC);
    assert!(status == 409 && refused.contains("; wait for it"), "{refused}");
    let began = Instant::now();
    while server.get("/backup").1.contains("state: running") {
        assert!(began.elapsed() < 3 * PATIENCE, "the backup does not end");
        std::thread::yield_now();
    }
    let (status, report) = server.ask("POST", "/backup", "");
    assert!(status == 200 && report.contains("state: done"), "{report}");
    let names: Vec<String> =
        std::fs::read_dir(backups.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.len() == 2 && names.iter().all(|name| name.starts_with("backup-") && !name.ends_with(".part")), "{names:?}");
}

#[test]
fn a_server_that_stops_gives_up_its_backup() {
    let (dir, backups) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut server = start(dir.path(), backups.path());
    Client::connect(&server, "alice", "phone").publish("direct:bob", "one");
    assert_eq!(server.ask("POST", "/backup", ASYNC).0, 202);
    server.terminate();
    assert!(server.wait().success());
    let has_part = std::fs::read_dir(backups.path()).unwrap().any(|e| e.unwrap().path().extension().is_some());
    assert!(!has_part, "what is not finished is removed");
}

#[test]
fn what_cannot_be_backed_up_is_refused_with_cause_and_cure() {
    let refused = |ops: &str| {
        let output = campanile_backup(ops);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with("campanile: ") && said.contains("; ") && said.lines().count() == 1, "{said}");
        said
    };
    let server = Server::start(&[]);
    assert!(refused(&server.ops.to_string()).contains("--backup-dir"));
    let backups = tempfile::tempdir().unwrap();
    let nothing_on_disk = ["direct", "group", "broadcast"].map(|kind| format!("--{kind}-durability=memory"));
    let mut options = vec!["--backup-dir", backups.path().to_str().unwrap()];
    options.extend(nothing_on_disk.iter().map(String::as_str));
    let server = Server::start(&options);
    assert!(refused(&server.ops.to_string()).contains("nothing is on disk"));
    assert!(refused(&server.tcp.to_string()).contains("--ops"), "that is the clients' port");
    let ops = server.ops.to_string();
    server.kill();
    assert!(refused(&ops).contains("no server answers"));
}
