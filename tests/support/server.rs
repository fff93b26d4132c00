//! The real server, as a process on free ports of the loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::PATIENCE;
use super::client::Client;

/// A running server. It is killed when this goes, and then its data directory goes, unless that was given.
pub struct Server {
    /// Where clients connect.
    pub tcp: SocketAddr,
    /// Where browsers and scripts connect.
    pub ws: SocketAddr,
    /// Where operators look.
    pub ops: SocketAddr,
    child: Child,
    log: Option<JoinHandle<String>>,
    /// Held for its end.
    _data_dir: Option<TempDir>,
}

impl Server {
    /// Starts a server of two shards with these options more, on a data directory of its own.
    pub fn start(options: &[&str]) -> Server {
        let dir = tempfile::tempdir().unwrap();
        Server::start_in(dir.path(), options).owning(dir)
    }

    /// The same on a data directory that is kept: one server after the other may use it.
    pub fn start_in(dir: &Path, options: &[&str]) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_campanile"));
        if !options.contains(&"--shards") {
            command.args(["--shards", "2"]);
        }
        command.args(options);
        Server::of(command, dir)
    }

    /// The same; everything that an operator is told by default is logged. See [`Self::log`].
    pub fn start_talkative(dir: &Path) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_campanile"));
        command.args(["--shards", "2"]);
        Server::spawn(command, dir, &[])
    }

    /// What it says when it does not start on this directory.
    pub fn refuses_in(dir: &Path, options: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_campanile"));
        command
            .args(["--shards", "2", "--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--ops", "127.0.0.1:0", "--data-dir"])
            .arg(dir)
            .args(options);
        let output = command.env_clear().output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }

    /// Starts it through a command of the shell that stands before it, like `ulimit -n 64`.
    pub fn start_after(shell: &str, options: &[&str]) -> Server {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{shell}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_campanile"), "--shards", "2"]);
        command.args(options);
        Server::of(command, dir.path()).owning(dir)
    }

    fn owning(mut self, dir: TempDir) -> Server {
        self._data_dir = Some(dir);
        self
    }

    fn of(command: Command, dir: &Path) -> Server {
        Server::spawn(command, dir, &[("CAMPANILE_LOG", "warn")])
    }

    fn spawn(mut command: Command, dir: &Path, environment: &[(&str, &str)]) -> Server {
        command.args(["--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--ops", "127.0.0.1:0", "--data-dir"]).arg(dir);
        command.env_clear().envs(environment.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut address = |scheme: &str| -> Option<SocketAddr> {
            lines.by_ref().find_map(|line| line.split_whitespace().find_map(|word| word.strip_prefix(scheme)?.parse().ok()))
        };
        let (Some(tcp), Some(ws), Some(ops)) = (address("tcp://"), address("ws://"), address("http://")) else {
            let status = child.wait().unwrap();
            panic!("the server did not start: {status}\n{}", log.join().unwrap_or_default());
        };
        // The rest of what it says is read to its end, so that it never writes into a pipe without a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Server { tcp, ws, ops, child, log: Some(log), _data_dir: None }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Asks it to stop, as an operator does.
    pub fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
    }

    /// Ends it at once, as a crash does: nothing that it has not given to the system survives. What it logged is looked at all the same.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it at once, and gives what it has logged.
    pub fn log(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.log.take().and_then(|log| log.join().ok()).expect("it is read once")
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "the server does not end");
            std::thread::yield_now();
        }
    }

    /// Whether it has not ended.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What is not on the disk but in memory, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// One request to the ops port: status and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path, "")
    }

    /// The same with another method, and headers more that each end with a line break.
    pub fn ask(&self, method: &str, path: &str, headers: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.ops).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let status = text.split_whitespace().nth(1).and_then(|status| status.parse().ok()).expect("an HTTP status");
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
        (status, body)
    }

    /// The sum of a number over all shards, or of those of its lines that carry a label like `code="peer"`.
    pub fn metric(&self, name: &str, label: &str) -> u64 {
        let (_, text) = self.get("/metrics");
        sum(&text, name, label)
    }

    /// Connections that the server ended with this code.
    pub fn closes(&self, code: &str) -> u64 {
        self.metric("campanile_closes_total", &format!("code=\"{code}\""))
    }

    /// Requests that it answered with this error.
    pub fn errors(&self, code: &str) -> u64 {
        self.metric("campanile_errors_total", &format!("code=\"{code}\""))
    }

    /// Waits until a number is as wanted.
    pub fn wait_for(&self, name: &str, label: &str, is_wanted: impl Fn(u64) -> bool) -> u64 {
        let began = Instant::now();
        loop {
            let value = self.metric(name, label);
            if is_wanted(value) {
                return value;
            }
            assert!(began.elapsed() < PATIENCE, "{name}{{{label}}} stays {value}");
            std::thread::yield_now();
        }
    }

    /// `each` users of either shard: the seed of placement differs from start to start, so it takes looking. To be called before others
    /// are there.
    pub fn users(&self, each: usize) -> [Vec<String>; 2] {
        let mut users = [const { Vec::new() }; 2];
        for number in 0..1000 {
            let name = format!("user{number}");
            let client = Client::connect(self, &name, "finder");
            self.wait_for("campanile_sessions", "", |sessions| sessions == 1);
            users[usize::from(self.sessions_of(1) == 1)].push(name);
            drop(client);
            self.wait_for("campanile_sessions", "", |sessions| sessions == 0);
            if users.iter().all(|names| names.len() >= each) {
                users.iter_mut().for_each(|names| names.truncate(each));
                return users;
            }
        }
        panic!("all users live on one shard");
    }

    fn sessions_of(&self, shard: usize) -> u64 {
        self.metric("campanile_sessions", &format!("shard=\"{shard}\""))
    }
}

/// Adds up the lines of a number.
pub fn sum(text: &str, name: &str, label: &str) -> u64 {
    let of_line = |line: &str| {
        let labels = line.strip_prefix(name)?.strip_prefix('{')?;
        let (labels, value) = labels.split_once("} ")?;
        labels.contains(label).then(|| value.parse::<f64>().unwrap() as u64)
    };
    text.lines().filter_map(of_line).sum()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = self.log.take().and_then(|log| log.join().ok()).unwrap_or_default();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{log}");
        } else if log.contains("panicked") {
            // Even if the test did not notice.
            panic!("the server panicked:\n{log}");
        }
    }
}
