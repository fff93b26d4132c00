//! Full disks, failed writes, damaged rows.

use super::*;

#[test]
fn a_full_disk_stops_what_adds_and_nothing_else() {
    let mut store = founded();
    store.hint("ann", &group(), 9).unwrap();
    store.partition.set_disk_full(true);
    assert_eq!(store.append(append(&group(), 2, message(""))), Err(NotStored::DiskFull));
    assert_eq!(store.hint("ann", &direct(), 9), Err(NotStored::DiskFull));
    assert_eq!(store.hint("ann", &group(), 9), Ok((1, None)));
    store.execute(0, receipts(&group(), Durability::Fsync, &[("ann", 1, 1)]));
    assert_eq!(store.receipts(), [("ann".into(), 1, 1)]);
    store.execute(0, put_head(&group(), EPOCH + 1, 1));
    assert_eq!(store.head().unwrap().epoch, EPOCH + 1);
    store.execute(0, strike("ann", &group()));
    assert_eq!(store.list(), []);
    store.partition.set_disk_full(false);
    assert_eq!(store.append(append(&group(), 2, message(""))), Err(NotStored::DiskFull), "for the same reason");
    assert_eq!(store.append(Append { attempt: 1, ..append(&group(), 2, message("")) }), Ok(()));
    assert_eq!(store.hint("ann", &direct(), 9), Ok((2, None)));
}

/// Everything that a batch can do to rows that were there.
fn everything() -> Vec<Command> {
    let added = change(RecordKind::added, Some("bob"), Role::member, "");
    let retracted = Content { target: 2, ..change(RecordKind::retracted, None, Role::none, "") };
    vec![
        Command::Append(Append { expires_ms: 5, ..append(&group(), 3, added) }),
        Command::Append(append(&group(), 4, change(RecordKind::title, None, Role::none, "other"))),
        Command::Append(append(&group(), 5, retracted)),
        put_head(&group(), EPOCH + 1, 2),
        receipts(&group(), Durability::Fsync, &[("ann", 2, 2)]),
        Command::Hint(hint("ann", &Key::direct("ann", "cat"), 2)),
        strike("ann", &group()),
        Command::PutCursors(cursors("ann", &Key::direct("ann", "cat"), 3)),
        Command::Append(append(&group(), 6, change(RecordKind::disbanded, None, Role::none, ""))),
    ]
}

fn before_everything() -> Store {
    let mut store = founded();
    store.put(&group(), 2, message("to be taken back"));
    store.execute(0, receipts(&group(), Durability::Os, &[("ann", 1, 1)]));
    store.hint("ann", &direct(), 2).unwrap();
    store.hint("ann", &group(), 2).unwrap();
    store.execute(0, Command::PutCursors(cursors("ann", &direct(), 1)));
    store
}

#[test]
fn a_failed_batch_leaves_nothing_and_tells_everyone() {
    for failed_is_there in [false, true] {
        let mut store = before_everything();
        store.failed_is_there = failed_is_there;
        let before: Vec<_> = store.disk.rows().map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
        store.disk.fail_write_after(0);
        everything().into_iter().for_each(|command| store.stage(0, command));
        let failed: Vec<_> = store.commit().into_iter().map(|(_, outcome)| is_failed(&outcome)).collect();
        let f = Some(true);
        assert_eq!(failed, [f, f, f, None, f, f, None, f, f]);
        let after: Vec<_> = store.disk.rows().map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
        assert!(before == after, "{failed_is_there}");
        // The same attempt is over; the next takes the same number, and lists begin where they were.
        assert_eq!(store.append(append(&group(), 3, message(""))), Err(NotStored::Failed));
        assert_eq!(store.append(Append { attempt: 1, ..append(&group(), 3, message("")) }), Ok(()));
        assert_eq!(store.hint("ann", &Key::direct("ann", "dan"), 2), Ok((3, Some(direct()))));
    }
}

#[test]
fn the_same_batch_without_a_failure_does_it_all() {
    let mut store = before_everything();
    everything().into_iter().for_each(|command| store.stage(0, command));
    assert!(store.commit().iter().all(|(_, outcome)| is_failed(outcome) != Some(true)));
    assert_eq!(store.head(), None);
    assert_eq!(store.list(), [(3, Key::direct("ann", "cat"))]);
    assert_eq!(store.user(), (3, 1));
    let due = store.now.wall_ms;
    assert_eq!(store.expiries(), [(5, Doomed::Record(3)), (due, Doomed::Whole), (due, Doomed::Below(2))]);
}

fn is_failed(outcome: &Outcome) -> Option<bool> {
    match outcome {
        Outcome::Appended { result, .. } => Some(result.is_err()),
        Outcome::Hinted { result, .. } => Some(result.is_err()),
        Outcome::ReceiptsPut { result, .. } | Outcome::CursorsPut { result, .. } => Some(result.is_err()),
        _ => None,
    }
}

#[test]
fn a_batch_that_fails_keeps_the_reasons_that_were_there() {
    let mut store = Store::default();
    store.partition.set_disk_full(true);
    store.stage(0, Command::Append(append(&direct(), 1, message(""))));
    store.partition.set_disk_full(false);
    store.stage(0, Command::Append(Append { log: 1, ..append(&group(), 1, message("")) }));
    let why: Vec<_> = store
        .partition
        .failed(NotStored::Failed)
        .into_iter()
        .map(|(_, outcome)| if let Outcome::Appended { result, .. } = outcome { result.unwrap_err() } else { unreachable!() })
        .collect();
    assert_eq!(why, [NotStored::DiskFull, NotStored::Failed]);
    assert_eq!(store.partition.batch(), Batch { commands: 0, changes: 0, bytes: 0, must_sync: false });
    assert_eq!(store.disk.len(), 0);
}

#[test]
fn a_command_that_cannot_be_read_for_fails_and_leaves_nothing() {
    let mut store = before_everything();
    store.restart();
    store.disk.set_unreadable(true);
    everything().into_iter().for_each(|command| store.stage(0, command));
    assert_eq!(store.unreadable.len(), 5, "receipts read nothing, nor does what follows a refusal");
    assert_eq!(store.partition.batch().changes, 1, "the receipts");
    store.disk.set_unreadable(false);
    let failed: Vec<_> = store.commit().into_iter().map(|(_, outcome)| is_failed(&outcome)).collect();
    let (f, ok) = (Some(true), Some(false));
    assert_eq!(failed, [f, f, f, None, ok, f, None, f, f]);
}

#[test]
fn a_damaged_row_is_named_and_nothing_is_built_on_it() {
    let mut store = before_everything();
    let head_key = rows::head_key(place(&group()).row);
    store.disk.damage(&head_key, b"\x01nonsense");
    let before = store.disk.len();
    // The log is known, so a message needs no head; a title does.
    assert_eq!(store.append(append(&group(), 3, message(""))), Ok(()));
    assert_eq!(store.append(append(&group(), 4, change(RecordKind::title, None, Role::none, "x"))), Err(NotStored::Failed));
    assert_eq!(store.disk.len(), before + 1, "not even its record");
    assert_eq!(store.unreadable.len(), 1);
    assert_eq!(store.unreadable[0].key, head_key);
    assert!(store.unreadable[0].to_string().starts_with("row "), "{}", store.unreadable[0]);
    store.disk.damage(&rows::log_key(place(&group()), 2), b"\x01");
    let retracted = Content { target: 2, ..change(RecordKind::retracted, None, Role::none, "") };
    assert_eq!(store.append(Append { attempt: 1, ..append(&group(), 4, retracted) }), Err(NotStored::Failed));
    assert_eq!(store.unreadable[1].key, rows::log_key(place(&group()), 2));
}

#[test]
#[should_panic(expected = "no result yet")]
fn nothing_is_staged_while_a_batch_is_written() {
    let mut store = Store::default();
    store.partition.take_batch();
    store.stage(0, Command::Forget(0));
}
