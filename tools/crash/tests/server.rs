//! The program against the real server, which lies beside it when the whole workspace is built.
//!
//! Those that mount need /dev/fuse and root; CAMPANILE_CRASH_NO_FUSE=1 leaves them out.
#![allow(missing_docs)]

#[path = "support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, unshare};

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

/// A small disk, seen by this thread and the processes that it starts; it goes with them.
fn small_disk() -> PathBuf {
    let dir = std::env::temp_dir().join(format!("campanile-crash-small-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let nothing = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).unwrap();
    mount(Some("none"), &dir, Some("tmpfs"), MsFlags::empty(), Some("size=16m")).unwrap();
    dir
}

/// Starts the server on a directory until it listens. What it says when it does not.
fn starts_on(dir: &Path) -> Result<(), String> {
    let mut command = Command::new(Path::new(PROGRAM).with_file_name("campanile"));
    command.args(["--shards", "1", "--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--ops", "127.0.0.1:0", "--data-dir"]);
    let mut server = command.arg(dir).env_clear().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines().map_while(Result::ok);
    let listens = lines.any(|line| line.contains("tcp://"));
    server.kill().unwrap();
    let output = server.wait_with_output().unwrap();
    listens.then_some(()).ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_start_on_a_full_disk_says_so_and_succeeds_when_there_is_room() {
    if without_fuse() {
        return;
    }
    let disk = small_disk();
    let (data, fill) = (disk.join("data"), disk.join("fill"));
    starts_on(&data).unwrap();
    for is_new in [false, true] {
        if is_new {
            std::fs::remove_dir_all(&data).unwrap();
        }
        std::fs::write(&fill, vec![0; 32 << 20]).unwrap_err();
        let said = starts_on(&data).unwrap_err();
        assert!(said.contains("the disk is full: make room"), "{said}");
        std::fs::remove_file(&fill).unwrap();
        starts_on(&data).unwrap();
    }
    umount(&disk).unwrap();
    std::fs::remove_dir(&disk).unwrap();
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

#[test]
fn an_ack_before_the_append_is_caught() {
    if without_fuse() {
        return;
    }
    // Between such an ack and its append lies next to nothing; with a disk that takes its time there is a moment to strike in.
    let said = ends(VIOLATED, &["--cycles", "40", "--seed", "18", "--ack-fault", "before-append", "--power-loss"]);
    assert!(shows_a_loss(&said), "{said}");
}

#[test]
fn an_ack_before_the_sync_is_caught_by_a_loss_of_power() {
    if without_fuse() {
        return;
    }
    let said = ends(VIOLATED, &["--cycles", "40", "--seed", "19", "--ack-fault", "before-sync", "--power-loss"]);
    assert!(shows_a_loss(&said), "{said}");
}
