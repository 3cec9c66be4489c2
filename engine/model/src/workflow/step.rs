//! A step as the file says it.

use crate::action::Effects;
use crate::diagnostic::{Code, Diagnostic};
use crate::document::{Content, Entry, Node};
use crate::ids::StepId;
use crate::read::{Read, Reader};
use crate::source::{Span, Spanned};
use crate::units::Time;
use crate::workflow::child::{self, ChildSpec};
use crate::workflow::question::QuestionSpec;
use crate::workflow::resource::{self, ClaimSpec};
use crate::workflow::retry::{RetrySpec, bounded};
use crate::workflow::shared::{read_heartbeat, read_timeout};

/// A step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepSpec {
    /// Its id.
    pub id: Spanned<StepId>,
    /// What `needs` names.
    pub needs: Vec<Spanned<StepId>>,
    /// `if`: the expression that says whether it runs.
    pub condition: Option<Node>,
    /// What it does; nothing if that could not be read.
    pub body: Option<BodySpec>,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum BodySpec {
    /// Uses an action.
    Action(Box<ActionSpec>),
    /// Runs another workflow.
    Workflow(ChildSpec),
    /// Runs steps once for each item.
    Foreach(ForeachSpec),
    /// Lets time pass.
    Wait(WaitSpec),
    /// Asks somebody outside.
    Question(QuestionSpec),
}

/// How long time passes; nothing if that could not be read.
#[derive(Debug, Clone, PartialEq)]
pub enum WaitSpec {
    /// So long.
    For(Node),
    /// Until then.
    Until(Node),
    /// Its own mistake was noted.
    Broken,
}

/// A step that uses an action.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionSpec {
    /// The action as it is named; nothing if no name can stand there.
    pub uses: Option<Spanned<String>>,
    /// Its parameters.
    pub with: Option<Node>,
    /// The effects it is asserted to have.
    pub effects: Option<Spanned<Effects>>,
    /// How long one attempt may take.
    pub timeout: Option<Time>,
    /// How long it may give no sign of life.
    pub heartbeat: Option<Time>,
    /// What is tried again.
    pub retry: Option<RetrySpec>,
    /// Where `pivot: true` stands.
    pub pivot: Option<Span>,
    /// Where `scope: true` stands.
    pub scope: Option<Span>,
    /// What undoes it.
    pub compensate: Option<CompensateSpec>,
    /// How to find out whether its effect is there, if its action cannot tell.
    pub probe: Option<ProbeSpec>,
    /// What it takes of the workflow's resources.
    pub claims: Vec<ClaimSpec>,
}

/// `compensate`.
#[derive(Debug, Clone, PartialEq)]
pub struct CompensateSpec {
    /// The action that undoes.
    pub uses: Option<Spanned<String>>,
    /// Its parameters.
    pub with: Option<Node>,
    /// What must hold for it.
    pub requires: Vec<Node>,
    /// Where it stands.
    pub span: Span,
}

/// `probe`.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeSpec {
    /// The action that looks.
    pub uses: Option<Spanned<String>>,
    /// Its parameters.
    pub with: Option<Node>,
    /// Whether what it found means that the effect is there.
    pub done: Option<Node>,
    /// Whether it means that nothing of the effect is there.
    pub absent: Option<Node>,
    /// Whether it means that a part of the effect is there.
    pub partial: Option<Node>,
    /// What the step then puts out.
    pub outputs: Option<Node>,
    /// Where it stands.
    pub span: Span,
}

/// A step that runs others once for each item.
#[derive(Debug, Clone, PartialEq)]
pub struct ForeachSpec {
    /// The list; nothing if there is none.
    pub over: Option<Node>,
    /// The item variable; nothing if it could not be read.
    pub variable: Option<Spanned<String>>,
    /// How many items at once.
    pub max_parallel: Option<u32>,
    /// What an item's failure means for the others.
    pub on_item_failure: Option<ItemFailure>,
    /// The nested steps.
    pub steps: Vec<StepSpec>,
}

/// What an item's failure means for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemFailure {
    /// No further item starts.
    Fail,
    /// The others go on.
    Continue,
}

/// Keys of every step.
pub(crate) const SHARED_KEYS: [&str; 2] = ["needs", "if"];
/// Keys of a step that waits for a time or for somebody.
pub(crate) const WAIT_KEYS: [&str; 2] = ["wait", "approve"];
pub(crate) const ACTION_KEYS: [&str; 11] = [
    "uses",
    "with",
    "effects",
    "timeout",
    "heartbeat",
    "retry",
    "pivot",
    "scope",
    "compensate",
    "probe",
    "claims",
];
pub(crate) const FOREACH_KEYS: [&str; 5] = ["foreach", "as", "max_parallel", "on_item_failure", "steps"];

/// Keys of a wait that is a map.
pub(crate) const WAIT_MAP_KEYS: [&str; 6] = ["for", "until", "signal", "payload", "expires", "on_expire"];
/// Keys of a wait for a signal alone.
pub(crate) const OF_SIGNALS: [&str; 3] = ["payload", "expires", "on_expire"];
pub(crate) const COMPENSATE_KEYS: [&str; 3] = ["uses", "with", "requires"];
pub(crate) const PROBE_KEYS: [&str; 6] = ["uses", "with", "done", "absent", "partial", "outputs"];

/// Most items of a foreach at once.
pub(crate) const PARALLEL_MAX: u32 = 1_000;

/// Every key that some step has.
pub(crate) fn keys() -> Vec<&'static str> {
    SHARED_KEYS.into_iter().chain(ACTION_KEYS).chain(FOREACH_KEYS).chain(WAIT_KEYS).collect()
}

/// Reads a map of steps; notes (`x-*`) are left out.
pub(super) fn read_all(node: &Node, reader: &mut Reader<'_>) -> Vec<StepSpec> {
    if !matches!(node.content, Content::Map(_)) {
        let message = format!("expected a map of steps by their ids, found {}", node.type_name());
        let one = Diagnostic::new(Code::WrongType, reader.source, node.span, message);
        reader.found.push(
            one.help("each step stands behind its id: `copy: { uses: storage.prefetch@1, with: { … } }`"),
        );
    }
    let steps = node.entries().iter().filter(|entry| !entry.key.value.starts_with("x-"));
    steps.filter_map(|entry| read_step(entry, reader)).collect()
}

fn read_step(entry: &Entry, reader: &mut Reader<'_>) -> Option<StepSpec> {
    let node = &entry.value;
    reader.fields(node, "a step", &keys());
    let needs: Option<Vec<Spanned<StepId>>> = reader.optional(node, "needs");
    let body = read_body(entry, reader);
    let id = match entry.key.value.parse() {
        Ok(id) => Spanned { value: id, span: entry.key.span },
        Err(error) => {
            reader.report(Code::Malformed, entry.key.span, format!("{error}"));
            return None;
        }
    };
    let condition = node.get("if").cloned();
    Some(StepSpec { id, needs: needs.unwrap_or_default(), condition, body })
}

fn read_body(entry: &Entry, reader: &mut Reader<'_>) -> Option<BodySpec> {
    let node = &entry.value;
    let has = |key: &str| node.get(key).is_some();
    match (has("uses"), has("foreach") || has("steps")) {
        (true, false) if child::is_named(node) => {
            refuse_keys(node, &FOREACH_KEYS, "a step that repeats steps", reader);
            refuse_keys(node, &WAIT_KEYS, "a step that waits", reader);
            child::read(node, reader).map(BodySpec::Workflow)
        }
        (true, false) => {
            refuse_keys(node, &FOREACH_KEYS, "a step that repeats steps", reader);
            refuse_keys(node, &WAIT_KEYS, "a step that waits", reader);
            Some(BodySpec::Action(Box::new(read_action(node, reader))))
        }
        (false, true) => {
            refuse_keys(node, &ACTION_KEYS, "a step that uses an action", reader);
            refuse_keys(node, &WAIT_KEYS, "a step that waits", reader);
            Some(BodySpec::Foreach(read_foreach(node, reader)))
        }
        (true, true) => {
            let message = format!("step `{}` both uses an action and repeats steps", entry.key.value);
            reader.report(Code::StepBody, entry.key.span, message);
            None
        }
        (false, false) if has("wait") || has("approve") => {
            refuse_keys(node, &ACTION_KEYS, "a step that uses an action", reader);
            refuse_keys(node, &FOREACH_KEYS, "a step that repeats steps", reader);
            Some(read_waiting(node, reader))
        }
        (false, false) => {
            // A step whose whole work is a misspelt key is reported as that.
            let explained = node.entries().iter().any(|e| is_misspelt(&e.key.value));
            if !explained && matches!(node.content, Content::Map(_)) {
                let message = format!("step `{}` does nothing", entry.key.value);
                let one = Diagnostic::new(Code::StepBody, reader.source, entry.key.span, message);
                reader.found.push(one.help("give it `uses`, `foreach` and `steps`, `wait` or `approve`"));
            }
            None
        }
    }
}

fn is_misspelt(key: &str) -> bool {
    !key.starts_with("x-") && !keys().contains(&key)
}

fn refuse_keys(node: &Node, keys: &[&str], owner: &str, reader: &mut Reader<'_>) {
    for entry in node.entries().iter().filter(|entry| keys.contains(&entry.key.value.as_str())) {
        let message = format!("`{}` belongs to {owner}", entry.key.value);
        reader.report(Code::StepBody, entry.key.span, message);
    }
}

fn read_action(node: &Node, reader: &mut Reader<'_>) -> ActionSpec {
    let [pivot, scope] = ["pivot", "scope"].map(|key| {
        let flag: Option<Spanned<bool>> = reader.optional(node, key);
        flag.filter(|flag| flag.value).map(|flag| flag.span)
    });
    ActionSpec {
        uses: read_uses(node, reader),
        with: reader.optional(node, "with"),
        effects: reader.optional(node, "effects"),
        timeout: read_timeout(node, reader),
        heartbeat: read_heartbeat(node, reader),
        retry: reader.optional(node, "retry"),
        pivot,
        scope,
        compensate: reader.optional(node, "compensate"),
        probe: reader.optional(node, "probe"),
        claims: resource::read_claims(node, reader),
    }
}

/// What `uses` names. Whether an action is called so, those find out who know them.
fn read_uses(node: &Node, reader: &mut Reader<'_>) -> Option<Spanned<String>> {
    let uses: Spanned<String> = reader.required(node, "uses")?;
    if !child::is_path(&uses.value) {
        return Some(uses);
    }
    let message = format!("one action is needed here, and `{}` is a workflow", uses.value);
    let one = Diagnostic::new(Code::Malformed, reader.source, uses.span, message);
    reader.found.push(one.help("name the action; a workflow runs as a step of its own"));
    None
}

fn read_waiting(node: &Node, reader: &mut Reader<'_>) -> BodySpec {
    match (node.get("wait"), node.get("approve")) {
        (Some(wait), None) => read_wait(wait, reader),
        (None, Some(approve)) => QuestionSpec::approval(approve, reader)
            .map_or(BodySpec::Wait(WaitSpec::Broken), BodySpec::Question),
        (_, _) => {
            let message = "a step waits, or asks for an approval, not both: make two steps of it";
            reader.report(Code::StepBody, node.span, message);
            BodySpec::Wait(WaitSpec::Broken)
        }
    }
}

/// `10m`, or a map with `for`, `until` or `signal`.
fn read_wait(node: &Node, reader: &mut Reader<'_>) -> BodySpec {
    if node.as_text().is_some() {
        return BodySpec::Wait(WaitSpec::For(node.clone()));
    }
    if reader.fields(node, "a wait", &WAIT_MAP_KEYS).is_none() {
        return BodySpec::Wait(WaitSpec::Broken);
    }
    match (node.get("for"), node.get("until"), node.get("signal")) {
        (Some(time), None, None) => BodySpec::Wait(timed(WaitSpec::For(time.clone()), node, reader)),
        (None, Some(time), None) => BodySpec::Wait(timed(WaitSpec::Until(time.clone()), node, reader)),
        (None, None, Some(_)) => BodySpec::Question(QuestionSpec::signal(node, reader)),
        _ => {
            let message = "a wait has either `for`, `until` or `signal`";
            reader.report(Code::StepBody, node.span, message);
            BodySpec::Wait(WaitSpec::Broken)
        }
    }
}

fn timed(wait: WaitSpec, node: &Node, reader: &mut Reader<'_>) -> WaitSpec {
    refuse_keys(node, &OF_SIGNALS, "a wait for a signal", reader);
    wait
}

fn read_foreach(node: &Node, reader: &mut Reader<'_>) -> ForeachSpec {
    let steps = node.get("steps");
    if steps.is_none() {
        reader.missing(node, "steps");
    }
    ForeachSpec {
        over: reader.required(node, "foreach"),
        variable: reader.required(node, "as"),
        max_parallel: bounded(node, "max_parallel", PARALLEL_MAX, reader),
        on_item_failure: reader.optional(node, "on_item_failure"),
        steps: steps.map(|steps| read_all(steps, reader)).unwrap_or_default(),
    }
}

impl Read for CompensateSpec {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.fields(node, "a compensation", &COMPENSATE_KEYS)?;
        Some(Self {
            uses: read_uses(node, reader),
            with: reader.optional(node, "with"),
            requires: reader.optional(node, "requires").unwrap_or_default(),
            span: node.span,
        })
    }
}

impl Read for ProbeSpec {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.fields(node, "a probe", &PROBE_KEYS)?;
        Some(Self {
            uses: read_uses(node, reader),
            with: reader.optional(node, "with"),
            done: reader.required(node, "done"),
            absent: reader.optional(node, "absent"),
            partial: reader.optional(node, "partial"),
            outputs: reader.optional(node, "outputs"),
            span: node.span,
        })
    }
}

impl Read for Effects {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match node.as_text() {
            Some("none") => Some(Self::None),
            Some("reversible") => Some(Self::Reversible),
            Some("irreversible") => Some(Self::Irreversible),
            Some(_) | None => {
                reader.report(
                    Code::Malformed,
                    node.span,
                    "effects are `none`, `reversible` or `irreversible`",
                );
                None
            }
        }
    }
}

impl Read for ItemFailure {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match node.as_text() {
            Some("fail") => Some(Self::Fail),
            Some("continue") => Some(Self::Continue),
            Some(_) | None => {
                reader.report(Code::Malformed, node.span, "`on_item_failure` is `fail` or `continue`");
                None
            }
        }
    }
}
