//! The program, and the real server for it, which lies beside it when the whole workspace is built.
// Each test program uses a part of it.
#![allow(dead_code)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_campanile-load");

/// Runs the program; the JSON is that of this run.
pub fn load(name: &str, arguments: &str) -> (Output, Value) {
    let json = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.json"));
    let _ = std::fs::remove_file(&json);
    let output = Command::new(PROGRAM)
        .args(arguments.split_ascii_whitespace())
        .arg("--json")
        .arg(&json)
        .output()
        .expect("the program starts");
    let text = std::fs::read_to_string(&json).unwrap_or_default();
    (output, serde_json::from_str(&text).unwrap_or(Value::Null))
}

/// A server of its own for a test; it is killed when the test is over.
pub struct Server {
    child: Child,
    pub target: String,
    /// The same for WebSockets.
    pub ws: String,
    /// Goes after the server.
    _data_dir: TempDir,
}

impl Server {
    pub fn start(options: &[&str]) -> Server {
        let server = Path::new(PROGRAM).with_file_name("campanile");
        assert!(server.exists(), "{} is not built: run cargo test --workspace", server.display());
        let data_dir = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(server);
        command.env_clear().args([
            "--shards",
            "2",
            "--tcp",
            "127.0.0.1:0",
            "--ws",
            "127.0.0.1:0",
            "--ops",
            "127.0.0.1:0",
            "--data-dir",
        ]);
        command.arg(data_dir.path()).args(options);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the server runs");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut place = |name: &str| {
            let found =
                lines.by_ref().map_while(Result::ok).find_map(|line| Some(line.trim().strip_prefix(name)?.trim().to_owned()));
            let found = found.expect("the server says where it listens");
            found.split_ascii_whitespace().next().unwrap_or_default().to_owned()
        };
        let (target, ws) = (place("clients"), place("websocket"));
        Server { child, target, ws, _data_dir: data_dir }
    }

    /// Options for everything that the server speaks, with the name that reports give it.
    pub fn spoken(&self) -> [(&'static str, String); 3] {
        let Server { target, ws, .. } = self;
        [
            ("tcp", format!("--target {target}")),
            ("ws", format!("--target {ws}")),
            ("ws-json", format!("--target {ws} --encoding json")),
        ]
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
