//! `churn`: users join groups and leave them at a steady rate, sessions drop and come back, and the groups talk on.

use clap::Args;

use super::traffic::{Leaving, Moves, Shape, Traffic, members};

/// How long who reconnects is away, in turn.
const AWAY_NS: [u64; 2] = [100_000_000, 1_000_000_000];

/// Who comes and goes, how often.
#[derive(Clone, Copy, Debug, Args)]
pub struct ChurnOptions {
    /// Groups.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub groups: u32,
    /// Members of each who stay; some of them speak.
    #[arg(long, value_name = "M", default_value_t = 50)]
    pub members: u32,
    /// Users who join a random group, leave it, join the next [default: a fifth of the connections].
    #[arg(long, value_name = "N")]
    pub movers: Option<u32>,
    /// Joins and leaves per second, together.
    #[arg(long, value_name = "R", default_value_t = 50.0)]
    pub moves: f64,
    /// Sessions of the others that drop per second and come back with their cursors.
    #[arg(long, value_name = "R", default_value_t = 2.0)]
    pub reconnects: f64,
}

/// Groups of those who stay, and the movers.
///
/// # Errors
/// What is wrong with the options.
pub fn churn(run: u32, connections: u32, options: &ChurnOptions) -> Result<Traffic, String> {
    let ChurnOptions { groups, members: size, moves, reconnects, .. } = *options;
    let movers = options.movers.unwrap_or((connections / 5).max(1));
    let stay = connections.saturating_sub(movers);
    if groups == 0 || groups > 1_000_000 || movers == 0 {
        return Err(format!("--groups {groups}, --movers {movers}: at least 1, and at most 1000000 groups"));
    }
    if size < 2 || size > stay {
        return Err(format!("--members {size}: at least 2, and no more than the {stay} users who stay"));
    }
    for (name, rate) in [("--moves", moves), ("--reconnects", reconnects)] {
        if !(0.0..=1e6).contains(&rate) {
            return Err(format!("{name} {rate}: 0 to 1000000 per second"));
        }
    }
    let mut random = fastrand::Rng::with_seed(run.into());
    let mut traffic = Traffic::of(stay, &["groups"]);
    for _ in 0..groups {
        let members = members(stay, size, &mut random);
        traffic.group(0, members, 1.0 / f64::from(groups), &mut random);
    }
    debug_assert!(traffic.channels.iter().all(|channel| matches!(channel.shape, Shape::Group(_))));
    traffic.connections = connections;
    if reconnects > 0.0 {
        traffic.leaving = Leaving::InTurn { who: 0..stay, per_s: reconnects, away_ns: AWAY_NS };
    }
    traffic.moves = (moves > 0.0).then_some(Moves { who: stay..connections, per_s: moves });
    Ok(traffic)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: ChurnOptions = ChurnOptions { groups: 5, members: 10, movers: Some(20), moves: 50.0, reconnects: 2.0 };

    #[test]
    fn movers_are_no_members_before_they_join() {
        let traffic = churn(7, 100, &OPTIONS).unwrap();
        assert_eq!(traffic.moves, Some(Moves { who: 80..100, per_s: 50.0 }));
        assert_eq!((traffic.connections, traffic.groups(), traffic.fan_out(3, 0)), (100, 5, 9));
        traffic.each_receiver(|connection, _| assert!(connection < 80));
        assert!(traffic.speakers.iter().all(|s| s.connection < 80));
        assert_eq!(traffic.leaving, Leaving::InTurn { who: 0..80, per_s: 2.0, away_ns: AWAY_NS });
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for wrong in [
            ChurnOptions { groups: 0, ..OPTIONS },
            ChurnOptions { members: 81, ..OPTIONS },
            ChurnOptions { movers: Some(0), ..OPTIONS },
            ChurnOptions { moves: -1.0, ..OPTIONS },
        ] {
            assert!(churn(7, 100, &wrong).is_err(), "{wrong:?}");
        }
        let nobody_moves = churn(7, 100, &ChurnOptions { movers: None, moves: 0.0, reconnects: 0.0, ..OPTIONS }).unwrap();
        assert_eq!((nobody_moves.moves, nobody_moves.leaving), (None, Leaving::Nobody));
    }
}
