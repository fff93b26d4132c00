//! Records about groups: heads and members follow them.

use super::*;
use crate::store::rows::MemberRow;

#[test]
fn a_group_is_founded_with_its_owner() {
    let store = founded();
    let head = store.head().unwrap();
    assert_eq!((&head.title[..], head.flags), (&b"title"[..], flags::OPEN));
    assert_eq!(store.members(), [("ann".into(), Role::owner, 1)]);
}

#[test]
fn members_come_and_go_with_their_records() {
    let mut store = founded();
    let subject = |kind, user, role| change(kind, Some(user), role, "");
    store.put(&group(), 2, subject(RecordKind::added, "bob", Role::admin));
    store.put(&group(), 3, subject(RecordKind::joined, "cat", Role::member));
    let member = |name: &str, role, joined| (name.to_owned(), role, joined);
    assert_eq!(store.members(), [member("ann", Role::owner, 1), member("bob", Role::admin, 2), member("cat", Role::member, 3)]);
    store.put(&group(), 4, subject(RecordKind::role, "cat", Role::admin));
    store.put(&group(), 5, subject(RecordKind::removed, "bob", Role::none));
    assert_eq!(store.members(), [member("ann", Role::owner, 1), member("cat", Role::admin, 3)], "the role only");
    store.put(&group(), 6, subject(RecordKind::left, "cat", Role::none));
    store.put(&group(), 7, subject(RecordKind::role, "cat", Role::owner));
    assert_eq!(store.members(), [member("ann", Role::owner, 1)], "whoever is no member gets no role");
    // Nor one of an earlier group of this name, whom the sweeper has not met yet.
    let former = MemberRow { incarnation: EPOCH - 1, role: Role::member, joined: 5 };
    store.disk.damage(&rows::member_key(place(&group()).row, "dan"), &former.value());
    store.put(&group(), 8, subject(RecordKind::role, "dan", Role::owner));
    assert_eq!(store.members(), [member("ann", Role::owner, 1), member("dan", Role::member, 5)]);
}

#[test]
fn a_change_sees_what_the_same_batch_has_changed() {
    let mut store = Store::default();
    let created = change(RecordKind::created, None, Role::owner, "old");
    store.stage(0, Command::Append(append(&group(), 1, created)));
    store.stage(0, Command::Append(append(&group(), 2, change(RecordKind::added, Some("bob"), Role::member, ""))));
    store.stage(0, Command::Append(append(&group(), 3, change(RecordKind::role, Some("bob"), Role::admin, ""))));
    store.stage(0, Command::Append(append(&group(), 4, change(RecordKind::title, None, Role::none, "new"))));
    store.stage(0, put_head(&group(), EPOCH + 1, 2));
    store.commit();
    assert_eq!(store.members(), [("ann".into(), Role::owner, 1), ("bob".into(), Role::admin, 2)]);
    let head = store.head().unwrap();
    assert_eq!((&head.title[..], head.epoch, head.first), (&b"new"[..], EPOCH + 1, 2));
}

#[test]
fn who_joins_again_has_no_receipts() {
    let mut store = founded();
    let bob = |kind| change(kind, Some("bob"), Role::member, "");
    store.put(&group(), 2, bob(RecordKind::joined));
    store.execute(0, receipts(&group(), Durability::Os, &[("ann", 2, 1), ("bob", 2, 2)]));
    store.put(&group(), 3, bob(RecordKind::left));
    assert_eq!(store.receipts(), [("ann".into(), 2, 1)]);
    // It was on its way when he left.
    store.execute(0, receipts(&group(), Durability::Os, &[("bob", 2, 2)]));
    store.put(&group(), 4, bob(RecordKind::joined));
    assert_eq!(store.receipts(), [("ann".into(), 2, 1)]);
}

#[test]
fn a_disbanded_group_is_gone_and_stays_gone() {
    let mut store = founded();
    store.now.wall_ms = 7000;
    store.put(&group(), 2, change(RecordKind::disbanded, None, Role::none, ""));
    assert_eq!(store.head(), None);
    assert_eq!(store.expiries(), [(7000, Doomed::Whole)]);
    let next = |log| Append { log, ..append(&group(), 3, message("late")) };
    assert_eq!(store.append(next(1)), Err(NotStored::Failed));
    store.restart();
    assert_eq!(store.append(next(2)), Err(NotStored::Failed), "by its rows");
    store.execute(0, put_head(&group(), EPOCH + 1, 2));
    assert_eq!(store.head(), None, "no head comes back");
}

#[test]
fn a_group_may_be_founded_anew_in_the_batch_that_disbands_it() {
    let mut store = founded();
    store.stage(0, Command::Append(append(&group(), 2, change(RecordKind::disbanded, None, Role::none, ""))));
    let again = append(&group(), 1, change(RecordKind::created, None, Role::owner, "again"));
    let incarnation = EPOCH + 9;
    let record = Arc::new(Record { epoch: incarnation, ..(*again.record).clone() });
    let place = LogPlace { incarnation, ..again.place };
    store.stage(0, Command::Append(Append { log: 1, place, record, ..again }));
    store.commit();
    let head = store.head().unwrap();
    assert_eq!((head.incarnation, head.epoch, &head.title[..]), (incarnation, incarnation, &b"again"[..]));
    let old = Expiry { due_ms: store.now.wall_ms, ..Expiry::of(0, super::place(&group()), Doomed::Whole) };
    assert_eq!(store.all().into_iter().filter(|row| matches!(row, Row::Expiry(_))).collect::<Vec<_>>(), [Row::Expiry(old)]);
    assert_eq!(store.append(Append { log: 1, place, ..append(&group(), 2, message("")) }), Ok(()));
}

#[test]
fn another_log_of_a_conversation_dooms_the_one_before() {
    let mut store = Store::default();
    store.put(&direct(), 1, message("old"));
    let again = append(&direct(), 1, message("new"));
    let place = LogPlace { incarnation: EPOCH + 9, ..again.place };
    assert_eq!(store.append(Append { log: 1, place, ..again }), Ok(()));
    assert_eq!(store.head().unwrap().incarnation, EPOCH + 9);
    assert_eq!(store.expiries(), [(store.now.wall_ms, Doomed::Whole)]);
}
