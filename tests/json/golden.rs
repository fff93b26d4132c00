//! Golden frames as JSON: `schema/golden/*.json`, one beside each `*.hex`. `CAMPANILE_GOLDEN=write cargo test --test json` writes the files that are missing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use campanile::wire::schema::Body;

use crate::{read, written};

pub fn schema() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schema")
}

/// The bytes of all golden frames, by name.
pub fn frames() -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(schema().join("golden")).expect("the folder is there");
    let paths = files.map(|file| file.expect("an entry").path()).filter(|path| path.extension().is_some_and(|e| e == "hex"));
    paths.map(|path| (path.file_stem().expect("a name").to_string_lossy().into_owned(), bytes(&path))).collect()
}

fn bytes(path: &std::path::Path) -> Vec<u8> {
    let text = std::fs::read_to_string(path).expect("a text");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(str::split_whitespace).map(|byte| u8::from_str_radix(byte, 16).expect("two hexadecimal digits")).collect()
}

#[test]
fn every_golden_frame_is_written_as_its_json_and_read_from_it() {
    let frames = frames();
    let mut seen = Vec::new();
    for (name, bytes) in &frames {
        let frame = campanile::wire::read(bytes).expect("a golden frame is sound");
        seen.push(frame.body_type());
        let path = schema().join(format!("golden/{name}.json"));
        if !path.exists() && std::env::var_os("CAMPANILE_GOLDEN").is_some_and(|value| value == "write") {
            std::fs::write(&path, written(frame) + "\n").expect("the file can be written");
        }
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(written(frame) + "\n", text, "{name}");
        let meant = format!("{frame:?}");
        let (values, again) =
            read(&text, |frame| (format!("{frame:?}"), written(frame))).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert_eq!((values, again + "\n"), (meant, text), "{name}");
    }
    for &body in Body::ENUM_VALUES.iter().filter(|&&body| body != Body::NONE) {
        assert!(seen.contains(&body), "{body:?} has no example");
    }
    let files = std::fs::read_dir(schema().join("golden")).expect("the folder is there");
    assert_eq!(files.count(), 2 * frames.len(), "each frame has its JSON, and nothing else is there");
}
