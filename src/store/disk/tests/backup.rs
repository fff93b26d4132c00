//! Copies of a store that goes on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::super::backup::{BackupError, Progress, Snapshots};
use super::super::database::Database;
use super::super::shared::SharedRows;
use super::super::{Manifest, StoreOptions, fsck, stamp};
use crate::conversation::Key;
use crate::id::Address;
use crate::slot::{RowId, SLOTS};
use crate::store::LogPlace;
use crate::store::engine::{Change, ReadRows, WriteRows};
use crate::store::rows::{self, Expiry, HeadRow};

const PARTITIONS: u16 = 3;

type AllRows = BTreeMap<Vec<u8>, Vec<u8>>;

/// A store without threads.
struct Store {
    dir: tempfile::TempDir,
    manifest: Manifest,
    databases: Vec<Database>,
    shared: Vec<Arc<SharedRows>>,
}

impl Store {
    fn new() -> Store {
        let dir = tempfile::tempdir().unwrap();
        let mut manifest = Manifest::open_or_create(&dir.path().join("data"), PARTITIONS, 1).unwrap();
        let databases = open(&manifest);
        manifest.set_complete().unwrap();
        let shared = databases.iter().map(|database| {
            let shared = Arc::<SharedRows>::default();
            shared.give(database.rows().unwrap().clone());
            shared
        });
        Store { dir, shared: shared.collect(), manifest, databases }
    }

    fn snapshots(&self) -> Snapshots {
        Snapshots::new(self.manifest.facts().clone(), self.shared.clone())
    }

    fn backups(&self) -> std::path::PathBuf {
        self.dir.path().join("backups")
    }

    fn rows(&self) -> Vec<AllRows> {
        self.databases.iter().map(all).collect()
    }
}

fn open(manifest: &Manifest) -> Vec<Database> {
    let open = |partition| Database::open(manifest, partition, &StoreOptions::default(), &AtomicU64::default()).unwrap().0;
    (0..manifest.partitions()).map(open).collect()
}

/// All rows but the stamp.
fn all(database: &Database) -> AllRows {
    let mut rows = AllRows::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        if key != stamp::KEY {
            rows.insert(key.to_vec(), value.to_vec());
        }
        true
    };
    database.scan(&[0], &[u8::MAX; 32], false, &mut visit).unwrap();
    rows
}

/// A user or conversation in the middle of a partition.
fn row(partition: u16, fingerprint: u128) -> RowId {
    RowId { slot: (SLOTS as u16 / PARTITIONS) * partition + 700, fingerprint }
}

fn put(database: &mut Database, rows: Vec<(Vec<u8>, Vec<u8>)>) {
    database.write(rows.into_iter().map(|(key, value)| Change { key, value: Some(value) }).collect()).unwrap();
    database.sync().unwrap();
}

fn head() -> HeadRow {
    let key = Key::new("", Address::Topic("news"));
    HeadRow { key, incarnation: 7, epoch: 9, first: 1, os_generation: 0, title: Default::default(), flags: 0 }
}

/// Every kind of row, and more than one batch of them.
fn fill(store: &mut Store) {
    for partition in 0..PARTITIONS {
        let (log, user) = (row(partition, 5), row(partition, 6));
        let place = LogPlace { row: log, incarnation: 7 };
        let big = vec![3; 100_000];
        let records = (1..=60).map(|seq| (rows::log_key(place, seq).to_vec(), big.clone()));
        put(&mut store.databases[usize::from(partition)], records.collect());
        let expiry = Expiry::of(1, place, rows::Doomed::Record(4));
        let edge = RowId { slot: SLOTS as u16 - 1, fingerprint: u128::MAX };
        let mut others = vec![
            (rows::head_key(log).to_vec(), head().value()),
            (rows::member_key(log, "ann"), b"member".to_vec()),
            (rows::receipt_key(log, "ann"), b"receipt".to_vec()),
            (rows::user_key(user).to_vec(), b"user".to_vec()),
            (rows::entry_key(user, 1), b"entry".to_vec()),
            (rows::cursors_key(user, 1), b"cursors".to_vec()),
            (rows::expiry_key(&expiry), b"\x01".to_vec()),
            (rows::meta_key("something"), b"meta".to_vec()),
        ];
        if partition == PARTITIONS - 1 {
            others.push((rows::cursors_key(edge, u128::MAX), b"the last".to_vec()));
        }
        put(&mut store.databases[usize::from(partition)], others);
    }
}

#[test]
fn a_copy_has_every_row_and_can_be_started_on() {
    let mut store = Store::new();
    fill(&mut store);
    let progress = Progress::default();
    let copied = store.snapshots().copy(&store.backups(), "one", 0, &progress).unwrap();
    assert_eq!(copied.dir, fs::canonicalize(store.backups().join("one")).unwrap());
    let mut wanted = store.rows();
    assert_eq!((copied.partitions, copied.rows), (3, wanted.iter().map(|rows| rows.len() as u64).sum()));
    for (partition, rows) in (0..).zip(&mut wanted) {
        // So that it begins a new epoch.
        let head = HeadRow { os_generation: store.manifest.os_generation(), ..head() };
        rows.insert(rows::head_key(row(partition, 5)).to_vec(), head.value());
    }
    let manifest = Manifest::open_existing(&copied.dir).unwrap();
    assert_eq!(
        (manifest.slot_seed(), manifest.data_id(), manifest.partitions(), manifest.is_complete()),
        (store.manifest.slot_seed(), store.manifest.data_id(), PARTITIONS, true)
    );
    assert_ne!(manifest.os_generation(), store.manifest.os_generation());
    let copies = open(&manifest);
    assert_eq!(copies.iter().map(all).collect::<Vec<_>>(), wanted);
    drop((copies, manifest));
    assert!(fsck::run(&copied.dir, false).unwrap().is_fine());
}

#[test]
fn the_lists_of_a_copy_are_newer_than_its_logs() {
    let mut store = Store::new();
    let is_enough = AtomicBool::new(false);
    let (snapshots, backups) = (store.snapshots(), store.backups());
    let number = |database: &Database, key: &[u8]| {
        database.get(key).unwrap().map_or(0, |value| u64::from_be_bytes(value[..].try_into().unwrap()))
    };
    // Entries in one partition, records in another, before and behind it.
    let ways: Vec<(usize, usize)> = vec![(0, 1), (1, 0), (2, 1), (0, 2)];
    let entry = |at: usize, way: usize| rows::entry_key(row(at as u16, way as u128), 1);
    let record = |at: usize, way: usize| rows::member_key(row(at as u16, way as u128), "ann");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for count in 1_u64.. {
                for (way, &(entries, records)) in ways.iter().enumerate() {
                    let mut write = |at: usize, key| {
                        let change = Change { key, value: Some(count.to_be_bytes().to_vec()) };
                        store.databases[at].write(vec![change]).unwrap();
                    };
                    write(entries, entry(entries, way));
                    write(records, record(records, way));
                }
                if is_enough.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        for copy in 0..5 {
            std::thread::sleep(Duration::from_millis(5));
            let dir = snapshots.copy(&backups, &copy.to_string(), 0, &Progress::default()).unwrap().dir;
            let manifest = Manifest::open_existing(&dir).unwrap();
            let copies = open(&manifest);
            for (way, &(entries, records)) in ways.iter().enumerate() {
                let listed = number(&copies[entries], &entry(entries, way));
                let logged = number(&copies[records], &record(records, way));
                if listed < logged {
                    is_enough.store(true, Ordering::Relaxed);
                    panic!("{way}: {listed} < {logged}");
                }
            }
        }
        is_enough.store(true, Ordering::Relaxed);
    });
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
}

#[test]
fn what_fails_leaves_nothing() {
    let mut store = Store::new();
    fill(&mut store);
    let (snapshots, backups) = (store.snapshots(), store.backups());
    let full = snapshots.copy(&backups, "full", u64::MAX / 2, &Progress::default()).unwrap_err();
    assert!(matches!(full, BackupError::Full { .. }) && is_empty(&backups), "{full}");
    let progress = Progress { is_cancelled: true.into(), ..Progress::default() };
    let cancelled = snapshots.copy(&backups, "cancelled", 0, &progress).unwrap_err();
    assert!(matches!(cancelled, BackupError::Cancelled) && is_empty(&backups), "{cancelled}");
    store.shared[1].take_away(|| ());
    let away = snapshots.copy(&backups, "away", 0, &Progress::default()).unwrap_err();
    assert!(matches!(away, BackupError::Away { partition: 1 }) && is_empty(&backups), "{away}");
}

#[test]
fn the_writer_gets_its_rows_back_in_the_middle_of_a_copy() {
    let mut store = Store::new();
    fill(&mut store);
    let (snapshots, backups, progress) = (store.snapshots(), store.backups(), Progress::default());
    std::thread::scope(|scope| {
        let copying = scope.spawn(|| snapshots.copy(&backups, "away", 0, &progress));
        while progress.rows.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        // The one that is copied last: whatever is copied at the moment, this one is given back, and then this returns.
        store.shared[0].take_away(|| ());
        store.databases[0].close();
        if let Err(error) = copying.join().unwrap() {
            assert!(matches!(error, BackupError::Away { partition: 0 }) && is_empty(&backups), "{error}");
        }
    });
}
