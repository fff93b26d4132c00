//! What holds for every text and every frame: golden ones, and whatever can be made of them.

use std::sync::OnceLock;

use campanile::json::Reader;
use campanile::wire::schema::{Ephemeral, EphemeralArgs, Frame, Message, MessageArgs, Publish, PublishArgs};
use campanile::wire::{self, Encoder};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;

use crate::golden::frames;
use crate::{read, written};

/// The golden frames as bytes, with their JSON.
fn golden() -> &'static [(Vec<u8>, String)] {
    static GOLDEN: OnceLock<Vec<(Vec<u8>, String)>> = OnceLock::new();
    GOLDEN.get_or_init(|| {
        let pairs = frames().into_values().map(|bytes| {
            let text = written(wire::read(&bytes).expect("sound"));
            (bytes, text)
        });
        pairs.collect()
    })
}

/// What is written is JSON, and is read as a frame of the same meaning. Gives the JSON.
fn there_and_back(frame: Frame<'_>) -> String {
    let text = written(frame);
    let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    if frame.body_type().variant_name().is_some_and(|name| name != "NONE") {
        let again = read(&text, written).unwrap_or_else(|error| panic!("{error:?}: {text}"));
        // A device is the one thing that is made up.
        let gets_device = frame.body_as_connect().is_some_and(|connect| connect.device().is_none());
        assert!(again == text || gets_device, "{text}\n{again}");
    } else {
        assert!(value["type"].is_u64(), "{text}");
    }
    text
}

#[test]
fn no_beginning_of_an_object_is_one() {
    for (_, text) in golden() {
        for end in 0..text.len() {
            assert!(Reader::new().read(&text.as_bytes()[..end], None).is_err(), "{}", &text[..end]);
        }
    }
}

/// A value of the same type at random: for texts, numbers and flags. What the schema has as an enum or as base64 stays.
fn vary(value: &mut Value, key: &str, text: &str, number: u64, drop: &[Index]) {
    match value {
        Value::Object(fields) => {
            for (at, (key, value)) in fields.iter_mut().enumerate() {
                vary(value, key, text, number.rotate_left(at as u32 * 7), drop);
            }
            let keys: Vec<String> = fields.keys().cloned().collect();
            let is_whole = fields.contains_key("type") || key == "cursor" || key == "next";
            for key in drop.iter().map(|index| &keys[index.index(keys.len())]).filter(|key| !is_whole && *key != "type") {
                fields.remove(key);
            }
        }
        Value::Array(items) => {
            items.iter_mut().for_each(|item| vary(item, key, text, number, drop));
            items.extend_from_slice(&items.clone()[..number as usize % (items.len() + 1)]);
        }
        Value::String(old) => match key {
            "conversation" => *old = format!("{}:{text}", ["direct", "group", "topic"][number as usize % 3]),
            "type" | "kind" | "role" | "code" | "why" | "direction" | "body_base64" | "session" => {}
            _ => text.clone_into(old),
        },
        Value::Number(old) => *old = if key == "ref" || key == "seq" { number.into() } else { (number % 65_536).into() },
        Value::Bool(old) => *old = number.is_multiple_of(2),
        Value::Null => unreachable!("nothing is null"),
    }
}

proptest! {
    #[test]
    fn golden_objects_with_other_values_go_there_and_back(
        which: Index, text in "\\PC*|[\\x00-\\x7f]*", number: u64, drop in prop::collection::vec(any::<Index>(), 0..3),
    ) {
        let mut value: Value = serde_json::from_str(&golden()[which.index(golden().len())].1).unwrap();
        vary(&mut value, "", &text, number, &drop);
        // As serde_json writes it: in the order of the alphabet, escaped in its own way.
        let text = value.to_string();
        read(&text, there_and_back).unwrap_or_else(|error| panic!("{error:?}: {text}"));
    }

    #[test]
    fn bodies_of_any_bytes_go_there_and_back(
        body: Vec<u8>, text: String, content_type in prop::option::of(select(vec!["text/plain", "application/json", "image/png", "x/y+json"])),
    ) {
        let mut encoder = Encoder::default();
        for body in [&body[..], text.as_bytes()] {
            let publish = encoder.frame(1, |b| {
                let (content_type, body) = (content_type.map(|text| b.create_string(text)), Some(b.create_vector(body)));
                Publish::create(b, &PublishArgs { content_type, body, ..Default::default() })
            });
            let back = read(&there_and_back(wire::read(publish).unwrap()), |f| f.body_as_publish().unwrap().body().unwrap().bytes().to_vec());
            prop_assert_eq!(back.unwrap(), body);
            let message = encoder.frame(0, |b| {
                let (content_type, body) = (content_type.map(|text| b.create_string(text)), Some(b.create_vector(body)));
                Message::create(b, &MessageArgs { content_type, body, ..Default::default() })
            });
            let back = read(&there_and_back(wire::read(message).unwrap()), |f| f.body_as_message().unwrap().body().unwrap().bytes().to_vec());
            prop_assert_eq!(back.unwrap(), body);
            let ephemeral = encoder.frame(0, |b| {
                let body = Some(b.create_vector(body));
                Ephemeral::create(b, &EphemeralArgs { body, ..Default::default() })
            });
            let back = read(&there_and_back(wire::read(ephemeral).unwrap()), |f| f.body_as_ephemeral().unwrap().body().unwrap().bytes().to_vec());
            prop_assert_eq!(back.unwrap(), body);
        }
    }

    #[test]
    fn whatever_the_verifier_lets_pass_is_written_as_json(which: Index, flips in prop::collection::vec((any::<Index>(), any::<u8>()), 1..8)) {
        let mut bytes = golden()[which.index(golden().len())].0.clone();
        for (at, byte) in flips {
            let at = at.index(bytes.len() - wire::PREFIX_BYTES) + wire::PREFIX_BYTES;
            bytes[at] = byte;
        }
        if let Ok(frame) = wire::read(&bytes) {
            there_and_back(frame);
        }
    }

    #[test]
    fn no_bytes_make_the_reader_fail(bytes: Vec<u8>) {
        let _ = Reader::new().read(&bytes, Some("alice"));
    }

    #[test]
    fn no_words_make_the_reader_fail(words in prop::collection::vec(select(WORDS), 0..24)) {
        let text = words.concat();
        if let Ok(text) = read(&text, there_and_back) {
            let is_typed = text.starts_with("{\"type\":");
            prop_assert!(is_typed, "{}", text);
        }
    }

    #[test]
    fn a_golden_text_with_other_bytes_is_refused_or_read_as_a_sound_frame(
        which: Index, flips in prop::collection::vec((any::<Index>(), prop_oneof![any::<u8>(), select(b"{}[]\",:0e-\\u".to_vec())]), 1..4),
    ) {
        let mut bytes = golden()[which.index(golden().len())].1.clone().into_bytes();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        match std::str::from_utf8(&bytes) {
            Ok(text) => drop(read(text, there_and_back)),
            Err(_) => prop_assert!(Reader::new().read(&bytes, None).is_err()),
        }
    }
}

const WORDS: &[&str] = &[
    "{\"type\":\"connect\",",
    "{\"type\":\"publish\",",
    "{\"type\":\"message\",",
    "{\"type\":\"page\",",
    "{\"type\":\"ping\",",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"ref\":",
    "\"resume\":[",
    "\"messages\":[",
    "\"gap\":{",
    "\"next\":",
    "\"cursor\":{",
    "\"epoch\":",
    "\"seq\":",
    "\"conversation\":",
    "\"to\":",
    "\"content\":",
    "\"timestamp\":",
    "\"body\":",
    "\"body_base64\":",
    "\"broadcast\"",
    "\"direct:bob\"",
    "\"aGk=\"",
    "\"\"",
    "1",
    "-1",
    "1e9",
    "true",
    "null",
    " ",
];
