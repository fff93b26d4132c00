//! What reading one text needs and finds out: the builder, the envelope, and what went wrong where.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::error::Category;

use super::{JsonError, scan};
use crate::wire::Fbb;
use crate::wire::schema::ErrorCode;

pub(in crate::json) struct Context<'u> {
    /// The frame that is being made.
    pub(in crate::json) b: &'u mut Fbb,
    /// Room for what base64 stood for.
    pub(super) decoded: &'u mut Vec<u8>,
    /// Who the session belongs to.
    pub(super) user: Option<&'u str>,
    /// The envelope, as far as it was read.
    pub(super) reference: Option<u64>,
    pub(super) has_type: bool,
    /// A field came before it was known whose it is.
    pub(super) is_undecided: bool,
    /// How many objects are open.
    pub(super) depth: u32,
    problem: Option<(ErrorCode, String)>,
    /// The way to the problem, innermost first.
    path: Vec<Step>,
}

enum Step {
    Field(Cow<'static, str>),
    Item(usize),
}

/// So much of a text of the peer's stands in a message to him.
const QUOTED_CHARS_MAX: usize = 40;

/// The beginning of what the peer wrote.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted: String = text.chars().take(QUOTED_CHARS_MAX).collect();
    if quoted.len() < text.len() {
        quoted.push_str("...");
    }
    quoted
}

impl<'u> Context<'u> {
    pub(super) fn new(b: &'u mut Fbb, decoded: &'u mut Vec<u8>, user: Option<&'u str>) -> Context<'u> {
        let mut cx = Context {
            b,
            decoded,
            user,
            reference: None,
            has_type: false,
            is_undecided: false,
            depth: 0,
            problem: None,
            path: Vec::new(),
        };
        cx.begin();
        cx
    }

    /// Forgets what was read: the text is read from its beginning.
    pub(super) fn begin(&mut self) {
        self.b.reset();
        (self.reference, self.has_type, self.is_undecided, self.depth) = (None, false, false, 0);
    }

    /// Notes what is wrong. Of several the first stands: it lies deepest.
    pub(super) fn problem(&mut self, code: ErrorCode, what: impl FnOnce() -> String) {
        if self.problem.is_none() {
            self.problem = Some((code, what()));
        }
    }

    /// Notes that what stands here is of another type than it should be.
    pub(super) fn expected(&mut self, what: impl FnOnce() -> String) {
        self.problem(ErrorCode::bad_request, || format!("expected {}", what()));
    }

    /// The problem lies in this field.
    pub(super) fn in_field(&mut self, name: impl Into<Cow<'static, str>>) {
        self.path.push(Step::Field(name.into()));
    }

    /// The problem lies in this item of a list.
    pub(super) fn in_item(&mut self, index: usize) {
        self.path.push(Step::Item(index));
    }

    /// Says what is wrong with a text.
    pub(super) fn explain(&mut self, error: &serde_json::Error, text: &str) -> JsonError {
        let path = self.path();
        let problem = self.problem.take();
        let (code, message) = match (error.classify(), problem) {
            (Category::Data, Some((code, problem))) if path.is_empty() => (code, problem),
            (Category::Data, Some((code, problem))) => (code, format!("{path}: {problem}")),
            (Category::Data, None) => (ErrorCode::bad_request, "expected a JSON object".to_owned()),
            _ if path.is_empty() => (ErrorCode::bad_request, format!("not JSON: {error}")),
            _ => (ErrorCode::bad_request, format!("{path}: not JSON: {error}")),
        };
        JsonError { reference: self.reference.unwrap_or_else(|| scan::reference(text)), code, message }
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for step in self.path.iter().rev() {
            match step {
                Step::Field(name) if path.is_empty() => path.push_str(name),
                Step::Field(name) => write!(path, ".{name}").expect("a string takes everything"),
                Step::Item(index) => write!(path, "[{index}]").expect("a string takes everything"),
            }
        }
        path
    }
}
