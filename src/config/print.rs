//! `--print-config`: every setting in force, as a file that can be used as it is printed.

use super::sources::{Origin, Settled};
use super::{Base, Config, CpuList};
use crate::config::setting::Setting;
use crate::limits::Limits;

/// Every value with its default, unit, reason and where it came from, as TOML with comments.
#[must_use]
pub fn print(settled: &Settled, config: &Config) -> String {
    let mut rows = rows(Base::SETTINGS, &settled.base, &settled.base_origins);
    let limits_at = rows.len();
    rows.extend(self::rows(Limits::SETTINGS, &settled.limits, &settled.limit_origins));
    let width = |column: fn(&Row) -> &String| rows.iter().map(|row| column(row).len()).max().unwrap_or(0);
    let (entries, defaults, units, origins) =
        (width(|r| &r.entry), width(|r| &r.default), width(|r| &r.unit), width(|r| &r.origin));

    let mut text = heading(config);
    for (index, row) in rows.iter().enumerate() {
        if index == limits_at {
            text.push_str("\n[limits]\n");
        }
        let Row { entry, default, unit, origin, reason } = row;
        text.push_str(&format!("{entry:entries$}  # {default:defaults$} | {unit:units$} | {origin:origins$} | {reason}\n"));
    }
    text
}

/// What the settings come to on this machine, and what the columns are.
fn heading(config: &Config) -> String {
    format!(
        "# Campanile {}: every setting in force. Use this as a file: campanile --config FILE\n\
         # Here: {} shard(s) on processors {}, of {}.\n\
         # setting = value  # default | unit | where the value comes from | reason\n\n",
        env!("CARGO_PKG_VERSION"),
        config.shards,
        CpuList(config.shard_cpus.clone()),
        CpuList(config.cpus.clone()),
    )
}

/// One line of the table.
struct Row {
    entry: String,
    default: String,
    unit: String,
    origin: String,
    reason: String,
}

/// The lines of one struct of settings.
fn rows<S: Default>(settings: &[Setting<S>], values: &S, origins: &[Origin]) -> Vec<Row> {
    let row = |(setting, origin): (&Setting<S>, &Origin)| Row {
        entry: format!("{} = {}", setting.name, (setting.show)(values)),
        default: (setting.show)(&S::default()),
        unit: setting.unit.to_owned(),
        origin: one_line(&origin.to_string()),
        reason: setting.reason(),
    };
    settings.iter().zip(origins).map(row).collect()
}

/// A file's name may hold a line break, which would end the comment.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, "?")
}

#[cfg(test)]
mod tests {
    use super::super::sources::{Written, settle};
    use super::*;

    fn settled(text: &str) -> Settled {
        settle(&Written { file: Some(("a\nb".into(), text.into())), ..Written::default() }).unwrap()
    }

    #[test]
    fn what_is_printed_can_be_used_as_a_file() {
        let first = settled("tcp = \"[::1]:9\"\ncpus = \"0-1\"\ninsecure = true\n[limits]\nheartbeat_ms = 12345\n");
        let config = Config::resolve(&first.base, &first.limits, &[0, 1]).unwrap();
        let again = settled(&print(&first, &config));
        assert_eq!((again.base, again.limits), (first.base, first.limits));
    }

    #[test]
    fn each_line_tells_default_unit_origin_and_reason() {
        let settled = settled("[limits]\nheartbeat_ms = 12345\n");
        let config = Config::resolve(&settled.base, &settled.limits, &[0, 1]).unwrap();
        let text = print(&settled, &config);
        let line = text.lines().find(|line| line.starts_with("heartbeat_ms")).unwrap();
        for part in ["= 12_345 ", "30_000", "| ms", "| a?b", "told in welcome"] {
            assert!(line.contains(part), "{part} in {line}");
        }
        assert_eq!(text.matches("| default").count(), Base::SETTINGS.len() + Limits::SETTINGS.len() - 1);
    }
}
