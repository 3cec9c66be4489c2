//! `longhaul plan`: what a run would do. Steps that only look are really run, unless `--offline`; nothing is changed.

mod look;

use std::path::{Path, PathBuf};

use longhaul_model::action::ActionName;
use longhaul_model::diagnostic::Diagnostics;
use longhaul_model::policy::Verdict;
use longhaul_plan::{Circumstances, DeadlineVerdict, Expected, Forecast, Plan};
use longhaul_step::Registry;
use serde_json::{Map, Value, json};

use crate::commands::documents::{self, Format, Shown};
use crate::commands::driving::now_unix_ms;
use crate::commands::inputs::Inputs;
use crate::commands::triggers::NOT_SERVED;
use crate::commands::{block_on, files, policies, sites};
use crate::errors::{Explain as _, Result};
use crate::settings::Settings;
use crate::{exit_code, output};
use look::Looks;

/// Stands at both ends of what is shown: nobody may take a plan for a run.
const NOTHING_CHANGED: &str = "PLAN ONLY: nothing was changed";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The workflow
    #[arg(value_name = "WORKFLOW")]
    file: PathBuf,
    #[command(flatten)]
    inputs: Inputs,
    /// Ask no site: steps that only look are not run, and estimates that need them are missing
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(args: &Args, settings: &Settings) -> Result<u8> {
    let shown = args.format.shown();
    let plan = make(&args.file, &args.inputs, shown)?;
    if shown == Shown::Sarif {
        output::json(&documents::sarif(&Diagnostics::new()));
        return Ok(exit_code::OK);
    }
    let looks = look(&plan, settings, args.offline)?;
    let forecast = forecast(&plan, &looks);
    if shown == Shown::Json {
        output::json(&as_json(&plan, &forecast, &looks));
    } else {
        let body = longhaul_plan::render_text(&plan, Some(&forecast));
        let note = triggers_note(&args.file)?;
        output::raw(&format!("{NOTHING_CHANGED}\n{}\n{body}{note}\n{NOTHING_CHANGED}\n", looks.text()));
    }
    Ok(if Verdict::denials(&plan.verdicts).is_some() {
        exit_code::DENIED
    } else if looks.refused() || comes_too_late(&forecast) {
        exit_code::CHECK_FAILED
    } else {
        exit_code::OK
    })
}

/// Whether the run would give itself up.
fn comes_too_late(forecast: &Forecast) -> bool {
    let too_late = [DeadlineVerdict::Passed, DeadlineVerdict::DoesNotFit];
    forecast.deadline.is_some_and(|outlook| too_late.contains(&outlook.verdict))
}

/// Whoever wrote triggers is told that nobody serves them.
fn triggers_note(file: &Path) -> Result<String> {
    let document = documents::document(file)?;
    let has = document.is_ok_and(|document| document.root.get("triggers").is_some());
    Ok(if has { format!("\ntriggers:\n  {NOT_SERVED}\n") } else { String::new() })
}

/// The plan of a workflow with these inputs; every mistake in either is shown.
pub(super) fn make(file: &Path, inputs: &Inputs, shown: Shown) -> Result<Plan> {
    make_with(file, &inputs.gather(shown)?, shown)
}

/// The same with these inputs.
pub(super) fn make_with(file: &Path, given: &Map<String, Value>, shown: Shown) -> Result<Plan> {
    let document = documents::to_check(file)?.map_err(|found| shown.refuse(file, &found))?;
    let workflow = files::resolved(&document);
    let checked = longhaul_plan::check(&workflow, given, &longhaul_steps::catalogue());
    let mut plan = checked.map_err(|found| shown.refuse(file, &found))?;
    policies::judge(&mut plan);
    Ok(plan)
}

/// Runs the steps that only look. A plan is made also where nobody can be asked, and says so.
fn look(plan: &Plan, settings: &Settings, offline: bool) -> Result<Looks> {
    if look::wanted(plan).next().is_none() {
        return Ok(Looks::none("no step only looks"));
    }
    if offline {
        return Ok(Looks::none("asked nobody: --offline"));
    }
    match registry(settings) {
        Ok(registry) => block_on(async { Ok(look::run(plan, &registry).await) }),
        Err(failure) => Ok(Looks::none(format!("asked nobody: {}", failure.in_one_line()))),
    }
}

fn registry(settings: &Settings) -> Result<Registry> {
    let sites = settings.inventory()?;
    let connector = sites::connector(&sites)?;
    let here =
        std::env::current_dir().doing(exit_code::FAILED, || "find the working directory".to_owned())?;
    Ok(longhaul_steps::native_registry(&sites, connector, &here))
}

fn forecast(plan: &Plan, looks: &Looks) -> Forecast {
    // Estimates need no site: they are made of parameters and facts.
    let registry = longhaul_steps::offline_registry();
    let facts = looks.facts();
    let outputs: Map<String, Value> =
        facts.iter().map(|(id, fact)| (id.to_string(), fact.outputs.clone())).collect();
    let outputs = Value::Object(outputs);
    let estimate = |uses: &ActionName, params: &Value| {
        let estimate = registry.get(uses).map(|action| action.estimate(params, &outputs)).unwrap_or_default();
        Expected {
            duration_ms: estimate.duration_ms,
            wire_bytes: estimate.wire_bytes,
            pause_ms: estimate.pause_ms,
        }
    };
    let begins_unix_ms = now_unix_ms();
    Forecast::of(plan, &Circumstances { facts: &facts, estimate: &estimate, begins_unix_ms })
}

/// The plan's own fields, and beside them what is expected and what was asked.
fn as_json(plan: &Plan, forecast: &Forecast, looks: &Looks) -> Value {
    let mut all = json!(plan);
    all["mode"] = json!("plan");
    all["forecast"] = json!(forecast);
    all["looked"] = looks.as_json();
    all
}
