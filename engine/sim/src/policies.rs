//! Tests of policies: a script is asked, case by case, and what it says is held against what is expected.

use std::collections::BTreeMap;

use longhaul_model::diagnostic::{Code, Diagnostic, Diagnostics};
use longhaul_model::document::{Document, Node};
use longhaul_model::policy::{Hook, Host, VIEW_VERSION, Verdict, View};
use longhaul_model::policy_test::{Expected, PolicyCase, PolicyTest, Question};
use longhaul_model::source::{Source, Span, Spanned};
use longhaul_plan::Asking;
use serde_json::{Value, json};

use crate::suite::{Failing, slug};

/// When a policy is asked if nobody says so.
const NOW: &str = "2026-01-01T00:00:00Z";

/// The cases of a policy.
#[derive(Debug)]
pub struct PolicySuite {
    /// The test file.
    pub source: Source,
    /// Its cases, in file order.
    pub cases: Vec<AskedCase>,
}

/// A case: a question and what is expected of its answer.
#[derive(Debug)]
pub struct AskedCase {
    source: Source,
    spec: PolicyCase,
    asking: Asking,
}

impl PolicySuite {
    /// Holds a test file against the script that it names.
    ///
    /// # Errors
    /// Every mistake in the test file and in the script.
    pub fn check(test: &Document, script: &Source, host: &dyn Host) -> Result<Self, Diagnostics> {
        let (file, mut found) = PolicyTest::read(test);
        found.append(host.check(script));
        check_names(&file, &mut found);
        let cases: Option<Vec<_>> =
            file.cases.iter().map(|spec| asked(&file, spec, script, &mut found)).collect();
        found.or(cases.map(|cases| Self { source: test.source.clone(), cases }))
    }
}

impl AskedCase {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name.value
    }

    /// Where it stands: line and column, both from 1.
    #[must_use]
    pub fn place(&self) -> (usize, usize) {
        let place = self.source.place(self.spec.name.span.start);
        (place.line, place.column)
    }

    /// What is wrong with the answer; nothing if it is as expected.
    #[must_use]
    pub fn judge(&self, host: &dyn Host) -> Vec<Failing> {
        let Some(wanted) = &self.spec.decision else { return Vec::new() };
        let script = Source::new(&self.asking.policy, &self.asking.script);
        let with = self.asking.with.clone().unwrap_or_default();
        let (came, reasons) = match host.decide(&script, &self.asking.view, &with) {
            Err(why) => (Expected::Error, vec![why]),
            Ok(decisions) => {
                strictest(&decisions.into_iter().map(|decision| self.verdict(decision)).collect::<Vec<_>>())
            }
        };
        let said = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) };
        let mut failing = Vec::new();
        if came != wanted.value {
            failing
                .push(self.failing(wanted.span, format!("expected {}, it says {came}{said}", wanted.value)));
        }
        if let Some(because) = &self.spec.because
            && !reasons.iter().any(|reason| reason.contains(&because.value))
        {
            let text = format!("expected a reason with `{}`, it says {came}{said}", because.value);
            failing.push(self.failing(because.span, text));
        }
        failing
    }

    fn verdict(&self, decision: longhaul_model::policy::Decision) -> Verdict {
        Verdict { policy: self.asking.policy.clone(), decision }
    }

    fn failing(&self, span: Span, text: String) -> Failing {
        let place = self.source.place(span.start);
        Failing { line: place.line, column: place.column, text, step: None, record: None }
    }
}

/// The strictest of some verdicts, and what people are told with those that are as strict.
fn strictest(verdicts: &[Verdict]) -> (Expected, Vec<String>) {
    let came = verdicts.iter().map(Expected::of).max().unwrap_or(Expected::Allow);
    let alike = verdicts.iter().filter(|verdict| Expected::of(verdict) == came);
    (came, alike.map(|verdict| verdict.decision.to_string()).collect())
}

fn check_names(file: &PolicyTest, found: &mut Diagnostics) {
    let mut seen: BTreeMap<String, Span> = BTreeMap::new();
    for Spanned { value: name, span } in file.cases.iter().map(|case| &case.name) {
        if let Some(before) = seen.insert(slug(name), *span) {
            let message = format!("there is a case `{name}` already");
            let one = Diagnostic::new(Code::CaseTwice, &file.document.source, *span, message);
            found.push(one.and_at(before, "first here"));
        }
    }
}

fn asked(
    file: &PolicyTest,
    spec: &PolicyCase,
    script: &Source,
    found: &mut Diagnostics,
) -> Option<AskedCase> {
    let source = &file.document.source;
    let Question { at, now, with, view } = &spec.question;
    let hook = at.or(file.defaults.at).unwrap_or(Hook::Plan);
    let now = now.as_ref().or(file.defaults.now.as_ref());
    if let Some(now) = now.filter(|now| now.value.parse::<jiff::Timestamp>().is_err()) {
        let message = format!("`{}` is no time: write one such as 2026-08-30T06:00:00Z", now.value);
        found.push(Diagnostic::new(Code::Malformed, source, now.span, message));
    }
    let mut shown = plain(hook, now.map_or(NOW, |now| now.value.as_str()));
    let fragments: Vec<&Node> = [file.defaults.view.as_ref(), view.as_ref()].into_iter().flatten().collect();
    for fragment in &fragments {
        merge(&mut shown, of_hook(hook, fragment.to_json()));
    }
    let shown: View = match serde_json::from_value(shown) {
        Ok(view) => view,
        Err(error) => {
            let span = fragments.last().map_or(spec.name.span, |node| node.span);
            found.push(Diagnostic::new(
                Code::TestedPolicy,
                source,
                span,
                format!("no view looks like this: {error}"),
            ));
            return None;
        }
    };
    let mut given = json!({});
    for with in [file.defaults.with.as_ref(), with.as_ref()].into_iter().flatten() {
        merge(&mut given, with.to_json());
    }
    let (policy, script) = (script.name().to_owned(), script.text().to_owned());
    let asking = Asking { policy, script, view: shown, with: Ok(given) };
    Some(AskedCase { source: source.clone(), spec: spec.clone(), asking })
}

/// A view in which nothing is remarkable.
fn plain(hook: Hook, now: &str) -> Value {
    let mut view = json!({
        "version": VIEW_VERSION, "hook": hook, "now": now, "inputs": {},
        "workflow": { "name": "tested", "version": "1.0.0", "sha256": "0".repeat(64) },
    });
    let run = json!({ "id": "run-test", "started_by": "" });
    match hook {
        Hook::Plan => view["plan"] = json!({ "steps": [], "deadline": "" }),
        Hook::BeforeStep | Hook::AfterStep => {
            view["run"] = run;
            view["step"] = json!({
                "path": "step", "id": "step", "uses": "", "does": "action", "effects": "none", "pivot": false,
                "params": {}, "items": {}, "outputs": {},
            });
        }
        Hook::OnFailure => {
            view["run"] = run;
            view["failure"] = json!({ "steps": [], "done": [] });
        }
    }
    view
}

/// What of a view is shown at a hook: the defaults of a file may speak of several.
fn of_hook(hook: Hook, mut view: Value) -> Value {
    let own = match hook {
        Hook::Plan => "plan",
        Hook::BeforeStep | Hook::AfterStep => "step",
        Hook::OnFailure => "failure",
    };
    if let Some(fields) = view.as_object_mut() {
        fields.retain(|name, _| name == own || !["plan", "step", "failure"].contains(&name.as_str()));
    }
    view
}

/// Puts what is written over what is there, map by map. Of planned and of failed steps only what matters is written.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                let value = if key == "steps" { filled(value) } else { value };
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn filled(steps: Value) -> Value {
    let Value::Array(steps) = steps else { return steps };
    let fill = |step: Value| {
        let is_failed = step.get("class").is_some() || step.get("message").is_some();
        let mut whole = if is_failed {
            json!({ "path": "step", "uses": "", "class": "permanent", "message": "" })
        } else {
            json!({ "path": "step", "uses": "", "does": "action", "effects": "none", "pivot": false, "needs": [] })
        };
        merge(&mut whole, step);
        whole
    };
    steps.into_iter().map(fill).collect()
}
