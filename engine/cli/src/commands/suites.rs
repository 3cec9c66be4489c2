//! Test files with the workflows and scripts they name.

use std::path::Path;
use std::sync::Arc;

use longhaul_host_rhai::RhaiHost;
use longhaul_model::diagnostic::{Code, Diagnostic, Diagnostics};
use longhaul_model::document::Document;
use longhaul_model::policy::Host;
use longhaul_model::policy_test::PolicyTest;
use longhaul_model::read::kind_meant;
use longhaul_model::source::{Source, Spanned};
use longhaul_model::test::TestFile;
use longhaul_sim::PolicySuite;
use longhaul_sim::suite::Suite;

use crate::commands::files;

/// The kind of a test file of a workflow.
const OF_WORKFLOW: &str = "Test";

/// The kind of a test file of a policy.
const OF_POLICY: &str = "PolicyTest";

/// The cases of a test file.
pub(super) enum Cases {
    /// Of a workflow.
    Workflow(Suite),
    /// Of a policy.
    Policy(PolicySuite),
}

/// Holds a test file against what it names, seen from the file's own folder.
pub(super) fn check(path: &Path, test: &Document) -> Result<Cases, Diagnostics> {
    let host: Arc<dyn Host> = Arc::new(RhaiHost::default());
    let kind = test.kind().and_then(kind_meant);
    if let Some(other) = kind.filter(|kind| ![OF_WORKFLOW, OF_POLICY].contains(kind)) {
        return Err(no_test(test, other));
    }
    if kind == Some(OF_POLICY) {
        let script = script(path, test)?;
        return PolicySuite::check(test, &script, &*host).map(Cases::Policy);
    }
    let workflow = files::resolved(&workflow(path, test)?);
    let suite = Suite::check(test, &workflow, &longhaul_steps::catalogue())?;
    Ok(Cases::Workflow(suite.with_policies(&host)))
}

/// What is a file of another kind has no other mistakes as a test.
fn no_test(document: &Document, kind: &str) -> Diagnostics {
    let message = format!("expected kind `{OF_WORKFLOW}` or `{OF_POLICY}`, found `{kind}`");
    let span = document.root.nearest("/kind").span;
    let one = Diagnostic::new(Code::Kind, &document.source, span, message);
    one.help("name the test file: tests of `NAME.yaml` usually stand in `NAME.test.yaml`").into()
}

fn workflow(path: &Path, test: &Document) -> Result<Document, Diagnostics> {
    let (file, mut found) = TestFile::read(test);
    let Some(named) = file.workflow else { return Err(found.sorted()) };
    let source = beside(path, test, &named, Code::TestedWorkflow, &mut found)?;
    Document::parse_noting(&source).map_err(|broken| {
        found.append(broken);
        found.sorted()
    })
}

fn script(path: &Path, test: &Document) -> Result<Source, Diagnostics> {
    let (file, mut found) = PolicyTest::read(test);
    let Some(named) = file.policy else { return Err(found.sorted()) };
    beside(path, test, &named, Code::TestedPolicy, &mut found)
}

/// The file that a test names; without it, what was found so far and that it is not there.
fn beside(
    path: &Path,
    test: &Document,
    named: &Spanned<String>,
    code: Code,
    found: &mut Diagnostics,
) -> Result<Source, Diagnostics> {
    let file = path.parent().unwrap_or(Path::new("")).join(&named.value);
    let what = if code == Code::TestedPolicy { "policy" } else { "workflow" };
    match files::text(&file) {
        Ok(text) => Ok(Source::new(&file.display().to_string(), &text)),
        Err(error) => {
            let message = format!("the {what} {} cannot be read: {error}", file.display());
            let one = Diagnostic::new(code, &test.source, named.span, message);
            found.push(one.help("name it as seen from the folder of the test file"));
            Err(std::mem::take(found).sorted())
        }
    }
}
