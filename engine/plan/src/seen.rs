//! The steps that can be seen from some place, found by id.
//!
//! What a step sees differs from what its neighbour sees by a few words; the steps are the same for all of a graph and
//! are kept once.

use std::collections::BTreeMap;
use std::rc::Rc;

use longhaul_model::action::Descriptor;
use longhaul_model::ids::StepId;
use longhaul_model::workflow::{BodySpec, QuestionSpec, StepSpec};

use crate::family::{Checked, Uses};

/// The steps of one graph, and around it those of others.
pub(crate) struct Seen<'a> {
    around: Option<Rc<Seen<'a>>>,
    /// How many steps stand around.
    before: usize,
    /// In file order.
    steps: Vec<SeenStep<'a>>,
    by_id: BTreeMap<&'a str, usize>,
    /// Ids of steps that exist and cannot be seen, with the foreach step they are in.
    hidden: BTreeMap<&'a str, &'a StepId>,
}

/// A step that can be seen.
#[derive(Clone, Copy)]
pub(crate) struct SeenStep<'a> {
    pub(crate) id: &'a StepId,
    /// Whether it has an `if` of its own.
    pub(crate) is_conditional: bool,
    pub(crate) kind: SeenKind<'a>,
}

/// What a step is, as far as others can read it.
#[derive(Clone, Copy)]
pub(crate) enum SeenKind<'a> {
    Action(&'a Descriptor),
    Foreach,
    Wait,
    Workflow(&'a Checked),
    Question(&'a QuestionSpec),
    /// Its own mistake is reported where it stands.
    Broken,
}

impl<'a> Seen<'a> {
    /// The steps of a graph, which hide none of those around.
    pub(crate) fn new(around: Option<Rc<Self>>, specs: &'a [StepSpec], uses: Uses<'a>) -> Self {
        let before = around.as_ref().map_or(0, |around| around.len());
        let mut seen =
            Self { around, before, steps: Vec::new(), by_id: BTreeMap::new(), hidden: BTreeMap::new() };
        for spec in specs {
            seen.by_id.insert(spec.id.value.as_str(), seen.steps.len());
            seen.steps.push(SeenStep {
                id: &spec.id.value,
                is_conditional: spec.condition.is_some(),
                kind: kind(spec, uses),
            });
            if let Some(BodySpec::Foreach(foreach)) = &spec.body {
                let nested = foreach.steps.iter().map(|nested| (nested.id.value.as_str(), &spec.id.value));
                seen.hidden.extend(nested);
            }
        }
        seen
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.before + self.steps.len()
    }

    /// The step of that id, and how many stand before it.
    pub(crate) fn find(&self, id: &str) -> Option<(usize, SeenStep<'a>)> {
        match self.by_id.get(id) {
            Some(at) => Some((self.before + at, self.steps[*at])),
            None => self.around.as_ref()?.find(id),
        }
    }

    /// The foreach step inside which a step of that id is hidden.
    pub(crate) fn hiding(&self, id: &str) -> Option<&'a StepId> {
        let around = || self.around.as_ref().and_then(|around| around.hiding(id));
        self.hidden.get(id).copied().or_else(around)
    }

    /// Every id, those of the steps around first.
    pub(crate) fn ids(&self) -> Vec<&'a str> {
        let mut ids = self.around.as_ref().map(|around| around.ids()).unwrap_or_default();
        ids.extend(self.steps.iter().map(|step| step.id.as_str()));
        ids
    }
}

fn kind<'a>(spec: &'a StepSpec, uses: Uses<'a>) -> SeenKind<'a> {
    match &spec.body {
        Some(BodySpec::Action(action)) => action
            .uses
            .as_ref()
            .and_then(|named| uses.catalogue().get(&named.value.parse().ok()?))
            .map_or(SeenKind::Broken, SeenKind::Action),
        Some(BodySpec::Workflow(child)) => {
            uses.child(&child.file.value).map_or(SeenKind::Broken, SeenKind::Workflow)
        }
        Some(BodySpec::Wait(_)) => SeenKind::Wait,
        Some(BodySpec::Question(question)) => SeenKind::Question(question),
        Some(BodySpec::Foreach(_)) => SeenKind::Foreach,
        None => SeenKind::Broken,
    }
}
