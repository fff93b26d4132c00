//! The whole program against the real server: what was acknowledged is there, and the report says so.

mod support;

use serde_json::Value;
use support::{Server, load};

/// Keeps all that a short run publishes, whatever keeps it.
const KEEP_ALL: [&str; 4] = ["--history-messages-max", "10000000", "--history-bytes-max", "1000000000"];

fn assert_counts(figures: &Value, counts: &[(&str, u64)]) {
    for (key, count) in counts {
        assert_eq!(figures[key], *count, "{key}: {figures:#}");
    }
}

#[test]
fn everyone_writes_to_everyone_and_reads_it_all_back() {
    let server = Server::start(&KEEP_ALL);
    let spoken = server.spoken();
    let [tcp, ws, json] = &spoken;
    for ((over, target), peers) in [(tcp, "pairs"), (tcp, "random"), (ws, "random"), (json, "random")] {
        let options = "--connections 16 --window 8 --seconds 1 --warmup 0.2 --cpus 0,1 --verify";
        let (output, figures) = load(&format!("{peers}-{over}"), &format!("direct {target} --peers {peers} {options}"));
        assert_eq!(figures["over"], *over);
        assert!(output.status.success(), "{}\n{figures:#}", String::from_utf8_lossy(&output.stderr));
        assert_counts(&figures, &[("lost", 0), ("duplicated", 0), ("out_of_order", 0), ("unexpected", 0)]);
        let verified = &figures["verified"];
        let clean = [("missing", 0), ("different", 0), ("twice", 0), ("holes", 0), ("unchecked", 0), ("same_place", 0)];
        assert_counts(verified, &clean);
        let acked = verified["acked"].as_u64().expect("a number");
        assert!(acked > 100, "{figures:#}");
        assert_counts(verified, &[("read_back", 2 * acked), ("expected", 2 * acked), ("unacked", 0)]);
        assert!(figures["longest_stall_ms"].as_f64() > Some(0.0));
    }
}

#[test]
fn a_group_reads_back_what_its_owner_published() {
    let server = Server::start(&KEEP_ALL);
    for (over, target) in server.spoken() {
        let options = "--members 8 --window 4 --seconds 1 --warmup 0.2 --verify --pings";
        let (output, figures) = load(&format!("group-{over}"), &format!("group {target} {options}"));
        assert!(output.status.success(), "{}\n{figures:#}", String::from_utf8_lossy(&output.stderr));
        let verified = &figures["verified"];
        assert_counts(verified, &[("readings", 2), ("missing", 0), ("holes", 0), ("unacked", 0)]);
        assert!(figures["pings_during_us"]["p99"].as_f64() > Some(0.0), "{figures:#}");
        assert_eq!(verified["read_back"].as_u64(), verified["acked"].as_u64().map(|acked| 2 * acked));
    }
}

#[test]
fn sessions_are_held_over_whatever_is_spoken() {
    let server = Server::start(&[]);
    for (over, target) in server.spoken() {
        let (output, figures) =
            load(&format!("idle-{over}"), &format!("idle {target} --connections 100 --attach 3 --seconds 0.5 --warmup 0"));
        assert!(output.status.success(), "{}\n{figures:#}", String::from_utf8_lossy(&output.stderr));
        assert_eq!((&figures["over"], &figures["connections"]), (&over.into(), &100.into()));
    }
}

#[test]
fn who_asks_for_json_is_told_what_it_costs_and_where_there_is_none() {
    let server = Server::start(&[]);
    let short = "--connections 2 --seconds 0.2 --warmup 0";
    let (output, _) = load("json-note", &format!("direct --target {} --encoding json {short}", server.ws));
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(table.contains("JSON is written and read by this program too"), "{table}");
    let (output, _) = load("json-tcp", &format!("direct --target {} --encoding json {short}", server.target));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(told.contains("there is no JSON over TCP"), "{told}");
    // A server that speaks no WebSocket there.
    let (output, _) = load("ws-tcp", &format!("direct --target {} {short}", server.target.replace("tcp://", "ws://")));
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_is_not_kept_is_missing() {
    let server = Server::start(&["--direct-durability", "memory", "--direct-history-messages-max", "10"]);
    let options = "--connections 2 --window 4 --seconds 0.5 --warmup 0 --verify";
    let (output, figures) = load("missing", &format!("direct --target {} {options}", server.target));
    assert_eq!(output.status.code(), Some(1), "{figures:#}");
    let verified = &figures["verified"];
    assert_counts(verified, &[("read_back", 2 * 10), ("different", 0), ("twice", 0), ("holes", 0)]);
    assert_eq!(verified["missing"].as_u64(), verified["acked"].as_u64().map(|acked| 2 * (acked - 10)));
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(table.contains("missing"), "{table}");
}

#[test]
fn what_has_no_room_is_told() {
    let server = Server::start(&KEEP_ALL);
    let options = "--connections 2 --window 4 --seconds 0.5 --warmup 0 --verify --verify-places 50 --cpus 0";
    let (output, figures) = load("unchecked", &format!("direct --target {} {options}", server.target));
    assert!(output.status.success(), "{figures:#}");
    assert_counts(&figures["verified"], &[("acked", 50), ("missing", 0)]);
    assert!(figures["verified"]["unchecked"].as_u64() > Some(0), "{figures:#}");
}

#[test]
fn all_who_log_in_at_once_get_what_waits_for_them() {
    let server = Server::start(&KEEP_ALL);
    for (over, target) in server.spoken() {
        let options = "--users 40 --messages 30 --publishers 7 --pings --cpus 0,1";
        let (output, figures) = load(&format!("backlog-{over}"), &format!("backlog {target} {options}"));
        assert!(output.status.success(), "{}\n{figures:#}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(figures["over"], over);
        assert_counts(&figures, &[("caught_up", 40), ("delivered", 1200), ("expected", 1200), ("filled_messages", 1200)]);
        assert_counts(&figures, &[("lost", 0), ("duplicated", 0), ("out_of_order", 0), ("unexpected", 0), ("gaps", 0)]);
        for key in ["catch_up_us", "caught_up_after_us", "pings_before_us", "pings_during_us"] {
            assert!(figures[key]["p50"].as_f64() > Some(0.0), "{key}: {figures:#}");
        }
        let table = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(table.contains("40 of 40"), "{table}");
    }
}

#[test]
fn a_backlog_that_is_not_kept_is_lost() {
    let server = Server::start(&["--direct-durability", "memory", "--direct-history-messages-max", "10"]);
    let options = "--users 3 --messages 30 --publishers 1 --drain 1";
    let (output, figures) = load("backlog-lost", &format!("backlog --target {} {options}", server.target));
    assert_eq!(output.status.code(), Some(1), "{figures:#}");
    assert_counts(&figures, &[("caught_up", 0), ("delivered", 30), ("lost", 60), ("gaps", 3)]);
}

#[test]
fn the_newest_messages_of_cold_conversations_are_read() {
    let server = Server::start(&KEEP_ALL);
    let pid = server.pid();
    let options = "--conversations 50 --messages 1040 --publishers 4 --page 20 --reads 200 --readers 3 --cpus 0,1";
    for (over, target) in server.spoken() {
        let (output, figures) = load(&format!("cold-{over}"), &format!("cold {target} --server-pid {pid} {options}"));
        assert!(output.status.success(), "{}\n{figures:#}", String::from_utf8_lossy(&output.stderr));
        assert_counts(&figures, &[("reads", 200), ("wrong", 0), ("unexpected", 0)]);
        assert!(figures["server_rss_after_reads_bytes"].as_u64() > Some(1 << 20), "{figures:#}");
        assert_eq!(figures["over"], over);
    }
}

#[test]
fn what_another_run_laid_in_store_is_read() {
    let server = Server::start(&KEEP_ALL);
    let target = &server.target;
    let options = "--conversations 50 --messages 1040 --publishers 4 --page 20 --reads 200 --readers 3 --cpus 0,1";
    let (_, figures) = load("cold", &format!("cold --target {target} {options}"));
    let run = figures["run"].as_str().expect("a number");
    let again = format!("cold --target {target} {options} --only read --run {run}");
    let (output, figures) = load("cold-again", &again);
    assert!(output.status.success(), "{}\n{figures:#}", String::from_utf8_lossy(&output.stderr));
    assert_counts(&figures, &[("reads", 200), ("wrong", 0), ("unexpected", 0)]);
    // One more than there is, in each conversation.
    let (output, figures) = load("cold-wrong", &again.replace("--messages 1040", "--messages 1090"));
    assert_eq!(output.status.code(), Some(1), "{figures:#}");
    assert!(figures["wrong"].as_u64() > Some(0), "{figures:#}");
}
