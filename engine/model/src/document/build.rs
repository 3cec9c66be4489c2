//! Events of the YAML parser to a tree.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError};
use serde_json::Number;

use super::{Content, Document, Entry, Node, flow};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::source::{Source, Span, Spanned};

/// Most nodes a document may have once aliases are expanded: a workflow for thousands of VMs has a tenth of it, and a
/// bomb of nested aliases stops here.
const NODES_MAX: usize = 200_000;

/// Deepest nesting; reading is recursive.
const DEPTH_MAX: usize = 64;

/// Reading stops: the mistake is already in the list.
struct Stop;

pub(super) fn document(source: &Source) -> Result<Document, Diagnostics> {
    let mut builder = Builder {
        source,
        parser: Parser::new_from_str(source.text()),
        anchors: BTreeMap::new(),
        nodes: 0,
        found: Diagnostics::new(),
    };
    let root = builder.stream().ok();
    builder.found.or(root.map(|root| Document { source: source.clone(), root: root.into() }))
}

/// Where a carriage return stands that no line feed follows. Lines could not be counted as a person counts them.
fn lone_return(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().position(|(at, byte)| *byte == b'\r' && bytes.get(at + 1) != Some(&b'\n'))
}

struct Builder<'a> {
    source: &'a Source,
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    anchors: BTreeMap<usize, (Node, usize)>,
    nodes: usize,
    found: Diagnostics,
}

impl<'a> Builder<'a> {
    fn stream(&mut self) -> Result<Node, Stop> {
        if let Some(at) = lone_return(self.source.text()) {
            let message =
                "a carriage return without a line feed: YAML breaks the line here, and editors do not";
            return Err(self.stop(Code::Syntax, Span::new(at, at + 1), message));
        }
        self.next()?;
        match self.next()? {
            (Event::DocumentStart(..), _) => {}
            (_, span) => return Err(self.stop(Code::Document, span, "the file is empty")),
        }
        let (event, span) = self.next()?;
        let root = self.node(event, span, 0)?;
        self.next()?;
        if let (Event::DocumentStart(..), span) = self.next()? {
            return Err(self.stop(Code::Document, span, "a second document begins"));
        }
        if !matches!(root.content, Content::Map(_)) {
            let message = format!("a file holds a map, this one is {}", root.type_name());
            return Err(self.stop(Code::Document, root.span, message));
        }
        Ok(root)
    }

    /// The next event that is not a comment.
    fn next(&mut self) -> Result<(Event<'a>, Span), Stop> {
        loop {
            match self.parser.next_event() {
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok((event, span))) => return Ok((event, bytes(&span))),
                Some(Err(error)) => return Err(self.syntax(&error)),
                None => {
                    return Ok((
                        Event::StreamEnd,
                        Span::new(self.source.text().len(), self.source.text().len()),
                    ));
                }
            }
        }
    }

    fn stop(&mut self, code: Code, span: Span, message: impl Into<String>) -> Stop {
        self.found.push(Diagnostic::new(code, self.source, span, message));
        Stop
    }

    /// What the parser stumbled over: an unquoted expression if there is one, for its own message would not say so.
    fn syntax(&mut self, error: &ScanError) -> Stop {
        let at = error.marker().byte_offset().unwrap_or(0).min(self.source.text().len());
        let unquoted = flow::unquoted_expressions(self.source.text());
        if unquoted.iter().any(|span| span.start <= at) {
            for span in unquoted {
                let written = self.source.slice(span);
                let help = format!("quote it: `\"{}\"`", written.replace('"', "\\\""));
                let message = "an expression inside `{ }` or `[ ]` must be quoted";
                self.found
                    .push(Diagnostic::new(Code::UnquotedExpression, self.source, span, message).help(help));
            }
            return Stop;
        }
        let message = format!("cannot be read as YAML: {}", error.info());
        let width = self.source.text()[at..].chars().next().map_or(0, char::len_utf8);
        self.stop(Code::Syntax, Span::new(at, at + width), message)
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Stop> {
        self.count(1, span)?;
        if depth > DEPTH_MAX {
            return Err(self.stop(Code::Document, span, format!("nested more than {DEPTH_MAX} deep")));
        }
        let tagged = event.tag().is_some();
        let before = self.nodes;
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => (Self::scalar(&text, style, span), anchor),
            Event::SequenceStart(_, anchor, _) => (self.list(span, depth)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.map(span, depth)?, anchor),
            Event::Alias(anchor) => (self.alias(anchor, span)?, 0),
            _ => return Err(self.stop(Code::Syntax, span, "a value is missing here")),
        };
        if tagged {
            return Err(self.stop(Code::Syntax, node.span, "tags (`!name`) are not part of the language"));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before + 1));
        }
        Ok(node)
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), Stop> {
        self.nodes += nodes;
        if self.nodes <= NODES_MAX {
            return Ok(());
        }
        Err(self.stop(Code::Document, span, format!("the document has more than {NODES_MAX} values")))
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<Node, Stop> {
        let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
            return Err(self.stop(Code::Syntax, span, "an alias inside its own anchor"));
        };
        self.count(size, span)?;
        Ok(Node { span, ..node })
    }

    fn scalar(text: &str, style: ScalarStyle, span: Span) -> Node {
        let content = match style {
            ScalarStyle::Plain => plain(text),
            ScalarStyle::SingleQuoted
            | ScalarStyle::DoubleQuoted
            | ScalarStyle::Literal
            | ScalarStyle::Folded => Content::Text(text.to_owned()),
        };
        Node { content, span }
    }

    fn list(&mut self, start: Span, depth: usize) -> Result<Node, Stop> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                let span = Span::new(start.start, span.end.max(start.end));
                return Ok(Node { content: Content::List(items), span });
            }
            items.push(self.node(event, span, depth + 1)?);
        }
    }

    fn map(&mut self, start: Span, depth: usize) -> Result<Node, Stop> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: BTreeMap<String, Span> = BTreeMap::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                let begin =
                    entries.first().map_or(start.start, |first| first.key.span.start.min(start.start));
                let span = Span::new(begin, span.end.max(start.end));
                return Ok(Node { content: Content::Map(entries), span });
            }
            let key = self.key(event, span)?;
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            match seen.get(&key.value) {
                Some(first) => self.duplicate(&key, *first),
                None => {
                    seen.insert(key.value.clone(), key.span);
                    entries.push(Entry { key, value });
                }
            }
        }
    }

    fn key(&mut self, event: Event<'a>, span: Span) -> Result<Spanned<String>, Stop> {
        match event {
            Event::Scalar(text, ..) => Ok(Spanned { value: text.into_owned(), span }),
            _ => Err(self.stop(Code::Syntax, span, "a key must be text")),
        }
    }

    fn duplicate(&mut self, key: &Spanned<String>, first: Span) {
        let message = format!("key `{}` stands twice", key.value);
        self.found.push(
            Diagnostic::new(Code::DuplicateKey, self.source, key.span, message)
                .and_at(first, "first here")
                .help("remove or rename one of them"),
        );
    }
}

fn bytes(span: &granit_parser::Span) -> Span {
    let range = span.byte_range().unwrap_or_default();
    Span::new(range.start, range.end)
}

/// An unquoted scalar in YAML 1.2's core schema.
fn plain(text: &str) -> Content {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Content::Null,
        "true" | "True" | "TRUE" => Content::Bool(true),
        "false" | "False" | "FALSE" => Content::Bool(false),
        _ => number(text).map_or_else(|| Content::Text(text.to_owned()), Content::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok().map(Number::from);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || !digits.contains(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    if digits.chars().all(|c| c.is_ascii_digit()) {
        let whole = text.strip_prefix('+').unwrap_or(text);
        return whole
            .parse::<i64>()
            .map(Number::from)
            .or_else(|_| whole.parse::<u64>().map(Number::from))
            .ok();
    }
    let real = digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+'));
    real.then(|| text.parse().ok().and_then(Number::from_f64)).flatten()
}
