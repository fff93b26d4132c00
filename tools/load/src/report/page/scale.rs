//! Axes: from values to places, and where the ticks stand.

/// How values are laid out along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// From ... to, evenly.
    Linear(f64, f64),
    /// The same, with ticks at this distance.
    Steps(f64, f64, f64),
    /// From ... to, each factor of ten as long as the next; above 0.
    Log(f64, f64),
    /// Quantiles from 0 up to the given one, below 1: each further 9 is as long as the one before.
    Quantile(f64),
}

/// A tick: where, and what is written there.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// The value.
    pub at: f64,
    /// How it is written; empty: a line only.
    pub text: String,
}

impl Scale {
    /// An even scale from 0 that holds these values, with a round end.
    pub fn from_zero(values: impl Iterator<Item = f64>) -> Scale {
        let highest = values.fold(0.0, f64::max);
        let step = step(highest, 5);
        Scale::Linear(0.0, if highest > 0.0 { (highest / step).ceil() * step } else { 1.0 })
    }

    /// The same for bytes, with an end that is round in powers of two.
    pub fn bytes_from_zero(values: impl Iterator<Item = f64>) -> Scale {
        let highest = values.fold(1.0, f64::max);
        let unit = 1024f64.powf((highest.log2() / 10.0).floor());
        match Scale::from_zero(std::iter::once(highest / unit)) {
            Scale::Linear(from, to) => Scale::Steps(from, to * unit, step(to, 5) * unit),
            other => other,
        }
    }

    /// A logarithmic scale that holds these values.
    pub fn log_of(values: impl Iterator<Item = f64>) -> Scale {
        let (mut low, mut high) = (f64::MAX, f64::MIN);
        for value in values.filter(|value| *value > 0.0) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            return Scale::Log(1.0, 10.0);
        }
        let floor = |value: f64| nice(value, false);
        let ceil = |value: f64| nice(value, true);
        let (low, high) = (floor(low), ceil(high));
        Scale::Log(low, if high > low { high } else { low * 10.0 })
    }

    /// Where a value lies: 0 at the beginning of the axis, 1 at its end.
    pub fn place(&self, value: f64) -> f64 {
        let place = match *self {
            Scale::Linear(from, to) | Scale::Steps(from, to, _) => (value - from) / (to - from),
            Scale::Log(from, to) => (value.max(from).ln() - from.ln()) / (to.ln() - from.ln()),
            Scale::Quantile(last) => (1.0 - value.min(last)).ln() / (1.0 - last).ln(),
        };
        place.clamp(0.0, 1.0)
    }

    /// Ticks, written by `write`.
    pub fn ticks(&self, write: fn(f64) -> String) -> Vec<Tick> {
        let tick = |at: f64| Tick { at, text: write(at) };
        match *self {
            Scale::Linear(from, to) => Scale::Steps(from, to, step(to - from, 5)).ticks(write),
            Scale::Steps(from, to, step) => {
                let first = (from / step).ceil() as i64;
                (first..).map(|n| n as f64 * step).take_while(|at| *at <= to + step / 1e6).map(tick).collect()
            }
            Scale::Log(from, to) => {
                let decades = (to / from).log10();
                let written: &[f64] = if decades < 1.5 {
                    &[1.0, 2.0, 5.0]
                } else if decades < 3.1 {
                    &[1.0, 3.0]
                } else {
                    &[1.0]
                };
                let first = from.log10().floor() as i32;
                let all = (first..).flat_map(|power| (1..10).map(move |digit| (f64::from(digit), power)));
                all.map(|(digit, power)| (digit, digit * 10f64.powi(power)))
                    .skip_while(|(_, at)| *at < from * 0.999)
                    .take_while(|(_, at)| *at <= to * 1.001)
                    .map(|(digit, at)| if written.contains(&digit) { tick(at) } else { Tick { at, text: String::new() } })
                    .collect()
            }
            Scale::Quantile(last) => {
                let nines = [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999];
                nines.into_iter().filter(|at| *at <= last).map(tick).collect()
            }
        }
    }
}

/// A round distance of about `wanted` ticks over a span: 1, 2 or 5 times a power of ten.
fn step(span: f64, wanted: u32) -> f64 {
    let raw = (span / f64::from(wanted)).max(f64::MIN_POSITIVE);
    let power = 10f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= raw * 0.999).unwrap_or(10.0);
    factor * power
}

/// The next 1, 2 or 5 times a power of ten, up or down.
fn nice(value: f64, up: bool) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let mut steps = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power);
    let found = if up { steps.find(|step| *step >= value * 0.999) } else { steps.rfind(|step| *step <= value * 1.001) };
    found.unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(scale: Scale) -> Vec<String> {
        scale.ticks(|at| format!("{at}")).into_iter().filter(|tick| !tick.text.is_empty()).map(|tick| tick.text).collect()
    }

    #[test]
    fn an_even_axis_has_round_ticks_up_to_its_end() {
        let scale = Scale::from_zero([730.0, 20.0].into_iter());
        assert_eq!(
            (scale, texts(scale)),
            (Scale::Linear(0.0, 800.0), ["0", "200", "400", "600", "800"].map(String::from).to_vec())
        );
        assert_eq!((scale.place(400.0), scale.place(-5.0), scale.place(900.0)), (0.5, 0.0, 1.0));
        let mib = f64::from(1 << 20);
        assert_eq!(Scale::bytes_from_zero([37.0 * mib].into_iter()), Scale::Steps(0.0, 40.0 * mib, 10.0 * mib));
        assert_eq!(Scale::from_zero(std::iter::empty()), Scale::Linear(0.0, 1.0));
    }

    #[test]
    fn a_logarithmic_axis_has_ticks_by_factors() {
        let scale = Scale::log_of([130.0, 42_000.0, 0.0].into_iter());
        assert_eq!(scale, Scale::Log(100.0, 50_000.0));
        assert_eq!(texts(scale), ["100", "300", "1000", "3000", "10000", "30000"]);
        assert_eq!(texts(Scale::Log(10.0, 50.0)), ["10", "20", "50"]);
        assert!((Scale::Log(10.0, 1000.0).place(100.0) - 0.5).abs() < 1e-9);
        assert_eq!(Scale::log_of(std::iter::empty()), Scale::Log(1.0, 10.0));
        assert_eq!(Scale::log_of([10.0].into_iter()), Scale::Log(10.0, 100.0));
    }

    #[test]
    fn each_nine_is_as_long_as_the_one_before() {
        let scale = Scale::Quantile(0.9999);
        assert_eq!(texts(scale), ["0", "0.5", "0.9", "0.99", "0.999", "0.9999"]);
        for (quantile, place) in [(0.0, 0.0), (0.9, 0.25), (0.99, 0.5), (0.9999, 1.0), (1.0, 1.0)] {
            assert!((scale.place(quantile) - place).abs() < 1e-9, "{quantile}");
        }
    }
}
