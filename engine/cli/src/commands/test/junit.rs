//! The result as JUnit XML, for what shows test results in a browser.

use std::fmt::Write as _;

use askama::Template;

use super::Tested;
use super::play::Played;

#[derive(Template)]
#[template(path = "junit.xml")]
struct Page {
    tests: usize,
    failures: usize,
    seconds: String,
    suites: Vec<SuiteOf>,
}

struct SuiteOf {
    file: String,
    failures: usize,
    cases: Vec<CaseOf>,
}

struct CaseOf {
    name: String,
    line: usize,
    /// What is wrong; none if nothing is.
    failure: Option<String>,
}

pub(super) fn page(tested: &Tested) -> String {
    let mut suites: Vec<SuiteOf> = Vec::new();
    for case in &tested.cases {
        let file = case.file.display().to_string();
        if suites.last().is_none_or(|suite| suite.file != file) {
            suites.push(SuiteOf { file, failures: 0, cases: Vec::new() });
        }
        let suite = suites.last_mut().expect("one was pushed if there was none");
        suite.failures += usize::from(!case.is_fine());
        suite.cases.push(CaseOf { name: case.name.clone(), line: case.line, failure: failure(case) });
    }
    let page = Page {
        tests: tested.cases.len(),
        failures: suites.iter().map(|suite| suite.failures).sum(),
        seconds: format!("{}.{:03}", tested.took_ms / 1_000, tested.took_ms % 1_000),
        suites,
    };
    page.render().expect("the template writes into a string and calls nothing that can fail")
}

fn failure(case: &Played) -> Option<String> {
    if case.is_fine() {
        return None;
    }
    let mut text = String::new();
    let failing = case.of_case.iter().map(|failing| (failing, String::new()));
    let of_runs = case.wrong.iter().flat_map(|verdict| {
        verdict.failing.iter().map(move |failing| (failing, format!(", with {}", verdict.fault)))
    });
    for (failing, fault) in failing.chain(of_runs) {
        let (file, line, column) = (case.file.display(), failing.line, failing.column);
        writeln!(text, "{file}:{line}:{column}: {}{fault}", failing.text).expect("a string takes everything");
    }
    if !case.snapshot.is_fine() {
        let (file, is) = (case.snapshot_file.display(), case.snapshot.as_str());
        writeln!(text, "{file}: the snapshot is {is}").expect("a string takes everything");
    }
    // XML has no form for control characters.
    Some(text.chars().filter(|c| !c.is_control() || *c == '\n').collect())
}
