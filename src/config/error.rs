//! What is wrong with a configuration: always the operator's, always with the cure.

use std::fmt;
use std::net::SocketAddr;

use super::sources::Origin;
use crate::limits::Contradiction;

/// A text that is no value of its setting.
#[derive(Debug)]
pub struct WrongValue {
    /// The setting, as it is named outside of the file.
    pub name: String,
    /// As it was written.
    pub value: String,
    /// Where it was written.
    pub origin: Origin,
    /// What it must be.
    pub expected: String,
    /// What the setting is for.
    pub reason: String,
    /// The default, as TOML.
    pub default: String,
}

/// Why the server does not start with these settings. Shown as `cause; cure`.
#[derive(Debug)]
pub enum ConfigError {
    /// A name that no setting has.
    UnknownName {
        /// As it was written.
        name: String,
        /// Where it was written.
        origin: Origin,
        /// The known name that it resembles, as it would be written there.
        nearest: Option<String>,
    },
    /// A table of the file that is no section.
    UnknownSection {
        /// As it was written, in brackets.
        name: String,
        /// The file.
        origin: Origin,
        /// The section that it resembles, in brackets.
        nearest: Option<String>,
    },
    /// A setting in the wrong part of the file.
    WrongSection {
        /// As it was written.
        name: String,
        /// As it is named where it belongs.
        key: &'static str,
        /// The file.
        origin: Origin,
        /// The section in which it was found, in brackets; empty: none.
        found: String,
        /// The sections in which it may stand, in brackets; none: above all of them.
        wanted: Vec<String>,
    },
    /// A text that is no value of its setting.
    WrongValue(Box<WrongValue>),
    /// The file cannot be read.
    File {
        /// As it was named.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// The file is not TOML.
    Syntax {
        /// As it was named.
        path: String,
        /// What the parser says.
        error: String,
    },
    /// Two limits that cannot both hold.
    Limits(Contradiction),
    /// An address that others can reach, in development identity.
    Reachable {
        /// `tcp`, `ws` or `ops`.
        name: &'static str,
        /// Its value.
        address: SocketAddr,
    },
    /// Two listeners on one address.
    SameAddress {
        /// The settings.
        names: [&'static str; 2],
        /// That address.
        address: SocketAddr,
    },
    /// A processor that the process may not use.
    Cpu {
        /// Its number.
        cpu: usize,
        /// What it may use.
        allowed: String,
    },
    /// One of these, for work on a data directory: its exit status tells that from damage.
    NotDone(Box<ConfigError>),
    /// The list of processors that this process may use cannot be had.
    Affinity(std::io::Error),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownName { name, origin, nearest: Some(nearest) } => {
                write!(f, "{origin} has {name}, which is not a setting; did you mean {nearest}?")
            }
            Self::UnknownName { name, origin, nearest: None } => {
                write!(f, "{origin} has {name}, which is not a setting; see campanile --print-config for all of them")
            }
            Self::UnknownSection { name, origin, nearest: Some(nearest) } => {
                write!(f, "{origin} has {name}, which is not a section; did you mean {nearest}?")
            }
            Self::UnknownSection { name, origin, nearest: None } => {
                write!(f, "{origin} has {name}, which is not a section; see campanile --print-config for all of them")
            }
            Self::WrongSection { name, key, origin, found, wanted } => {
                let found = if found.is_empty() { "outside of its section".to_owned() } else { format!("under {found}") };
                let wanted = match wanted.as_slice() {
                    [] => "above the first section".to_owned(),
                    [only] => format!("under {only}"),
                    [rest @ .., last] => format!("under {} or {last}", rest.join(", ")),
                };
                write!(f, "{origin} has {name} {found}, where it means nothing; put {key} {wanted}")
            }
            Self::WrongValue(wrong) => {
                let WrongValue { name, value, origin, expected, reason, default } = &**wrong;
                let reason = reason.trim_end_matches('.');
                write!(
                    f,
                    "{name} = {value:?} from {origin} must be {expected} ({reason}); correct it, or leave it out for {default}"
                )
            }
            Self::File { path, error } => write!(f, "{path} cannot be read: {error}; check --config"),
            Self::Syntax { path, error } => write!(f, "{path} is not TOML: {error}; correct it there"),
            Self::Limits(wrong) => write!(f, "{}; {}", wrong.cause, wrong.cure),
            Self::Reachable { name, address } => write!(
                f,
                "{name} = {address} is not a loopback address, and in development identity anyone can log in as anyone; \
                 listen on 127.0.0.1, or give --insecure if everyone who reaches it may do that"
            ),
            Self::SameAddress { names: [one, other], address } => {
                write!(f, "{one} and {other} are both {address}; give one of them another port")
            }
            Self::Cpu { cpu, allowed } => {
                write!(
                    f,
                    "cpus names processor {cpu}, but this process may only use {allowed}; name some of those, or widen its affinity"
                )
            }
            Self::NotDone(error) => error.fmt(f),
            Self::Affinity(error) => {
                write!(f, "the processors that this process may use cannot be had: {error}; name them with --cpus")
            }
        }
    }
}

impl std::error::Error for ConfigError {}

impl From<Contradiction> for ConfigError {
    fn from(wrong: Contradiction) -> Self {
        Self::Limits(wrong)
    }
}
