//! `report.write@1`: folds the run's own records into a report, as text and as one self-contained page.
//!
//! Asks no agent. What the run learns after it (its end, a client's view) is in the files when they are written again
//! from the records, which whoever drives the run does.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use longhaul_model::action::{Descriptor, Effects};
use longhaul_saga::{Header, Record};
use longhaul_step::{Action, Context, Error, ErrorClass, Handle, Outcome, Poll, Probe, RunRecords, Started};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::descriptor::{describe, fails, object, read, text};
use crate::local::{self, Tasks};
use crate::report;

pub(crate) struct ReportWrite {
    descriptor: Descriptor,
    below: PathBuf,
    tasks: Tasks,
}

#[derive(Deserialize)]
struct Params {
    to: PathBuf,
}

impl ReportWrite {
    /// Relative paths are below `below`.
    pub(crate) fn new(below: &Path) -> Self {
        let path = json!({ "type": "string", "minLength": 1, "description": "the HTML file, `.html` may be left out; the text lies beside it" });
        let params = object([("to", path)], []);
        let outputs = object([("html", text()), ("text", text())], []);
        let summary = "Writes what the run did as text and as a web page";
        let errors = fails([
            (ErrorClass::Permanent, "the files cannot be written"),
            (ErrorClass::Cancelled, "the run was asked to stop"),
            (ErrorClass::Internal, "a record of the run cannot be read"),
        ]);
        let descriptor = describe("report.write@1", summary, Effects::Reversible, params, outputs, errors);
        Self { descriptor, below: below.to_owned(), tasks: Tasks::default() }
    }

    fn path(&self, params: &Value) -> Result<PathBuf, Error> {
        let Params { to } = read(params)?;
        let is_html = to.extension().is_some_and(|extension| extension == "html");
        Ok(self.below.join(if is_html { to } else { to.with_added_extension("html") }))
    }
}

/// Not interrupted by a cancellation: there is no await in it.
async fn write(records: Arc<dyn RunRecords>, html: PathBuf) -> Result<Value, Error> {
    let records: Vec<Record> = records.records()?.into_iter().map(record).collect::<Result<_, _>>()?;
    report::write(&records, &html).map_err(|e| failed("write", &html, &e))?;
    Ok(outputs(&html))
}

fn record(value: Value) -> Result<Record, Error> {
    let unreadable =
        |e: &dyn std::fmt::Display| Error::new(ErrorClass::Internal, format!("a record cannot be read: {e}"));
    let header: Header = serde_json::from_value(value).map_err(|e| unreadable(&e))?;
    Record::read(header).map_err(|e| unreadable(&e))
}

fn outputs(html: &Path) -> Value {
    json!({ "html": html, "text": report::text_beside(html) })
}

fn failed(verb: &str, path: &Path, error: &io::Error) -> Error {
    Error::new(ErrorClass::Permanent, format!("cannot {verb} the report {}: {error}", path.display()))
}

/// Whether the file is there and is this run's.
fn is_of_run(path: &Path, run: &str) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.contains(run))
}

#[async_trait::async_trait]
impl Action for ReportWrite {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    async fn start(&self, context: &Context, params: &Value) -> Started {
        match self.path(params) {
            Ok(_) => Started::Running(local::handle(context, params)),
            Err(error) => Started::Failed(error),
        }
    }

    async fn poll(&self, context: &Context, handle: &Handle, patience: Duration) -> Poll {
        match local::params(handle).and_then(|params| self.path(&params)) {
            Ok(html) => {
                let write = write(Arc::clone(&context.records), html);
                self.tasks.poll(handle, patience, "writing the report", write).await
            }
            Err(error) => Poll::Ended(Outcome::Failed(error)),
        }
    }

    async fn probe(&self, context: &Context, params: &Value) -> Probe {
        let html = match self.path(params) {
            Ok(html) => html,
            Err(error) => return Probe::CannotTell(error),
        };
        let there = [html.clone(), report::text_beside(&html)]
            .iter()
            .all(|path| is_of_run(path, context.key.run.as_str()));
        if there { Probe::Done(outputs(&html)) } else { Probe::Absent }
    }

    async fn cancel(&self, _context: &Context, handle: &Handle) -> Result<(), Error> {
        self.tasks.cancel(handle);
        Ok(())
    }

    async fn compensate(
        &self,
        _context: &Context,
        params: &Value,
        _outputs: Option<&Value>,
    ) -> Result<(), Error> {
        let html = self.path(params)?;
        report::remove(&html).map_err(|error| failed("remove", &html, &error))
    }
}
