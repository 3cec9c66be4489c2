//! What happens to the runs whose journals are kept.

use std::time::{Duration, Instant};

use longhaul_lab::place::Side;
use longhaul_model::ids::RunId;
use longhaul_run::Reader;

use crate::errors::{Explain as _, Failure, Result};
use crate::exit_code;
use crate::rehearsal::moving::{self, Move, Moving, Order};
use crate::rehearsal::verdict::{Check, judge_served_move, judge_stayed};
use crate::rehearsal::{Evidence, Stage};
use crate::settings::Settings;

/// How long a run may take to reach a record that is waited for.
const REACHED_MAX: Duration = Duration::from_secs(120);

/// How often its journal is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

const PREFETCH: &str = "move/vm-a/prefetch";
const MOVE: &str = "move/vm-a/move_vm";

/// A run whose journal is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scenario {
    /// A move from A to B.
    Success,
    /// The guest's kernel disappears at B after the check: no QEMU starts there, and the run undoes what it had done.
    Unwind,
    /// The controller is killed while the memory is copied, and another one goes on.
    CrashAndResume,
}

impl Scenario {
    pub(super) const ALL: [Self; 3] = [Self::Success, Self::Unwind, Self::CrashAndResume];

    /// The name of its file, and of the run in it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Unwind => "unwind",
            Self::CrashAndResume => "crash-and-resume",
        }
    }

    fn order(self) -> Order {
        let prefix = match self {
            Self::Success => "success",
            Self::Unwind => "unwind",
            Self::CrashAndResume => "crash",
        };
        Order { prefix, present: Some("0.85"), log: None }
    }

    /// Moves the stage's guest, with what happens on the way.
    pub(super) fn carry_out(self, stage: &Stage, settings: &Settings) -> Result<Move> {
        let (state, order) = (settings.state(), self.order());
        let mut moving = moving::begin(stage, state, &order)?;
        match self {
            Self::Success => moving.end(),
            Self::Unwind => {
                wait_for(&mut moving, settings, "start", PREFETCH)?;
                remove_kernel(stage)?;
                moving.end()
            }
            Self::CrashAndResume => {
                wait_for(&mut moving, settings, "handle_given", MOVE)?;
                let run = moving.kill()?;
                moving::resume(stage, state, &order, run)?.end()
            }
        }
    }

    /// What must hold for its journal to be kept.
    pub(super) fn judge(self, evidence: &Evidence) -> Vec<Check> {
        match self {
            Self::Success | Self::CrashAndResume => judge_served_move(evidence),
            Self::Unwind => judge_stayed(evidence),
        }
    }
}

/// Waits until a record of this kind about this step is durable.
fn wait_for(moving: &mut Moving, settings: &Settings, kind: &str, step: &str) -> Result<()> {
    let end = Instant::now() + REACHED_MAX;
    while !holds(settings, &moving.run, kind, step) {
        if Instant::now() > end || moving.is_over()? {
            let message = format!("the run came to no record `{kind}` of {step}");
            return Err(Failure::said(exit_code::FAILED, message));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// Before the run's first record there may be no journal.
fn holds(settings: &Settings, run: &RunId, kind: &str, step: &str) -> bool {
    let records = Reader::open(&settings.controller()).and_then(|reader| reader.stored(run));
    let told = |stored: &longhaul_run::journal::Stored| {
        stored.header.kind == kind && stored.header.payload["step"] == step
    };
    records.is_ok_and(|records| records.iter().any(told))
}

/// Removes the files that B would start the guest's machine from.
fn remove_kernel(stage: &Stage) -> Result<()> {
    let folder = stage.lab().files().agent(Side::B).join("boot");
    let removing = || format!("empty {}", folder.display());
    for entry in std::fs::read_dir(&folder).doing(exit_code::FAILED, removing)? {
        std::fs::remove_file(entry?.path()).doing(exit_code::FAILED, removing)?;
    }
    Ok(())
}
