//! Steps that ask somebody outside: approvals and signals.

use std::collections::BTreeSet;
use std::fmt;

use longhaul_model::diagnostic::Code;
use longhaul_model::document::Node;
use longhaul_model::ids::StepId;
use longhaul_model::workflow::{AsksSpec, BodySpec, OnExpire as OnExpireSpec, QuestionSpec, StepSpec};
use serde_json::{Value, json};

use crate::check::Checker;
use crate::names::Names;
use crate::plan::{Asks, Body, Graph, OnExpire, Question};
use crate::schema::{self, ANY};
use crate::steps::{CheckedBody, Lasting};

impl Checker<'_> {
    pub(crate) fn question(&mut self, spec: &QuestionSpec, names: &Names<'_>) -> Option<CheckedBody> {
        let mut reads = Vec::new();
        let asks = match &spec.asks {
            AsksSpec::Approval { roles, quorum, forbid_self, message } => {
                let message = match message {
                    Some(node) => {
                        let checked = self.template(node, names)?;
                        reads = checked.reads;
                        Some(checked.template)
                    }
                    None => None,
                };
                Asks::Approval {
                    roles: roles.iter().map(|role| role.value.clone()).collect(),
                    quorum: quorum.unwrap_or(1),
                    forbid_self: *forbid_self,
                    message,
                }
            }
            AsksSpec::Signal { name, payload } => {
                let payload = payload.as_ref().and_then(|node| self.payload_schema(node));
                Asks::Signal { name: name.as_ref()?.value.clone(), payload }
            }
        };
        let on_expire = match spec.on_expire.as_ref().map(|it| it.value) {
            Some(OnExpireSpec::Skip) => OnExpire::Skip,
            Some(OnExpireSpec::Continue) => OnExpire::Continue,
            Some(OnExpireSpec::Fail) | None => OnExpire::Fail,
        };
        let question = Question { asks, expires: spec.expires, on_expire, defaulted: Vec::new() };
        let body = Body::Question(Box::new(question));
        Some(CheckedBody { body, reads, lasting: Lasting::default() })
    }

    /// Refuses a question whose lapse would pass over nothing but itself: what should wait for the answer does not need it. `read` are
    /// the steps of the graph that something behind it reads.
    pub(crate) fn report_idle_questions(
        &mut self,
        specs: &[StepSpec],
        graph: &Graph,
        read: &BTreeSet<StepId>,
    ) {
        let needed: BTreeSet<&StepId> = graph.steps.iter().flat_map(|step| &step.needs).chain(read).collect();
        for spec in specs {
            match &spec.body {
                Some(BodySpec::Question(question)) if !needed.contains(&spec.id.value) => {
                    self.report_idle_question(&spec.id.value, question);
                }
                Some(BodySpec::Foreach(foreach)) => {
                    let nested = graph.steps.iter().find(|step| step.id == spec.id.value);
                    if let Some(Body::Foreach(nested)) = nested.map(|step| &step.body) {
                        self.report_idle_questions(&foreach.steps, &nested.graph, &BTreeSet::new());
                    }
                }
                Some(
                    BodySpec::Question(_) | BodySpec::Action(_) | BodySpec::Wait(_) | BodySpec::Workflow(_),
                )
                | None => {}
            }
        }
    }

    fn report_idle_question(&mut self, id: &StepId, question: &QuestionSpec) {
        let Some(skip) = question.on_expire.as_ref().filter(|it| it.value == OnExpireSpec::Skip) else {
            return;
        };
        let message = format!("nobody's answer would pass over nothing: no step beside `{id}` needs it");
        let one = self.mistake(Code::IdleAnswer, skip.span, message);
        self.found.push(one.help(
            "`skip` passes over what needs the step in its own graph: write `on_expire: fail`, or let what waits for the answer \
             need it",
        ));
    }

    pub(crate) fn payload_schema(&mut self, node: &Node) -> Option<Value> {
        let schema = node.to_json();
        match schema::validator(&schema) {
            Ok(_) => Some(schema),
            Err(error) => {
                self.report(
                    Code::InvalidSchema,
                    node.nearest(&error.pointer).span,
                    format!("the schema of the payload is wrong: {}", error.message),
                );
                None
            }
        }
    }
}

/// The schema of what a question puts out.
pub(crate) fn outputs_schema(spec: &QuestionSpec) -> Value {
    let may_lack = spec.on_expire.as_ref().is_some_and(|it| it.value == OnExpireSpec::Continue);
    match &spec.asks {
        AsksSpec::Approval { .. } => approval_schema(),
        AsksSpec::Signal { payload, .. } => {
            signal_schema(payload.as_ref().filter(|_| !may_lack).map(Node::to_json))
        }
    }
}

impl Question {
    /// The schema of what it puts out.
    #[must_use]
    pub fn outputs_schema(&self) -> Value {
        match &self.asks {
            Asks::Approval { .. } => approval_schema(),
            Asks::Signal { payload, .. } => {
                signal_schema(payload.clone().filter(|_| self.on_expire != OnExpire::Continue))
            }
        }
    }
}

/// The schema of what an approval puts out.
#[must_use]
pub fn approval_schema() -> Value {
    json!({
        "type": "object",
        "properties": { "approved_by": { "type": "array", "items": { "type": "string" } } },
        "additionalProperties": false,
    })
}

/// `payload` is what comes with it; anything, and nothing if the run may go on without.
fn signal_schema(payload: Option<Value>) -> Value {
    json!({
        "type": "object",
        "properties": { "received": { "type": "boolean" }, "payload": payload.unwrap_or(ANY.clone()) },
        "additionalProperties": false,
    })
}

/// In a line: `asks for 2 approvals by migration-operator, within 2h or it fails`.
impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.asks)?;
        self.end().map_or(Ok(()), |end| write!(f, ", {end}"))
    }
}

impl Question {
    /// What happens when nobody answers: `within 2h or it fails`.
    pub(crate) fn end(&self) -> Option<String> {
        let end = match self.on_expire {
            OnExpire::Fail => "it fails",
            OnExpire::Skip => "it is passed over",
            OnExpire::Continue => "the run goes on without",
        };
        self.expires.map(|expires| format!("within {expires} or {end}"))
    }
}

/// `asks for 2 approvals by migration-operator, not of who started the run`, `waits for signal storm_is_near`.
impl fmt::Display for Asks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Approval { roles, quorum, forbid_self, message: _ } => {
                let several = if *quorum == 1 { "" } else { "s" };
                write!(f, "asks for {quorum} approval{several} by {}", roles.join(" or "))?;
                f.write_str(if *forbid_self { ", not of who started the run" } else { "" })
            }
            Self::Signal { name, .. } => write!(f, "waits for signal {name}"),
        }
    }
}
