// The real server as a child process, and a wire to it that can be cut.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A server of its own for each test; it is killed when the test is over.
pub struct Server {
    child: Child,
    pub target: String,
    /// Goes after the server.
    _data_dir: TempDir,
}

impl Server {
    pub fn start() -> Server {
        Server::start_with(&[])
    }

    /// Starts a server with more options and waits until it says where it listens.
    pub fn start_with(options: &[&str]) -> Server {
        let data_dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_campanile"));
        command.env_clear().args(["--shards", "2", "--tcp", "127.0.0.1:0", "--ws", "", "--ops", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(data_dir.path()).args(options);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let target = lines.map_while(Result::ok).find_map(|line| Some(line.trim().strip_prefix("clients")?.trim().to_owned()));
        Server { child, target: target.expect("the server says where it listens"), _data_dir: data_dir }
    }

    fn host_and_port(&self) -> String {
        self.target.trim_start_matches("tcp://").to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How the wire fares.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// How often it was cut; a connection ends when this changes.
    cuts: u32,
    /// It is cut and not yet mended: new connections end at once.
    broken: bool,
    /// What clients say arrives; what the server says does not.
    mute: bool,
}

/// An address that leads to a server, which can be another one later.
pub struct Wire {
    pub target: String,
    upstream: Arc<Mutex<String>>,
    state: watch::Sender<State>,
}

impl Wire {
    pub async fn to(server: &Server) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = format!("tcp://{}", listener.local_addr().unwrap());
        let upstream = Arc::new(Mutex::new(server.host_and_port()));
        let (state, watched) = watch::channel(State::default());
        tokio::spawn(take_connections(listener, upstream.clone(), watched));
        Wire { target, upstream, state }
    }

    pub fn cut(&self) {
        self.state.send_modify(|state| *state = State { cuts: state.cuts + 1, broken: true, mute: false });
    }

    pub fn mute(&self) {
        self.state.send_modify(|state| state.mute = true);
    }

    /// New connections come through again.
    pub fn mend(&self) {
        self.state.send_modify(|state| state.broken = false);
    }

    pub fn lead_to(&self, server: &Server) {
        *self.upstream.lock().unwrap() = server.host_and_port();
    }
}

async fn take_connections(listener: TcpListener, upstream: Arc<Mutex<String>>, state: watch::Receiver<State>) {
    while let Ok((client, _)) = listener.accept().await {
        let (host_and_port, state_then) = (upstream.lock().unwrap().clone(), *state.borrow());
        if !state_then.broken {
            tokio::spawn(connect(client, host_and_port, state_then.cuts, state.clone()));
        }
    }
}

/// Carries bytes until one side ends or the wire is cut.
async fn connect(mut client: TcpStream, host_and_port: String, cuts: u32, mut state: watch::Receiver<State>) {
    let mut is_cut = state.clone();
    tokio::select! {
        () = carry(&mut client, host_and_port, &mut state) => {}
        _ = is_cut.wait_for(|state| state.cuts != cuts) => {}
    }
}

/// A connection that was muted stays so.
async fn carry(client: &mut TcpStream, host_and_port: String, state: &mut watch::Receiver<State>) {
    let Ok(mut server) = TcpStream::connect(host_and_port).await else { return };
    tokio::select! {
        _ = copy_bidirectional(client, &mut server) => return,
        _ = state.wait_for(|state| state.mute) => {}
    }
    let _ = copy(&mut client.split().0, &mut server.split().1).await;
}
