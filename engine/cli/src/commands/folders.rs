//! The files below what an operator names.

mod ours;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub(super) use ours::{TEST_ENDING, is_laid_out, is_ours, is_test};

use crate::errors::{Explain as _, Failure, Result};
use crate::exit_code;

/// Folders in which no file is anybody's own.
const SKIPPED: [&str; 2] = ["target", "node_modules"];

/// Files as they are named, and those of the folders among them that are meant, each once.
///
/// # Errors
/// When a folder cannot be read, or there is no file at all.
pub(super) fn files(paths: &[PathBuf], is_meant: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let found = below(paths, is_meant)?;
    if found.is_empty() {
        let named: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        let message = format!("there is no file of Longhaul's in {}", named.join(", "));
        return Err(Failure::said(exit_code::USAGE, message).advise("name a file, or another folder"));
    }
    Ok(found)
}

/// The same, and none where there is none.
///
/// # Errors
/// When a folder cannot be read.
pub(super) fn below(paths: &[PathBuf], is_meant: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            walk(path, &is_meant, &mut found)?;
        } else {
            found.push(path.clone());
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|path| seen.insert(spelt_alike(path)));
    Ok(found)
}

/// One spelling for a file. A link and the file that it leads to stay two: what they name is looked for beside each.
pub(super) fn spelt_alike(path: &Path) -> PathBuf {
    let Some(name) = path.file_name() else { return path.to_owned() };
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    folder.canonicalize().map_or_else(|_| path.to_owned(), |folder| folder.join(name))
}

fn walk(folder: &Path, is_meant: &dyn Fn(&Path) -> bool, found: &mut Vec<PathBuf>) -> Result<()> {
    let reading = || format!("read the folder {}", folder.display());
    let entries = std::fs::read_dir(folder).doing(exit_code::USAGE, reading)?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.doing(exit_code::USAGE, reading)?.path());
    }
    paths.sort();
    for path in paths {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let skipped = name.starts_with('.') || SKIPPED.contains(&name.as_str()) || path.is_symlink();
        if path.is_dir() && !skipped {
            walk(&path, is_meant, found)?;
        } else if !path.is_dir() && !name.starts_with('.') && is_meant(&path) {
            found.push(path.strip_prefix("./").map_or_else(|_| path.clone(), Path::to_owned));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a folder only what Longhaul reads is meant; a file that is named is meant whatever it is, once.
    #[test]
    fn folders_are_walked() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("b/w.yaml", "apiVersion: longhaul/v1\n"),
            ("b/other.yaml", "services: {}\n"),
            ("a.txt", "longhaul/v1"),
            ("target/x.yaml", "apiVersion: longhaul/v1\n"),
            (".git/x.yaml", "apiVersion: longhaul/v1\n"),
        ] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let at = |name: &str| folder.path().join(name);
        let found = files(
            &[at("b/w.yaml"), at("a.txt"), at("target/../b/w.yaml"), folder.path().to_owned()],
            is_ours,
        )
        .unwrap();
        assert_eq!(found, [at("b/w.yaml"), at("a.txt")]);
        assert!(files(&[at("target"), at(".git")], |_| false).is_err());
    }
}
