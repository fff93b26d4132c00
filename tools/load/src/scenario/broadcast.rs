//! `broadcast`: what one says reaches every session of the server.

use clap::Args;

use super::traffic::{Shape, Traffic};

/// Who speaks.
#[derive(Clone, Copy, Debug, Args)]
pub struct BroadcastOptions {
    /// Users who broadcast; everyone else receives all of it, and they receive each other's.
    #[arg(long, value_name = "P", default_value_t = 1)]
    pub publishers: u32,
}

/// One conversation of all.
///
/// # Errors
/// What is wrong with the options.
pub fn broadcast(connections: u32, options: &BroadcastOptions) -> Result<Traffic, String> {
    if options.publishers == 0 || options.publishers > connections || connections < 2 {
        return Err(format!("--publishers {}: 1 to {connections}, and two connections at least", options.publishers));
    }
    let mut traffic = Traffic::of(connections, &["broadcast"]);
    let publishers: Vec<u32> = (0..options.publishers).collect();
    traffic.add(0, Shape::Broadcast, &publishers, 1.0);
    Ok(traffic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_but_the_speaker_receives() {
        let traffic = broadcast(10, &BroadcastOptions { publishers: 2 }).unwrap();
        assert_eq!((traffic.fan_out(0, 0), traffic.speakers.len(), traffic.beginnings()), (9, 2, 10));
        assert!((0..10).all(|connection| traffic.is_for(connection, 0, None)));
    }

    #[test]
    fn there_must_be_a_speaker_and_a_listener() {
        for (connections, publishers) in [(10, 0), (10, 11), (1, 1)] {
            assert!(broadcast(connections, &BroadcastOptions { publishers }).is_err());
        }
    }
}
