//! `longhaul init`: a project folder to begin with.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use longhaul_model::schema::Kind;

use crate::commands::{schema, test};
use crate::errors::{Explain as _, Failure, Result};
use crate::{exit_code, output};

/// What a project begins with besides its schemas: names and texts.
const FILES: [(&str, &str); 9] = [
    ("README.md", include_str!("init/README.md")),
    ("move.yaml", include_str!("init/move.yaml")),
    (TESTED, include_str!("init/move.test.yaml")),
    ("inputs.yaml", include_str!("init/inputs.yaml")),
    (
        "policies/maintenance-window.rhai",
        include_str!("../../../../workflows/policies/maintenance-window.rhai"),
    ),
    (
        "policies/maintenance-window.test.yaml",
        concat!(
            "# yaml-language-server: $schema=../schema/policytest-v1.json\n",
            include_str!("../../../../workflows/policies/maintenance-window.test.yaml")
        ),
    ),
    ("sites.yaml", include_str!("init/sites.yaml")),
    (".editorconfig", include_str!("init/editorconfig")),
    (".gitignore", include_str!("init/gitignore")),
];

/// The folder of the schemas, which the first lines of the files name for editors.
const SCHEMAS: &str = "schema";

/// The test of the workflow.
const TESTED: &str = "move.test.yaml";

/// The folder of the policies, with their cases.
const POLICIES: &str = "policies";

/// The folder of the reports that the test's cases come to. They are made here and not kept, so they are never those of
/// another version.
const SNAPSHOTS: &str = "snapshots";

/// Every file of a project.
fn files() -> Vec<(PathBuf, String)> {
    let written = FILES.into_iter().map(|(name, text)| (PathBuf::from(name), text.to_owned()));
    let schemas =
        Kind::ALL.into_iter().map(|kind| (Path::new(SCHEMAS).join(kind.file()), schema::text(kind)));
    written.chain(schemas).collect()
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder; it is made if it is not there. No file in it is overwritten
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let folder = &args.folder;
    let files = files();
    refuse_existing(folder, &files)?;
    for folder in [SCHEMAS, POLICIES].map(|name| folder.join(name)) {
        fs::create_dir_all(&folder).doing(exit_code::FAILED, || format!("make {}", folder.display()))?;
    }
    for (name, text) in files {
        let path = folder.join(name);
        write(&path, &text)?;
        output::data(path.display());
    }
    for snapshot in test::accept(&folder.join(TESTED))? {
        output::data(snapshot.display());
    }
    output::talk(next(folder));
    Ok(exit_code::OK)
}

/// Nothing is written if anything would be overwritten.
fn refuse_existing(folder: &Path, files: &[(PathBuf, String)]) -> Result<()> {
    let there = |path: &PathBuf| path.symlink_metadata().is_ok();
    let names = files.iter().map(|(name, _)| name.as_path()).chain([Path::new(SNAPSHOTS)]);
    let existing: Vec<PathBuf> = names.map(|name| folder.join(name)).filter(there).collect();
    if existing.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = existing.iter().map(|path| path.display().to_string()).collect();
    let message = format!("nothing was written, for this is there already: {}", names.join(", "));
    Err(Failure::said(exit_code::FAILED, message).advise("name another folder, or remove them"))
}

/// Also a file that came into being since it was looked for is left as it is.
fn write(path: &Path, text: &str) -> Result<()> {
    let made = File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
    made.doing(exit_code::FAILED, || format!("write {}", path.display()))
}

fn next(folder: &Path) -> String {
    format!(
        "next:\n  cd {}\n  longhaul validate move.yaml sites.yaml\n  longhaul plan move.yaml --inputs inputs.yaml\n  longhaul test\n\
         README.md says what else there is",
        folder.display()
    )
}
