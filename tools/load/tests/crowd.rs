//! A crowd against the real server: who drops misses nothing, nothing comes twice, and the report says what a session costs.

mod support;

use serde_json::Value;
use support::{Server, load};

const IN_MEMORY: [&str; 4] = ["--direct-durability", "memory", "--broadcast-durability", "memory"];

fn number(figures: &Value, key: &str) -> u64 {
    figures[key].as_u64().unwrap_or_else(|| panic!("{key}: {figures:#}"))
}

fn deliveries(figures: &Value, key: &str) -> Vec<u64> {
    let turns = figures[key].as_array().unwrap_or_else(|| panic!("{key}: {figures:#}"));
    turns.iter().map(|turn| number(turn, "deliveries")).collect()
}

#[test]
fn who_drops_out_of_a_crowd_misses_nothing() {
    let server = Server::start(&IN_MEMORY);
    let (pid, target) = (server.pid(), &server.target);
    let options =
        "--connections 300 --sample 40 --messages 5 --broadcasts 2 --drop 20 --rest 0.2 --cpus 0,1 --workers 3 --per-address 100";
    let (output, figures) = load("crowd", &format!("crowd --target {target} --server-pid {pid} {options}"));
    assert!(output.status.success(), "{}\n{figures:#}", String::from_utf8_lossy(&output.stderr));
    for key in ["lost", "duplicated", "out_of_order", "unexpected", "disconnects", "holes", "not_resumed", "never_back", "gaps"] {
        assert_eq!(figures[key], 0, "{key}: {figures:#}");
    }
    // Each of the sample sends five, twice; and there are five messages to all, of which one comes to 60 of the 299 only after their return.
    assert_eq!((number(&figures, "sent"), number(&figures, "acked")), (2 * 40 * 5 + 5, 405));
    assert_eq!((number(&figures, "delivered"), number(&figures, "expected")), (400 + 5 * 299, 400 + 5 * 299));
    assert_eq!(deliveries(&figures, "direct"), [200, 200]);
    assert_eq!((deliveries(&figures, "to_all_before"), deliveries(&figures, "to_all_after")), (vec![299; 2], vec![299; 2]));
    assert_eq!(deliveries(&figures, "to_all_meanwhile"), [239]);
    assert_eq!((number(&figures, "dropped"), number(&figures, "returned")), (60, 60));
    for key in ["server_rss_bytes_per_session", "client_rss_bytes_per_session", "logins_per_s", "rest_process_cpu", "all_back_s"]
    {
        assert!(figures[key].as_f64().is_some_and(|value| value >= 0.0), "{key}: {figures:#}");
    }
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(table.contains("60 of 60, the last one after") && table.contains("nothing was lost, nothing came twice"), "{table}");
}

#[test]
fn what_a_server_forgets_while_some_are_away_is_lost_and_said() {
    // What is said to all while some are away has expired when they are back.
    let server = Server::start(&[&IN_MEMORY[..], &["--broadcast-history-ttl", "1ms"]].concat());
    let options = "--connections 50 --sample 10 --rest 0 --cpus 0,1 --drain 2";
    let (output, figures) = load("crowd-forgotten", &format!("crowd --target {} {options}", server.target));
    assert_eq!(output.status.code(), Some(1), "{figures:#}");
    assert!(number(&figures, "lost") > 0, "{figures:#}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("NOT everything"), "{figures:#}");
}

#[test]
fn in_an_emulated_machine_no_times_are_told() {
    let server = Server::start(&IN_MEMORY);
    let (output, figures) =
        load("crowd-untimed", &format!("crowd --target {} --connections 20 --rest 0 --cpus 0 --untimed", server.target));
    assert!(output.status.success(), "{figures:#}");
    for key in ["logins_per_s", "rest_process_cpu", "all_back_s"] {
        assert_eq!(figures[key], Value::Null, "{key}: {figures:#}");
    }
    assert!(figures["to_all_before"][0]["took_s"].is_null() && !String::from_utf8_lossy(&output.stdout).contains("per second"));
}
