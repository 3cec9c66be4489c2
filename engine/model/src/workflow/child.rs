//! A step that runs another workflow.

use crate::diagnostic::{Code, Diagnostic};
use crate::document::Node;
use crate::read::Reader;
use crate::source::Spanned;

/// A step that runs another workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct ChildSpec {
    /// The file, as seen from the one that names it.
    pub file: Spanned<String>,
    /// What its inputs are.
    pub with: Option<Node>,
}

/// The form of a text that names a file.
pub(crate) const PATH: &str = r"^\.\.?/";

/// Keys that bound an attempt. A workflow has no attempts; its steps have.
pub(crate) const OF_ATTEMPTS: [&str; 3] = ["timeout", "heartbeat", "retry"];

/// Keys that speak of one effect.
pub(crate) const OF_EFFECTS: [&str; 5] = ["effects", "pivot", "scope", "compensate", "claims"];

/// Whether a text names a file.
pub(super) fn is_path(text: &str) -> bool {
    text.starts_with("./") || text.starts_with("../")
}

/// Whether a step's `uses` names a file.
pub(super) fn is_named(step: &Node) -> bool {
    step.get("uses").and_then(Node::as_text).is_some_and(is_path)
}

/// How a file is named that a text means which has not the form of one.
#[must_use]
pub fn path_meant(text: &str) -> Option<String> {
    let is_meant = [".yaml", ".yml", ".json"].iter().any(|ending| text.ends_with(ending));
    is_meant.then(|| format!("./{}", text.trim_start_matches('/')))
}

/// Reads a step whose `uses` [names a file](is_named).
pub(super) fn read(node: &Node, reader: &mut Reader<'_>) -> Option<ChildSpec> {
    let file: Spanned<String> = reader.required(node, "uses")?;
    for entry in node.entries() {
        let (key, file) = (entry.key.value.as_str(), &file.value);
        let help = match key {
            _ if OF_ATTEMPTS.contains(&key) => {
                format!(
                    "write it at the steps of `{file}`, or below `defaults` there; `deadline` there bounds the whole"
                )
            }
            _ if OF_EFFECTS.contains(&key) => format!("write it at the step of `{file}` that it is about"),
            _ => continue,
        };
        let message = format!("`{key}` belongs to a step that uses an action, this one runs a workflow");
        let one = Diagnostic::new(Code::StepBody, reader.source, entry.key.span, message);
        reader.found.push(one.help(help));
    }
    Some(ChildSpec { file, with: reader.optional(node, "with") })
}
