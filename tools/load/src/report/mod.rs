//! The figures of a run: computed once, shown as a table, as JSON and as a page.

mod about;
mod backlog;
mod charts;
mod cold;
mod crowd;
mod curve;
mod figures;
mod figures_page;
mod page;
mod ramp;
mod table;
mod traffic;
mod troubles;

use std::path::Path;

use serde::Serialize;

pub use backlog::BacklogFigures;
pub use cold::ColdFigures;
pub use crowd::CrowdFigures;
pub use figures::{Figures, Latency};
use page::Page;
pub use ramp::RampFigures;
use table::table;
pub use table::{Table, latency};

use crate::error::Failure;

/// What a scenario found.
pub trait Report: Serialize {
    /// For people on a terminal.
    fn table(&self) -> Table;

    /// For people with a browser.
    fn page(&self) -> Page;

    /// Whether everything came as it should.
    fn is_clean(&self) -> bool;
}

/// Prints the table, and writes the files that are wanted. Says whether the run was clean.
///
/// # Errors
/// [`Failure::Report`].
pub fn show(report: &impl Report, json: Option<&Path>, html: Option<&Path>) -> Result<bool, Failure> {
    print!("{}", report.table().text());
    json.map_or(Ok(()), |path| write_json(report, path))?;
    let write_html = |path: &Path| std::fs::write(path, report.page().html()).map_err(|e| Failure::Report(path.to_owned(), e));
    html.map_or(Ok(()), write_html)?;
    Ok(report.is_clean())
}

/// Writes the JSON file.
///
/// # Errors
/// [`Failure::Report`].
pub fn write_json(figures: &impl Serialize, path: &Path) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(figures).expect("figures are numbers and texts");
    text.push('\n');
    std::fs::write(path, text).map_err(|e| Failure::Report(path.to_owned(), e))
}
