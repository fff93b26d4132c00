//! The figures of a run: computed once, shown as a table and as JSON.

mod backlog;
mod cold;
mod figures;
mod table;
mod traffic;

use std::path::Path;

use serde::Serialize;

pub use backlog::BacklogFigures;
pub use cold::ColdFigures;
pub use figures::{Figures, Latency};
pub use table::{Table, latency, table};

use crate::error::Failure;

/// Writes the JSON file.
///
/// # Errors
/// [`Failure::Report`].
pub fn write_json(figures: &impl Serialize, path: &Path) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(figures).expect("figures are numbers and texts");
    text.push('\n');
    std::fs::write(path, text).map_err(|e| Failure::Report(path.to_owned(), e))
}
