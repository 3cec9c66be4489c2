//! What somebody outside found who checked the run: the verdict of a rehearsal.
//!
//! It outranks what the sites say of themselves: a report whose verdict is red promises nothing.

use serde::Serialize;
use serde_json::Value;

/// The source of a verdict's observations.
pub(super) const SOURCE: &str = "verdict";

/// What was checked from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Every check, in the order in which it was made.
    pub checks: Vec<Check>,
}

/// One thing that must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What must hold.
    pub name: String,
    /// Whether it does.
    pub ok: bool,
    /// What was seen.
    pub seen: String,
}

impl Verdict {
    /// From an observation's payload. A check that does not say that it holds does not, and a verdict without checks is
    /// red.
    #[must_use]
    pub fn of(payload: &Value) -> Self {
        Self { checks: payload["checks"].as_array().into_iter().flatten().map(Check::of).collect() }
    }

    /// Whether something did not hold, or nothing was checked.
    #[must_use]
    pub fn is_red(&self) -> bool {
        self.checks.is_empty() || self.failed().next().is_some()
    }

    /// The checks that did not hold.
    pub fn failed(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| !check.ok)
    }

    /// `green` or `red`.
    #[must_use]
    pub fn colour(&self) -> &'static str {
        if self.is_red() { "red" } else { "green" }
    }

    /// The verdict in one line, with the names of the checks that did not hold.
    #[must_use]
    pub fn text(&self) -> String {
        let failed: Vec<_> = self.failed().map(|check| check.name.as_str()).collect();
        let all = self.checks.len();
        if failed.is_empty() {
            return format!("{}, {all} of {all} checks hold", self.colour());
        }
        format!("{}, {} of {all} checks failed: {}", self.colour(), failed.len(), failed.join("; "))
    }

    /// A line per check.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |check: &Check| {
            let mark = if check.ok { "ok  " } else { "FAIL" };
            format!("{mark}  {}: {}", check.name, check.seen)
        };
        self.checks.iter().map(line).collect()
    }
}

impl Check {
    fn of(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().unwrap_or("not said").to_owned();
        Self { name: text("name"), ok: value["ok"] == true, seen: text("seen") }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A verdict is green only when it checked something and every check says that it holds.
    #[test]
    fn green_is_said_and_never_assumed() {
        let of = |checks: Value| Verdict::of(&json!({ "checks": checks })).text();
        let good = json!({ "name": "a", "ok": true, "seen": "x" });
        assert_eq!(of(json!([good])), "green, 1 of 1 checks hold");
        assert_eq!(of(json!([good, { "name": "b", "seen": "y" }])), "red, 1 of 2 checks failed: b");
        assert!(Verdict::of(&json!({})).is_red());
    }
}
