//! When a run is expected to be how far, from the estimates of its steps.

use std::collections::BTreeMap;

use longhaul_model::units::Time;
use longhaul_plan::{Body, Foreach, Graph, Plan, Wait};
use serde_json::{Map, Value};

/// The action after which a guest runs at its target.
const HAND_OVER: &str = "vm.move";

/// The action after which a source is not needed any more.
const SETTLE: &str = "storage.settle";

/// Moments to come, in milliseconds from the run's start.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Forecast {
    /// The end of the last step.
    pub(super) total_ms: u64,
    /// The end of the last hand-over that has an estimate.
    pub(super) runs_at_ms: Option<u64>,
    /// The end of the last settling that has an estimate.
    pub(super) independent_ms: Option<u64>,
}

/// A way through the steps: each begins when everything it needs has ended, and takes what was estimated. A step without
/// an estimate takes no time.
struct Walk<'a> {
    durations: BTreeMap<&'a str, u64>,
    runs_at_ms: Option<u64>,
    independent_ms: Option<u64>,
}

impl Forecast {
    /// From the estimates of the steps that had not ended `at_ms` after the run's start; none if they name no duration.
    pub(super) fn of(plan: &Plan, estimates: &Map<String, Value>, at_ms: u64) -> Option<Self> {
        let duration =
            |(path, step): (_, &Value)| -> Option<(_, u64)> { Some((path, step["duration_ms"].as_u64()?)) };
        let durations: BTreeMap<&str, u64> =
            estimates.iter().map(|(path, step)| (path.as_str(), step)).filter_map(duration).collect();
        if durations.is_empty() {
            return None;
        }
        let mut walk = Walk { durations, runs_at_ms: None, independent_ms: None };
        let total_ms = walk.graph(&plan.graph, "", at_ms);
        Some(Self { total_ms, runs_at_ms: walk.runs_at_ms, independent_ms: walk.independent_ms })
    }
}

impl Walk<'_> {
    /// When the last step of a graph ends that begins at `from_ms`.
    fn graph(&mut self, graph: &Graph, prefix: &str, from_ms: u64) -> u64 {
        let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
        for step in &graph.steps {
            let needed = step.needs.iter().filter_map(|need| ends.get(need.as_str()));
            let begin = needed.max().copied().unwrap_or(from_ms);
            let path = format!("{prefix}{}", step.id);
            let end = match &step.body {
                Body::Action(action) => self.action(action.uses.kind(), &path, begin),
                Body::Foreach(foreach) => self.items(foreach, &path, begin),
                Body::Workflow(child) => self.graph(&child.graph, &format!("{path}/"), begin),
                Body::Wait(wait) => begin.saturating_add(pause_ms(wait)),
                // How long people take is not foreseen.
                Body::Question(_) => begin,
            };
            ends.insert(step.id.as_str(), end);
        }
        ends.values().max().copied().unwrap_or(from_ms)
    }

    fn action(&mut self, kind: &str, path: &str, begin_ms: u64) -> u64 {
        let Some(takes) = self.durations.get(path) else { return begin_ms };
        let end = begin_ms.saturating_add(*takes);
        match kind {
            HAND_OVER => self.runs_at_ms = self.runs_at_ms.max(Some(end)),
            SETTLE => self.independent_ms = self.independent_ms.max(Some(end)),
            _ => {}
        }
        end
    }

    /// Items run beside each other, as far as `max_parallel` lets them.
    fn items(&mut self, foreach: &Foreach, path: &str, from_ms: u64) -> u64 {
        let inside = format!("{path}/");
        let key = |step: &&str| Some(step.strip_prefix(&inside)?.split('/').next()?.to_owned());
        let mut keys: Vec<String> = self.durations.keys().filter_map(key).collect();
        keys.dedup();
        let mut rows = vec![from_ms; foreach.max_parallel.max(1) as usize];
        for key in keys {
            let free = rows.iter_mut().min().expect("there is at least one row");
            *free = self.graph(&foreach.graph, &format!("{inside}{key}/"), *free);
        }
        rows.into_iter().max().unwrap_or(from_ms)
    }
}

/// How long a pause is, if its author wrote a duration.
fn pause_ms(wait: &Wait) -> u64 {
    let Wait::For(template) = wait else { return 0 };
    let time = template.source().as_str().and_then(|text| text.parse::<Time>().ok());
    time.map_or(0, Time::as_millis)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn action(id: &str, uses: &str, needs: &[&str]) -> Value {
        json!({ "id": id, "needs": needs, "line": 1, "body": { "action": {
            "uses": uses, "with": {}, "effects": "reversible", "timeout": "1h", "pivot": false, "compensate": null,
            "retry": { "max_attempts": 1, "errors": [], "backoff": { "initial": "1s", "factor": 1, "max": "1s", "full_jitter": false } },
        }}})
    }

    /// Look, then for each VM: copy beside a name, move, settle.
    fn plan(max_parallel: u32) -> Plan {
        let items = json!({ "steps": [
            action("copy", "storage.prefetch@1", &[]),
            action("name", "gtm.prepare@1", &[]),
            action("go", "vm.move@1", &["copy", "name"]),
            action("settle", "storage.settle@1", &["go"]),
        ]});
        let foreach = json!({ "over": "${{ inputs.vms }}", "variable": "vm", "max_parallel": max_parallel,
            "on_item_failure": "continue", "graph": items });
        let each = json!({ "id": "each", "needs": ["look"], "line": 1, "body": { "foreach": foreach } });
        serde_json::from_value(json!({
            "workflow": { "name": "evacuate", "version": "1.0.0", "sha256": "ab", "file": "e.yaml" }, "inputs": {},
            "graph": { "steps": [action("look", "site.check@1", &[]), each] },
            "outputs": [], "always": { "steps": [] },
        }))
        .unwrap()
    }

    fn forecast(max_parallel: u32, estimates: &Value) -> Option<(u64, Option<u64>, Option<u64>)> {
        let forecast = Forecast::of(&plan(max_parallel), estimates.as_object().unwrap(), 1_000)?;
        Some((forecast.total_ms, forecast.runs_at_ms, forecast.independent_ms))
    }

    /// What had passed before the estimates counts; VMs that move one after another add up, and beside each other do not.
    #[test]
    fn moments_count_from_the_runs_start() {
        let step = |ms: u64| json!({ "duration_ms": ms });
        let estimates = json!({
            "each/vm-a/copy": step(400), "each/vm-a/go": step(50), "each/vm-a/settle": step(7),
            "each/vm-b/copy": step(300), "each/vm-b/name": step(310), "each/vm-b/go": step(60), "each/vm-b/settle": step(8),
        });
        assert_eq!(forecast(1, &estimates), Some((1_835, Some(1_827), Some(1_835))));
        assert_eq!(forecast(2, &estimates), Some((1_457, Some(1_450), Some(1_457))));
    }

    /// What no step estimates is not claimed.
    #[test]
    fn nothing_is_claimed_without_estimates() {
        assert_eq!(forecast(1, &json!({ "each/vm-a/go": { "duration_ms": null, "wire_bytes": 5 } })), None);
        let copied = json!({ "each/vm-a/copy": { "duration_ms": 5 } });
        assert_eq!(forecast(1, &copied), Some((1_005, None, None)));
    }
}
