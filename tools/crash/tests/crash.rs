//! The program against a stand-in of the server (examples/stand_in) that keeps its word or lies, whichever it is told: what must hold
//! holds, and what must be caught is caught.
//!
//! Those that mount need /dev/fuse and root; CAMPANILE_CRASH_NO_FUSE=1 leaves them out.
#![allow(missing_docs)]

#[path = "support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};

use support::{HELD, PROGRAM, VIOLATED, ends, run, without_fuse};

fn stand_in() -> PathBuf {
    let path = Path::new(PROGRAM).with_file_name("examples").join("stand_in");
    assert!(path.exists(), "{} is not built: run cargo test -p campanile-crash (or cargo build --examples)", path.display());
    path
}

fn against_stand_in(wanted: Option<i32>, arguments: &[&str]) -> String {
    let server = stand_in();
    ends(wanted, &[&["--server", server.to_str().unwrap()], arguments].concat())
}

#[test]
fn a_server_that_keeps_its_word_is_not_accused_when_it_is_killed() {
    let said = against_stand_in(HELD, &["--cycles", "9", "--seed", "11"]);
    assert!(said.contains("everything held"), "{said}");
}

#[test]
fn nor_when_the_power_goes() {
    if !without_fuse() {
        against_stand_in(HELD, &["--cycles", "6", "--seed", "12", "--power-loss"]);
    }
}

#[test]
fn nor_when_the_disk_fails() {
    if !without_fuse() {
        let said = against_stand_in(HELD, &["--cycles", "8", "--seed", "13", "--power-loss", "--faults", "mix"]);
        assert!(["failed fsync", "failed writes", "full disk"].iter().all(|blow| said.contains(blow)), "{said}");
    }
}

#[test]
fn an_ack_before_the_append_is_caught_by_a_kill() {
    let said = against_stand_in(VIOLATED, &["--cycles", "20", "--seed", "14", "--ack-fault", "before-append"]);
    assert!(said.contains("Lost: ") && said.contains("to replay: campanile-crash --seed 14"), "{said}");
}

#[test]
fn an_ack_before_the_sync_is_caught_by_a_loss_of_power_and_by_nothing_less() {
    if without_fuse() {
        return;
    }
    against_stand_in(HELD, &["--cycles", "4", "--seed", "15", "--ack-fault", "before-sync"]);
    let said = against_stand_in(VIOLATED, &["--cycles", "20", "--seed", "15", "--ack-fault", "before-sync", "--power-loss"]);
    assert!(said.contains("Lost: "), "{said}");
}

#[test]
fn what_cannot_be_run_is_told_with_the_cure() {
    let full = std::env::temp_dir().join(format!("campanile-crash-full-{}", std::process::id()));
    std::fs::create_dir_all(full.join("something")).unwrap();
    let said = ends(Some(3), &["--data-dir", full.to_str().unwrap()]);
    assert!(said.contains("is not empty") && said.contains("--data-dir"), "{said}");
    std::fs::remove_dir_all(&full).unwrap();
    let mut logs = full.into_os_string();
    logs.push(".logs");
    std::fs::remove_dir_all(logs).unwrap();
    let said = ends(Some(3), &["--server", "/nowhere/campanile"]);
    assert!(said.contains("/nowhere/campanile"), "{said}");
    assert_eq!(run(&["--faults", "sync"]).status.code(), Some(2), "faults are those of a disk that is mounted");
}
