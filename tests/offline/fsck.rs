//! `campanile fsck`: what is sound, what is not, and what `--cut` makes of it.

use campanile::conversation::Key;
use campanile::offline::Directory;
use campanile::store::rows::{self, CursorsRow, HeadRow, MemberRow, ReceiptRow, UserRow};
use campanile::wire::schema::Role;

use super::campanile;
use super::house::{Builder, EPOCH, House, PARTITIONS, cut, flip, group, text, topic, used};

fn sound(house: &House) {
    campanile(&["fsck", house.arg()]).expect(0, &["sound\n"]);
}

/// It must find this, and `--cut` must put it right.
fn repaired(house: &House, parts: &[&str]) -> String {
    campanile(&["fsck", house.arg()]).expect(1, parts).expect(1, &["damage: ", "damaged; "]);
    let said = campanile(&["fsck", house.arg(), "--cut"]).expect(0, &["done: ", "sound\n"]).out;
    sound(house);
    said
}

/// The epoch that a conversation has when it is loaded; 0: a new one.
fn epoch(house: &House, key: &Key) -> Option<u64> {
    let mut epoch = None;
    house.tamper(|builder| {
        let generation = builder.directory.manifest.os_generation();
        let row = builder.directory.slots.row(key.bytes());
        let head = builder.get(key.bytes(), &rows::head_key(row)).map(|value| HeadRow::read(&value).unwrap());
        epoch = head.map(|head| if [0, generation].contains(&head.os_generation) { head.epoch } else { 0 });
    });
    epoch
}

#[test]
fn what_the_server_writes_is_sound() {
    let house = House::furnished();
    let said = campanile(&["fsck", house.arg()]).expect(0, &["2 partitions, 0 repairs", "sound\n"]).out;
    assert!(!said.contains("warning:") && !said.contains("damage:"), "{said}");
    let sum = |column: usize| -> u64 {
        let lines = said.lines().skip(2).take(PARTITIONS.into());
        lines.map(|line| line.split_whitespace().nth(column).unwrap().parse::<u64>().unwrap()).sum()
    };
    // Conversations, records, members, receipts, users, entries, cursors.
    assert_eq!([1, 2, 4, 5, 6, 7, 8].map(sum), [5, 8 + 20 + 1 + 3 + 1, 2, 4, 5, 7, 2], "{said}");
    // Also by the settings, and twice, and with --cut: it changes nothing.
    let by_setting = campanile(&["fsck", "--data-dir", house.arg()]).expect(0, &[]).out;
    assert_eq!(by_setting, said);
    let cut = campanile(&["fsck", "--cut", house.arg()]).expect(0, &[]).out;
    assert_eq!(cut, said);
    assert_eq!(epoch(&house, &group("team")), Some(EPOCH));
}

#[test]
fn what_cannot_be_looked_at_is_told_apart_from_damage() {
    let house = House::furnished();
    let nothing = house.beside("nothing");
    campanile(&["fsck", super::arg(&nothing)]).expect(2, &["no data directory", "data_dir"]);
    assert!(!nothing.exists());
    let held = Directory::open(&house.dir).unwrap();
    let pid = std::process::id().to_string();
    for arguments in [&["fsck"][..], &["fsck", "--cut"], &["export"], &["import", "--in", "Cargo.toml"]] {
        let arguments = [arguments, &[house.arg()]].concat();
        let part = if arguments[0] == "import" { "line 1" } else { &pid };
        campanile(&arguments).expect(2, &[part]);
    }
    drop(held);
    campanile(&["fsck", house.arg(), "--shards", "many"]).expect(2, &["shards"]);
    campanile(&["fsck", house.arg(), "--paste"]).expect(2, &["--paste"]);
    std::fs::write(house.dir.join("manifest.toml"), "format = 7\n").unwrap();
    campanile(&["fsck", house.arg()]).expect(2, &["newer"]);
}

#[test]
fn a_journal_that_is_damaged_is_cut_and_its_conversations_begin_a_new_epoch() {
    let house = House::furnished();
    let direct = Key::direct("alice", "bob");
    let partition = house.partition_of(direct.bytes());
    let journal = house.journal(partition);
    flip(&journal, used(&journal) / 2);
    let partition = format!("partition {partition}");
    let said = repaired(&house, &[&partition, "further on says that it had been synced"]);
    assert!(said.contains("is given up") && said.contains("1 repairs so far"), "{said}");
    for key in [direct, group("team"), topic("news")] {
        let of_cut = format!("partition {}", house.partition_of(key.bytes())) == partition;
        let epoch = epoch(&house, &key);
        assert!(if of_cut { epoch.is_none_or(|epoch| epoch == 0) } else { epoch == Some(EPOCH) }, "{key:?}: {epoch:?}");
    }
}

#[test]
fn an_end_that_was_synced_is_missed_and_one_that_was_torn_is_not() {
    let house = House::furnished();
    let journal = house.journal(0);
    cut(&journal, used(&journal) - 3);
    let said = repaired(&house, &["partition 0", "had been synced"]);
    assert!(said.contains("conversations begin a new epoch"), "{said}");
    let torn = house.journal(1);
    let file = std::fs::OpenOptions::new().write(true).open(&torn).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[1, 9, 9, 9], used(&torn)).unwrap();
    campanile(&["fsck", house.arg()])
        .expect(0, &["warning: partition 1", "4 bytes of an end that nobody was told of", "sound\n"]);
}

#[test]
fn a_table_that_cannot_be_read_is_left_out_and_kept() {
    let house = House::empty();
    let mut builder = Builder::new(&house.dir);
    builder.furnish();
    // More than one memory table holds, so that there are tables.
    let key = group("big");
    builder.hint("alice", &key);
    let created =
        campanile::conversation::Content::change(campanile::wire::schema::RecordKind::created, None, Role::none, "".into());
    builder.append("alice", &key, created);
    (0..90).for_each(|_| builder.append("alice", &key, text(&"long ".repeat(100_000), "")));
    builder.close();
    let partition = house.partition_of(key.bytes());
    let tables = house.dir.join(format!("partition-{partition}/keyspaces/1/tables"));
    let table = std::fs::read_dir(tables).unwrap().next().unwrap().unwrap().path();
    flip(&table, std::fs::metadata(&table).unwrap().len() / 2);
    let said = repaired(&house, &["the disk does not give it"]);
    assert!(said.contains("rows could be read and stand in a new database"), "{said}");
    assert!(house.dir.join(format!("partition-{partition}.damaged")).is_dir() && !house.dir.join("salvage").exists());
    assert_eq!(epoch(&house, &key), Some(0));
    let left = campanile(&["export", house.arg(), "--conversation", "group:big"]).expect(0, &[]).out;
    let records = left.lines().filter(|line| line.contains("\"thing\":\"record\"")).count();
    assert!((80..91).contains(&records), "{records}");
}

#[test]
fn a_partition_that_is_missing_can_only_be_restored() {
    let house = House::furnished();
    std::fs::rename(house.dir.join("partition-1"), house.beside("aside")).unwrap();
    for arguments in [&["fsck"][..], &["fsck", "--cut"]] {
        campanile(&[arguments, &[house.arg()]].concat()).expect(1, &["partition 1 is missing", "restore it from a backup"]);
    }
    std::fs::rename(house.beside("aside"), house.dir.join("partition-1")).unwrap();
    sound(&house);
}

#[test]
fn rows_that_make_no_sense_are_named_and_given_up() {
    let house = House::furnished();
    let direct = Key::direct("alice", "bob");
    house.tamper(|builder| {
        let place = |key: &Key| campanile::store::LogPlace { row: builder.directory.slots.row(key.bytes()), incarnation: EPOCH };
        let (direct_place, team) = (place(&direct), place(&group("team")));
        builder.put(direct.bytes(), &rows::log_key(direct_place, 7), Some(b"\x09nonsense".to_vec()));
        builder.put(group("team").bytes(), &rows::receipt_key(team.row, "bob"), Some(b"\x01".to_vec()));
    });
    let said = repaired(
        &house,
        &[
            "record 7 of direct:alice+bob: the value has an unknown version",
            "the receipt of bob in group:team: the value is cut off",
        ],
    );
    assert!(said.contains("2 rows are removed"), "{said}");
    assert_eq!(epoch(&house, &direct), Some(0));
    let left = campanile(&["export", house.arg(), "--conversation", "direct:alice+bob"]).expect(0, &[]).out;
    assert!(left.contains("message 6") && !left.contains("message 7\"") && left.contains("message 20"), "{left}");
}

#[test]
fn rows_that_do_not_agree_are_found_and_put_right() {
    let house = House::furnished();
    let (team, direct) = (group("team"), Key::direct("alice", "bob"));
    house.tamper(|builder| {
        let slots = builder.directory.slots;
        let (team_row, direct_row) = (slots.row(team.bytes()), slots.row(direct.bytes()));
        let alice = slots.row(b"alice");
        let member = |role, joined| Some(MemberRow { incarnation: EPOCH, role, joined }.value());
        // Bob has lost his role, carol is there again, dave never joined, and alice is gone.
        builder.put(team.bytes(), &rows::member_key(team_row, "bob"), member(Role::member, 2));
        builder.put(team.bytes(), &rows::member_key(team_row, "carol"), member(Role::member, 3));
        builder.put(team.bytes(), &rows::member_key(team_row, "dave"), member(Role::owner, 5));
        builder.put(team.bytes(), &rows::member_key(team_row, "alice"), None);
        let receipt = ReceiptRow { incarnation: EPOCH, delivered: 21, read: 3 };
        builder.put(direct.bytes(), &rows::receipt_key(direct_row, "bob"), Some(receipt.value()));
        let user = UserRow { id: "alice".into(), last_number: 1, count: 9 };
        builder.put(b"alice", &rows::user_key(alice), Some(user.value()));
        builder.put(b"alice", &rows::cursors_key(alice, 77), Some(CursorsRow { epoch: 1, read: 1, devices: Vec::new() }.value()));
        // Of another partition.
        let far = (0..)
            .map(|n: u32| format!("far{n}"))
            .find(|id| slots.partition(slots.row(id.as_bytes()).slot) != slots.partition(alice.slot));
        let far = far.unwrap();
        let user = UserRow { id: far.as_str().into(), last_number: 0, count: 0 };
        builder.put(b"alice", &rows::user_key(slots.row(far.as_bytes())), Some(user.value()));
    });
    repaired(
        &house,
        &[
            "member bob of group:team: record 4 says otherwise",
            "member carol of group:team: record 7 has ended his membership",
            "member dave of group:team: record 5 should have made him a member, but does not",
            "member alice of group:team: record 1 has made him one, but he has no row",
            "the receipt of bob in direct:alice+bob: it goes beyond record 20",
            "user alice: his list has 2 entries, but his row says 9",
            "user alice: his list has the number 2, but his row says that 1 is the last",
            "of alice: they belong to no entry of his list",
            "it belongs to another partition",
        ],
    );
    house.tamper(|builder| {
        let row = builder.directory.slots.row(team.bytes());
        let mut member =
            |user| builder.get(team.bytes(), &rows::member_key(row, user)).map(|value| MemberRow::read(&value).unwrap());
        let of = |role, joined| Some(MemberRow { incarnation: EPOCH, role, joined });
        assert_eq!((member("bob"), member("alice")), (of(Role::admin, 2), of(Role::owner, 1)));
        assert_eq!((member("carol"), member("dave")), (None, None));
    });
    // No record is lost.
    assert_eq!(epoch(&house, &team), Some(EPOCH));
}

#[test]
fn who_would_not_hear_of_a_conversation_gets_it_into_his_list() {
    let house = House::furnished();
    let (team, direct) = (group("team"), Key::direct("alice", "bob"));
    house.tamper(|builder| {
        let slots = builder.directory.slots;
        let bob = slots.row(b"bob");
        for key in [&team, &direct] {
            builder.put(b"bob", &rows::entry_key(bob, slots.fingerprint(key.bytes())), None);
        }
        let row = UserRow { id: "bob".into(), last_number: 0, count: 0 };
        builder.put(b"bob", &rows::user_key(bob), Some(row.value()));
        builder.put(b"bob", &rows::cursors_key(bob, slots.fingerprint(direct.bytes())), None);
        // Dave's list has lost an old direct conversation, as full lists do.
        let dave = slots.row(b"dave");
        builder.put(b"dave", &rows::entry_key(dave, slots.fingerprint(Key::direct("a+b", "dave").bytes())), None);
        builder.put(b"dave", &rows::user_key(dave), Some(UserRow { id: "dave".into(), last_number: 5, count: 0 }.value()));
    });
    let said = repaired(
        &house,
        &[
            "group:team: the list of bob does not have it",
            "direct:alice+bob: the list of bob does not have it",
            "warning: ",
            "direct:a+b+dave: the list of dave does not have it; it may have left when the list was full",
        ],
    );
    assert!(said.contains("2 entries put into lists"), "{said}");
}

#[test]
fn a_user_whose_row_is_lost_is_found_by_his_conversations() {
    let house = House::furnished();
    house.tamper(|builder| {
        for user in ["alice", "carol"] {
            let row = builder.directory.slots.row(user.as_bytes());
            builder.put(user.as_bytes(), &rows::user_key(row), None);
        }
    });
    // Nobody knows carol: she has left her group, and all that is in her list is that.
    let said = repaired(&house, &["the list of alice", "its user has no row", "the list of an unknown user"]);
    assert!(said.contains("1 rows are removed, 1 put right"), "{said}");
    let lists = campanile(&["export", house.arg()]).expect(0, &[]).out;
    assert_eq!(lists.matches("\"thing\":\"listed\",\"user\":\"alice\"").count(), 2);
    assert!(!lists.contains("\"thing\":\"listed\",\"user\":\"carol\""));
}

#[test]
fn a_log_without_a_head_is_removed() {
    let house = House::furnished();
    let direct = Key::direct("alice", "bob");
    house.tamper(|builder| {
        let row = builder.directory.slots.row(direct.bytes());
        builder.put(direct.bytes(), &rows::head_key(row), None);
    });
    campanile(&["fsck", house.arg()]).expect(0, &["warning: ", "it has 22 rows, but no head, and nothing removes it"]);
    let said = campanile(&["fsck", "--cut", house.arg()]).expect(0, &["1 put right"]).out;
    assert!(!said.contains("warning:"), "{said}");
}
