//! Runs the steps of a plan that only look, so that their answers are in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use longhaul_expr::Scope;
use longhaul_model::action::Effects;
use longhaul_model::ids::{RunId, StepId, StepPath};
use longhaul_plan::{ActionStep, Body, Fact, Plan, Step};
use longhaul_step::{Action, Claims, Context, Error, Key, Outcome, Poll, Registry, RunRecords, Started};
use serde_json::{Value, json};

use crate::commands::sites;

/// Longest that a plan waits for one step; a run waits as long as the step may take.
const LOOK_MAX: Duration = Duration::from_secs(60);
/// Longest wait for news of one.
const PATIENCE: Duration = Duration::from_secs(1);
/// One that answers a poll at once is asked again after this, as a run does it.
const POLL_PAUSE: Duration = Duration::from_millis(20);

/// What came of looking.
pub(super) struct Looks {
    looked: Vec<Looked>,
    /// Why nobody was asked; empty if somebody was.
    none: String,
}

struct Looked {
    step: StepId,
    took: Duration,
    result: Result<Value, String>,
}

impl Looks {
    /// Nobody was asked.
    pub(super) fn none(why: impl Into<String>) -> Self {
        Self { looked: Vec::new(), none: why.into() }
    }

    /// Whether somebody was asked and said no, or did not answer: the run would end there.
    pub(super) fn refused(&self) -> bool {
        self.looked.iter().any(|looked| looked.result.is_err())
    }

    /// What was found.
    pub(super) fn facts(&self) -> BTreeMap<StepId, Fact> {
        let fact = |looked: &Looked| {
            let outputs = looked.result.as_ref().ok()?.clone();
            let took_ms = u64::try_from(looked.took.as_millis()).unwrap_or(u64::MAX);
            Some((looked.step.clone(), Fact { outputs, took_ms }))
        };
        self.looked.iter().filter_map(fact).collect()
    }

    /// A line for each step that was run.
    pub(super) fn text(&self) -> String {
        if self.looked.is_empty() {
            return format!("{}\n", self.none);
        }
        let mut text = String::from("steps that only look were run for this plan:\n");
        for Looked { step, took, result } in &self.looked {
            let said = match result {
                Ok(_) => "fine".to_owned(),
                Err(why) => format!("SAYS NO: {why}"),
            };
            let _ = writeln!(text, "  {step}: {said} ({} ms)", took.as_millis());
        }
        text
    }

    pub(super) fn as_json(&self) -> Value {
        let one = |looked: &Looked| {
            let (outputs, error) = match &looked.result {
                Ok(outputs) => (outputs.clone(), None),
                Err(why) => (Value::Null, Some(why)),
            };
            json!({ "step": looked.step, "took_ms": looked.took.as_millis() as u64,
                "outputs": outputs, "error": error })
        };
        self.looked.iter().map(one).collect()
    }
}

/// The steps that only look and wait for nothing but others of the kind: what an effect leaves is not there to be seen.
/// One with an `if` is left out, for what it asks is not known.
pub(super) fn wanted(plan: &Plan) -> impl Iterator<Item = (&Step, &ActionStep)> {
    let mut looks: BTreeSet<&StepId> = BTreeSet::new();
    plan.graph.steps.iter().filter_map(move |step| {
        let Body::Action(action) = &step.body else { return None };
        let only_looks = action.effects == Effects::None && step.condition.is_none();
        let wanted = only_looks && step.needs.iter().all(|need| looks.contains(need));
        if wanted {
            looks.insert(&step.id);
        }
        wanted.then_some((step, &**action))
    })
}

/// Runs them one after the other, in the order of the plan. What needs one that failed is not run.
pub(super) async fn run(plan: &Plan, registry: &Registry) -> Looks {
    let run: RunId = format!("plan-{}", &uuid::Uuid::new_v4().simple().to_string()[..12])
        .parse()
        .expect("letters, a dash and hex make an id");
    let mut scope = Scope { inputs: plan.inputs.clone(), ..Scope::default() };
    scope.run.insert("id".to_owned(), Value::from(run.as_str()));
    let mut looks = Looks::none("");
    for (step, action) in wanted(plan) {
        if !step.needs.iter().all(|need| scope.steps.contains_key(need.as_str())) {
            continue;
        }
        let begun = Instant::now();
        let result = one(&run, step, action, &scope, registry).await;
        if let Ok(outputs) = &result {
            let seen = json!({ "status": "succeeded", "outputs": outputs });
            scope.steps.insert(step.id.to_string(), seen);
        }
        looks.looked.push(Looked { step: step.id.clone(), took: begun.elapsed(), result });
    }
    looks
}

async fn one(
    run: &RunId,
    step: &Step,
    uses: &ActionStep,
    scope: &Scope,
    registry: &Registry,
) -> Result<Value, String> {
    let params = uses.with.evaluate(scope).map_err(|error| error.to_string())?;
    let action = registry.get(&uses.uses).ok_or_else(|| format!("there is no action {}", uses.uses))?;
    let context = Context {
        key: Key { run: run.clone(), step: StepPath::root(&step.id), incarnation: 1 },
        attempt: 1,
        controller: sites::controller(),
        generation: 0,
        records: Arc::new(NoRecords),
        claims: Claims::new(),
    };
    let most = uses.timeout.as_duration().min(LOOK_MAX);
    let asked = ask(&**action, &context, &params, most).await;
    match asked {
        Ok(Outcome::Done(outputs)) => Ok(outputs),
        Ok(Outcome::Failed(error) | Outcome::Unknown(error)) | Err(error) => Err(error.to_string()),
    }
}

async fn ask(
    action: &dyn Action,
    context: &Context,
    params: &Value,
    most: Duration,
) -> Result<Outcome, Error> {
    let handle = match action.start(context, params).await {
        Started::Running(handle) => handle,
        Started::Failed(error) | Started::Unknown(error) => return Err(error),
    };
    let begun = Instant::now();
    loop {
        let polled = Instant::now();
        let left = most.saturating_sub(begun.elapsed());
        if let Poll::Ended(outcome) = action.poll(context, &handle, PATIENCE.min(left)).await {
            return Ok(outcome);
        }
        if begun.elapsed() >= most {
            // Whoever looks for longer than a plan waits is told; that it could not be told is no matter here.
            let _ = action.cancel(context, &handle).await;
            let message = format!("no answer within {} s", most.as_secs());
            return Err(Error::new(longhaul_step::ErrorClass::Unreachable, message));
        }
        if polled.elapsed() < POLL_PAUSE {
            tokio::time::sleep(POLL_PAUSE).await;
        }
    }
}

/// A plan has no run, and so no records.
struct NoRecords;

impl RunRecords for NoRecords {
    fn records(&self) -> Result<Vec<Value>, Error> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use longhaul_model::document::Document;
    use longhaul_model::source::Source;
    use serde_json::Map;

    use super::*;

    /// Looks that wait for looks alone are run; what waits for an effect, or has a condition, is not.
    #[test]
    fn only_looks_are_run() {
        let look = "uses: site.check@1, with: { from: a, to: b, vms: [vm-a] }";
        let text = format!(
            "apiVersion: longhaul/v1\nkind: Workflow\nname: w\nversion: 1.0.0\nsteps:\n  a: {{ {look} }}\n  \
             b: {{ needs: [a], {look} }}\n  e: {{ uses: gtm.prepare@1, with: {{ vm: vm-a }} }}\n  \
             c: {{ needs: [e], {look} }}\n  d: {{ needs: [c], {look} }}\n  f: {{ if: '${{{{ true }}}}', {look} }}\n"
        );
        let document = Document::parse(&Source::new("w.yaml", &text)).unwrap();
        let plan = longhaul_plan::check(&document, &Map::new(), &longhaul_steps::catalogue()).unwrap();
        let ids: Vec<&str> = wanted(&plan).map(|(step, _)| step.id.as_str()).collect();
        assert_eq!(ids, ["a", "b"]);
    }

    /// A look that nobody answers is told with its reason, makes no fact, and what needs it is not run.
    #[tokio::test]
    async fn a_look_that_fails_is_told() {
        let text = "apiVersion: longhaul/v1\nkind: Workflow\nname: w\nversion: 1.0.0\nsteps:\n  \
                    a: { uses: site.check@1, with: { from: a, to: b, vms: [vm-a] } }\n  \
                    b: { needs: [a], uses: wan.tunnel@1, with: { from: a, to: b } }\n";
        let document = Document::parse(&Source::new("w.yaml", text)).unwrap();
        let plan = longhaul_plan::check(&document, &Map::new(), &longhaul_steps::catalogue()).unwrap();
        let looks = run(&plan, &longhaul_steps::offline_registry()).await;
        assert!(looks.refused() && looks.facts().is_empty());
        assert!(looks.text().contains("a: SAYS NO: ") && !looks.text().contains("b: "), "{}", looks.text());
        assert_eq!(looks.as_json().as_array().map(Vec::len), Some(1));
    }
}
