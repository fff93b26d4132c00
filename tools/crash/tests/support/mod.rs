//! What the tests of the program share.

use std::path::Path;
use std::process::{Command, Output};

/// The program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_campanile-crash");
/// Everything held.
pub const HELD: Option<i32> = Some(0);
/// Something did not.
pub const VIOLATED: Option<i32> = Some(1);

/// Runs it to its end.
pub fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

/// Runs the program and checks how it ends; gives what it printed.
pub fn ends(wanted: Option<i32>, arguments: &[&str]) -> String {
    let output = run(arguments);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), wanted, "{arguments:?}:\n{said}");
    forget(&said);
    said
}

/// What a run that found something keeps is of no interest here.
fn forget(said: &str) {
    let kept = said.lines().find_map(|line| line.strip_prefix("kept: ")?.split(' ').next());
    if let Some(kept) = kept.filter(|kept| Path::new(kept).starts_with(std::env::temp_dir())) {
        let _ = std::fs::remove_dir_all(kept);
    }
}

/// Whether whoever runs the tests says that this machine cannot mount.
pub fn without_fuse() -> bool {
    std::env::var_os("CAMPANILE_CRASH_NO_FUSE").is_some_and(|value| value == "1")
}
