//! A case: what it starts from, and its runs.

use std::sync::{Arc, OnceLock};

use longhaul_model::action::Catalogue;
use longhaul_model::diagnostic::Diagnostics;
use longhaul_model::ids::StepPath;
use longhaul_model::policy::{Host, Verdict};
use longhaul_model::site::Sight;
use longhaul_model::source::{Source, Spanned};
use longhaul_model::test::{ExpectSpec, Invariant, OutageSpec, SweepSpec};
use longhaul_model::units::Time;
use longhaul_model::workflow::Resolved;
use longhaul_plan::Plan;
use longhaul_saga::{Decide, intent};
use serde_json::{Map, Value};

use super::mocks::Mocks;
use super::names::Name;
use crate::{Asked, Behaviour, Fault, Layout, Model, Ran, Reply, Setup, simulate};

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
    pub(super) outages: Vec<OutageSpec>,
    pub(super) resumes: u32,
    pub(super) expect: ExpectSpec,
    pub(super) invariants: Vec<Invariant>,
    pub(super) sweep: SweepSpec,
    /// What it names that only its runs can tell from a mistake.
    pub(super) names: Vec<Name>,
    /// Who carries out the scripts of policies.
    pub(super) host: Arc<dyn Host>,
    /// Its plan with what the policies say of it at the case's time.
    pub(super) judged: OnceLock<Arc<Plan>>,
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

    /// Its plan, with what the policies say of it when the case begins.
    pub(super) fn plan(&self) -> Option<&Arc<Plan>> {
        let planned = self.planning.planned().ok()?;
        Some(self.judged.get_or_init(|| {
            let asking = planned.plan.ask_policies(self.clock_unix_ms);
            if asking.is_empty() {
                return Arc::clone(&planned.plan);
            }
            let verdicts = asking.iter().flat_map(|asking| asking.verdicts(&*self.host)).collect();
            Arc::new(Plan { verdicts, ..Plan::clone(&planned.plan) })
        }))
    }

    /// What the policies say of its plan.
    #[must_use]
    pub fn verdicts(&self) -> &[Verdict] {
        self.plan().map_or(&[], |plan| &plan.verdicts)
    }

    /// Runs it with this fault; none if its plan is refused or denied.
    #[must_use]
    pub fn run(&self, fault: Fault, seed: u64) -> Option<Ran> {
        let plan = self.plan().filter(|plan| Verdict::denials(&plan.verdicts).is_none())?;
        let model = Judging { case: self };
        Some(simulate(Setup {
            plan,
            run: RUN.parse().expect("it is well-formed"),
            past: &[],
            clock_unix_ms: self.clock_unix_ms,
            seed,
            model: &model,
            fault,
            resumes: self.resumes,
        }))
    }
}

/// The mocks and outages of a case, and policies that are really asked.
struct Judging<'a> {
    case: &'a Case,
}

impl Model for Judging<'_> {
    fn behaviour(&self, asked: &Asked<'_>) -> Behaviour {
        self.case.mocks.behaviour(asked)
    }

    fn decide(&self, decide: &Decide) -> Vec<Verdict> {
        decide.verdicts(&*self.case.host)
    }

    fn reply(&self, step: &StepPath, asks: &intent::Asked, time: u32) -> Reply {
        self.case.mocks.reply(step, asks, time)
    }

    fn sight(&self, site: &str, at_unix_ms: u64) -> Sight {
        let since_ms = at_unix_ms.saturating_sub(self.case.clock_unix_ms);
        let is_down = |outage: &OutageSpec| {
            let from = outage.from.map_or(0, Time::as_millis);
            let until = outage.lasts.map(|lasts| from.saturating_add(lasts.as_millis()));
            outage.site.value.as_str() == site
                && since_ms >= from
                && until.is_none_or(|until| since_ms < until)
        };
        if self.case.outages.iter().any(is_down) { Sight::Down } else { Sight::Up }
    }
}

/// Lower-case letters, digits and dashes; what is something else becomes a dash.
pub(crate) fn slug(name: &str) -> String {
    let words = name.to_lowercase();
    let words = words.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}
