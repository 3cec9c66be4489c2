//! What is expected of a case's runs.

use super::{one_of, one_or_more};
use crate::diagnostic::Code;
use crate::document::{Content, Node};
use crate::policy::Verdict;
use crate::read::{Read, Reader};
use crate::source::{Span, Spanned};
use crate::units::Time;

/// How a run may end, as files write it.
pub const STATUSES: [&str; 4] = ["succeeded", "failed", "partial", "needs_operator"];

/// What is expected. What is not written is not looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExpectSpec {
    /// The end is one of these.
    pub status: Option<Spanned<Vec<String>>>,
    /// No run is made: the plan is refused with these codes and no others.
    pub refused: Option<Spanned<Vec<String>>>,
    /// What the policies say of the plan, or that it does not meet its deadline.
    pub plan: Option<Spanned<PlanSpec>>,
    /// Text that stands in what they say.
    pub because: Option<Spanned<String>>,
    /// Which step ends before which begins.
    pub orders: Vec<Order>,
    /// The run's outputs; of a map, the keys that are written.
    pub outputs: Option<Node>,
    /// What is left in effect.
    pub effects: Option<EffectsSpec>,
    /// Exactly these steps have failed.
    pub failed: Option<Spanned<Vec<Spanned<String>>>>,
    /// The run takes at most so long.
    pub within: Option<Spanned<Time>>,
    /// Of an action there are at most so many at once.
    pub at_once: Vec<(Spanned<String>, Spanned<u32>)>,
}

/// What comes of a plan: what the policies say of it, and whether it meets its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanSpec {
    /// It may begin.
    Allowed,
    /// People are asked first.
    Approval,
    /// It does not begin.
    Denied,
    /// As long as its steps take, its deadline passes before they are done.
    Infeasible,
}

impl PlanSpec {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Allowed, Self::Approval, Self::Denied, Self::Infeasible];

    /// The word in a file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Approval => "approval",
            Self::Denied => "denied",
            Self::Infeasible => "infeasible",
        }
    }

    /// What verdicts come to.
    #[must_use]
    pub fn of(verdicts: &[Verdict]) -> Self {
        if Verdict::denials(verdicts).is_some() {
            Self::Denied
        } else if verdicts.iter().any(|verdict| verdict.approval().is_some()) {
            Self::Approval
        } else {
            Self::Allowed
        }
    }
}

/// One step ends before another one begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The one that ends.
    pub first: Spanned<String>,
    /// The one that begins.
    pub then: Spanned<String>,
}

/// What is left in effect.
#[derive(Debug, Clone, PartialEq)]
pub enum EffectsSpec {
    /// Everything the run did is there, came about once, and nothing was taken away.
    ExactlyOnce(Span),
    /// Nothing.
    NoneLeft(Span),
    /// Step by step.
    Each(Vec<(Spanned<String>, Spanned<Remains>)>),
}

/// What became of one effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remains {
    /// It is there.
    There,
    /// It came about and was taken away.
    Undone,
    /// It never came about.
    Never,
}

pub(crate) const KEYS: [&str; 11] = [
    "status", "refused", "plan", "because", "before", "after", "outputs", "effects", "failed", "within",
    "at_once",
];
/// What is expected of a plan, whether or not there is a run.
pub(crate) const OF_PLANS: [&str; 2] = ["plan", "because"];
pub(crate) const EXACTLY_ONCE: &str = "exactly-once";
pub(crate) const NONE_LEFT: &str = "none-left";
pub(crate) const REMAINS: [&str; 3] = ["there", "undone", "never"];

pub(super) fn read(node: &Node, reader: &mut Reader<'_>) -> ExpectSpec {
    reader.fields(node, "an expectation", &KEYS);
    let expect = ExpectSpec {
        status: words(node, "status", reader),
        refused: words(node, "refused", reader),
        plan: reader.optional(node, "plan"),
        because: reader.optional(node, "because"),
        orders: orders(node, reader),
        outputs: reader.optional(node, "outputs"),
        effects: node.get("effects").and_then(|effects| read_effects(effects, reader)),
        failed: reader.optional(node, "failed"),
        within: reader.optional(node, "within"),
        at_once: pairs(node, "at_once", reader),
    };
    check_words(node, reader);
    expect
}

/// A word or a list of words.
fn words(node: &Node, key: &str, reader: &mut Reader<'_>) -> Option<Spanned<Vec<String>>> {
    let value = node.get(key)?;
    Some(Spanned { value: one_or_more(value, reader), span: value.span })
}

/// Notes statuses that there are not, and a refusal that speaks of a run.
fn check_words(node: &Node, reader: &mut Reader<'_>) {
    if let Some(status) = node.get("status") {
        let items = match &status.content {
            Content::List(items) => items.as_slice(),
            _ => std::slice::from_ref(status),
        };
        for item in items.iter().filter(|item| item.as_text().is_some()) {
            one_of(item, "a status", &STATUSES, reader);
        }
    }
    let is_note = |name: &str| name.starts_with("x-");
    let others = |known: &[&str]| {
        let key = |entry: &crate::document::Entry| entry.key.clone();
        let mut all = node.entries().iter().map(key);
        all.find(|key| !known.contains(&key.value.as_str()) && !is_note(&key.value))
    };
    let denied = node.get("plan").and_then(Node::as_text) == Some(PlanSpec::Denied.as_str());
    let (how, other) = match (node.get("refused"), denied) {
        (Some(_), _) => ("refused", others(&["refused"])),
        (None, true) => ("denied", others(&OF_PLANS)),
        (None, false) => return,
    };
    if let Some(other) = other {
        let message = format!("`{}` speaks of a run, and a plan that is {how} has none", other.value);
        reader.report(Code::Malformed, other.span, message);
    }
}

fn orders(node: &Node, reader: &mut Reader<'_>) -> Vec<Order> {
    let before: Vec<(Spanned<String>, Spanned<String>)> = lists(node, "before", reader);
    let after: Vec<(Spanned<String>, Spanned<String>)> = lists(node, "after", reader);
    let before = before.into_iter().map(|(first, then)| Order { first, then });
    before.chain(after.into_iter().map(|(then, first)| Order { first, then })).collect()
}

/// A map from a key to one value.
fn pairs<T: Read>(node: &Node, key: &str, reader: &mut Reader<'_>) -> Vec<(Spanned<String>, Spanned<T>)> {
    map(node, key, reader)
        .into_iter()
        .filter_map(|entry| Some((entry.key.clone(), Spanned::read(&entry.value, reader)?)))
        .collect()
}

/// A map from a key to one value or several.
fn lists(node: &Node, key: &str, reader: &mut Reader<'_>) -> Vec<(Spanned<String>, Spanned<String>)> {
    let mut all = Vec::new();
    for entry in map(node, key, reader) {
        let values: Vec<Spanned<String>> = one_or_more(&entry.value, reader);
        all.extend(values.into_iter().map(|value| (entry.key.clone(), value)));
    }
    all
}

fn map<'n>(node: &'n Node, key: &str, reader: &mut Reader<'_>) -> Vec<&'n crate::document::Entry> {
    let Some(value) = node.get(key) else { return Vec::new() };
    if !matches!(value.content, Content::Map(_)) {
        reader.wrong_type(value, "a map");
    }
    value.entries().iter().collect()
}

fn read_effects(node: &Node, reader: &mut Reader<'_>) -> Option<EffectsSpec> {
    if let Content::Map(entries) = &node.content {
        let each = entries.iter();
        let each = each.filter_map(|entry| Some((entry.key.clone(), Spanned::read(&entry.value, reader)?)));
        return Some(EffectsSpec::Each(each.collect()));
    }
    match one_of(node, "what is left in effect, a word or a map", &[EXACTLY_ONCE, NONE_LEFT], reader)? {
        EXACTLY_ONCE => Some(EffectsSpec::ExactlyOnce(node.span)),
        _ => Some(EffectsSpec::NoneLeft(node.span)),
    }
}

impl Read for PlanSpec {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let words = Self::ALL.map(Self::as_str);
        let word = one_of(node, "what comes of a plan", &words, reader)?;
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }
}

impl Read for Remains {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match one_of(node, "what became of an effect", &REMAINS, reader)? {
            "there" => Some(Self::There),
            "undone" => Some(Self::Undone),
            _ => Some(Self::Never),
        }
    }
}
