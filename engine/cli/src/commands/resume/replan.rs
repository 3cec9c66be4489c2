//! What going on with another workflow, or with some steps once more, means for each step; and whether that is wanted.

use std::io::{IsTerminal as _, Write as _};

use longhaul_plan::Plan;
use longhaul_saga::event::Controller;
use longhaul_saga::{Entry, Fold, Intent, NoReplan, Replan};
use serde_json::json;

use super::Args;
use crate::commands::documents::Shown;
use crate::commands::{driving, plan};
use crate::errors::{Failure, Result};
use crate::{exit_code, output};

/// The plan to go on with, none inside if the run keeps its own; nothing if the run only goes on. What it means is shown first.
pub(super) fn wanted(args: &Args, fold: &Fold) -> Result<Option<Option<Plan>>> {
    if args.with.is_none() && args.from.is_empty() {
        return match args.dry_run {
            true => Err(Failure::said(exit_code::USAGE, "--dry-run says what --from and --with would mean")),
            false => Ok(None),
        };
    }
    let inputs = &fold.saga.plan().inputs;
    let shown = Shown::by(args.show.json());
    let plan = args.with.as_ref().map(|file| plan::make_with(file, inputs, shown)).transpose()?;
    let look = fold.saga.look_at_replan(plan.as_ref(), &args.from).map_err(|why| refused(&why))?;
    require_time(args, fold, plan.as_ref())?;
    show(args, &look);
    if !args.dry_run && !args.yes {
        confirm()?;
    }
    Ok(Some(plan))
}

fn refused(why: &[NoReplan]) -> Failure {
    let lines: Vec<String> = why.iter().map(|one| format!("{one}; {}", one.advice())).collect();
    Failure::said(exit_code::CHECK_FAILED, format!("the run cannot go on so:\n  {}", lines.join("\n  ")))
}

/// A deadline that has passed would give the run up at once, and with it everything that it did.
fn require_time(args: &Args, fold: &Fold, plan: Option<&Plan>) -> Result<()> {
    let controller = Controller { host: String::new(), pid: 0, generation: 0 };
    let now = driving::now_unix_ms();
    let replanned = fold.clone().replan(controller, plan.cloned(), args.from.clone(), now);
    let batch = replanned.map_err(|error| Failure::new(exit_code::CHECK_FAILED, error))?.1;
    let gives_up = |entry: &Entry| matches!(entry, Entry::Intent(Intent::GiveUp(_)));
    if batch.entries.iter().any(gives_up) {
        let message = "the workflow's deadline has passed: the run would be given up at once";
        return Err(Failure::said(exit_code::CHECK_FAILED, message)
            .advise("give it a later one in a file for --with"));
    }
    Ok(())
}

fn show(args: &Args, look: &Replan) {
    match (args.show.json(), args.dry_run) {
        (true, true) => output::json(&json!({ "mode": "dry_run", "run": args.run, "replan": look })),
        (true, false) => output::raw_talk(&text(look)),
        (false, _) => output::raw(&text(look)),
    }
    if args.dry_run {
        output::talk("DRY RUN: nothing was changed");
    }
}

/// One line for each step: what becomes of it.
fn text(look: &Replan) -> String {
    let mut text = String::new();
    for step in &look.undone {
        text += &format!("undo      {step}\n");
    }
    for step in &look.again {
        text += &format!("again     {step}\n");
    }
    for step in &look.new {
        text += &format!("new       {step}\n");
    }
    for kept in &look.kept {
        let edited = if kept.is_edited { "; its text has changed, what it did has not" } else { "" };
        text += &format!("keep      {}, {}{edited}\n", kept.step, kept.state);
    }
    for step in &look.gone {
        text += &format!("drop      {step}: nothing of it is there\n");
    }
    for step in &look.late {
        text += &format!("not run   {step}: what it belongs to is over\n");
    }
    text
}

fn confirm() -> Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::said(exit_code::USAGE, "nobody can be asked whether that is wanted")
            .advise("say --yes, or look first with --dry-run"));
    }
    output::raw_talk("go on so? [y/N] ");
    // An unwritten question is no reason to stop: the answer decides.
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    match answer.trim() {
        "y" | "yes" if read.is_ok() => Ok(()),
        _ => Err(Failure::said(exit_code::USAGE, "nothing was changed")),
    }
}
