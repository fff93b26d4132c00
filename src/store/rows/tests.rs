//! Formats: what was written is read back, whatever is there is told apart from damage, and `tests/fixtures/store-v1` can be read for ever.

use proptest::prelude::*;

use super::*;
use crate::conversation::{Content, Key};
use crate::id::Address;
use crate::wire::schema::{RecordKind, Role};

const ROW: RowId = RowId { slot: 0x0a0b, fingerprint: 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10 };
const PLACE: LogPlace = LogPlace { row: ROW, incarnation: 0x1122 };

/// The bytes of a row.
fn encode(row: &Row) -> (Vec<u8>, Vec<u8>) {
    match row {
        Row::Head { row, head } => (head_key(*row).into(), head.value()),
        Row::Log { place, record } => (log_key(*place, record.seq).into(), record_value(record)),
        Row::Removed { place, seq, time_ms } => (log_key(*place, *seq).into(), removed_value(*time_ms)),
        Row::Member { row, user, member } => (member_key(*row, user), member.value()),
        Row::Receipt { row, user, receipt } => (receipt_key(*row, user), receipt.value()),
        Row::User { row, user } => (user_key(*row).into(), user.value()),
        Row::Entry { user, conversation, entry } => (entry_key(*user, *conversation), entry.value()),
        Row::Cursors { user, conversation, cursors } => (cursors_key(*user, *conversation), cursors.value()),
        Row::Expiry(expiry) => (expiry_key(expiry), expiry_value()),
        Row::Meta { name, value } => (meta_key(name), value.to_vec()),
    }
}

fn full_record() -> Record {
    Record {
        epoch: 0,
        seq: 7,
        time_ms: 1_790_000_000_000,
        sender: "alice".into(),
        content: Content {
            client_id: Some("c-1".into()),
            content_type: Some("text/markdown".into()),
            tag: Some("red".into()),
            subject: Some("bob".into()),
            role: Role::admin,
            ttl_ms: 60_000,
            flags: 3,
            target: 5,
            ..Content::message("hello")
        },
    }
}

/// One row of each kind, by its name in the fixture.
fn one_of_each() -> Vec<(&'static str, Row)> {
    let expiry = |doomed| Row::Expiry(Expiry::of(1_790_000_000_000, PLACE, doomed));
    let simple = Record { seq: 1, content: Content::message("hi"), ..full_record() };
    let head = HeadRow {
        key: Key::new("", Address::Group("team")),
        incarnation: 0x1122,
        epoch: 0x1123,
        first: 3,
        os_generation: 2,
        title: "Zoë's team".into(),
        flags: 1,
    };
    let direct = HeadRow { key: Key::direct("alice", "bob"), title: Bytes::new(), flags: 0, ..head.clone() };
    let cursors = CursorsRow { epoch: 0x1123, read: 300, devices: vec![("phone".into(), 299), ("desk".into(), 300)] };
    vec![
        ("head of a group", Row::Head { row: ROW, head }),
        ("head of a direct conversation", Row::Head { row: ROW, head: direct }),
        ("message with nothing but a body", Row::Log { place: PLACE, record: simple.into() }),
        ("record with everything", Row::Log { place: PLACE, record: full_record().into() }),
        ("removed record", Row::Removed { place: PLACE, seq: 8, time_ms: 1_790_000_000_000 }),
        (
            "member",
            Row::Member { row: ROW, user: "bob".into(), member: MemberRow { incarnation: 0x1122, role: Role::admin, joined: 2 } },
        ),
        (
            "receipt",
            Row::Receipt { row: ROW, user: "bob".into(), receipt: ReceiptRow { incarnation: 0x1122, delivered: 200, read: 100 } },
        ),
        ("user", Row::User { row: ROW, user: UserRow { id: "Zoë".into(), last_number: 130, count: 2 } }),
        (
            "entry",
            Row::Entry {
                user: ROW,
                conversation: 0xfe,
                entry: EntryRow { key: Key::new("", Address::Group("team")), number: 130 },
            },
        ),
        ("cursors", Row::Cursors { user: ROW, conversation: 0xfe, cursors }),
        ("expiry of a record", expiry(Doomed::Record(7))),
        ("expiry of what is below", expiry(Doomed::Below(7))),
        ("expiry of a log", expiry(Doomed::Whole)),
        ("meta", Row::Meta { name: "format".into(), value: Bytes::from_static(b"1") }),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

/// Rows that were written once. `CAMPANILE_GOLDEN=write` adds those that are missing, and never changes one that is there.
#[test]
fn rows_of_the_first_version_are_read_for_ever() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store-v1/rows.hex");
    let mut text = std::fs::read_to_string(&path).unwrap_or_default();
    if std::env::var_os("CAMPANILE_GOLDEN").is_some_and(|value| value == "write") {
        for (name, row) in one_of_each() {
            if !text.contains(&format!("[{name}]")) {
                let (key, value) = encode(&row);
                text += &format!("\n[{name}]\n{row:?}\nkey   {}\nvalue {}\n", hex(&key), hex(&value));
            }
        }
        std::fs::write(&path, &text).unwrap();
    }
    let mut seen = 0;
    for (name, row) in one_of_each() {
        let section = text.split("\n[").find_map(|s| s.strip_prefix(&format!("{name}]\n"))).expect(name);
        let line = |start: &str| section.lines().find_map(|line| line.strip_prefix(start)).expect(name);
        let (key, value) = (unhex(line("key   ")), unhex(line("value ")));
        assert_eq!(describe(&key, &value), Ok(row.clone()), "{name}: read");
        assert_eq!(encode(&row), (key, value), "{name}: written");
        seen += 1;
    }
    assert_eq!(seen, text.matches("\n[").count(), "a row of the fixture is not looked at");
}

#[test]
fn damage_is_named_for_every_kind_of_row() {
    for (name, row) in one_of_each() {
        let (key, value) = encode(&row);
        if matches!(row, Row::Meta { .. }) {
            continue;
        }
        let of_another_version = [&[0x7f], &value[1..]].concat();
        assert_eq!(describe(&key, &of_another_version), Err(Damaged("the value has an unknown version")), "{name}");
        assert_eq!(describe(&key, &[]), Err(Damaged("the value is empty")), "{name}");
        // Of a record and names nothing says where they end.
        if !matches!(row, Row::Log { .. }) {
            assert!(describe(&key, &[&value[..], b"x"].concat()).is_err(), "{name}: too long");
            assert!(describe(&key, &value[..value.len() - 1]).is_err(), "{name}: cut off");
        }
        let mut unknown_tag = key.clone();
        unknown_tag[2] = 99;
        assert_eq!(describe(&unknown_tag, &value), Err(Damaged("the key has an unknown tag")), "{name}");
        let mut other_slot = key.clone();
        other_slot[0] = 0x20;
        assert!(describe(&other_slot, &value).is_err(), "{name}: a slot that there is not");
        assert_eq!(describe(&key[..2], &value), Err(Damaged("the key is cut off")), "{name}");
        if !matches!(row, Row::Member { .. } | Row::Receipt { .. }) {
            assert!(describe(&key[..key.len() - 1], &value).is_err(), "{name}: key cut off");
            assert!(describe(&[&key[..], &[0]].concat(), &value).is_err(), "{name}: key too long");
        } else {
            assert!(describe(&[&key[..], &[0xff]].concat(), &value).is_err(), "{name}: a name that is not UTF-8");
        }
    }
}

#[test]
fn impossible_values_are_damage() {
    let log = |value: &[u8]| describe(&log_key(PLACE, 1), value);
    assert_eq!(log(&[1, 200, 0, 5, 0]), Err(Damaged("a record has an unknown kind")));
    assert_eq!(log(&[1, 0, 2, 5, 0, 77]), Err(Damaged("a record has an unknown role")));
    assert_eq!(log(&[1, 0, 4, 5, 0, 0xff, 0xff, 0xff, 0xff, 0x7f]), Err(Damaged("a number has more than 32 bits")));
    assert_eq!(log(&[1, 0, 0, 5, 1, 0xff]), Err(Damaged("a text is not UTF-8")));
    assert_eq!(log(&[1, 0, 0, 5, 9, b'a']), Err(Damaged("the value is cut off")));
    let member = MemberRow { incarnation: 1, role: Role(9), joined: 1 }.value();
    assert_eq!(describe(&member_key(ROW, "bob"), &member), Err(Damaged("a member has an unknown role")));
    let Row::Head { head, .. } = one_of_each().swap_remove(0).1 else { unreachable!() };
    let before_the_first = HeadRow { first: 0, ..head }.value();
    assert_eq!(describe(&head_key(ROW), &before_the_first), Err(Damaged("a head begins at seq 0")));
    // A count that promises more than there is must not be believed.
    let cursors = [&[1, 5, 5][..], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]].concat();
    assert_eq!(describe(&cursors_key(ROW, 1), &cursors), Err(Damaged("the value is cut off")));
    let mut mark = expiry_key(&Expiry::of(1, PLACE, Doomed::Whole));
    *mark.last_mut().unwrap() = 3;
    assert_eq!(describe(&mark, &expiry_value()), Err(Damaged("the key of an expiry row has an unknown mark")));
}

#[test]
fn a_message_costs_its_body_and_little_more() {
    let record =
        Record { content: Content { client_id: Some("0123456789abcdef".into()), ..Content::message("") }, ..full_record() };
    let value = record_value(&record);
    assert!(value.len() <= 34, "{} bytes", value.len());
    assert!(value.capacity() <= 64 + value.len(), "{} bytes reserved for {}", value.capacity(), value.len());
}

#[test]
fn a_record_is_encoded_with_one_allocation() {
    for record in [full_record(), Record { content: Content::message(vec![0; 5000]), ..full_record() }] {
        let record =
            Record { time_ms: u64::MAX, content: Content { ttl_ms: u32::MAX, target: u64::MAX, ..record.content }, ..record };
        let value = record_value(&record);
        let texts = [&record.content.client_id, &record.content.content_type, &record.content.tag];
        let texts: usize = texts.into_iter().flatten().map(|t| t.len() + 2).sum();
        let subject = record.content.subject.as_ref().map_or(0, |s| s.len() + 2);
        assert_eq!(value.capacity(), 32 + record.sender.len() + texts + subject + record.content.body.len(), "it grew");
    }
}

/// Scanning one range of keys must find the rows of one kind of one thing, in order, and nothing else.
#[test]
fn keys_stand_in_the_order_of_what_they_name() {
    let other = RowId { slot: ROW.slot, fingerprint: ROW.fingerprint + 1 };
    let later = LogPlace { row: ROW, incarnation: PLACE.incarnation + 1 };
    let of = |place: LogPlace, seq| log_key(place, seq).to_vec();
    let mut expected = vec![
        head_key(ROW).to_vec(),
        head_key(other).to_vec(),
        of(PLACE, 0),
        of(PLACE, 255),
        of(PLACE, 256),
        of(PLACE, u64::MAX),
        of(later, 0),
        of(LogPlace { row: other, incarnation: 0 }, 0),
        member_key(ROW, "ann"),
        member_key(ROW, "ann\u{0}"),
        member_key(ROW, "bob"),
        receipt_key(ROW, "ann"),
        user_key(ROW).to_vec(),
        entry_key(ROW, 1),
        entry_key(ROW, 1 << 100),
        entry_key(other, 0),
        cursors_key(ROW, 1),
        head_key(RowId { slot: ROW.slot + 1, fingerprint: 0 }).to_vec(),
        expiry_key(&Expiry::of(255, later, Doomed::Whole)),
        expiry_key(&Expiry::of(256, PLACE, Doomed::Record(9))),
        expiry_key(&Expiry::of(256, PLACE, Doomed::Below(9))),
        expiry_key(&Expiry::of(256, PLACE, Doomed::Record(10))),
        meta_key("a"),
    ];
    let in_order = expected.clone();
    expected.sort();
    assert_eq!(expected, in_order);
    let members = prefix(ROW, tag::MEMBER);
    let end = end_of(&members);
    let inside: Vec<_> = in_order.iter().filter(|key| (&members[..]..&end[..]).contains(&&key[..])).collect();
    assert_eq!(inside, [&member_key(ROW, "ann"), &member_key(ROW, "ann\u{0}"), &member_key(ROW, "bob")]);
    assert_eq!(end_of(&[1, 0xff, 0xff]), [2]);
}

fn records() -> impl Strategy<Value = Record> {
    let text = || proptest::option::of("[a-zé\u{0}]{0,70}");
    let place = (0..=u64::MAX - 1, any::<u64>(), "\\PC{0,70}");
    let numbers = (any::<u32>(), any::<u8>(), prop_oneof![Just(0), any::<u64>()], 0..=9_u8, 0..=3_u8);
    let body = proptest::collection::vec(any::<u8>(), 0..300);
    (place, numbers, (text(), text(), text(), text()), body).prop_map(|(place, numbers, texts, body)| {
        let (seq, time_ms, sender) = place;
        let (ttl_ms, flags, target, kind, role) = numbers;
        let (client_id, content_type, tag, subject) = texts;
        let content = Content {
            kind: RecordKind(kind),
            client_id: client_id.map(Into::into),
            content_type: content_type.map(Into::into),
            tag: tag.map(Into::into),
            subject: subject.map(Into::into),
            role: Role(role),
            ttl_ms,
            flags,
            target,
            body: body.into(),
        };
        Record { epoch: 0, seq, time_ms, sender: sender.into(), content }
    })
}

proptest! {
    #[test]
    fn a_record_is_read_back(record in records(), slot in 0..4096_u16, fingerprint: u128, incarnation: u64) {
        let place = LogPlace { row: RowId { slot, fingerprint }, incarnation };
        let row = Row::Log { place, record: Arc::new(record) };
        let (key, value) = encode(&row);
        prop_assert_eq!(describe(&key, &value), Ok(row));
    }

    #[test]
    fn other_rows_are_read_back(numbers: [u64; 3], small: [u32; 2], names in proptest::collection::vec("\\PC{1,16}", 1..5), title: Vec<u8>) {
        let [incarnation, a, b] = numbers;
        let devices = names.iter().map(|name| ((**name).into(), a)).collect();
        let user = UserRow { id: (*names[0]).into(), last_number: small[0], count: small[1] };
        let key = Key::direct(&names[0], &names[names.len() - 1]);
        let head = HeadRow { key: key.clone(), incarnation, epoch: a, first: b.max(1), os_generation: a, title: title.into(), flags: 3 };
        let rows = [
            Row::Head { row: ROW, head },
            Row::Member { row: ROW, user: (*names[0]).into(), member: MemberRow { incarnation, role: Role::owner, joined: a } },
            Row::Receipt { row: ROW, user: (*names[0]).into(), receipt: ReceiptRow { incarnation, delivered: a, read: b } },
            Row::User { row: ROW, user },
            Row::Entry { user: ROW, conversation: incarnation.into(), entry: EntryRow { key, number: small[0] } },
            Row::Cursors { user: ROW, conversation: 1, cursors: CursorsRow { epoch: a, read: b, devices } },
            Row::Expiry(Expiry::of(a, PLACE, Doomed::Below(b))),
            Row::Removed { place: PLACE, seq: a, time_ms: b },
        ];
        for row in rows {
            let (key, value) = encode(&row);
            prop_assert_eq!(describe(&key, &value), Ok(row));
        }
    }

    /// Whatever the disk gives: no panic, and no reading past the end.
    #[test]
    fn no_bytes_make_reading_fail(key: Vec<u8>, value: Vec<u8>, tag in 0..20_u8, is_partition_wide: bool) {
        let _ = describe(&key, &value);
        let slot = if is_partition_wide { [0xff, 0xff] } else { [1, 2] };
        let key = [&slot[..], &[tag], &key].concat();
        let _ = describe(&key, &value);
        let _ = describe(&key, &[&[1], &value[..]].concat());
    }

    /// The same, near to what is sound.
    #[test]
    fn no_flipped_bit_makes_reading_fail(which in 0..14_usize, at: proptest::sample::Index, bit in 0..8, cut: proptest::sample::Index) {
        let (mut key, mut value) = encode(&one_of_each().swap_remove(which).1);
        let _ = describe(&key, &value[..cut.index(value.len())]);
        let place = at.index(key.len() + value.len());
        let len = key.len();
        *(if place < len { &mut key[place] } else { &mut value[place - len] }) ^= 1_u8 << bit;
        let _ = describe(&key, &value);
    }
}
