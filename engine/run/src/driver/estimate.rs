//! What is expected of the steps to come, written down before they start.
//!
//! The record is an observation with the source `estimate`: `{"steps": {PATH: {"uses", "duration_ms", "wire_bytes",
//! "pause_ms"}}}`. No decision depends on it.

use longhaul_model::action::ActionName;
use longhaul_saga::event::Observation;
use longhaul_saga::{Command, Event, Intent, Saga, Work};
use longhaul_step::{Estimate, Registry};
use serde_json::{Map, Value, json};

/// The source of these observations.
pub(super) const SOURCE: &str = "estimate";

/// How often what is expected is worked out anew in a run of many steps: each time looks at all of them.
const TIMES_MAX: usize = 64;

/// When what is expected is worked out anew.
#[derive(Debug, Default)]
pub(super) struct Estimates {
    /// So many steps that only look have ended since.
    looks: usize,
}

impl Estimates {
    /// Whether enough more is known of the steps to come: a step that only looks has ended, or one of so many in a long run.
    pub(super) fn are_due(&mut self, saga: &Saga, event: &Event) -> bool {
        if !matches!(event, Event::Done(done) if saga.looks_only(&done.step)) {
            return false;
        }
        self.looks += 1;
        let is_due = self.looks * TIMES_MAX >= saga.size();
        if is_due {
            self.looks = 0;
        }
        is_due
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
