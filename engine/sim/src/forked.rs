//! How a run would go on from where it is: what is under way and what is to come takes as long as its records expect.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use longhaul_expr::Scope;
use longhaul_model::action::Catalogue;
use longhaul_model::ids::StepPath;
use longhaul_model::policy::{Host, Verdict};
use longhaul_plan::{Body, Graph, Plan};
use longhaul_saga::intent::Asked as Question;
use longhaul_saga::{Decide, Entry, Event, Intent, Record, Work};
use serde_json::{Map, Value};

use crate::suite::sample;
use crate::{Asked, Behaviour, Ending, Model, Reply};

/// What is taken where nothing is expected, in milliseconds: also the least that anything under way still takes, and how long people
/// take to answer.
const TAKES_MS: u64 = 1_000;

/// The source of the observations in which a run's records say what is expected.
const ESTIMATE: &str = "estimate";

/// A world that goes on from a run's records.
pub struct Forked<'a> {
    plan: &'a Plan,
    catalogue: &'a Catalogue,
    host: &'a dyn Host,
    /// The moment from which it goes on.
    at_unix_ms: u64,
    /// What steps take, in milliseconds, by their paths.
    expected: BTreeMap<String, u64>,
    /// Since when what is under way is.
    began: BTreeMap<String, u64>,
    /// How much of a resource there would have been, and how much there is, by its name.
    scarce: BTreeMap<String, (u64, u64)>,
    guessed: RefCell<BTreeSet<String>>,
}

impl<'a> Forked<'a> {
    /// The world of these records of one run with this plan, from this moment on, in Unix milliseconds.
    #[must_use]
    pub fn of(
        records: &[Record],
        plan: &'a Plan,
        at_unix_ms: u64,
        catalogue: &'a Catalogue,
        host: &'a dyn Host,
    ) -> Self {
        let (mut expected, mut began) = (BTreeMap::new(), BTreeMap::new());
        for record in records {
            match &record.entry {
                Entry::Event(Event::Observation(seen)) if seen.source == ESTIMATE => {
                    let steps = seen.payload["steps"].as_object().into_iter().flatten();
                    let known =
                        steps.filter_map(|(step, it)| Some((step.clone(), it["duration_ms"].as_u64()?)));
                    expected.extend(known);
                }
                Entry::Intent(Intent::Start(start)) if start.work == Work::Forward => {
                    began.insert(start.step.to_string(), record.at_unix_ms);
                }
                Entry::Event(event) => {
                    event.settles().map(|step| began.remove(step.as_str()));
                }
                Entry::Intent(_) => {}
            }
        }
        let (scarce, guessed) = (BTreeMap::new(), RefCell::default());
        Self { plan, catalogue, host, at_unix_ms, expected, began, scarce, guessed }
    }

    /// The same with less of a resource, from that moment on: what claims it takes longer in that proportion.
    ///
    /// # Errors
    /// When the plan has no such resource, or the amount is none of its kind: a lower-case fragment.
    pub fn with(mut self, resource: &str, amount: &str) -> Result<Self, String> {
        let known = self.plan.resources.iter().find(|one| one.name == resource);
        let names = || self.plan.resources.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ");
        let known = known.ok_or_else(|| match self.plan.resources.is_empty() {
            true => "the workflow has no resources".to_owned(),
            false => format!("the workflow has no resource `{resource}`; it has {}", names()),
        })?;
        let scope = Scope { inputs: self.plan.inputs.clone(), ..Scope::default() };
        let capacity = known.bind(&scope)?.capacity;
        // An amount as a workflow writes it: text with its unit, or a bare number.
        let value = amount.parse::<u64>().map_or_else(|_| Value::from(amount), Value::from);
        let amount = known.kind.amount(&value)?;
        if amount == 0 {
            return Err("with nothing of it nothing that claims it would ever end".to_owned());
        }
        self.scarce.insert(resource.to_owned(), (capacity, amount));
        Ok(self)
    }

    /// The steps of which nothing says how long they take, sorted.
    #[must_use]
    pub fn guessed(&self) -> Vec<String> {
        self.guessed.borrow().iter().cloned().collect()
    }

    /// What a step is expected to take; that of the same step in another item if nothing is known of this one.
    fn expected(&self, step: &StepPath) -> Option<u64> {
        let own = |path: &str| path.rsplit('/').next().map(str::to_owned);
        let beside = || self.expected.iter().find(|(path, _)| own(path) == own(step.as_str()));
        self.expected.get(step.as_str()).or_else(|| beside().map(|(_, takes)| takes)).copied()
    }

    /// The same stretched by what there is too little of.
    fn stretched(&self, step: &StepPath, takes_ms: u64) -> u64 {
        let claimed = claims(&self.plan.graph, step.as_str());
        let stretch = |takes: u64, name: &String| match self.scarce.get(name) {
            Some((before, now)) if now < before => {
                let long = u128::from(takes) * u128::from(*before) / u128::from(*now);
                u64::try_from(long).unwrap_or(u64::MAX)
            }
            Some(_) | None => takes,
        };
        claimed.iter().fold(takes_ms, stretch)
    }
}

/// The resources that the step of this path claims.
fn claims(graph: &Graph, path: &str) -> Vec<String> {
    let (id, rest) = path.split_once('/').map_or((path, None), |(id, rest)| (id, Some(rest)));
    let Some(step) = graph.steps.iter().find(|step| step.id.as_str() == id) else { return Vec::new() };
    match (&step.body, rest) {
        (Body::Action(action), None) => action.claims.iter().map(|claim| claim.resource.clone()).collect(),
        (Body::Foreach(foreach), Some(rest)) => {
            rest.split_once('/').map_or_else(Vec::new, |(_, inside)| claims(&foreach.graph, inside))
        }
        (Body::Workflow(child), Some(inside)) => claims(&child.graph, inside),
        _ => Vec::new(),
    }
}

impl Model for Forked<'_> {
    fn behaviour(&self, asked: &Asked<'_>) -> Behaviour {
        let outputs = self.catalogue.get(asked.uses).map(|action| sample(&action.outputs));
        let ending = Ending::Done(outputs.unwrap_or_else(|| Value::Object(Map::new())));
        if asked.work == Work::Undo {
            return Behaviour::timed(TAKES_MS, ending);
        }
        let expected = self.expected(asked.step).unwrap_or_else(|| {
            self.guessed.borrow_mut().insert(asked.step.to_string());
            TAKES_MS
        });
        // Only what goes on from before has a part of it behind it.
        let began = self.began.get(asked.step.as_str()).filter(|_| asked.time == 1);
        let behind = began.map_or(0, |began| self.at_unix_ms.saturating_sub(*began));
        let left = expected.saturating_sub(behind).max(TAKES_MS);
        Behaviour::timed(self.stretched(asked.step, left), ending)
    }

    fn decide(&self, decide: &Decide) -> Vec<Verdict> {
        decide.verdicts(self.host)
    }

    fn reply(&self, step: &StepPath, _: &Question, _: u32) -> Reply {
        self.guessed.borrow_mut().insert(step.to_string());
        Reply::Yes { after_ms: TAKES_MS, outputs: Value::Null }
    }
}
