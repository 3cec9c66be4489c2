//! `longhaul triggers`: what would begin runs of a workflow, and when.

use std::path::PathBuf;

use jiff::Timestamp;
use longhaul_model::workflow::Resolved;
use longhaul_plan::{Trigger, outline, trigger_json};

use crate::commands::documents::{self, Shown};
use crate::commands::files::Disk;
use crate::errors::Result;
use crate::{exit_code, output};

/// Said wherever triggers are shown.
pub(super) const NOT_SERVED: &str =
    "no program of this version serves triggers: a run begins with `longhaul run`, whatever stands here";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The workflow
    #[arg(value_name = "WORKFLOW")]
    file: PathBuf,
    /// Show what is due after this time [default: now]
    #[arg(long, value_name = "TIME")]
    now: Option<Timestamp>,
    /// Show so many times of each schedule
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=100))]
    next: u8,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let shown = Shown::by(args.json);
    let document = documents::to_check(&args.file)?.map_err(|found| shown.refuse(&args.file, &found))?;
    let outline = outline(&Resolved::read(&document, &Disk), &longhaul_steps::catalogue());
    let outline = outline.map_err(|found| shown.refuse(&args.file, &found))?;
    let now = args.now.unwrap_or_else(Timestamp::now);
    let next = |trigger: &Trigger| trigger.next_times(now, args.next.into());
    if args.json {
        output::json(&outline.triggers.iter().map(|it| trigger_json(it, &next(it))).collect::<Vec<_>>());
    } else {
        outline.triggers.iter().for_each(|trigger| output::raw(&text(trigger, &next(trigger))));
        output::talk(NOT_SERVED);
    }
    Ok(exit_code::OK)
}

fn text(trigger: &Trigger, next: &[String]) -> String {
    let given = |inputs: &longhaul_expr::Template| match inputs.source() {
        serde_json::Value::Object(entries) => {
            entries.iter().map(|(name, value)| format!("  with {name}: {value}\n")).collect()
        }
        _ => String::new(),
    };
    match trigger {
        Trigger::Manual => "manual: longhaul run\n".to_owned(),
        Trigger::Schedule { cron, time_zone, inputs } => {
            let times: String = next.iter().map(|time| format!("  next {time}\n")).collect();
            format!("schedule: {cron} ({time_zone})\n{}{times}", given(inputs))
        }
        Trigger::Webhook { path, inputs, .. } => format!("webhook: {path}\n{}", given(inputs)),
    }
}
