//! Test files with the workflows they name.

use std::path::Path;

use longhaul_model::diagnostic::{Code, Diagnostic, Diagnostics};
use longhaul_model::document::Document;
use longhaul_model::source::Source;
use longhaul_model::test::TestFile;
use longhaul_model::workflow::Resolved;
use longhaul_sim::suite::Suite;

use crate::commands::files::Disk;

/// Holds a test file against the workflow that it names, seen from the file's own folder.
pub(super) fn check(path: &Path, test: &Document) -> Result<Suite, Diagnostics> {
    let workflow = Resolved::read(&workflow(path, test)?, &Disk);
    Suite::check(test, &workflow, &longhaul_steps::catalogue())
}

fn workflow(path: &Path, test: &Document) -> Result<Document, Diagnostics> {
    let (file, found) = TestFile::read(test);
    let Some(named) = file.workflow else { return Err(found.sorted()) };
    let folder = path.parent().unwrap_or(Path::new(""));
    let workflow = folder.join(&named.value);
    let text = std::fs::read_to_string(&workflow).map_err(|error| {
        let message = format!("the workflow {} cannot be read: {error}", workflow.display());
        let mut found = found;
        let one = Diagnostic::new(Code::TestedWorkflow, &test.source, named.span, message);
        found.push(one.help("name it as seen from the folder of the test file"));
        found.sorted()
    })?;
    Document::parse(&Source::new(&workflow.display().to_string(), &text))
}
