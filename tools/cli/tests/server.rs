//! The program against the real server, which lies beside it when the whole workspace is built.
#![allow(missing_docs, clippy::expect_used)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_campanile-cli");
/// Long enough for any machine: only a test that fails waits for it.
const NEVER: Duration = Duration::from_secs(60);

struct Server {
    child: Child,
    target: String,
    /// Goes after the server.
    _data_dir: TempDir,
}

impl Server {
    fn start() -> Server {
        Server::start_at("127.0.0.1:0")
    }

    fn start_at(address: &str) -> Server {
        let server = Path::new(PROGRAM).with_file_name("campanile");
        assert!(server.exists(), "{} is not built: run cargo test --workspace", server.display());
        let data_dir = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(server);
        command
            .env_clear()
            .args(["--shards", "2", "--tcp", address, "--ws", "", "--ops", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the server runs");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let target = lines.map_while(Result::ok).find_map(|line| Some(line.trim().strip_prefix("clients")?.trim().to_owned()));
        Server { child, target: target.expect("the server says where it listens"), _data_dir: data_dir }
    }

    fn run(&self, user: &str, arguments: &[&str]) -> Output {
        program(&self.target, user, arguments).stdin(Stdio::null()).output().expect("the program runs")
    }

    /// Runs a command that must succeed; gives what it prints.
    fn does(&self, user: &str, arguments: &[&str]) -> String {
        let output = self.run(user, arguments);
        assert!(output.status.success(), "{user} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn ends(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends();
    }
}

fn program(target: &str, user: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["--user", user, "--target", target]).args(arguments).env("TZ", "UTC");
    command
}

/// A chat whose lines come from a pipe.
struct Chat {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Chat {
    fn of(server: &Server, user: &str) -> Chat {
        let mut command = program(&server.target, user, &[]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program runs");
        let (output, input) = (child.stdout.take().expect("piped"), child.stdin.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let chat = Chat { child, input, lines };
        chat.shows("All commands: /help");
        chat
    }

    fn types(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("the chat reads");
    }

    /// Waits for a line with this text.
    fn shows(&self, text: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(NEVER) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen.push(line),
                Err(why) => panic!("'{text}' does not come ({why}); what came: {seen:#?}"),
            }
        }
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn scripts_talk_and_keep_a_group() {
    let server = Server::start();
    let sent = server.does("alice", &["send", "direct:bob", "hi"]);
    assert!(sent.starts_with("direct:bob seq 1 epoch "), "{sent}");
    let heard = server.does("bob", &["listen", "--count", "1"]);
    assert!(heard.ends_with("[direct:alice] alice: hi\n"), "{heard}");

    server.does("alice", &["create", "team", "--title", "The Team"]);
    for arguments in [&["add", "team", "bob"][..], &["role", "team", "bob", "admin"], &["add", "group:team", "carol"]] {
        server.does("alice", arguments);
    }
    server.does("bob", &["remove", "team", "carol"]);
    let members = server.does("alice", &["members", "group:team"]);
    let names: Vec<_> = members.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["alice", "bob"]);
    let refused = server.run("carol", &["send", "group:team", "still here?"]);
    assert_eq!(refused.status.code(), Some(1));
    server.does("bob", &["send", "group:team", "hello"]);
    let history = server.does("alice", &["history", "group:team", "--limit", "2"]);
    assert!(history.contains("bob removed carol") && history.ends_with("bob: hello\n"), "{history}");
    let unread = server.does("alice", &["conversations"]);
    assert!(unread.contains("group:team") && unread.contains("\"The Team\""), "{unread}");
    server.does("alice", &["disband", "team"]);
    assert_eq!(server.run("bob", &["members", "group:team"]).status.code(), Some(1));
}

#[test]
fn a_device_goes_on_where_it_stopped() {
    let server = Server::start();
    for text in ["one", "two", "three"] {
        server.does("alice", &["send", "direct:bob", text]);
    }
    let listens = || server.does("bob", &["listen", "--count", "1", "--device", "script", "--json"]);
    for text in ["one", "two", "three"] {
        let line = listens();
        assert!(line.lines().count() == 1 && line.contains(&format!("\"body\":\"{text}\"")), "{line}");
    }
}

#[test]
fn a_chat_is_a_chat() {
    let server = Server::start();
    let (mut alice, mut bob) = (Chat::of(&server, "alice"), Chat::of(&server, "bob"));
    alice.types("/to direct:bob");
    alice.types("shall we?");
    bob.shows("[direct:alice] alice: shall we?");
    alice.types("/create team");
    alice.types("/add bob");
    alice.types("welcome");
    bob.shows("[group:team] * alice added bob as member");
    bob.shows("[group:team] alice: welcome");
    bob.types("/subscribe news eu");
    bob.shows("you receive topic:news from now on");
    server.does("alice", &["send", "topic:news", "asia", "--tag", "as"]);
    server.does("alice", &["send", "topic:news", "europe", "--tag", "eu"]);
    let next = bob.shows("topic:news");
    assert!(next.ends_with("[topic:news] alice #eu: europe"), "a filter that was asked for is no news: {next}");
    alice.types("/remove bob");
    bob.shows("[group:team] * alice removed bob");
    bob.types("/to group:team");
    bob.types("still here?");
    bob.shows("! not sent: \"still here?\"");
    bob.types("/quit");
    assert!(bob.child.wait().expect("it ends").success());
}

#[test]
fn what_was_said_can_be_taken_back() {
    let server = Server::start();
    let (mut alice, bob) = (Chat::of(&server, "alice"), Chat::of(&server, "bob"));
    alice.types("/retract");
    alice.shows("first say where");
    alice.types("/to direct:bob");
    alice.types("/retract");
    alice.shows("you have said nothing here");
    alice.types("a slip");
    bob.shows("a slip");
    // What bob has seen alice may not have the ack for yet; it comes before the answer to what she asks after that.
    alice.types("/history");
    alice.shows("alice: a slip");
    alice.types("/retract");
    alice.shows("* message 1 of direct:bob is taken back");
    bob.shows("* alice took back message 1");
    alice.types("and another");
    bob.shows("and another");
    let taken = server.does("alice", &["retract", "direct:bob", "3"]);
    assert_eq!(taken, "direct:bob: message 3 is taken back\n");
    let again = server.does("alice", &["retract", "direct:bob", "3", "--json"]);
    assert!(again.contains("\"duplicate\":true"), "{again}");
    assert_eq!(server.run("bob", &["retract", "direct:alice", "1"]).status.code(), Some(1));
    let history = server.does("bob", &["history", "direct:alice"]);
    let lines: Vec<&str> = history.lines().collect();
    assert!(lines[0].starts_with("   1  ") && lines[0].ends_with("alice: (taken back)"), "{history}");
    assert!(lines[3].starts_with("   4  ") && lines[3].ends_with("* alice took back message 3"), "{history}");
    let json = server.does("bob", &["history", "direct:alice", "--limit", "2", "--json"]);
    assert!(json.contains("\"is_retracted\":true") && json.contains("\"target\":3"), "{json}");
}

#[test]
fn a_chat_outlives_its_server_and_says_what_is_lost() {
    let mut server = Server::start();
    let address = server.target.trim_start_matches("tcp://").to_owned();
    let mut alice = Chat::of(&server, "alice");
    alice.types("/create team");
    alice.shows("group:team is made");
    server.ends();
    alice.shows("* not connected");
    alice.types("/to direct:bob");
    alice.types("written while there was no server");
    alice.shows("this is sent when the server is there again");
    let server = Server::start_at(&address);
    alice.shows("* connected again");
    alice.shows("* group:team does not come any more");
    let heard = server.does("bob", &["listen", "--count", "1"]);
    assert!(heard.ends_with("alice: written while there was no server\n"), "{heard}");
}
