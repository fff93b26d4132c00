//! `campanile backup`: asks a running server for a backup, through its ops port, and says where it is.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Within this time the server must take the connection, and answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is asked how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// No answer is longer.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Why there is no backup.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum AskError {
    /// Nothing answers there, or not any more.
    Unreachable { ops: SocketAddr, error: io::Error },
    /// What answers is not this server.
    Strange { ops: SocketAddr },
    /// The server says why not.
    Refused(String),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskError::Unreachable { ops, error } => {
                write!(f, "no server answers at {ops}: {error}; start it, or give its ops address with --ops")
            }
            AskError::Strange { ops } => {
                write!(f, "what answers at {ops} makes no backups; give the ops address of a Campanile server with --ops")
            }
            AskError::Refused(why) => write!(f, "no backup: {why}"),
        }
    }
}

impl std::error::Error for AskError {}

/// An answer of the ops port.
struct Answer {
    status: u16,
    body: String,
}

impl Answer {
    /// The value of a line `name: value`.
    fn value(&self, name: &str) -> &str {
        let value = |line: &'_ str| line.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")).map(str::len);
        self.body.lines().find_map(|line| value(line).map(|bytes| &line[line.len() - bytes..])).unwrap_or("")
    }
}

/// Lets the server make a backup, tells `progress` how far it is, and gives what is to be said about it.
///
/// # Errors
/// There is none.
pub fn backup(ops: SocketAddr, mut progress: impl FnMut(&str)) -> Result<String, AskError> {
    let begun = ask(ops, "POST", "Prefer: respond-async\r\n")?;
    if begun.status != 202 && begun.status != 200 {
        return Err(refused(ops, &begun));
    }
    loop {
        let now = ask(ops, "GET", "")?;
        match now.value("state") {
            "running" => {
                let (partitions, rows, bytes) = (now.value("partitions"), now.value("rows"), now.value("bytes"));
                progress(&format!("{partitions} partitions, {rows} rows, {bytes} bytes"));
                std::thread::sleep(LOOK_EVERY);
            }
            "done" => {
                let (dir, rows, bytes, seconds) =
                    (now.value("directory"), now.value("rows"), now.value("bytes"), now.value("seconds"));
                return Ok(format!("{dir}\n{rows} rows of {bytes} bytes in {seconds} s; restore it with --data-dir {dir}\n"));
            }
            _ => return Err(refused(ops, &now)),
        }
    }
}

fn refused(ops: SocketAddr, answer: &Answer) -> AskError {
    let is_ours = matches!(answer.status, 403 | 409 | 500 | 501 | 503) || !answer.value("error").is_empty();
    let why = Some(answer.value("error")).filter(|why| !why.is_empty()).unwrap_or(answer.body.trim());
    if is_ours && !why.is_empty() { AskError::Refused(why.to_owned()) } else { AskError::Strange { ops } }
}

/// One request, on a connection of its own.
fn ask(ops: SocketAddr, method: &str, headers: &str) -> Result<Answer, AskError> {
    let exchange = || -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&ops, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "{method} /backup HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n"
        )?;
        let mut text = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    };
    let text = exchange().map_err(|error| AskError::Unreachable { ops, error })?;
    let strange = || AskError::Strange { ops };
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(strange)?;
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|head| head.get(..3)?.parse().ok()).ok_or_else(strange)?;
    Ok(Answer { status, body: body.to_owned() })
}
