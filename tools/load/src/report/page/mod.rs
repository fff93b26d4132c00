//! A report as one page of HTML: everything is in it, nothing is fetched, and it is light or dark as the reader's system is.

mod chart;
mod html;
mod scale;
pub mod write;

use std::fmt::Write as _;

pub use chart::{Chart, Line};
pub use scale::Scale;

use html::escaped;
use write::grouped;

/// A number that is worth being large.
#[derive(Clone, Debug)]
pub struct Tile {
    /// What it is.
    pub name: &'static str,
    /// How much.
    pub value: String,
    /// What else is to be known about it.
    pub note: String,
}

/// Something that is counted because it should not be.
#[derive(Clone, Debug)]
pub struct Loss {
    /// What.
    pub name: String,
    /// How often.
    pub count: u64,
    /// It is a fault; otherwise it is only worth knowing.
    pub is_fault: bool,
    /// What it means.
    pub meaning: &'static str,
}

/// A number in front.
pub fn tile(name: &'static str, value: String, note: impl Into<String>) -> Tile {
    Tile { name, value, note: note.into() }
}

/// A fault, when it occurs.
pub fn fault(name: &str, count: u64, meaning: &'static str) -> Loss {
    Loss { name: name.to_owned(), count, is_fault: true, meaning }
}

/// Something that is worth knowing, if there was any.
pub fn note(name: &str, count: u64, meaning: &'static str) -> Option<Loss> {
    (count > 0).then(|| Loss { name: name.to_owned(), count, is_fault: false, meaning })
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The scenario.
    pub title: String,
    /// What was done, in a sentence.
    pub subtitle: String,
    /// Whether all came as it should, and the sentence that says so.
    pub verdict: (bool, String),
    /// What keeps the figures from being what they seem.
    pub warnings: Vec<String>,
    /// In front.
    pub tiles: Vec<Tile>,
    /// In their order.
    pub charts: Vec<Chart>,
    /// What was lost, and what else.
    pub losses: Vec<Loss>,
    /// All figures, as in the table on the terminal.
    pub rows: Vec<(String, String)>,
    /// What it ran on.
    pub facts: Vec<(String, String)>,
    /// How to do it again.
    pub command: String,
    /// When it was done, and by which program.
    pub footer: String,
}

const STYLE: &str = include_str!("style.css");

impl Page {
    /// The whole page.
    pub fn html(&self) -> String {
        let mut out = String::new();
        let title = escaped(&self.title);
        let _ = write!(
            out,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">\
             <title>{title} \u{b7} campanile-load</title><style>{STYLE}</style></head><body><main>"
        );
        let _ = write!(
            out,
            "<header><p class=\"brand\">campanile-load</p><h1>{title}</h1><p class=\"what\">{}</p></header>",
            escaped(&self.subtitle)
        );
        self.verdicts(&mut out);
        self.tiles(&mut out);
        if !self.charts.is_empty() {
            out.push_str("<section class=\"charts\">");
            self.charts.iter().for_each(|chart| out.push_str(&chart.html()));
            out.push_str("</section>");
        }
        self.losses(&mut out);
        pairs(&mut out, "All figures", &self.rows);
        pairs(&mut out, "Machine", &self.facts);
        let _ = write!(out, "<section><h2>Command</h2><pre><code>{}</code></pre></section>", escaped(&self.command));
        let _ = writeln!(out, "<footer>{}</footer></main></body></html>", escaped(&self.footer));
        out
    }

    fn verdicts(&self, out: &mut String) {
        let (is_good, sentence) = &self.verdict;
        let (class, sign) = if *is_good { ("good", "\u{2713}") } else { ("bad", "\u{2717}") };
        let _ = write!(out, "<p class=\"verdict {class}\"><b>{sign}</b> {}</p>", escaped(sentence));
        for warning in &self.warnings {
            let _ = write!(out, "<p class=\"verdict warning\"><b>!</b> {}</p>", escaped(warning));
        }
    }

    fn tiles(&self, out: &mut String) {
        out.push_str("<section class=\"tiles\">");
        for Tile { name, value, note } in &self.tiles {
            let _ = write!(out, "<div><p>{name}</p><strong>{}</strong><small>{}</small></div>", escaped(value), escaped(note));
        }
        out.push_str("</section>");
    }

    fn losses(&self, out: &mut String) {
        if self.losses.is_empty() {
            return;
        }
        out.push_str("<section><h2>Losses</h2><table class=\"losses\"><tbody>");
        for Loss { name, count, is_fault, meaning } in &self.losses {
            let class = match (count, is_fault) {
                (0, _) => "none",
                (_, true) => "fault",
                (_, false) => "some",
            };
            let _ = write!(
                out,
                "<tr class=\"{class}\"><th>{}</th><td class=\"number\">{}</td><td>{meaning}</td></tr>",
                escaped(name),
                grouped(*count)
            );
        }
        out.push_str("</tbody></table></section>");
    }
}

fn pairs(out: &mut String, title: &str, pairs: &[(String, String)]) {
    if pairs.is_empty() {
        return;
    }
    let _ = write!(out, "<section><h2>{title}</h2><table class=\"pairs\"><tbody>");
    for (name, value) in pairs {
        let class = if name.starts_with(' ') { " class=\"sub\"" } else { "" };
        let _ = write!(out, "<tr{class}><th>{}</th><td>{}</td></tr>", escaped(name.trim()), escaped(value.trim_end()));
    }
    out.push_str("</tbody></table></section>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_everything_and_fetches_nothing() {
        let page = Page {
            title: "storm".into(),
            verdict: (false, "3 < 4".into()),
            warnings: vec!["careful".into()],
            tiles: vec![Tile { name: "p99", value: "1 ms".into(), note: "of all".into() }],
            losses: vec![Loss { name: "lost".into(), count: 1234, is_fault: true, meaning: "never came" }],
            rows: vec![("a".into(), "b".into())],
            command: "x --rate 5".into(),
            ..Page::default()
        };
        let html = page.html();
        for wanted in [
            "<title>storm",
            "3 &lt; 4",
            "careful",
            "1 ms",
            "class=\"fault\"",
            "1\u{202f}234",
            "x --rate 5",
            "prefers-color-scheme",
        ] {
            assert!(html.contains(wanted), "{wanted}");
        }
        for fetched in ["http://", "https://", "src=", "<link", "@import", "url("] {
            assert!(!html.contains(fetched), "{fetched}");
        }
    }
}
