//! The processes of a run: the server and the publisher. Each is ended by its own handle, and ends with it at the latest.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::options::AckFault;
use crate::plan::Shape;

/// How the server is started.
#[derive(Clone, Debug)]
pub struct ServerSetup {
    /// The binary.
    pub program: PathBuf,
    /// Where it keeps its data.
    pub data_dir: PathBuf,
    /// Where its stderr goes; appended to.
    pub stderr: PathBuf,
    /// Number of shards.
    pub shards: u64,
    /// Options besides.
    pub options: Vec<String>,
    /// See [`AckFault`].
    pub ack_fault: Option<AckFault>,
}

/// A server that was started.
pub struct Server {
    child: Child,
    lines: Receiver<String>,
    started: Instant,
}

/// What a server that starts came to.
pub enum Start {
    /// It listens at this target, after this time.
    Ready(String, Duration),
    /// It ended.
    Ended,
    /// The time was up.
    NotYet,
}

impl Server {
    /// Starts it, listening on `port` (0: any).
    ///
    /// # Errors
    /// The binary cannot be run.
    pub fn spawn(setup: &ServerSetup, port: u16) -> io::Result<Server> {
        let mut command = Command::new(&setup.program);
        command.arg("--data-dir").arg(&setup.data_dir).args(["--shards", &setup.shards.to_string()]);
        command.args(["--tcp", &format!("127.0.0.1:{port}"), "--ws", "", "--ops", "127.0.0.1:0"]).args(&setup.options);
        command.env_clear().env("CAMPANILE_LOG", "info").env("RUST_BACKTRACE", "1");
        match setup.ack_fault {
            Some(AckFault::BeforeAppend) => drop(command.env("CAMPANILE_TEST_ACK", "before-append")),
            Some(AckFault::BeforeSync) => drop(command.env("CAMPANILE_TEST_ACK", "before-sync")),
            None => {}
        }
        let stderr = File::options().create(true).append(true).open(&setup.stderr)?;
        let started = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn()?;
        let lines = lines_of(child.stdout.take().expect("it is piped"));
        Ok(Server { child, lines, started })
    }

    /// Waits until it says where clients connect.
    pub fn ready(&mut self, timeout: Duration) -> Start {
        let deadline = Instant::now() + timeout;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(target) = line.trim().strip_prefix("clients") {
                        return Start::Ready(target.trim().to_owned(), self.started.elapsed());
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Start::NotYet,
                Err(RecvTimeoutError::Disconnected) => return Start::Ended,
            }
        }
    }

    /// SIGKILL, and its end.
    pub fn kill(mut self) {
        self.end();
    }

    /// SIGKILL; it may end later, when what it waits for in the kernel lets it go.
    pub fn begin_kill(&mut self) {
        let _ = self.child.kill();
    }

    /// Waits for its own end. None: it lives when the time is up.
    pub fn ends(&mut self, timeout: Duration) -> Option<ExitStatus> {
        // Its stdout ends when it ends, so there is nothing to poll.
        let deadline = Instant::now() + timeout;
        while let Ok(_line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {}
        if Instant::now() >= deadline {
            return self.status();
        }
        self.child.wait().ok()
    }

    /// How it has ended. None: it lives.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Lines as they come; the other end goes when the process closes its stdout.
fn lines_of(stdout: impl io::Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // What nobody wants is read all the same, so that the process never writes into a full pipe.
            let _ = sender.send(line);
        }
    });
    lines
}

/// A publisher that was started.
pub struct Publisher {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Publisher {
    /// Starts this program as a publisher; its words go to `said`, "ended" when it says no more.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(target: &str, log: &Path, shape: Shape, cycle: u64, after: u64, said: Sender<String>) -> io::Result<Publisher> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["publisher", "--target", target]).arg("--log").arg(log);
        for (name, value) in
            [("seed", shape.seed), ("cycle", cycle), ("clients", shape.clients), ("steps", shape.steps), ("signal-after", after)]
        {
            command.args([&format!("--{name}"), &value.to_string()]);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().expect("it is piped"));
        let lines = lines_of(stdout);
        std::thread::spawn(move || {
            lines.into_iter().for_each(|line| drop(said.send(line)));
            let _ = said.send("ended".to_owned());
        });
        Ok(Publisher { child, stdin })
    }

    /// Lets it end and waits for that. It ends as soon as its stdin does.
    ///
    /// # Errors
    /// It failed.
    pub fn finish(mut self) -> io::Result<()> {
        drop(self.stdin.take());
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("the publisher failed: {status}"))) }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
