//! The whole program against its own floor server: everything that is sent arrives once and in order, and the report says so.

mod support;

use std::process::Output;

use serde_json::Value;
use support::load;

fn assert_clean(output: &Output, figures: &Value) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{figures:#}");
    for key in ["lost", "duplicated", "out_of_order", "unexpected", "disconnects", "unsent", "refused"] {
        assert_eq!(figures[key], 0, "{key}: {figures:#}");
    }
    assert!(figures["sent"].as_u64() > Some(0), "{figures:#}");
    assert_eq!(figures["sent"], figures["acked"], "{figures:#}");
    assert_eq!(figures["delivered"], figures["expected"], "{figures:#}");
}

#[test]
fn a_closed_loop_loses_nothing() {
    let (output, figures) = load("window", "floor --members 20 --window 4 --duration 1 --warmup 0.2");
    assert_clean(&output, &figures);
    assert_eq!(figures["expected"].as_u64(), figures["sent"].as_u64().map(|sent| sent * 20));
    assert!(figures["latency_us"]["p50"].as_f64() > Some(0.0));
    assert!(figures["server_process_cpu_us_per_delivery"].is_number());
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(table.contains("delivered / expected"), "{table}");
}

#[test]
fn an_open_loop_sends_what_was_asked_for() {
    let (output, figures) = load("rate", "floor --members 5 --rate 200 --duration 1 --warmup 0.2");
    assert_clean(&output, &figures);
    let sent = figures["sent"].as_u64();
    assert!((Some(199)..=Some(201)).contains(&sent), "{sent:?}");
}

#[test]
fn workers_share_a_group() {
    // Without --cpus there is one worker for each CPU of this process.
    let (output, figures) = load("workers", "floor --members 9 --window 2 --duration 1 --warmup 0");
    assert_clean(&output, &figures);
}

#[test]
fn what_makes_no_sense_is_said() {
    for (name, arguments, said) in [
        ("payload", "floor --payload 8", "at least 32 bytes"),
        ("target", "group --target wss://localhost:1", "tcp://HOST:PORT"),
        ("members", "floor --members 0", "at least 1"),
        ("odd", "direct --connections 3", "even number"),
        ("pings", "group --pings --target redis://127.0.0.1:1", "not for redis"),
        ("nobody", "idle --connections 1 --target tcp://127.0.0.1:1 --duration 1", "is the server running"),
    ] {
        let (output, _) = load(name, arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    }
}
