//! What ends a run before it has a result. Each says whose fault it is, the cause, and the cure where there is one.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why there is no result.
#[derive(Debug)]
pub enum Failure {
    /// The operator's: an option has no sense, alone or with another one.
    Option(String),
    /// The operator's: more sockets than RLIMIT_NOFILE's hard limit lets one worker's ring hold.
    Descriptors {
        /// Needed by the worker with the most connections.
        needed: u64,
        /// The hard limit.
        hard: u64,
    },
    /// The server cannot be reached.
    Connect {
        /// Where.
        target: SocketAddr,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The server refused what the scenario needs before it can begin.
    Refused {
        /// What was asked for.
        request: &'static str,
        /// The code and the server's words.
        answer: String,
    },
    /// Setting up made no progress for [`crate::stage::PATIENCE`].
    Stuck {
        /// What was going on.
        step: &'static str,
        /// How many were done.
        done: u64,
        /// Of how many.
        wanted: u64,
    },
    /// The kernel refused io_uring or pinning.
    Kernel(&'static str, io::Error),
    /// The floor's server did not start.
    Floor(io::Error),
    /// `/proc` has not what was asked for.
    Proc(String),
    /// A report cannot be written.
    Report(PathBuf, io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Option(sentence) | Failure::Proc(sentence) => f.write_str(sentence),
            Failure::Descriptors { needed, hard } => write!(
                f,
                "a worker needs {needed} descriptors, but the hard limit RLIMIT_NOFILE is {hard}; raise it (as root: `ulimit -Hn \
                 {needed}`), give more --cpus (each worker has a table of its own), or ask for fewer --connections"
            ),
            Failure::Connect { target, cause } => {
                write!(f, "cannot connect to {target}: {cause}; is the server running, and is --target right?")
            }
            Failure::Refused { request, answer } => write!(f, "the server refused {request}: {answer}"),
            Failure::Stuck { step, done, wanted } => write!(
                f,
                "{step}: {done} of {wanted} done and no progress for {} s; look at the server's log and limits",
                crate::stage::PATIENCE.as_secs()
            ),
            Failure::Kernel(what, cause) => {
                write!(f, "{what}: {cause}; io_uring needs Linux 6.1, kernel.io_uring_disabled=0 and CPUs of this machine")
            }
            Failure::Floor(cause) => write!(f, "the floor's server did not start: {cause}"),
            Failure::Report(path, cause) => write!(f, "cannot write {}: {cause}", path.display()),
        }
    }
}

impl std::error::Error for Failure {}
