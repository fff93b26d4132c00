//! Heads: where a log begins, and which run of the machine may have lost something.

use super::*;

#[test]
fn a_head_begins_later_and_what_is_below_is_doomed() {
    let mut store = Store::default();
    (1..=3).for_each(|seq| store.put(&direct(), seq, message("")));
    store.now.wall_ms = 5000;
    assert_eq!(store.execute(0, put_head(&direct(), EPOCH, 3)), [Outcome::HeadPut]);
    assert_eq!((store.head().unwrap().first, store.expiries()), (3, vec![(5000, Doomed::Below(3))]));
    store.execute(0, put_head(&direct(), EPOCH + 1, 2));
    let head = store.head().unwrap();
    assert_eq!((head.epoch, head.first, head.incarnation), (EPOCH + 1, 3, EPOCH), "it never begins earlier again");
    assert_eq!(store.expiries().len(), 1);
    store.put(&direct(), 4, message("in the new epoch, in the same rows"));
    assert!(!store.partition.batch().must_sync);
}

#[test]
fn the_next_seq_survives_the_removal_of_all_records() {
    let mut store = Store::default();
    (1..=3).for_each(|seq| store.put(&direct(), seq, message("")));
    store.execute(0, put_head(&direct(), EPOCH, 4));
    for seq in 1..=3 {
        let removal = Change { key: rows::log_key(place(&direct()), seq).to_vec(), value: None };
        crate::store::engine::WriteRows::write(&mut store.disk, vec![removal]).unwrap();
    }
    store.restart();
    assert_eq!(store.append(append(&direct(), 3, message(""))), Err(NotStored::Failed));
    assert_eq!(store.append(Append { attempt: 1, ..append(&direct(), 4, message("")) }), Ok(()));
}

#[test]
fn a_log_goes_on_where_its_head_says() {
    let mut store = Store::default();
    (1..=3).for_each(|seq| store.put(&direct(), seq, message("")));
    // It has lost its end, and what was shown of it is not given again.
    store.execute(0, put_head(&direct(), EPOCH + 1, 9));
    assert_eq!(store.append(append(&direct(), 4, message(""))), Err(NotStored::Failed));
    assert_eq!(store.append(Append { attempt: 1, ..append(&direct(), 9, message("")) }), Ok(()));
}

#[test]
fn a_head_without_a_log_is_not_put() {
    let mut store = Store::default();
    assert_eq!(store.execute(0, put_head(&direct(), EPOCH, 4)), [Outcome::HeadPut]);
    assert_eq!(store.disk.len(), 0);
    store.put(&direct(), 1, message(""));
}

#[test]
fn a_head_knows_the_run_of_the_machine_that_may_have_lost_something() {
    let mut store = Store::default();
    let os = |seq| Append { durability: Durability::Os, ..append(&direct(), seq, message("")) };
    let generation = |store: &Store| store.head().unwrap().os_generation;
    store.put(&direct(), 1, message("synced"));
    assert_eq!(generation(&store), 0);
    store.stage(0, Command::Append(os(2)));
    // Lost with this record, the head would not know that there was one.
    assert_eq!((store.partition.batch().must_sync, store.partition.batch().changes), (true, 2));
    store.commit();
    assert_eq!(generation(&store), 1);
    store.stage(0, Command::Append(os(3)));
    assert_eq!((store.partition.batch().must_sync, store.partition.batch().changes), (false, 1), "once is enough");
    store.commit();
    store.crash(|all| all);
    assert_eq!(store.append(os(4)), Err(NotStored::Failed), "not before it has another epoch");
    assert_eq!(store.append(append(&direct(), 4, message("synced"))), Err(NotStored::Failed), "the same attempt");
    assert_eq!(generation(&store), 1);
    let of_epoch = |epoch, attempt, seq| {
        let append = os(seq);
        Append { attempt, record: Arc::new(Record { epoch, ..(*append.record).clone() }), ..append }
    };
    assert_eq!(store.append(of_epoch(EPOCH + 1, 1, 4)), Ok(()), "whoever put it there");
    assert_eq!((generation(&store), store.head().unwrap().epoch), (2, EPOCH + 1));
    // A new epoch in the same run may lose something still, one in a later run begins with what is there.
    store.execute(0, put_head(&direct(), EPOCH + 2, 1));
    assert_eq!(generation(&store), 2);
    store.crash(|all| all);
    store.execute(0, put_head(&direct(), EPOCH + 2, 2));
    assert_eq!(generation(&store), 2, "the same epoch");
    store.execute(0, put_head(&direct(), EPOCH + 3, 2));
    assert_eq!(generation(&store), 0);
    store.stage(0, Command::Append(os(5)));
    assert!(store.partition.batch().must_sync, "what is kept of the log knows that it begins anew");
    store.commit();
    assert_eq!(generation(&store), 3);
    let topic = Key::new("", Address::Topic("news"));
    assert_eq!(store.append(Append { log: 1, durability: Durability::Os, ..append(&topic, 1, message("")) }), Ok(()));
    assert!(store.all().iter().any(|row| matches!(row, Row::Head { head, .. } if head.key == topic && head.os_generation == 3)));
}
