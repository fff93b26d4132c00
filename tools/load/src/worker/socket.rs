//! Making connections: ordinary sockets, each bound to one of many source addresses, before the ring takes them over.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

/// A server that takes longer than this to accept on loopback is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects. `source` is bound first, where there is one.
///
/// # Errors
/// What the kernel said.
pub fn connect(target: SocketAddr, source: Option<Ipv4Addr>) -> io::Result<OwnedFd> {
    let socket = bound(target, source)?;
    socket.connect_timeout(&target.into(), CONNECT_TIMEOUT)?;
    Ok(socket.into())
}

/// The same without waiting for the server: what is sent and received on it waits until it is connected, or fails with the connection.
///
/// # Errors
/// What the kernel said.
pub fn begin_to_connect(target: SocketAddr, source: Option<Ipv4Addr>) -> io::Result<OwnedFd> {
    let socket = bound(target, source)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&target.into()) {
        Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
        other => other?,
    }
    // From here on it is the ring that waits; a socket that never waits would fail what comes too early.
    socket.set_nonblocking(false)?;
    Ok(socket.into())
}

fn bound(target: SocketAddr, source: Option<Ipv4Addr>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    if let Some(source) = source {
        // The port is chosen when it connects: one that is in use towards another server, or from another address, can be used again.
        setsockopt(&socket, IpBindAddressNoPort, &true)?;
        socket.bind(&SocketAddr::from((source, 0)).into())?;
    }
    Ok(socket)
}

/// Where connection `index` comes from: of the given addresses in turn, or else one of loopback.
pub fn source(target: SocketAddr, given: &[Ipv4Addr], run: u32, index: u32, per_address: u32) -> Option<Ipv4Addr> {
    match given {
        [] => of_loopback(target, run, index, per_address),
        given => Some(given[index as usize % given.len()]),
    }
}

/// An address of loopback for connection `index`: each has only so many ports, so a million connections need many of them. Which ones
/// depends on the run, for ports stay reserved for a minute after a run. None where the target is not IPv4 loopback.
fn of_loopback(target: SocketAddr, run: u32, index: u32, per_address: u32) -> Option<Ipv4Addr> {
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
        let sources: HashSet<_> = (0..1_000_000).map(|i| source(target, &[], 12345, i, 10_000).unwrap()).collect();
        assert_eq!(sources.len(), 100);
        assert!(sources.iter().all(|s| s.octets()[1] > 0 && s.octets()[3] > 0));
    }

    #[test]
    fn given_addresses_are_taken_in_turn() {
        let given = [Ipv4Addr::new(127, 0, 1, 1), Ipv4Addr::new(127, 0, 1, 2)];
        let target = SocketAddr::from(([127, 0, 0, 1], 1));
        let sources = (0..4).map(|index| source(target, &given, 9, index, 10_000).unwrap());
        assert_eq!(sources.map(|source| source.octets()[3]).collect::<Vec<_>>(), [1, 2, 1, 2]);
    }

    #[test]
    fn both_ways_of_connecting_come_from_where_they_should() {
        use std::net::TcpListener;
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let target = listener.local_addr().expect("it is bound");
        let [one, other] = [Ipv4Addr::new(127, 0, 3, 7), Ipv4Addr::new(127, 0, 3, 8)];
        let _sockets = [connect(target, Some(one)), begin_to_connect(target, Some(other))].map(Result::unwrap);
        for source in [one, other] {
            let (_, from) = listener.accept().expect("somebody connects");
            assert_eq!(from.ip(), source);
        }
    }

    #[test]
    fn only_loopback_is_spread() {
        assert_eq!(source(SocketAddr::from(([10, 0, 0, 1], 1)), &[], 1, 1, 10_000), None);
        assert_eq!(source("[::1]:1".parse().unwrap(), &[], 1, 1, 10_000), None);
    }
}
