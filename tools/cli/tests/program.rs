//! The program itself against a scripted peer: what it prints, where, and how it ends.
#![allow(missing_docs, clippy::expect_used)]

#[allow(dead_code)]
#[path = "../../client/tests/peer/mod.rs"]
mod peer;

use std::process::{Output, Stdio};

use campanile::wire::Encoder;
use campanile::wire::schema::{self as s, Body, CloseCode};
use peer::{Peer, Session};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

fn program(target: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_campanile-cli"));
    command.args(["--user", "alice", "--target", target]).args(arguments).env("TZ", "UTC").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn ends(target: &str, arguments: &[&str]) -> Output {
    program(target, arguments).output().await.expect("the program runs")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn say_error(session: &mut Session, reference: u64, code: s::ErrorCode) {
    let args = s::ErrorArgs { code, ..Default::default() };
    let bytes = Encoder::default().frame(reference, |b| s::Error::create(b, &args)).to_vec();
    session.send(&bytes).await;
}

#[tokio::test]
async fn send_prints_the_place() {
    let peer = Peer::start().await;
    let sending = ends(&peer.target, &["send", "direct:bob", "hi there"]);
    let serving = async {
        let mut session = peer.welcome().await;
        assert!(session.connect_device().starts_with("cli-"));
        let (reference, client_id, text) = session.publish().await;
        assert_eq!((text.as_str(), client_id.is_empty()), ("hi there", false));
        session.say_ack(reference, 3).await;
        session.ended().await;
    };
    let (output, ()) = tokio::join!(sending, serving);
    assert_eq!((out(&output).as_str(), output.status.code()), ("direct:bob seq 3 epoch 7\n", Some(0)), "{}", err(&output));
}

#[tokio::test]
async fn what_the_server_refuses_fails_with_cause_and_cure() {
    let peer = Peer::start().await;
    let sending = ends(&peer.target, &["send", "group:team", "hi", "--json"]);
    let serving = async {
        let mut session = peer.welcome().await;
        let (reference, ..) = session.publish().await;
        say_error(&mut session, reference, s::ErrorCode::unknown_conversation).await;
        session.ended().await;
    };
    let (output, ()) = tokio::join!(sending, serving);
    assert_eq!((out(&output).as_str(), output.status.code()), ("", Some(1)));
    assert!(
        err(&output).contains("There is no such conversation, or you are not in it. `conversations` lists yours"),
        "{}",
        err(&output)
    );
}

#[tokio::test]
async fn nobody_there_and_nobody_said_who() {
    let output = ends("tcp://127.0.0.1:1", &["send", "direct:bob", "hi"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("Is the server running there?"), "{}", err(&output));
    let output = Command::new(env!("CARGO_BIN_EXE_campanile-cli")).arg("conversations").output().await.expect("runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("--user alice"), "{}", err(&output));
}

#[tokio::test]
async fn listen_prints_json_and_ends_after_the_count() {
    let peer = Peer::start().await;
    let listening = ends(&peer.target, &["listen", "--json", "--count", "2"]);
    let serving = async {
        let mut session = peer.welcome().await;
        for (seq, text) in [(1, "one"), (2, "two"), (3, "three")] {
            session.say_message(seq, text).await;
        }
        session.ended().await;
    };
    let (output, ()) = tokio::join!(listening, serving);
    let bodies: Vec<String> = out(&output)
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["body"].to_string())
        .collect();
    assert_eq!((bodies, output.status.code()), (vec!["\"one\"".to_owned(), "\"two\"".to_owned()], Some(0)), "{}", err(&output));
}

#[tokio::test]
async fn listen_goes_on_after_a_reconnect_and_says_so_on_standard_error() {
    let peer = Peer::start().await;
    let listening = ends(&peer.target, &["listen", "direct:bob", "--count", "2"]);
    let serving = async {
        let mut session = peer.welcome().await;
        session.say_message(1, "one").await;
        session.say_go_away(CloseCode::shutting_down, 1).await;
        session.ended().await;
        let mut session = peer.welcome().await;
        session.say_message(2, "two").await;
        session.ended().await;
    };
    let (output, ()) = tokio::join!(listening, serving);
    assert_eq!(out(&output), "00:00 [direct:bob] bob: one\n00:00 [direct:bob] bob: two\n");
    let said = err(&output);
    assert!(said.contains("not connected: the server says shutting_down") && said.contains("connected again"), "{said}");
}

#[tokio::test]
async fn the_chat_takes_lines_from_a_pipe() {
    let peer = Peer::start().await;
    let mut chat = program(&peer.target, &[]).stdin(Stdio::piped()).spawn().expect("the program runs");
    let mut typing = chat.stdin.take().expect("piped");
    typing.write_all(b"nowhere\n/to direct:bob\nhello bob\n/dance\n").await.expect("written");
    drop(typing);
    let serving = async {
        let mut session = peer.welcome().await;
        assert_eq!(session.connect_device(), "terminal");
        let reference = session.next().await.ref_();
        assert_eq!(session.verb(), Body::Conversations);
        let empty = s::ConversationsPageArgs::default();
        let bytes = Encoder::default().frame(reference, |b| s::ConversationsPage::create(b, &empty)).to_vec();
        session.send(&bytes).await;
        let (reference, _, text) = session.publish().await;
        assert_eq!(text, "hello bob");
        session.say_message(1, "psst").await;
        session.say_ack(reference, 2).await;
        while session.receives().await {
            let reference = session.frame().ref_();
            assert_eq!(session.verb(), Body::Receipt);
            let bytes = Encoder::default().frame(reference, |b| s::Done::create(b, &s::DoneArgs {})).to_vec();
            session.send(&bytes).await;
        }
    };
    let (output, ()) = tokio::join!(chat.wait_with_output(), serving);
    let output = output.expect("the program ends");
    let shown = out(&output);
    for part in [
        "Connected to tcp://",
        "as alice",
        "/help",
        "! your lines go nowhere yet",
        "[direct:bob] bob: psst",
        "! there is no command /dance",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
}
