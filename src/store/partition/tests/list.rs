//! Users' lists, and what must be synced.

use super::*;

#[test]
fn a_hint_is_given_one_number_and_keeps_it() {
    let mut store = Store::default();
    assert_eq!(store.hint("ann", &direct(), 9), Ok((1, None)));
    assert_eq!(store.hint("ann", &group(), 9), Ok((2, None)));
    assert_eq!(store.hint("ann", &direct(), 9), Ok((1, None)));
    assert_eq!((store.list(), store.user()), (vec![(1, direct()), (2, group())], (2, 2)));
    // What stands there needs no writing, what is new needs a sync.
    store.stage(0, Command::Hint(hint("ann", &group(), 9)));
    assert_eq!(store.partition.batch(), Batch { commands: 1, changes: 0, bytes: 0, must_sync: false });
    store.commit();
    store.stage(0, Command::Hint(hint("ann", &Key::direct("ann", "cat"), 9)));
    assert!(store.partition.batch().must_sync);
}

#[test]
fn hints_of_one_batch_know_of_each_other() {
    let mut store = Store::default();
    let with = |peer: &str| Key::direct("ann", peer);
    for key in [with("bob"), with("cat"), with("bob")] {
        store.stage(0, Command::Hint(hint("ann", &key, 2)));
    }
    store.stage(0, strike("ann", &with("bob")));
    store.stage(0, Command::Hint(hint("ann", &with("bob"), 2)));
    store.stage(0, Command::Hint(hint("ann", &with("dan"), 2)));
    let numbers: Vec<_> = store
        .commit()
        .into_iter()
        .map(|(_, outcome)| match outcome {
            Outcome::Hinted { result: Ok(listed), .. } => (listed.number, listed.dropped),
            Outcome::Struck => (0, None),
            other => panic!("{other:?}"),
        })
        .collect();
    let none = |number| (number, None);
    assert_eq!(numbers, [none(1), none(2), none(1), none(0), none(3), (4, Some(with("cat")))]);
    assert_eq!((store.list(), store.user()), (vec![(3, with("bob")), (4, with("dan"))], (4, 2)));
}

#[test]
fn a_full_list_lets_the_oldest_direct_conversation_go() {
    let mut store = Store::default();
    let with = |peer: &str| Key::direct("ann", peer);
    store.hint("ann", &group(), 3).unwrap();
    store.hint("ann", &with("bob"), 3).unwrap();
    store.hint("ann", &with("cat"), 3).unwrap();
    store.execute(0, Command::PutCursors(cursors("ann", &with("bob"), 5)));
    let other_group = Key::new("", Address::Group("club"));
    assert_eq!(store.hint("ann", &other_group, 3), Err(NotStored::ListFull));
    assert_eq!(store.hint("ann", &with("dan"), 3), Ok((4, Some(with("bob")))));
    assert_eq!((store.list().len(), store.user()), (3, (4, 3)));
    assert!(!store.all().iter().any(|row| matches!(row, Row::Cursors { .. })), "its cursors go with it");
    // Struck and back, it is the youngest.
    store.execute(0, strike("ann", &with("cat")));
    assert_eq!(store.hint("ann", &with("cat"), 3), Ok((5, None)));
    assert_eq!(store.hint("ann", &with("eve"), 3), Ok((6, Some(with("dan")))));
    assert_eq!(store.hint("ann", &with("fay"), 3), Ok((7, Some(with("cat")))));
    // Of another user nothing was touched, and a list of groups has nothing to let go.
    assert_eq!(store.hint("bob", &group(), 1), Ok((1, None)));
    assert_eq!(store.hint("bob", &with("bob"), 1), Err(NotStored::ListFull));
}

#[test]
fn a_long_full_list_is_not_searched_each_time() {
    let mut store = Store::default();
    let with = |peer: u32| Key::direct("ann", &format!("peer{peer}"));
    let full = 3 * 64;
    (1..=full).for_each(|peer| assert_eq!(store.hint("ann", &with(peer), full), Ok((peer, None))));
    for peer in full + 1..=2 * full {
        assert_eq!(store.hint("ann", &with(peer), full), Ok((peer, Some(with(peer - full)))));
        let left = store.partition.oldest[&slots().row(b"ann")].len() as u32;
        assert_eq!(left, 63 - (peer - full - 1) % 64, "looked at once for 64");
    }
}

#[test]
fn a_struck_entry_takes_its_cursors_along() {
    let mut store = Store::default();
    store.hint("ann", &direct(), 9).unwrap();
    store.execute(0, Command::PutCursors(cursors("ann", &direct(), 5)));
    assert_eq!(store.execute(0, strike("ann", &direct())), [Outcome::Struck]);
    assert_eq!((store.disk.len(), store.user()), (1, (1, 0)));
    store.stage(0, strike("ann", &direct()));
    assert_eq!(store.partition.batch(), Batch { commands: 1, changes: 0, bytes: 0, must_sync: false });
}

#[test]
fn cursors_need_their_entry() {
    let mut store = Store::default();
    let put = |read| Command::PutCursors(cursors("ann", &direct(), read));
    let outcome = |read| [Outcome::CursorsPut { put: cursors("ann", &direct(), read), result: Ok(()) }];
    assert_eq!(store.execute(0, put(5)), outcome(5));
    assert_eq!(store.disk.len(), 0);
    store.hint("ann", &direct(), 9).unwrap();
    assert_eq!(store.execute(0, put(5)), outcome(5));
    assert_eq!(store.execute(0, put(6)), outcome(6));
    let read = |row| if let Row::Cursors { cursors, .. } = row { Some((cursors.read, cursors.devices)) } else { None };
    assert_eq!(store.all().into_iter().filter_map(read).collect::<Vec<_>>(), [(6, vec![("phone".into(), 6)])]);
}

#[test]
fn what_was_promised_is_synced() {
    let mut store = Store::default();
    let must_sync = |store: &mut Store, command| {
        store.stage(0, command);
        let must = store.partition.batch().must_sync;
        store.commit();
        must
    };
    let reply = Reply { session: SessionKey { index: 0, generation: 0 }, reference: 1 };
    let promised = |read| Command::PutCursors(Box::new(PutCursors { replies: vec![reply], ..*cursors("ann", &direct(), read) }));
    assert!(must_sync(&mut store, Command::Append(append(&direct(), 1, message("")))));
    for seq in 1..=2 {
        let os = Append { log: 1, durability: Durability::Os, ..append(&Key::direct("x", "y"), seq, message("")) };
        assert!(!must_sync(&mut store, Command::Append(os)));
    }
    assert!(!must_sync(&mut store, promised(1)), "it is void");
    assert!(must_sync(&mut store, Command::Hint(hint("ann", &direct(), 9))));
    assert!(must_sync(&mut store, promised(2)));
    assert!(!must_sync(&mut store, Command::PutCursors(cursors("ann", &direct(), 3))));
    assert!(must_sync(&mut store, receipts(&direct(), Durability::Fsync, &[("ann", 1, 1)])));
    assert!(!must_sync(&mut store, receipts(&direct(), Durability::Os, &[("ann", 2, 2)])));
    assert!(!must_sync(&mut store, put_head(&direct(), EPOCH, 2)));
    assert!(!must_sync(&mut store, strike("ann", &direct())));
    // One that must is enough.
    store.stage(0, receipts(&direct(), Durability::Fsync, &[("ann", 3, 3)]));
    assert!(must_sync(&mut store, receipts(&direct(), Durability::Os, &[("ann", 4, 4)])));
}
