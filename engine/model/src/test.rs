//! A test of a workflow as its file says it (`kind: Test`): typed, with places, not yet held against the workflow.
//!
//! Reading never gives up: what is broken is noted and left out, so that the checks that follow can find the mistakes
//! in everything else.

pub(crate) mod expect;
pub(crate) mod mock;
pub(crate) mod outage;
pub(crate) mod sweep;

pub use expect::{EffectsSpec, ExpectSpec, Order, PlanSpec, Remains, STATUSES};
pub use mock::{BehaviourSpec, ErrorSpec, MockSpec, Outcome};
pub use outage::OutageSpec;
pub use sweep::{ErrorSweep, SweepSpec, UNKNOWN};

use std::fmt;

use crate::diagnostic::{Code, Diagnostics};
use crate::document::{Content, Document, Node};
use crate::read::{Read, Reader};
use crate::source::{Span, Spanned};

/// A test file.
#[derive(Debug, Clone, PartialEq)]
pub struct TestFile {
    /// What it was read from.
    pub document: Document,
    /// The workflow it tests, relative to the file itself.
    pub workflow: Option<Spanned<String>>,
    /// What holds for cases that say nothing themselves.
    pub defaults: SetupSpec,
    /// The cases, in file order.
    pub cases: Vec<CaseSpec>,
}

/// What a case starts from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SetupSpec {
    /// When the run begins, as RFC 3339.
    pub clock: Option<Spanned<String>>,
    /// The workflow's inputs.
    pub inputs: Option<Node>,
    /// How actions and steps behave, in file order.
    pub mocks: Vec<MockSpec>,
    /// When sites are down, in file order; what a case says replaces what the defaults say.
    pub outages: Option<Vec<OutageSpec>>,
    /// What must hold in every run; everything if it is not written.
    pub invariants: Option<Vec<Spanned<Invariant>>>,
}

/// A case.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseSpec {
    /// Its name.
    pub name: Spanned<String>,
    /// What it starts from, where it differs from the defaults.
    pub setup: SetupSpec,
    /// How often an operator resumes a run that needs one.
    pub resumes: Option<u32>,
    /// What is expected of every one of its runs.
    pub expect: ExpectSpec,
    /// Faults, one per run.
    pub sweep: SweepSpec,
}

macro_rules! invariants {
    ($($(#[$doc:meta])* $name:ident, $text:literal;)*) => {
        /// What holds in every run, whatever happens.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Invariant {
            $($(#[$doc])* $name,)*
        }

        impl Invariant {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name in a file.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

invariants! {
    /// No step starts before everything it needs has succeeded.
    NeedsFirst, "needs-first";
    /// A step has at most one attempt under way.
    OneAttemptAtATime, "one-attempt-at-a-time";
    /// No effect comes about twice under one key.
    DoneOnce, "done-once";
    /// Nothing is undone behind a pivot that has happened, or may have.
    NothingUndoneAfterPivot, "nothing-undone-after-pivot";
    /// Nothing is undone while a step that stands on it is still in effect.
    UndoneInReverse, "undone-in-reverse";
    /// A run that failed has left nothing in effect.
    AllUndoneWhenFailed, "all-undone-when-failed";
    /// What steps have of a resource is never more than there is to give.
    Budgets, "budgets";
    /// The run comes to an end.
    Ends, "ends";
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

pub(crate) const KEYS: [&str; 6] = ["apiVersion", "kind", "name", "workflow", "defaults", "cases"];
pub(crate) const SETUP_KEYS: [&str; 5] = ["clock", "inputs", "mocks", "outages", "invariants"];
pub(crate) const CASE_KEYS: [&str; 9] =
    ["name", "clock", "inputs", "mocks", "outages", "invariants", "resumes", "expect", "sweep"];

impl TestFile {
    /// Reads a test file and everything that is wrong with its form.
    #[must_use]
    pub fn read(document: &Document) -> (Self, Diagnostics) {
        let mut reader = Reader::new(&document.source);
        let root = &document.root;
        reader.head(document, "Test");
        reader.fields(root, "a test", &KEYS);
        // For people alone.
        let _: Option<String> = reader.optional(root, "name");
        let defaults = root.get("defaults");
        if let Some(node) = defaults {
            reader.fields(node, "the defaults of a test", &SETUP_KEYS);
        }
        let file = Self {
            document: document.clone(),
            workflow: reader.required(root, "workflow"),
            defaults: defaults.map(|node| read_setup(node, &mut reader)).unwrap_or_default(),
            cases: read_cases(root, &mut reader),
        };
        (file, reader.found)
    }
}

fn read_setup(node: &Node, reader: &mut Reader<'_>) -> SetupSpec {
    let inputs: Option<Node> = reader.optional(node, "inputs");
    if let Some(inputs) = inputs.as_ref().filter(|inputs| !matches!(inputs.content, Content::Map(_))) {
        reader.wrong_type(inputs, "a map of inputs");
    }
    SetupSpec {
        clock: reader.optional(node, "clock"),
        inputs,
        mocks: node.get("mocks").map(|mocks| mock::read_all(mocks, reader)).unwrap_or_default(),
        outages: reader.optional(node, "outages"),
        invariants: reader.optional(node, "invariants"),
    }
}

fn read_cases(root: &Node, reader: &mut Reader<'_>) -> Vec<CaseSpec> {
    let Some(node) = root.get("cases") else {
        reader.missing(root, "cases");
        return Vec::new();
    };
    let Content::List(items) = &node.content else {
        reader.wrong_type(node, "a list of cases");
        return Vec::new();
    };
    items.iter().filter_map(|item| read_case(item, reader)).collect()
}

fn read_case(node: &Node, reader: &mut Reader<'_>) -> Option<CaseSpec> {
    reader.fields(node, "a case", &CASE_KEYS)?;
    let setup = read_setup(node, reader);
    let resumes = reader.optional(node, "resumes");
    let expect = match node.get("expect") {
        Some(expect) => expect::read(expect, reader),
        None => {
            reader.missing(node, "expect");
            ExpectSpec::default()
        }
    };
    let sweep = node.get("sweep").map(|sweep| sweep::read(sweep, reader)).unwrap_or_default();
    let name = reader.required(node, "name")?;
    Some(CaseSpec { name, setup, resumes, expect, sweep })
}

impl Read for Invariant {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let names: Vec<&str> = Self::ALL.iter().map(|one| one.as_str()).collect();
        let name = one_of(node, "an invariant", &names, reader)?;
        Self::ALL.iter().copied().find(|one| one.as_str() == name)
    }
}

/// A word that is one of these.
pub(crate) fn one_of<'n>(
    node: &'n Node,
    what: &str,
    words: &[&str],
    reader: &mut Reader<'_>,
) -> Option<&'n str> {
    let Some(word) = node.as_text() else {
        reader.wrong_type(node, what);
        return None;
    };
    if words.contains(&word) {
        return Some(word);
    }
    refuse_word(word, node.span, what, words, reader);
    None
}

fn refuse_word(word: &str, span: Span, what: &str, words: &[&str], reader: &mut Reader<'_>) {
    let one = crate::diagnostic::Diagnostic::new(
        Code::Malformed,
        reader.source,
        span,
        format!("`{word}` is not {what}"),
    );
    let near = crate::diagnostic::nearest(word, words.iter().copied());
    let help = near
        .map_or_else(|| format!("there are: {}", words.join(", ")), |near| format!("did you mean `{near}`?"));
    reader.found.push(one.help(help));
}

/// One value or a list of values.
fn one_or_more<T: Read>(node: &Node, reader: &mut Reader<'_>) -> Vec<T> {
    match &node.content {
        Content::List(items) => items.iter().filter_map(|item| T::read(item, reader)).collect(),
        Content::Null | Content::Bool(_) | Content::Number(_) | Content::Text(_) | Content::Map(_) => {
            T::read(node, reader).into_iter().collect()
        }
    }
}

#[cfg(test)]
mod tests;
