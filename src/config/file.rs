//! The file: TOML, with each setting in its section.

use super::error::ConfigError;
use super::section::{AnySection, bracketed};
use super::sources::{Origin, Settled, nearest};

/// Takes the settings of a file.
pub(super) fn settle_file(settled: &mut Settled, path: &str, text: &str) -> Result<(), ConfigError> {
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| ConfigError::Syntax { path: path.to_owned(), error: one_line(&error, text) })?;
    settle_table(settled, "", &table, &Origin::File(path.to_owned()))
}

/// Takes what stands in one table: settings, if it is a section, and tables that are sections or hold some.
fn settle_table(settled: &mut Settled, path: &str, table: &toml::Table, origin: &Origin) -> Result<(), ConfigError> {
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) if !section(settled, path).is_some_and(|section| section.has_key(key)) => {
                let inner_path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                if !leads_to_sections(settled, &inner_path) {
                    return Err(unknown_section(settled, &inner_path, origin));
                }
                settle_table(settled, &inner_path, inner, origin)?;
            }
            _ => settle_entry(settled, path, key, value, origin)?,
        }
    }
    Ok(())
}

/// Takes one setting.
fn settle_entry(settled: &mut Settled, path: &str, key: &str, value: &toml::Value, origin: &Origin) -> Result<(), ConfigError> {
    let text = match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let set = section_mut(settled, path).and_then(|section| section.set_key(key, &text, origin));
    set.unwrap_or_else(|| Err(misplaced(settled, path, key, origin)))
}

/// What to say of a key that its place does not know.
fn misplaced(settled: &Settled, path: &str, key: &str, origin: &Origin) -> ConfigError {
    let (name, origin) = (key.to_owned(), origin.clone());
    if leads_to_sections(settled, key) {
        return ConfigError::UnknownName { nearest: nearest(&bracketed(key), section_names(settled)), name, origin };
    }
    let of_name = |section: &dyn AnySection| {
        let of_name = |entry: &super::section::Entry| entry.key == key || entry.name == key;
        section.entries().into_iter().find(of_name).map(|entry| (entry.key, section.path()))
    };
    let places: Vec<_> = settled.sections().into_iter().filter_map(of_name).collect();
    let Some((key, _)) = places.first() else {
        let keys = settled.sections().into_iter().flat_map(AnySection::entries).map(|entry| entry.key.to_owned());
        return ConfigError::UnknownName { nearest: nearest(key, keys.collect()), name, origin };
    };
    let found = if path.is_empty() { String::new() } else { bracketed(path) };
    let wanted = places.iter().filter(|(_, path)| !path.is_empty()).map(|(_, path)| bracketed(path)).collect();
    ConfigError::WrongSection { name, key, origin, found, wanted }
}

fn unknown_section(settled: &Settled, path: &str, origin: &Origin) -> ConfigError {
    let name = bracketed(path);
    ConfigError::UnknownSection { nearest: nearest(&name, section_names(settled)), name, origin: origin.clone() }
}

fn section<'a>(settled: &'a Settled, path: &str) -> Option<&'a dyn AnySection> {
    settled.sections().into_iter().find(|section| section.path() == path)
}

fn section_mut<'a>(settled: &'a mut Settled, path: &str) -> Option<&'a mut dyn AnySection> {
    settled.sections_mut().into_iter().find(|section| section.path() == path)
}

/// Whether a table of this path is a section, or holds some.
fn leads_to_sections(settled: &Settled, path: &str) -> bool {
    let leads =
        |section: &dyn AnySection| section.path().strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    !path.is_empty() && settled.sections().into_iter().any(leads)
}

/// All sections, in brackets.
fn section_names(settled: &Settled) -> Vec<String> {
    settled.sections().into_iter().map(AnySection::path).filter(|path| !path.is_empty()).map(bracketed).collect()
}

/// The parser's message with its line, and without its drawing of the place.
fn one_line(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or("");
    format!("line {}: {}", before.matches('\n').count() + 1, error.message().replace('\n', ", "))
}
