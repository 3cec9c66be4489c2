//! `longhaul fork`: how a run would go on from where it is, in simulation, and how with less of what its steps share.

use std::collections::BTreeMap;
use std::sync::Arc;

use longhaul_host_rhai::RhaiHost;
use longhaul_model::ids::RunId;
use longhaul_saga::{Entry, Event, Intent, Record, Saga, Work};
use longhaul_sim::suite::duration;
use longhaul_sim::{Fault, Forked, Halt, Ran, Setup, simulate};
use serde::Serialize;
use serde_json::json;

use crate::commands::{driving, journal};
use crate::errors::{Failure, Result};
use crate::output::Table;
use crate::settings::Settings;
use crate::{exit_code, output};

/// Stands at both ends of what is shown: nobody may take this for a run.
const NOTHING_RUN: &str = "SIMULATION: nothing was run";

/// Seed of the draws for jitter.
const SEED: u64 = 1;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run
    run: RunId,
    /// From now on there is only so much of a resource of the workflow, such as `resource.wan=50Mbit/s`: what claims it takes longer
    #[arg(long = "set", value_name = "resource.NAME=AMOUNT")]
    set: Vec<Setting>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What is to be otherwise.
#[derive(Debug, Clone)]
struct Setting {
    resource: String,
    amount: String,
}

impl std::str::FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let parts = text.strip_prefix("resource.").and_then(|rest| rest.split_once('='));
        let (resource, amount) =
            parts.ok_or("write `resource.NAME=AMOUNT`, such as `resource.wan=50Mbit/s`")?;
        Ok(Self { resource: resource.to_owned(), amount: amount.to_owned() })
    }
}

/// How the run would go on.
#[derive(Debug, Serialize)]
struct Outlook {
    status: String,
    /// From now to the end, if it comes to one.
    ends_in_ms: Option<u64>,
    /// When what has not ended yet begins and ends, counted from now.
    steps: BTreeMap<String, Span>,
}

#[derive(Debug, Clone, Default, Serialize)]
struct Span {
    /// Nothing of what is under way now.
    begins_in_ms: Option<u64>,
    ends_in_ms: Option<u64>,
}

pub(super) fn run(args: &Args, settings: &Settings) -> Result<u8> {
    let records = journal::open(settings)?.records(&args.run)?;
    let saga = Saga::fold(&records).map_err(|error| Failure::new(exit_code::CHECK_FAILED, error))?.saga;
    if saga.status().is_final() {
        let message = format!("run {} is over: it has {}", args.run, saga.status());
        return Err(Failure::said(exit_code::USAGE, message)
            .advise("`longhaul replay RUN --with FILE` says what another workflow would have made of it"));
    }
    let now = driving::now_unix_ms().max(records.last().map_or(0, |record| record.at_unix_ms));
    let (catalogue, host) = (longhaul_steps::catalogue(), RhaiHost::default());
    let world = || Forked::of(&records, saga.plan(), now, &catalogue, &host);
    let as_it_is = world();
    let mut with = world();
    for Setting { resource, amount } in &args.set {
        let set = with.with(resource, amount);
        with = set.map_err(|why| {
            Failure::said(exit_code::USAGE, format!("--set resource.{resource}={amount}: {why}"))
        })?;
    }
    let before = outlook(&records, &go_on(&records, &saga, now, &as_it_is), now);
    let after = (!args.set.is_empty()).then(|| outlook(&records, &go_on(&records, &saga, now, &with), now));
    let guessed = as_it_is.guessed();
    if args.json {
        output::json(&json!({
            "mode": "simulation", "run": args.run, "now_unix_ms": now, "as_it_is": before, "with": after, "guessed": guessed,
        }));
    } else {
        show(args, &before, after.as_ref(), &guessed);
    }
    Ok(exit_code::OK)
}

fn go_on(records: &[Record], saga: &Saga, now: u64, world: &Forked<'_>) -> Ran {
    simulate(Setup {
        plan: &Arc::new(saga.plan().clone()),
        run: saga.run().clone(),
        past: records,
        clock_unix_ms: now,
        seed: SEED,
        model: world,
        fault: Fault::None,
        resumes: 0,
    })
}

fn outlook(past: &[Record], ran: &Ran, now: u64) -> Outlook {
    let mut steps: BTreeMap<String, Span> = BTreeMap::new();
    let is_open = |step: &str| {
        let of = past.iter().rev().find_map(|record| match &record.entry {
            Entry::Intent(Intent::Start(start)) if start.step.as_str() == step => Some(true),
            Entry::Event(event) if event.settles().is_some_and(|it| it.as_str() == step) => Some(false),
            _ => None,
        });
        of == Some(true)
    };
    for record in &ran.records[past.len()..] {
        let at = record.at_unix_ms.saturating_sub(now);
        match &record.entry {
            Entry::Intent(Intent::Start(start)) if start.work == Work::Forward => {
                let begins = (!is_open(start.step.as_str())).then_some(at);
                steps.entry(start.step.to_string()).or_default().begins_in_ms = begins;
            }
            Entry::Event(Event::Done(done)) if done.work == Work::Forward => {
                steps.entry(done.step.to_string()).or_default().ends_in_ms = Some(at);
            }
            Entry::Event(_) | Entry::Intent(_) => {}
        }
    }
    let ends_in_ms = matches!(ran.halt, Halt::At(_))
        .then(|| ran.records.last().map_or(0, |record| record.at_unix_ms.saturating_sub(now)));
    Outlook { status: ran.status().to_string(), ends_in_ms, steps }
}

fn show(args: &Args, before: &Outlook, after: Option<&Outlook>, guessed: &[String]) {
    let end = |outlook: &Outlook| {
        let ends = outlook.ends_in_ms.map(|ms| format!("{} in {}", outlook.status, duration(ms)));
        ends.unwrap_or_else(|| "it would not end".to_owned())
    };
    let when =
        |ms: Option<u64>, none: &str| ms.map_or_else(|| none.to_owned(), |ms| format!("in {}", duration(ms)));
    output::data(NOTHING_RUN);
    let mut table = match after {
        Some(_) => Table::new(["step", "begins", "ends", "begins then", "ends then"]),
        None => Table::new(["step", "begins", "ends", "", ""]),
    };
    for (step, span) in &before.steps {
        let mut row = [
            step.clone(),
            when(span.begins_in_ms, "under way"),
            when(span.ends_in_ms, "-"),
            String::new(),
            String::new(),
        ];
        if let Some(then) = after.map(|after| after.steps.get(step).cloned().unwrap_or_default()) {
            (row[3], row[4]) = (when(then.begins_in_ms, "under way"), when(then.ends_in_ms, "-"));
        }
        table.row(row);
    }
    output::data(table);
    output::data(format_args!("as it is: {}", end(before)));
    if let Some(after) = after {
        let set: Vec<String> =
            args.set.iter().map(|it| format!("resource.{}={}", it.resource, it.amount)).collect();
        output::data(format_args!("with {}: {}", set.join(", "), end(after)));
    }
    for step in guessed {
        output::data(format_args!("nothing says how long {step} takes: it was taken to go well in a second"));
    }
    output::data(NOTHING_RUN);
}
