//! A part of the settings, as the operator sees it: a section of the file, with the names that its settings have elsewhere.

use super::error::{ConfigError, WrongValue};
use super::setting::Setting;
use super::sources::Origin;

/// The settings of one struct, with their values and where these came from.
#[derive(Clone, Debug)]
pub struct Section<S: 'static> {
    /// The table of the file in which they stand; empty: above all tables.
    pub path: &'static str,
    /// What their names begin with outside of the file.
    pub prefix: &'static str,
    /// What they are if nobody says otherwise.
    pub defaults: S,
    /// What they are.
    pub values: S,
    /// Where each came from, in the order of declaration.
    pub origins: Vec<Origin>,
    settings: &'static [Setting<S>],
}

impl<S: Clone> Section<S> {
    /// A section in which nobody has said anything.
    pub(super) fn new(path: &'static str, prefix: &'static str, settings: &'static [Setting<S>], defaults: S) -> Section<S> {
        Section { path, prefix, values: defaults.clone(), defaults, origins: vec![Origin::Default; settings.len()], settings }
    }
}

/// One setting with its value, for whoever shows it.
pub(super) struct Entry {
    /// In the file.
    pub(super) key: &'static str,
    /// Everywhere else, in `snake_case`.
    pub(super) name: String,
    pub(super) value: String,
    pub(super) default: String,
    pub(super) unit: &'static str,
    pub(super) origin: Origin,
    pub(super) reason: String,
    pub(super) is_flag: bool,
}

/// A section, whatever the struct of its settings.
pub(super) trait AnySection {
    /// See [`Section::path`].
    fn path(&self) -> &'static str;

    /// What stands in it, in the order of declaration.
    fn entries(&self) -> Vec<Entry>;

    /// Sets what has this key in the file. `None`: there is no such setting.
    fn set_key(&mut self, key: &str, text: &str, origin: &Origin) -> Option<Result<(), ConfigError>>;

    /// Sets what has this name outside of the file. `None`: there is no such setting.
    fn set_name(&mut self, name: &str, text: &str, origin: &Origin) -> Option<Result<(), ConfigError>>;

    /// Whether a setting has this key in the file.
    fn has_key(&self, key: &str) -> bool;
}

impl<S> AnySection for Section<S> {
    fn path(&self) -> &'static str {
        self.path
    }

    fn entries(&self) -> Vec<Entry> {
        let entry = |(setting, origin): (&Setting<S>, &Origin)| Entry {
            key: setting.name,
            name: format!("{}{}", self.prefix, setting.name),
            value: (setting.show)(&self.values),
            default: (setting.show)(&self.defaults),
            unit: setting.unit,
            origin: origin.clone(),
            reason: setting.reason(),
            is_flag: setting.is_flag,
        };
        self.settings.iter().zip(&self.origins).map(entry).collect()
    }

    fn set_key(&mut self, key: &str, text: &str, origin: &Origin) -> Option<Result<(), ConfigError>> {
        let index = self.settings.iter().position(|setting| setting.name == key)?;
        let setting = &self.settings[index];
        self.origins[index] = origin.clone();
        Some((setting.set)(&mut self.values, text).map_err(|expected| {
            ConfigError::WrongValue(Box::new(WrongValue {
                name: format!("{}{key}", self.prefix),
                value: text.to_owned(),
                origin: origin.clone(),
                expected,
                reason: setting.reason(),
                default: (setting.show)(&self.defaults),
            }))
        }))
    }

    fn set_name(&mut self, name: &str, text: &str, origin: &Origin) -> Option<Result<(), ConfigError>> {
        self.set_key(name.strip_prefix(self.prefix)?, text, origin)
    }

    fn has_key(&self, key: &str) -> bool {
        self.settings.iter().any(|setting| setting.name == key)
    }
}

/// A section as it stands in the file; above all of them there is no name.
pub(super) fn bracketed(path: &str) -> String {
    format!("[{path}]")
}
