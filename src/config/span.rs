//! A span of time as people write it: `30d`, `12h`, `90s`.

use std::fmt;

use super::setting::Value;

/// Units with their length in ms, the longest first.
const UNITS: [(&str, u64); 6] = [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
/// Longest span: a hundred years, so that adding one to a time never overflows.
const SPAN_MS_MAX: u64 = 36_500 * 86_400_000;

/// A length of time, in ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// 0: no limit.
    pub ms: u64,
}

impl Value for Span {
    fn read(text: &str) -> Result<Self, String> {
        let expected =
            || "a whole number with w, d, h, m, s or ms, like 30d, 12h or 500ms, at most 36500d; or 0 for ever".to_owned();
        let text = text.trim();
        if text == "0" {
            return Ok(Span::default());
        }
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(expected)?;
        let (number, unit) = text.split_at(unit_at);
        let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit.trim_start()).ok_or_else(expected)?;
        let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*unit_ms)).ok_or_else(expected)?;
        if ms > SPAN_MS_MAX { Err(expected()) } else { Ok(Span { ms }) }
    }

    fn show(&self) -> String {
        format!("\"{self}\"")
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Weeks are understood, but days are what people compare.
        let fits = |(name, unit_ms): &&(&str, u64)| *name != "w" && self.ms.is_multiple_of(*unit_ms);
        match UNITS.iter().find(fits) {
            Some((name, unit_ms)) if self.ms != 0 => write!(f, "{}{name}", self.ms / unit_ms),
            _ => f.write_str("0"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        let read = |text| Span::read(text).unwrap().ms;
        assert_eq!(read("0"), 0);
        assert_eq!(read("500ms"), 500);
        assert_eq!(read("90s"), 90_000);
        assert_eq!(read("15m"), 900_000);
        assert_eq!(read("12 h"), 12 * 3_600_000);
        assert_eq!(read(" 30d "), 30 * 86_400_000);
        assert_eq!(read("2w"), 14 * 86_400_000);
        assert_eq!(read("0s"), 0);
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for wrong in
            ["", "30", "d", "-1d", "1.5h", "30 days", "1d12h", "30D", "36501d", "99999999999999999999d", "999999999999999999w"]
        {
            let expected = Span::read(wrong).unwrap_err();
            assert!(expected.contains("30d"), "{wrong:?}: {expected}");
        }
    }

    #[test]
    fn a_span_is_shown_as_it_can_be_read() {
        for (ms, text) in [(0, "0"), (1, "1ms"), (1500, "1500ms"), (90_000, "90s"), (3_600_000, "1h"), (14 * 86_400_000, "14d")] {
            assert_eq!(Span { ms }.to_string(), text);
            assert_eq!(Span::read(text), Ok(Span { ms }));
        }
    }
}
