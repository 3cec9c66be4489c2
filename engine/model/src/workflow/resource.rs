//! `resources` and `claims`: budgets that steps share, and what a step takes of them.

use crate::diagnostic::{Code, Diagnostic};
use crate::document::{Content, Node};
use crate::ids::StepId;
use crate::read::{Read, Reader};
use crate::resource::ResourceKind;
use crate::source::{Span, Spanned};

/// Keys of a resource.
pub(crate) const RESOURCE_KEYS: [&str; 5] = ["kind", "capacity", "reserve", "between", "site"];
/// Keys of a claim that is a map.
pub(crate) const CLAIM_KEYS: [&str; 4] = ["amount", "keep", "at_least", "at_most"];
/// Those of a claim that takes what is left.
pub(crate) const OF_ELASTIC: [&str; 2] = ["at_least", "at_most"];
/// What a claim says that takes what is left.
pub(crate) const ELASTIC: &str = "elastic";

/// A budget that steps share.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceSpec {
    /// Its name.
    pub name: Spanned<String>,
    /// What it is; nothing if that could not be read.
    pub kind: Option<Spanned<ResourceKind>>,
    /// How much there is of it; nothing if that was not said.
    pub capacity: Option<Node>,
    /// How much of it is never given away: an amount, or a part in percent.
    pub reserve: Option<Node>,
    /// The two sites whose link it is.
    pub between: Option<Node>,
    /// The site at which it is.
    pub site: Option<Node>,
}

/// What a step takes of a resource while it is under way.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimSpec {
    /// The resource.
    pub resource: Spanned<String>,
    /// How much of it.
    pub amount: ClaimAmount,
    /// Where the amount stands.
    pub span: Span,
}

/// How much a step takes of a resource.
#[derive(Debug, Clone, PartialEq)]
pub enum ClaimAmount {
    /// So much, or it waits.
    Fixed {
        /// How much.
        amount: Node,
        /// Whether it stays taken for as long as the step's effect is there, not only while it is under way.
        keep: bool,
    },
    /// What others leave, shared evenly with those that say the same.
    Elastic {
        /// It waits until it gets so much.
        at_least: Option<Node>,
        /// It has no use for more.
        at_most: Option<Node>,
    },
}

/// The resources of a workflow; notes (`x-*`) are left out.
pub(super) fn read_all(root: &Node, reader: &mut Reader<'_>) -> Vec<ResourceSpec> {
    let Some(node) = root.get("resources") else { return Vec::new() };
    if !matches!(node.content, Content::Map(_)) {
        reader.wrong_type(node, "a map of resources by their names");
    }
    let mut resources = Vec::new();
    for entry in node.entries().iter().filter(|entry| !entry.key.value.starts_with("x-")) {
        if let Err(error) = entry.key.value.parse::<StepId>() {
            let message = error.to_string().replacen("step", "resource", 1);
            reader.report(Code::Malformed, entry.key.span, message);
        }
        resources.push(read_resource(&entry.key, &entry.value, reader));
    }
    resources
}

fn read_resource(name: &Spanned<String>, node: &Node, reader: &mut Reader<'_>) -> ResourceSpec {
    reader.fields(node, "a resource", &RESOURCE_KEYS);
    let kind: Option<Spanned<ResourceKind>> = reader.required(node, "kind");
    if node.get("capacity").is_none() && matches!(node.content, Content::Map(_)) {
        reader.missing(node, "capacity");
    }
    for (key, fits) in [("between", true), ("site", false)] {
        let wrong = kind.as_ref().is_some_and(|kind| (kind.value == ResourceKind::Bandwidth) != fits);
        if let (true, Some(at)) = (wrong, node.get(key)) {
            let message = format!("`{key}` does not belong to a resource of this kind");
            let one = Diagnostic::new(Code::Malformed, reader.source, at.span, message);
            reader.found.push(one.help("bandwidth is `between` two sites, everything else is at a `site`"));
        }
    }
    check_between(node, reader);
    let _: Option<String> = reader.optional(node, "site");
    ResourceSpec {
        name: name.clone(),
        kind,
        capacity: node.get("capacity").cloned(),
        reserve: node.get("reserve").cloned(),
        between: node.get("between").cloned(),
        site: node.get("site").cloned(),
    }
}

fn check_between(node: &Node, reader: &mut Reader<'_>) {
    let Some(between) = node.get("between") else { return };
    match &between.content {
        Content::List(ends) if ends.len() == 2 => {
            let _: Option<Vec<String>> = reader.optional(node, "between");
        }
        Content::List(_) => reader.report(Code::Malformed, between.span, "a link is between two sites"),
        _ => reader.wrong_type(between, "a list of two sites"),
    }
}

/// The claims of a step, notes (`x-*`) left out.
pub(super) fn read_claims(step: &Node, reader: &mut Reader<'_>) -> Vec<ClaimSpec> {
    let Some(node) = step.get("claims") else { return Vec::new() };
    if !matches!(node.content, Content::Map(_)) {
        reader.wrong_type(node, "a map of amounts by their resources");
    }
    let entries = node.entries().iter().filter(|entry| !entry.key.value.starts_with("x-"));
    let claim = |entry: &crate::document::Entry| {
        let amount = read_amount(&entry.value, reader)?;
        Some(ClaimSpec { resource: entry.key.clone(), amount, span: entry.value.span })
    };
    entries.filter_map(claim).collect()
}

fn read_amount(node: &Node, reader: &mut Reader<'_>) -> Option<ClaimAmount> {
    if node.as_text() == Some(ELASTIC) {
        return Some(ClaimAmount::Elastic { at_least: None, at_most: None });
    }
    if !matches!(node.content, Content::Map(_)) {
        return Some(ClaimAmount::Fixed { amount: node.clone(), keep: false });
    }
    reader.fields(node, "a claim", &CLAIM_KEYS)?;
    let keep = reader.optional(node, "keep");
    let elastic = OF_ELASTIC.iter().any(|key| node.get(key).is_some());
    match (node.get("amount"), elastic, keep) {
        (Some(amount), false, keep) => {
            Some(ClaimAmount::Fixed { amount: amount.clone(), keep: keep.unwrap_or(false) })
        }
        (None, true, None) => Some(ClaimAmount::Elastic {
            at_least: node.get("at_least").cloned(),
            at_most: node.get("at_most").cloned(),
        }),
        _ => {
            let message =
                "a claim has an `amount`, which it may `keep`, or bounds for what it gets of the rest";
            let one = Diagnostic::new(Code::StepBody, reader.source, node.span, message);
            reader.found.push(
                one.help("write an amount such as `200Mbit/s`, `elastic`, or `{ at_least: 20Mbit/s }`"),
            );
            None
        }
    }
}

impl Read for ResourceKind {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Some(text) = node.as_text() else {
            reader.wrong_type(node, "a kind of resource");
            return None;
        };
        let kind = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        if kind.is_none() {
            let message = format!("there are no resources of kind `{text}`");
            let one = Diagnostic::new(Code::Malformed, reader.source, node.span, message);
            let names = Self::ALL.map(Self::as_str);
            reader.found.push(one.help(format!("there are: {}", names.join(", "))));
        }
        kind
    }
}
