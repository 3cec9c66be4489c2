//! Whether every name in a workflow leads somewhere, judged from what is written alone: a second opinion on what `validate`
//! accepts, made of none of the code that validates.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::subjects::Subject;
use super::words::{self, Word};

/// What can be named at some place.
#[derive(Clone, Default)]
struct Place<'w> {
    inputs: BTreeSet<&'w str>,
    steps: BTreeMap<&'w str, &'w Value>,
    variables: BTreeSet<&'w str>,
}

/// Words that are no names of anything.
const KEYWORDS: [&str; 8] = ["true", "false", "if", "else", "in", "switch", "_", "is"];

struct Walk<'w> {
    subject: &'w Subject,
    found: Vec<String>,
}

/// Every name of a workflow that leads nowhere.
pub(super) fn dangling<'w>(workflow: &'w Value, subject: &'w Subject) -> Vec<String> {
    let mut walk = Walk { subject, found: Vec::new() };
    let inputs = entries(&workflow["inputs"]).map(|(name, _)| name).collect();
    let start = Place { inputs, ..Place::default() };
    walk.strings(&workflow["deadline"], &start);
    for file in workflow["include"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        walk.file(file);
    }
    walk.policies(workflow);
    for trigger in workflow["triggers"].as_array().into_iter().flatten() {
        let payload = Place { variables: BTreeSet::from(["payload"]), ..Place::default() };
        walk.strings(&trigger["webhook"]["inputs"], &payload);
        walk.strings(&trigger["schedule"]["inputs"], &Place::default());
    }
    let with = |place: &Place<'w>, block: &str| {
        let mut place = place.clone();
        place.steps.extend(entries(&workflow[block]));
        place
    };
    let all = with(&start, "steps");
    walk.graph(&workflow["steps"], &all);
    walk.strings(&workflow["outputs"], &all);
    let after = with(&all, "on_failure");
    walk.graph(&workflow["on_failure"], &after);
    walk.graph(&workflow["always"], &with(&after, "always"));
    walk.found
}

/// The entries of a map that are no notes.
fn entries(map: &Value) -> impl Iterator<Item = (&str, &Value)> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    let entries = map.as_object().unwrap_or(&NONE);
    entries.iter().filter(|(name, _)| !name.starts_with("x-")).map(|(name, value)| (name.as_str(), value))
}

impl<'w> Walk<'w> {
    fn graph(&mut self, steps: &'w Value, place: &Place<'w>) {
        for (id, step) in entries(steps) {
            for need in step["needs"].as_array().into_iter().flatten() {
                let beside = need.as_str().is_some_and(|need| need != id && steps.get(need).is_some());
                self.check(beside, || format!("{id} needs {need}"));
            }
            for key in ["if", "foreach", "with", "wait", "approve"] {
                self.strings(&step[key], place);
            }
            self.uses(step);
            let mut own = Place { steps: BTreeMap::from([(id, step)]), ..place.clone() };
            self.strings(&step["compensate"]["with"], &own);
            self.strings(&step["compensate"]["requires"], &own);
            own = place.clone();
            own.variables.extend(step["as"].as_str());
            own.steps.extend(entries(&step["steps"]));
            self.graph(&step["steps"], &own);
        }
    }

    fn uses(&mut self, step: &Value) {
        for used in [&step["uses"], &step["compensate"]["uses"]].into_iter().filter_map(Value::as_str) {
            if used.starts_with('.') {
                self.file(used);
            } else {
                let known = self.subject.catalogue.iter().any(|action| action.name.to_string() == used);
                self.check(known, || format!("uses {used}"));
            }
        }
    }

    /// Scripts that policies name: files, or those that a declared plugin has.
    fn policies(&mut self, workflow: &Value) {
        for policy in workflow["policy"].as_array().into_iter().flatten() {
            let Some(script) = policy["uses"].as_str() else { continue };
            let file = match script.split_once('/') {
                Some((alias, file)) if !script.starts_with('.') => {
                    let plugin = workflow["plugins"][alias].as_str().unwrap_or_default();
                    format!("./plugins/{}/{file}", plugin.split('@').next().unwrap_or_default())
                }
                _ => script.to_owned(),
            };
            let name = longhaul_model::workflow::beside(&self.subject.name, &file);
            self.check(self.subject.files.0.contains_key(&name), || format!("policy {script}"));
        }
    }

    fn file(&mut self, named: &str) {
        let name = longhaul_model::workflow::beside(&self.subject.name, named);
        self.check(self.subject.files.0.contains_key(&name), || format!("file {named}"));
    }

    fn check(&mut self, holds: bool, else_say: impl FnOnce() -> String) {
        if !holds {
            self.found.push(else_say());
        }
    }

    fn strings(&mut self, value: &'w Value, place: &Place<'w>) {
        match value {
            Value::String(text) => {
                words::expressions(text).into_iter().for_each(|inside| self.expression(inside, place));
            }
            Value::Array(items) => items.iter().for_each(|item| self.strings(item, place)),
            Value::Object(entries) => entries.values().for_each(|value| self.strings(value, place)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn expression(&mut self, inside: &str, place: &Place<'w>) {
        let words = words::words(inside);
        let mut closures: Vec<(usize, BTreeSet<String>)> = Vec::new();
        let mut depth = 0_usize;
        let mut at = 0;
        while at < words.len() {
            let before = at.checked_sub(1).map(|before| &words[before]);
            match &words[at] {
                Word::Sign(sign) if ["(", "[", "{"].contains(&sign.as_str()) => depth += 1,
                Word::Sign(sign) if [")", "]", "}"].contains(&sign.as_str()) => {
                    depth = depth.saturating_sub(1);
                    closures.retain(|(within, _)| *within <= depth);
                }
                Word::Sign(sign) if sign == "," => closures.retain(|(within, _)| *within < depth),
                Word::Sign(sign) if sign == "|" && before.is_none_or(|it| it.is("(") || it.is(",")) => {
                    let end = words[at + 1..]
                        .iter()
                        .position(|word| word.is("|"))
                        .map_or(words.len(), |n| at + 1 + n);
                    let parameters =
                        words[at + 1..end].iter().filter_map(name_of).map(str::to_owned).collect();
                    closures.push((depth, parameters));
                    at = end;
                }
                Word::Name(name) => {
                    let is_property = before.is_some_and(|it| it.is("."));
                    let is_key = words.get(at + 1).is_some_and(|it| it.is(":"))
                        && before.is_some_and(|it| it.is("{") || it.is(","));
                    let is_local = closures.iter().any(|(_, names)| names.contains(name));
                    if !is_property && !is_key && !is_local {
                        self.name(name, &words[at + 1..], place, inside);
                    }
                }
                Word::Sign(_) | Word::Text(_) | Word::Number => {}
            }
            at += 1;
        }
    }

    /// A name that nothing stands before, and what stands behind it.
    fn name(&mut self, name: &str, behind: &[Word], place: &Place<'w>, inside: &str) {
        let path = path(behind);
        let say = || format!("`{name}.{}` in `{inside}`", path.join("."));
        let has = match (name, path.first()) {
            (name, _) if KEYWORDS.contains(&name) => true,
            (_, _) if behind.first().is_some_and(|it| it.is("(")) => match (name, behind.get(1)) {
                ("succeeded" | "failed" | "skipped", Some(Word::Text(id))) => {
                    place.steps.contains_key(id.as_str())
                }
                (_, _) => true,
            },
            ("inputs", Some(first)) => place.inputs.contains(first.as_str()),
            ("steps", Some(id)) => {
                place.steps.get(id.as_str()).is_some_and(|step| self.has(step, &path[1..]))
            }
            ("run", Some(first)) => first == "id",
            ("inputs" | "run", None) => true,
            ("steps", None) => false,
            (name, _) => place.variables.contains(name),
        };
        self.check(has, say);
    }

    /// Whether a step has such a part.
    fn has(&self, step: &Value, path: &[String]) -> bool {
        match path.first().map(String::as_str) {
            None | Some("status") => true,
            Some("items") => step.get("foreach").is_some(),
            Some("outputs") => path.get(1).is_none_or(|output| self.puts_out(step, output)),
            Some(_) => false,
        }
    }

    fn puts_out(&self, step: &Value, output: &str) -> bool {
        let used = step["uses"].as_str().unwrap_or_default();
        let action = self.subject.catalogue.iter().find(|action| action.name.to_string() == used);
        match action {
            Some(action) => action.outputs["properties"].get(output).is_some(),
            None => used.starts_with('.') || step.get("approve").is_some() || step.get("wait").is_some(),
        }
    }
}

fn name_of(word: &Word) -> Option<&str> {
    match word {
        Word::Name(name) => Some(name),
        Word::Text(_) | Word::Number | Word::Sign(_) => None,
    }
}

/// The names that follow by dots, or as texts in brackets; not that of a method.
fn path(behind: &[Word]) -> Vec<String> {
    let mut path = Vec::new();
    let mut rest = behind;
    loop {
        let (name, after) = match rest {
            [dot, Word::Name(name), after @ ..] if dot.is(".") => (name, after),
            [open, Word::Text(name), close, after @ ..] if open.is("[") && close.is("]") => (name, after),
            _ => return path,
        };
        if after.first().is_some_and(|it| it.is("(")) {
            return path;
        }
        path.push(name.clone());
        rest = after;
    }
}
