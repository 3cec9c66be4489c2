//! The move: the real workflow, run by the real command in a process of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use longhaul_model::ids::RunId;

use super::stage::Stage;
use crate::errors::{Explain as _, Failure, Result};
use crate::exit_code;

/// The workflow that operators use, as it is in the tree.
const WORKFLOW: &str = include_str!("../../../../workflows/evacuate.yaml");

/// The whole move, the last byte of the disk included. A hundred megabytes at 100 Mbit/s are a few seconds.
const MOVE_MAX: Duration = Duration::from_secs(270);

/// How a move is asked for.
#[derive(Debug)]
pub(crate) struct Order {
    /// What the run's id begins with.
    pub(crate) prefix: &'static str,
    /// How much of the disk must be at B before the hand-over; the workflow's own default if not said.
    pub(crate) present: Option<&'static str>,
    /// Where the command's words go; the terminal if not said.
    pub(crate) log: Option<PathBuf>,
}

/// How the move went.
pub(crate) struct Move {
    pub(crate) run: RunId,
    /// The exit code of `longhaul run`; none if it was killed because it took too long.
    pub(crate) code: Option<i32>,
}

/// A move under way.
pub(crate) struct Moving {
    pub(crate) run: RunId,
    controller: Child,
}

/// Moves the lab's guest from A to B and waits.
pub(crate) fn carry_out(stage: &Stage, state: &Path, order: &Order) -> Result<Move> {
    begin(stage, state, order)?.end()
}

/// Begins to move the lab's guest from A to B.
pub(crate) fn begin(stage: &Stage, state: &Path, order: &Order) -> Result<Moving> {
    let run = new_run(order.prefix);
    let workflow = write_workflow(stage).doing(exit_code::FAILED, moving)?;
    let mut command = stage.longhaul()?;
    command.arg("run").arg(&workflow).args(["--id", run.as_str()]);
    if let Some(log) = &order.log {
        File::create(log).doing(exit_code::FAILED, || format!("write {}", log.display()))?;
    }
    for input in inputs(stage, order) {
        command.arg("--input").arg(input);
    }
    spawn(command, run, state, order)
}

/// Goes on with a move whose controller is dead.
pub(crate) fn resume(stage: &Stage, state: &Path, order: &Order, run: RunId) -> Result<Moving> {
    let mut command = stage.longhaul()?;
    command.args(["resume", run.as_str()]);
    spawn(command, run, state, order)
}

fn spawn(mut command: Command, run: RunId, state: &Path, order: &Order) -> Result<Moving> {
    command.current_dir(state);
    if let Some(log) = &order.log {
        let file = File::options().create(true).append(true).open(log);
        let file = file.doing(exit_code::FAILED, || format!("write {}", log.display()))?;
        let words = file.try_clone().doing(exit_code::FAILED, moving)?;
        command.stdin(Stdio::null()).stdout(file).stderr(words);
    }
    let controller = command.spawn().doing(exit_code::FAILED, moving)?;
    Ok(Moving { run, controller })
}

fn moving() -> String {
    "run the workflow".to_owned()
}

impl Moving {
    /// Waits for the move's end; a controller that takes too long is killed.
    pub(crate) fn end(mut self) -> Result<Move> {
        let code = wait(&mut self.controller).doing(exit_code::FAILED, moving)?;
        if code == Some(i32::from(exit_code::INTERRUPTED)) {
            return Err(Failure::said(exit_code::INTERRUPTED, "interrupted"));
        }
        Ok(Move { run: self.run, code })
    }

    /// Whether its controller has ended.
    pub(crate) fn is_over(&mut self) -> Result<bool> {
        Ok(self.controller.try_wait()?.is_some())
    }

    /// Kills its controller as a crash would.
    pub(crate) fn kill(mut self) -> Result<RunId> {
        self.controller.kill()?;
        self.controller.wait()?;
        Ok(self.run)
    }
}

fn new_run(prefix: &str) -> RunId {
    let now = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S");
    format!("{prefix}-{now}").parse().expect("a word, digits and dashes make an id")
}

fn inputs(stage: &Stage, order: &Order) -> Vec<String> {
    let vm = stage.lab().vm();
    let mut inputs = vec![format!("vms=[\"{vm}\"]"), "from=a".to_owned(), "to=b".to_owned()];
    inputs.extend(order.present.map(|share| format!("present={share}")));
    inputs
}

fn write_workflow(stage: &Stage) -> std::io::Result<PathBuf> {
    let path = stage.lab().files().folder().join("evacuate.yaml");
    std::fs::write(&path, WORKFLOW)?;
    Ok(path)
}

fn wait(controller: &mut Child) -> std::io::Result<Option<i32>> {
    let end = Instant::now() + MOVE_MAX;
    loop {
        if let Some(status) = controller.try_wait()? {
            return Ok(status.code());
        }
        if Instant::now() > end {
            controller.kill()?;
            controller.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
