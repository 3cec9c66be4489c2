//! A run's report as files: `NAME.html`, and `NAME.txt` beside it.
//!
//! A fold over records and nothing else, so that the same records give the same bytes whenever they are written again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use longhaul_model::ids::StepPath;
use longhaul_saga::{Answer, Entry, Event, Intent, Record, Report, Work};
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

/// The HTML files that the run's `report.write` steps wrote, as their outputs say; not those that were undone.
#[must_use]
pub fn paths(records: &[Record]) -> Vec<PathBuf> {
    let mut steps = BTreeSet::new();
    let mut written = BTreeMap::new();
    for record in records {
        match &record.entry {
            Entry::Intent(Intent::Start(start)) if start.uses.kind() == KIND => {
                steps.insert(&start.step);
            }
            Entry::Event(event) => match outcome(event) {
                Some((step, Some(outputs))) if steps.contains(step) => {
                    written.insert(step, outputs.get("html").and_then(Value::as_str).map(PathBuf::from));
                }
                Some((step, None)) => {
                    written.remove(step);
                }
                Some(_) | None => {}
            },
            Entry::Intent(_) => {}
        }
    }
    let paths: BTreeSet<PathBuf> = written.into_values().flatten().collect();
    paths.into_iter().collect()
}

/// The step whose effect came about, with its outputs; or was taken away.
fn outcome(event: &Event) -> Option<(&StepPath, Option<&Value>)> {
    match event {
        Event::Done(done) => Some((&done.step, Some(&done.outputs).filter(|_| done.work == Work::Forward))),
        Event::Probed(probed) => match &probed.answer {
            Answer::Done(outputs) => {
                Some((&probed.step, Some(outputs).filter(|_| probed.work == Work::Forward)))
            }
            Answer::Absent | Answer::Partial | Answer::CannotTell(_) => None,
        },
        Event::Undone(undone) => Some((&undone.step, None)),
        _ => None,
    }
}

/// The action that writes reports.
const KIND: &str = "report.write";

/// Where the text of a report lies.
pub(crate) fn text_beside(html: &Path) -> PathBuf {
    html.with_extension("txt")
}

/// Removes a report with what a writer that died may have left beside it. What is not there is no mistake.
///
/// # Errors
/// When a file that is there cannot be removed.
pub(crate) fn remove(html: &Path) -> io::Result<()> {
    let text = text_beside(html);
    for path in [fresh(html), fresh(&text), html.to_owned(), text] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Where a file is written before it takes its place. One that a writer left that died is overwritten by the next.
fn fresh(path: &Path) -> PathBuf {
    path.with_added_extension("new")
}

/// Written beside, made durable, renamed.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let fresh = fresh(path);
    let mut file = File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}
