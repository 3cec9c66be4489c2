//! A document as a tree of values that know where they stand.
//!
//! YAML 1.2 core schema (JSON is a part of it), read from events with byte spans into a tree of our own: parsers that
//! build typed values report one mistake and forget the places. Anchors and aliases are accepted, tags and repeated keys
//! are not. TOML, in which plugins and locks are written, becomes the same tree.

mod build;
mod flow;
mod hints;
mod places;
mod toml;

use std::sync::Arc;

use serde_json::{Map, Number, Value};

use crate::diagnostic::Diagnostics;
use crate::source::{Source, Span, Spanned};

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub content: Content,
    /// Where it stands, quotes included.
    pub span: Span,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in file order; no key stands twice.
    Map(Vec<Entry>),
}

/// An entry of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: Spanned<String>,
    /// Its value.
    pub value: Node,
}

/// A document that could be read; what it says has not been looked at. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// What it was read from.
    pub source: Source,
    /// Its outermost value, a map.
    pub root: Arc<Node>,
    /// What is wrong with its form and did not hinder reading. [`Reader::head`](crate::read::Reader::head) tells it with what
    /// else is wrong.
    pub noted: Diagnostics,
}

impl Document {
    /// Reads a document that is to be taken as it is.
    ///
    /// # Errors
    /// Every mistake in its form. A mistake in the YAML itself ends the list.
    pub fn parse(source: &Source) -> Result<Self, Diagnostics> {
        let document = build::document(source)?;
        if document.noted.is_empty() { Ok(document) } else { Err(document.noted) }
    }

    /// Reads a document for whoever looks for mistakes: one that has some in its form is given as it was probably meant, with
    /// those mistakes [noted](Self::noted), so that they do not hide the others.
    ///
    /// # Errors
    /// Every mistake in the form of a document that cannot be read to its end.
    pub fn parse_noting(source: &Source) -> Result<Self, Diagnostics> {
        build::document(source)
    }

    /// Reads a document that is TOML.
    ///
    /// # Errors
    /// Every mistake in its form.
    pub fn parse_toml(source: &Source) -> Result<Self, Diagnostics> {
        toml::document(source)
    }

    /// What `kind` says, if it says anything.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        self.root.get("kind").and_then(Node::as_text)
    }
}

impl Node {
    /// The value of a key, if this is a map that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| entry.key.value == key).map(|entry| &entry.value)
    }

    /// The entries of a map; none of anything else.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Map(entries) => entries,
            Content::Null | Content::Bool(_) | Content::Number(_) | Content::Text(_) | Content::List(_) => {
                &[]
            }
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            Content::Null | Content::Bool(_) | Content::Number(_) | Content::List(_) | Content::Map(_) => {
                None
            }
        }
    }

    /// What it is, for messages.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match &self.content {
            Content::Null => "nothing",
            Content::Bool(_) => "a truth value",
            Content::Number(_) => "a number",
            Content::Text(_) => "text",
            Content::List(_) => "a list",
            Content::Map(_) => "a map",
        }
    }

    /// It without its places.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(flag) => Value::Bool(*flag),
            Content::Number(number) => Value::Number(number.clone()),
            Content::Text(text) => Value::String(text.clone()),
            Content::List(items) => items.iter().map(Self::to_json).collect(),
            Content::Map(entries) => {
                let entry = |entry: &Entry| (entry.key.value.clone(), entry.value.to_json());
                Value::Object(entries.iter().map(entry).collect::<Map<_, _>>())
            }
        }
    }

    /// The node at a JSON pointer, or the nearest one above it.
    #[must_use]
    pub fn nearest(&self, pointer: &str) -> &Self {
        let mut node = self;
        for token in pointer.split('/').skip(1) {
            let Some(next) = node.child(token) else { break };
            node = next;
        }
        node
    }

    /// The node at a JSON pointer.
    #[must_use]
    pub fn at(&self, pointer: &str) -> Option<&Self> {
        pointer.split('/').skip(1).try_fold(self, Self::child)
    }

    fn child(&self, token: &str) -> Option<&Self> {
        let key = token.replace("~1", "/").replace("~0", "~");
        match &self.content {
            Content::List(items) => items.get(key.parse::<usize>().ok()?),
            Content::Null | Content::Bool(_) | Content::Number(_) | Content::Text(_) | Content::Map(_) => {
                self.get(&key)
            }
        }
    }

    /// Where in the source a stretch of this node's text stands, whatever style it is written in; the whole node where that
    /// cannot be told.
    #[must_use]
    pub fn span_within(&self, source: &Source, start: usize, end: usize) -> Span {
        let Some(text) = self.as_text() else { return self.span };
        let start = start.min(text.len());
        let stretch = Span::new(start, end.clamp(start, text.len()));
        let written = source.slice(self.span);
        if written == text {
            return Span::new(self.span.start + stretch.start, self.span.start + stretch.end);
        }
        places::within(source, self.span, text, stretch).unwrap_or(self.span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Code;

    fn parse(text: &str) -> Result<Document, Diagnostics> {
        Document::parse(&Source::new("t.yaml", text))
    }

    fn codes(text: &str) -> Vec<(Code, String)> {
        let found = parse(text).unwrap_err();
        found.iter().map(|one| (one.code, one.source.slice(one.span).to_owned())).collect()
    }

    /// Scalars get the types of YAML 1.2's core schema, quoted ones are text, and aliases stand for their anchors.
    #[test]
    fn scalars_have_core_types() {
        let text = "a: [1, -2.5, true, null, ~, no, 1:30, '1', 0x10, 1e3]\nb: &x { c: d }\ne: *x\n";
        let json = parse(text).unwrap().root.to_json();
        let expected = serde_json::json!({
            "a": [1, -2.5, true, null, null, "no", "1:30", "1", 16, 1000.0], "b": {"c": "d"}, "e": {"c": "d"}
        });
        assert_eq!(json, expected);
        assert_eq!(parse("{\"a\": {\"b\": [1]}}").unwrap().root.to_json()["a"]["b"][0], 1);
    }

    /// Spans are bytes of the source, and a stretch of a text is found inside its quotes.
    #[test]
    fn spans_point_at_what_was_written() {
        let document = parse("ä: \"x ${{ y }}\"\n").unwrap();
        let node = document.root.get("ä").unwrap();
        assert_eq!(document.source.slice(node.span), "\"x ${{ y }}\"");
        assert_eq!(document.source.slice(node.span_within(&document.source, 6, 7)), "y");
    }

    /// Each trap of YAML has its own diagnostic at its own place.
    #[test]
    fn traps_have_their_own_diagnostics() {
        assert_eq!(codes("a: 1\nb: 2\na: 3\n"), [(Code::DuplicateKey, "a".into())]);
        assert_eq!(codes("with: { vm: ${{ vm }}, to: ${{ inputs.to }} }\n").len(), 2);
        assert_eq!(codes("with: { vm: ${{ vm }} }\n"), [(Code::UnquotedExpression, "${{ vm }}".into())]);
        assert_eq!(codes("- a\n")[0].0, Code::Document);
        assert_eq!(codes("")[0].0, Code::Document);
        assert_eq!(codes("a: 1\n---\na: 1\n")[0].0, Code::Document);
        assert_eq!(codes("a: [1\n")[0].0, Code::Syntax);
        assert_eq!(codes("a: !secret x\n")[0].0, Code::Syntax);
        assert_eq!(codes("a: &x [*x]\n")[0].0, Code::Syntax);
        assert_eq!(codes("a: 1\rb: 2\n"), [(Code::Syntax, "\r".into())]);
        assert!(parse("a: 1\r\nb: 2\r\n").is_ok());
    }

    /// A few lines of aliases cannot blow up into a tree that fills the memory.
    #[test]
    fn alias_bombs_are_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let below = format!("*a{}", level - 1);
            text += &format!("a{level}: &a{level} [{}]\n", vec![below; 10].join(", "));
        }
        assert_eq!(codes(&text)[0].0, Code::Document);
    }
}
