//! The program against the real server, which lies beside it when the whole workspace is built.
//!
//! Those that mount need /dev/fuse and root; CAMPANILE_CRASH_NO_FUSE=1 leaves them out.
#![allow(missing_docs)]

#[path = "support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{HELD, PROGRAM, VIOLATED, ends, without_fuse};

/// The server, told to acknowledge with less than it does by default.
fn durability(level: &str) -> Vec<String> {
    ["direct", "group", "broadcast"].map(|kind| format!("--server-option=--{kind}-durability={level}")).to_vec()
}

fn with<'a>(fixed: &[&'a str], more: &'a [String]) -> Vec<&'a str> {
    fixed.iter().copied().chain(more.iter().map(String::as_str)).collect()
}

#[test]
fn nothing_is_lost_when_the_server_is_killed() {
    let said = ends(HELD, &["--cycles", "5", "--seed", "11"]);
    assert!(said.contains("everything held"), "{said}");
}

#[test]
fn nothing_is_lost_when_the_power_goes() {
    if !without_fuse() {
        ends(HELD, &["--cycles", "5", "--seed", "12", "--power-loss"]);
    }
}

#[test]
fn the_server_ends_when_a_sync_fails() {
    if !without_fuse() {
        ends(HELD, &["--cycles", "3", "--seed", "13", "--power-loss", "--faults", "sync"]);
    }
}

#[test]
fn the_server_comes_back_when_writes_fail() {
    if !without_fuse() {
        ends(HELD, &["--cycles", "3", "--seed", "14", "--power-loss", "--faults", "write"]);
    }
}

#[test]
fn the_server_comes_back_when_the_disk_was_full() {
    if !without_fuse() {
        ends(HELD, &["--cycles", "2", "--seed", "15", "--power-loss", "--faults", "full"]);
    }
}

#[test]
fn a_server_that_keeps_messages_in_memory_is_caught_by_a_kill() {
    let memory = durability("memory");
    let said = ends(VIOLATED, &with(&["--cycles", "3", "--seed", "16"], &memory));
    assert!(said.contains("to replay: campanile-crash --seed 16"), "{said}");
}

#[test]
fn a_server_that_does_not_sync_is_caught_by_a_loss_of_power() {
    if !without_fuse() {
        let os = durability("os");
        ends(VIOLATED, &with(&["--cycles", "10", "--seed", "17", "--power-loss"], &os));
    }
}

/// Whether what was found is what an early ack leads to: an acknowledged message is gone, or others had been shown what is gone.
fn shows_a_loss(said: &str) -> bool {
    ["Lost: ", "Gap: ", "Live: "].iter().any(|rule| said.lines().any(|line| line.starts_with(rule)))
}

/// The server built with the feature that lets it lie, in a target directory of its own.
fn lying_server() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = Path::new(PROGRAM).with_file_name("test-faults");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace).args(["build", "--quiet", "-p", "campanile", "--features", "test-faults", "--target-dir"]);
    assert!(command.arg(&target).status().unwrap().success(), "the server does not build with the feature test-faults");
    target.join("debug/campanile")
}

#[test]
#[ignore = "builds the server once more, with the feature test-faults; run with: cargo test -p campanile-crash --test server -- --ignored"]
fn an_ack_before_the_append_is_caught() {
    if without_fuse() {
        return;
    }
    // Between such an ack and its append lies next to nothing; with a disk that takes its time there is a moment to strike in.
    let server = lying_server();
    let server = server.to_str().unwrap();
    let said =
        ends(VIOLATED, &["--cycles", "40", "--seed", "18", "--server", server, "--ack-fault", "before-append", "--power-loss"]);
    assert!(shows_a_loss(&said), "{said}");
}

#[test]
#[ignore = "builds the server once more, with the feature test-faults; run with: cargo test -p campanile-crash --test server -- --ignored"]
fn an_ack_before_the_sync_is_caught_by_a_loss_of_power() {
    if without_fuse() {
        return;
    }
    let server = lying_server();
    let server = server.to_str().unwrap();
    let said =
        ends(VIOLATED, &["--cycles", "40", "--seed", "19", "--server", server, "--ack-fault", "before-sync", "--power-loss"]);
    assert!(shows_a_loss(&said), "{said}");
}
