//! Appends: what follows what, and what is refused.

use super::*;

#[test]
fn the_first_record_writes_the_head_and_the_others_do_not() {
    let mut store = Store::default();
    store.put(&direct(), 1, message("one"));
    let head =
        HeadRow { key: direct(), incarnation: EPOCH, epoch: EPOCH, first: 1, os_generation: 0, title: Bytes::new(), flags: 0 };
    assert_eq!(store.head(), Some(head));
    assert_eq!(store.disk.len(), 2);
    store.stage(0, Command::Append(append(&direct(), 2, message("two"))));
    assert_eq!(store.partition.batch().changes, 1);
    store.commit();
    let record = store.record(2).unwrap();
    assert_eq!((&record.content.body[..], record.time_ms, &*record.sender), (&b"two"[..], 1002, "ann"));
}

#[test]
fn only_what_follows_is_appended() {
    let mut store = Store::default();
    assert_eq!(store.append(append(&direct(), 2, message(""))), Err(NotStored::Failed));
    assert_eq!(store.disk.len(), 0, "nothing of it is there");
    let again = |attempt, seq| Append { attempt, ..append(&direct(), seq, message("")) };
    assert_eq!(store.append(again(1, 1)), Ok(()));
    assert_eq!(store.append(again(1, 1)), Err(NotStored::Failed));
    assert_eq!(store.append(again(2, 3)), Err(NotStored::Failed));
    assert_eq!(store.append(again(3, 2)), Ok(()));
    assert_eq!(store.append(again(3, 3)), Ok(()));
}

#[test]
fn what_the_cache_forgot_is_looked_up() {
    let mut store = Store::default();
    let keys: Vec<Key> = (0..10).map(|i| Key::new("", Address::Topic(&format!("t{i}")))).collect();
    for seq in 1..=5 {
        for key in &keys {
            store.put(key, seq, message(""));
        }
        assert!(store.partition.logs.len() <= 6, "two generations of two, and one more each");
    }
    store.restart();
    keys.iter().for_each(|key| store.put(key, 6, message("")));
    assert_eq!(store.append(Append { log: 9, ..append(&keys[3], 6, message("")) }), Err(NotStored::Failed));
}

#[test]
fn an_old_term_is_refused() {
    let mut store = Store::default();
    assert_eq!(store.append(Append { term: TERM - 1, ..append(&direct(), 1, message("")) }), Err(NotStored::Failed));
    assert_eq!(store.append(append(&direct(), 1, message(""))), Err(NotStored::Failed), "the same attempt");
    assert_eq!(store.append(Append { term: TERM + 1, attempt: 1, ..append(&direct(), 1, message("")) }), Ok(()));
}

#[test]
fn a_refusal_holds_for_its_attempt_its_log_and_its_shard() {
    let mut store = Store::default();
    let topic = Key::new("", Address::Topic("news"));
    let attempt = |attempt, key: &Key, log, seq| Command::Append(Append { attempt, log, ..append(key, seq, message("")) });
    store.stage(0, attempt(5, &direct(), 0, 1));
    store.stage(0, attempt(5, &direct(), 0, 3));
    // It would follow, but the one before it was refused.
    store.stage(0, attempt(5, &direct(), 0, 2));
    store.stage(0, attempt(4, &direct(), 0, 2));
    store.stage(0, attempt(5, &topic, 1, 1));
    store.stage(1, attempt(5, &topic, 0, 2));
    store.stage(0, attempt(6, &direct(), 0, 2));
    let results: Vec<_> = store
        .commit()
        .into_iter()
        .map(|(from, outcome)| match outcome {
            Outcome::Appended { log, attempt, seq, result } => (from, log, attempt, seq, result.is_ok()),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        (0, 0, 5, 1, true),
        (0, 0, 5, 3, false),
        (0, 0, 5, 2, false),
        (0, 0, 4, 2, false),
        (0, 1, 5, 1, true),
        (1, 0, 5, 2, true),
        (0, 0, 6, 2, true),
    ];
    assert_eq!(results, expected);
    assert!(store.partition.refused.is_empty(), "the newer attempt has ended it");
}

#[test]
fn a_forgotten_log_is_refused_no_more() {
    let mut store = Store::default();
    assert_eq!(store.append(append(&direct(), 2, message(""))), Err(NotStored::Failed));
    store.stage(0, Command::Forget(0));
    assert_eq!(store.append(append(&direct(), 1, message(""))), Ok(()));
}

#[test]
fn what_expires_says_so() {
    let mut store = Store::default();
    store.put(&direct(), 1, message(""));
    assert_eq!(store.append(Append { expires_ms: 9000, ..append(&direct(), 2, message("")) }), Ok(()));
    assert_eq!(store.expiries(), [(9000, Doomed::Record(2))]);
}

#[test]
fn a_message_that_is_taken_back_loses_its_body() {
    let mut store = Store::default();
    let secret = Content { client_id: Some("c1".into()), tag: Some("red".into()), ..message("secret") };
    let retracted = |target| Content { target, ..change(RecordKind::retracted, None, Role::none, "") };
    store.put(&direct(), 1, secret);
    store.put(&direct(), 2, retracted(1));
    let record = store.record(1).unwrap();
    assert_eq!((&record.content.body[..], record.content.flags), (&b""[..], flags::RETRACTED));
    assert_eq!((record.content.client_id.as_deref(), record.content.tag.as_deref()), (Some("c1"), Some("red")));
    assert_eq!(store.record(2).unwrap().content.target, 1);
    // In the same batch: the body does not even get to the disk.
    store.stage(0, Command::Append(append(&direct(), 3, message("secret"))));
    store.stage(0, Command::Append(append(&direct(), 4, retracted(3))));
    let batch = store.partition.batch();
    store.commit();
    assert_eq!(store.record(3).unwrap().content.flags, flags::RETRACTED);
    assert_eq!(batch.changes, 2);
    assert!(!store.disk.rows().any(|(_, value)| value.windows(6).any(|w| w == b"secret")));
    // One that is gone, and one that was emptied.
    store.put(&direct(), 5, retracted(99));
    assert_eq!(store.record(99), None);
    store.disk.damage(&rows::log_key(place(&direct()), 3), &rows::removed_value(5));
    store.put(&direct(), 6, retracted(3));
    assert_eq!(store.record(3), None);
}

#[test]
fn the_batch_knows_its_bytes() {
    let mut store = Store::default();
    let retracted = Content { target: 1, ..change(RecordKind::retracted, None, Role::none, "") };
    store.stage(0, Command::Append(append(&direct(), 1, message("secret"))));
    store.stage(0, Command::Append(append(&direct(), 2, retracted)));
    store.stage(0, Command::Hint(hint("ann", &direct(), 9)));
    store.stage(0, strike("ann", &direct()));
    let batch = store.partition.batch();
    let changes = store.partition.take_batch();
    let bytes = changes.iter().map(|change| change.key.len() + change.value.as_ref().map_or(0, Vec::len)).sum();
    assert_eq!(batch, Batch { commands: 4, changes: changes.len(), bytes, must_sync: true });
    assert_eq!(store.partition.batch(), Batch { commands: 4, changes: 0, bytes: 0, must_sync: false });
}
