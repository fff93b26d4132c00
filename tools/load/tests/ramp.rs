//! `ramp` against the real server: rates rise until one does not hold, and the report names the last that did.

mod support;

use serde_json::Value;
use support::{Server, load};

fn rates(figures: &Value) -> Vec<(u64, bool)> {
    let steps = figures["steps"].as_array().expect("steps");
    steps.iter().map(|step| (step["rate_per_s"].as_f64().expect("a rate") as u64, step["has_held"] == true)).collect()
}

const STEPS: &str = "--duration 0.5 --warmup 0.2 --cpus 0,1";

#[test]
fn every_rate_holds_up_to_the_highest_that_is_tried() {
    let server = Server::start(&[]);
    for (name, kind) in [("ramp-direct", "direct"), ("ramp-mixed", "mixed --contacts 4")] {
        let options = "--from 100 --to 300 --factor 2 --p99-ms 60000 --tries 3";
        let arguments = format!("ramp {options} {kind} --target {} --connections 20 {STEPS}", server.target);
        let (output, figures) = load(name, &arguments);
        assert!(output.status.success(), "{}\n{figures:#}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(rates(&figures), [(100, true), (200, true), (300, true)], "{figures:#}");
        assert_eq!((&figures["knee_per_s"], &figures["lost"]), (&Value::from(300.0), &Value::from(0)), "{figures:#}");
        let table = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(table.contains("300 messages per second"), "{table}");
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
