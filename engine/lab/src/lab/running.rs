//! A lab that is up: disturb its link, start and find its agents, look inside, remove it.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::files::Files;
use crate::addresses;
use crate::guest::{self, Probe};
use crate::name::LabName;
use crate::netns::{self, Netns};
use crate::network;
use crate::place::{Place, Side};
use crate::wan::{self, Control, LinkChange, Stats};

/// The lab's one VM.
pub(super) const VM: &str = "vm-a";
/// How long killed processes may take to be gone.
const DEATH_MAX: Duration = Duration::from_secs(10);

/// What went wrong with a lab.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not root.
    #[error("use network namespaces: a lab needs root; run it with sudo")]
    NotRoot,
    /// Programs that a site or its guest needs are not there.
    #[error(
        "find {names}: a lab needs them; `apt-get install {packages}` gets them (for QEMU on Debian 12 with \
         `-t bookworm-backports`), and `cargo xtask demo` does it by itself"
    )]
    Programs {
        /// Their names.
        names: String,
        /// Debian's packages of them.
        packages: String,
    },
    /// There is no such lab.
    #[error("find lab `{0}`: it is not up")]
    NotUp(LabName),
    /// A file cannot be read or written.
    #[error("use {0}")]
    Io(PathBuf, #[source] io::Error),
    /// A namespace cannot be made or entered.
    #[error("use a namespace")]
    Netns(#[from] netns::Error),
    /// A link cannot be made.
    #[error("connect the lab")]
    Network(#[from] network::Error),
    /// The WAN does not do what it is told.
    #[error("control the WAN")]
    Wan(#[from] wan::ControlError),
    /// The guest cannot be built.
    #[error("build the guest")]
    Guest(#[from] guest::Error),
    /// The certificates cannot be made.
    #[error("make certificates")]
    Pki(#[from] longhaul_wire::pki::Error),
    /// An agent does not answer.
    #[error("reach the agent of site {side}: {said}")]
    Agent {
        /// Its site.
        side: &'static str,
        /// The last of what it wrote, or why it cannot be reached.
        said: String,
    },
    /// A lab of that name lives, made with another state folder: namespaces belong to the whole machine.
    #[error(
        "make lab `{name}`: one of that name lives with another state folder (process {pid}: {command}); choose \
         another --name, or remove that one with `longhaul lab down --name {name}`"
    )]
    Foreign {
        /// Its name.
        name: LabName,
        /// One of its processes.
        pid: i32,
        /// How that one was started.
        command: String,
    },
    /// Killed processes are still there.
    #[error("end the processes in {0}")]
    Immortal(String),
}

/// What was found and removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleaned {
    /// Processes killed.
    pub processes: usize,
    /// Namespaces deleted.
    pub namespaces: usize,
}

/// What stands in the lab's description.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Description {
    pub(super) name: LabName,
    pub(super) number: u8,
    pub(super) binary: PathBuf,
    pub(super) agent_arguments: Vec<String>,
}

/// A lab that is up. Dropping it leaves it up.
#[derive(Debug, Clone)]
pub struct Lab {
    pub(super) files: Files,
    pub(super) description: Description,
}

impl Lab {
    /// Opens a lab that was made before, by this process or another.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn open(state: &Path, name: &LabName) -> Result<Self, Error> {
        let files = Files::new(state, name);
        let text = fs::read(files.description()).map_err(|_| Error::NotUp(name.clone()))?;
        let unreadable = |error: serde_json::Error| Error::Io(files.description(), error.into());
        let description = serde_json::from_slice(&text).map_err(unreadable)?;
        Ok(Self { files, description })
    }

    /// Whether what lives under this name, if anything does, was made with this state folder.
    pub(super) fn require_own(state: &Path, name: &LabName) -> Result<(), Error> {
        if Files::new(state, name).description().exists() {
            return Ok(());
        }
        match Place::ALL.into_iter().find_map(|place| name.netns(place).processes().into_iter().next()) {
            Some(pid) => Err(Error::Foreign {
                name: name.clone(),
                pid: pid.as_raw_nonzero().get(),
                command: arguments(pid).join(" "),
            }),
            None => Ok(()),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &LabName {
        &self.description.name
    }

    /// Where a site's agent answers controllers.
    #[must_use]
    pub fn management_address(&self, side: Side) -> SocketAddr {
        super::sites::management(self.number(), side)
    }

    /// Its number on this machine, which makes its management network.
    #[must_use]
    pub fn number(&self) -> u8 {
        self.description.number
    }

    /// Its files.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The id of its VM.
    #[must_use]
    pub fn vm(&self) -> &'static str {
        VM
    }

    /// The namespace of a place.
    #[must_use]
    pub fn netns(&self, place: Place) -> Netns {
        self.name().netns(place)
    }

    /// Asks the guest under its home address, from the client's place.
    #[must_use]
    pub fn guest(&self) -> Probe {
        Probe::new(self.netns(Place::Client), addresses::GUEST)
    }

    /// The WAN's control.
    #[must_use]
    pub fn wan(&self) -> Control {
        Control::new(self.files.wan_socket())
    }

    /// Changes the link.
    ///
    /// # Errors
    /// When the WAN does not answer.
    pub fn link(&self, change: LinkChange) -> Result<Stats, Error> {
        Ok(self.wan().change(change)?)
    }

    /// Cuts the link; TCP connections stay open.
    ///
    /// # Errors
    /// When the WAN does not answer.
    pub fn cut(&self) -> Result<Stats, Error> {
        Ok(self.wan().cut()?)
    }

    /// Heals the link.
    ///
    /// # Errors
    /// When the WAN does not answer.
    pub fn heal(&self) -> Result<Stats, Error> {
        Ok(self.wan().heal()?)
    }

    /// Runs a command inside a place, with the caller's terminal, and waits for it without a deadline: a person ends it.
    ///
    /// # Errors
    /// When the place or the program does not exist.
    pub fn shell(&self, place: Place, command: &mut Command) -> Result<ExitStatus, Error> {
        let program = PathBuf::from(command.get_program());
        self.netns(place).run(|| command.status())?.map_err(|source| Error::Io(program, source))
    }

    /// The agent of a site, if one runs.
    #[must_use]
    pub fn agent_pid(&self, side: Side) -> Option<Pid> {
        let inside = self.netns(Place::Site(side)).processes();
        inside.into_iter().find(|pid| arguments(*pid).get(1).is_some_and(|word| word == "agent"))
    }

    /// Removes a lab: kills everything inside, deletes its namespaces and its files. What a kill -9 left goes the same
    /// way, and a lab that is not there is no error.
    ///
    /// # Errors
    /// When not root, or something refuses to go.
    pub fn down(state: &Path, name: &LabName) -> Result<Cleaned, Error> {
        super::machine::require_root()?;
        let files = Files::new(state, name);
        let mut cleaned = Cleaned::default();
        for place in Place::ALL {
            let netns = name.netns(place);
            cleaned.processes += end_processes(&netns)?;
            cleaned.namespaces += usize::from(netns.exists());
            // A name without a namespace behind it has no links either, and goes in the next line.
            if let Ok(Err(error)) = netns.run(network::dismantle) {
                tracing::warn!(%error, netns = netns.name(), "links stay until their namespace ends");
            }
            netns.delete()?;
        }
        match fs::remove_dir_all(files.folder()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::Io(files.folder().to_owned(), error))
            }
            Ok(()) | Err(_) => Ok(cleaned),
        }
    }
}

/// The command line of a process; empty once it is gone.
pub(super) fn arguments(pid: Pid) -> Vec<String> {
    let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// Kills until nothing is left: a process may have been about to start another one. Zombies have no namespace any more.
fn end_processes(netns: &Netns) -> Result<usize, Error> {
    let until = Instant::now() + DEATH_MAX;
    let mut killed = netns.kill_all();
    while !netns.processes().is_empty() {
        if Instant::now() > until {
            return Err(Error::Immortal(netns.name().to_owned()));
        }
        std::thread::sleep(Duration::from_millis(5));
        killed = killed.max(netns.kill_all());
    }
    Ok(killed)
}
