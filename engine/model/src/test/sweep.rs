//! Sweeps: the case runs once for every place where something can go wrong.

use super::one_of;
use crate::document::{Content, Node};
use crate::read::{Read, Reader};
use crate::source::{Span, Spanned};
use crate::workflow::ERROR_CLASSES;

/// The word that stands among the error classes for an outcome that nobody knows.
pub const UNKNOWN: &str = "unknown";

/// What goes wrong, one thing per run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SweepSpec {
    /// A step fails.
    pub error: Option<ErrorSweep>,
    /// Where it is written that the controller dies, on either side of each journal write.
    pub crash: Option<Span>,
    /// Where it is written that each effect is asked for twice under its key.
    pub twice: Option<Span>,
}

/// A step fails.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorSweep {
    /// Where it stands.
    pub span: Span,
    /// These steps; every one if there is no list.
    pub at: Option<Vec<Spanned<String>>>,
    /// Once with each of these classes.
    pub classes: Vec<Spanned<String>>,
    /// How many attempts fail, from the first one on.
    pub times: Option<u32>,
}

pub(crate) const KEYS: [&str; 3] = ["error", "crash", "twice"];
pub(crate) const CRASH_KEYS: [&str; 1] = ["at"];
pub(crate) const ERROR_KEYS: [&str; 3] = ["at", "classes", "times"];

pub(crate) const EVERY_STEP: &str = "every-step";
pub(crate) const EVERY_WRITE: &str = "every-journal-write";
pub(crate) const EVERY_ACTION: &str = "every-action";

pub(super) fn read(node: &Node, reader: &mut Reader<'_>) -> SweepSpec {
    reader.fields(node, "a sweep", &KEYS);
    SweepSpec {
        error: reader.optional(node, "error"),
        crash: node.get("crash").and_then(|crash| read_crash(crash, reader)),
        twice: node.get("twice").and_then(|twice| {
            one_of(twice, "what is asked for twice", &[EVERY_ACTION], reader).map(|_| twice.span)
        }),
    }
}

fn read_crash(node: &Node, reader: &mut Reader<'_>) -> Option<Span> {
    reader.fields(node, "a crash", &CRASH_KEYS)?;
    let at: Node = reader.required(node, "at")?;
    one_of(&at, "where controllers die", &[EVERY_WRITE], reader).map(|_| node.span)
}

impl Read for ErrorSweep {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.fields(node, "an error sweep", &ERROR_KEYS)?;
        let times = crate::workflow::bounded(node, "times", TIMES_MAX, reader);
        let classes: Option<Vec<Spanned<String>>> = reader.required(node, "classes");
        let at: Node = reader.required(node, "at")?;
        let words: Vec<&str> = ERROR_CLASSES.into_iter().chain([UNKNOWN]).collect();
        for item in node.get("classes").into_iter().flat_map(items) {
            one_of(item, "an error class", &words, reader);
        }
        let at = match &at.content {
            Content::List(_) => Some(Vec::read(&at, reader)?),
            _ => {
                one_of(&at, "where steps fail, a word or a list", &[EVERY_STEP], reader)?;
                None
            }
        };
        Some(Self { span: node.span, at, classes: classes?, times })
    }
}

fn items(node: &Node) -> &[Node] {
    match &node.content {
        Content::List(items) => items,
        Content::Null | Content::Bool(_) | Content::Number(_) | Content::Text(_) | Content::Map(_) => &[],
    }
}

/// Most attempts that fail: as many as a step can have.
pub(crate) const TIMES_MAX: u32 = 100;
