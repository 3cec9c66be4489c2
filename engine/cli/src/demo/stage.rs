//! The lab of the demo, which goes away with it.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use longhaul_lab::client::{self, Observation};
use longhaul_lab::guest::Probe;
use longhaul_lab::name::LabName;
use longhaul_lab::observer::{self, Observer};
use longhaul_lab::place::{Place, Side};
use longhaul_lab::{Lab, UpOptions, addresses, process};

use super::Break;
use crate::errors::{Explain as _, Failure, Result};
use crate::{exit_code, output};

/// A guest boots in three seconds; a machine under heavy load needs many times that.
const BOOT_MAX: Duration = Duration::from_secs(90);

/// How long the client may take to see the first lines.
const FIRST_LINES_MAX: Duration = Duration::from_secs(20);

/// Lines after which the client's connection counts as established: a second of them.
const FIRST_LINES: u64 = 100;

/// Held while a demo plays: the names of a lab's namespaces belong to the whole machine, so a second demo, even one with
/// another state directory, would remove the first one's lab. The kernel lets go of it when the process dies.
const LOCK: &str = "/run/longhaul-demo.lock";

/// A lab that is removed when this is dropped.
pub(super) struct Stage {
    lab: Lab,
    state: std::path::PathBuf,
    name: LabName,
    /// Let go of last, when the lab is gone.
    _lock: File,
}

/// Takes the machine's one stage.
fn take_stage() -> Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(LOCK);
    let file = file.doing(exit_code::FAILED, || format!("open {LOCK}: a demo needs root"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let failure = Failure::said(exit_code::FAILED, "another demo plays on this machine");
            Err(failure.advise("wait until it has ended"))
        }
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

impl Stage {
    /// Two sites and a WAN; one thing broken if asked for.
    pub(super) fn set(state: &Path, broken: Option<Break>) -> Result<Self> {
        let making = || "make the lab".to_owned();
        let lock = take_stage()?;
        let mut options = UpOptions::new(state).doing(exit_code::FAILED, making)?;
        options.name = "demo".parse().expect("the constant is a lab's name");
        options.agent_arguments = broken.map(Break::agent_arguments).unwrap_or_default();
        let lab = Lab::up(&options).doing(exit_code::FAILED, making)?;
        Ok(Self { lab, state: state.to_owned(), name: options.name, _lock: lock })
    }

    pub(super) fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Starts the guest at A as an operator would, and waits until it serves.
    pub(super) fn start_guest(&self) -> Result<()> {
        let starting = || format!("start {} at site a", self.lab.vm());
        let mut start = self.longhaul()?;
        start.args(["vm", "start", self.lab.vm(), "--site", Side::A.as_str()]);
        process::run(&mut start, BOOT_MAX).doing(exit_code::FAILED, starting)?;
        let ready = self.lab.guest().wait_ready(BOOT_MAX);
        ready.doing(exit_code::FAILED, || "reach the guest".to_owned())?;
        Ok(())
    }

    /// This binary, with the state directory and the inventory of the lab.
    pub(super) fn longhaul(&self) -> Result<Command> {
        let binary = std::env::current_exe().doing(exit_code::FAILED, || "find this binary".to_owned())?;
        let mut command = Command::new(binary);
        command.arg("--state").arg(&self.state).arg("--sites").arg(self.lab.files().sites());
        Ok(command)
    }

    /// Begins to look from outside; returns once the client's connection is established.
    pub(super) fn watch(&self, broken: Option<Break>) -> Result<(Observation, Observer)> {
        let mut options = client::Options::of_lab(Some(self.lab.netns(Place::Client)), self.lab.vm());
        options.fault = broken.and_then(Break::client_fault);
        let observation =
            Observation::start(options).doing(exit_code::FAILED, || "watch the guest".to_owned())?;
        let observer = Observer::start(observer::Options::of_lab(&self.lab));
        let end = Instant::now() + FIRST_LINES_MAX;
        while observation.view().lines < FIRST_LINES {
            if Instant::now() > end {
                return Err(Failure::said(exit_code::FAILED, "the client sees nothing of the guest"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok((observation, observer))
    }

    /// The guest under its address at B: the way to it that needs nothing of A.
    pub(super) fn guest_at_b(&self) -> Probe {
        Probe::new(self.lab.netns(Place::Client), addresses::GUEST_AT_B)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Err(error) = Lab::down(&self.state, &self.name) {
            output::talk(format_args!("the lab is not wholly removed ({error}); the next `lab up` does it"));
        }
    }
}
