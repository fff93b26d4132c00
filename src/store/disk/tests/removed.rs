//! What has expired is not only hidden: after the grace period, a compaction and the end of its journal, no file has its body any more.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::recovery::Place;
use crate::clock::Now;
use crate::conversation::{Content, Durability, Key, Record};
use crate::id::Address;
use crate::slot::Slots;
use crate::store::engine::{Change, WriteRows};
use crate::store::partition::{Partition, Settings};
use crate::store::removal::Removal;
use crate::store::{Append, Command, LogPlace, Outcome, TERM};

const GRACE_MS: u64 = 60_000;
const SECRET: &[u8] = b"a body that nobody must find on the disk";
const STAYS: &[u8] = b"a body that is to stay where it is, for ever";
/// fjall begins a new journal after 64 MB, and removes an old one when all that it has is in tables.
const JOURNAL_BYTES: usize = 64_000_000;
const FILLER_BYTES: usize = 1 << 20;

fn append(
    logic: &mut Partition,
    database: &mut super::super::database::Database,
    seq: u64,
    body: &[u8],
    expires_ms: u64,
    now: Now,
) {
    let key = Key::new("", Address::Broadcast);
    let place = LogPlace { row: Slots::new(1, 1).row(key.bytes()), incarnation: 5 };
    let record =
        Arc::new(Record { epoch: 5, seq, time_ms: now.wall_ms, sender: "ann".into(), content: Content::message(body.to_vec()) });
    let durability = Durability::Fsync;
    let append = Append { log: 0, attempt: 0, place, durability, term: TERM, key, record, expires_ms };
    logic.execute(0, Command::Append(append), now, database).unwrap();
    let changes = logic.take_batch();
    database.write(changes).unwrap();
    database.sync().unwrap();
    assert!(matches!(logic.committed()[..], [(0, Outcome::Appended { result: Ok(()), .. })]));
}

/// Whether any file below a directory has these bytes.
fn is_in(dir: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            return is_in(&path, bytes);
        }
        let content = fs::read(&path).unwrap();
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}

#[test]
fn the_body_of_what_expired_leaves_the_disk() {
    let place = Place::new();
    let mut database = place.open().unwrap().0;
    let mut logic = Partition::new(Settings { os_generation: 1, logs_cached: 10 });
    let mut removal = Removal::new(GRACE_MS);
    let begin = Now { mono_ms: 1000, wall_ms: 1_000_000_000 };
    append(&mut logic, &mut database, 1, SECRET, begin.wall_ms + 10, begin);
    append(&mut logic, &mut database, 2, STAYS, 0, begin);
    assert_eq!(removal.due(begin), None);
    assert!(is_in(place.dir.path(), SECRET), "it is found where it is");

    let later = Now { mono_ms: begin.mono_ms + 2 * GRACE_MS, wall_ms: begin.wall_ms + 2 * GRACE_MS };
    let cutoff_ms = removal.due(later).expect("the clock went as it should");
    let slice = removal.stage(&database, cutoff_ms, 100);
    assert!(!slice.changes.is_empty() && slice.unreadable.is_none());
    database.write(slice.changes).unwrap();
    database.sync().unwrap();

    for number in 0..=(JOURNAL_BYTES / FILLER_BYTES) as u64 + 1 {
        // Under a slot of its own, and not to be compressed away.
        let value: Vec<u8> = (0..FILLER_BYTES as u64 / 8)
            .flat_map(|i| (i ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_le_bytes())
            .collect();
        let key = [&[0x0f, 0xff, 0x7f][..], &number.to_be_bytes()].concat();
        database.write(vec![Change { key, value: Some(value) }]).unwrap();
    }
    database.sync().unwrap();
    database.compact();
    database.close();
    assert!(is_in(place.dir.path(), STAYS), "what has not expired is there");
    assert!(!is_in(place.dir.path(), SECRET), "no file has what expired");
}
