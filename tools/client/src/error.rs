//! What can go wrong, by whose doing.

use std::fmt;

use campanile::id::IdError;
use campanile::wire::schema::{CloseCode, ErrorCode};

/// Why the client has ended: it does not come back by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The options make no sense; the sentence says which.
    BadOptions(String),
    /// The first connection could not be made (and `keep_trying` is off).
    Unreachable {
        /// Where to.
        target: String,
        /// What happened.
        reason: Disconnect,
    },
    /// The server said not to come back with the same input (close codes 2000 - 2999).
    Refused {
        /// The code.
        code: CloseCode,
        /// The server's words.
        message: String,
    },
    /// The application closed the client, or dropped all that could use it.
    Closed,
}

/// Why a connection ended. The library makes a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disconnect {
    /// The connection could not be made.
    Unreachable(String),
    /// The kernel said no to reading or writing.
    Io(String),
    /// The server closed without a word.
    ClosedByServer,
    /// The server said goodbye with a code of 1000 - 1999.
    GoAway {
        /// The code.
        code: CloseCode,
        /// The server's words.
        message: String,
    },
    /// Nothing was heard for the idle timeout.
    Silent {
        /// That time, in milliseconds.
        idle_timeout_ms: u64,
    },
    /// No welcome came within the connect timeout.
    NoWelcome {
        /// That time, in milliseconds.
        connect_timeout_ms: u64,
    },
    /// What came was no frame of this protocol.
    Malformed,
}

/// Why a request has no good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// An id in the request breaks the rules; nothing was sent.
    Id(IdError),
    /// The request makes a frame larger than the server takes; nothing was sent.
    TooLarge {
        /// Bytes of the frame.
        bytes: usize,
        /// Bytes that the server takes.
        bytes_max: usize,
    },
    /// The server said no.
    Refused {
        /// The code; its range says whether it is worth trying again.
        code: ErrorCode,
        /// The server's words.
        message: String,
        /// Milliseconds; meaningful for codes 200 - 299.
        retry_after_ms: u32,
    },
    /// The connection broke before the answer came, and sending again could do it twice: it is not known whether it was done.
    ConnectionLost,
    /// The server answered with something else than the protocol says.
    WrongAnswer,
    /// The client has ended.
    Ended(Ended),
}

impl RequestError {
    /// The server's code, if the server refused.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            RequestError::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// The name of a close code, or its number when this build does not know it.
pub fn close_code_name(code: CloseCode) -> String {
    code.variant_name().map_or_else(|| code.0.to_string(), str::to_owned)
}

/// The name of an error code, or its number when this build does not know it.
pub fn error_code_name(code: ErrorCode) -> String {
    code.variant_name().map_or_else(|| code.0.to_string(), str::to_owned)
}

/// `name`, or `name: message` when there is one.
fn named(name: &str, message: &str) -> String {
    if message.is_empty() { name.to_owned() } else { format!("{name}: {message}") }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::BadOptions(what) => f.write_str(what),
            Ended::Unreachable { target, reason } => write!(f, "no connection to {target}: {reason}"),
            Ended::Refused { code, message } => write!(f, "the server refused ({})", named(&close_code_name(*code), message)),
            Ended::Closed => f.write_str("the client was closed"),
        }
    }
}

impl fmt::Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Disconnect::Unreachable(why) | Disconnect::Io(why) => f.write_str(why),
            Disconnect::ClosedByServer => f.write_str("the server closed the connection without saying why"),
            Disconnect::GoAway { code, message } => {
                write!(f, "the server ended the connection ({})", named(&close_code_name(*code), message))
            }
            Disconnect::Silent { idle_timeout_ms } => write!(f, "nothing was heard for {idle_timeout_ms} ms"),
            Disconnect::NoWelcome { connect_timeout_ms } => write!(f, "no welcome within {connect_timeout_ms} ms"),
            Disconnect::Malformed => f.write_str("the server sent something that is no frame of this protocol"),
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::Id(why) => write!(f, "{why}"),
            RequestError::TooLarge { bytes, bytes_max } => {
                write!(f, "the request has {bytes} bytes and the server takes at most {bytes_max}")
            }
            RequestError::Refused { code, message, .. } => f.write_str(&named(&error_code_name(*code), message)),
            RequestError::ConnectionLost => {
                f.write_str("the connection broke before the answer came; it is not known whether the request was done")
            }
            RequestError::WrongAnswer => f.write_str("the server's answer is not what the protocol says"),
            RequestError::Ended(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for Ended {}
impl std::error::Error for Disconnect {}
impl std::error::Error for RequestError {}

impl From<IdError> for RequestError {
    fn from(why: IdError) -> Self {
        RequestError::Id(why)
    }
}
