//! What has to hold for a text, whatever it is.

use longhaul_host_rhai::RhaiHost;
use longhaul_model::Source;
use longhaul_model::action::ActionName;
use longhaul_model::diagnostic::{Diagnostic, Diagnostics};
use longhaul_model::document::Document;
use longhaul_model::layout::{NotLaidOut, lay_out};
use longhaul_model::policy_test::PolicyTest;
use longhaul_model::source::Span;
use longhaul_model::test::TestFile;
use longhaul_model::workflow::{Files as _, Resolved, Workflow, read_shared};
use longhaul_model::{parse_site, parse_sites, parse_vm};
use longhaul_plan::{Circumstances, Expected, Forecast, Plan};
use longhaul_sim::PolicySuite;
use longhaul_sim::suite::Suite;
use serde_json::{Map, Value, json};

use super::names;
use super::subjects::Subject;

/// What became of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    Accepted,
    Refused,
}

/// Looks at a text in every way that a command does; what does not hold.
pub(super) fn judge(subject: &Subject, text: &str) -> Result<Verdict, String> {
    let source = Source::new(&subject.name, text);
    let document = match Document::parse(&source) {
        Ok(document) => document,
        Err(found) => return refused(&found),
    };
    let checked = check(subject, &document);
    laid_out(subject, &source, checked.is_ok())?;
    match checked {
        Ok(()) => accepted(subject, &document).map(|()| Verdict::Accepted),
        Err(found) => refused(&found),
    }
}

/// What a person is told about a file as it is.
pub(super) fn mistakes(subject: &Subject) -> String {
    let document = Document::parse(&Source::new(&subject.name, &subject.text));
    let checked = document.and_then(|document| check(subject, &document));
    checked.err().map_or_else(String::new, |found| found.render(false))
}

/// Through the entry that its kind has.
fn check(subject: &Subject, document: &Document) -> Result<(), Diagnostics> {
    let source = &document.source;
    match document.kind() {
        Some("Vm") => parse_vm(source).map(drop),
        Some("Site") => parse_site(source).map(drop),
        Some("Sites") => parse_sites(source).map(drop),
        Some("Defaults") => read_shared(document).1.or(Some(())),
        Some("Test") => check_test(subject, document),
        Some("PolicyTest") => check_policy_test(subject, document),
        _ => {
            let resolved = Resolved::read(document, &*subject.files);
            longhaul_plan::validate(&resolved, &subject.catalogue)
        }
    }
}

fn check_test(subject: &Subject, document: &Document) -> Result<(), Diagnostics> {
    let (test, found) = TestFile::read(document);
    let named = test.workflow.and_then(|named| subject.files.find(&subject.name, &named.value).ok());
    let Some(named) = named else {
        return if found.is_empty() { Ok(()) } else { Err(found) };
    };
    let workflow = Document::parse(&Source::new(&named.name, &subject.files.0[&named.name]))?;
    let resolved = Resolved::read(&workflow, &*subject.files);
    Suite::check(document, &resolved, &subject.catalogue).map(drop)
}

fn check_policy_test(subject: &Subject, document: &Document) -> Result<(), Diagnostics> {
    let (test, found) = PolicyTest::read(document);
    let named = test.policy.and_then(|named| subject.files.find(&subject.name, &named.value).ok());
    let Some(named) = named else {
        return if found.is_empty() { Ok(()) } else { Err(found) };
    };
    let script = Source::new(&named.name, &subject.files.0[&named.name]);
    PolicySuite::check(document, &script, &RhaiHost::default()).map(drop)
}

/// Every mistake stands within its file, between letters, and can be shown.
fn refused(found: &Diagnostics) -> Result<Verdict, String> {
    if found.is_empty() {
        return Err("it is refused without a reason".to_owned());
    }
    found.iter().try_for_each(well_placed)?;
    let shown = found.render(false);
    drop(found.to_json());
    match found.iter().find(|one| !shown.contains(one.code.as_str())) {
        Some(one) => Err(format!("{} is not shown:\n{shown}", one.code)),
        None => Ok(Verdict::Refused),
    }
}

fn well_placed(one: &Diagnostic) -> Result<(), String> {
    let own = std::iter::once(one.span).chain(one.labels.iter().map(|label| label.span));
    let others = one.elsewhere.iter().map(|other| (&other.source, other.span));
    for (source, Span { start, end }) in own.map(|span| (&one.source, span)).chain(others) {
        if source.text().get(start..end).is_none() {
            return Err(format!(
                "{} `{}` stands at {start}..{end}, which is no place",
                one.code, one.message
            ));
        }
    }
    Ok(())
}

/// Laid out it says the same, is judged the same, and stays as it is.
fn laid_out(subject: &Subject, source: &Source, is_right: bool) -> Result<(), String> {
    let once = match lay_out(source) {
        Ok(once) => once,
        Err(NotLaidOut::Mistakes(_)) => return Err("fmt cannot read it".to_owned()),
        Err(NotLaidOut::NotTheSame) => return Err("fmt would change what it says".to_owned()),
    };
    let again = Source::new(source.name(), &once);
    let document = Document::parse(&again).map_err(|found| format!("laid out:\n{once}\n{found}"))?;
    if check(subject, &document).is_ok() != is_right {
        return Err(format!("laid out it is judged otherwise:\n{once}"));
    }
    match lay_out(&again) {
        Ok(twice) if twice == once => Ok(()),
        other => Err(format!("laid out twice it is\n{other:?}\nafter\n{once}")),
    }
}

/// What is accepted names nothing that is not there, and can be planned and drawn.
fn accepted(subject: &Subject, document: &Document) -> Result<(), String> {
    if document.kind() != Some("Workflow") {
        return Ok(());
    }
    let dangling = names::dangling(&document.root.to_json(), subject);
    if !dangling.is_empty() {
        return Err(format!("it is accepted with names that lead nowhere: {dangling:?}"));
    }
    let resolved = Resolved::read(document, &*subject.files);
    let outline = longhaul_plan::outline(&resolved, &subject.catalogue).map_err(|found| found.to_string())?;
    for draw in [longhaul_plan::dot, longhaul_plan::mermaid, longhaul_plan::terminal] {
        drop(draw(&outline));
    }
    match longhaul_plan::check(&resolved, &sample(document), &subject.catalogue) {
        Ok(plan) => planned(&plan),
        Err(found) => refused(&found).map(drop),
    }
}

fn planned(plan: &Plan) -> Result<(), String> {
    let estimate = |_: &ActionName, _: &Value| Expected { duration_ms: Some(1_000), ..Expected::default() };
    let circumstances =
        Circumstances { facts: &Default::default(), estimate: &estimate, begins_unix_ms: 1_788_000_000_000 };
    let forecast = Forecast::of(plan, &circumstances);
    drop(longhaul_plan::render_text(plan, Some(&forecast)));
    let again: Plan = serde_json::from_value(json!(plan)).map_err(|error| format!("its plan: {error}"))?;
    if again == *plan { Ok(()) } else { Err("its plan is another one after a journal".to_owned()) }
}

/// A value for each input that has no default.
fn sample(document: &Document) -> Map<String, Value> {
    let (workflow, _) = Workflow::read(document);
    let inputs = workflow.inputs.iter().map(|input| (input.name.value.clone(), input.schema.to_json()));
    inputs
        .filter(|(_, schema)| schema.get("default").is_none())
        .map(|(name, it)| (name, value_of(&it, 0)))
        .collect()
}

/// Deepest sample that is made.
const DEPTH_MAX: usize = 8;

fn value_of(schema: &Value, depth: usize) -> Value {
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("string"), Some("duration")) => json!("10m"),
        (Some("string"), Some("date-time")) => json!("2026-08-30T18:00:00Z"),
        (Some("string"), Some("bytes")) => json!("2GiB"),
        (Some("string"), Some("bandwidth")) => json!("100Mbit/s"),
        (Some("string"), _) => json!("a"),
        (Some("array"), _) if depth < DEPTH_MAX => json!([value_of(&schema["items"], depth + 1)]),
        (Some("boolean"), _) => json!(true),
        (Some("integer" | "number"), _) => schema.get("minimum").cloned().unwrap_or(json!(1)),
        (Some("object"), _) if depth < DEPTH_MAX => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            properties.map(|(name, schema)| (name.clone(), value_of(schema, depth + 1))).collect()
        }
        _ => Value::Null,
    }
}
