//! A chart as SVG: lines over axes, with what stands at a point shown when the pointer is on it. Colours are the page's.

use std::fmt::Write;

use super::html::escaped;
use super::scale::Scale;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;
/// Points with more neighbours than this have no hint of their own.
const HINTS_MAX: usize = 150;

/// A line.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it is.
    pub name: String,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
    /// The area below it is filled.
    pub is_filled: bool,
}

/// How values are written.
pub type Format = fn(f64) -> String;

/// Lines over the same axes.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What is shown.
    pub title: String,
    /// How to read it.
    pub note: String,
    /// The axis from left to right, its name, and how its values are written.
    pub x: (Scale, &'static str, Format),
    /// The axis from bottom to top.
    pub y: (Scale, &'static str, Format),
    /// What is drawn.
    pub lines: Vec<Line>,
    /// Places on the axis from left to right with a name: lines from top to bottom.
    pub marks: Vec<(f64, String)>,
    /// The same from left to right.
    pub bounds: Vec<(f64, String)>,
}

impl Chart {
    /// The chart with its title and legend.
    pub fn html(&self) -> String {
        let mut out = String::new();
        let _ = write!(out, "<figure class=\"chart\"><figcaption><h3>{}</h3>", escaped(&self.title));
        if !self.note.is_empty() {
            let _ = write!(out, "<p>{}</p>", escaped(&self.note));
        }
        out.push_str("<ul class=\"legend\">");
        for (number, line) in self.lines.iter().enumerate() {
            let _ = write!(out, "<li><i class=\"c{number}\"></i>{}</li>", escaped(&line.name));
        }
        let _ = write!(out, "</ul></figcaption>{}</figure>", self.svg());
        out
    }

    fn svg(&self) -> String {
        let mut out = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">", escaped(&self.title));
        self.axes(&mut out);
        for (number, line) in self.lines.iter().enumerate() {
            self.line(&mut out, number, line);
        }
        for (at, name) in &self.marks {
            let x = self.x_of(*at);
            let _ = write!(out, "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/>", HEIGHT - BOTTOM);
            let (anchor, side) = if x > WIDTH * 0.7 { ("end", -5.0) } else { ("start", 5.0) };
            let _ = write!(
                out,
                "<text class=\"marked\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
                x + side,
                TOP + 11.0,
                escaped(name)
            );
        }
        for (at, name) in &self.bounds {
            let y = self.y_of(*at);
            let _ = write!(out, "<line class=\"mark\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>", WIDTH - RIGHT);
            let _ = write!(out, "<text class=\"marked\" x=\"{:.1}\" y=\"{:.1}\">{}</text>", LEFT + 6.0, y - 5.0, escaped(name));
        }
        for (number, line) in self.lines.iter().enumerate() {
            self.hints(&mut out, number, line);
        }
        out.push_str("</svg>");
        out
    }

    fn x_of(&self, value: f64) -> f64 {
        LEFT + self.x.0.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y_of(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.0.place(value) * (HEIGHT - TOP - BOTTOM)
    }

    fn axes(&self, out: &mut String) {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for tick in self.y.0.ticks(self.y.2) {
            let y = self.y_of(tick.at);
            let class = if tick.text.is_empty() { "fine" } else { "grid" };
            let _ = write!(out, "<line class=\"{class}\" x1=\"{LEFT}\" x2=\"{right:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>");
            let _ = write!(out, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>", LEFT - 8.0, y + 3.5, tick.text);
        }
        for tick in self.x.0.ticks(self.x.2) {
            let x = self.x_of(tick.at);
            let class = if tick.text.is_empty() { "fine" } else { "grid" };
            let _ = write!(out, "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom:.1}\"/>");
            let _ = write!(out, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>", bottom + 16.0, tick.text);
        }
        let _ = write!(out, "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right:.1}\" y1=\"{bottom:.1}\" y2=\"{bottom:.1}\"/>");
        let middle = (LEFT + right) / 2.0;
        let _ = write!(
            out,
            "<text class=\"name\" x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - 8.0,
            self.x.1
        );
        let middle = (TOP + bottom) / 2.0;
        let _ = write!(
            out,
            "<text class=\"name\" transform=\"translate(13 {middle:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            self.y.1
        );
    }

    fn line(&self, out: &mut String, number: usize, line: &Line) {
        if line.points.is_empty() {
            return;
        }
        let path: String = line.points.iter().map(|(x, y)| format!("{:.1},{:.1} ", self.x_of(*x), self.y_of(*y))).collect();
        if line.is_filled {
            let (first, last) = (line.points[0].0, line.points[line.points.len() - 1].0);
            let bottom = HEIGHT - BOTTOM;
            let (first, last) = (self.x_of(first), self.x_of(last));
            let _ = write!(out, "<polygon class=\"f{number}\" points=\"{first:.1},{bottom:.1} {path}{last:.1},{bottom:.1}\"/>");
        }
        let _ = write!(out, "<polyline class=\"l{number}\" points=\"{path}\"/>");
    }

    fn hints(&self, out: &mut String, number: usize, line: &Line) {
        let every = line.points.len().div_ceil(HINTS_MAX).max(1);
        for (x, y) in line.points.iter().step_by(every) {
            let _ = write!(
                out,
                "<circle class=\"p{number}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\"><title>{}: {} at {}</title></circle>",
                self.x_of(*x),
                self.y_of(*y),
                escaped(&line.name),
                (self.y.2)(*y),
                (self.x.2)(*x)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_its_lines_names_and_hints() {
        let write: Format = |value| format!("{value} u");
        let line = Line { name: "a < b".into(), points: vec![(0.0, 1.0), (10.0, 3.0)], is_filled: true };
        let chart = Chart {
            title: "T & t".into(),
            note: "n".into(),
            x: (Scale::Linear(0.0, 10.0), "time", write),
            y: (Scale::Linear(0.0, 4.0), "size", write),
            lines: vec![line],
            marks: vec![(5.0, "half".into())],
            bounds: vec![(2.0, "bound".into())],
        };
        let html = chart.html();
        for wanted in [
            "T &amp; t",
            "a &lt; b: 3 u at 10 u",
            "<polyline class=\"l0\" points=\"66.0,195.0 702.0,73.0 \"",
            ">half<",
            ">bound<",
            ">4 u<",
        ] {
            assert!(html.contains(wanted), "{wanted}: {html}");
        }
        assert!(!html.contains("NaN"));
    }

    #[test]
    fn a_line_without_points_is_only_named() {
        let write: Format = |value| format!("{value}");
        let chart = Chart {
            title: String::new(),
            note: String::new(),
            x: (Scale::from_zero(std::iter::empty()), "", write),
            y: (Scale::log_of(std::iter::empty()), "", write),
            lines: vec![Line { name: "nothing".into(), points: Vec::new(), is_filled: true }],
            marks: Vec::new(),
            bounds: Vec::new(),
        };
        let html = chart.html();
        assert!(html.contains("nothing") && !html.contains("polyline") && !html.contains("NaN"), "{html}");
    }
}
