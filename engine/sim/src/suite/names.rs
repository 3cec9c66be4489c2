//! Names in a case that only its runs can tell from mistakes: items of foreach steps, and sites.
//!
//! ```text
//!   mocks, effects, orders: move/vm-q/copy --+      every run of the case
//!   outages: nowhere ------------------------+--> Seen ... Seen --> no run had it, and one shows that there is none: told
//! ```
//!
//! A run that ended before a list of items was worked out shows nothing. Mocks of the file are shared by its cases: what they
//! name is not looked for.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_model::action::Catalogue;
use longhaul_model::document::Node;
use longhaul_model::source::{Span, Spanned};
use longhaul_model::test::{CaseSpec, EffectsSpec, OutageSpec, TestFile};
use longhaul_saga::{Entry, Event, Intent, Record};
use serde_json::Value;

use super::mocks::ASKED;
use super::shape::ANY_ITEM;
use super::{Case, Failing, Verdict};

/// A name whose mistake no file shows.
#[derive(Debug, Clone)]
pub(super) struct Name {
    what: What,
    span: Span,
}

#[derive(Debug, Clone)]
enum What {
    /// A step's path, in which items may be named.
    Step(String),
    Site(String),
}

/// What a run shows of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    There,
    /// It is not, and this is what to say of it.
    Absent(String),
    /// The run does not come so far.
    NotShown,
}

/// The names of a case. Of the file's outages those are left out whose site the inputs of another case name: they are meant for
/// that one.
pub(super) fn of(spec: &CaseSpec, file: &TestFile) -> Vec<Name> {
    let step = |path: &Spanned<String>| {
        let path_alone = path.value.strip_suffix(ASKED).unwrap_or(&path.value);
        Name { what: What::Step(path_alone.to_owned()), span: path.span }
    };
    let mocks = spec.setup.mocks.iter().map(|mock| &mock.of).filter(|of| !of.value.contains('@'));
    let orders = spec.expect.orders.iter().flat_map(|order| [&order.first, &order.then]);
    let effects: &[_] = if let Some(EffectsSpec::Each(each)) = &spec.expect.effects { each } else { &[] };
    let steps = mocks.chain(orders).chain(effects.iter().map(|(path, _)| path)).map(step);
    let inputs: Vec<Value> =
        file.cases.iter().filter_map(|case| case.setup.inputs.as_ref()).map(Node::to_json).collect();
    let is_meant = |outage: &&OutageSpec| !inputs.iter().any(|given| says(given, outage.site.value.as_str()));
    let of_file = file.defaults.outages.iter().flatten().filter(is_meant);
    let of_file = of_file.filter(|_| spec.setup.outages.is_none());
    let site = |outage: &OutageSpec| {
        let (what, span) = (What::Site(outage.site.value.to_string()), outage.site.span);
        Name { what, span }
    };
    steps.chain(spec.setup.outages.iter().flatten().chain(of_file).map(site)).collect()
}

impl Case {
    /// What a run shows of the names of the case, in their order.
    pub(super) fn seen_in(&self, records: &[Record]) -> Vec<Seen> {
        let items = items(records);
        let look = |name: &Name| match &name.what {
            What::Step(path) => step(path, &items),
            What::Site(site) => seen_site(site, records, &self.planning.catalogue),
        };
        self.names.iter().map(look).collect()
    }

    /// Items and sites that the case names and that no run of it had.
    #[must_use]
    pub fn judge_names(&self, verdicts: &[Verdict]) -> Vec<Failing> {
        let mut told = BTreeSet::new();
        let names = self.names.iter().enumerate().filter_map(|(at, name)| {
            let mut seen = verdicts.iter().filter_map(|verdict| verdict.seen.get(at));
            if seen.clone().any(|seen| *seen == Seen::There) {
                return None;
            }
            let why = seen.find_map(|seen| match seen {
                Seen::Absent(why) => Some(why.clone()),
                Seen::There | Seen::NotShown => None,
            })?;
            told.insert((name.span, why.clone())).then(|| self.failing(name.span, why))
        });
        names.collect()
    }
}

/// The keys of the items that a run had, by the path of their foreach step.
fn items(records: &[Record]) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut items: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for record in records {
        if let Entry::Intent(Intent::Expand(expand)) = &record.entry {
            let keys = expand.items.iter().map(|item| item.key.as_str());
            items.entry(expand.step.as_str()).or_default().extend(keys);
        }
    }
    items
}

/// Follows a path through the items that there were. Where a `*` stands, all of them are followed.
fn step(path: &str, items: &BTreeMap<&str, BTreeSet<&str>>) -> Seen {
    let mut ways = vec![String::new()];
    for part in path.split('/') {
        let expanded: Vec<_> = ways.iter().map(|way| items.get(way.as_str())).collect();
        if expanded.iter().all(Option::is_none) {
            // An id, or the key of an item whose list was not worked out: behind that no way leads to one that was.
            ways.iter_mut().for_each(|way| *way = join(way, part));
            continue;
        }
        let is_meant = |key: &str| part == ANY_ITEM || part == key;
        let had = ways.iter().zip(&expanded).flat_map(|(way, keys)| {
            let meant = keys.iter().flat_map(|keys| keys.iter()).filter(|key| is_meant(key));
            meant.map(move |key| join(way, key))
        });
        let had: Vec<String> = had.collect();
        if had.is_empty() && (part == ANY_ITEM || expanded.iter().any(Option::is_none)) {
            return Seen::NotShown;
        }
        if had.is_empty() {
            let there: BTreeSet<&str> = expanded.into_iter().flatten().flatten().copied().collect();
            return Seen::Absent(no_such("an item", part, "the items were", &there));
        }
        ways = had;
    }
    Seen::There
}

fn join(way: &str, part: &str) -> String {
    if way.is_empty() { part.to_owned() } else { format!("{way}/{part}") }
}

/// A site is there if anything of the run says its name: the workflow, the inputs, parameters, outputs, or who asked for it.
fn seen_site(site: &str, records: &[Record], catalogue: &Catalogue) -> Seen {
    let is_said = |record: &Record| says(&record.entry.split().1, site);
    if records.iter().any(is_said) {
        return Seen::There;
    }
    let mut sites = BTreeSet::new();
    for record in records {
        match &record.entry {
            Entry::Event(Event::Observed(observed)) => sites.extend([observed.site.as_str()]),
            Entry::Intent(Intent::Start(start)) => {
                let schema = catalogue.get(&start.uses).map(|action| &action.params);
                sites.extend(schema.into_iter().flat_map(|schema| sites_in(&start.params, schema)));
            }
            Entry::Event(_) | Entry::Intent(_) => {}
        }
    }
    Seen::Absent(no_such("a site", site, "the run named", &sites))
}

/// The parameters that are sites.
fn sites_in<'v>(params: &'v Value, schema: &'v Value) -> impl Iterator<Item = &'v str> {
    let properties = schema["properties"].as_object().into_iter().flatten();
    let sites = properties.filter(|(_, schema)| schema["format"] == "site-id");
    sites.filter_map(|(name, _)| params[name].as_str())
}

fn no_such(what: &str, name: &str, were: &str, there: &BTreeSet<&str>) -> String {
    let listed = match there.len() {
        0 => "none".to_owned(),
        _ => there.iter().copied().collect::<Vec<_>>().join(", "),
    };
    format!("expected {what} `{name}`, {were} {listed}")
}

/// Whether a text in a value, or the name of a key, has this name in it as a word.
fn says(value: &Value, name: &str) -> bool {
    match value {
        Value::String(text) => has_word(text, name),
        Value::Array(values) => values.iter().any(|value| says(value, name)),
        Value::Object(entries) => entries.iter().any(|(key, value)| has_word(key, name) || says(value, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn has_word(text: &str, name: &str) -> bool {
    let is_of_name = |c: char| c.is_alphanumeric() || c == '-';
    text.match_indices(name)
        .any(|(at, _)| !text[..at].ends_with(is_of_name) && !text[at + name.len()..].starts_with(is_of_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(path: &str) -> Seen {
        let keys = |keys: &[&'static str]| keys.iter().copied().collect::<BTreeSet<_>>();
        let items = [
            ("move", keys(&["a", "b"])),
            ("move/a/disks", keys(&["1"])),
            ("one/inner", keys(&["x"])),
            ("none", keys(&[])),
        ];
        step(path, &items.into())
    }

    /// A key that no worked-out list has is absent. Where a list was not worked out, or only for some of the items that are meant,
    /// nothing is shown.
    #[test]
    fn only_lists_that_were_worked_out_show_something() {
        for there in
            ["move/a/copy", "move/*/copy", "move/a/disks/1/copy", "one/inner/x/y", "first", "late/z/copy"]
        {
            assert_eq!(seen(there), Seen::There, "{there}");
        }
        let absent = |key, items| Seen::Absent(format!("expected an item `{key}`, the items were {items}"));
        assert_eq!(seen("move/q/copy"), absent("q", "a, b"));
        assert_eq!(seen("move/a/disks/2/copy"), absent("2", "1"));
        assert_eq!(seen("one/inner/z/y"), absent("z", "x"));
        assert_eq!(seen("none/z/y"), absent("z", "none"));
        assert_eq!(seen("move/*/disks/2/copy"), Seen::NotShown);
        assert_eq!(seen("none/*/y"), Seen::NotShown);
    }

    /// A name is a word, not a part of one.
    #[test]
    fn a_name_is_a_whole_word() {
        assert!(has_word("site_up(\"tampa\")", "tampa") && has_word("tampa", "tampa"));
        assert!(!has_word("tampa-2", "tampa") && !has_word("atampa", "tampa"));
    }
}
