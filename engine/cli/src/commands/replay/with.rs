//! What an edited workflow would have done in the place of a recorded run.

use std::path::Path;
use std::sync::Arc;

use longhaul_host_rhai::RhaiHost;
use longhaul_plan::Plan;
use longhaul_saga::event::RunCreated;
use longhaul_saga::{Entry, Event, Intent, Record, Saga, Status, StepView, Work};
use longhaul_sim::{Fault, Halt, Ran, Recorded, Setup, simulate};
use serde_json::{Value, json};
use similar::TextDiff;

use crate::commands::documents::Shown;
use crate::commands::{plan, policies};
use crate::errors::{Failure, Result};
use crate::{exit_code, output};

/// Stands at both ends of what is shown: nobody may take this for a run.
const NOTHING_RUN: &str = "SIMULATION: nothing was run";

/// Seed of the draws for jitter.
const SEED: u64 = 1;

/// Compares the run with what the workflow in `file` would have made of the same inputs, in the same world.
pub(super) fn compare(records: &[Record], file: &Path, as_json: bool) -> Result<u8> {
    let created = created(records)?;
    let mut plan = plan::make_with(file, &created.plan.inputs, Shown::by(as_json))?;
    policies::judge_at(&mut plan, records[0].at_unix_ms);
    policies::refuse_denied(&plan)?;
    let catalogue = longhaul_steps::catalogue();
    let host = RhaiHost::default();
    let world = Recorded::of(records, &catalogue, &host);
    let ran = run(records, plan, &world);
    let recorded = Saga::fold(records).map_err(|error| Failure::new(exit_code::CHECK_FAILED, error))?.saga;
    let before = lines(records, recorded.steps(), recorded.status());
    let now = lines(&ran.records, ran.steps.iter().cloned(), ran.status());
    let is_same = before == now;
    let untold = world.untold();
    if as_json {
        output::json(&json!({
            "mode": "simulation", "same": is_same, "recorded": before, "with": now, "no_record_of": untold,
            "took_ms": took_ms(records), "would_have_taken_ms": ran.took_ms(), "halted": halted(&ran.halt),
        }));
    } else {
        output::raw(&text(&before, &now, file, &untold, &ran, took_ms(records)));
    }
    Ok(if is_same { exit_code::OK } else { exit_code::CHECK_FAILED })
}

fn created(records: &[Record]) -> Result<&RunCreated> {
    match records.first().map(|record| &record.entry) {
        Some(Entry::Event(Event::RunCreated(created))) => Ok(created),
        _ => Err(Failure::said(exit_code::CHECK_FAILED, "the first record does not create a run")),
    }
}

/// The simulated run: it begins when the recorded one did, and an operator resumes it as often.
fn run(records: &[Record], plan: Plan, world: &Recorded<'_>) -> Ran {
    let is_resumed = |record: &&Record| matches!(record.entry, Entry::Event(Event::RunResumed(_)));
    let resumes = records.iter().filter(is_resumed).count();
    simulate(Setup {
        plan: &Arc::new(plan),
        run: records[0].run.clone(),
        past: &[],
        clock_unix_ms: records[0].at_unix_ms,
        seed: SEED,
        model: world,
        fault: Fault::None,
        resumes: u32::try_from(resumes).unwrap_or(u32::MAX),
    })
}

/// How a run ended, and what it did with each step: a line for each, in the order of their paths.
fn lines(records: &[Record], steps: impl Iterator<Item = StepView>, status: Status) -> Vec<String> {
    let mut lines = vec![format!("run: {status}")];
    let end = records.iter().rev().find_map(|record| match &record.entry {
        Entry::Intent(Intent::End(end)) => Some(end),
        Entry::Event(_) | Entry::Intent(_) => None,
    });
    for (name, value) in end.into_iter().flat_map(|end| &end.outputs) {
        lines.push(format!("output {name}: {value}"));
    }
    for view in steps {
        let uses = view.uses.as_ref().map_or_else(|| view.does.to_owned(), ToString::to_string);
        let given =
            params(records, view.step.as_str()).map_or_else(String::new, |params| format!(" {params}"));
        let why = view.failure.map_or_else(String::new, |why| format!(": {why}"));
        lines.push(format!("{}: {uses}{given}: {}{why}", view.step, view.state));
    }
    lines
}

/// The parameters with which a step began last.
fn params<'a>(records: &'a [Record], step: &str) -> Option<&'a Value> {
    records.iter().rev().find_map(|record| match &record.entry {
        Entry::Intent(Intent::Start(start)) if start.work == Work::Forward && start.step.as_str() == step => {
            Some(&start.params)
        }
        Entry::Event(_) | Entry::Intent(_) => None,
    })
}

fn took_ms(records: &[Record]) -> u64 {
    let ended = records.iter().rfind(|record| matches!(record.entry, Entry::Intent(Intent::End(_))));
    let at = |record: Option<&Record>| record.map_or(0, |record| record.at_unix_ms);
    at(ended.or(records.last())).saturating_sub(at(records.first()))
}

fn halted(halt: &Halt) -> Option<String> {
    match halt {
        Halt::At(_) => None,
        Halt::Idle => Some("it waits for something of which no record tells".to_owned()),
        Halt::Endless => Some("it goes on and on".to_owned()),
        Halt::Broken(why) => Some(why.clone()),
    }
}

fn text(
    before: &[String],
    now: &[String],
    file: &Path,
    untold: &[String],
    ran: &Ran,
    took_ms: u64,
) -> String {
    let joined = |lines: &[String]| lines.join("\n") + "\n";
    let (before, now) = (joined(before), joined(now));
    let mut text = format!("{NOTHING_RUN}\n");
    if before == now {
        text += "the same: every step would have gone as it did\n";
    } else {
        let name = format!("with {}", file.display());
        text += &TextDiff::from_lines(&before, &now).unified_diff().header("recorded", &name).to_string();
    }
    for step in untold {
        text += &format!(
            "no record tells of {step}: it was taken to go well in a second, or not to be answered\n"
        );
    }
    if let Some(why) = halted(&ran.halt) {
        text += &format!("the simulated run did not end: {why}\n");
    }
    let duration = longhaul_sim::suite::duration;
    text += &format!("took {}, would have taken {}\n", duration(took_ms), duration(ran.took_ms()));
    text + NOTHING_RUN + "\n"
}

/// Whether two runs can be compared: one that is under way has not done yet what it will do.
pub(super) fn require_over(records: &[Record]) -> Result<()> {
    let status = Saga::fold(records).map_or(Status::Running, |fold| fold.saga.status());
    if status == Status::Running {
        let message = format!("run {} is under way", records[0].run);
        return Err(Failure::said(exit_code::USAGE, message).advise("compare it when it is over"));
    }
    Ok(())
}
