//! Diagnostics in SARIF 2.1.0, the form that code scanning reads.
//!
//! Written by hand from OASIS SARIF 2.1.0: a log of one run uses a dozen of its three hundred properties. A test holds
//! what is written here against the official JSON Schema.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{Code, Diagnostic, Diagnostics};
use crate::source::{Source, Span};

/// Where a reader of the log finds its form.
const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// What stands for itself in a URI's path (RFC 3986: unreserved characters and the separator).
const OF_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Diagnostics {
    /// All of them as a SARIF log of one run, by this version of the program; its rules are the codes found, with their
    /// pages. Files are named as the sources are; a relative name stays relative.
    #[must_use]
    pub fn to_sarif(&self, version: &str) -> Value {
        let mut codes: Vec<Code> = self.iter().map(|one| one.code).collect();
        codes.sort_unstable();
        codes.dedup();
        let rules: Vec<Value> = codes.iter().copied().map(rule).collect();
        let results: Vec<Value> = self.iter().map(|one| result(one, &codes)).collect();
        let driver = json!({ "name": "longhaul", "semanticVersion": version, "rules": rules });
        let run = json!({
            "tool": { "driver": driver },
            // As `Place` counts: a column is a character, not a unit of UTF-16.
            "columnKind": "unicodeCodePoints",
            "results": results,
        });
        json!({ "$schema": SCHEMA, "version": "2.1.0", "runs": [run] })
    }
}

fn rule(code: Code) -> Value {
    json!({
        "id": code.as_str(),
        "name": format!("{code:?}"),
        "shortDescription": { "text": code.title() },
        "fullDescription": { "text": code.explanation() },
        "help": { "text": code.remedy(), "markdown": code.page() },
        "defaultConfiguration": { "level": "error" },
        "properties": { "tags": ["workflow"], "precision": "very-high", "problem.severity": "error" },
    })
}

fn result(one: &Diagnostic, codes: &[Code]) -> Value {
    let text = match &one.help {
        Some(help) => format!("{}\n{help}", one.message),
        None => one.message.clone(),
    };
    let here = one.labels.iter().map(|label| (&one.source, label.span, &label.text));
    let elsewhere = one.elsewhere.iter().map(|place| (&place.source, place.span, &place.text));
    let places = here.chain(elsewhere).zip(1..);
    let others: Vec<Value> = places.map(|((source, span, text), id)| other(source, span, text, id)).collect();
    json!({
        "ruleId": one.code.as_str(),
        "ruleIndex": codes.binary_search(&one.code).unwrap_or_default(),
        "level": "error",
        "message": { "text": text },
        "locations": [{ "physicalLocation": place(&one.source, one.span) }],
        "relatedLocations": others,
    })
}

fn other(source: &Source, span: Span, text: &str, id: usize) -> Value {
    json!({ "id": id, "message": { "text": text }, "physicalLocation": place(source, span) })
}

/// The end is the place behind the last character, as in SARIF.
fn place(source: &Source, span: Span) -> Value {
    let (start, end) = (source.place(span.start), source.place(span.end.max(span.start)));
    json!({
        "artifactLocation": { "uri": uri(source.name()) },
        "region": {
            "startLine": start.line,
            "startColumn": start.column,
            "endLine": end.line,
            "endColumn": end.column,
        },
    })
}

fn uri(name: &str) -> String {
    let scheme = if name.starts_with('/') { "file://" } else { "" };
    let path = name.strip_prefix("./").unwrap_or(name);
    format!("{scheme}{}", utf8_percent_encode(path, OF_PATH))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A result points at its rule by name and by number, and its region counts characters, the last one excluded.
    #[test]
    fn a_mistake_becomes_a_result() {
        let source = Source::new("./wörk flows/a.yaml", "ä: 1\nöl: 2\n");
        let mut found = Diagnostics::new();
        let first = Diagnostic::new(Code::UnknownKey, &source, Span::new(6, 9), "unknown key `öl`");
        found.push(first.and_at(Span::new(0, 2), "beside this"));
        found.push(Diagnostic::new(Code::DuplicateKey, &source, Span::new(0, 2), "twice").help("remove one"));
        let log = found.to_sarif("1.2.3");
        let run = &log["runs"][0];
        assert_eq!(run["tool"]["driver"]["semanticVersion"], "1.2.3");
        let result = &run["results"][0];
        assert_eq!((&result["ruleId"], &result["ruleIndex"]), (&"LH0008".into(), &1.into()));
        assert_eq!(run["tool"]["driver"]["rules"][1]["id"], "LH0008");
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "w%C3%B6rk%20flows/a.yaml");
        assert_eq!(
            place["region"],
            json!({ "startLine": 2, "startColumn": 1, "endLine": 2, "endColumn": 3 })
        );
        assert_eq!(result["relatedLocations"][0]["physicalLocation"]["region"]["endColumn"], 2);
        assert_eq!(run["results"][1]["message"]["text"], "twice\nremove one");
        assert_eq!(uri("/srv/a.yaml"), "file:///srv/a.yaml");
    }
}
