//! Making connections: ordinary sockets, each bound to one of many source addresses, before the ring takes them over.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// A server that takes longer than this to accept on loopback is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects. `source` is bound first, where there is one.
///
/// # Errors
/// What the kernel said.
pub fn connect(target: SocketAddr, source: Option<Ipv4Addr>) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP))?;
    if let Some(source) = source {
        socket.bind(&SocketAddr::from((source, 0)).into())?;
    }
    socket.connect_timeout(&target.into(), CONNECT_TIMEOUT)?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}

/// Where connection `index` comes from: each address has only so many ports, so a million connections need many of them. Which ones
/// depends on the run, for ports stay reserved for a minute after a run. None where the target is not IPv4 loopback.
pub fn source(target: SocketAddr, run: u32, index: u32, per_address: u32) -> Option<Ipv4Addr> {
    let SocketAddr::V4(target) = target else { return None };
    let number = index / per_address;
    let [second, third] = [1 + run % 250, (run / 250 % 200) + number / 250];
    target.ip().is_loopback().then(|| Ipv4Addr::new(127, second as u8, third as u8, (1 + number % 250) as u8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_million_connections_have_addresses_enough() {
        let target = SocketAddr::from(([127, 0, 0, 1], 1));
        let sources: HashSet<_> = (0..1_000_000).map(|i| source(target, 12345, i, 10_000).unwrap()).collect();
        assert_eq!(sources.len(), 100);
        assert!(sources.iter().all(|s| s.octets()[1] > 0 && s.octets()[3] > 0));
    }

    #[test]
    fn only_loopback_is_spread() {
        assert_eq!(source(SocketAddr::from(([10, 0, 0, 1], 1)), 1, 1, 10_000), None);
        assert_eq!(source("[::1]:1".parse().unwrap(), 1, 1, 10_000), None);
    }
}
