//! A case: what it starts from, and its runs.

use std::sync::{Arc, OnceLock};

use longhaul_model::action::Catalogue;
use longhaul_model::diagnostic::Diagnostics;
use longhaul_model::source::{Source, Spanned};
use longhaul_model::test::{ExpectSpec, Invariant, SweepSpec};
use longhaul_model::workflow::Resolved;
use longhaul_plan::Plan;
use serde_json::{Map, Value};

use super::mocks::Mocks;
use crate::{Fault, Layout, Ran, Setup, simulate};

/// The id of every simulated run.
const RUN: &str = "test";

/// What a plan is refused for.
pub type Refused = Diagnostics;

/// A plan and what is read of it.
pub(super) struct Planned {
    plan: Arc<Plan>,
    pub(super) layout: Layout,
}

/// The plan for some inputs, shared by the cases that start from them. It is made when the first of them asks: planning is
/// most of a short case's work, and cases are run on several threads.
pub(super) struct Planning {
    pub(super) workflow: Arc<Resolved>,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) inputs: Map<String, Value>,
    pub(super) planned: OnceLock<Result<Planned, Refused>>,
}

impl Planning {
    pub(super) fn planned(&self) -> Result<&Planned, &Refused> {
        let plan = || {
            let plan = longhaul_plan::check(&*self.workflow, &self.inputs, &self.catalogue)?;
            let layout = Layout::of(&plan);
            Ok(Planned { plan: Arc::new(plan), layout })
        };
        self.planned.get_or_init(plan).as_ref()
    }
}

/// A case of a test file, held against the workflow.
pub struct Case {
    pub(super) source: Source,
    pub(super) name: Spanned<String>,
    pub(super) planning: Arc<Planning>,
    pub(super) clock_unix_ms: u64,
    pub(super) mocks: Mocks,
    pub(super) resumes: u32,
    pub(super) expect: ExpectSpec,
    pub(super) invariants: Vec<Invariant>,
    pub(super) sweep: SweepSpec,
}

impl Case {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name.value
    }

    /// Where it stands: line and column, both from 1.
    #[must_use]
    pub fn place(&self) -> (usize, usize) {
        let place = self.source.place(self.name.span.start);
        (place.line, place.column)
    }

    /// Its name as a part of a file's name.
    #[must_use]
    pub fn slug(&self) -> String {
        slug(&self.name.value)
    }

    /// Why there is nothing to run.
    #[must_use]
    pub fn refused(&self) -> Option<&Refused> {
        self.planning.planned().err()
    }

    /// Runs it with this fault; none if its plan is refused.
    #[must_use]
    pub fn run(&self, fault: Fault, seed: u64) -> Option<Ran> {
        let planned = self.planning.planned().ok()?;
        Some(simulate(Setup {
            plan: &planned.plan,
            run: RUN.parse().expect("it is well-formed"),
            clock_unix_ms: self.clock_unix_ms,
            seed,
            model: &self.mocks,
            fault,
            resumes: self.resumes,
        }))
    }
}

/// Lower-case letters, digits and dashes; what is something else becomes a dash.
pub(super) fn slug(name: &str) -> String {
    let words = name.to_lowercase();
    let words = words.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}
