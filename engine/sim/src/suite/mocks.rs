//! How the actions of a case behave: its own mocks, those of the file, and for the rest a second's work.

use std::collections::BTreeMap;
use std::sync::Arc;

use longhaul_expr::{Scope, Template};
use longhaul_model::action::ActionName;
use longhaul_model::ids::StepPath;
use longhaul_plan::ValueSchema;
use longhaul_saga::{Failure, Work, intent};
use serde_json::{Map, Value};

use super::shape::{ANY_ITEM, matches};
use crate::{Asked, Behaviour, Ending, Model, Moves, Really, Reply};

/// How long an effect takes if no mock says so.
pub(super) const TAKES_MS: u64 = 1_000;

/// Stands behind a step's path for what policies want people asked about it.
pub(super) const ASKED: &str = "?";

/// What a mock is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Of {
    Action(ActionName),
    /// A step's path in which `*` stands for any item.
    Step(String),
}

/// A mock, held against the workflow.
#[derive(Debug, Clone)]
pub(super) struct Mock {
    pub(super) of: Of,
    /// Per time the effect begins; the last one stays. Never empty.
    pub(super) goes: Vec<Goes>,
    /// The same for the action's own undo; empty if nothing is said of it.
    pub(super) undo: Vec<Goes>,
    /// Whether it says how people answer, and not how an effect goes.
    pub(super) is_answer: bool,
}

/// How one effect goes.
#[derive(Debug, Clone)]
pub(super) struct Goes {
    pub(super) takes_ms: u64,
    pub(super) moves: Option<Moves>,
    pub(super) ends: Ends,
    pub(super) found: Option<Value>,
}

/// How it ends.
#[derive(Debug, Clone)]
pub(super) enum Ends {
    Done(Outputs),
    Failed(Failure),
    UnknownDone(Outputs),
    Unknown(Really),
}

/// What is put out.
#[derive(Debug, Clone)]
pub(super) enum Outputs {
    /// Held against the schema already.
    Fixed(Value),
    /// Read when the effect begins: `params`, `now`, `inputs`.
    Read { template: Arc<Template>, filled: Map<String, Value>, schema: Arc<ValueSchema> },
}

/// The mocks of a case.
#[derive(Debug, Clone)]
pub(super) struct Mocks {
    /// Those of the case before those of the file.
    pub(super) mocks: Vec<Arc<Mock>>,
    /// What each action puts out if no mock says so.
    pub(super) plain: Arc<BTreeMap<ActionName, Value>>,
    pub(super) inputs: Map<String, Value>,
}

impl Mocks {
    /// The mock that says most exactly what is asked: a step, then a step of any item, then an action.
    fn find(&self, asked: &Asked<'_>) -> Option<&Mock> {
        let of_action = |mock: &&Arc<Mock>| matches!(&mock.of, Of::Action(name) if name == asked.uses);
        // What undoes a step is another action than its own, unless it is the action's own undo.
        let own = asked.work == Work::Forward || asked.own_undo;
        let found = if own { self.of_step(asked.step) } else { None };
        found.or_else(|| self.mocks.iter().find(of_action).map(Arc::as_ref))
    }

    fn of_step(&self, step: &StepPath) -> Option<&Mock> {
        let of_step = |mock: &&Arc<Mock>| match &mock.of {
            Of::Step(path) => !mock.is_answer && matches(path, step.as_str()).is_some(),
            Of::Action(_) => false,
        };
        let exact = |mock: &&Arc<Mock>| matches!(&mock.of, Of::Step(path) if !path.split('/').any(|part| part == ANY_ITEM));
        let found = self.mocks.iter().filter(of_step);
        found.clone().find(exact).or_else(|| found.clone().next()).map(Arc::as_ref)
    }

    /// What is said of the question that policies want asked about a step, or of the step's own.
    fn answer_to(&self, step: &StepPath) -> Option<&Mock> {
        let answers = |asked: bool| {
            let is_meant = move |mock: &&Arc<Mock>| match &mock.of {
                Of::Step(path) if mock.is_answer => {
                    let named = path.strip_suffix(ASKED);
                    named.is_some() == asked && matches(named.unwrap_or(path), step.as_str()).is_some()
                }
                Of::Step(_) | Of::Action(_) => false,
            };
            self.mocks.iter().find(is_meant).map(Arc::as_ref)
        };
        answers(true).or_else(|| answers(false))
    }

    fn outputs(&self, outputs: &Outputs, asked: &Asked<'_>, ends_at_unix_ms: u64) -> Result<Value, String> {
        match outputs {
            Outputs::Fixed(value) => Ok(value.clone()),
            Outputs::Read { template, filled, schema } => {
                let mut scope = Scope { inputs: self.inputs.clone(), ..Scope::default() };
                scope.vars.insert("params".to_owned(), asked.params.clone());
                scope.vars.insert("now".to_owned(), Value::from(ends_at_unix_ms));
                let read = template.evaluate(&scope).map_err(|error| error.to_string())?;
                let value = fill(filled, read);
                let misfits = schema.misfits(&value);
                match misfits.first() {
                    None => Ok(value),
                    Some(misfit) => Err(format!("at `{}`: {}", misfit.pointer, misfit.message)),
                }
            }
        }
    }

    fn ending(&self, ends: &Ends, asked: &Asked<'_>, ends_at_unix_ms: u64) -> Ending {
        let unknown =
            |really| Ending::Unknown { failure: Failure::new("unreachable", "its outcome was lost"), really };
        let read = |outputs, ending: &dyn Fn(Value) -> Ending| {
            let broken = |why| Failure::new("internal", format!("the outputs of its mock do not fit: {why}"));
            self.outputs(outputs, asked, ends_at_unix_ms)
                .map_or_else(|why| Ending::Failed(broken(why)), ending)
        };
        match ends {
            Ends::Done(outputs) => read(outputs, &Ending::Done),
            Ends::UnknownDone(outputs) => read(outputs, &|value| unknown(Really::Done(value))),
            Ends::Failed(failure) => Ending::Failed(failure.clone()),
            Ends::Unknown(really) => unknown(really.clone()),
        }
    }
}

/// What was read, and what was not written.
pub(super) fn fill(plain: &Map<String, Value>, written: Value) -> Value {
    match written {
        Value::Object(written) => {
            let mut filled = plain.clone();
            filled.extend(written);
            Value::Object(filled)
        }
        other => other,
    }
}

impl Model for Mocks {
    fn behaviour(&self, asked: &Asked<'_>) -> Behaviour {
        let mock = self.find(asked);
        let list = mock.map(|mock| if asked.own_undo { &mock.undo } else { &mock.goes });
        let goes = list.and_then(|list| this_time(list, asked.time));
        let Some(goes) = goes else {
            let outputs = self.plain.get(asked.uses).cloned().unwrap_or_default();
            return Behaviour::timed(TAKES_MS, Ending::Done(outputs));
        };
        let ends_at_unix_ms = asked.at_unix_ms.saturating_add(goes.takes_ms);
        let ending = self.ending(&goes.ends, asked, ends_at_unix_ms);
        Behaviour { takes_ms: goes.takes_ms, moves: goes.moves.clone(), ending, found: goes.found.clone() }
    }

    fn reply(&self, step: &StepPath, _asks: &intent::Asked, time: u32) -> Reply {
        let goes = self.answer_to(step).and_then(|mock| this_time(&mock.goes, time));
        let Some(Goes { takes_ms, ends, .. }) = goes else {
            return Reply::Yes { after_ms: TAKES_MS, outputs: Value::Null };
        };
        let after_ms = *takes_ms;
        match ends {
            Ends::Done(Outputs::Fixed(outputs)) => Reply::Yes { after_ms, outputs: outputs.clone() },
            Ends::Failed(failure) => Reply::No { after_ms, by: None, reason: failure.message.clone() },
            Ends::Done(Outputs::Read { .. }) | Ends::UnknownDone(_) | Ends::Unknown(_) => Reply::Never,
        }
    }
}

/// How it goes this time; the last one stays.
fn this_time(list: &[Goes], time: u32) -> Option<&Goes> {
    list.get((time as usize).min(list.len()).checked_sub(1)?)
}
