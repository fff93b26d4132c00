//! Traffic against the real server: everything that is said comes once, whoever comes and goes meanwhile, and the report says so.

mod support;

use std::process::Output;

use serde_json::Value;
use support::{Server, load};

/// Runs a scenario; the server keeps nothing on disk unless `durable`.
fn play(name: &str, options: &[&str], arguments: &str) -> (Output, Value) {
    let server = Server::start(options);
    let scenario = arguments.split(' ').next().unwrap_or_default();
    let rest = &arguments[scenario.len()..];
    load(name, &format!("{scenario} --target {} --server-pid {} --cpus 0,1 --warmup 0.3 {rest}", server.target, server.pid()))
}

fn number(figures: &Value, key: &str) -> u64 {
    figures[key].as_u64().unwrap_or_else(|| panic!("{key}: {figures:#}"))
}

fn assert_clean(output: &Output, figures: &Value) {
    assert!(output.status.success(), "{}\n{figures:#}", String::from_utf8_lossy(&output.stderr));
    for key in ["lost", "duplicated", "out_of_order", "unexpected", "disconnects", "unsent", "holes", "not_resumed", "gaps"] {
        assert_eq!(figures[key], 0, "{key}: {figures:#}");
    }
    assert!(number(figures, "sent") > 0, "{figures:#}");
    assert_eq!(figures["sent"], figures["acked"], "{figures:#}");
    assert_eq!(figures["delivered"], figures["expected"], "{figures:#}");
}

/// The deliveries of a class in a part of the run.
fn deliveries(figures: &Value, class: &str, when: &str) -> u64 {
    let classes = figures["classes"].as_array().unwrap_or_else(|| panic!("classes: {figures:#}"));
    let found = classes.iter().find(|found| found["class"] == class && found["when"] == when);
    found.unwrap_or_else(|| panic!("{class} {when}: {figures:#}"))["deliveries"].as_u64().unwrap_or_default()
}

#[test]
fn who_drops_in_a_storm_misses_nothing() {
    let options = "storm --connections 60 --drop 40 --away 0.5 --aftermath 0.5 --rate 2000 --duration 1 --pings";
    for (name, durable) in [("storm-memory", false), ("storm-disk", true)] {
        let memory = ["--direct-durability", "memory", "--group-durability", "memory"];
        let (output, figures) = play(name, if durable { &[] } else { &memory }, options);
        assert_clean(&output, &figures);
        assert_eq!((number(&figures, "dropped"), number(&figures, "returned")), (40, 40));
        let back_s = figures["storm"]["all_back_s"].as_f64().expect("all came back");
        assert!((0.5..60.0).contains(&back_s), "{figures:#}");
        for (class, when) in [("others", "before"), ("others", "during"), ("returning", "before"), ("returning", "during")] {
            assert!(deliveries(&figures, class, when) > 50, "{class} {when}: {figures:#}");
        }
        assert!(figures["pings_during_us"]["p50"].as_f64() > Some(0.0), "{figures:#}");
        let table = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(table.contains("40 sessions dropped: all back after"), "{table}");
    }
}

#[test]
fn what_a_server_forgets_while_somebody_is_away_is_lost_and_said() {
    let forgetful = ["--direct-durability", "memory", "--direct-history-messages-max", "5"];
    let (output, figures) =
        play("storm-forgetful", &forgetful, "storm --connections 6 --drop 2 --rate 1000 --duration 0.5 --drain 1");
    assert_eq!(output.status.code(), Some(1), "{figures:#}");
    assert!(number(&figures, "lost") > 10 && number(&figures, "gaps") > 0, "{figures:#}");
    assert_eq!(number(&figures, "returned"), 2, "{figures:#}");
}

#[test]
fn options_without_sense_are_said() {
    for (name, arguments, said) in [
        ("storm-all", "storm --connections 10 --drop 9", "2 of the 10 connections must stay"),
        ("storm-window", "storm --window 3", "--rate"),
    ] {
        let (output, _) = load(name, arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    }
}
