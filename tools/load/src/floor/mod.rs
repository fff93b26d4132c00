//! The yardsticks: what a fan-out costs on this machine when nothing is done but the sends, and what heartbeats cost when nothing is done but
//! sending them back.
//!
//! The server runs as a child process, for its CPU and its core to be counted like any other server's. The client is the same as for the
//! `group` scenario, and the frames are the same, byte for byte in size.

mod echo;
mod server;

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::error::Failure;

use crate::options::Yardstick;

/// Serves until standard input ends, on this CPU.
///
/// # Errors
/// The kernel refused what every program may do.
pub fn serve(yardstick: Yardstick, cpu: Option<usize>) -> Result<(), Failure> {
    match yardstick {
        Yardstick::Sends => server::serve(cpu),
        Yardstick::Echoes => echo::serve(cpu),
    }
}

/// The child, which ends when its standard input does: also when this process is killed.
pub struct FloorServer {
    child: Child,
    stdin: Option<ChildStdin>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl FloorServer {
    /// Starts this program again as a server of that kind on a CPU.
    ///
    /// # Errors
    /// [`Failure::Floor`].
    pub fn start(yardstick: Yardstick, cpu: Option<usize>) -> Result<FloorServer, Failure> {
        start(yardstick, cpu).map_err(Failure::Floor)
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

fn start(yardstick: Yardstick, cpu: Option<usize>) -> io::Result<FloorServer> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["floor-server", yardstick.name()]);
    if let Some(cpu) = cpu {
        command.arg("--cpu").arg(cpu.to_string());
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let stdin = child.stdin.take();
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    match line.trim().parse() {
        Ok(address) => Ok(FloorServer { child, stdin, address }),
        Err(_) => {
            drop(stdin);
            child.wait()?;
            Err(io::Error::other("it told no address; see its message above"))
        }
    }
}

impl Drop for FloorServer {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It ends by itself now; there is nobody to tell if it cannot be waited for.
        let _ = self.child.wait();
    }
}
