//! Numbers as people read them.

/// Three digits and what they are thousands of: 1.23 M.
pub fn count(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        v if v >= 1e9 => (value / 1e9, " G"),
        v if v >= 1e6 => (value / 1e6, " M"),
        v if v >= 1e4 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    format!("{}{unit}", three(scaled))
}

/// Microseconds: 740 us, 1.2 ms, 3 s.
pub fn time(us: f64) -> String {
    match us {
        us if us >= 1e6 => format!("{} s", three(us / 1e6)),
        us if us >= 1e3 => format!("{} ms", three(us / 1e3)),
        us => format!("{} \u{b5}s", three(us)),
    }
}

/// Seconds since the beginning.
pub fn seconds(s: f64) -> String {
    match s {
        s if s >= 120.0 => format!("{} min", three(s / 60.0)),
        s => format!("{} s", three(s)),
    }
}

/// A share of 1.
pub fn share(value: f64) -> String {
    format!("{} %", three(value * 100.0))
}

/// Bytes: 12.3 MiB.
pub fn bytes(value: f64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let power = (value.max(1.0).log2() / 10.0).floor().min(3.0);
    format!("{} {}", three(value / 1024f64.powf(power)), UNITS[power as usize])
}

/// A quantile: p99.9, max.
pub fn quantile(value: f64) -> String {
    match value {
        1.0 => "max".to_owned(),
        value => format!("p{}", three(value * 100.0)),
    }
}

/// As many digits behind the point as make three, but for zeros.
fn three(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 99.95 && v.fract() == 0.0 => 0,
        v if (99.0..100.0).contains(&v) => 4,
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Groups of three digits.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_a_unit() {
        assert_eq!([0.0, 7.0, 999.0, 9_500.0, 12_345.0, 1_234_567.0].map(count), ["0", "7", "999", "9500", "12.3 k", "1.23 M"]);
        assert_eq!([0.5, 740.0, 1_200.0, 99_400.0, 3e6].map(time), ["0.5 \u{b5}s", "740 \u{b5}s", "1.2 ms", "99.4 ms", "3 s"]);
        assert_eq!([10.0, 0.5, 600.0].map(seconds), ["10 s", "0.5 s", "10 min"]);
        assert_eq!([0.0, 0.123, 1.0].map(share), ["0 %", "12.3 %", "100 %"]);
        assert_eq!([0.0, 1023.0, 1536.0, 5e9].map(bytes), ["0 B", "1023 B", "1.5 KiB", "4.66 GiB"]);
        assert_eq!([0.0, 0.5, 0.99, 0.999, 0.9999, 1.0].map(quantile), ["p0", "p50", "p99", "p99.9", "p99.99", "max"]);
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]);
    }
}
