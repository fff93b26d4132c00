//! The binary as an operator meets it: what it says and how it exits, before anything listens.
#![cfg(feature = "server")]

use std::process::{Command, Output};

/// The binary, with an environment of nothing but what a test gives.
fn campanile(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_campanile"));
    command.env_clear().args(arguments).envs(environment.iter().copied());
    command.output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Checks that it failed as the operator's errors do: exit 1 and one line `campanile: cause; cure`, which is given back.
fn refusal(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("campanile: ") && said.contains("; ") && said.lines().count() == 1, "{said}");
    said
}

#[test]
fn the_printed_configuration_is_a_file_that_means_the_same() {
    let first = campanile(
        &["--print-config", "--shards", "3", "--heartbeat-ms=12345", "--topic-history-ttl=7d"],
        &[("CAMPANILE_RESUME_MAX", "77")],
    );
    assert!(first.status.success());
    let file = std::env::temp_dir().join(format!("campanile-test-{}.toml", std::process::id()));
    std::fs::write(&file, &first.stdout).unwrap();
    let path = file.to_str().unwrap();
    let again = campanile(&["serve", "--print-config", "--config", path], &[]);
    let by_variable = campanile(&["--print-config"], &[("CAMPANILE_CONFIG", path)]);
    std::fs::remove_file(&file).unwrap();
    let values = |output: &Output| {
        let text = stdout(output);
        let entries = text.lines().filter(|line| line.contains(" = ") && !line.starts_with('#'));
        entries.map(|line| line.split('#').next().unwrap().trim().to_owned()).collect::<Vec<_>>()
    };
    assert!(
        values(&first).contains(&"heartbeat_ms = 12_345".to_owned()) && values(&first).contains(&"resume_max = 77".to_owned())
    );
    assert!(values(&first).contains(&"history_ttl = \"7d\"".to_owned()));
    assert_eq!(values(&first), values(&again));
    assert_eq!(values(&first), values(&by_variable));
    assert!(!stdout(&again).contains("| default  "), "every value comes from the file");
}

#[test]
fn what_is_wrong_is_refused_with_cause_and_cure() {
    assert!(refusal(&campanile(&[], &[("CAMPANILE_SHARD", "1")])).contains("CAMPANILE_SHARDS"));
    assert!(refusal(&campanile(&["--heartbeat-ms", "5s"], &[])).contains("heartbeat_ms = \"5s\" from command line"));
    assert!(refusal(&campanile(&["--heartbeat-ms", "80000"], &[])).contains("idle_timeout_ms"));
    assert!(
        refusal(&campanile(&["--direct-durability", "disk"], &[])).contains("direct_durability = \"disk\" from command line")
    );
    assert!(refusal(&campanile(&["--removal-grace-ms", "1000"], &[])).contains("dedupe_ms"));
    assert!(refusal(&campanile(&["--tcp", "0.0.0.0:7400"], &[])).contains("--insecure"));
    assert!(refusal(&campanile(&["--ops", "[::]:7402"], &[])).contains("--insecure"));
    assert!(refusal(&campanile(&["--cpus", "1023"], &[])).contains("processor 1023"));
    assert!(refusal(&campanile(&["--config", "/nowhere.toml"], &[])).contains("/nowhere.toml"));
    assert!(refusal(&campanile(&["serve"], &[("CAMPANILE_LOG", "a=b=c")])).contains("CAMPANILE_LOG"));
}

#[test]
fn what_is_not_understood_is_bad_usage() {
    for arguments in [&["--heartbeat"][..], &["sing"], &["--shards"]] {
        assert_eq!(campanile(arguments, &[]).status.code(), Some(2), "{arguments:?}");
    }
    let help = stdout(&campanile(&["--help"], &[]));
    assert!(help.contains("--frame-bytes-max") && help.contains("--topic-durability") && help.contains("doctor"));
    assert!(stdout(&campanile(&["--version"], &[])).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_doctor_says_what_this_machine_holds() {
    let said = stdout(&campanile(&["doctor", "--shards", "1"], &[]));
    assert!(said.contains("this machine: about") && said.contains("net.core.somaxconn"), "{said}");
}

#[test]
fn a_machine_that_cannot_carry_the_server_is_told_what_is_missing() {
    let dir = std::env::temp_dir().join(format!("campanile-test-missing-{}", std::process::id()));
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 16; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_campanile"), "--tcp", "127.0.0.1:0"]);
    let output =
        command.args(["--ws", "127.0.0.1:0", "--ops", "127.0.0.1:0", "--data-dir"]).arg(&dir).env_clear().output().unwrap();
    assert!(refusal(&output).contains("open files is 16"));
    assert!(!dir.exists(), "and nothing has begun");
}
