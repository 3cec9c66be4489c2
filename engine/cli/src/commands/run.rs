//! `longhaul run`: makes a plan of a workflow and carries it out.

mod detached;

use std::path::PathBuf;

use longhaul_model::ids::RunId;
use longhaul_model::policy::Verdict;
use longhaul_plan::{Asks, Body, Graph, Plan, Step};
use longhaul_run::statement::Statement;
use longhaul_saga::event::Starter;

use crate::commands::documents::Shown;
use crate::commands::inputs::Inputs;
use crate::commands::{block_on, driving, mirror, people, plan, policies};
use crate::errors::{Failure, Result};
use crate::exit_code;
use crate::settings::Settings;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The workflow
    #[arg(value_name = "WORKFLOW")]
    file: PathBuf,
    #[command(flatten)]
    inputs: Inputs,
    /// Id of the run [default: made of the time and chance]
    #[arg(long, value_name = "RUN")]
    id: Option<RunId>,
    /// Your name, if the workflow wants to know who starts it; needs the key of your certificate
    #[arg(long = "as", value_name = "NAME")]
    myself: Option<String>,
    #[command(flatten)]
    keys: people::Keys,
    #[command(flatten)]
    mirror: mirror::Wish,
    #[command(flatten)]
    show: driving::Show,
    /// Begin the run, say its id, and let it go on by itself; `longhaul watch RUN` shows it
    #[arg(long, conflicts_with = "report")]
    detach: bool,
}

pub(super) fn run(args: &Args, settings: &Settings) -> Result<u8> {
    // The plan first: a mistake in a file is reported before anything is opened or reached.
    let plan = plan::make(&args.file, &args.inputs, Shown::by(args.show.json()))?;
    policies::refuse_denied(&plan)?;
    let run = args.id.clone().unwrap_or_else(new_id);
    if args.detach {
        return detached::begin(&run, args.show.json(), settings);
    }
    let mirroring = args.mirror.mirroring(settings)?;
    let started_by = starter(args, &run, &plan, settings)?;
    block_on(async {
        let driving = driving::Driving::open(settings)?.with_mirroring(mirroring);
        let ended = driving.drive(&args.show, async |driver, reporters, control| {
            driver.run(run.clone(), plan, started_by, reporters, control).await
        });
        driving.finish(&run, ended.await?, &args.show, settings).await
    })
}

/// Who starts the run, with their statement. A workflow that excludes that person from an approval has to know them.
fn starter(args: &Args, run: &RunId, plan: &Plan, settings: &Settings) -> Result<Option<Starter>> {
    if let Some(name) = &args.myself {
        let me = args.keys.load(name, settings)?;
        let signed = me.sign(&Statement::start(run, &plan.workflow.sha256))?;
        return Ok(Some(Starter { name: me.name, signed: Some(signed) }));
    }
    let graphs = [&plan.graph, &plan.on_failure, &plan.always];
    match graphs.into_iter().find_map(not_by_self) {
        None if !plan.verdicts.iter().filter_map(Verdict::approval).any(|it| it.forbid_self) => Ok(None),
        None => Err(unknown("a policy")),
        Some(step) => Err(unknown(&format!("`{}` in line {}", step.id, step.line))),
    }
}

fn unknown(who: &str) -> Failure {
    let message = format!("{who} wants an approval by somebody else than who starts the run");
    Failure::said(exit_code::USAGE, message)
        .advise("say who you are with `--as NAME`; `longhaul ca issue --user NAME` makes your certificate")
}

/// The first step that asks for an approval by somebody else than who starts the run.
fn not_by_self(graph: &Graph) -> Option<&Step> {
    graph.steps.iter().find_map(|step| match &step.body {
        Body::Question(question) => {
            matches!(question.asks, Asks::Approval { forbid_self: true, .. }).then_some(step)
        }
        Body::Foreach(foreach) => not_by_self(&foreach.graph),
        Body::Workflow(child) => {
            [&child.graph, &child.on_failure, &child.always].into_iter().find_map(not_by_self)
        }
        Body::Action(_) | Body::Wait(_) => None,
    })
}

/// An id that sorts by time and is not given twice: seconds, then chance.
fn new_id() -> RunId {
    let now = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    let chance = uuid::Uuid::new_v4().simple().to_string();
    format!("run-{now}-{}", &chance[..4]).parse().expect("digits, dashes and hex make an id")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new id is well-formed and not the one before.
    #[test]
    fn ids_are_well_formed_and_new() {
        assert_ne!(new_id(), new_id());
        assert!(new_id().as_str().starts_with("run-20"));
    }
}
