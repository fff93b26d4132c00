//! The program against the real server, which lies beside it when the whole workspace is built: what must hold holds, and what must be
//! caught is caught.
//!
//! Those that mount need /dev/fuse and root; CAMPANILE_CRASH_NO_FUSE=1 leaves them out.
#![allow(missing_docs)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_campanile-crash");
const HELD: Option<i32> = Some(0);
const VIOLATED: Option<i32> = Some(1);

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

/// Runs the program and checks how it ends; gives what it printed.
fn ends(wanted: Option<i32>, arguments: &[&str]) -> String {
    let output = run(arguments);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), wanted, "{arguments:?}:\n{said}");
    forget(&said);
    said
}

/// What a run that found something keeps is of no interest here.
fn forget(said: &str) {
    let kept = said.lines().find_map(|line| line.strip_prefix("kept: ")?.split(' ').next());
    if let Some(kept) = kept.filter(|kept| Path::new(kept).starts_with(std::env::temp_dir())) {
        let _ = std::fs::remove_dir_all(kept);
    }
}

fn without_fuse() -> bool {
    std::env::var_os("CAMPANILE_CRASH_NO_FUSE").is_some_and(|value| value == "1")
}

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
#[ignore = "builds the server once more, with the feature test-faults; run with: cargo test -p campanile-crash --test crash -- --ignored"]
fn an_ack_before_the_append_is_caught_by_a_kill() {
    let server = lying_server();
    let server = server.to_str().unwrap();
    let said = ends(VIOLATED, &["--cycles", "20", "--seed", "18", "--server", server, "--ack-fault", "before-append"]);
    assert!(said.contains("Lost: "), "{said}");
}

#[test]
#[ignore = "builds the server once more, with the feature test-faults; run with: cargo test -p campanile-crash --test crash -- --ignored"]
fn an_ack_before_the_sync_is_caught_by_a_loss_of_power() {
    if without_fuse() {
        return;
    }
    let server = lying_server();
    let server = server.to_str().unwrap();
    let said =
        ends(VIOLATED, &["--cycles", "20", "--seed", "19", "--server", server, "--ack-fault", "before-sync", "--power-loss"]);
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
