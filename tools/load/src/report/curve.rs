//! A distribution as a curve: what so many of all stayed below.

use hdrhistogram::Histogram;

/// Quantiles and values in us, ascending.
#[derive(Clone, Debug)]
pub struct Curve {
    /// What was measured.
    pub name: String,
    /// The last one is the highest value, as high as one value in so many can say.
    pub points: Vec<(f64, f64)>,
}

impl Curve {
    /// Of latencies in ns. None: there are none.
    pub fn of(name: impl Into<String>, histogram: &Histogram<u64>) -> Option<Curve> {
        let count = histogram.len();
        if count == 0 {
            return None;
        }
        let last = 1.0 - 1.0 / count as f64;
        let us = |ns: u64| ns as f64 / 1e3;
        let points = quantiles().take_while(|quantile| *quantile < last);
        let mut points: Vec<(f64, f64)> = points.map(|quantile| (quantile, us(histogram.value_at_quantile(quantile)))).collect();
        points.push((last, us(histogram.max())));
        Some(Curve { name: name.into(), points })
    }
}

/// 0 ... 0.9 ... 0.99 ..., each 9 in the same steps.
fn quantiles() -> impl Iterator<Item = f64> {
    const STEPS: [f64; 12] = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.12];
    (0..7).flat_map(|nines| STEPS.map(|rest| 1.0 - rest * 10f64.powi(-nines)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_goes_up_to_the_highest_value_and_no_further_than_it_can_know() {
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        assert!(Curve::of("none", &histogram).is_none());
        (1..=1000).for_each(|value| histogram.record(value * 1000).unwrap());
        let curve = Curve::of("some", &histogram).unwrap();
        assert_eq!(curve.points[0].0, 0.0);
        assert!(curve.points.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1), "{curve:?}");
        let last = curve.points[curve.points.len() - 1];
        assert!((last.0 - 0.999).abs() < 1e-9 && (last.1 - 1000.0).abs() < 1.0, "{last:?}");
        let median = curve.points.iter().find(|(quantile, _)| (quantile - 0.5).abs() < 1e-9).unwrap();
        assert!((median.1 - 500.0).abs() < 1.0);
    }
}
