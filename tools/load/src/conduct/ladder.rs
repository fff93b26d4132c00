//! Which rate is tried next, and where the knee is. Pure.

/// How rates are tried: upwards by a factor until one does not hold, then between the last that held and the first that did not.
#[derive(Clone, Copy, Debug)]
pub struct Ladder {
    factor: f64,
    max: f64,
    /// Halvings that are left.
    refine: u32,
    /// Steps down that are left, while not even the first rate held.
    down: u32,
    /// The highest that held.
    held: Option<f64>,
    /// The lowest that did not.
    failed: Option<f64>,
}

/// Steps down from a first rate that did not hold.
const DOWN_MAX: u32 = 8;

impl Ladder {
    /// Rates up to `max`, each `factor` (above 1) times the one before; then so many between.
    pub fn new(factor: f64, max: f64, refine: u32) -> Ladder {
        Ladder { factor, max, refine, down: DOWN_MAX, held: None, failed: None }
    }

    /// This rate held, or did not. Gives the next one to be tried.
    pub fn next(&mut self, rate: f64, has_held: bool) -> Option<f64> {
        let place = if has_held { &mut self.held } else { &mut self.failed };
        *place = Some(rate);
        match (self.held, self.failed) {
            (Some(held), None) => Some((held * self.factor).min(self.max)).filter(|next| *next > held),
            (None, Some(failed)) => {
                self.down = self.down.checked_sub(1)?;
                Some(failed / self.factor)
            }
            (Some(held), Some(failed)) => {
                self.refine = self.refine.checked_sub(1)?;
                Some((held * failed).sqrt())
            }
            (None, None) => None,
        }
    }

    /// The highest rate that held.
    pub fn knee(&self) -> Option<f64> {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rates that are tried where everything up to `knee` holds.
    fn tried(mut ladder: Ladder, from: f64, knee: f64) -> (Vec<f64>, Option<f64>) {
        let mut rates = vec![from];
        while let Some(next) = ladder.next(rates[rates.len() - 1], rates[rates.len() - 1] <= knee) {
            rates.push(next);
        }
        (rates, ladder.knee())
    }

    #[test]
    fn it_goes_up_until_one_fails_and_then_between() {
        let (rates, knee) = tried(Ladder::new(2.0, 1e9, 2), 100.0, 500.0);
        assert_eq!(rates[..4], [100.0, 200.0, 400.0, 800.0]);
        assert!((rates[4] - 565.7).abs() < 0.1 && (rates[5] - 475.7).abs() < 0.1 && rates.len() == 6);
        assert!((knee.unwrap() - 475.7).abs() < 0.1);
    }

    #[test]
    fn it_ends_at_the_highest_rate_that_was_asked_for() {
        assert_eq!(tried(Ladder::new(3.0, 500.0, 5), 100.0, 1e9), (vec![100.0, 300.0, 500.0], Some(500.0)));
        assert_eq!(tried(Ladder::new(2.0, 50.0, 5), 100.0, 1e9), (vec![100.0], Some(100.0)));
    }

    #[test]
    fn it_goes_down_from_a_first_rate_that_fails() {
        let (rates, knee) = tried(Ladder::new(2.0, 1e9, 1), 100.0, 30.0);
        assert_eq!((&rates[..3], rates.len()), (&[100.0, 50.0, 25.0][..], 4));
        assert_eq!(knee, Some(25.0));
        let (rates, knee) = tried(Ladder::new(2.0, 1e9, 1), 100.0, 0.0);
        assert_eq!((rates.len(), knee), (1 + DOWN_MAX as usize, None));
    }
}
