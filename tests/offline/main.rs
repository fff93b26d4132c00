//! Subcommands that work on a data directory, with the real binary: a directory is filled through the store, damaged, looked at, exported, imported.
#![cfg(feature = "server")]

mod carry;
mod fixtures;
mod fsck;
mod house;
mod pack;
mod served;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The binary with these arguments.
pub fn campanile(arguments: &[&str]) -> Said {
    Said::of(command(arguments).output().unwrap())
}

/// The same, with something on its standard input.
pub fn campanile_reading(arguments: &[&str], input: &[u8]) -> Said {
    use std::io::Write;
    let mut child = command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that refuses does not read to the end.
    let _ = child.stdin.take().unwrap().write_all(input);
    Said::of(child.wait_with_output().unwrap())
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_campanile"));
    command.env_clear().args(arguments);
    command
}

/// What it said, and how it ended.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Said {
    /// Its exit status.
    pub code: i32,
    /// What it wrote to stdout.
    pub out: String,
    /// What it wrote to stderr.
    pub err: String,
}

impl Said {
    fn of(output: Output) -> Said {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// It must have ended like this, and said all of these.
    pub fn expect(self, code: i32, parts: &[&str]) -> Said {
        assert_eq!(self.code, code, "{self:?}");
        for part in parts {
            assert!(self.out.contains(part) || self.err.contains(part), "{part:?} in {self:?}");
        }
        self
    }
}

/// A path as an argument.
pub fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}
