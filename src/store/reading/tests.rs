//! What is read back of what a writer has written.

use super::*;
use crate::conversation::{Content, Durability};
use crate::id::Address;
use crate::mesh::{Read, ReadFor};
use crate::store::rows::Row;
use crate::store::simulated::Store;
use crate::store::simulated::commands::*;
use crate::store::{Append, Asked, NotStored, Why};
use crate::wire::schema::{Direction, RecordKind, Role};

fn range(key: &Key, (from, to): (u64, u64), records_max: u32, bytes_max: u64, backward: bool) -> ReadRange {
    let read = Read {
        key: key.clone(),
        user: "ann".into(),
        purpose: ReadFor::Mirror,
        cursor: (EPOCH, 0),
        limit: 0,
        direction: Direction::forward,
    };
    let asked = Asked { shard: 3, epoch: EPOCH + 7, read, gap: false, start: from, taken_back: 0 };
    let (place, durability) = (place(key), Durability::Fsync);
    ReadRange { log: 4, place, durability, from, to, records_max, bytes_max, backward, asked }
}

/// The seqs of a range.
fn seqs(store: &mut Store, range: ReadRange) -> Vec<u64> {
    match store.read(Command::Read(Box::new(range))).as_slice() {
        [Outcome::Range { log: 4, records: Ok(records), .. }] => records.iter().map(|record| record.seq).collect(),
        other => panic!("{other:?}"),
    }
}

fn load(key: &Key) -> Load {
    Load {
        log: 4,
        key: key.clone(),
        row: place(key).row,
        durability: Durability::Fsync,
        recent_after_ms: 0,
        recent_max: 0,
        sizes_up_to: 0,
    }
}

type Rest = Result<Option<Box<StoredConversation>>, NotRead>;

/// The members, and the rest.
fn loaded(store: &mut Store, load: Load) -> (Vec<(Name, Member)>, Rest) {
    let mut outcomes = store.read(Command::Load(Box::new(load)));
    let Some(Outcome::Loaded { log: 4, result }) = outcomes.pop() else { panic!("the last outcome says that it is loaded") };
    let members = outcomes.into_iter().flat_map(|outcome| match outcome {
        Outcome::Members { log: 4, members } => {
            assert!((1..=CHUNK).contains(&members.len()));
            members
        }
        other => panic!("{other:?}"),
    });
    (members.collect(), result)
}

fn stored(store: &mut Store, load: Load) -> StoredConversation {
    *loaded(store, load).1.expect("it can be read").expect("it is there")
}

fn listed(store: &mut Store, user: &str) -> Vec<StoredEntry> {
    let load = LoadUser { user: user.into(), row: slots().row(user.as_bytes()), index: 5, generation: 6 };
    let mut outcomes = store.read(Command::LoadUser(Box::new(load)));
    assert_eq!(outcomes.pop(), Some(Outcome::UserLoaded { index: 5, generation: 6, result: Ok(()) }));
    let entries = outcomes.into_iter().flat_map(|outcome| match outcome {
        Outcome::Entries { index: 5, generation: 6, entries } => {
            assert!((1..=CHUNK).contains(&entries.len()));
            entries
        }
        other => panic!("{other:?}"),
    });
    entries.collect()
}

// ---- ranges

fn log_of(count: u64, bytes: usize) -> Store {
    let mut store = Store::default();
    (1..=count).for_each(|seq| store.put(&direct(), seq, message(&"x".repeat(bytes))));
    store
}

#[test]
fn a_range_is_read_from_either_end() {
    let mut store = log_of(9, 10);
    // Neighbours that must not be read along: another log of the same conversation, and another conversation.
    store.put(&group(), 1, message(""));
    let mut read = |from_to, max, backward| seqs(&mut store, range(&direct(), from_to, max, 1 << 20, backward));
    assert_eq!(read((3, 6), 100, false), [3, 4, 5, 6]);
    assert_eq!(read((3, 6), 2, false), [3, 4]);
    assert_eq!(read((3, 6), 2, true), [5, 6]);
    assert_eq!(read((3, 6), 100, true), [3, 4, 5, 6]);
    assert_eq!(read((0, u64::MAX), 100, false), (1..=9).collect::<Vec<_>>());
    assert_eq!(read((10, 20), 5, false), Vec::<u64>::new());
    assert_eq!(read((6, 3), 5, true), Vec::<u64>::new());
    assert_eq!(read((9, 9), 5, true), [9]);
}

#[test]
fn a_record_comes_back_as_it_was() {
    let mut store = Store::default();
    let content = Content {
        client_id: Some("c1".into()),
        content_type: Some("text/markdown".into()),
        tag: Some("red".into()),
        ttl_ms: 5,
        ..message("hello")
    };
    let append = append(&direct(), 1, content);
    let expected = Record { epoch: EPOCH + 7, ..(*append.record).clone() };
    assert_eq!(store.append(append), Ok(()));
    let asked = range(&direct(), (1, 1), 1, 1, false);
    let outcomes = store.read(Command::Read(Box::new(asked.clone())));
    let records = Ok(vec![Arc::new(expected)]);
    assert_eq!(outcomes, [Outcome::Range { log: 4, records, asked: asked.asked }], "in the epoch that was asked for");
}

#[test]
fn a_range_has_its_bytes_but_always_one_record() {
    let mut store = log_of(5, 1000);
    let one = store.record(1).unwrap().memory_bytes() as u64;
    let mut read = |bytes, backward| seqs(&mut store, range(&direct(), (1, 5), 100, bytes, backward));
    assert_eq!(read(1, false), [1]);
    assert_eq!(read(0, true), [5]);
    assert_eq!(read(2 * one, false), [1, 2]);
    assert_eq!(read(3 * one - 1, true), [4, 5]);
}

#[test]
fn holes_are_left_out() {
    let mut store = log_of(5, 10);
    store.disk.erase(&rows::log_key(place(&direct()), 2));
    store.disk.damage(&rows::log_key(place(&direct()), 4), &rows::removed_value(7));
    assert_eq!(seqs(&mut store, range(&direct(), (1, 5), 2, 1 << 20, false)), [1, 3]);
    assert_eq!(seqs(&mut store, range(&direct(), (1, 5), 2, 1 << 20, true)), [3, 5]);
}

#[test]
fn a_damaged_record_fails_the_range_and_is_named() {
    let mut store = log_of(3, 10);
    let key = rows::log_key(place(&direct()), 2);
    store.disk.damage(&key, b"\x01\x00");
    let outcomes = store.read(Command::Read(Box::new(range(&direct(), (1, 3), 9, 1 << 20, false))));
    assert!(matches!(&outcomes[..], [Outcome::Range { records: Err(NotRead), .. }]), "{outcomes:?}");
    assert_eq!(store.unreadable[0].key, key);
    assert!(matches!(store.unreadable[0].why, Why::Damaged(Damaged("the value is cut off"))));
    assert_eq!(seqs(&mut store, range(&direct(), (1, 1), 9, 1 << 20, false)), [1], "what is sound can be read");
    store.disk.set_unreadable(true);
    store.read(Command::Read(Box::new(range(&direct(), (1, 1), 9, 1 << 20, false))));
    assert!(matches!(store.unreadable[1].why, Why::Disk(_)));
}

// ---- conversations

#[test]
fn what_is_not_there_is_not_loaded() {
    let mut store = Store::default();
    assert_eq!(loaded(&mut store, load(&direct())), (Vec::new(), Ok(None)));
    store.put(&group(), 1, change(RecordKind::created, None, Role::owner, "t"));
    store.put(&group(), 2, change(RecordKind::disbanded, None, Role::none, ""));
    assert_eq!(loaded(&mut store, load(&group())), (Vec::new(), Ok(None)));
}

#[test]
fn a_direct_conversation_is_loaded() {
    let mut store = log_of(3, 10);
    store.execute(0, receipts(&direct(), Durability::Fsync, &[("bob", 3, 2)]));
    let expected = StoredConversation {
        incarnation: EPOCH,
        epoch: EPOCH,
        first: 1,
        committed: 3,
        last_time_ms: 1003,
        receipts: vec![("bob".into(), 3, 2)],
        ..StoredConversation::default()
    };
    assert_eq!(stored(&mut store, load(&direct())), expected);
    let stale = ReceiptRow { incarnation: EPOCH - 1, delivered: 9, read: 9 };
    store.disk.damage(&rows::receipt_key(place(&direct()).row, "ann"), &stale.value());
    assert_eq!(stored(&mut store, load(&direct())), expected, "a receipt of another log is void");
    let alone = Key::direct("ann", "ann");
    store.put(&alone, 1, message(""));
    store.execute(0, receipts(&alone, Durability::Fsync, &[("ann", 1, 1)]));
    assert_eq!(stored(&mut store, load(&alone)).receipts, [("ann".into(), 1, 1)], "once");
}

#[test]
fn where_a_log_ends_is_known_whatever_is_left_of_it() {
    let mut store = log_of(3, 10);
    let ends = |store: &mut Store| {
        let StoredConversation { first, committed, last_time_ms, .. } = stored(store, load(&direct()));
        (first, committed, last_time_ms)
    };
    store.disk.damage(&rows::log_key(place(&direct()), 3), &rows::removed_value(1003));
    assert_eq!(ends(&mut store), (1, 3, 1003));
    store.execute(0, put_head(&direct(), EPOCH, 4));
    assert_eq!(ends(&mut store), (4, 3, 1003));
    (1..=3).for_each(|seq| store.disk.erase(&rows::log_key(place(&direct()), seq)));
    assert_eq!(ends(&mut store), (4, 3, 0));
    let mut store = log_of(3, 10);
    store.execute(0, put_head(&direct(), EPOCH, 9));
    assert_eq!(ends(&mut store), (9, 8, 1003), "behind its last row");
}

#[test]
fn a_group_is_loaded_with_its_members_in_chunks() {
    let mut store = Store::default();
    let created = change(RecordKind::created, None, Role::owner, "title");
    store.put(&group(), 1, Content { flags: crate::conversation::flags::OPEN, ..created });
    let name = |i: u64| format!("user{i:05}");
    let count = 2 * CHUNK as u64 + 3;
    for seq in 2..=count {
        let added = Content { subject: Some(name(seq).into()), ..change(RecordKind::added, None, Role::member, "") };
        store.stage(0, Command::Append(append(&group(), seq, added)));
    }
    store.commit();
    // Receipts of some, of one who is no member, and of another incarnation; members of another incarnation.
    store.execute(
        0,
        receipts(&group(), Durability::Os, &[("ann", 5, 4), (&name(2), 7, 6), ("nobody", 1, 1), (&name(count), 9, 8)]),
    );
    let row = place(&group()).row;
    let stale = ReceiptRow { incarnation: 1, delivered: 99, read: 99 };
    store.disk.damage(&rows::receipt_key(row, &name(3)), &stale.value());
    let stale = MemberRow { incarnation: 1, role: Role::owner, joined: 1 };
    for user in ["aaron", "user00100x", "zoe"] {
        store.disk.damage(&rows::member_key(row, user), &stale.value());
    }

    let (members, result) = loaded(&mut store, load(&group()));
    let conversation = result.unwrap().unwrap();
    assert_eq!((&conversation.title[..], conversation.flags), (&b"title"[..], crate::conversation::flags::OPEN));
    assert_eq!((conversation.committed, conversation.receipts.len()), (count, 0));
    assert_eq!(members.len() as u64, count);
    assert!(members.is_sorted_by_key(|(name, _)| name.clone()));
    assert_eq!(members[0], ("ann".into(), Member { role: Role::owner, joined: 1, delivered: 5, read: 4 }));
    assert_eq!(members[1], (name(2).into(), Member { role: Role::member, joined: 2, delivered: 7, read: 6 }));
    assert_eq!(members[2], (name(3).into(), Member { role: Role::member, joined: 3, delivered: 0, read: 0 }));
    assert_eq!(members.last().unwrap().1, Member { role: Role::member, joined: count, delivered: 9, read: 8 });
}

#[test]
fn members_that_fill_a_chunk_exactly_are_loaded_once() {
    for count in [CHUNK as u64 - 1, CHUNK as u64, CHUNK as u64 + 1] {
        let mut store = Store::default();
        store.put(&group(), 1, change(RecordKind::created, None, Role::owner, ""));
        for seq in 2..=count {
            let subject = Some(format!("u{seq}").into());
            let added = Content { subject, ..change(RecordKind::added, None, Role::member, "") };
            store.stage(0, Command::Append(append(&group(), seq, added)));
        }
        store.commit();
        assert_eq!(loaded(&mut store, load(&group())).0.len() as u64, count);
    }
}

#[test]
fn recent_client_ids_are_loaded_within_their_bounds() {
    let mut store = Store::default();
    for seq in 1..=9 {
        // Every third has none.
        let client_id = (seq % 3 != 0).then(|| format!("c{seq}").into());
        store.put(&direct(), seq, Content { client_id, ..message("") });
    }
    let mut recent = |recent_after_ms, recent_max| {
        let recent = stored(&mut store, Load { recent_after_ms, recent_max, ..load(&direct()) }).recent;
        recent.iter().for_each(|r| assert_eq!((&*r.sender, r.time_ms), ("ann", 1000 + r.seq)));
        recent.iter().for_each(|r| assert_eq!(*r.client_id, *format!("c{}", r.seq)));
        recent.into_iter().map(|r| r.seq).collect::<Vec<_>>()
    };
    assert_eq!(recent(0, 100), [1, 2, 4, 5, 7, 8]);
    assert_eq!(recent(1005, 100), [5, 7, 8]);
    assert_eq!(recent(0, 3), [5, 7, 8]);
    assert_eq!(recent(0, 0), Vec::<u64>::new());
    assert_eq!(recent(9999, 100), Vec::<u64>::new());
    // What was taken back, and what is not shown any more, was published all the same.
    store.put(&direct(), 10, Content { target: 8, ..change(RecordKind::retracted, None, Role::none, "") });
    store.execute(0, put_head(&direct(), EPOCH, 8));
    let recent = stored(&mut store, Load { recent_max: 100, ..load(&direct()) }).recent;
    assert_eq!(recent.len(), 6);
}

#[test]
fn sizes_are_loaded_up_to_their_sum() {
    let mut store = Store::default();
    (1..=5).for_each(|seq| store.put(&direct(), seq, message(&"x".repeat(100 * seq as usize))));
    store.disk.damage(&rows::log_key(place(&direct()), 4), &rows::removed_value(1004));
    let sizes = |store: &mut Store, sizes_up_to| stored(store, Load { sizes_up_to, ..load(&direct()) }).sizes;
    assert_eq!(sizes(&mut store, 1 << 20), [(1, 100), (2, 200), (3, 300), (5, 500)]);
    assert_eq!(sizes(&mut store, 501), [(3, 300), (5, 500)], "with the one that is too many");
    assert_eq!(sizes(&mut store, 500), [(5, 500)]);
    assert_eq!(sizes(&mut store, 0), []);
    store.execute(0, put_head(&direct(), EPOCH, 3));
    assert_eq!(sizes(&mut store, 1 << 20), [(3, 300), (5, 500)], "of what is shown");
    let both = stored(&mut store, Load { sizes_up_to: 1, recent_max: 9, ..load(&direct()) });
    assert_eq!(both.sizes, [(5, 500)]);
}

#[test]
fn what_may_have_been_lost_with_the_machine_gets_a_new_epoch() {
    let mut store = log_of(1, 10);
    let epoch = |store: &mut Store, durability| stored(store, Load { durability, ..load(&direct()) }).epoch;
    store.crash(|all| all);
    assert_eq!(epoch(&mut store, Durability::Os), EPOCH, "all of it was synced");
    let os = |seq| Append { durability: Durability::Os, ..append(&direct(), seq, message("")) };
    assert_eq!(store.append(os(2)), Ok(()));
    store.restart();
    assert_eq!(epoch(&mut store, Durability::Os), EPOCH, "the process alone loses nothing");
    store.append(os(3)).unwrap();
    store.crash(|_| 0);
    // What was written before the restart was synced by it.
    let conversation = stored(&mut store, Load { durability: Durability::Os, ..load(&direct()) });
    assert_eq!((conversation.epoch, conversation.incarnation, conversation.committed), (0, EPOCH, 2));
    assert_eq!(epoch(&mut store, Durability::Fsync), 0, "also if it is under fsync by now");
    store.execute(0, put_head(&direct(), EPOCH + 3, 1));
    assert_eq!(epoch(&mut store, Durability::Os), EPOCH + 3);
    store.put(&direct(), 3, message("synced"));
    store.crash(|all| all);
    assert_eq!(epoch(&mut store, Durability::Os), EPOCH + 3, "nothing without a sync since");
}

#[test]
fn a_damaged_conversation_is_not_loaded() {
    let row = place(&group()).row;
    let other = rows::HeadRow {
        key: direct(),
        incarnation: EPOCH,
        epoch: EPOCH,
        first: 1,
        os_generation: 0,
        title: Default::default(),
        flags: 0,
    };
    let damages: [(Vec<u8>, Vec<u8>); 5] = [
        (rows::head_key(row).into(), vec![1]),
        (rows::head_key(row).into(), other.value()),
        (rows::log_key(place(&group()), 1).into(), vec![9]),
        (rows::member_key(row, "ann"), vec![1, 3]),
        (rows::receipt_key(row, "ann"), vec![]),
    ];
    for (key, value) in damages {
        let mut store = founded();
        store.disk.damage(&key, &value);
        assert_eq!(loaded(&mut store, load(&group())).1, Err(NotRead));
        assert_eq!(store.unreadable.len(), 1);
        assert_eq!(store.unreadable[0].key, key);
    }
}

// ---- lists

#[test]
fn a_list_is_loaded_in_its_order_with_its_cursors() {
    let mut store = Store::default();
    assert_eq!(listed(&mut store, "ann"), []);
    let with = |peer: u32| Key::direct("ann", &format!("peer{peer}"));
    let count = CHUNK as u32 + 10;
    (1..=count).for_each(|peer| store.stage(0, Command::Hint(hint("ann", &with(peer), count))));
    store.stage(0, Command::Hint(hint("bob", &direct(), 9)));
    for peer in [3, 700, count] {
        store.stage(0, Command::PutCursors(cursors("ann", &with(peer), peer.into())));
    }
    store.commit();
    store.execute(0, strike("ann", &with(5)));
    let list = listed(&mut store, "ann");
    assert_eq!(list.len() as u32, count - 1);
    assert!(list.is_sorted_by_key(|entry| entry.number));
    for StoredEntry { key, number, epoch, read, devices } in list {
        assert_eq!(key, with(number));
        let expected = if [3, 700, count].contains(&number) {
            (EPOCH, number.into(), vec![("phone".into(), u64::from(number))])
        } else {
            (0, 0, Vec::new())
        };
        assert_eq!((epoch, read, devices), expected, "{number}");
    }
    assert_eq!(listed(&mut store, "bob").len(), 1);
}

#[test]
fn cursors_without_their_entry_are_left_out() {
    let mut store = Store::default();
    assert_eq!(store.hint("ann", &group(), 9), Ok((1, None)));
    let row = slots().row(b"ann");
    let cursors = CursorsRow { epoch: 1, read: 2, devices: Vec::new() }.value();
    for fingerprint in [0, u128::MAX] {
        store.disk.damage(&rows::cursors_key(row, fingerprint), &cursors);
    }
    let expected = StoredEntry { key: group(), number: 1, epoch: 0, read: 0, devices: Vec::new() };
    assert_eq!(listed(&mut store, "ann"), [expected]);
}

#[test]
fn a_damaged_list_is_not_loaded() {
    let mut store = Store::default();
    assert_eq!(store.hint("ann", &group(), 9), Ok((1, None)));
    let row = slots().row(b"ann");
    let key = rows::entry_key(row, slots().row(group().bytes()).fingerprint);
    store.disk.damage(&key, &[1]);
    let load = LoadUser { user: "ann".into(), row, index: 5, generation: 6 };
    let outcomes = store.read(Command::LoadUser(Box::new(load)));
    assert_eq!(outcomes, [Outcome::UserLoaded { index: 5, generation: 6, result: Err(NotRead) }]);
    assert_eq!(store.unreadable[0].key, key);
    assert_eq!(store.hint("ann", &group(), 9), Err(NotStored::Failed), "nor hinted again");
    assert!(store.disk.rows().any(|(k, v)| rows::describe(k, v).is_ok_and(|row| matches!(row, Row::User { .. }))));
}

#[test]
fn a_topic_is_loaded_without_people() {
    let mut store = Store::default();
    let topic = Key::new("", Address::Topic("news"));
    store.put(&topic, 1, message("x"));
    let (members, result) = loaded(&mut store, load(&topic));
    assert_eq!((members, result.unwrap().unwrap().committed), (Vec::new(), 1));
}
