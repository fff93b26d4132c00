//! Recovery, with real databases in temporary directories: what may be torn, what must not be damaged.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::super::database::{Database, Recovered};
use super::super::journal::{Found, Journal};
use super::super::journal_check::{self, Mode};
use super::super::stamp::Owner;
use super::super::{Manifest, OpenError, StoreOptions};
use crate::store::engine::{Change, ReadRows, WriteRows};

/// Opening a database takes much longer than reading its journals; of all places that are damaged one after the other, so many are only read.
const OPENED_EVERY: u64 = 16;

/// A data directory with one partition.
pub(super) struct Place {
    pub(super) dir: tempfile::TempDir,
    options: StoreOptions,
}

/// One batch in a journal's file.
#[derive(Clone, Copy, Debug)]
struct Span {
    begin: u64,
    end: u64,
}

impl Place {
    pub(super) fn new() -> Place {
        Place { dir: tempfile::tempdir().unwrap(), options: StoreOptions::default() }
    }

    /// With `batches` synced batches, in a journal that is not longer than they are.
    fn with_batches(batches: u64) -> Place {
        let place = Place::new();
        place.open().unwrap();
        let mut database = place.open().unwrap().0;
        (1..=batches).for_each(|number| write(&mut database, number));
        place
    }

    fn manifest(&self) -> Manifest {
        Manifest::open_or_create(self.dir.path(), 1, 1).unwrap()
    }

    pub(super) fn open(&self) -> Result<(Database, Recovered), OpenError> {
        let mut manifest = self.manifest();
        let opened = Database::open(&manifest, 0, &self.options, &AtomicU64::default())?;
        manifest.set_complete().unwrap();
        Ok(opened)
    }

    fn partition(&self) -> PathBuf {
        self.dir.path().join("partition-0")
    }

    fn journal(&self, number: u32) -> PathBuf {
        self.partition().join(format!("{number}.jnl"))
    }

    fn owner(&self) -> Owner {
        Owner { data_id: self.manifest().data_id(), partition: 0 }
    }

    /// The batches of a journal.
    fn spans(&self, number: u32) -> Vec<Span> {
        let owner = self.owner();
        let mut journal = Journal::open(&self.journal(number)).unwrap();
        let (mut spans, mut begin) = (Vec::new(), 0);
        while let Found::Batch(batch) = journal.at(begin, owner).unwrap() {
            spans.push(Span { begin, end: batch.end });
            begin = batch.end;
        }
        spans
    }

    /// Cuts the one journal into several at the begin of these batches.
    fn split(&self, at: &[usize]) {
        let spans = self.spans(0);
        let bytes = fs::read(self.journal(0)).unwrap();
        let ends = at.iter().skip(1).map(|&batch| spans[batch].begin as usize).chain([bytes.len()]);
        for (number, (&batch, end)) in (0..).zip(at.iter().zip(ends)) {
            fs::write(self.journal(number), &bytes[spans[batch].begin as usize..end]).unwrap();
        }
    }

    /// With its journal alone.
    fn copy_of_journal(&self) -> Place {
        let copy = Place::new();
        fs::create_dir(copy.partition()).unwrap();
        fs::copy(self.journal(0), copy.journal(0)).unwrap();
        copy
    }

    /// What is found before fjall opens it: the last batch, and bytes that are torn.
    fn checked(&self, owner: Owner) -> Result<(u64, u64), OpenError> {
        let checked = journal_check::check(&self.partition(), owner, Mode::Strict, &AtomicU64::default())?;
        Ok((checked.last.map_or(0, |batch| batch.stamp.number), checked.torn.map_or(0, |torn| torn.bytes)))
    }

    fn copy(&self) -> Place {
        let copy = Place::new();
        copy_dir(self.dir.path(), copy.dir.path());
        copy
    }

    /// The rows must be those of the first `batches` batches.
    fn expect(&self, batches: u64) -> Recovered {
        let (mut database, recovered) = self.open().unwrap();
        assert_eq!(recovered.number, batches);
        expect_rows(&database, batches);
        // And it can go on.
        write(&mut database, batches + 1);
        expect_rows(&database, batches + 1);
        recovered
    }

    fn refused(&self) -> String {
        let before = self.files();
        let refused = self.open().err().expect("it must not open").to_string();
        assert!(refused.contains("partition 0") && refused.contains(&self.partition().display().to_string()), "{refused}");
        assert_eq!(self.files(), before, "what was refused is not touched");
        refused
    }

    /// The contents of the journals.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let paths = fs::read_dir(self.partition()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = paths
            .filter(|path| path.extension().is_some_and(|e| e == "jnl"))
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    }
}

fn copy_dir(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn key(number: u64) -> Vec<u8> {
    [&[0, 7][..], &number.to_be_bytes()].concat()
}

fn value(number: u64) -> Vec<u8> {
    format!("value {number} ").repeat(5).into_bytes()
}

fn changes(number: u64) -> Vec<Change> {
    let last = Change { key: vec![0, 9], value: Some(number.to_be_bytes().to_vec()) };
    let first = Change { key: vec![0, 8], value: (number == 1).then(|| vec![1]) };
    vec![Change { key: key(number), value: Some(value(number)) }, last, first]
}

fn write(database: &mut Database, number: u64) {
    database.write(changes(number)).unwrap();
    database.sync().unwrap();
}

fn expect_rows(rows: &dyn ReadRows, batches: u64) {
    let mut found = 0;
    rows.scan(&[0, 7], &[0, 8], false, &mut |k, v| {
        found += 1;
        assert_eq!((k, v), (&key(found)[..], &value(found)[..]));
        true
    })
    .unwrap();
    assert_eq!(found, batches);
    let last = rows.get(&[0, 9]).unwrap();
    assert_eq!(last.as_deref(), (batches > 0).then(|| batches.to_be_bytes()).as_ref().map(|bytes| &bytes[..]));
    assert_eq!(rows.get(&[0, 8]).unwrap().is_some(), batches == 1);
}

fn flip(path: &Path, offset: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], offset).unwrap();
}

#[test]
fn what_was_written_is_there_again() {
    let place = Place::with_batches(5);
    assert_eq!(place.expect(5).torn_bytes, 0);
    assert_eq!(place.expect(6).torn_bytes, 0);
}

#[test]
fn a_torn_last_batch_that_nobody_was_told_of_is_cut() {
    let place = Place::with_batches(3);
    let mut database = place.open().unwrap().0;
    database.write(changes(4)).unwrap();
    // Not synced, so the mark says 3.
    drop(database);
    let Span { begin, end } = place.spans(0)[3];
    let owner = place.owner();
    for cut in begin + 1..end {
        let torn = if cut % OPENED_EVERY == 0 { place.copy() } else { place.copy_of_journal() };
        let file = OpenOptions::new().write(true).open(torn.journal(0)).unwrap();
        file.set_len(cut).unwrap();
        if cut % 2 == 0 {
            // As a journal that was not cut before ends: with zeros.
            file.set_len(end + 1000).unwrap();
        }
        let torn_bytes = if cut % OPENED_EVERY == 0 { torn.expect(3).torn_bytes } else { torn.checked(owner).unwrap().1 };
        assert!(torn_bytes > 0 && torn_bytes <= cut - begin, "{torn_bytes} {cut}");
    }
}

#[test]
fn a_page_that_is_missing_within_the_torn_batch_is_cut_too() {
    // fjall alone does not open such a journal: its checksum is wrong, and only a missing end counts as torn.
    let place = Place::with_batches(3);
    let mut database = place.open().unwrap().0;
    database.write(changes(4)).unwrap();
    drop(database);
    let Span { begin, end } = place.spans(0)[3];
    for at in (begin..end).step_by(OPENED_EVERY as usize) {
        let torn = place.copy();
        flip(&torn.journal(0), at);
        torn.open().map(|(_, recovered)| assert!([3, 4].contains(&recovered.number))).unwrap();
    }
}

#[test]
fn a_batch_that_was_synced_is_not_cut() {
    let place = Place::with_batches(4);
    let spans = place.spans(0);
    let owner = place.owner();
    let mut caught = 0;
    for (number, Span { begin, end }) in (1..).zip(&spans) {
        for at in *begin..*end {
            let is_opened = at % OPENED_EVERY == 0 || at == begin + 20;
            let damaged = if is_opened { place.copy() } else { place.copy_of_journal() };
            flip(&damaged.journal(0), at);
            // A sequence number that still lies between its neighbours changes nothing.
            let is_sequence = (begin + 5..begin + 13).contains(&at);
            let is_refused = match damaged.checked(owner) {
                _ if is_opened => damaged.open().is_err(),
                // The mark says 4.
                Ok((last, _)) => last < 4,
                Err(_) => true,
            };
            assert!(is_refused || is_sequence, "batch {number}, byte {at}");
            caught += u32::from(is_refused);
            if at == begin + 20 {
                let refused = damaged.refused();
                let path = damaged.journal(0).display().to_string();
                assert!(number == 4 || (refused.contains(&path) && refused.contains(&format!("byte {begin}"))), "{refused}");
                assert!(refused.contains("fsck --cut"), "{refused}");
            }
        }
    }
    assert!(u64::from(caught) >= spans[3].end - 4 * 8, "{caught} of {}", spans[3].end);
}

#[test]
fn a_lost_end_that_was_synced_is_missed() {
    let place = Place::with_batches(4);
    let spans = place.spans(0);
    for len in [spans[3].begin, spans[2].begin + 5, 0] {
        let cut = place.copy();
        OpenOptions::new().write(true).open(cut.journal(0)).unwrap().set_len(len).unwrap();
        let refused = cut.refused();
        assert!(refused.contains("batch 4 had been synced"), "{refused}");
    }
}

#[test]
fn an_end_that_is_in_tables_is_not_missed() {
    let place = Place::with_batches(4);
    let spans = place.spans(0);
    let database = place.open().unwrap().0;
    database.compact();
    drop(database);
    OpenOptions::new().write(true).open(place.journal(0)).unwrap().set_len(spans[2].begin).unwrap();
    place.expect(4);
    // The row of batches goes on without a hole.
    place.expect(5);
    place.expect(6);
}

#[test]
fn a_row_of_journals_must_be_whole() {
    let place = Place::with_batches(12);
    place.split(&[0, 3, 4, 6, 8, 10]);
    place.copy().expect(12);
    let missing = place.copy();
    fs::remove_file(missing.journal(2)).unwrap();
    assert!(missing.refused().contains("a batch that does not follow"));
    let missing = place.copy();
    fs::remove_file(missing.journal(0)).unwrap();
    assert!(missing.open().err().unwrap().to_string().contains("batch 3 had been synced"));
    let damaged = place.copy();
    let end = fs::metadata(damaged.journal(1)).unwrap().len();
    flip(&damaged.journal(1), end - 1);
    assert!(damaged.refused().contains("1.jnl"));
}

/// A disk without room for a table, say: the thread ends, and fjall refuses everything from then on.
#[test]
fn what_a_thread_of_the_database_fails_at_does_not_fail_the_batch_under_way() {
    let mut place = Place::with_batches(3);
    place.options.memtable_bytes = 1;
    let (mut database, _) = place.open().unwrap();
    let tables = place.partition().join("keyspaces/1/tables");
    let aside = tables.with_file_name("aside");
    fs::rename(&tables, &aside).unwrap();
    database.write(changes(4)).unwrap();
    while !database.is_poisoned() {
        std::thread::sleep(Duration::from_millis(1));
    }
    database.sync().unwrap();
    database.write(changes(5)).unwrap_err();
    database.close();
    database.cut_failed().unwrap();
    fs::rename(&aside, &tables).unwrap();
    database.reopen().unwrap();
    expect_rows(&database, 4);
    write(&mut database, 5);
    drop(database);
    place.expect(5);
}

/// fjall's issue 257: after a start with several sealed journals, writes halted for good.
#[test]
fn many_sealed_journals_do_not_halt_writes_and_are_deleted() {
    let mut place = Place::with_batches(12);
    place.split(&[0, 3, 4, 6, 8, 10]);
    place.options.memtable_bytes = 10_000;
    let (mut database, _) = place.open().unwrap();
    (13..200).for_each(|number| write(&mut database, number));
    expect_rows(&database, 199);
    // fjall's issue 288: journals of which some keyspace has flushed nothing stay for good. With one keyspace they go.
    while (0..5).any(|number| place.journal(number).exists()) {
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(database);
    place.expect(199);
}

#[test]
fn batches_of_durability_os_may_be_lost_in_any_order() {
    let place = Place::with_batches(2);
    let mut database = place.open().unwrap().0;
    (3..=6).for_each(|number| database.write(changes(number)).unwrap());
    drop(database);
    let spans = place.spans(0);
    let lost = place.copy();
    flip(&lost.journal(0), spans[3].begin + 20);
    let recovered = lost.expect(3);
    assert_eq!(recovered.torn_bytes, spans[5].end - spans[3].begin);
    // What has been cut is gone for good, and put aside.
    assert_eq!(fs::metadata(lost.partition().join("0.jnl.cut")).unwrap().len(), recovered.torn_bytes);
    lost.expect(4);
    // Had a batch after it been synced, it would be damage.
    let mut database = place.open().unwrap().0;
    database.sync().unwrap();
    write(&mut database, 7);
    drop(database);
    flip(&place.journal(0), spans[3].begin + 20);
    assert!(place.refused().contains("batch 7 further on"));
}

#[test]
fn a_body_that_looks_like_a_batch_proves_nothing() {
    let place = Place::with_batches(3);
    let span = place.spans(0)[2];
    let journal = fs::read(place.journal(0)).unwrap();
    // Somebody has seen a batch of another server and sends it as a message.
    let mut forged = journal[span.begin as usize..span.end as usize].to_vec();
    forged[50] ^= 1;
    let mut database = place.open().unwrap().0;
    database.write(vec![Change { key: key(4), value: Some(forged) }]).unwrap();
    drop(database);
    let span = place.spans(0)[3];
    flip(&place.journal(0), span.begin);
    place.expect(3);
}

#[test]
fn what_is_lost_can_be_given_up() {
    let place = Place::with_batches(5);
    flip(&place.journal(0), place.spans(0)[2].begin + 20);
    place.refused();
    let forgiving = || Database::open_forgiving(&place.manifest(), 0, &place.options, &AtomicU64::default()).unwrap();
    assert_eq!(forgiving().1.number, 2);
    // As if it had been interrupted: nobody starts with it.
    place.refused();
    let (mut database, recovered) = forgiving();
    assert_eq!(recovered.number, 2);
    database.accept_loss().unwrap();
    drop(database);
    place.expect(2);
}

#[test]
fn a_missing_or_foreign_partition_is_noticed() {
    let place = Place::with_batches(2);
    let other = Place::with_batches(2);
    let mine = place.partition();
    fs::rename(&mine, place.dir.path().join("aside")).unwrap();
    assert!(matches!(place.open(), Err(OpenError::Missing { partition: 0, .. })));
    copy_dir_new(&other.partition(), &mine);
    assert!(matches!(place.open(), Err(OpenError::Foreign { partition: 0, .. })));
    // Also without its mark, and also when everything is in tables.
    fs::remove_file(mine.join("mark")).unwrap();
    assert!(matches!(place.open(), Err(OpenError::Foreign { partition: 0, .. })));
    fs::write(place.journal(0), []).unwrap();
    fs::remove_file(mine.join("mark")).unwrap();
    place.open().map(|(_, recovered)| assert_eq!(recovered.number, 0)).unwrap();
}

fn copy_dir_new(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    copy_dir(from, to);
}

#[test]
fn tables_are_read_like_memory() {
    let mut place = Place::new();
    place.options.memtable_bytes = 5000;
    let mut database = place.open().unwrap().0;
    (1..=2000).for_each(|number| database.write(changes(number)).unwrap());
    database.sync().unwrap();
    expect_rows(&database, 2000);
    let view = database.rows().unwrap().view();
    write(&mut database, 2001);
    expect_rows(&view, 2000);
    drop(view);
    let mut keys = Vec::new();
    database
        .scan(&key(10), &key(20), true, &mut |key, _| {
            keys.push(key.to_vec());
            keys.len() < 3
        })
        .unwrap();
    assert_eq!(keys, [19, 18, 17].map(key));
    drop(database);
    place.expect(2001);
}

#[test]
fn a_batch_that_failed_is_cut_off_before_the_database_is_opened_again() {
    let place = Place::with_batches(2);
    let mut database = place.open().unwrap().0;
    database.write(changes(3)).unwrap();
    // As if it had failed: whatever of it has got into the journal.
    database.number = 2;
    database.close();
    assert!(database.get(&key(1)).is_err());
    database.cut_failed().unwrap();
    database.reopen().unwrap();
    expect_rows(&database, 2);
    write(&mut database, 3);
    expect_rows(&database, 3);
    drop(database);
    place.expect(3);
}

#[test]
fn a_damaged_table_is_named_and_no_panic() {
    let mut place = Place::with_batches(0);
    place.options.memtable_bytes = 5000;
    let mut database = place.open().unwrap().0;
    (1..=500).for_each(|number| write(&mut database, number));
    drop(database);
    let tables = place.partition().join("keyspaces/1/tables");
    let tables: Vec<PathBuf> = fs::read_dir(tables).unwrap().map(|table| table.unwrap().path()).collect();
    assert!(!tables.is_empty());
    // In its first block of rows, while the one that opens it reads its end.
    tables.iter().for_each(|table| flip(table, 100));
    let database = place.open().unwrap().0;
    let told = |error: std::io::Error| {
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
        assert!(tables.iter().any(|table| error.to_string().contains(&table.display().to_string())), "{error}");
    };
    told(database.scan(&[0], &[1], false, &mut |_, _| true).unwrap_err());
    told(database.rows().unwrap().view().get(&key(1)).unwrap_err());
    drop(database);
    // Where a table's own description is damaged, the partition does not open.
    for table in &tables {
        let len = fs::metadata(table).unwrap().len();
        flip(table, len - 20);
    }
    let refused = place.open().err().unwrap().to_string();
    assert!(refused.contains("partition 0") && refused.contains("does not open"), "{refused}");
}
