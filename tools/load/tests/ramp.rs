//! `ramp` against the real server: rates rise until one does not hold, and the report names the last that did.

mod support;

use serde_json::Value;
use support::{Server, load};

/// Each rate that was tried, in order, and whether it held at last. Only what did not hold is tried again.
fn rates(figures: &Value) -> Vec<(u64, bool)> {
    let mut rates: Vec<(u64, bool)> = Vec::new();
    for step in figures["steps"].as_array().expect("steps") {
        let (rate, has_held) = (step["rate_per_s"].as_f64().expect("a rate") as u64, step["has_held"] == true);
        match rates.last_mut().filter(|(before, _)| *before == rate) {
            Some((_, held)) => assert!(!std::mem::replace(held, has_held), "what holds is not tried again: {figures:#}"),
            None => rates.push((rate, has_held)),
        }
    }
    rates
}

const STEPS: &str = "--duration 0.5 --warmup 0.2 --cpus 0,1";

/// What a rate takes is the machine's affair: here it counts that what was seen decides what is tried next, and what is said.
#[test]
fn rates_rise_as_long_as_they_hold() {
    let server = Server::start(&[]);
    for (name, kind) in [("ramp-direct", "direct"), ("ramp-mixed", "mixed --contacts 4")] {
        let options = "--from 8 --to 24 --factor 2 --refine 0 --p99-ms 60000 --tries 3";
        let arguments = format!("ramp {options} {kind} --target {} --connections 20 {STEPS}", server.target);
        let (output, figures) = load(name, &arguments);
        assert!(output.status.success(), "{}\n{figures:#}", String::from_utf8_lossy(&output.stderr));
        let rates = rates(&figures);
        let held = rates.iter().take_while(|(_, has_held)| *has_held).count();
        let rising: Vec<u64> = rates.iter().take(held + 1).map(|(rate, _)| *rate).collect();
        assert_eq!(rising[..], [8, 16, 24][..rising.len()], "{figures:#}");
        assert!(held == 3 || held < rates.len(), "it goes on until one does not hold: {figures:#}");
        let knee = rates.iter().filter(|(_, has_held)| *has_held).map(|(rate, _)| *rate).max();
        assert_eq!((figures["knee_per_s"].as_f64(), &figures["lost"]), (knee.map(|k| k as f64), &Value::from(0)), "{figures:#}");
        let table = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(knee.is_none_or(|knee| table.contains(&format!("{knee} messages per second"))), "{table}");
    }
}

#[test]
fn no_rate_holds_a_bound_that_cannot_be_held() {
    let server = Server::start(&[]);
    let options = "--from 64 --factor 8 --p99-ms 0.001 --refine 0 --tries 1";
    let (output, figures) =
        load("ramp-none", &format!("ramp {options} direct --target {} --connections 4 {STEPS}", server.target));
    assert!(output.status.success(), "nothing was lost: {figures:#}");
    assert_eq!(figures["knee_per_s"], Value::Null);
    let rates = rates(&figures);
    assert_eq!(rates[..3], [(64, false), (8, false), (1, false)]);
}

#[test]
fn what_makes_no_sense_is_said() {
    for (name, arguments, said) in [
        ("ramp-order", "ramp --from 10 --to 5 direct", "not the other way round"),
        ("ramp-factor", "ramp --factor 1 direct", "more than 1"),
        ("ramp-rate", "ramp direct --rate 5", "--from and --to"),
        ("ramp-pings", "ramp mixed --pings", "not while the rate is raised"),
    ] {
        let (output, _) = load(name, arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    }
}
