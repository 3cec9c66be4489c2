//! Mocks of a file, held against the workflow and the schemas of the actions' outputs.

use std::sync::Arc;

use longhaul_expr::Template;
use longhaul_model::action::ActionName;
use longhaul_model::diagnostic::Code;
use longhaul_model::document::Node;
use longhaul_model::source::{Span, Spanned};
use longhaul_model::test::{BehaviourSpec, MockSpec, Outcome, SetupSpec};
use longhaul_plan::{Plan, ValueSchema, approval_schema};
use longhaul_saga::Failure;
use serde_json::{Map, Value};

use super::Checker;
use crate::suite::mocks::{ASKED, Ends, Goes, Mock, Of, Outputs, TAKES_MS, fill};
use crate::suite::shape::Answers;
use crate::{Moves, Really};

/// The step about which policies want people asked, if a mock's name ends with `?`; no step in particular for what they
/// are asked about the plan and about undoing.
fn asked_by_policies(name: &str) -> Option<&str> {
    if [Plan::PLAN_APPROVAL, Plan::UNDO_APPROVAL].iter().any(|id| name.starts_with(id)) {
        return Some("");
    }
    name.strip_suffix(ASKED)
}

impl Checker<'_> {
    pub(super) fn mocks(&mut self, setup: &SetupSpec) -> Vec<Arc<Mock>> {
        setup.mocks.iter().filter_map(|spec| self.mock(spec)).map(Arc::new).collect()
    }

    fn mock(&mut self, spec: &MockSpec) -> Option<Mock> {
        if let Some(about) = asked_by_policies(&spec.of.value) {
            if !about.is_empty() {
                let value = about.to_owned();
                self.check_step(&Spanned { value, span: spec.of.span });
            }
            let schema = approval_schema();
            return self.reply(spec, &Answers { schema, may_be_no: true });
        }
        let answers = self.shape.find(&spec.of.value).and_then(|step| step.answers.clone());
        if let Some(answers) = answers {
            return self.reply(spec, &answers);
        }
        let (of, action) = if spec.of.value.contains('@') {
            let action = self.check_action(&spec.of)?;
            (Of::Action(action.clone()), action)
        } else {
            (Of::Step(spec.of.value.clone()), self.check_action_step(&spec.of)?)
        };
        let undo = spec.behaviours.iter().map(|spec| &spec.undo).find(|undo| !undo.is_empty());
        let undo = undo.into_iter().flatten().filter_map(|spec| self.goes(spec, None)).collect();
        let goes: Vec<_> = spec.behaviours.iter().filter_map(|spec| self.goes(spec, Some(&action))).collect();
        Some(Mock { of, goes, undo, is_answer: false })
    }

    /// How somebody outside answers a step's question: `unknown` is no answer at all.
    fn reply(&mut self, spec: &MockSpec, answers: &Answers) -> Option<Mock> {
        for behaviour in &spec.behaviours {
            if matches!(behaviour.outcome, Outcome::Failed(_)) && !answers.may_be_no {
                let message = "a signal comes or it does not: write `unknown: absent` for one that does not";
                self.report(Code::MockOutputs, behaviour.span, message);
            }
            if let Some(undo) = behaviour.undo.first() {
                self.report(Code::MockOutputs, undo.span, "an answer is not undone");
            }
        }
        let what = format!("the answer to `{}`", spec.of.value);
        let goes = spec.behaviours.iter().filter_map(|spec| {
            let takes_ms = spec.takes.map_or(TAKES_MS, longhaul_model::units::Time::as_millis);
            let ends = match &spec.outcome {
                Outcome::Done(node) => {
                    Ends::Done(self.fixed(node.as_ref(), spec.span, &answers.schema, &what)?)
                }
                Outcome::Failed(error) => Ends::Failed(Failure {
                    class: error.class.clone(),
                    message: error.message.clone().unwrap_or_else(|| "made up by the test".to_owned()),
                    code: error.code.clone(),
                }),
                Outcome::UnknownDone(_)
                | Outcome::UnknownAbsent
                | Outcome::UnknownPartial
                | Outcome::UnknownForGood => Ends::Unknown(Really::Absent),
            };
            self.no_moves(spec);
            Some(Goes { takes_ms, moves: None, ends, found: None })
        });
        let goes: Vec<_> = goes.collect();
        Some(Mock { of: Of::Step(spec.of.value.clone()), goes, undo: Vec::new(), is_answer: true })
    }

    /// An answer, held against the schema of what its question puts out.
    fn fixed(&mut self, node: Option<&Node>, span: Span, schema: &Value, what: &str) -> Option<Outputs> {
        let schema = ValueSchema::new(schema).ok()?;
        let value = node.map_or_else(|| Value::Object(Map::new()), Node::to_json);
        let misfits = schema.misfits(&value);
        for misfit in &misfits {
            let at = node.map_or(span, |node| node.nearest(&misfit.pointer).span);
            self.report(Code::MockOutputs, at, format!("{what}: {}", misfit.message));
        }
        misfits.is_empty().then_some(Outputs::Fixed(value))
    }

    /// One behaviour; an action's own undo has no outputs.
    fn goes(&mut self, spec: &BehaviourSpec, action: Option<&ActionName>) -> Option<Goes> {
        let ends = match &spec.outcome {
            Outcome::Done(node) => Ends::Done(self.outputs(node.as_ref(), spec.span, action)?),
            Outcome::UnknownDone(node) => {
                Ends::UnknownDone(self.outputs(node.as_ref(), spec.span, action)?)
            }
            Outcome::Failed(error) => Ends::Failed(Failure {
                class: error.class.clone(),
                message: error.message.clone().unwrap_or_else(|| "made up by the test".to_owned()),
                code: error.code.clone(),
            }),
            Outcome::UnknownAbsent => Ends::Unknown(Really::Absent),
            Outcome::UnknownPartial => Ends::Unknown(Really::Partial),
            Outcome::UnknownForGood => Ends::Unknown(Really::CannotTell),
        };
        let moves = self.moves(spec);
        let takes_ms = spec.takes.map_or(TAKES_MS, longhaul_model::units::Time::as_millis);
        let found = spec.found.as_ref().map(Node::to_json);
        Some(Goes { takes_ms, moves, ends, found })
    }

    /// What it moves, over a link that the steps share.
    fn moves(&mut self, spec: &BehaviourSpec) -> Option<Moves> {
        let (over, size) = spec.moves.as_ref()?;
        let links = || self.shape.links();
        if links().any(|link| link == over.value) {
            return Some(Moves { bytes: size.as_bytes(), over: over.value.clone() });
        }
        let message = format!("no step claims anything of a bandwidth `{}`", over.value);
        let mut one = self.mistake(Code::UnknownResource, over.span, message);
        one.help = Some(format!("claimed are: {}", links().collect::<Vec<_>>().join(", ")));
        if links().next().is_none() {
            one.help = Some("write how long it takes: `takes: 3m`".to_owned());
        }
        self.found.push(one);
        None
    }

    fn no_moves(&mut self, spec: &BehaviourSpec) {
        if let Some((over, _)) = &spec.moves {
            self.report(Code::MockOutputs, over.span, "an answer moves no bytes");
        }
    }

    fn outputs(&mut self, node: Option<&Node>, span: Span, action: Option<&ActionName>) -> Option<Outputs> {
        let Some(action) = action else { return Some(Outputs::Fixed(Value::Null)) };
        let plain = self.plain.get(action).cloned().unwrap_or_default();
        let schema = ValueSchema::new(&self.catalogue.get(action)?.outputs).ok()?;
        let filled = plain.as_object().cloned().unwrap_or_default();
        let written = node.map_or_else(|| Value::Object(Map::new()), Node::to_json);
        let template = match Template::parse(written.clone()) {
            Ok(template) => template,
            Err(error) => {
                self.report(Code::Expression, node.map_or(span, |node| node.span), error.to_string());
                return None;
            }
        };
        if !template.expressions().is_empty() {
            let (template, schema) = (Arc::new(template), Arc::new(schema));
            return Some(Outputs::Read { template, filled, schema });
        }
        let value = fill(&filled, written);
        let misfits = schema.misfits(&value);
        for misfit in &misfits {
            let at = node.map_or(span, |node| node.nearest(&misfit.pointer).span);
            let message = format!("outputs of `{action}`: {}", misfit.message);
            self.report(Code::MockOutputs, at, message);
        }
        misfits.is_empty().then_some(Outputs::Fixed(value))
    }
}
