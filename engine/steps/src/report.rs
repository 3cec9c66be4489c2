//! A run's report as files: `NAME.html`, and `NAME.txt` beside it.
//!
//! A fold over records and nothing else, so that the same records give the same bytes whenever they are written again.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use longhaul_saga::{Entry, Event, Intent, Record, Report};
use serde_json::Value;

/// Writes the report of these records at `html` and the same as text beside it. A reader never meets half a file.
///
/// # Errors
/// When a file or a folder cannot be written; files that were there before stay as they were.
pub fn write(records: &[Record], html: &Path) -> io::Result<()> {
    let report =
        Report::fold(records).ok_or_else(|| io::Error::other("the records do not begin with a run"))?;
    if let Some(folder) = html.parent() {
        fs::create_dir_all(folder)?;
    }
    replace(&text_beside(html), &report.text())?;
    replace(html, &report.html())
}

/// The HTML files that the run's `report.write` steps wrote, as their outputs say.
#[must_use]
pub fn paths(records: &[Record]) -> Vec<PathBuf> {
    let mut steps = BTreeSet::new();
    let mut paths = BTreeSet::new();
    for record in records {
        match &record.entry {
            Entry::Intent(Intent::Start(start)) if start.uses.kind() == KIND => {
                steps.insert(&start.step);
            }
            Entry::Event(Event::Done(done)) if steps.contains(&done.step) => {
                paths.extend(done.outputs.get("html").and_then(Value::as_str).map(PathBuf::from));
            }
            Entry::Intent(_) | Entry::Event(_) => {}
        }
    }
    paths.into_iter().collect()
}

/// The action that writes reports.
const KIND: &str = "report.write";

/// Where the text of a report lies.
pub(crate) fn text_beside(html: &Path) -> PathBuf {
    html.with_extension("txt")
}

/// Written beside, made durable, renamed.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_added_extension("new");
    let mut file = File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}
