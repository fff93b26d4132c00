//! The page that `--report` writes, and what of a machine the client can use.

mod support;

use std::path::PathBuf;

use serde_json::Value;
use support::{Server, load};

fn page_of(name: &str, arguments: &str) -> (String, Value) {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.html"));
    let _ = std::fs::remove_file(&path);
    let (output, figures) = load(name, &format!("{arguments} --report {}", path.display()));
    assert!(output.status.success(), "{}\n{figures:#}", String::from_utf8_lossy(&output.stderr));
    (std::fs::read_to_string(&path).expect("a page"), figures)
}

#[test]
fn every_kind_of_scenario_has_a_page_that_needs_nothing_else() {
    let server = Server::start(&[]);
    let target = format!("--target {} --cpus 0,1", server.target);
    let watched = format!("{target} --server-pid {} --warmup 0.2 --durability fsync", server.pid());
    for (name, arguments, wanted) in [
        (
            "page-direct",
            format!("direct --connections 10 --window 2 --duration 2 {watched}"),
            &["Latency distribution", "Latency over time", "Throughput", "CPU", "Memory of the server", "fsync"][..],
        ),
        (
            "page-storm",
            format!("storm --connections 20 --rate 200 --duration 1 --aftermath 0.5 --pings {watched}"),
            &["until all were back", "10 drop", "others during", "pings meanwhile", "never back"][..],
        ),
        (
            "page-idle",
            format!("idle --connections 10 --duration 1.5 {watched}"),
            &["All sessions stayed", "memory per session"][..],
        ),
        (
            "page-backlog",
            format!("backlog --users 10 --messages 5 {target}"),
            &["until all had caught up", "from his own connect"][..],
        ),
        (
            "page-cold",
            format!("cold --conversations 10 --messages 50 --reads 30 {target}"),
            &["pages per second", "wrong pages"][..],
        ),
        (
            "page-ramp",
            format!("ramp --from 100 --to 200 --p99-ms 60000 direct --connections 4 --duration 0.5 {watched}"),
            &["Latency by rate", "knee: 200", "bound of the p99"][..],
        ),
    ] {
        let (page, _) = page_of(name, &arguments);
        for wanted in wanted.iter().chain(&["net.core.somaxconn", "Linux ", "campanile-load 0", "once, and in order"][..3]) {
            assert!(page.contains(wanted), "{name}: {wanted}");
        }
        for command in arguments.split_ascii_whitespace() {
            assert!(page.contains(command), "{name}: {command}");
        }
        for fetched in ["http://", "https://", "src=", "<link", "@import", "url(", "NaN"] {
            assert!(!page.contains(fetched), "{name}: {fetched}");
        }
        assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"), "{name}");
    }
}

#[test]
fn the_run_over_time_is_in_the_figures() {
    let server = Server::start(&[]);
    let options = format!("--target {} --server-pid {} --cpus 0,1 --warmup 0.2", server.target, server.pid());
    let (output, figures) = load("series", &format!("direct --connections 10 --rate 500 --duration 2 {options}"));
    assert!(output.status.success(), "{figures:#}");
    let series = figures["series"].as_array().expect("a series");
    assert!(series.len() >= 2, "{figures:#}");
    assert!(series.iter().all(|sample| sample["server_rss_bytes"].as_u64() > Some(1 << 20)), "{figures:#}");
    let slices = figures["latency_over_time"].as_array().expect("slices");
    assert!(slices.len() > 10 && slices.iter().all(|slice| slice["p50_us"].as_f64() > Some(0.0)), "{figures:#}");
    for key in ["client_worker_busy", "client_worker_waited"] {
        assert!((0.0..=1.5).contains(&figures[key].as_f64().expect("a share")), "{key}: {figures:#}");
    }
    assert!(figures["client_late_us"]["p50"].as_f64() > Some(0.0), "{figures:#}");
}

#[test]
fn workers_and_source_addresses_are_as_many_as_wanted() {
    let server = Server::start(&[]);
    let options = "--connections 30 --workers 5 --cpus 0,1 --source-addresses 127.0.40.1-127.0.40.3 --duration 0.5 --warmup 0";
    let (output, figures) = load("many-workers", &format!("direct --target {} {options}", server.target));
    assert!(output.status.success(), "{}\n{figures:#}", String::from_utf8_lossy(&output.stderr));
    assert_eq!((&figures["lost"], &figures["disconnects"]), (&Value::from(0), &Value::from(0)));
    let (output, _) = load("no-sources", "direct --source-addresses 127.0.0.300");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("127.0.1.1-127.0.1.40"));
}
