//! A package from the machine's own Debian mirror, with apt's lists and cache in a folder of ours.
//!
//! The machine's lists are neither read nor changed: a fresh machine has none, and old ones name packages that the mirror
//! has dropped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::image::Error;
use crate::process;

/// Lists of 14 MB over a slow mirror, and a server or two that do not answer.
const UPDATE_MAX: Duration = Duration::from_secs(300);
/// A package of 27 MB over a slow mirror.
const DOWNLOAD_MAX: Duration = Duration::from_secs(300);
/// Reading the lists, on a machine that is busy with other things.
const ASK_MAX: Duration = Duration::from_secs(120);
/// apt's folders below ours; it makes none of them.
const FOLDERS: [&str; 3] = ["lists/partial", "cache/archives/partial", "download"];

/// apt with lists of its own, which are fetched once.
pub(super) struct Apt<'a> {
    folder: &'a Path,
    /// What was tried so far, for the error.
    tried: String,
}

impl<'a> Apt<'a> {
    /// Fetches the lists into `folder`, which belongs to this from now on. A mirror that does not answer is told by what
    /// is asked next: another one may have answered.
    pub(super) fn update(folder: &'a Path) -> Result<Self, Error> {
        for part in FOLDERS.map(|part| folder.join(part)) {
            std::fs::create_dir_all(&part).map_err(|source| Error::Io(part, source))?;
        }
        let mut apt = Self { folder, tried: String::new() };
        let update = apt.command("apt-get", &["update", "-q", "-o", "APT::Update::Error-Mode=any"]);
        apt.tried = "`apt-get update` into lists of our own".to_owned();
        if let Err(error) = process::run(&mut apt.with_patience(update), UPDATE_MAX) {
            apt.tried = format!("{} ({error})", apt.tried);
        }
        Ok(apt)
    }

    /// The package on which a meta package depends.
    pub(super) fn depends(&self, meta: &str) -> Result<String, Error> {
        let words = ["depends", meta];
        let said = process::run(&mut self.command("apt-cache", &words), ASK_MAX);
        let said = said.map_err(|error| self.failed(meta, "apt-cache", &words, error))?;
        let name = said.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
        name.map(str::to_owned).ok_or_else(|| Error::Missing(format!("what package {meta} depends on")))
    }

    /// The archive of a package.
    pub(super) fn download(&self, package: &str) -> Result<PathBuf, Error> {
        let (words, folder) = (["download", package], self.folder.join("download"));
        let mut download = self.with_patience(self.command("apt-get", &words));
        process::run(download.current_dir(&folder), DOWNLOAD_MAX)
            .map_err(|error| self.failed(package, "apt-get", &words, error))?;
        let mut entries = std::fs::read_dir(&folder).map_err(|source| Error::Io(folder, source))?;
        let archive = entries.find_map(|entry| Some(entry.ok()?.path()));
        archive.ok_or_else(|| Error::Missing(format!("the archive of package {package}")))
    }

    fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        for (option, part) in [("Dir::State::lists", "lists"), ("Dir::Cache", "cache")] {
            command.arg("-o").arg(format!("{option}={}", self.folder.join(part).display()));
        }
        // apt drops to a user of its own for downloads unless told not to; that user cannot write here.
        command.args(["-o", "APT::Sandbox::User=root"]).args(words);
        command
    }

    /// A server that does not answer costs seconds, not minutes.
    fn with_patience(&self, mut command: Command) -> Command {
        command.args(["-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20"]);
        command.args(["-o", "Acquire::https::Timeout=20", "-o", "Acquire::Languages=none"]);
        command
    }

    fn failed(&self, package: &str, program: &str, words: &[&str], source: process::Error) -> Error {
        let tried = format!("{}, then `{program} {}`", self.tried, words.join(" "));
        Error::Package { package: package.to_owned(), tried, source }
    }
}
