//! A lab that goes away with its owner.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use longhaul_lab::client::{self, Observation};
use longhaul_lab::guest::{Image, Probe};
use longhaul_lab::name::LabName;
use longhaul_lab::observer::{self, Observer};
use longhaul_lab::place::{Place, Side};
use longhaul_lab::wan::Link;
use longhaul_lab::{Lab, UpOptions, addresses, process};

use crate::errors::{Explain as _, Failure, Result};
use crate::{exit_code, output};

/// A guest boots in three seconds; a machine under heavy load needs many times that.
const BOOT_MAX: Duration = Duration::from_secs(90);

/// How long the client may take to see the first lines.
const FIRST_LINES_MAX: Duration = Duration::from_secs(20);

/// Lines after which the client's connection counts as established: a second of them.
const FIRST_LINES: u64 = 100;

/// What a stage is set with.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// The lab's name; one stage of a name stands on a machine at a time.
    pub(crate) name: LabName,
    /// The WAN.
    pub(crate) link: Link,
    /// More arguments for both agents.
    pub(crate) agent_arguments: Vec<OsString>,
}

impl Setting {
    /// A lab of that name with the default link.
    ///
    /// # Panics
    /// When the constant is no lab's name.
    pub(crate) fn named(name: &'static str) -> Self {
        let name = name.parse().expect("the constant is a lab's name");
        Self { name, link: Link::default(), agent_arguments: Vec::new() }
    }

    fn options(&self, state: &Path) -> Result<UpOptions> {
        let mut options = UpOptions::new(state).doing(exit_code::FAILED, making)?;
        options.name = self.name.clone();
        options.link = self.link.clone();
        options.agent_arguments = self.agent_arguments.clone();
        Ok(options)
    }

    /// Takes the machine's one stage of this name: the names of a lab's namespaces belong to the whole machine, so a
    /// second stage, even one with another state directory, would remove the first one's lab. The kernel lets go of the
    /// lock when the process dies.
    fn take(&self) -> Result<File> {
        longhaul_lab::require_root().doing(exit_code::FAILED, making)?;
        let path = PathBuf::from(format!("/run/longhaul-{}.lock", self.name));
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.doing(exit_code::FAILED, || format!("open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                let failure =
                    Failure::said(exit_code::FAILED, format!("another {} plays on this machine", self.name));
                Err(failure.advise("wait until it has ended"))
            }
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}

fn making() -> String {
    "make the lab".to_owned()
}

/// A lab that is removed when this is dropped.
pub(crate) struct Stage {
    lab: Lab,
    state: PathBuf,
    /// Let go of last, when the lab is gone.
    _lock: File,
}

impl Stage {
    /// Two sites with agents and a WAN.
    pub(crate) fn set(state: &Path, setting: &Setting) -> Result<Self> {
        let lock = setting.take()?;
        let lab = Lab::up(&setting.options(state)?).doing(exit_code::FAILED, making)?;
        Ok(Self { lab, state: state.to_owned(), _lock: lock })
    }

    /// Two sites and a WAN without agents, and the guest's boot files.
    pub(crate) fn set_bare(state: &Path, setting: &Setting) -> Result<(Self, Image)> {
        let lock = setting.take()?;
        let made = Lab::up_bare(&setting.options(state)?);
        let (lab, image) = made.doing(exit_code::FAILED, making)?;
        Ok((Self { lab, state: state.to_owned(), _lock: lock }, image))
    }

    pub(crate) fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Starts the guest at A as an operator would, and waits until it serves.
    pub(crate) fn start_guest(&self) -> Result<()> {
        let starting = || format!("start {} at site a", self.lab.vm());
        let mut start = self.longhaul()?;
        start.args(["vm", "start", self.lab.vm(), "--site", Side::A.as_str()]);
        process::run(&mut start, BOOT_MAX).doing(exit_code::FAILED, starting)?;
        self.wait_for_guest()
    }

    /// Waits until the guest serves.
    pub(crate) fn wait_for_guest(&self) -> Result<()> {
        let ready = self.lab.guest().wait_ready(BOOT_MAX);
        ready.doing(exit_code::FAILED, || "reach the guest".to_owned())?;
        Ok(())
    }

    /// This binary, with the state directory and the inventory of the lab.
    pub(crate) fn longhaul(&self) -> Result<Command> {
        let binary = std::env::current_exe().doing(exit_code::FAILED, || "find this binary".to_owned())?;
        let mut command = Command::new(binary);
        command.arg("--state").arg(&self.state).arg("--sites").arg(self.lab.files().sites());
        Ok(command)
    }

    /// What a client of the guest looks at, without requests by name.
    pub(crate) fn ticker(&self) -> client::Options {
        client::Options { name: None, ..self.ticker_and_requests() }
    }

    /// What a client of the guest looks at, requests by name included.
    pub(crate) fn ticker_and_requests(&self) -> client::Options {
        client::Options::of_lab(Some(self.lab.netns(Place::Client)), self.lab.vm())
    }

    /// Begins to look at hypervisors and disk servers.
    pub(crate) fn observe(&self) -> Observer {
        Observer::start(observer::Options::of_lab(&self.lab))
    }

    /// Begins to look as a client; returns once its connection is established.
    pub(crate) fn connect(&self, options: client::Options) -> Result<Observation> {
        let observation =
            Observation::start(options).doing(exit_code::FAILED, || "watch the guest".to_owned())?;
        let end = Instant::now() + FIRST_LINES_MAX;
        while observation.view().lines < FIRST_LINES {
            if Instant::now() > end {
                return Err(Failure::said(exit_code::FAILED, "the client sees nothing of the guest"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(observation)
    }

    /// The guest under its address at B: the way to it that needs nothing of A.
    pub(crate) fn guest_at_b(&self) -> Probe {
        Probe::new(self.lab.netns(Place::Client), addresses::GUEST_AT_B)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Err(error) = Lab::down(&self.state, self.lab.name()) {
            output::talk(format_args!("the lab is not wholly removed ({error}); the next `lab up` does it"));
        }
    }
}
