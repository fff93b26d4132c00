//! Where settings come from: command line, environment, file; and how they are merged.

use std::fmt;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches};

use super::error::{ConfigError, WrongValue};
use super::setting::Setting;
use super::{Base, Config, allowed_cpus};
use crate::limits::Limits;

/// What environment variables of this server begin with.
const ENV_PREFIX: &str = "CAMPANILE_";
/// Variables with that prefix which are not settings: what is logged, and where the file is.
const ENV_LOG: &str = "CAMPANILE_LOG";
const ENV_CONFIG: &str = "CAMPANILE_CONFIG";
/// The part of the file in which limits stand.
const LIMITS: &str = "limits";
/// Names that resemble each other less than this (Jaro-Winkler, 0 - 1) are not worth naming.
const RESEMBLANCE_MIN: f64 = 0.7;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything else.
    Default,
    /// The file of this name.
    File(String),
    /// An environment variable.
    Environment,
    /// An option.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => f.write_str(path),
            Self::Environment => f.write_str("environment"),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// Every setting with its value and where that came from.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The settings that are not limits.
    pub base: Base,
    /// The limits.
    pub limits: Limits,
    /// For each of [`Base::SETTINGS`], in that order.
    pub base_origins: Vec<Origin>,
    /// For each of [`Limits::SETTINGS`], in that order.
    pub limit_origins: Vec<Origin>,
}

impl Default for Settled {
    fn default() -> Self {
        Self {
            base: Base::default(),
            limits: Limits::default(),
            base_origins: vec![Origin::Default; Base::SETTINGS.len()],
            limit_origins: vec![Origin::Default; Limits::SETTINGS.len()],
        }
    }
}

impl Settled {
    /// Checks the settings and fits them to this machine.
    ///
    /// # Errors
    /// See [`Config::resolve`].
    pub fn resolve(&self) -> Result<Config, ConfigError> {
        Config::resolve(&self.base, &self.limits, &allowed_cpus()?)
    }

    /// Sets what `name` names. `None`: there is no such setting.
    fn set(&mut self, name: &str, text: &str, origin: &Origin) -> Option<Result<(), ConfigError>> {
        set_in(Base::SETTINGS, &mut self.base, &mut self.base_origins, name, text, origin)
            .or_else(|| set_in(Limits::SETTINGS, &mut self.limits, &mut self.limit_origins, name, text, origin))
    }
}

/// Sets one field of one struct of settings and notes where the value came from.
fn set_in<S: Default>(
    settings: &[Setting<S>],
    into: &mut S,
    origins: &mut [Origin],
    name: &str,
    text: &str,
    origin: &Origin,
) -> Option<Result<(), ConfigError>> {
    let index = settings.iter().position(|setting| setting.name == name)?;
    let setting = &settings[index];
    origins[index] = origin.clone();
    Some((setting.set)(into, text).map_err(|expected| {
        ConfigError::WrongValue(Box::new(WrongValue {
            name: setting.name,
            value: text.to_owned(),
            origin: origin.clone(),
            expected,
            reason: setting.reason(),
            default: (setting.show)(&S::default()),
        }))
    }))
}

/// What the operator wrote, before anyone looked at the values.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    /// Path and text of the file.
    pub(super) file: Option<(String, String)>,
    /// Names and values of variables that begin with [`ENV_PREFIX`].
    pub(super) environment: Vec<(String, String)>,
    /// Names (`snake_case`) and values of options.
    pub(super) options: Vec<(String, String)>,
}

/// Merges the sources, the weakest first, so that the strongest stays.
pub(super) fn settle(written: &Written) -> Result<Settled, ConfigError> {
    let mut settled = Settled::default();
    if let Some((path, text)) = &written.file {
        settle_file(&mut settled, path, text)?;
    }
    for (variable, text) in &written.environment {
        let name = variable.trim_start_matches(ENV_PREFIX);
        let known =
            if name.to_uppercase() == name { settled.set(&name.to_lowercase(), text, &Origin::Environment) } else { None };
        known.unwrap_or_else(|| {
            let nearest = nearest(&name.to_lowercase()).map(|name| format!("{ENV_PREFIX}{}", name.to_uppercase()));
            Err(ConfigError::UnknownName { name: variable.clone(), origin: Origin::Environment, nearest })
        })?;
    }
    for (name, text) in &written.options {
        settled.set(name, text, &Origin::CommandLine).expect("clap lets only settings pass")?;
    }
    Ok(settled)
}

/// Takes the settings of a file: flat, with the limits under `[limits]`.
fn settle_file(settled: &mut Settled, path: &str, text: &str) -> Result<(), ConfigError> {
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| ConfigError::Syntax { path: path.to_owned(), error: one_line(&error, text) })?;
    let origin = Origin::File(path.to_owned());
    for (name, value) in &table {
        match value {
            toml::Value::Table(limits) if name == LIMITS => {
                for (name, value) in limits {
                    settle_file_entry(settled, name, value, &origin, true)?;
                }
            }
            _ => settle_file_entry(settled, name, value, &origin, false)?,
        }
    }
    Ok(())
}

/// Takes one entry of a file.
fn settle_file_entry(
    settled: &mut Settled,
    name: &str,
    value: &toml::Value,
    origin: &Origin,
    in_limits: bool,
) -> Result<(), ConfigError> {
    let is_limit = Limits::SETTINGS.iter().any(|setting| setting.name == name);
    let text = match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if is_limit != in_limits && known_names().any(|known| known == name) {
        return Err(ConfigError::WrongSection { name: name.to_owned(), origin: origin.clone(), is_limit });
    }
    settled.set(name, &text, origin).unwrap_or_else(|| {
        let nearest = if name == LIMITS { Some("[limits]".to_owned()) } else { nearest(name).map(str::to_owned) };
        Err(ConfigError::UnknownName { name: name.to_owned(), origin: origin.clone(), nearest })
    })
}

/// The parser's message with its line, and without its drawing of the place.
fn one_line(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or("");
    format!("line {}: {}", before.matches('\n').count() + 1, error.message().replace('\n', ", "))
}

/// The names of all settings.
fn known_names() -> impl Iterator<Item = &'static str> {
    let base = Base::SETTINGS.iter().map(|setting| setting.name);
    base.chain(Limits::SETTINGS.iter().map(|setting| setting.name))
}

/// The name that resembles this one most, if any does.
fn nearest(name: &str) -> Option<&'static str> {
    let resemblance = |known: &&'static str| strsim::jaro_winkler(name, known);
    let best = known_names().max_by(|a, b| resemblance(a).total_cmp(&resemblance(b)))?;
    (resemblance(&best) >= RESEMBLANCE_MIN).then_some(best)
}

/// What the program is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Run the server.
    Serve,
    /// Check the machine.
    Doctor,
    /// Show the settings in force.
    PrintConfig,
}

/// A command line that was understood.
#[derive(Debug)]
pub struct Command {
    /// What to do.
    pub action: Action,
    /// With which settings.
    pub settled: Settled,
}

/// Reads command line, environment and file of this process. A command line that is not understood, `--help` and `--version` end it.
///
/// # Errors
/// What is wrong in one of the sources.
pub fn command_line() -> Result<Command, ConfigError> {
    let environment = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| name.starts_with(ENV_PREFIX) && name != ENV_LOG)
        .collect();
    understand(&clap_command().get_matches(), environment)
}

/// What [`command_line`] does, with the sources as arguments.
fn understand(matches: &ArgMatches, mut environment: Vec<(String, String)>) -> Result<Command, ConfigError> {
    let path_index = environment.iter().position(|(name, _)| name == ENV_CONFIG);
    let path = path_index.map(|index| environment.swap_remove(index).1);
    // Variables come in no order; the first wrong one should be the same one each time.
    environment.sort();
    let subcommand = matches.subcommand_name();
    let matches = matches.subcommand().map_or(matches, |(_, of_subcommand)| of_subcommand);
    let action = match subcommand {
        _ if matches.get_flag("print-config") => Action::PrintConfig,
        Some("doctor") => Action::Doctor,
        _ => Action::Serve,
    };
    let option = |name: &'static str| Some((name.to_owned(), matches.get_one::<String>(name)?.clone()));
    let written = Written {
        file: matches.get_one::<String>("config").cloned().or(path).map(read_file).transpose()?,
        environment,
        options: known_names().filter_map(option).collect(),
    };
    Ok(Command { action, settled: settle(&written)? })
}

/// Reads the file, keeping its name for errors.
fn read_file(path: String) -> Result<(String, String), ConfigError> {
    match std::fs::read_to_string(PathBuf::from(&path)) {
        Ok(text) => Ok((path, text)),
        Err(error) => Err(ConfigError::File { path, error }),
    }
}

/// The command line, made from the tables of settings. Every option stands before or after the subcommand.
fn clap_command() -> clap::Command {
    let file = Arg::new("config").long("config").value_name("FILE").help("TOML file with settings, as --print-config prints it");
    let print =
        Arg::new("print-config").long("print-config").action(ArgAction::SetTrue).help("Show every setting in force, and exit");
    clap::Command::new("campanile")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A real-time messaging server. Without arguments it serves on 127.0.0.1:7400.")
        .after_help("Every option is also a variable CAMPANILE_NAME and a key of the file. --help shows the limits too.")
        .subcommand(clap::Command::new("serve").about("Run the server (this is what happens without a subcommand)"))
        .subcommand(
            clap::Command::new("doctor").about("Check this machine: what is missing, and how many connections it can hold"),
        )
        .args([file.global(true), print.global(true)])
        .args(Base::SETTINGS.iter().map(option))
        .args(Limits::SETTINGS.iter().map(|setting| option(setting).help_heading("Limits").hide_short_help(true)))
}

/// One setting as an option.
fn option<S: Default>(setting: &Setting<S>) -> Arg {
    let default = (setting.show)(&S::default());
    let help = format!("{} [{default} {}]", setting.reason(), setting.unit);
    let arg = Arg::new(setting.name).long(setting.flag()).value_name("VALUE").help(help).global(true);
    // A flag alone means true; with =false it undoes what the file says.
    if setting.is_flag { arg.num_args(0..=1).require_equals(true).default_missing_value("true") } else { arg }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn file(text: &str) -> Result<Settled, ConfigError> {
        settle(&Written { file: Some(("c.toml".into(), text.into())), ..Written::default() })
    }

    fn line(arguments: &[&str]) -> Result<Command, ConfigError> {
        let arguments = std::iter::once(&"campanile").chain(arguments);
        understand(&clap_command().try_get_matches_from(arguments).unwrap(), Vec::new())
    }

    #[test]
    fn the_command_line_is_sound() {
        clap_command().debug_assert();
    }

    #[test]
    fn the_strongest_source_wins() {
        let mut written = Written {
            file: Some(("c.toml".into(), "shards = 1\n[limits]\nheartbeat_ms = 1000\nresume_max = 7\n".into())),
            environment: pairs(&[("CAMPANILE_SHARDS", "2"), ("CAMPANILE_HEARTBEAT_MS", "2_000")]),
            options: pairs(&[("shards", "3")]),
        };
        let settled = settle(&written).unwrap();
        assert_eq!((settled.base.shards, settled.limits.heartbeat_ms, settled.limits.resume_max), (3, 2000, 7));
        assert_eq!(settled.base_origins[2], Origin::CommandLine);
        written.options.clear();
        assert_eq!(settle(&written).unwrap().base.shards, 2);
        written.environment.clear();
        assert_eq!(settle(&written).unwrap().base.shards, 1);
        written.file = None;
        assert_eq!(settle(&written).unwrap().base.shards, 0);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        let wrong = file("[limits]\nframe_byte_max = 1\n").unwrap_err().to_string();
        assert!(wrong.contains("c.toml has frame_byte_max") && wrong.contains("did you mean frame_bytes_max?"), "{wrong}");
        let written = Written { environment: pairs(&[("CAMPANILE_SHARD", "1")]), ..Written::default() };
        let wrong = settle(&written).unwrap_err().to_string();
        assert!(wrong.contains("CAMPANILE_SHARD,") && wrong.contains("did you mean CAMPANILE_SHARDS?"), "{wrong}");
        let wrong = file("zzz = 1\n").unwrap_err().to_string();
        assert!(wrong.contains("--print-config"), "{wrong}");
    }

    #[test]
    fn a_variable_is_written_in_capitals() {
        let written = Written { environment: pairs(&[("CAMPANILE_shards", "1")]), ..Written::default() };
        assert!(settle(&written).unwrap_err().to_string().contains("did you mean CAMPANILE_SHARDS?"));
    }

    #[test]
    fn a_setting_stands_in_its_section() {
        assert!(file("frame_bytes_max = 10000\n").unwrap_err().to_string().contains("put it under [limits]"));
        assert!(file("[limits]\nshards = 1\n").unwrap_err().to_string().contains("put it above [limits]"));
        assert!(file("limits = 1\n").unwrap_err().to_string().contains("[limits]"));
    }

    #[test]
    fn a_wrong_value_names_setting_value_reason_and_cure() {
        let wrong = file("[limits]\nlogin_timeout_ms = \"5s\"\n").unwrap_err().to_string();
        for part in ["login_timeout_ms = \"5s\"", "c.toml", "whole number", "silent peers hold nothing", "5000"] {
            assert!(wrong.contains(part), "{part} in {wrong}");
        }
        for text in ["shards = 1.5", "tcp = 1", "insecure = 3", "cpus = [0, 1]", "shards = -1", "shards = 257", "tcp = {}"] {
            assert!(matches!(file(text), Err(ConfigError::WrongValue(_))), "{text}");
        }
    }

    #[test]
    fn what_is_not_toml_is_told_with_its_line() {
        let wrong = file("shards = 1\nshards 2\n").unwrap_err().to_string();
        assert!(wrong.contains("c.toml") && wrong.contains("line 2") && !wrong.contains('\n'), "{wrong}");
    }

    #[test]
    fn options_stand_before_or_after_the_subcommand() {
        for arguments in
            [&["--shards", "2"][..], &["serve", "--shards", "2"], &["--shards=2", "serve"], &["doctor", "--shards", "2"]]
        {
            assert_eq!(line(arguments).unwrap().settled.base.shards, 2, "{arguments:?}");
        }
        assert_eq!(line(&["doctor"]).unwrap().action, Action::Doctor);
        assert_eq!(line(&[]).unwrap().action, Action::Serve);
        assert_eq!(line(&["serve", "--print-config"]).unwrap().action, Action::PrintConfig);
    }

    #[test]
    fn a_flag_alone_means_true() {
        assert!(line(&["--insecure"]).unwrap().settled.base.insecure);
        assert!(line(&["--insecure", "serve"]).unwrap().settled.base.insecure);
        assert!(!line(&["--insecure=false"]).unwrap().settled.base.insecure);
    }

    #[test]
    fn a_missing_file_is_named() {
        let wrong = line(&["--config", "/nowhere/c.toml"]).unwrap_err().to_string();
        assert!(wrong.contains("/nowhere/c.toml") && wrong.contains("--config"), "{wrong}");
    }
}
