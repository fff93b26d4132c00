//! Where settings come from: command line, environment, file; and how they are merged. What a file looks like is in [`file`](super::file).

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches};

use super::conversations::KindSettings;
use super::error::ConfigError;
use super::file::settle_file;
use super::section::{AnySection, Entry, Section};
use super::{Base, Config, allowed_cpus, tasks};
use crate::conversation::{Kind, Policies};
use crate::limits::Limits;
use crate::offline::Task;

/// What environment variables of this server begin with.
const ENV_PREFIX: &str = "CAMPANILE_";
/// Variables with that prefix which are not settings: what is logged, and where the file is.
const ENV_LOG: &str = "CAMPANILE_LOG";
const ENV_CONFIG: &str = "CAMPANILE_CONFIG";
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
    /// The settings that stand above all tables of the file.
    pub base: Section<Base>,
    /// The limits.
    pub limits: Section<Limits>,
    /// What is kept of each kind of conversation.
    pub direct: Section<KindSettings>,
    /// See `direct`.
    pub group: Section<KindSettings>,
    /// See `direct`.
    pub topic: Section<KindSettings>,
    /// See `direct`.
    pub broadcast: Section<KindSettings>,
}

impl Default for Settled {
    fn default() -> Self {
        let of = |path, prefix, kind| Section::new(path, prefix, KindSettings::SETTINGS, KindSettings::default_of(kind));
        Self {
            base: Section::new("", "", Base::SETTINGS, Base::default()),
            limits: Section::new("limits", "", Limits::SETTINGS, Limits::default()),
            direct: of("conversations.direct", "direct_", Kind::Direct),
            group: of("conversations.group", "group_", Kind::Group),
            topic: of("conversations.topic", "topic_", Kind::Topic),
            broadcast: of("conversations.broadcast", "broadcast_", Kind::Broadcast),
        }
    }
}

impl Settled {
    /// Checks the settings and fits them to this machine.
    ///
    /// # Errors
    /// See [`Config::resolve`].
    pub fn resolve(&self) -> Result<Config, ConfigError> {
        Config::resolve(&self.base.values, &self.limits.values, self.policies(), &allowed_cpus()?)
    }

    /// Where operators look.
    pub fn ops(&self) -> SocketAddr {
        self.base.values.ops
    }

    /// What is kept of the conversations.
    pub fn policies(&self) -> Policies {
        let policy = |section: &Section<KindSettings>| section.values.policy();
        Policies {
            direct: policy(&self.direct),
            group: policy(&self.group),
            topic: policy(&self.topic),
            broadcast: policy(&self.broadcast),
        }
    }

    /// All sections, in the order in which they are shown.
    pub(super) fn sections(&self) -> [&dyn AnySection; 6] {
        [&self.base, &self.direct, &self.group, &self.topic, &self.broadcast, &self.limits]
    }

    pub(super) fn sections_mut(&mut self) -> [&mut dyn AnySection; 6] {
        [&mut self.base, &mut self.direct, &mut self.group, &mut self.topic, &mut self.broadcast, &mut self.limits]
    }

    /// Sets what `name` names, outside of the file. `None`: there is no such setting.
    fn set(&mut self, name: &str, text: &str, origin: &Origin) -> Option<Result<(), ConfigError>> {
        self.sections_mut().into_iter().find_map(|section| section.set_name(name, text, origin))
    }

    /// The names of all settings, as they are outside of the file.
    fn names(&self) -> Vec<String> {
        self.sections().into_iter().flat_map(AnySection::entries).map(|entry| entry.name).collect()
    }
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
            let nearest = nearest(&name.to_lowercase(), settled.names());
            let nearest = nearest.map(|name| format!("{ENV_PREFIX}{}", name.to_uppercase()));
            Err(ConfigError::UnknownName { name: variable.clone(), origin: Origin::Environment, nearest })
        })?;
    }
    for (name, text) in &written.options {
        settled.set(name, text, &Origin::CommandLine).expect("clap lets only settings pass")?;
    }
    Ok(settled)
}

/// The name that resembles this one most, if any does.
pub(super) fn nearest(name: &str, known: Vec<String>) -> Option<String> {
    let resemblance = |known: &String| strsim::jaro_winkler(name, known);
    let best = known.into_iter().max_by(|a, b| resemblance(a).total_cmp(&resemblance(b)))?;
    (resemblance(&best) >= RESEMBLANCE_MIN).then_some(best)
}

/// What the program is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Run the server.
    Serve,
    /// Check the machine.
    Doctor,
    /// Let a running server make a backup.
    Backup,
    /// Work on a data directory without a server.
    Offline(Task),
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
        .filter(|(name, _)| name.starts_with(ENV_PREFIX) && name != ENV_LOG && !is_for_tests(name))
        .collect();
    understand(&clap_command().get_matches(), environment)
}

/// A debug build lets a variable pass by which crash tests ask it to lie; a release refuses it like every unknown name.
fn is_for_tests(name: &str) -> bool {
    #[cfg(debug_assertions)]
    return name == crate::store::disk::fault::VARIABLE;
    #[cfg(not(debug_assertions))]
    return {
        let _ = name;
        false
    };
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
        Some("backup") => Action::Backup,
        name => tasks::task(name, matches).map_or(Action::Serve, Action::Offline),
    };
    let option = |name: String| matches.get_one::<String>(&name).cloned().map(|text| (name, text));
    let written = Written {
        file: matches.get_one::<String>("config").cloned().or(path).map(read_file).transpose()?,
        environment,
        options: Settled::default().names().into_iter().filter_map(option).collect(),
    };
    match settle(&written) {
        Ok(settled) => Ok(Command { action, settled }),
        Err(error) if matches!(action, Action::Offline(_)) => Err(ConfigError::NotDone(Box::new(error))),
        Err(error) => Err(error),
    }
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
        .after_help("Every option is also a variable CAMPANILE_NAME and a key of the file. --help shows what is kept of conversations, and the limits, too.")
        .subcommand(clap::Command::new("serve").about("Run the server (this is what happens without a subcommand)"))
        .subcommand(
            clap::Command::new("doctor").about("Check this machine: what is missing, and how many connections it can hold"),
        )
        .subcommands(tasks::subcommands())
        .subcommand(
            clap::Command::new("backup")
                .about("Let the server that runs at --ops make a backup of everything on disk, and say where it is (needs --backup-dir there)"),
        )
        .args([file.global(true), print.global(true)])
        .args(Settled::default().sections().into_iter().flat_map(options))
}

/// The settings of a section as options. Those of the command's short help are few; --help shows all.
fn options(section: &dyn AnySection) -> impl Iterator<Item = Arg> {
    let heading = match section.path() {
        "" => None,
        "limits" => Some("Limits"),
        _ => Some("Conversations"),
    };
    section.entries().into_iter().map(move |entry| {
        let option = option(&entry);
        if heading.is_some() { option.help_heading(heading).hide_short_help(true) } else { option }
    })
}

/// One setting as an option.
fn option(entry: &Entry) -> Arg {
    let help = format!("{} [{} {}]", entry.reason, entry.default, entry.unit);
    let arg = Arg::new(entry.name.clone()).long(entry.name.replace('_', "-")).value_name("VALUE").help(help).global(true);
    // A flag alone means true; with =false it undoes what the file says.
    if entry.is_flag { arg.num_args(0..=1).require_equals(true).default_missing_value("true") } else { arg }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::Durability;

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
        assert_eq!(
            (settled.base.values.shards, settled.limits.values.heartbeat_ms, settled.limits.values.resume_max),
            (3, 2000, 7)
        );
        let shards = Base::SETTINGS.iter().position(|setting| setting.name == "shards").unwrap();
        assert_eq!(settled.base.origins[shards], Origin::CommandLine);
        written.options.clear();
        assert_eq!(settle(&written).unwrap().base.values.shards, 2);
        written.environment.clear();
        assert_eq!(settle(&written).unwrap().base.values.shards, 1);
        written.file = None;
        assert_eq!(settle(&written).unwrap().base.values.shards, 0);
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
    fn each_kind_of_conversation_has_settings_in_every_source() {
        let text = "[conversations.direct]\nhistory_ttl = \"30d\"\nhistory_messages_max = 5\n[conversations.topic]\ndurability = \"os\"\n";
        let written = Written {
            file: Some(("c.toml".into(), text.into())),
            environment: pairs(&[("CAMPANILE_DIRECT_DURABILITY", "memory"), ("CAMPANILE_GROUP_HISTORY_TTL", "12h")]),
            options: pairs(&[("direct_history_messages_max", "6"), ("broadcast_history_bytes_max", "1_000")]),
        };
        let policies = settle(&written).unwrap().policies();
        let direct = policies.direct;
        assert_eq!((direct.durability, direct.history_messages_max), (Durability::Memory, 6));
        assert_eq!((direct.history_ttl_ms, policies.group.history_ttl_ms), (30 * 86_400_000, 12 * 3_600_000));
        assert_eq!((policies.topic.durability, policies.broadcast.history_bytes_max), (Durability::Os, 1000));
        assert_eq!(policies.group.durability, Durability::Fsync);
        let options = ["--topic-durability", "fsync", "--group-history-ttl=0", "--data-dir", "/d", "--partitions", "3"];
        let settled = line(&options).unwrap().settled;
        assert_eq!(settled.policies().topic.durability, Durability::Fsync);
        assert_eq!((settled.base.values.data_dir, settled.base.values.partitions), ("/d".into(), 3));
    }

    #[test]
    fn what_is_wrong_with_a_kind_is_told_by_its_name() {
        let wrong = file("[conversations.direct]\ndurability = \"disk\"\n").unwrap_err().to_string();
        for part in ["direct_durability = \"disk\"", "c.toml", "must be fsync, os or memory", "leave it out for \"fsync\""] {
            assert!(wrong.contains(part), "{part} in {wrong}");
        }
        let wrong = file("[conversations.topic]\nhistory_ttl = 30\n").unwrap_err().to_string();
        assert!(wrong.contains("topic_history_ttl = \"30\"") && wrong.contains("like 30d"), "{wrong}");
        let wrong = file("[conversations.topic]\ndurabilty = \"os\"\n").unwrap_err().to_string();
        assert!(wrong.contains("did you mean durability?"), "{wrong}");
        let written = Written { environment: pairs(&[("CAMPANILE_TOPICS_DURABILITY", "os")]), ..Written::default() };
        let wrong = settle(&written).unwrap_err().to_string();
        assert!(wrong.contains("did you mean CAMPANILE_TOPIC_DURABILITY?"), "{wrong}");
    }

    #[test]
    fn names_are_told_apart() {
        let mut names = Settled::default().names();
        names.sort();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn a_variable_is_written_in_capitals() {
        let written = Written { environment: pairs(&[("CAMPANILE_shards", "1")]), ..Written::default() };
        assert!(settle(&written).unwrap_err().to_string().contains("did you mean CAMPANILE_SHARDS?"));
    }

    #[test]
    fn a_setting_stands_in_its_section() {
        let says = |text: &str, part: &str| {
            let wrong = file(text).unwrap_err().to_string();
            assert!(wrong.contains(part), "{part} in {wrong}");
        };
        says("frame_bytes_max = 10000\n", "outside of its section, where it means nothing; put frame_bytes_max under [limits]");
        says("[limits]\nshards = 1\n", "under [limits], where it means nothing; put shards above the first section");
        says(
            "[limits]\nhistory_ttl = 1\n",
            "put history_ttl under [conversations.direct], [conversations.group], [conversations.topic] or",
        );
        says("direct_durability = \"os\"\n", "put durability under [conversations.direct]");
        says("[conversations]\ndurability = \"os\"\n", "under [conversations], where it means nothing");
        says("[conversations.group]\ntcp = 1\n", "put tcp above the first section");
        says("limits = 1\n", "did you mean [limits]?");
        says("conversations = 1\n", "did you mean [conversations.");
        says("[limit]\n", "[limit], which is not a section; did you mean [limits]?");
        says("[conversations.directs]\n", "did you mean [conversations.direct]?");
        says("[direct]\nx = 1\n", "[direct], which is not a section");
        says("[limits.more]\n", "[limits.more], which is not a section");
    }

    #[test]
    fn a_wrong_value_names_setting_value_reason_and_cure() {
        let wrong = file("[limits]\nlogin_timeout_ms = \"5s\"\n").unwrap_err().to_string();
        for part in ["login_timeout_ms = \"5s\"", "c.toml", "whole number", "silent peers hold nothing", "5000"] {
            assert!(wrong.contains(part), "{part} in {wrong}");
        }
        for text in [
            "shards = 1.5",
            "tcp = 1",
            "insecure = 3",
            "cpus = [0, 1]",
            "shards = -1",
            "shards = 257",
            "tcp = {}",
            "data_dir = \"\"",
            "partitions = 17",
        ] {
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
            assert_eq!(line(arguments).unwrap().settled.base.values.shards, 2, "{arguments:?}");
        }
        assert_eq!(line(&["doctor"]).unwrap().action, Action::Doctor);
        assert_eq!(line(&["backup", "--ops", "10.0.0.1:7402"]).unwrap().action, Action::Backup);
        let fsck = |dir: Option<&str>, cut| Action::Offline(Task::Fsck { dir: dir.map(Into::into), cut });
        assert_eq!(line(&["fsck", "--data-dir", "/d"]).unwrap().action, fsck(None, false));
        assert_eq!(line(&["fsck", "/d", "--cut"]).unwrap().action, fsck(Some("/d"), true));
        assert_eq!(line(&[]).unwrap().action, Action::Serve);
        assert_eq!(line(&["serve", "--print-config"]).unwrap().action, Action::PrintConfig);
    }

    #[test]
    fn a_flag_alone_means_true() {
        assert!(line(&["--insecure"]).unwrap().settled.base.values.insecure);
        assert!(line(&["--insecure", "serve"]).unwrap().settled.base.values.insecure);
        assert!(!line(&["--insecure=false"]).unwrap().settled.base.values.insecure);
    }

    #[test]
    fn a_missing_file_is_named() {
        let wrong = line(&["--config", "/nowhere/c.toml"]).unwrap_err().to_string();
        assert!(wrong.contains("/nowhere/c.toml") && wrong.contains("--config"), "{wrong}");
    }
}
