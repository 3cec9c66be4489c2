//! What is expected of the steps to come, written down before they start.
//!
//! The record is an observation with the source `estimate`: `{"steps": {PATH: {"uses", "duration_ms", "wire_bytes",
//! "pause_ms"}}}`. No decision depends on it.

use longhaul_model::action::{ActionName, Effects};
use longhaul_plan::{Body, Graph};
use longhaul_saga::event::Observation;
use longhaul_saga::{Command, Event, Intent, Saga, Work};
use longhaul_step::{Estimate, Registry};
use serde_json::{Map, Value, json};

/// The source of these observations.
pub(super) const SOURCE: &str = "estimate";

/// Whether a step that only looks has ended: then more is known of the others.
pub(super) fn brings_facts(saga: &Saga, event: &Event) -> bool {
    let Event::Done(done) = event else { return false };
    looks_only(&saga.plan().graph, done.step.as_str())
}

/// Whether the step of that path only looks, and is not one of an item.
fn looks_only(graph: &Graph, path: &str) -> bool {
    let (own, inside) = path.split_once('/').map_or((path, None), |(own, inside)| (own, Some(inside)));
    let Some(step) = graph.steps.iter().find(|step| step.id.as_str() == own) else { return false };
    match (&step.body, inside) {
        (Body::Action(action), None) => action.effects == Effects::None,
        (Body::Workflow(child), Some(inside)) => looks_only(&child.graph, inside),
        (Body::Action(_) | Body::Foreach(_) | Body::Wait(_) | Body::Question(_) | Body::Workflow(_), _) => {
            false
        }
    }
}

/// The estimates of everything that starts now or is foreseen; none if no action has one.
pub(super) fn estimates<'a>(
    saga: &Saga,
    starting: impl Iterator<Item = &'a Command>,
    registry: &Registry,
) -> Option<Event> {
    let facts: Map<String, Value> = saga
        .steps()
        .filter_map(|view| view.outputs.map(|outputs| (view.step.as_str().to_owned(), outputs)))
        .collect();
    let facts = Value::Object(facts);
    let estimate = |uses: &ActionName, params: &Value| {
        let estimate = registry.get(uses)?.estimate(params, &facts);
        (estimate != Estimate::default()).then(|| entry(uses, &estimate))
    };
    let mut steps = Map::new();
    for command in starting {
        if let Command::Intent(Intent::Start(start)) = command
            && start.work == Work::Forward
            && let Some(value) = estimate(&start.uses, &start.params)
        {
            steps.insert(start.step.as_str().to_owned(), value);
        }
    }
    for foreseen in saga.foresee() {
        if let Some(value) = estimate(&foreseen.uses, &foreseen.params) {
            steps.insert(foreseen.step.as_str().to_owned(), value);
        }
    }
    let payload = json!({ "steps": steps });
    (!steps_of(&payload).is_empty())
        .then(|| Event::Observation(Observation { source: SOURCE.to_owned(), payload }))
}

fn steps_of(payload: &Value) -> &Map<String, Value> {
    payload["steps"].as_object().expect("it was made as an object")
}

fn entry(uses: &ActionName, estimate: &Estimate) -> Value {
    json!({
        "uses": uses,
        "duration_ms": estimate.duration_ms,
        "wire_bytes": estimate.wire_bytes,
        "pause_ms": estimate.pause_ms,
    })
}
