//! `nats-floor` against a server that speaks as much of NATS as it needs, and refuses some messages on purpose.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use support::load;

/// Serves connections, a thread each, for as long as the test lives. Every `refuse`th message is answered with an error; 0: none.
fn server(refuse: u64) -> (u16, Arc<AtomicU64>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let stored = Arc::new(AtomicU64::new(0));
    let of_server = stored.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let stored = of_server.clone();
            // The client closes when it is done; what is on its way then is nobody's.
            std::thread::spawn(move || drop(serve(&stream, &stored, refuse)));
        }
    });
    (port, stored)
}

fn serve(mut stream: &TcpStream, stored: &AtomicU64, refuse: u64) -> std::io::Result<()> {
    stream.write_all(b"INFO {\"server_id\":\"fake\"}\r\nPING\r\n")?;
    let mut input = BufReader::new(stream);
    let mut line = String::new();
    while input.read_line(&mut line)? > 0 {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if let ["PUB", subject, reply, length] = words[..] {
            let mut body = vec![0; length.parse::<usize>().expect("a length") + 2];
            input.read_exact(&mut body)?;
            let answer = if subject.starts_with("$JS.API.STREAM.DELETE") {
                "{\"error\":{\"code\":404}}".to_owned()
            } else if subject.starts_with("$JS.API.STREAM.CREATE") {
                "{\"config\":{}}".to_owned()
            } else {
                assert!(subject.starts_with("floor.") && body.len() == 128 + 2, "{line}");
                let number = stored.fetch_add(1, Ordering::Relaxed) + 1;
                let is_refused = refuse != 0 && number.is_multiple_of(refuse);
                if is_refused {
                    "{\"error\":{\"code\":503}}".to_owned()
                } else {
                    format!("{{\"stream\":\"S\",\"seq\":{number}}}")
                }
            };
            stream.write_all(format!("MSG {reply} 1 {}\r\n{answer}\r\n", answer.len()).as_bytes())?;
        }
        line.clear();
    }
    Ok(())
}

#[test]
fn acks_are_counted() {
    let (port, stored) = server(0);
    let options = "--connections 5 --window 3 --seconds 1 --warmup 0.1 --subjects 7 --cpus 0,1";
    let (output, figures) = load("nats", &format!("nats-floor --target 127.0.0.1:{port} {options}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let acked = figures["acked"].as_u64().expect("a number");
    assert!(acked > 10 && acked <= stored.load(Ordering::Relaxed), "{figures:#}");
    assert!(figures["ack_latency_us"]["p50"].as_f64() > Some(0.0), "{figures:#}");
}

#[test]
fn what_is_not_stored_is_told() {
    let (port, _) = server(10);
    let options = "--connections 2 --window 2 --seconds 0.5 --warmup 0";
    let (output, figures) = load("nats-refused", &format!("nats-floor --target 127.0.0.1:{port} {options}"));
    assert_eq!(output.status.code(), Some(1), "{figures:#}");
    assert!(figures["refused"].as_u64() > Some(0), "{figures:#}");
}

#[test]
fn a_server_that_is_not_there_is_said() {
    let (output, _) = load("nats-nobody", "nats-floor --target 127.0.0.1:1 --seconds 1");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot connect to 127.0.0.1:1"));
}
