//! `schema/JSON.md`: every example is read, every golden object is shown, every name is there.

use std::fmt::Debug;

use campanile::json::Reader;
use campanile::wire::schema::*;
use serde_json::{Value, json};

use crate::golden::{frames, schema};
use crate::{read, written};

fn page() -> String {
    std::fs::read_to_string(schema().join("JSON.md")).expect("the page is there")
}

#[test]
fn every_example_is_what_is_spoken() {
    let page = page();
    let mut refused = None;
    for line in page.lines() {
        if let Some(text) = line.strip_prefix("-> ") {
            assert!(refused.is_none(), "nobody answers what stands before {line}");
            refused = Reader::new().read(text.as_bytes(), Some("alice")).err();
        }
        let Some(text) = line.strip_prefix("<- ") else { continue };
        assert_eq!(read(text, written).as_deref(), Ok(text));
        if let Some(error) = refused.take() {
            let answer: Value = serde_json::from_str(text).unwrap();
            let code = error.code.variant_name();
            assert_eq!(
                answer,
                json!({"type": "error", "ref": error.reference, "code": code, "message": error.message, "retry_after_ms": 0})
            );
        }
    }
    assert!(refused.is_none(), "nobody answers the last line");
}

#[test]
fn every_golden_object_is_shown() {
    let page = page();
    for (name, bytes) in frames() {
        let text = written(campanile::wire::read(&bytes).expect("sound"));
        assert!(page.lines().any(|line| line.get(3..) == Some(&text)), "{name}: {text}");
    }
}

#[test]
fn every_name_is_there() {
    fn all<T: Copy + Debug>(page: &str, values: &[T], row: impl Fn(T) -> String) {
        for &value in values {
            assert!(page.contains(&row(value)), "{value:?}: {}", row(value));
        }
    }
    let page = page();
    let close = |code: CloseCode| {
        let number = if code.0 < 2000 { code.0 + 3000 } else { code.0 + 2100 };
        format!("\n| {number} | `{code:?}` |")
    };
    all(&page, &CloseCode::ENUM_VALUES[1..], close);
    all(&page, &ErrorCode::ENUM_VALUES[1..], |value| format!(" `{value:?}` "));
    let row = |field: &str, values: Vec<String>| format!("\n| {field} | {} |\n", values.join(" "));
    fn names<T: Debug>(values: &[T]) -> Vec<String> {
        values.iter().map(|value| format!("`{value:?}`")).collect()
    }
    for row in [
        row("conversation, as an object: `kind`", names(ConversationKind::ENUM_VALUES)),
        row("`message`: `kind`", names(RecordKind::ENUM_VALUES)),
        row("`role`", names(Role::ENUM_VALUES)),
        row("`skip`: `why`", names(SkipReason::ENUM_VALUES)),
        row("`sync`: `direction`", names(Direction::ENUM_VALUES)),
        row("`receipt`, `receipt_event`: `kind`", names(ReceiptKind::ENUM_VALUES)),
    ] {
        assert!(page.contains(&row), "{row}");
    }
}
