//! A step's own probe looks.

use longhaul_expr::{Expression, Scope};
use longhaul_model::ids::StepPath;
use longhaul_plan::{FOUND, WrittenProbe};
use serde_json::Value;

use crate::{Answer, Failure};

/// Has a step's own probe look, for [`Probed`](crate::event::Probed): its action could not tell. It changes nothing outside and
/// is carried out without a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Inquire {
    /// The step.
    pub step: StepPath,
    /// Third part of the effect's key.
    pub incarnation: u32,
    /// The attempt in question.
    pub attempt: u32,
    /// The evaluated parameters of the action that looks.
    pub params: Value,
    /// Never used twice in a run: what was found before is no answer.
    pub number: u32,
    /// The action, and what its outputs mean.
    pub probe: WrittenProbe,
    /// What its expressions see besides.
    pub scope: Scope,
}

impl Inquire {
    /// What it means that this was found. What says neither that the effect is there nor that it is not is no answer.
    #[must_use]
    pub fn conclude(&self, found: &Value) -> Answer {
        let mut scope = self.scope.clone();
        scope.vars.insert(FOUND.to_owned(), found.clone());
        self.judge(&scope).unwrap_or_else(|why| {
            Answer::CannotTell(Failure::new("precondition", format!("what its probe found: {why}")))
        })
    }

    fn judge(&self, scope: &Scope) -> Result<Answer, String> {
        let holds = |expression: &Expression| match expression.evaluate(scope) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(other) => Err(format!("`{expression}` is {other}, neither true nor false")),
            Err(error) => Err(error.to_string()),
        };
        let WrittenProbe { done, absent, partial, outputs, .. } = &self.probe;
        if holds(done)? {
            return outputs.evaluate(scope).map(Answer::Done).map_err(|error| error.to_string());
        }
        for (expression, answer) in [(absent, Answer::Absent), (partial, Answer::Partial)] {
            if expression.as_ref().map_or(Ok(false), holds)? {
                return Ok(answer);
            }
        }
        Err("it is neither the effect nor its absence".to_owned())
    }
}
