//! `longhaul plugin list`: the plugins that a file uses.

use std::path::{Path, PathBuf};

use longhaul_model::diagnostic::Diagnostics;
use longhaul_model::plugin::{Folder, LOCK, Lock};
use longhaul_model::workflow::{PluginSpec, Wanted};
use serde_json::{Value, json};

use super::used;
use crate::commands::documents::{self, Shown};
use crate::commands::files::Disk;
use crate::errors::Result;
use crate::exit_code;
use crate::output::{self, Table};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A workflow, or a file with shared defaults; with the files that it names
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A plugin as a file uses it.
struct Row {
    file: String,
    alias: String,
    wanted: Wanted,
    locked: Option<String>,
    found: Vec<String>,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let shown = Shown::by(args.json);
    let mut rows = Vec::new();
    for spec in used(&args.file, shown)? {
        if let Some(wanted) = &spec.wanted {
            rows.push(row(&spec, wanted).map_err(|found| shown.refuse(&args.file, &found))?);
        }
    }
    if args.json {
        output::json(&rows.iter().map(Row::as_json).collect::<Vec<_>>());
    } else {
        output::data(table(&rows));
    }
    Ok(exit_code::OK)
}

fn row(spec: &PluginSpec, wanted: &Wanted) -> std::result::Result<Row, Diagnostics> {
    let mut beside = Folder::all_beside(&Disk, spec)?;
    beside.retain(|called| called.name == wanted.name);
    let mut found = Folder::read_all(&Disk, spec, &beside)?;
    found.sort_by(|a, b| a.manifest.version.cmp(&b.manifest.version));
    let lock = documents::source(&Path::new(spec.source.name()).with_file_name(LOCK)).ok();
    let lock = lock.map(|source| Lock::read(&source)).transpose()?;
    Ok(Row {
        file: spec.source.name().to_owned(),
        alias: spec.alias.clone(),
        wanted: wanted.clone(),
        locked: lock.and_then(|lock| Some(lock.of(&wanted.name)?.pin.version.to_string())),
        found: found.iter().map(|folder| folder.manifest.version.to_string()).collect(),
    })
}

impl Row {
    fn as_json(&self) -> Value {
        json!({
            "file": self.file,
            "alias": self.alias,
            "name": self.wanted.name,
            "range": self.wanted.range.to_string(),
            "locked": self.locked,
            "found": self.found,
        })
    }
}

fn table(rows: &[Row]) -> Table<6> {
    let mut table = Table::new(["file", "alias", "plugin", "range", "locked", "there"]);
    for row in rows {
        let there = if row.found.is_empty() { "none".to_owned() } else { row.found.join(", ") };
        table.row([
            row.file.clone(),
            row.alias.clone(),
            row.wanted.name.to_string(),
            row.wanted.range.to_string(),
            row.locked.clone().unwrap_or_else(|| "no".to_owned()),
            there,
        ]);
    }
    table
}
