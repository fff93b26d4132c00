//! Making the stream that acknowledges, over a blocking connection of its own.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::peers::Nonsense;
use crate::peers::nats::{self, Said, next, publish};
use crate::stage::PATIENCE;

/// Its name; it is made anew for each run.
const STREAM: &str = "CAMPANILE_LOAD";

/// Where a stream keeps its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In a file, synced as the server is configured to.
    File,
    /// In memory, the last ones.
    Memory,
}

impl Storage {
    fn name(self) -> &'static str {
        match self {
            Storage::File => "file",
            Storage::Memory => "memory",
        }
    }

    /// -1: all.
    fn messages_max(self) -> i64 {
        match self {
            Storage::File => -1,
            Storage::Memory => 100_000,
        }
    }
}

/// What a server says that does not speak the protocol.
pub(super) fn nonsense(Nonsense(expected): Nonsense) -> io::Error {
    io::Error::other(format!("not the protocol of NATS: expected {expected}"))
}

/// Connects and introduces itself.
pub(super) fn hello(target: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(target)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut words = Vec::new();
    nats::hello(&mut words);
    (&stream).write_all(&words)?;
    Ok(stream)
}

/// Makes the stream anew.
///
/// # Errors
/// The server cannot be reached, or refused it.
pub fn make_stream(target: SocketAddr, subjects: &str, storage: Storage) -> io::Result<()> {
    let mut stream = hello(target)?;
    let config = serde_json::json!({
        "name": STREAM, "subjects": [subjects], "storage": storage.name(), "max_msgs": storage.messages_max(), "retention": "limits",
        "num_replicas": 1,
    });
    let mut out = b"SUB _INBOX.make 1\r\n".to_vec();
    publish(&format!("$JS.API.STREAM.DELETE.{STREAM}"), Some("_INBOX.make"), b"", &mut out);
    publish(&format!("$JS.API.STREAM.CREATE.{STREAM}"), Some("_INBOX.make"), config.to_string().as_bytes(), &mut out);
    stream.write_all(&out)?;
    let (mut input, mut answers, mut buffer) = (Vec::new(), 0, [0; 4096]);
    loop {
        let got = stream.read(&mut buffer)?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        input.extend_from_slice(&buffer[..got]);
        while let Some((said, used)) = next(&input).map_err(nonsense)? {
            match said {
                // The first answers the deletion of a stream that may not be there.
                Said::Message { payload, .. } => {
                    answers += 1;
                    let answer: serde_json::Value = serde_json::from_slice(payload).unwrap_or_default();
                    match answer.get("error") {
                        Some(error) if answers == 2 => return Err(io::Error::other(format!("the stream is refused: {error}"))),
                        None if answers == 2 => return Ok(()),
                        _ => {}
                    }
                }
                Said::Error(what) => return Err(io::Error::other(what.to_owned())),
                _ => {}
            }
            input.drain(..used);
        }
    }
}
