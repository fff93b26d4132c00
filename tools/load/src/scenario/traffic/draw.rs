//! Who speaks next: random, by weight.

use super::Speaker;

/// Draws speakers by their weights.
#[derive(Debug)]
pub struct Draw {
    speakers: Vec<(u32, u32)>,
    /// Sums of the weights up to and including each.
    sums: Vec<f64>,
    random: fastrand::Rng,
}

impl Draw {
    /// Of these. The order of draws depends on the seed alone.
    pub fn new(speakers: impl IntoIterator<Item = Speaker>, seed: u64) -> Draw {
        let mut sum = 0.0;
        let (speakers, sums) = speakers
            .into_iter()
            .map(|Speaker { connection, channel, weight }| {
                sum += weight;
                ((connection, channel), sum)
            })
            .unzip();
        Draw { speakers, sums, random: fastrand::Rng::with_seed(seed) }
    }

    /// All of them: connection and channel.
    pub fn speakers(&self) -> &[(u32, u32)] {
        &self.speakers
    }

    /// The sum of the weights.
    pub fn weight(&self) -> f64 {
        self.sums.last().copied().unwrap_or(0.0)
    }

    /// The next one: connection and channel. None: there is nobody.
    pub fn next(&mut self) -> Option<(u32, u32)> {
        let point = self.random.f64() * self.weight();
        let at = self.sums.partition_point(|sum| *sum <= point);
        self.speakers.get(at.min(self.speakers.len().saturating_sub(1))).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_drawn_as_often_as_his_weight_says() {
        let weights = [1.0, 0.0, 5.0, 4.0];
        let speakers = (0..).zip(weights).map(|(connection, weight)| Speaker { connection, channel: connection + 10, weight });
        let mut draw = Draw::new(speakers, 7);
        assert_eq!(draw.weight(), 10.0);
        let mut counts = [0; 4];
        for _ in 0..10_000 {
            let (connection, channel) = draw.next().unwrap();
            assert_eq!(channel, connection + 10);
            counts[connection as usize] += 1;
        }
        let expected = weights.map(|weight| weight * 1000.0);
        assert!(counts.iter().zip(expected).all(|(count, wanted)| (f64::from(*count) - wanted).abs() < 200.0), "{counts:?}");
        assert_eq!(counts[1], 0);
    }

    #[test]
    fn nobody_is_drawn_from_nobody() {
        assert_eq!(Draw::new([], 1).next(), None);
    }
}
