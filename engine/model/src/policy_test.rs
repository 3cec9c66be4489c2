//! A test of a policy as its file says it (`kind: PolicyTest`): typed, with places, the script not yet asked.

use std::fmt;

use crate::diagnostic::{Code, Diagnostics};
use crate::document::{Content, Document, Node};
use crate::policy::{Hook, Verdict};
use crate::read::{Read, Reader};
use crate::source::Spanned;
use crate::test::one_of;

/// A test file of a policy.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyTest {
    /// What it was read from.
    pub document: Document,
    /// The script it tests, relative to the file itself.
    pub policy: Option<Spanned<String>>,
    /// What holds for cases that say nothing themselves.
    pub defaults: Question,
    /// The cases, in file order.
    pub cases: Vec<PolicyCase>,
}

/// What a policy is asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Question {
    /// At which hook.
    pub at: Option<Hook>,
    /// At what time, as RFC 3339.
    pub now: Option<Spanned<String>>,
    /// What its script is given besides the view.
    pub with: Option<Node>,
    /// What it sees where that differs from a plain view.
    pub view: Option<Node>,
}

/// A case.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyCase {
    /// Its name.
    pub name: Spanned<String>,
    /// What is asked, where it differs from the defaults.
    pub question: Question,
    /// What is expected.
    pub decision: Option<Spanned<Expected>>,
    /// Text that stands in the reason.
    pub because: Option<Spanned<String>>,
}

/// What a policy is expected to say: of several answers the strictest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expected {
    /// Nothing speaks against it.
    Allow,
    /// It warns.
    Warn,
    /// It wants people asked.
    Approval,
    /// It denies.
    Deny,
    /// It cannot decide, which denies as well.
    Error,
}

impl Expected {
    /// All of them, the strictest last.
    pub const ALL: [Self; 5] = [Self::Allow, Self::Warn, Self::Approval, Self::Deny, Self::Error];

    /// The word in a file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Warn => "warn",
            Self::Approval => "approval",
            Self::Deny => "deny",
            Self::Error => "error",
        }
    }

    /// What a verdict comes to.
    #[must_use]
    pub fn of(verdict: &Verdict) -> Self {
        let word = verdict.decision.word();
        Self::ALL.into_iter().find(|one| one.as_str() == word).unwrap_or(Self::Error)
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

pub(crate) const KEYS: [&str; 6] = ["apiVersion", "kind", "name", "policy", "defaults", "cases"];
pub(crate) const QUESTION_KEYS: [&str; 4] = ["at", "now", "with", "view"];
pub(crate) const CASE_KEYS: [&str; 6] = ["name", "at", "now", "with", "view", "expect"];
pub(crate) const EXPECT_KEYS: [&str; 2] = ["decision", "because"];

impl PolicyTest {
    /// Reads a test file and everything that is wrong with its form.
    #[must_use]
    pub fn read(document: &Document) -> (Self, Diagnostics) {
        let mut reader = Reader::new(&document.source);
        let root = &document.root;
        reader.head(document, "PolicyTest");
        reader.fields(root, "a test of a policy", &KEYS);
        // For people alone.
        let _: Option<String> = reader.optional(root, "name");
        let defaults = root.get("defaults");
        if let Some(node) = defaults {
            reader.fields(node, "the defaults of a test", &QUESTION_KEYS);
        }
        let test = Self {
            document: document.clone(),
            policy: reader.required(root, "policy"),
            defaults: defaults.map(|node| question(node, &mut reader)).unwrap_or_default(),
            cases: cases(root, &mut reader),
        };
        (test, reader.found)
    }
}

fn question(node: &Node, reader: &mut Reader<'_>) -> Question {
    let question = Question {
        at: reader.optional(node, "at"),
        now: reader.optional(node, "now"),
        with: reader.optional(node, "with"),
        view: reader.optional(node, "view"),
    };
    for map in [&question.with, &question.view].into_iter().flatten() {
        if !matches!(map.content, Content::Map(_)) {
            reader.wrong_type(map, "a map");
        }
    }
    question
}

fn cases(root: &Node, reader: &mut Reader<'_>) -> Vec<PolicyCase> {
    let Some(node) = root.get("cases") else {
        reader.missing(root, "cases");
        return Vec::new();
    };
    let Content::List(items) = &node.content else {
        reader.wrong_type(node, "a list of cases");
        return Vec::new();
    };
    items.iter().filter_map(|item| case(item, reader)).collect()
}

fn case(node: &Node, reader: &mut Reader<'_>) -> Option<PolicyCase> {
    reader.fields(node, "a case", &CASE_KEYS)?;
    let question = question(node, reader);
    let (mut decision, mut because) = (None, None);
    match node.get("expect") {
        Some(expect) => {
            reader.fields(expect, "an expectation", &EXPECT_KEYS);
            decision = reader.required(expect, "decision");
            because = reader.optional(expect, "because");
        }
        None => reader.missing(node, "expect"),
    }
    let name: Spanned<String> = reader.required(node, "name")?;
    if !name.value.chars().any(char::is_alphanumeric) {
        reader.report(Code::Malformed, name.span, "a case's name has at least one letter or digit");
    }
    Some(PolicyCase { name, question, decision, because })
}

impl Read for Hook {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let word = one_of(node, "when a policy is asked", &Self::ALL.map(Self::as_str), reader)?;
        Self::of(word)
    }
}

impl Read for Expected {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let word = one_of(node, "what a policy says", &Self::ALL.map(Self::as_str), reader)?;
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }
}
