//! What each case looked like when somebody last accepted it: a text beside the test file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use longhaul_sim::suite::Suite;

use super::play::Played;
use crate::commands::folders::TEST_ENDING;
use crate::errors::{Explain as _, Result};
use crate::exit_code;

/// The folder of the snapshots, beside the test file.
const FOLDER: &str = "snapshots";
const EXTENSION: &str = "txt";

/// How a case stands to its snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kept {
    /// Nobody asked.
    NotCompared,
    /// It is as it was.
    Same,
    /// There is none yet.
    New,
    /// It was so.
    Changed(String),
    /// It was accepted just now.
    Accepted,
}

impl Kept {
    pub(super) fn is_fine(&self) -> bool {
        match self {
            Self::NotCompared | Self::Same | Self::Accepted => true,
            Self::New | Self::Changed(_) => false,
        }
    }

    /// The word for it.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::NotCompared => "not_compared",
            Self::Same => "same",
            Self::New => "new",
            Self::Changed(_) => "changed",
            Self::Accepted => "accepted",
        }
    }
}

/// The snapshot of a case.
pub(super) fn file(test: &Path, ending: &str, slug: &str) -> PathBuf {
    folder(test).join(format!("{}.{slug}.{EXTENSION}", stem(test, ending)))
}

fn folder(test: &Path) -> PathBuf {
    test.parent().unwrap_or(Path::new("")).join(FOLDER)
}

fn stem(test: &Path, ending: &str) -> String {
    let name = test.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.strip_suffix(ending).unwrap_or(&name).to_owned()
}

pub(super) fn compare(file: &Path, now: &str) -> Kept {
    match std::fs::read_to_string(file) {
        Ok(before) if before == now => Kept::Same,
        Ok(before) => Kept::Changed(before),
        Err(_) => Kept::New,
    }
}

pub(super) fn write(file: &Path, text: &str) -> Result<()> {
    let writing = || format!("write {}", file.display());
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).doing(exit_code::FAILED, writing)?;
    }
    std::fs::write(file, text).doing(exit_code::FAILED, writing)
}

/// Snapshots of the tested files that belong to no case any more.
pub(super) fn stale(suites: &[(PathBuf, Suite)], cases: &[Played]) -> Vec<PathBuf> {
    let wanted: BTreeSet<&Path> = cases.iter().map(|case| case.snapshot_file.as_path()).collect();
    let mut stale = Vec::new();
    for (test, _) in suites {
        let prefix = format!("{}.", stem(test, TEST_ENDING));
        let Ok(entries) = std::fs::read_dir(folder(test)) else { continue };
        let files = entries.flatten().map(|entry| entry.path());
        let ours = files.filter(|file| {
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let slug =
                name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(&format!(".{EXTENSION}")));
            slug.is_some_and(|slug| !slug.contains('.'))
        });
        stale.extend(ours.filter(|file| !wanted.contains(file.as_path())));
    }
    stale.sort();
    stale
}

/// What changed, as a unified diff.
pub(super) fn difference(before: &str, now: &str) -> String {
    similar::TextDiff::from_lines(before, now).unified_diff().header("accepted", "now").to_string()
}
