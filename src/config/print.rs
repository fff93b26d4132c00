//! `--print-config`: every setting in force, as a file that can be used as it is printed.

use super::section::{Entry, bracketed};
use super::sources::Settled;
use super::{Config, CpuList};

/// Every value with its default, unit, reason and where it came from, as TOML with comments.
#[must_use]
pub fn print(settled: &Settled, config: &Config) -> String {
    let rows = settled.sections().map(|section| section.entries().into_iter().map(Row::of).collect::<Vec<_>>());
    let width = |column: fn(&Row) -> &String| rows.iter().flatten().map(|row| column(row).len()).max().unwrap_or(0);
    let (entries, defaults, units, origins) =
        (width(|r| &r.entry), width(|r| &r.default), width(|r| &r.unit), width(|r| &r.origin));

    let mut text = heading(config);
    for (section, rows) in settled.sections().into_iter().zip(&rows) {
        if !section.path().is_empty() {
            text.push_str(&format!("\n{}\n", bracketed(section.path())));
        }
        for Row { entry, default, unit, origin, reason } in rows {
            text.push_str(&format!("{entry:entries$}  # {default:defaults$} | {unit:units$} | {origin:origins$} | {reason}\n"));
        }
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

impl Row {
    fn of(entry: Entry) -> Row {
        Row {
            entry: format!("{} = {}", entry.key, entry.value),
            default: entry.default,
            unit: entry.unit.to_owned(),
            origin: one_line(&entry.origin.to_string()),
            reason: entry.reason,
        }
    }
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
        let first = settled(
            "tcp = \"[::1]:9\"\ncpus = \"0-1\"\ninsecure = true\ndata_dir = \"/a 'b'\"\n\
             [conversations.topic]\ndurability = \"os\"\nhistory_ttl = \"30d\"\n[limits]\nheartbeat_ms = 12345\n",
        );
        let config = Config::resolve(&first.base.values, &first.limits.values, first.policies(), &[0, 1]).unwrap();
        let again = settled(&print(&first, &config));
        assert_eq!((again.policies(), again.base.values), (first.policies(), first.base.values));
        assert_eq!(again.limits.values, first.limits.values);
    }

    #[test]
    fn each_line_tells_default_unit_origin_and_reason() {
        let settled = settled("[limits]\nheartbeat_ms = 12345\n");
        let config = settled.resolve().unwrap();
        let text = print(&settled, &config);
        let line = text.lines().find(|line| line.starts_with("heartbeat_ms")).unwrap();
        for part in ["= 12_345 ", "30_000", "| ms", "| a?b", "told in welcome"] {
            assert!(line.contains(part), "{part} in {line}");
        }
        let all = settled.sections().iter().map(|section| section.entries().len()).sum::<usize>();
        assert_eq!(text.matches("| default").count(), all - 1);
    }
}
