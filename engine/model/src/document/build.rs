//! Events of the YAML parser to a tree.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError};
use serde_json::Number;

use super::flow::{self, Unquoted, Written};
use super::{Content, Document, Entry, Node, hints};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::source::{Source, Span, Spanned};

/// Most nodes a document may have once aliases are expanded: a workflow for thousands of VMs has a tenth of it, and a
/// bomb of nested aliases stops here.
const NODES_MAX: usize = 200_000;

/// Deepest nesting; reading is recursive.
const DEPTH_MAX: usize = 64;

/// Reading stops at this place: the mistake is already in the list.
struct Stop(usize);

/// Reads a document. Where YAML cannot be read because of expressions that are not quoted, each of them is told, and it is read
/// as if they were.
///
/// # Errors
/// Everything up to the place where reading stopped.
pub(super) fn document(source: &Source) -> Result<Document, Diagnostics> {
    let as_written = Attempt::make(source, &[]);
    let Err(Stop(at)) = as_written.root else { return as_written.document(source) };
    let mut values = flow::unquoted_values(source.text());
    if values.is_empty() {
        return as_written.document(source);
    }
    let mut repaired = Attempt::make(source, &values);
    if !repaired.misjudged.is_empty() {
        values.retain(|value| !repaired.misjudged.contains(value));
        repaired = Attempt::make(source, &values);
    }
    let gets_further = repaired.root.as_ref().map_or_else(|Stop(later)| *later > at, |_| true);
    if gets_further { repaired.document(source) } else { as_written.document(source) }
}

/// What became of reading a text.
struct Attempt {
    root: Result<Node, Stop>,
    found: Diagnostics,
    /// What was taken for an unquoted value and stands in a text of another kind.
    misjudged: Vec<Unquoted>,
}

impl Attempt {
    /// Reads the text as if these values were quoted.
    fn make(source: &Source, unquoted: &[Unquoted]) -> Self {
        let text = flow::masked(source.text(), unquoted);
        let mut builder = Builder {
            source,
            parser: Parser::new_from_str(&text),
            anchors: BTreeMap::new(),
            nodes: 0,
            tag: None,
            unquoted,
            misjudged: Vec::new(),
            found: Diagnostics::new(),
        };
        let root = builder.stream();
        Self { root, found: builder.found, misjudged: builder.misjudged }
    }

    fn document(self, source: &Source) -> Result<Document, Diagnostics> {
        let found = self.found.sorted();
        match self.root {
            Ok(root) => Ok(Document { source: source.clone(), root: root.into(), noted: found }),
            Err(Stop(_)) => Err(found),
        }
    }
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
    /// The tag of the latest event.
    tag: Option<Span>,
    /// What is read as if it were quoted.
    unquoted: &'a [Unquoted],
    misjudged: Vec<Unquoted>,
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
                Some(Ok((event, span))) => {
                    self.tag = span.tag_span().map(|tag| bytes(&tag));
                    return Ok((event, bytes(&span)));
                }
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
        Stop(span.start)
    }

    /// What the parser stumbled over.
    fn syntax(&mut self, error: &ScanError) -> Stop {
        let at = error.marker().byte_offset().unwrap_or(0).min(self.source.text().len());
        let message = format!("cannot be read as YAML: {}", error.info());
        let width = self.source.text()[at..].chars().next().map_or(0, char::len_utf8);
        let mut one = Diagnostic::new(Code::Syntax, self.source, Span::new(at, at + width), message);
        one.help = hints::syntax(self.source.text(), at);
        self.found.push(one);
        Stop(at)
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Stop> {
        self.count(1, span)?;
        if depth > DEPTH_MAX {
            return Err(self.stop(Code::Document, span, format!("nested more than {DEPTH_MAX} deep")));
        }
        let tag = self.tag.take();
        let before = self.nodes;
        let (mut node, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => (self.scalar(&text, style, span), anchor),
            Event::SequenceStart(_, anchor, _) => (self.list(span, depth)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.map(span, depth)?, anchor),
            Event::Alias(anchor) => (self.alias(anchor, span)?, 0),
            _ => return Err(self.stop(Code::Syntax, span, "a value is missing here")),
        };
        if let Some(tag) = tag {
            node = self.tagged(node, tag);
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

    /// Notes a tag. An expression's `!` may have been meant, and then the node is read as that.
    fn tagged(&mut self, node: Node, tag: Span) -> Node {
        let written = self.source.slice(tag);
        let message = "tags (`!name`) are not part of the language";
        let one = Diagnostic::new(Code::Syntax, self.source, tag, message);
        let meant = match &node.content {
            Content::Null if written.len() > 1 && !written.starts_with("!!") => {
                Some(format!("${{{{ {written} }}}}"))
            }
            Content::Text(text) if written == "!" => Some(format!("${{{{ !{text} }}}}")),
            _ => None,
        };
        let Some(meant) = meant else {
            self.found.push(one.help("leave it out"));
            return node;
        };
        let quoted = meant.replace('"', "\\\"");
        self.found.push(one.help(format!("an expression that begins with `!` is `\"{quoted}\"`")));
        let span = Span::new(tag.start, node.span.end.max(tag.end));
        Node { content: Content::Text(meant), span }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, span: Span) -> Node {
        let content = match style {
            ScalarStyle::Plain => self.meant(span).map_or_else(|| plain(text), Content::Text),
            ScalarStyle::SingleQuoted
            | ScalarStyle::DoubleQuoted
            | ScalarStyle::Literal
            | ScalarStyle::Folded => {
                self.misjudged.extend(self.unquoted_in(span).cloned());
                Content::Text(text.to_owned())
            }
        };
        Node { content, span }
    }

    fn unquoted_in(&self, span: Span) -> impl Iterator<Item = &'a Unquoted> + use<'a> {
        self.unquoted.iter().filter(move |one| span.start < one.span.end && one.span.start < span.end)
    }

    /// The text of a value that should have been quoted, which is noted; nothing for every other.
    fn meant(&mut self, span: Span) -> Option<String> {
        let value = self.unquoted_in(span).next()?;
        let text = self.source.slice(span);
        let meant = flow::rewritten(text);
        let (code, message) = match value.written {
            Written::Ours if meant == text => {
                (Code::UnquotedExpression, "an expression inside `{ }` or `[ ]` must be quoted")
            }
            Written::Ours => (Code::OtherEngine, "`{{ }}` and `${ }` are no expressions"),
            Written::Braces => (Code::OtherEngine, "`{{ }}` is no expression, and unquoted not even text"),
            Written::Dollar => (Code::OtherEngine, "`${ }` is no expression"),
        };
        let one = Diagnostic::new(code, self.source, span, message);
        let quoted = meant.replace('"', "\\\"");
        let help = if meant == text {
            format!("quote it: `\"{quoted}\"`")
        } else {
            format!("write `\"{quoted}\"`, in quotes")
        };
        self.found.push(one.help(help));
        Some(meant)
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
            Event::Scalar(text, style, ..) => {
                let value = Some(style).filter(|style| *style == ScalarStyle::Plain);
                let value = value.and_then(|_| self.meant(span)).unwrap_or_else(|| text.into_owned());
                Ok(Spanned { value, span })
            }
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
