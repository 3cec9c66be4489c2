//! The result as JUnit XML, for what shows test results in a browser.

use std::fmt::Write as _;

use askama::Template;

use super::Tested;
use super::play::Played;

/// What stands for the cases of a file that could not be tried.
const BROKEN: &str = "its cases can be tried";

#[derive(Template)]
#[template(path = "junit.xml")]
struct Page {
    seconds: String,
    suites: Vec<SuiteOf>,
}

/// What became of one file.
struct SuiteOf {
    file: String,
    cases: Vec<CaseOf>,
}

struct CaseOf {
    name: String,
    line: usize,
    came: Came,
}

/// How a case came out; the words are for people.
enum Came {
    Well,
    Failed(String),
    /// It could not be tried.
    Broken(String),
}

impl Page {
    fn count(&self, is_counted: fn(&SuiteOf) -> usize) -> usize {
        self.suites.iter().map(is_counted).sum()
    }

    /// XML has no form for most control characters and for some that are none; nothing of the page may have them.
    fn text(&self) -> String {
        let page = self.render().expect("the template writes into a string and calls nothing that can fail");
        page.chars().map(|letter| if is_xml(letter) { letter } else { char::REPLACEMENT_CHARACTER }).collect()
    }
}

impl SuiteOf {
    fn tests(&self) -> usize {
        self.cases.len()
    }

    fn failures(&self) -> usize {
        self.cases.iter().filter(|case| matches!(case.came, Came::Failed(_))).count()
    }

    fn errors(&self) -> usize {
        self.cases.iter().filter(|case| matches!(case.came, Came::Broken(_))).count()
    }

    /// A file that has one thing wrong as a whole.
    fn whole(file: String, name: &str, line: usize, came: Came) -> Self {
        Self { file, cases: vec![CaseOf { name: name.to_owned(), line, came }] }
    }
}

/// XML 1.0, section 2.2: `Char`.
fn is_xml(letter: char) -> bool {
    matches!(letter, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..)
}

/// Every case of every file; a file that could not be tried and a snapshot that belongs to no case stand as suites of their own.
pub(super) fn page(tested: &Tested) -> String {
    let mut suites: Vec<SuiteOf> = Vec::new();
    for case in &tested.cases {
        let file = case.file.display().to_string();
        if suites.last().is_none_or(|suite| suite.file != file) {
            suites.push(SuiteOf { file, cases: Vec::new() });
        }
        let suite = suites.last_mut().expect("one was pushed if there was none");
        suite.cases.push(CaseOf { name: case.name.clone(), line: case.line, came: came(case) });
    }
    let stale = tested.stale.iter().map(|file| {
        let came = Came::Failed("it belongs to no case; `longhaul test --accept` removes it".to_owned());
        SuiteOf::whole(file.display().to_string(), "the snapshot belongs to a case", 1, came)
    });
    let broken = tested.broken.iter().map(|(file, found)| {
        let line = found.iter().next().map_or(1, |one| one.source.line(one.span.start));
        SuiteOf::whole(file.display().to_string(), BROKEN, line, Came::Broken(found.to_string()))
    });
    suites.extend(stale.chain(broken));
    Page { seconds: format!("{}.{:03}", tested.took_ms / 1_000, tested.took_ms % 1_000), suites }.text()
}

/// The page of a command that could not try anything: without one, that of an earlier run would be taken for it.
pub(super) fn refused(why: &str) -> String {
    let suite = SuiteOf::whole("longhaul test".to_owned(), BROKEN, 1, Came::Broken(why.to_owned()));
    Page { seconds: "0.000".to_owned(), suites: vec![suite] }.text()
}

fn came(case: &Played) -> Came {
    if case.is_fine() {
        return Came::Well;
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
    Came::Failed(text)
}
