//! `campanile export` and `campanile import`: what comes out, and that it goes in again.

use std::collections::BTreeMap;

use campanile::offline::format::Thing;

use super::house::{EPOCH, House, PARTITIONS};
use super::{arg, campanile, campanile_reading};

fn export(house: &House) -> String {
    campanile(&["export", house.arg()]).expect(0, &["exported 5 conversations, 33 records, 7 entries of lists"]).out
}

/// The lines without the first one, and without what an import changes: order of conversations, epochs.
fn substance(export: &str) -> BTreeMap<String, Vec<String>> {
    let mut parts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut part = String::new();
    for line in export.lines().skip(1) {
        match Thing::parse(line).unwrap() {
            Thing::Listed { user, .. } => part = format!("list of {user}"),
            Thing::Conversation(conversation) => {
                part = format!("{:?}", conversation.key);
                let same = campanile::offline::format::Conversation { epoch: 0, ..conversation };
                parts.entry(part.clone()).or_default().push(Thing::Conversation(same).line());
                continue;
            }
            Thing::End(_) => part = "end".into(),
            _ => {}
        }
        parts.entry(part.clone()).or_default().push(line.into());
    }
    parts
}

#[test]
fn an_export_says_everything_in_lines_of_json() {
    let house = House::furnished();
    let out = export(&house);
    let lines: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (first, last) = (&lines[0], lines.last().unwrap());
    assert_eq!((first["thing"].as_str(), first["format"].as_u64()), (Some("export"), Some(1)));
    assert_eq!((last["thing"].as_str(), last["records"].as_u64()), (Some("end"), Some(33)));
    let manifest = std::fs::read_to_string(house.dir.join("manifest.toml")).unwrap();
    let secrets = manifest.lines().filter(|line| line.starts_with("data_id") || line.starts_with("slot_seed"));
    secrets.for_each(|line| assert!(!out.contains(line.split('"').nth(1).unwrap()), "the secrets stay: {line}"));
    for part in [
        r#""thing":"conversation","conversation":"group:team","kind":"group""#,
        r#""title":"Our team","flags":["open"]"#,
        r#""thing":"member","conversation":"group:team","user":"bob","role":"admin","joined":2"#,
        r#""kind":"added","sender":"alice","subject":"bob","role":"member""#,
        r#""kind":"message","sender":"bob","client_id":"m1","body":"good morning""#,
        r#""content_type":"image/png","body_base64":"iVBORw0KGgo=""#,
        r#""thing":"receipt","conversation":"direct:alice+bob","user":"bob","delivered":18,"read":18"#,
        r#""thing":"listed","user":"alice","conversation":"group:team","read":5,"devices":{"laptop":8,"phone":5}"#,
        r#""conversation":"direct:a+b+dave","users":["a+b","dave"]"#,
        r#""conversation":"topic:news","seq":3"#,
        r#""tag":"eu""#,
        r#""conversation":"broadcast""#,
    ] {
        assert!(out.contains(part), "{part} in {out}");
    }
    assert!(out.contains(&format!("\"epoch\":{EPOCH}")));
}

#[test]
fn single_conversations_are_exported_by_name() {
    let house = House::furnished();
    let file = house.beside("some.jsonl");
    let names = ["--conversation", "group:team", "--conversation", "direct:bob+alice", "--out", arg(&file)];
    let said = campanile(&[&["export", house.arg()][..], &names].concat())
        .expect(0, &["exported 2 conversations, 28 records, 5 entries"]);
    assert_eq!(said.out, "");
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&file).unwrap()) & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("group:team") && !text.contains("topic:news") && !text.contains("dave"));
    campanile(&["export", house.arg(), "--conversation", "direct:a+b+dave"]).expect(0, &["exported 1 conversations, 1 records"]);
    campanile(&["export", house.arg(), "--out", arg(&file)]).expect(2, &["choose a new file"]);
    campanile(&["export", house.arg(), "--conversation", "group:teem"]).expect(2, &["there is no group:teem"]);
    campanile(&["export", house.arg(), "--conversation", "team"]).expect(2, &["write direct:USER, group:ID"]);
    campanile(&["export", house.arg(), "--conversation", "direct:bob"]).expect(2, &["write direct:alice+bob"]);
    campanile(&["export", arg(&house.beside("nothing"))]).expect(2, &["no data directory"]);
}

#[test]
fn what_was_exported_goes_into_a_new_directory() {
    let house = House::furnished();
    let out = export(&house);
    let file = house.beside("all.jsonl");
    std::fs::write(&file, &out).unwrap();
    for (name, partitions) in [("one", "1"), ("three", "3")] {
        let dir = house.beside(name);
        let import = ["import", arg(&dir), "--partitions", partitions, "--in", arg(&file)];
        campanile(&import).expect(0, &["imported 5 conversations, 33 records, 7 entries"]);
        let checked = campanile(&["fsck", arg(&dir)]).expect(0, &[&format!("{partitions} partitions"), "sound\n"]).out;
        assert!(!checked.contains("warning:"), "{checked}");
        let again = campanile(&["export", arg(&dir)]).expect(0, &[]).out;
        assert_eq!(substance(&again), substance(&out));
        assert!(!again.contains(&EPOCH.to_string()), "whoever saw more of the log than was exported must be told of a gap");
        // It is there now.
        campanile(&import).expect(
            2,
            &["has direct:a+b+dave, direct:alice+bob, group:team, topic:news, broadcast already; nothing was imported"],
        );
    }
}

#[test]
fn a_directory_that_is_there_gets_what_it_does_not_have() {
    let house = House::furnished();
    let some = campanile(&["export", house.arg(), "--conversation", "group:team"]).expect(0, &[]).out;
    let all = export(&house);
    let dir = house.beside("other");
    campanile_reading(&["import", arg(&dir)], some.as_bytes()).expect(0, &["imported 1 conversations"]);
    campanile_reading(&["import", arg(&dir)], all.as_bytes()).expect(2, &["the directory has group:team already"]);
    for name in ["direct:alice+bob", "topic:news"] {
        let some = campanile(&["export", house.arg(), "--conversation", name]).expect(0, &[]).out;
        campanile_reading(&["import", arg(&dir)], some.as_bytes()).expect(0, &["imported 1 conversations"]);
    }
    campanile(&["fsck", arg(&dir)]).expect(0, &["sound\n"]);
    let there = substance(&campanile(&["export", arg(&dir)]).expect(0, &[]).out);
    let wanted = substance(&all);
    for part in ["group:team", "direct:alice+bob", "topic:news", "list of alice", "list of bob"] {
        assert_eq!(there[part], wanted[part]);
    }
    assert!(!house.beside(&format!(".campanile-import-{}", std::process::id())).exists());
    assert_eq!(std::fs::read_dir(house.beside("")).unwrap().count(), 2, "nothing is left beside the directories");
}

#[test]
fn a_line_that_is_wrong_is_named_and_nothing_is_imported() {
    let house = House::furnished();
    let out = export(&house);
    let dir = house.beside("new");
    let refused = |text: String, parts: &[&str]| {
        campanile_reading(&["import", arg(&dir)], text.as_bytes()).expect(2, parts).expect(2, &["nothing was imported"]);
        assert!(!dir.exists(), "nothing was written");
    };
    let number = |part: &str| out.lines().position(|line| line.contains(part)).unwrap() + 1;
    let line = |part: &str| format!("line {} of the export", number(part));
    let replaced = |from: &str, to: &str| {
        assert!(out.contains(from), "{from}");
        out.replacen(from, to, 1)
    };
    refused(String::new(), &["it was cut off, or is no export"]);
    refused("Dear Sir,\n".into(), &["line 1 of the export", "no JSON"]);
    refused(out.lines().skip(1).map(|line| format!("{line}\n")).collect(), &["line 1 ", "begins with the thing export"]);
    refused(out.lines().take(20).map(|line| format!("{line}\n")).collect(), &["it was cut off"]);
    refused(out[..out.len() / 2].into(), &["no JSON"]);
    refused(out.clone() + "{\"thing\":\"end\"}\n", &["behind the end"]);
    refused(replaced("\"format\":1", "\"format\":2"), &["line 1 ", "use a newer one"]);
    refused(replaced("\"records\":33", "\"records\":34"), &["it counts", "33"]);
    let morning = "\"body\":\"good morning\"";
    refused(replaced(morning, "\"bodi\":\"good morning\""), &[&line(morning), "no field \"bodi\""]);
    refused(replaced("\"seq\":5,", "\"seq\":4,"), &["record 4 does not follow record 4"]);
    let bob = "\"user\":\"bob\",\"role\":\"admin\",\"joined\":2";
    refused(replaced(bob, "\"user\":\"bob\",\"role\":\"owner\",\"joined\":2"), &[&line(bob), "says otherwise"]);
    refused(replaced(bob, "\"user\":\"eve\",\"role\":\"admin\",\"joined\":2"), &["bob is not in group:team"]);
    let receipt = "\"user\":\"bob\",\"delivered\":18,\"read\":18";
    refused(replaced(receipt, "\"user\":\"bob\",\"delivered\":18,\"read\":21"), &[&line(receipt), "beyond 20"]);
    refused(replaced(receipt, "\"user\":\"eve\",\"delivered\":18,\"read\":18"), &["eve is not in direct:alice+bob"]);
    let twice: String =
        out.lines().flat_map(|line| [line, "\n"].repeat(if line.contains("\"kind\":\"topic\"") { 2 } else { 1 })).collect();
    refused(twice, &["topic:news was there before"]);
    campanile(&["import", arg(&dir), "--in", "/nowhere.jsonl"]).expect(2, &["/nowhere.jsonl cannot be read", "--in"]);
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("letter.txt"), "dear").unwrap();
    campanile_reading(&["import", arg(&dir)], out.as_bytes()).expect(2, &["not empty"]);
}

#[test]
fn lists_are_completed_and_holes_stay() {
    let house = House::furnished();
    let out = export(&house);
    let missing = ["\"thing\":\"listed\"", "\"body\":\"message 20\"", "\"body\":\"message 9\""];
    let left: Vec<&str> = out.lines().filter(|line| !missing.iter().any(|part| line.contains(part))).collect();
    let text = left.join("\n").replace("\"listed\":7,", "").replace("\"records\":33", "\"records\":31");
    let dir = house.beside("new");
    campanile_reading(&["import", arg(&dir), "--partitions", &PARTITIONS.to_string()], text.as_bytes())
        .expect(0, &["31 records, 0 entries"]);
    let said = campanile(&["fsck", arg(&dir)]).expect(0, &["sound\n"]).out;
    assert!(!said.contains("warning:"), "{said}");
    let again = campanile(&["export", arg(&dir)]).expect(0, &[]).out;
    // Alice and bob in both, a+b and dave; carol has left.
    assert_eq!(again.lines().filter(|line| line.contains("listed\",\"user\"")).count(), 6);
    assert!(again.contains("\"first\":1,\"committed\":20"), "{again}");
}
