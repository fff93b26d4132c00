//! The whole program against a stand-in for another server: what it delivers is counted like Campanile's own.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use support::load;

/// What the stand-in does with messages.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// Delivers each once.
    Honest,
    /// Keeps every tenth to itself.
    Loses,
    /// Delivers every tenth twice.
    Repeats,
    /// Acknowledges nothing.
    Silent,
    /// Says no to everybody.
    Refuses,
    /// Speaks something else.
    Babbles,
}

type Subscribers = Arc<Mutex<Vec<(Vec<u8>, TcpStream)>>>;

/// Redis, as far as the load client speaks it.
fn redis(manner: Manner) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let subscribers = Subscribers::default();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let subscribers = subscribers.clone();
            thread::spawn(move || serve(&stream, manner, &subscribers));
        }
    });
    port
}

/// Ends with the connection, whatever ends it.
fn serve(stream: &TcpStream, manner: Manner, subscribers: &Subscribers) -> Option<()> {
    let mut input = BufReader::new(stream.try_clone().ok()?);
    let mut published = 0_u64;
    loop {
        let words = command(&mut input)?;
        let mut to = stream;
        match (words[0].as_slice(), manner) {
            (_, Manner::Refuses) => to.write_all(b"-NOAUTH Authentication required.\r\n").ok()?,
            (_, Manner::Babbles) => to.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").ok()?,
            (b"HELLO", _) => to.write_all(b"%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n").ok()?,
            (b"PING", _) => to.write_all(b"+PONG\r\n").ok()?,
            (b"SUBSCRIBE", _) => {
                let mut all = subscribers.lock().ok()?;
                to.write_all(b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n").ok()?;
                all.push((words[1].clone(), stream.try_clone().ok()?));
            }
            (b"PUBLISH", _) => {
                published += 1;
                let times = match manner {
                    Manner::Loses if published.is_multiple_of(10) => 0,
                    Manner::Repeats if published.is_multiple_of(10) => 2,
                    _ => 1,
                };
                let length = format!("${}\r\n", words[2].len());
                let push = [b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n", length.as_bytes(), &words[2], b"\r\n"].concat();
                for (_, receiver) in subscribers.lock().ok()?.iter_mut().filter(|(channel, _)| *channel == words[1]) {
                    receiver.write_all(&push.repeat(times)).ok()?;
                }
                if manner != Manner::Silent {
                    to.write_all(b":1\r\n").ok()?;
                }
            }
            _ => return None,
        }
    }
}

/// A list of strings.
fn command(input: &mut impl BufRead) -> Option<Vec<Vec<u8>>> {
    let mut line = String::new();
    input.read_line(&mut line).ok()?;
    let count: usize = line.strip_prefix('*')?.trim().parse().ok()?;
    let mut words = Vec::new();
    for _ in 0..count {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let mut word = vec![0; line.strip_prefix('$')?.trim().parse::<usize>().ok()? + 2];
        input.read_exact(&mut word).ok()?;
        word.truncate(word.len() - 2);
        words.push(word);
    }
    Some(words)
}

const SHORT: &str = "--duration 0.5 --warmup 0.1 --drain 0.5";

#[test]
fn an_honest_server_is_clean() {
    let target = format!("redis://127.0.0.1:{}", redis(Manner::Honest));
    for (name, scenario) in [
        ("peer-group", "group --members 5 --window 3"),
        ("peer-direct", "direct --connections 6 --window 2"),
        ("peer-rate", "direct --connections 6 --rate 200"),
    ] {
        let (output, figures) = load(name, &format!("{scenario} --target {target} {SHORT}"));
        assert!(output.status.success(), "{}\n{figures:#}", String::from_utf8_lossy(&output.stderr));
        assert_eq!((&figures["over"], &figures["lost"]), (&"redis".into(), &0.into()));
        assert!(figures["delivered"].as_u64() > Some(0) && figures["delivered"] == figures["expected"], "{figures:#}");
        assert_eq!(figures["acked"], figures["sent"], "{figures:#}");
    }
}

#[test]
fn heartbeats_are_sent_as_often_as_asked_and_answered() {
    let target = format!("redis://127.0.0.1:{}", redis(Manner::Honest));
    let (output, figures) = load("peer-idle", &format!("idle --connections 10 --heartbeat 50 --target {target} {SHORT}"));
    assert!(output.status.success(), "{}\n{figures:#}", String::from_utf8_lossy(&output.stderr));
    // 10 sessions, 20 times a second each, for 0.6 s: no more, however late some are.
    let pings = figures["pings"].as_u64().expect("a number");
    assert!(pings > 0 && pings <= 121, "{figures:#}");
    assert_eq!(figures["pongs"], pings);
}

#[test]
fn what_a_server_does_wrong_is_seen() {
    for (manner, key) in [(Manner::Loses, "lost"), (Manner::Repeats, "duplicated")] {
        let target = format!("redis://127.0.0.1:{}", redis(manner));
        let (output, figures) = load(&format!("peer-{key}"), &format!("group --members 5 --window 20 --target {target} {SHORT}"));
        assert_eq!(output.status.code(), Some(1), "{}\n{figures:#}", String::from_utf8_lossy(&output.stderr));
        assert!(figures[key].as_u64() > Some(0), "{figures:#}");
    }
    let target = format!("redis://127.0.0.1:{}", redis(Manner::Silent));
    let (output, figures) = load("peer-silent", &format!("group --members 5 --window 2 --target {target} {SHORT}"));
    assert_eq!(output.status.code(), Some(1), "{figures:#}");
    assert_eq!((&figures["drain_gave_up"], &figures["acked"]), (&true.into(), &0.into()));
}

#[test]
fn a_server_that_is_another_one_is_told() {
    for (manner, words) in
        [(Manner::Refuses, "NOAUTH Authentication required."), (Manner::Babbles, "it is not the protocol of redis")]
    {
        let target = format!("redis://127.0.0.1:{}", redis(manner));
        let (output, _) = load("peer-none", &format!("direct --connections 2 --target {target} {SHORT}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(words), "{said}");
    }
}

#[test]
fn what_only_campanile_can_be_asked_is_refused() {
    for scenario in ["backlog", "cold", "direct --verify", "mixed"] {
        let (output, _) = load("peer-own", &format!("{scenario} --target redis://127.0.0.1:1"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains("only be asked of Campanile"), "{scenario}: {said}");
    }
}

#[test]
fn the_echo_floor_counts_its_echoes() {
    let (output, figures) = load("echo-floor", "echo-floor --connections 20 --heartbeat 20 --duration 0.5 --warmup 0.1");
    assert!(output.status.success(), "{}\n{figures:#}", String::from_utf8_lossy(&output.stderr));
    assert!(figures["pongs"].as_u64() > Some(0) && figures["pongs"] == figures["pings"], "{figures:#}");
    assert!(figures["server_process_cpu"].as_f64().is_some(), "{figures:#}");
}
