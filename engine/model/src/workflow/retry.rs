//! `retry`: what is tried again, and when.

use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::document::Node;
use crate::read::{Read, Reader};
use crate::source::Spanned;
use crate::units::Time;

/// The error classes that `retry.errors` may name: those of the action contract.
pub const ERROR_CLASSES: [&str; 8] =
    ["transient", "permanent", "precondition", "conflict", "auth", "unreachable", "cancelled", "internal"];

/// Most attempts of one step.
pub(crate) const ATTEMPTS_MAX: u32 = 100;
/// Most that a wait grows by.
pub(crate) const FACTOR_MAX: u32 = 100;

pub(crate) const KEYS: [&str; 3] = ["max_attempts", "backoff", "errors"];
pub(crate) const BACKOFF_KEYS: [&str; 4] = ["initial", "factor", "max", "jitter"];

/// `retry`. What is not written is for the planner to fill in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RetrySpec {
    /// Attempts in all.
    pub max_attempts: Option<u32>,
    /// Waiting times.
    pub backoff: BackoffSpec,
    /// Error classes that are tried again.
    pub errors: Option<Vec<String>>,
}

/// `retry.backoff`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BackoffSpec {
    /// Before the second attempt.
    pub initial: Option<Time>,
    /// What each further wait is multiplied by.
    pub factor: Option<u32>,
    /// The longest wait.
    pub max: Option<Time>,
    /// How much of a wait is random.
    pub jitter: Option<Jitter>,
}

/// How much of a wait is random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jitter {
    /// All of it.
    Full,
    /// None of it.
    None,
}

impl Read for RetrySpec {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.fields(node, "a retry", &KEYS)?;
        Some(Self {
            max_attempts: bounded(node, "max_attempts", ATTEMPTS_MAX, reader),
            backoff: reader.optional(node, "backoff").unwrap_or_default(),
            errors: read_errors(node, reader),
        })
    }
}

fn read_errors(node: &Node, reader: &mut Reader<'_>) -> Option<Vec<String>> {
    let errors: Vec<Spanned<String>> = reader.optional(node, "errors")?;
    if let Some(node) = node.get("errors").filter(|_| errors.is_empty()) {
        let one = Diagnostic::new(Code::Malformed, reader.source, node.span, "a retry of no error at all");
        reader.found.push(one.help("name at least one error class, such as `[transient]`, or leave it out"));
    }
    for error in errors.iter().filter(|error| !ERROR_CLASSES.contains(&error.value.as_str())) {
        let message = format!("there is no error class `{}`", error.value);
        let one = Diagnostic::new(Code::Malformed, reader.source, error.span, message);
        let near = nearest(&error.value, ERROR_CLASSES);
        reader.found.push(one.help(near.map_or_else(
            || format!("there are: {}", ERROR_CLASSES.join(", ")),
            |near| format!("did you mean `{near}`?"),
        )));
    }
    Some(errors.into_iter().map(|error| error.value).collect())
}

impl Read for BackoffSpec {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.fields(node, "a backoff", &BACKOFF_KEYS)?;
        Some(Self {
            initial: reader.optional(node, "initial"),
            factor: bounded(node, "factor", FACTOR_MAX, reader),
            max: reader.optional(node, "max"),
            jitter: reader.optional(node, "jitter"),
        })
    }
}

impl Read for Jitter {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match node.as_text() {
            Some("full") => Some(Self::Full),
            Some("none") => Some(Self::None),
            Some(_) | None => {
                reader.report(Code::Malformed, node.span, "jitter is `full` or `none`");
                None
            }
        }
    }
}

/// A whole number from 1 to `max`.
pub(crate) fn bounded(node: &Node, key: &str, max: u32, reader: &mut Reader<'_>) -> Option<u32> {
    let read: Spanned<u32> = reader.optional(node, key)?;
    if !(1..=max).contains(&read.value) {
        reader.report(Code::Malformed, read.span, format!("`{key}` is from 1 to {max}"));
    }
    Some(read.value)
}
