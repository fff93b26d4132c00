//! What a client needs to know before it begins.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::machine::ResumePoint;

/// Options of [`Client::connect`](crate::Client::connect).
#[derive(Clone, Debug)]
pub struct Options {
    /// `tcp://HOST:PORT`.
    pub target: String,
    /// The identity; the development identity is `dev:<user>`.
    pub token: String,
    /// Names this device of the user, 1 - 64 bytes. A second session of a device replaces the first.
    pub device: String,
    /// Where the application stands, from an earlier run: the `resume` of the last message of each conversation that it took.
    /// Topics named here are subscribed to. A server takes [`Welcome::resume_max`](crate::Welcome::resume_max) entries (1000 unless told
    /// otherwise); of more, topics come first, then broadcast.
    pub resume: Vec<ResumePoint>,
    /// Waits between attempts to connect. Default: 200 ms doubling to 30 s, full jitter.
    pub backoff: Backoff,
    /// How long connecting and logging in may take. Default: 10 s.
    pub connect_timeout: Duration,
    /// Go on trying when the first connection cannot be made. Default: off, the first failure is an error.
    pub keep_trying: bool,
    /// A publish that was under way when the connection broke is sent again this long; after that the server may have forgotten its
    /// `client_id`, and it fails with [`ConnectionLost`](crate::RequestError::ConnectionLost) instead. Default: 100 s,
    /// which is less than the 120 s that a server remembers unless told otherwise; a server that remembers less bounds it.
    pub resend_within: Duration,
    /// How often a publish that was told "busy" or "rate limited" is sent again. Default: 10.
    pub publish_retries: u32,
    /// Events that wait for the application. When they are as many, the library stops reading. Default: 1024.
    pub events_max: usize,
    /// Requests that wait to be taken by the background task; asking waits when they are as many. Default: 64.
    pub requests_max: usize,
}

impl Options {
    /// Options with the defaults above.
    pub fn new(target: impl Into<String>, token: impl Into<String>, device: impl Into<String>) -> Options {
        Options {
            target: target.into(),
            token: token.into(),
            device: device.into(),
            resume: Vec::new(),
            backoff: Backoff::default(),
            connect_timeout: Duration::from_secs(10),
            keep_trying: false,
            resend_within: Duration::from_secs(100),
            publish_retries: 10,
            events_max: 1024,
            requests_max: 64,
        }
    }

    /// `HOST:PORT` of the target.
    ///
    /// # Errors
    /// A sentence that says what is expected.
    pub fn host_and_port(&self) -> Result<&str, String> {
        let wrong = || format!("'{}' is no target; write tcp://HOST:PORT, for example tcp://127.0.0.1:7400", self.target);
        let rest = self.target.strip_prefix("tcp://").ok_or_else(wrong)?;
        let (host, port) = rest.rsplit_once(':').ok_or_else(wrong)?;
        if host.is_empty() || port.parse::<u16>().is_err() { Err(wrong()) } else { Ok(rest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read() {
        let read = |target: &str| Options::new(target, "dev:a", "d").host_and_port().map(str::to_owned);
        assert_eq!(read("tcp://127.0.0.1:7400").as_deref(), Ok("127.0.0.1:7400"));
        assert_eq!(read("tcp://[::1]:7400").as_deref(), Ok("[::1]:7400"));
        for wrong in ["127.0.0.1:7400", "tcp://host", "tcp://:7400", "tcp://host:99999", "http://host:1"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
