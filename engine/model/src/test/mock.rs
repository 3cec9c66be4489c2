//! Mocks: how an action, or one step, behaves.

use super::one_of;
use crate::diagnostic::Code;
use crate::document::{Content, Node};
use crate::read::{Read, Reader};
use crate::source::{Span, Spanned};
use crate::units::{Size, Time};
use crate::workflow::ERROR_CLASSES;

/// How an action or a step behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct MockSpec {
    /// An action's name, or a step's path in which `*` stands for any item.
    pub of: Spanned<String>,
    /// One behaviour per time its effect begins; the last one stays.
    pub behaviours: Vec<BehaviourSpec>,
}

/// How one effect goes.
#[derive(Debug, Clone, PartialEq)]
pub struct BehaviourSpec {
    /// Where it stands.
    pub span: Span,
    /// From its start to its end.
    pub takes: Option<Time>,
    /// What it moves besides, and over which resource.
    pub moves: Option<(Spanned<String>, Size)>,
    /// How it ends.
    pub outcome: Outcome,
    /// What the step's own probe finds; the action itself cannot tell then.
    pub found: Option<Node>,
    /// How the action's own undo of it behaves, per time it is asked for.
    pub undo: Vec<BehaviourSpec>,
}

/// How an effect ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is there; what is not written of its outputs is made from the action's schema.
    Done(Option<Node>),
    /// It certainly left nothing behind.
    Failed(ErrorSpec),
    /// Nobody knows, and a probe finds it done.
    UnknownDone(Option<Node>),
    /// Nobody knows, and a probe finds nothing of it.
    UnknownAbsent,
    /// Nobody knows, and a probe finds a part of it.
    UnknownPartial,
    /// Nobody knows, and no probe is answered.
    UnknownForGood,
}

/// Why an effect failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorSpec {
    /// The error class.
    pub class: String,
    /// What happened.
    pub message: Option<String>,
    /// The device's own code.
    pub code: Option<String>,
}

pub(crate) const KEYS: [&str; 7] = ["takes", "moves", "outputs", "error", "unknown", "found", "undo"];
pub(crate) const UNDO_KEYS: [&str; 2] = ["takes", "error"];
pub(crate) const ERROR_KEYS: [&str; 3] = ["class", "message", "code"];
/// What a probe finds, by the word in a file.
pub(crate) const REALLY: [&str; 4] = ["done", "absent", "partial", "cannot-tell"];

pub(super) fn read_all(node: &Node, reader: &mut Reader<'_>) -> Vec<MockSpec> {
    if !matches!(node.content, Content::Map(_)) {
        reader.wrong_type(node, "a map of mocks by action or step");
    }
    let entries = node.entries().iter().filter(|entry| !entry.key.value.starts_with("x-"));
    let mock = |entry: &crate::document::Entry, reader: &mut Reader<'_>| MockSpec {
        of: entry.key.clone(),
        behaviours: behaviours(&entry.value, &KEYS, reader),
    };
    entries.map(|entry| mock(entry, reader)).collect()
}

/// One behaviour, or a list of them.
fn behaviours(node: &Node, keys: &[&str], reader: &mut Reader<'_>) -> Vec<BehaviourSpec> {
    match &node.content {
        Content::List(items) => items.iter().filter_map(|item| behaviour(item, keys, reader)).collect(),
        Content::Null | Content::Bool(_) | Content::Number(_) | Content::Text(_) | Content::Map(_) => {
            behaviour(node, keys, reader).into_iter().collect()
        }
    }
}

fn behaviour(node: &Node, keys: &[&str], reader: &mut Reader<'_>) -> Option<BehaviourSpec> {
    reader.fields(node, "a mock", keys)?;
    let undo = node.get("undo").filter(|_| keys.contains(&"undo"));
    Some(BehaviourSpec {
        span: node.span,
        takes: reader.optional(node, "takes"),
        moves: node.get("moves").and_then(|moves| read_moves(moves, reader)),
        outcome: outcome(node, reader)?,
        found: read_found(node, reader),
        undo: undo.map(|undo| behaviours(undo, &UNDO_KEYS, reader)).unwrap_or_default(),
    })
}

fn read_found(node: &Node, reader: &mut Reader<'_>) -> Option<Node> {
    let found = node.get("found");
    if node.get("unknown").is_none() {
        contradict(node, found, "a probe looks only when nobody knows: say what is `unknown`", reader);
    }
    found.cloned()
}

/// `{ wan: 40GiB }`: one resource, and how much goes over it.
fn read_moves(node: &Node, reader: &mut Reader<'_>) -> Option<(Spanned<String>, Size)> {
    match node.entries() {
        [entry] => Size::read(&entry.value, reader).map(|size| (entry.key.clone(), size)),
        _ => {
            reader.wrong_type(node, "one resource and how much goes over it, such as `{ wan: 40GiB }`");
            None
        }
    }
}

fn outcome(node: &Node, reader: &mut Reader<'_>) -> Option<Outcome> {
    let outputs = node.get("outputs").cloned();
    match (node.get("error"), node.get("unknown")) {
        (None, None) => Some(Outcome::Done(outputs)),
        (Some(error), None) => {
            contradict(node, outputs.as_ref(), "an effect that fails puts nothing out", reader);
            ErrorSpec::read(error, reader).map(Outcome::Failed)
        }
        (Some(_), Some(unknown)) => {
            contradict(node, Some(unknown), "an effect fails or its outcome is unknown, not both", reader);
            None
        }
        (None, Some(unknown)) => {
            let really = one_of(unknown, "what a probe finds", &REALLY, reader)?;
            if really != "done" {
                contradict(node, outputs.as_ref(), "an effect that is not there puts nothing out", reader);
            }
            Some(match really {
                "done" => Outcome::UnknownDone(outputs),
                "absent" => Outcome::UnknownAbsent,
                "partial" => Outcome::UnknownPartial,
                _ => Outcome::UnknownForGood,
            })
        }
    }
}

fn contradict(behaviour: &Node, part: Option<&Node>, why: &str, reader: &mut Reader<'_>) {
    if let Some(part) = part {
        let entry = behaviour.entries().iter().find(|entry| entry.value.span == part.span);
        reader.report(Code::Malformed, entry.map_or(part.span, |entry| entry.key.span), why);
    }
}

impl Read for ErrorSpec {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.fields(node, "an error", &ERROR_KEYS)?;
        let (message, code) = (reader.optional(node, "message"), reader.optional(node, "code"));
        let class: Node = reader.required(node, "class")?;
        let class = one_of(&class, "an error class", &ERROR_CLASSES, reader)?.to_owned();
        Some(Self { class, message, code })
    }
}
