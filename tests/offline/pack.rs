//! A data directory as one text file: what is in it that is not zero, in hexadecimal. Journals are mostly zeros.
//!
//! ```text
//! dir PATH
//! file PATH LENGTH
//! OFFSET HEX                 up to 32 bytes of the file above
//! ```

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

const BYTES_PER_LINE: usize = 32;

/// Writes a directory down. Zeros at the end of journals are left out: they may be missing.
pub fn pack(dir: &Path) -> String {
    let mut text = String::new();
    pack_into(&mut text, dir, "");
    text
}

fn pack_into(text: &mut String, dir: &Path, prefix: &str) {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    for name in names {
        let (path, shown) = (dir.join(&name), format!("{prefix}{name}"));
        if path.is_dir() {
            let _ = writeln!(text, "dir {shown}");
            pack_into(text, &path, &format!("{shown}/"));
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let len = if name.ends_with(".jnl") { used } else { bytes.len() };
        let _ = writeln!(text, "file {shown} {len}");
        for (at, line) in bytes[..len].chunks(BYTES_PER_LINE).enumerate().filter(|(_, line)| line.iter().any(|byte| *byte != 0)) {
            let hex: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
            let _ = writeln!(text, "{} {hex}", at * BYTES_PER_LINE);
        }
    }
}

/// Makes the directory again.
pub fn unpack(text: &str, dir: &Path) {
    fs::create_dir(dir).unwrap();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).unwrap();
    let mut file = None;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        match (words.next().unwrap(), words.next().unwrap(), words.next()) {
            ("dir", path, None) => fs::create_dir(dir.join(path)).unwrap(),
            ("file", path, Some(len)) => {
                let made = fs::File::create(dir.join(path)).unwrap();
                made.set_len(len.parse().unwrap()).unwrap();
                file = Some(made);
            }
            (offset, hex, None) => {
                let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
                let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
                file.as_ref().unwrap().write_all_at(&bytes, offset.parse().unwrap()).unwrap();
            }
            _ => panic!("{line}"),
        }
    }
}
