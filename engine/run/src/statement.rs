//! What a person signs, and who checks it.

use longhaul_model::ids::{RunId, StepId, StepPath};
use longhaul_plan::{Asks, Body, Graph, ValueSchema};
use longhaul_saga::event::{Person, Signed, Vote, Voted};
use longhaul_saga::{OpenQuestion, Saga};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::inbox::Message;

/// What a person says of a run. It names everything that it could be mistaken for something else without: the run, what that is
/// pinned to, the step, and which of the step's questions is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The form of the statement: 1.
    pub longhaul: u32,
    /// What is said.
    pub says: Says,
    /// The run.
    pub run: RunId,
    /// The digest of its workflow, in hex.
    pub workflow: String,
    /// The step; none if it concerns the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepPath>,
    /// When the step began to ask, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_at_unix_ms: Option<u64>,
    /// Why, in the person's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a person says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Says {
    /// They start the run.
    Start,
    /// They approve what a step asks.
    Approve,
    /// They reject it.
    Reject,
}

/// Knows whose signature a statement bears.
pub trait Notary: Send + Sync {
    /// The person who signed it, if their certificate was good at this time and the signature is theirs.
    ///
    /// # Errors
    /// Why it is not known who signed it, in words for people.
    fn signer(&self, signed: &Signed, at_unix_ms: u64) -> Result<Person, String>;
}

/// Nobody's signature is known.
#[derive(Debug, Clone, Copy)]
pub struct NoNotary;

impl Notary for NoNotary {
    fn signer(&self, _: &Signed, _: u64) -> Result<Person, String> {
        Err("no certificate authority is known here".to_owned())
    }
}

impl Statement {
    /// That a person starts a run.
    #[must_use]
    pub fn start(run: &RunId, workflow: &str) -> Self {
        Self {
            longhaul: 1,
            says: Says::Start,
            run: run.clone(),
            workflow: workflow.to_owned(),
            step: None,
            asked_at_unix_ms: None,
            reason: None,
        }
    }

    /// That a person approves or rejects what a step asks.
    #[must_use]
    pub fn vote(saga: &Saga, question: &OpenQuestion, vote: Vote, reason: Option<String>) -> Self {
        let says = match vote {
            Vote::Approve => Says::Approve,
            Vote::Reject => Says::Reject,
        };
        Self {
            says,
            step: Some(question.step.clone()),
            asked_at_unix_ms: Some(question.asked_at_unix_ms),
            reason,
            ..Self::start(saga.run(), &saga.plan().workflow.sha256)
        }
    }

    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("a statement holds only what JSON has")
    }
}

/// The vote of a message, if it is really the person's and really about the question that is open.
///
/// # Errors
/// Why it does not count, in words for people.
pub fn voted(saga: &Saga, message: &Message, at_unix_ms: u64, notary: &dyn Notary) -> Result<Voted, String> {
    let Message::Vote { step, vote, signed } = message else {
        return Err("it is no vote".to_owned());
    };
    let by = notary.signer(signed, at_unix_ms)?;
    let said: Statement = serde_json::from_str(&signed.text)
        .map_err(|error| format!("what {} signed is no statement of this version: {error}", by.name))?;
    let open = saga.open_questions().into_iter().find(|question| question.step == *step);
    let Some(question) = open else { return Err(format!("`{step}` asks nobody for an approval now")) };
    let meant = Statement::vote(saga, &question, *vote, said.reason.clone());
    if said != meant {
        return Err(format!("what {} signed is not about this question", by.name));
    }
    let voted = Voted {
        step: step.clone(),
        vote: *vote,
        by,
        reason: said.reason,
        signed: Some(signed.clone()),
        message: None,
    };
    saga.check_vote(&voted).map_err(|why| why.to_string())?;
    Ok(voted)
}

/// Whether a signal may come: some step waits for it, now or later, and what comes with it is what that step asks for.
///
/// # Errors
/// Why it may not, in words for people.
pub fn signalled(saga: &Saga, name: &StepId, payload: &Value) -> Result<(), String> {
    if saga.status().is_final() {
        return Err(format!("the run has ended, {}", saga.status()));
    }
    let mut signals = Vec::new();
    let plan = saga.plan();
    [&plan.graph, &plan.on_failure, &plan.always].into_iter().for_each(|graph| collect(graph, &mut signals));
    let schemas: Vec<_> = signals.iter().filter(|(known, _)| *known == name).collect();
    if schemas.is_empty() {
        let mut known: Vec<&str> = signals.iter().map(|(name, _)| name.as_str()).collect();
        known.sort_unstable();
        known.dedup();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(format!("no step of this run waits for a signal `{name}`; there are: {known}"));
    }
    for schema in schemas.into_iter().filter_map(|(_, schema)| schema.as_ref()) {
        let misfits = ValueSchema::new(schema).map(|schema| schema.misfits(payload)).unwrap_or_default();
        if let Some(misfit) = misfits.first() {
            return Err(format!("the payload does not fit at `{}`: {}", misfit.pointer, misfit.message));
        }
    }
    Ok(())
}

fn collect<'p>(graph: &'p Graph, signals: &mut Vec<(&'p StepId, &'p Option<Value>)>) {
    for step in &graph.steps {
        match &step.body {
            Body::Question(question) => {
                if let Asks::Signal { name, payload } = &question.asks {
                    signals.push((name, payload));
                }
            }
            Body::Foreach(foreach) => collect(&foreach.graph, signals),
            Body::Workflow(child) => {
                for graph in [&child.graph, &child.on_failure, &child.always] {
                    collect(graph, signals);
                }
            }
            Body::Action(_) | Body::Wait(_) => {}
        }
    }
}
