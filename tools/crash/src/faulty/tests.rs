//! The mounted disk, by hand and under the database that the server stands on. They need /dev/fuse and root; CAMPANILE_CRASH_NO_FUSE=1
//! leaves them out.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, channel};

use fjall::{Database, KeyspaceCreateOptions, PersistMode};

use super::*;
use crate::disk::DiskError;

struct Scratch {
    mounted: Mounted,
    at: PathBuf,
    fired: Receiver<Fired>,
}

/// A disk mounted in a directory of its own. None: this machine cannot, and was told that this is fine.
fn scratch(name: &str, seed: u64) -> Option<Scratch> {
    if std::env::var_os("CAMPANILE_CRASH_NO_FUSE").is_some_and(|value| value == "1") {
        return None;
    }
    let at = std::env::temp_dir().join(format!("campanile-crash-test-{name}-{seed}-{}", std::process::id()));
    fs::create_dir_all(&at).unwrap();
    let (sender, fired) = channel();
    let tell = Arc::new(move |what| _ = sender.send(what));
    let mounted = Mounted::new(Disk::new(seed), &at, tell);
    Some(Scratch { mounted: mounted.expect("mounting needs /dev/fuse and root; or set CAMPANILE_CRASH_NO_FUSE=1"), at, fired })
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.mounted.unmount();
        let _ = fs::remove_dir(&self.at);
    }
}

#[test]
fn it_is_a_file_system() {
    let Some(scratch) = scratch("plain", 1) else { return };
    let path = |name: &str| scratch.at.join(name);
    fs::create_dir(path("d")).unwrap();
    fs::write(path("d/a"), b"hello").unwrap();
    fs::rename(path("d/a"), path("b")).unwrap();
    fs::remove_dir(path("d")).unwrap();
    let mut file = File::options().append(true).open(path("b")).unwrap();
    file.write_all(b" world").unwrap();
    file.try_lock().unwrap();
    assert_eq!(fs::read(path("b")).unwrap(), b"hello world");
    file.set_len(5).unwrap();
    assert_eq!(fs::read(path("b")).unwrap(), b"hello");
    let big = vec![7; 3 << 20];
    file.write_all_at(&big, 0).unwrap();
    fs::remove_file(path("b")).unwrap();
    assert_eq!(fs::read_dir(&scratch.at).unwrap().count(), 0);
    assert_eq!(file.metadata().unwrap().len(), 5 + (3 << 20), "O_APPEND writes at the end, and it is open still");
}

#[test]
fn power_takes_what_was_not_synced() {
    let lost = (0..8).filter(|&seed| power_takes(seed)).count();
    assert!(lost > 0, "no seed loses something");
}

/// Whether something was lost.
fn power_takes(seed: u64) -> bool {
    let Some(mut scratch) = scratch("power", seed) else { return true };
    let path = scratch.at.join("a");
    let file = File::create(&path).unwrap();
    file.write_all_at(&[1; 4096], 0).unwrap();
    file.sync_data().unwrap();
    File::open(&scratch.at).unwrap().sync_all().unwrap();
    file.write_all_at(&[2; 1 << 20], 4096).unwrap();
    scratch.mounted.cut_power();
    assert!(file.write_all_at(b"x", 0).is_err() && file.sync_all().is_err());
    drop(file);
    scratch.mounted.power_up().unwrap();
    let after = fs::read(&path).unwrap();
    assert_eq!(after[..4096], [1; 4096]);
    after.len() < 4096 + (1 << 20) || after[4096..].contains(&0)
}

#[test]
fn faults_reach_the_program() {
    let Some(scratch) = scratch("faults", 3) else { return };
    let file = File::create(scratch.at.join("a")).unwrap();
    let other = File::open(scratch.at.join("a")).unwrap();
    scratch.mounted.arm(Faults { write: Some((2, 1, DiskError::NoSpace)), sync: Some(2), ..Faults::default() });
    file.write_all_at(b"x", 0).unwrap();
    assert_eq!(file.write_all_at(b"y", 1).unwrap_err().raw_os_error(), Some(28));
    file.write_all_at(b"z", 2).unwrap();
    file.sync_all().unwrap();
    assert_eq!(file.sync_all().unwrap_err().raw_os_error(), Some(5));
    file.sync_all().unwrap();
    assert_eq!(other.sync_data().unwrap_err().raw_os_error(), Some(5), "each descriptor is told");
    assert_eq!(scratch.fired.try_iter().collect::<Vec<_>>(), [Fired::Write, Fired::Sync("a".into())]);
}

/// What fjall said that it has persisted is there after the power went at any operation, in recovery too.
#[test]
fn the_database_keeps_what_it_persisted() {
    for seed in 0..10 {
        let Some(mut scratch) = scratch("fjall", seed) else { return };
        let mut persisted = 0u64;
        for round in 0..4 {
            let next = fill(&scratch, persisted, seed * 7 + round);
            scratch.mounted.cut_power();
            scratch.mounted.power_up().unwrap();
            persisted = next;
            // Recovery writes too: the power goes there as well.
            scratch.mounted.arm(Faults { power: Some(1 + (seed + round) % 5), ..Faults::default() });
            drop(Database::builder(&scratch.at).open());
            scratch.mounted.cut_power();
            scratch.mounted.power_up().unwrap();
            let found = found(&scratch.at);
            assert!(found >= persisted, "seed {seed}, round {round}: {persisted} rows were persisted, {found} are there");
        }
    }
}

/// Writes rows in batches until the power goes; gives how many rows were persisted for certain.
fn fill(scratch: &Scratch, from: u64, count: u64) -> u64 {
    let Ok(database) = Database::builder(&scratch.at).open() else { return from };
    let Ok(rows) = database.keyspace("rows", || KeyspaceCreateOptions::default().max_memtable_size(64 << 10)) else {
        return from;
    };
    // fjall 3.1.13 does not sync the directory in which it makes the keyspace's own, so a new keyspace could go with all that is in it.
    let Ok(()) = File::open(scratch.at.join("keyspaces")).and_then(|directory| directory.sync_all()) else { return from };
    scratch.mounted.arm(Faults { power: Some(40 + count * 37 % 300), ..Faults::default() });
    let mut persisted = from;
    for batch_number in 0..400 {
        let mut batch = database.batch().durability(Some(PersistMode::SyncData));
        for row in 0..10u64 {
            batch.insert(&rows, (from + batch_number * 10 + row).to_be_bytes(), [7; 160]);
        }
        if batch.commit().is_err() {
            break;
        }
        persisted = from + (batch_number + 1) * 10;
    }
    persisted
}

/// Rows that are there without a hole from the first.
fn found(at: &Path) -> u64 {
    let database = Database::builder(at).open().expect("the database recovers");
    let rows = database.keyspace("rows", KeyspaceCreateOptions::default).expect("the keyspace is there");
    (0u64..).find(|row| rows.get(row.to_be_bytes()).expect("rows are read").is_none()).unwrap_or(0)
}
