//! `longhaul why`: what a step waits for, and when it is expected to begin.

use longhaul_model::ids::{RunId, StepPath};
use longhaul_saga::intent::Asked;
use longhaul_saga::{Begins, Entry, Event, Intent, Record, Saga, Times, Why, Work};
use serde_json::json;

use crate::commands::{driving, journal};
use crate::errors::{Failure, Result};
use crate::settings::Settings;
use crate::{exit_code, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run
    run: RunId,
    /// The step, such as move/vm-a/prefetch [default: every step that is not over]
    step: Option<StepPath>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, settings: &Settings) -> Result<u8> {
    let reader = journal::open(settings)?;
    let records = reader.records(&args.run)?;
    let saga = reader.take_up(&args.run)?.fold.saga;
    let (times, now) = (times(&records), driving::now_unix_ms());
    let steps = match &args.step {
        Some(step) => vec![step.clone()],
        None => open_steps(&saga),
    };
    let mut all = Vec::new();
    for step in steps {
        let why = saga.why(&step).ok_or_else(|| no_such_step(&args.run, &step, &saga))?;
        let begins = saga.begins(&step, &times, now);
        if args.json {
            all.push(json!({ "step": step, "why": why, "begins": begins }));
        } else {
            output::raw(&text(&args.run, &step, &why, begins.as_ref()));
        }
    }
    if args.json {
        output::json(&all);
    } else if args.step.is_none() && saga.status().is_final() {
        output::data(format_args!("run {}: {}", args.run, saga.status()));
    }
    Ok(exit_code::OK)
}

fn open_steps(saga: &Saga) -> Vec<StepPath> {
    let is_open = |state: &str| matches!(state, "waiting" | "running" | "undoing" | "needs_operator");
    saga.steps().filter(|view| is_open(view.state)).map(|view| view.step).collect()
}

fn no_such_step(run: &RunId, step: &StepPath, saga: &Saga) -> Failure {
    let known: Vec<String> = saga.steps().map(|view| view.step.to_string()).collect();
    let near = longhaul_model::diagnostic::nearest(step.as_str(), known.iter().map(String::as_str));
    let failure = Failure::said(exit_code::USAGE, format!("run {run} has no step `{step}`"));
    match near {
        Some(near) => {
            failure.advise(format!("`longhaul status {run}` lists its steps; the nearest is `{near}`"))
        }
        None => failure,
    }
}

/// How long steps take, as was estimated, and when those began that have.
fn times(records: &[Record]) -> Times {
    let mut times = Times::default();
    for record in records {
        match &record.entry {
            Entry::Event(Event::Observation(seen)) if seen.source == "estimate" => {
                let steps = seen.payload["steps"].as_object();
                for (path, expected) in steps.into_iter().flatten() {
                    if let Some(millis) = expected["duration_ms"].as_u64() {
                        times.durations_ms.insert(path.clone(), millis);
                    }
                }
            }
            Entry::Intent(Intent::Start(start)) if start.work == Work::Forward => {
                times.began_unix_ms.insert(start.step.to_string(), record.at_unix_ms);
            }
            Entry::Event(_) | Entry::Intent(_) => {}
        }
    }
    times
}

fn text(run: &RunId, step: &StepPath, why: &[Why], begins: Option<&Begins>) -> String {
    let mut lines = vec![format!("{step}:")];
    lines.extend(why.iter().flat_map(|why| sentences(run, step, why)).map(|line| format!("  {line}")));
    if let Some(Begins { not_before_unix_ms, unknown }) = begins {
        let at = journal::time(*not_before_unix_ms);
        lines.push(if unknown.is_empty() {
            format!("  begins: {at}, by the estimates")
        } else {
            format!("  begins: not before {at}; not known: {}", unknown.join("; "))
        });
    }
    lines.join("\n") + "\n"
}

/// What is the case, and what can be done about it.
fn sentences(run: &RunId, step: &StepPath, why: &Why) -> Vec<String> {
    let time = |unix_ms: &u64| journal::time(*unix_ms);
    let until = |unix_ms: &Option<u64>| {
        unix_ms.as_ref().map_or_else(String::new, |at| format!(" until {}", time(at)))
    };
    let at = |unix_ms: &Option<u64>| {
        unix_ms.as_ref().map_or_else(|| "now".to_owned(), |at| format!("at {}", time(at)))
    };
    let one = |text: String| vec![text];
    match why {
        Why::Over { state, reason: None } => one(format!("is over: {state}")),
        Why::Over { state, reason: Some(reason) } => one(format!("is over: {state}: {reason}")),
        Why::UnderWay { attempt, until_unix_ms } => {
            one(format!("is under way, attempt {attempt}; it may take{}", until(until_unix_ms)))
        }
        Why::Inside { steps } => one(format!("is under way inside: {}", paths(steps))),
        Why::Held { reason } => {
            vec![format!("an operator holds the run: {reason}"), format!("to do: `longhaul unpause {run}`")]
        }
        Why::RunOver { status } => one(format!("the run is over: {status}")),
        Why::Need { step, state } => {
            one(format!("needs {step}, which is {state}: `longhaul why {run} {step}`"))
        }
        Why::NotThereYet { around } => one(format!("{around} has not begun: `longhaul why {run} {around}`")),
        Why::Turn { running, max_parallel } => {
            one(format!("other items come first: {running} run, and max_parallel is {max_parallel}"))
        }
        Why::Claim { resource, needs, free, held_by } => {
            let by = if held_by.is_empty() { String::new() } else { format!("; held by {}", paths(held_by)) };
            one(format!("claims {needs} of `{resource}`, of which {free} are free{by}"))
        }
        Why::Policies => one("policies are being asked about it".to_owned()),
        Why::Answer { asks, approved_by, until_unix_ms } => {
            let how = match asks {
                Asked::Approval { .. } => format!("longhaul approve {run} {step} --as NAME"),
                Asked::Signal { name } => format!("longhaul signal {run} {name}"),
            };
            let by = if approved_by.is_empty() {
                String::new()
            } else {
                format!(", approved by {}", approved_by.join(", "))
            };
            vec![format!("waits for {asks}{}{by}", until(until_unix_ms)), format!("to do: `{how}`")]
        }
        Why::Site { site } => one(format!("site {site} is being looked at")),
        Why::Retry { attempt, failure, at_unix_ms } => {
            one(format!("attempt {attempt} failed: {failure}; it is tried again {}", at(at_unix_ms)))
        }
        Why::Probe { failure, at_unix_ms } => {
            let why = failure.as_ref().map_or_else(String::new, |failure| format!(": {failure}"));
            one(format!("nobody knows how it ended{why}; it is asked about {}", at(at_unix_ms)))
        }
        Why::Wait { until_unix_ms } => one(format!("time passes until {}", time(until_unix_ms))),
        Why::Operator { failure } => vec![
            format!("needs an operator: {failure}"),
            format!("to do: `longhaul status {run}` says what, then `longhaul resume {run}`"),
        ],
        Why::CalledOff => one("its graph turns round: it does not begin any more".to_owned()),
        Why::Rewinding => one("what is to run again is being undone; no step begins before that".to_owned()),
        Why::Nothing => one("nothing stands in its way: it begins at once".to_owned()),
    }
}

fn paths(steps: &[StepPath]) -> String {
    const SHOWN_MAX: usize = 5;
    let shown: Vec<&str> = steps.iter().take(SHOWN_MAX).map(StepPath::as_str).collect();
    let more = steps.len().saturating_sub(SHOWN_MAX);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", shown.join(", "))
}
