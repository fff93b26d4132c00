//! The sweeper: when it may, what it takes, and what must stay.

use bytes::Bytes;

use super::*;
use crate::conversation::{Content, Durability, Key};
use crate::store::engine::WriteRows;
use crate::store::rows::{HeadRow, Row};
use crate::store::simulated::Store;
use crate::store::simulated::commands::*;
use crate::store::{Append, NotStored};
use crate::wire::schema::{RecordKind, Role};

const GRACE_MS: u64 = 3_600_000;
const WALL_MS: u64 = 1_790_000_000_000;

fn at(mono_ms: u64, wall_ms: u64) -> Now {
    Now { mono_ms, wall_ms }
}

/// Removes, slice by slice, all that is due; gives the number of slices.
fn sweep(store: &mut Store, removal: &mut Removal, cutoff_ms: u64, rows_max: usize) -> usize {
    for slices in 1..10_000 {
        let Slice { changes, has_more, unreadable } = removal.stage(&store.disk, cutoff_ms, rows_max);
        assert!(changes.len() <= 3 * rows_max, "{} changes", changes.len());
        assert!(unreadable.is_none(), "{unreadable:?}");
        store.disk.write(changes).unwrap();
        if !has_more {
            return slices;
        }
    }
    panic!("it does not end");
}

fn sweep_all(store: &mut Store, cutoff_ms: u64) {
    sweep(store, &mut Removal::new(0), cutoff_ms, 100);
}

/// The seqs of the records that are there, and of those whose place is kept.
fn log(store: &Store) -> (Vec<u64>, Vec<u64>) {
    let (mut records, mut removed) = (Vec::new(), Vec::new());
    for row in store.all() {
        match row {
            Row::Log { record, .. } => records.push(record.seq),
            Row::Removed { seq, .. } => removed.push(seq),
            _ => {}
        }
    }
    (records, removed)
}

fn expiring(seq: u64, expires_ms: u64) -> Append {
    Append { expires_ms, ..append(&direct(), seq, message("")) }
}

// ---- when

#[test]
fn nothing_is_due_for_a_grace_period_after_the_start() {
    let mut removal = Removal::new(GRACE_MS);
    assert_eq!(removal.due(at(1, WALL_MS)), None);
    assert_eq!(removal.due(at(GRACE_MS, WALL_MS + GRACE_MS - 1)), None);
    assert_eq!(removal.due(at(GRACE_MS + 1, WALL_MS + GRACE_MS)), Some(WALL_MS));
    assert_eq!(removal.due(at(GRACE_MS + 5001, WALL_MS + GRACE_MS + 5000)), Some(WALL_MS + 5000));
}

#[test]
fn a_jump_of_the_clock_takes_the_trust_away_for_a_grace_period() {
    for jump in [JUMP_MS as i64 + 1, -(JUMP_MS as i64) - 1, 365 * 86_400_000, -365 * 86_400_000] {
        let mut removal = Removal::new(GRACE_MS);
        removal.due(at(1, WALL_MS));
        let start = 1 + GRACE_MS;
        assert!(removal.due(at(start, WALL_MS + GRACE_MS)).is_some());
        let wall = |mono: u64| (WALL_MS + mono - 1).checked_add_signed(jump).unwrap();
        assert_eq!(removal.due(at(start + 1, wall(start + 1))), None, "{jump}");
        assert_eq!(removal.due(at(start + GRACE_MS, wall(start + GRACE_MS))), None, "{jump}");
        let end = start + GRACE_MS + 1;
        assert_eq!(removal.due(at(end, wall(end))), Some(wall(end) - GRACE_MS), "{jump}");
        // Put right again: that is a jump too.
        assert_eq!(removal.due(at(end + 1, WALL_MS + end)), None);
    }
}

#[test]
fn a_clock_that_drifts_is_trusted_and_small_steps_add_up() {
    let mut removal = Removal::new(0);
    removal.due(at(1, WALL_MS));
    // One part in a thousand: 3.6 s an hour, for ten days.
    for minute in 1..14_400 {
        let mono = minute * 60_000;
        assert!(removal.due(at(mono, WALL_MS + mono + mono / 1000)).is_some(), "minute {minute}");
    }
    let mut removal = Removal::new(GRACE_MS);
    removal.due(at(1, WALL_MS));
    removal.due(at(GRACE_MS + 1, WALL_MS + GRACE_MS));
    assert!(removal.due(at(GRACE_MS + 2, WALL_MS + GRACE_MS + 40_000)).is_some());
    assert!(removal.due(at(GRACE_MS + 3, WALL_MS + GRACE_MS + 80_000)).is_none());
}

// ---- records

#[test]
fn what_is_due_goes_and_nothing_else() {
    let mut store = Store::default();
    for seq in 1..=4 {
        store.append(expiring(seq, 1000 * seq)).unwrap();
    }
    store.put(&direct(), 5, message("stays"));
    sweep_all(&mut store, 1999);
    assert_eq!(log(&store).0, [2, 3, 4, 5]);
    sweep_all(&mut store, 3000);
    assert_eq!(log(&store), (vec![4, 5], vec![]));
    assert_eq!(store.expiries(), [(4000, Doomed::Record(4))]);
    sweep_all(&mut store, u64::MAX);
    assert_eq!((log(&store), store.expiries()), ((vec![5], vec![]), vec![]));
}

#[test]
fn the_last_record_leaves_its_place() {
    let mut store = Store::default();
    store.append(expiring(1, 1000)).unwrap();
    store.append(expiring(2, 1000)).unwrap();
    sweep_all(&mut store, 5000);
    assert_eq!(log(&store), (vec![], vec![2]));
    assert_eq!(store.expiries(), [(5000 + END_AGAIN_MS, Doomed::Record(2))]);
    // It is the end still.
    sweep_all(&mut store, 5000 + END_AGAIN_MS);
    assert_eq!(store.expiries(), [(5000 + 2 * END_AGAIN_MS, Doomed::Record(2))]);
    for _ in 0..2 {
        store.restart();
        assert_eq!(store.append(Append { log: 9, ..expiring(2, 0) }), Err(NotStored::Failed));
    }
    store.put(&direct(), 3, message(""));
    sweep_all(&mut store, u64::MAX - END_AGAIN_MS);
    assert_eq!((log(&store), store.expiries()), ((vec![3], vec![]), vec![]));
}

#[test]
fn the_last_to_come_may_be_the_first_to_go() {
    let mut store = Store::default();
    store.append(expiring(1, 3000)).unwrap();
    store.append(expiring(2, 1000)).unwrap();
    sweep_all(&mut store, 1000);
    assert_eq!(log(&store), (vec![1], vec![2]));
    sweep_all(&mut store, 3000);
    assert_eq!(log(&store), (vec![], vec![2]));
}

#[test]
fn what_is_gone_already_only_loses_its_expiry() {
    let mut store = Store::default();
    (1..=3).for_each(|seq| store.append(expiring(seq, 9000)).unwrap());
    store.now.wall_ms = 5000;
    store.execute(0, put_head(&direct(), EPOCH, 3));
    sweep_all(&mut store, 5000);
    assert_eq!(log(&store).0, [3]);
    sweep_all(&mut store, 9000);
    assert_eq!(log(&store), (vec![], vec![3]));
}

// ---- ranges

fn begun_at(first: u64, count: u64) -> Store {
    let mut store = Store::default();
    (1..=count).for_each(|seq| store.put(&direct(), seq, message("")));
    store.now.wall_ms = 5000;
    store.execute(0, put_head(&direct(), EPOCH, first));
    store
}

#[test]
fn what_is_below_the_first_goes_in_slices() {
    for rows_max in [1, 2, 7, 100] {
        let mut store = begun_at(21, 30);
        assert_eq!(sweep(&mut store, &mut Removal::new(0), 4999, rows_max), 1);
        assert_eq!(log(&store).0.len(), 30);
        let slices = sweep(&mut store, &mut Removal::new(0), 5000, rows_max);
        assert!(slices > 20 / rows_max, "{slices} slices of {rows_max}");
        assert_eq!(log(&store), ((21..=30).collect(), vec![]));
        assert_eq!(store.expiries(), []);
        assert_eq!(store.head().unwrap().first, 21);
        store.restart();
        store.put(&direct(), 31, message(""));
    }
}

#[test]
fn a_log_that_begins_behind_its_end_keeps_its_end() {
    for rows_max in [1, 3, 100] {
        let mut store = begun_at(11, 10);
        sweep(&mut store, &mut Removal::new(0), 5000, rows_max);
        assert_eq!(log(&store), (vec![], vec![10]));
        assert_eq!(store.expiries(), [(5000 + END_AGAIN_MS, Doomed::Record(10))]);
        store.restart();
        store.put(&direct(), 11, message(""));
        sweep_all(&mut store, 5000 + END_AGAIN_MS);
        assert_eq!((log(&store), store.expiries()), ((vec![11], vec![]), vec![]));
    }
}

#[test]
fn a_range_never_reaches_what_is_shown() {
    let mut store = begun_at(3, 9);
    // Whoever wrote this was wrong.
    store.disk.damage(&rows::expiry_key(&Expiry::of(1, place(&direct()), Doomed::Below(8))), &rows::expiry_value());
    store.disk.damage(&rows::expiry_key(&Expiry::of(1, place(&direct()), Doomed::Whole)), &rows::expiry_value());
    sweep_all(&mut store, 5000);
    assert_eq!((log(&store).0, store.expiries()), ((3..=9).collect(), vec![]));
    assert!(store.head().is_some());
}

#[test]
fn a_slice_that_was_not_written_is_found_again() {
    for lost in 0..30 {
        let mut store = begun_at(21, 30);
        let mut removal = Removal::new(0);
        for slice in 0.. {
            let Slice { changes, has_more, .. } = removal.stage(&store.disk, 5000, 4);
            if slice != lost {
                store.disk.write(changes).unwrap();
                if !has_more {
                    break;
                }
            }
        }
        sweep(&mut store, &mut removal, 5000, 4);
        assert_eq!((log(&store).0, store.expiries()), ((21..=30).collect(), vec![]), "{lost}");
    }
}

#[test]
fn several_ranges_do_not_hinder_each_other() {
    let mut store = begun_at(21, 30);
    for seq in 1..=30 {
        store.put(&group(), seq, if seq == 1 { change(RecordKind::created, None, Role::owner, "") } else { message("") });
    }
    store.execute(0, put_head(&group(), EPOCH, 11));
    store.execute(0, put_head(&direct(), EPOCH, 25));
    for rows_max in [1, 3, 16] {
        let mut copy = Store { disk: store.disk.clone(), ..Store::default() };
        sweep(&mut copy, &mut Removal::new(0), 5000, rows_max);
        let (mut seqs, _) = log(&copy);
        seqs.sort_unstable();
        let mut expected: Vec<u64> = (11..=30).chain(25..=30).collect();
        expected.sort_unstable();
        assert_eq!((seqs, copy.expiries()), (expected, vec![]), "{rows_max}");
    }
}

// ---- whole logs

/// A group with ten records, three members and two receipts was disbanded, and founded anew by bob with ann.
fn refounded() -> Store {
    let mut store = founded();
    store.now.wall_ms = 5000;
    for (seq, user) in (2..).zip(["bob", "cat"]) {
        store.put(&group(), seq, change(RecordKind::added, Some(user), Role::member, ""));
    }
    (4..=9).for_each(|seq| store.put(&group(), seq, message("")));
    store.execute(0, receipts(&group(), Durability::Fsync, &[("ann", 4, 4), ("cat", 5, 5)]));
    store.put(&group(), 10, change(RecordKind::disbanded, None, Role::none, ""));
    let again = |seq, content: Content| {
        let append = append(&group(), seq, content);
        Append { log: 1, place: LogPlace { incarnation: EPOCH + 1, ..append.place }, ..append }
    };
    store.append(again(1, change(RecordKind::created, None, Role::owner, "again"))).unwrap();
    store.append(again(2, change(RecordKind::added, Some("dan"), Role::member, ""))).unwrap();
    store
}

#[test]
fn a_disbanded_group_goes_as_a_whole_and_the_next_one_stays() {
    for rows_max in [1, 2, 5, 100] {
        let mut store = refounded();
        assert_eq!(store.members().len(), 4, "ann again, and dan");
        sweep(&mut store, &mut Removal::new(0), 4999, rows_max);
        assert_eq!(log(&store).0.len(), 12);
        sweep(&mut store, &mut Removal::new(0), 5000, rows_max);
        assert_eq!((log(&store), store.expiries()), ((vec![1, 2], vec![]), vec![]));
        assert_eq!(store.members(), [("ann".into(), Role::owner, 1), ("dan".into(), Role::member, 2)]);
        assert_eq!(store.receipts(), []);
        assert_eq!(store.head().unwrap().incarnation, EPOCH + 1);
    }
}

#[test]
fn of_a_disbanded_group_nothing_stays() {
    let mut store = founded();
    store.put(&group(), 2, Content { body: Bytes::new(), ..change(RecordKind::disbanded, None, Role::none, "") });
    sweep_all(&mut store, u64::MAX);
    assert_eq!(store.disk.len(), 0);
}

#[test]
fn what_expires_in_a_log_that_ended_leaves_no_place() {
    let mut store = founded();
    assert_eq!(store.append(Append { expires_ms: 3000, ..append(&group(), 2, message("")) }), Ok(()));
    store.now.wall_ms = 5000;
    let last = append(&group(), 3, change(RecordKind::disbanded, None, Role::none, ""));
    assert_eq!(store.append(Append { expires_ms: 4000, ..last }), Ok(()));
    sweep_all(&mut store, 4000);
    assert_eq!(log(&store), (vec![1], vec![]));
    sweep_all(&mut store, 5000);
    assert_eq!(store.disk.len(), 0);
}

// ---- bad rows

#[test]
fn rows_that_make_no_sense_stay_and_do_not_stop_the_rest() {
    let mut store = Store::default();
    store.append(expiring(1, 1000)).unwrap();
    store.put(&direct(), 2, message(""));
    let mut of_a_later_version = rows::expiry_key(&Expiry::of(500, place(&direct()), Doomed::Whole));
    *of_a_later_version.last_mut().unwrap() = 77;
    store.disk.damage(&of_a_later_version, &[1]);
    let mut removal = Removal::new(0);
    let Slice { changes, has_more, unreadable } = removal.stage(&store.disk, 1000, 10);
    assert_eq!(unreadable.unwrap().key, of_a_later_version);
    assert!(!has_more);
    store.disk.write(changes).unwrap();
    assert_eq!(store.disk.get(&rows::log_key(place(&direct()), 1)).unwrap(), None);

    // A head that cannot be read: whether the log is in use is not known, so its end stays.
    let mut store = Store::default();
    store.append(expiring(1, 1000)).unwrap();
    store.disk.damage(&rows::head_key(place(&direct()).row), &[1]);
    let Slice { changes, has_more, unreadable } = Removal::new(0).stage(&store.disk, 1000, 1);
    assert!(changes.is_empty() && !has_more && unreadable.is_some());

    store.disk.set_unreadable(true);
    let Slice { changes, has_more, unreadable } = Removal::new(0).stage(&store.disk, 1000, 1);
    assert!(changes.is_empty() && !has_more && unreadable.is_some());
}

#[test]
fn a_member_that_makes_no_sense_outlives_his_group() {
    let mut store = founded();
    store.put(&group(), 2, change(RecordKind::disbanded, None, Role::none, ""));
    let key = rows::member_key(place(&group()).row, "bob");
    store.disk.damage(&key, &[7]);
    let mut removal = Removal::new(0);
    for _ in 0..10 {
        let changes = removal.stage(&store.disk, u64::MAX, 3).changes;
        store.disk.write(changes).unwrap();
    }
    assert_eq!(store.disk.rows().map(|(key, _)| key).collect::<Vec<_>>(), [&key[..]]);
}

#[test]
fn rows_that_were_removed_are_not_searched_again() {
    let mut store = Store::default();
    store.append(expiring(1, 1000)).unwrap();
    store.put(&direct(), 2, message(""));
    let mut removal = Removal::new(0);
    assert!(removal.due(at(1, 2000)).is_some());
    sweep(&mut store, &mut removal, 2000, 10);
    sweep(&mut store, &mut removal, 2000, 10);
    assert_eq!(removal.none_before_ms, 2000);
    // One that was late is found within the hour.
    assert_eq!(store.append(expiring(3, 1500)), Ok(()));
    store.put(&direct(), 4, message(""));
    sweep(&mut store, &mut removal, 2000, 10);
    assert_eq!(log(&store).0, [2, 3, 4]);
    assert!(removal.due(at(1 + ANCHOR_MS, 2000 + ANCHOR_MS)).is_some());
    sweep(&mut store, &mut removal, 2000, 10);
    assert_eq!(log(&store).0, [2, 4]);
}

/// However it is sliced, and however often it starts again, the end is the same.
#[test]
fn removal_changes_neither_beginning_nor_end() {
    let keys: Vec<Key> = vec![direct(), group(), Key::direct("x", "y")];
    for rows_max in 1..12 {
        let mut store = Store::default();
        for (i, key) in (0..).zip(&keys) {
            for seq in 1..=20 + i {
                let content = match (key == &group(), seq) {
                    (true, 1) => change(RecordKind::created, None, Role::owner, ""),
                    _ => message("x"),
                };
                let expires_ms = if (seq + i) % 3 == 0 { 100 * seq } else { 0 };
                store.append(Append { expires_ms, log: i as u32, ..append(key, seq, content) }).unwrap();
            }
            store.now.wall_ms = 500;
            store.execute(0, put_head(key, EPOCH, 5 + 8 * i));
        }
        let heads = |store: &Store| {
            let head = |row| if let Row::Head { head, .. } = row { Some(head) } else { None };
            store.all().into_iter().filter_map(head).collect::<Vec<HeadRow>>()
        };
        let before = heads(&store);
        for cutoff in (0..2500).step_by(250) {
            sweep(&mut store, &mut Removal::new(0), cutoff, rows_max);
            store.restart();
        }
        assert_eq!(heads(&store), before);
        for (i, key) in (0..).zip(&keys) {
            assert_eq!(store.append(append(key, 21 + i, message("next"))), Ok(()), "{key:?}, slices of {rows_max}");
        }
        let left = store.disk.len();
        sweep(&mut store, &mut Removal::new(0), 2500, 100);
        assert_eq!(store.disk.len(), left);
    }
}
