//! Echoes WebSocket messages, through the ring and the WebSocket code of the server and nothing else of it. For conformance suites and
//! comparisons; not for anybody's messages.

mod echo;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use campanile::ring::{Ring, RingSize};
use clap::Parser;
use rustix::thread::{CpuSet, sched_setaffinity};

use echo::Echo;

/// As in the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Echoes WebSocket messages.
#[derive(Debug, Parser)]
struct Options {
    /// Where to listen; port 0: one that is free.
    address: SocketAddr,
    /// The processor to run on.
    #[arg(long, value_name = "CPU")]
    cpus: Option<usize>,
    /// Longest message; a longer one ends its connection with 1009.
    #[arg(long, default_value_t = 16 * 1024 * 1024)]
    message_bytes_max: usize,
    /// Connections at once.
    #[arg(long, default_value_t = 1024)]
    connections_max: u32,
    /// Receive buffers, a power of two.
    #[arg(long, default_value_t = 128)]
    buffers: u16,
    /// Bytes of each.
    #[arg(long, default_value_t = 20 * 1024)]
    buffer_bytes: usize,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("campanile-ws-echo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    if let Some(cpu) = options.cpus {
        let mut set = CpuSet::new();
        set.set(cpu);
        sched_setaffinity(None, &set)?;
    }
    let listener = TcpListener::bind(options.address)?;
    // Accepted sockets inherit it.
    rustix::net::sockopt::set_tcp_nodelay(&listener, true)?;
    let ring = Ring::new(RingSize {
        slots: options.connections_max,
        buffers: options.buffers,
        buffer_bytes: options.buffer_bytes,
        completions: 8192,
    })?;
    let address = listener.local_addr()?;
    writeln!(io::stdout(), "echo on ws://{address}")?;
    Echo::new(ring, listener, options.message_bytes_max).run()
}
