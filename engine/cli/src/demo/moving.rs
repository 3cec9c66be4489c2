//! The move: the real workflow, run by the real command in a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use longhaul_model::ids::RunId;

use super::stage::Stage;
use crate::errors::{Explain as _, Failure, Result};
use crate::exit_code;

/// The workflow that operators use, as it is in the tree.
const WORKFLOW: &str = include_str!("../../../../workflows/evacuate.yaml");

/// How much of the disk must be at B before the hand-over: less than nine tenths, so that reads through the WAN are
/// really needed afterwards.
const PRESENT: &str = "0.85";

/// The whole move, the last byte of the disk included. A hundred megabytes at 100 Mbit/s are a few seconds.
const MOVE_MAX: Duration = Duration::from_secs(270);

/// How the move went.
pub(super) struct Move {
    pub(super) run: RunId,
    /// The exit code of `longhaul run`; none if it was killed because it took too long.
    pub(super) code: Option<i32>,
}

/// Moves the lab's guest from A to B and waits.
pub(super) fn carry_out(stage: &Stage, state: &Path) -> Result<Move> {
    let run = new_run();
    let moving = || "run the workflow".to_owned();
    let workflow = write_workflow(stage).doing(exit_code::FAILED, moving)?;
    let mut command = stage.longhaul()?;
    command.current_dir(state).arg("run").arg(&workflow).args(["--id", run.as_str()]);
    for input in inputs(stage) {
        command.arg("--input").arg(input);
    }
    let code = wait(command).doing(exit_code::FAILED, moving)?;
    if code == Some(i32::from(exit_code::INTERRUPTED)) {
        return Err(Failure::said(exit_code::INTERRUPTED, "interrupted"));
    }
    Ok(Move { run, code })
}

fn new_run() -> RunId {
    let now = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S");
    format!("demo-{now}").parse().expect("digits and dashes make an id")
}

fn inputs(stage: &Stage) -> [String; 4] {
    let vm = stage.lab().vm();
    [format!("vms=[\"{vm}\"]"), "from=a".to_owned(), "to=b".to_owned(), format!("present={PRESENT}")]
}

fn write_workflow(stage: &Stage) -> std::io::Result<PathBuf> {
    let path = stage.lab().files().folder().join("evacuate.yaml");
    std::fs::write(&path, WORKFLOW)?;
    Ok(path)
}

fn wait(mut command: Command) -> std::io::Result<Option<i32>> {
    let mut child: Child = command.spawn()?;
    let end = Instant::now() + MOVE_MAX;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code());
        }
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
