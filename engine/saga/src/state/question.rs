//! Steps that ask somebody outside. The time goes on while no controller runs, and answers may come then.

use std::sync::Arc;

use longhaul_model::ids::{StepId, StepPath};
use longhaul_plan::{Asks, Body, OnExpire, Question};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{NodeId, Saga, State};
use crate::event::{Person, Vote, Voted};
use crate::intent::{Answered, Ask, Asked, Because, Refuse, Skip};
use crate::{Failure, Intent, Work};

/// Why a vote does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoVote {
    /// Nobody is asked there, or not any more.
    #[error("it asks nobody for an approval now")]
    NotAsked,
    /// The person has none of the roles.
    #[error("`{name}` has none of the roles {}", roles.join(", "))]
    Role {
        /// The person.
        name: String,
        /// The roles that count.
        roles: Vec<String>,
    },
    /// The person started the run.
    #[error("`{0}` started this run, and its workflow wants somebody else")]
    OwnRun(String),
    /// The person has said yes already.
    #[error("`{0}` has approved it already")]
    Twice(String),
}

/// A step whose question is open.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenQuestion {
    /// The step.
    pub step: StepPath,
    /// Who has to answer what.
    pub asks: Asked,
    /// Since when it asks, in Unix milliseconds.
    pub asked_at_unix_ms: u64,
    /// Who said yes so far.
    pub approved_by: Vec<String>,
    /// When it lapses, in Unix milliseconds.
    pub until_unix_ms: Option<u64>,
}

/// An open question's state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Open {
    pub(super) asks: Asked,
    pub(super) asked_at_unix_ms: u64,
    pub(super) until_unix_ms: Option<u64>,
    pub(super) timer: Option<u64>,
    pub(super) approved_by: Vec<String>,
}

impl Saga {
    pub(super) fn begin_question(&mut self, id: NodeId, question: &Question) {
        let asks = match self.asked(id, &question.asks) {
            Ok(asks) => asks,
            Err(why) => return self.refuse(id, Failure::new("precondition", format!("approve: {why}"))),
        };
        let until_unix_ms = question.expires.map(|time| self.now_unix_ms.saturating_add(time.as_millis()));
        let step = self.node(id).path.clone();
        self.decide(Intent::Ask(Ask { step, asks: asks.clone(), until_unix_ms }));
        let asked_at_unix_ms = self.now_unix_ms;
        let open = Open { asks, asked_at_unix_ms, until_unix_ms, timer: None, approved_by: Vec::new() };
        self.node_mut(id).state = State::Asking(Box::new(open));
        match &question.asks {
            Asks::Signal { name, .. } if self.signals.contains_key(name) => {
                let payload = self.signals[name].clone();
                self.answer(id, received(&payload));
            }
            Asks::Signal { .. } | Asks::Approval { .. } => self.watch_question(id),
        }
    }

    fn asked(&self, id: NodeId, asks: &Asks) -> Result<Asked, String> {
        match asks {
            Asks::Signal { name, .. } => Ok(Asked::Signal { name: name.clone() }),
            Asks::Approval { roles, quorum, forbid_self, message } => {
                let said = |template: &longhaul_expr::Template| match template.evaluate(&self.scope_of(id)) {
                    Ok(Value::String(text)) => Ok(text),
                    Ok(other) => Ok(other.to_string()),
                    Err(error) => Err(error.to_string()),
                };
                if *forbid_self && self.started_by.is_none() {
                    return Err(
                        "nobody knows who started this run, and that person must not approve it".to_owned()
                    );
                }
                Ok(Asked::Approval {
                    roles: roles.clone(),
                    quorum: *quorum,
                    not_by: self.started_by.clone().filter(|_| *forbid_self),
                    message: message.as_ref().map(said).transpose()?,
                })
            }
        }
    }

    /// Waits for what is left of an open question's time; a new controller does it again.
    pub(super) fn watch_question(&mut self, id: NodeId) {
        let Some(open) = self.question_of(id) else { return };
        let Some(until_unix_ms) = open.until_unix_ms else { return };
        let timer = self.set_timer(id, until_unix_ms.saturating_sub(self.now_unix_ms));
        if let Some(open) = self.question_mut(id) {
            open.timer = Some(timer);
        }
    }

    /// Whether a vote counts.
    ///
    /// # Errors
    /// Why it does not.
    pub fn check_vote(&self, voted: &Voted) -> Result<(), NoVote> {
        let node = self.index.get(&voted.step);
        let Some(open) = node.and_then(|id| self.question_of(*id)) else { return Err(NoVote::NotAsked) };
        let Asked::Approval { roles, not_by, .. } = &open.asks else { return Err(NoVote::NotAsked) };
        let Person { name, roles: held } = &voted.by;
        if !held.iter().any(|role| roles.contains(role)) {
            return Err(NoVote::Role { name: name.clone(), roles: roles.clone() });
        }
        if not_by.as_ref() == Some(name) {
            return Err(NoVote::OwnRun(name.clone()));
        }
        if voted.vote == Vote::Approve && open.approved_by.contains(name) {
            return Err(NoVote::Twice(name.clone()));
        }
        Ok(())
    }

    /// Counts a vote that counts.
    pub(crate) fn vote(&mut self, id: NodeId, voted: &Voted) {
        let is_held = self.node(id).held.is_some();
        let Some(open) = self.question_mut(id) else { return };
        let Asked::Approval { quorum, .. } = open.asks else { return };
        let name = &voted.by.name;
        match voted.vote {
            Vote::Approve => {
                open.approved_by.push(name.clone());
                let approved_by = open.approved_by.clone();
                match approved_by.len() >= quorum as usize {
                    false => {}
                    true if is_held => self.ask_next(id),
                    true => self.answer(id, json!({ "approved_by": approved_by })),
                }
            }
            Vote::Reject => {
                let why = voted.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
                let why = format!("rejected by {name}{why}");
                if is_held { self.object(id, why) } else { self.refuse_answer(id, why) }
            }
        }
    }

    /// A signal came; what waits for it is done.
    pub(crate) fn signal(&mut self, name: &StepId, payload: &Value) {
        self.signals.insert(name.clone(), payload.clone());
        for index in 0..self.nodes.len() {
            let waits = match &self.nodes[index].state {
                State::Asking(open) => matches!(&open.asks, Asked::Signal { name: it } if it == name),
                _ => false,
            };
            if waits {
                self.answer(NodeId(index), received(payload));
            }
        }
    }

    /// Nobody answered in time.
    pub(super) fn question_lapsed(&mut self, id: NodeId) {
        let step = Arc::clone(&self.node(id).step);
        let Body::Question(question) = &step.body else { return };
        match question.on_expire {
            OnExpire::Continue => self.answer(id, json!({ "received": false, "payload": null })),
            OnExpire::Fail => {
                let time = question.expires.map_or_else(String::new, |time| format!(" within {time}"));
                let what = match question.asks {
                    Asks::Approval { .. } => "it was not approved",
                    Asks::Signal { .. } => "no signal came",
                };
                self.refuse_answer(id, format!("{what}{time}"));
            }
            OnExpire::Skip => {
                let node = self.node_mut(id);
                node.state = State::Skipped(Because::Lapsed);
                let (step, frame) = (node.path.clone(), node.frame);
                self.decide(Intent::Skip(Skip { step, because: Because::Lapsed }));
                self.touch(frame);
            }
        }
    }

    /// Nobody answered in time what a policy wanted asked.
    pub(super) fn held_question_lapsed(&mut self, id: NodeId) {
        let Some(open) = self.question_of(id) else { return };
        let millis = open.until_unix_ms.unwrap_or_default().saturating_sub(open.asked_at_unix_ms);
        let time = longhaul_model::units::Time::from_millis(millis);
        self.object(id, format!("it was not approved within {time}"));
    }

    fn answer(&mut self, id: NodeId, outputs: Value) {
        let node = self.node_mut(id);
        node.outputs = Some(outputs.clone());
        node.state = State::Done;
        let (step, frame) = (node.path.clone(), node.frame);
        self.decide(Intent::Answered(Answered { step, outputs }));
        self.hold_after(id);
        self.touch(frame);
    }

    fn refuse_answer(&mut self, id: NodeId, why: String) {
        let failure = Failure::new("precondition", why);
        let node = self.node_mut(id);
        node.state = State::Failed(failure.clone());
        let (step, frame) = (node.path.clone(), node.frame);
        self.decide(Intent::Refuse(Refuse { step, work: Work::Forward, failure }));
        self.touch(frame);
    }

    /// Every question that waits for its answer, by path.
    #[must_use]
    pub fn open_questions(&self) -> Vec<OpenQuestion> {
        let open = |id: &NodeId| {
            let open = self.question_of(*id)?;
            Some(OpenQuestion {
                step: self.node(*id).path.clone(),
                asks: open.asks.clone(),
                asked_at_unix_ms: open.asked_at_unix_ms,
                approved_by: open.approved_by.clone(),
                until_unix_ms: open.until_unix_ms,
            })
        };
        self.index.values().filter_map(open).collect()
    }
}

fn received(payload: &Value) -> Value {
    json!({ "received": true, "payload": payload })
}
