//! `longhaul plugin lock`: writes the locks beside files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use longhaul_model::ids::PluginName;
use longhaul_model::plugin::{LOCK, Lock, PluginPin, choose};
use longhaul_model::workflow::PluginSpec;

use super::used;
use crate::commands::documents::{self, Shown};
use crate::commands::files::Disk;
use crate::errors::{Explain as _, Result};
use crate::{exit_code, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Workflows, and files with shared defaults; with the files that they name
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write nothing; say what would change, and end with 4 if something would
    #[arg(long)]
    check: bool,
    /// Take the highest version that will do, also where another one is locked
    #[arg(long)]
    update: bool,
}

/// A lock as it is to be.
struct Planned {
    path: PathBuf,
    text: String,
    /// A line for each thing that changes; none if the file stays as it is.
    changes: Vec<String>,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let mut by_folder: BTreeMap<PathBuf, Vec<PluginSpec>> = BTreeMap::new();
    for file in &args.files {
        for spec in used(file, Shown::Text)? {
            by_folder.entry(folder_of(&spec)?).or_default().push(spec);
        }
    }
    if by_folder.is_empty() {
        output::talk("no plugin is used here, so there is nothing to lock");
    }
    let planned = by_folder.values().map(|specs| plan(specs, args.update)).collect::<Result<Vec<_>>>()?;
    for lock in &planned {
        let path = lock.path.display();
        lock.changes.iter().for_each(|change| output::data(format_args!("{path}: {change}")));
        if lock.changes.is_empty() {
            output::data(format_args!("{path}: stays as it is"));
        } else if !args.check {
            write(&lock.path, &lock.text)?;
        }
    }
    let changes = planned.iter().any(|lock| !lock.changes.is_empty());
    Ok(if args.check && changes { exit_code::CHECK_FAILED } else { exit_code::OK })
}

/// The folder in which a file stands, however it is named.
fn folder_of(spec: &PluginSpec) -> Result<PathBuf> {
    let file = Path::new(spec.source.name()).canonicalize();
    let file = file.doing(exit_code::INVALID_FILE, || format!("find {}", spec.source.name()))?;
    Ok(file.parent().unwrap_or(Path::new("/")).to_owned())
}

/// What the lock of files of one folder is to be.
fn plan(specs: &[PluginSpec], update: bool) -> Result<Planned> {
    let file = Path::new(specs[0].source.name());
    let path = file.with_file_name(LOCK);
    let (mut before, mut text_before) = (Vec::new(), None);
    if path.exists() {
        let source = documents::source(&path)?;
        let lock = Lock::read(&source).map_err(|found| Shown::Text.refuse(&path, &found))?;
        before.extend(lock.plugins.into_iter().map(|locked| locked.pin));
        text_before = Some(source.text().to_owned());
    }
    let after = choose(specs, &before, !update, &Disk).map_err(|found| Shown::Text.refuse(file, &found))?;
    let text = Lock::text(&after);
    let mut changes = changes(&before, &after);
    if changes.is_empty() && text_before.as_ref() != Some(&text) {
        changes.push("says the same in another form".to_owned());
    }
    Ok(Planned { path, text, changes })
}

fn changes(before: &[PluginPin], after: &[PluginPin]) -> Vec<String> {
    let of = |pins: &[PluginPin], name: &PluginName| pins.iter().find(|pin| pin.name == *name).cloned();
    let names: BTreeSet<&PluginName> = before.iter().chain(after).map(|pin| &pin.name).collect();
    let change = |name: &PluginName| match (of(before, name), of(after, name)) {
        (Some(old), Some(new)) if old == new => None,
        (Some(old), Some(new)) if old.version == new.version => {
            Some(format!("{name} {}: what is in it has changed", new.version))
        }
        (Some(old), Some(new)) => Some(format!("{name} {} -> {}", old.version, new.version)),
        (None, Some(new)) => Some(format!("{name} {} added", new.version)),
        (Some(old), None) => Some(format!("{name} {} removed", old.version)),
        (None, None) => None,
    };
    names.into_iter().filter_map(change).collect()
}

/// Whoever reads it meanwhile, and whoever comes after a crash, finds the old one or the new one.
fn write(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("lock.new");
    let written = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, path));
    written.doing(exit_code::FAILED, || format!("write {}", path.display()))
}
