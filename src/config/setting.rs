//! What a setting is: the macro that declares settings, and how each type of value is read from text and shown.
//!
//! A setting is declared once, by [`settings!`](crate::config::setting::settings): name, type, default, range, unit, and its doc
//! comment, which is the reason that `--help`, `--print-config` and errors show. Whatever the source (command line, environment,
//! file), a value arrives as text and goes through the one reader of its type.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::ws::Names;

/// One setting, as the sources of values and `--print-config` see it. `S` is the struct that holds it.
#[derive(Debug)]
pub struct Setting<S> {
    /// `snake_case`, as in a file; `--kebab-case` on the command line, `CAMPANILE_SNAKE_CASE` in the environment, behind the prefix of its section.
    pub name: &'static str,
    /// What the value counts or is.
    pub unit: &'static str,
    /// Why it is there, and what it does. May span lines; see [`Setting::reason`].
    pub doc: &'static str,
    /// Whether the name alone on the command line means `true`.
    pub is_flag: bool,
    /// Reads a value from text. The error says what the text should have been.
    pub set: fn(&mut S, &str) -> Result<(), String>,
    /// The value as TOML.
    pub show: fn(&S) -> String,
}

impl<S> Setting<S> {
    /// The doc comment as one line.
    #[must_use]
    pub fn reason(&self) -> String {
        self.doc.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// A type that a setting may have.
pub trait Value: Sized {
    /// Whether the option needs no value on the command line.
    const IS_FLAG: bool = false;

    /// Reads text, whatever its source.
    ///
    /// # Errors
    /// What the text should have been, to stand after "must be ".
    fn read(text: &str) -> Result<Self, String>;

    /// The value as TOML, which [`Value::read`] understands (less the quotes).
    fn show(&self) -> String;
}

impl Value for u32 {
    fn read(text: &str) -> Result<Self, String> {
        whole_number(text)?.try_into().map_err(|_| format!("at most {}", grouped(u64::from(u32::MAX))))
    }

    fn show(&self) -> String {
        grouped(u64::from(*self))
    }
}

impl Value for u64 {
    fn read(text: &str) -> Result<Self, String> {
        whole_number(text)
    }

    fn show(&self) -> String {
        grouped(*self)
    }
}

impl Value for bool {
    const IS_FLAG: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err("true or false".into()),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for PathBuf {
    fn read(text: &str) -> Result<Self, String> {
        // A line break would end the comment in which a printed setting stands.
        if text.is_empty() || text.chars().any(char::is_control) { Err("a path".into()) } else { Ok(text.into()) }
    }

    fn show(&self) -> String {
        toml::Value::from(self.to_string_lossy().as_ref()).to_string()
    }
}

/// Empty: none.
impl Value for Option<PathBuf> {
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { PathBuf::read(text).map(Some) }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "\"\"".into(), Value::show)
    }
}

impl Value for SocketAddr {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "an IP address and a port, like 127.0.0.1:7400 or [::1]:7400".into())
    }

    fn show(&self) -> String {
        format!("\"{self}\"")
    }
}

/// Empty: none.
impl Value for Option<SocketAddr> {
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            Ok(None)
        } else {
            SocketAddr::read(text).map(Some).map_err(|expected| format!("{expected}, or empty"))
        }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "\"\"".into(), Value::show)
    }
}

impl Value for Names {
    fn read(text: &str) -> Result<Self, String> {
        if text.chars().any(char::is_control) { Err("names with commas between them".into()) } else { Ok(Names::of(text)) }
    }

    fn show(&self) -> String {
        toml::Value::from(self.to_string()).to_string()
    }
}

/// Checks that a number lies in the range that its setting was declared with.
///
/// # Errors
/// The range, to stand after "must be ".
pub fn within<T: PartialOrd + Copy + Display + Into<u64>>(value: T, range: &RangeInclusive<T>) -> Result<(), String> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(format!("from {} to {}", grouped((*range.start()).into()), grouped((*range.end()).into())))
}

/// Reads a number as people write it, underscores included: `1_000_000`.
fn whole_number(text: &str) -> Result<u64, String> {
    let digits = text.replace('_', "");
    let is_plain = !text.starts_with('_') && digits.bytes().all(|b| b.is_ascii_digit());
    match digits.parse() {
        Ok(number) if is_plain => Ok(number),
        _ => Err("a whole number, like 5000 or 1_000_000".into()),
    }
}

/// A number as people read it, and as TOML takes it: `1_000_000`; four digits and fewer stay as they are.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    if digits.len() <= 4 {
        return digits;
    }
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

/// Declares a struct of settings: each field with its type, default, optional range and unit; the doc comment is its reason.
macro_rules! settings {
    (
        $(#[$attribute:meta])*
        pub struct $struct:ident {
            $( $(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:expr $(, in $range:expr)?; $unit:literal )*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $struct {
            $(
                $(#[doc = $doc])+
                #[doc = ""]
                #[doc = concat!("Default `", stringify!($default), "`, in ", $unit, ".")]
                pub $field: $type,
            )*
        }

        impl Default for $struct {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $struct {
            /// Every setting of this struct, in the order of declaration.
            pub const SETTINGS: &'static [$crate::config::setting::Setting<$struct>] = &[
                $(
                    $crate::config::setting::Setting {
                        name: stringify!($field),
                        unit: $unit,
                        doc: concat!($($doc),+),
                        is_flag: <$type as $crate::config::setting::Value>::IS_FLAG,
                        set: |settings, text| {
                            let value = <$type as $crate::config::setting::Value>::read(text)?;
                            $( $crate::config::setting::within(value, &$range)?; )?
                            settings.$field = value;
                            Ok(())
                        },
                        show: |settings| $crate::config::setting::Value::show(&settings.$field),
                    },
                )*
            ];
        }
    };
}
pub(crate) use settings;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        assert_eq!(u32::read("1_000_000"), Ok(1_000_000));
        assert_eq!(u64::read("0"), Ok(0));
        for wrong in ["", "_1", "-1", "+1", "1.5", "1e3", "5s"] {
            assert!(u32::read(wrong).is_err(), "{wrong:?} is not a whole number");
        }
        assert!(u32::read("4294967296").unwrap_err().contains("4_294_967_295"));
    }

    #[test]
    fn what_is_shown_can_be_read() {
        for number in [0, 999, 1000, 9999, 10_000, 123_456, 1_000_000, u64::MAX] {
            assert_eq!(u64::read(&grouped(number)), Ok(number));
        }
        assert_eq!(grouped(1_000_000), "1_000_000");
        assert_eq!(grouped(5000), "5000");
    }

    #[test]
    fn a_path_is_shown_as_a_file_takes_it() {
        for path in ["./campanile-data", "/a b/\"c\"", "C:\\x", "it's"] {
            let line: toml::Table = format!("x = {}", PathBuf::from(path).show()).parse().unwrap();
            assert_eq!(line["x"].as_str(), Some(path));
        }
        assert!(PathBuf::read("").is_err() && PathBuf::read("a\nb").is_err());
    }

    #[test]
    fn a_range_names_both_ends() {
        assert_eq!(within(5u32, &(1..=5)), Ok(()));
        assert_eq!(within(0u32, &(1..=50_000)), Err("from 1 to 50_000".into()));
    }
}
