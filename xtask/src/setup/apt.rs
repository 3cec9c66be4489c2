//! Installation with apt, from the Debian mirror this machine already names and nothing else.
//!
//! Works on lists of its own: the machine's may name servers that do not answer, and an update of a part of them with
//! the common folders would delete the rest. On Debian 12 QEMU comes from its backports: plain `qemu-system-x86` is
//! version 7.2 there and its installation removes a newer `qemu-utils`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Package;
use crate::cargo::succeed;

/// The release whose own QEMU is too old.
const OLD_RELEASE: &str = "bookworm";

/// One repository: where, what, and whose signature.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Source {
    uri: String,
    suite: String,
    components: String,
    signed_by: Option<String>,
}

impl Source {
    fn line(&self) -> String {
        let options = self.signed_by.as_ref().map_or_else(String::new, |key| format!("[signed-by={key}] "));
        format!("deb {options}{} {} {}\n", self.uri, self.suite, self.components)
    }
}

pub(super) fn install(missing: &[Package]) -> Result<()> {
    let release = release().context("find out which release of Debian this is")?;
    let sources = sources_of(&release, &machine_lists());
    ensure!(!sources.is_empty(), "no package list of this machine names the release `{release}`");
    let folder = Folder::create()?;
    std::fs::write(folder.list(), sources.iter().map(Source::line).collect::<String>())?;
    succeed(folder.apt(&["update", "-q"]))?;
    // Only QEMU's are wanted in a version, and all of them come from one suite.
    let (qemu, plain): (Vec<_>, Vec<_>) =
        missing.iter().copied().partition(|package| package.version_min.is_some());
    folder.install(&plain, None)?;
    let backports = format!("{release}-backports");
    folder.install(&qemu, (release == OLD_RELEASE).then_some(backports.as_str()))
}

/// apt's private lists and cache; gone with the value.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn create() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("longhaul-setup-{}", std::process::id()));
        let folder = Self { path };
        for part in ["lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(folder.path.join(part)).context("make a folder for apt")?;
        }
        Ok(folder)
    }

    /// The name must end so: apt reads anything else as another format, or not at all.
    fn list(&self) -> PathBuf {
        self.path.join("debian.list")
    }

    fn install(&self, packages: &[Package], suite: Option<&str>) -> Result<()> {
        if packages.is_empty() {
            return Ok(());
        }
        let mut install = self.apt(&["install", "-q", "-y", "--no-install-recommends"]);
        install.args(suite.into_iter().flat_map(|suite| ["-t", suite]));
        install.args(packages.iter().map(|package| package.name));
        succeed(install)
    }

    fn apt(&self, arguments: &[&str]) -> Command {
        let mut apt = Command::new("apt-get");
        let option = |name: &str, value: &Path| format!("{name}={}", value.display());
        apt.args(["-o", &option("Dir::Etc::sourcelist", &self.list()), "-o", "Dir::Etc::sourceparts=-"]);
        apt.args(["-o", &option("Dir::State::lists", &self.path.join("lists"))]);
        apt.args(["-o", &option("Dir::Cache", &self.path.join("cache"))]);
        apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        apt
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays behind is a cache in the temporary folder.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn release() -> Result<String> {
    let text = std::fs::read_to_string("/etc/os-release")?;
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(name.context("/etc/os-release has no VERSION_CODENAME")?.trim_matches('"').to_owned())
}

/// Every list the machine's apt reads.
fn machine_lists() -> Vec<(PathBuf, String)> {
    let mut paths = vec![PathBuf::from("/etc/apt/sources.list")];
    let parts = std::fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    paths.extend(parts.map(|entry| entry.path()));
    paths
        .into_iter()
        .filter_map(|path| std::fs::read_to_string(&path).ok().map(|text| (path, text)))
        .collect()
}

/// The repositories of a release among the lists, and its backports where QEMU needs them.
fn sources_of(release: &str, lists: &[(PathBuf, String)]) -> BTreeSet<Source> {
    let mut sources = BTreeSet::new();
    for (path, text) in lists {
        let found = if path.extension().is_some_and(|ending| ending == "sources") {
            stanzas(text)
        } else {
            lines(text)
        };
        // A third party may name its suites after the release too; Debian's own repositories are called so.
        let debian = |source: &Source| {
            source
                .uri
                .trim_end_matches('/')
                .rsplit('/')
                .next()
                .is_some_and(|last| last.starts_with("debian") || last == "ubuntu")
        };
        let of_release =
            |source: &Source| source.suite == release || source.suite.starts_with(&format!("{release}-"));
        sources.extend(found.into_iter().filter(|source| debian(source) && of_release(source)));
    }
    if release == OLD_RELEASE {
        let base = sources.iter().find(|source| source.suite == release).cloned();
        sources.extend(base.map(|base| Source { suite: format!("{release}-backports"), ..base }));
    }
    sources
}

/// The one-line form: `deb [options] URI SUITE COMPONENT...`.
fn lines(text: &str) -> Vec<Source> {
    text.lines().filter_map(line).collect()
}

fn line(text: &str) -> Option<Source> {
    let rest = text.trim().strip_prefix("deb ")?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(bracket) => bracket.split_once(']')?,
        None => ("", rest),
    };
    let signed_by =
        options.split_whitespace().find_map(|option| option.strip_prefix("signed-by=")).map(str::to_owned);
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?.to_owned(), words.next()?.to_owned());
    Some(Source { uri, suite, components: words.collect::<Vec<_>>().join(" "), signed_by })
}

/// The deb822 form: stanzas of `Key: value`, separated by empty lines.
fn stanzas(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for stanza in text.split("\n\n") {
        let field = |name: &str| {
            stanza.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        let enabled = field("Enabled") != Some("no");
        let binary = field("Types").is_some_and(|types| types.split_whitespace().any(|kind| kind == "deb"));
        let (Some(uris), Some(suites)) = (field("URIs"), field("Suites")) else { continue };
        if !enabled || !binary {
            continue;
        }
        for uri in uris.split_whitespace() {
            sources.extend(suites.split_whitespace().map(|suite| Source {
                uri: uri.to_owned(),
                suite: suite.to_owned(),
                components: field("Components").unwrap_or_default().to_owned(),
                signed_by: field("Signed-By").filter(|key| key.starts_with('/')).map(str::to_owned),
            }));
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANZAS: &str = "Types: deb\n# a comment\nURIs: http://mirror.test/debian\nSuites: bookworm bookworm-updates\n\
        Components: main\nSigned-By: /k.gpg\n\nTypes: deb\nURIs: http://third.test/party\nSuites: bookworm\nComponents: main\n";

    fn read(release: &str, name: &str, text: &str) -> String {
        sources_of(release, &[(name.into(), text.to_owned())]).iter().map(Source::line).collect()
    }

    /// Both forms of a list give the same mirror, its backports are added, and other people's repositories are left out.
    #[test]
    fn finds_mirror() {
        let wanted = "deb [signed-by=/k.gpg] http://mirror.test/debian bookworm main\n\
            deb [signed-by=/k.gpg] http://mirror.test/debian bookworm-backports main\n\
            deb [signed-by=/k.gpg] http://mirror.test/debian bookworm-updates main\n";
        assert_eq!(read("bookworm", "a.sources", STANZAS), wanted);
        let lines = "# deb x y z\ndeb [arch=amd64 signed-by=/k.gpg] http://mirror.test/debian bookworm main\n\
            deb [signed-by=/k.gpg] http://mirror.test/debian/ bookworm-updates main\ndeb http://third.test/x bookworm main\n";
        assert_eq!(
            read("bookworm", "sources.list", lines),
            wanted.replace("debian bookworm-up", "debian/ bookworm-up")
        );
    }

    /// A release whose own QEMU is new enough gets no backports, and a disabled stanza is not read.
    #[test]
    fn leaves_newer_release_alone() {
        let newer = STANZAS.replace("bookworm", "trixie");
        assert!(!read("trixie", "a.sources", &newer).contains("backports"));
        assert_eq!(read("bookworm", "a.sources", &format!("Enabled: no\n{STANZAS}")), "");
    }
}
