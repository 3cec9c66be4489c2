//! A TOML document as the same tree, so that the readers know one form alone.

use serde_json::Number;
use toml::Spanned as Written;
use toml::de::{DeTable, DeValue};

use super::{Content, Document, Entry, Node};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::source::{Source, Span, Spanned};

/// The longest file: people read it, and reading is done whole.
const BYTES_MAX: usize = 1024 * 1024;

pub(super) fn document(source: &Source) -> Result<Document, Diagnostics> {
    let bytes = source.text().len();
    if bytes > BYTES_MAX {
        let message = format!("the file has {bytes} bytes: {BYTES_MAX} are the most");
        return Err(Diagnostic::new(Code::Document, source, Span::default(), message).into());
    }
    let (root, errors) = DeTable::parse_recoverable(source.text());
    let mut found = Diagnostics::new();
    for error in errors {
        let at = error.span().map_or_else(Span::default, |span| Span::new(span.start, span.end));
        let message = format!("cannot be read as TOML: {}", error.message());
        found.push(Diagnostic::new(Code::Syntax, source, at, message));
    }
    let root = Node { content: map(root.get_ref()), span: Span::new(0, bytes) };
    found.or(Some(Document { source: source.clone(), root: root.into(), noted: Diagnostics::new() }))
}

/// The parser hands entries out by name; in the tree they stand as in the file.
fn map(table: &DeTable<'_>) -> Content {
    let entry = |(key, value): (&Written<_>, &Written<_>)| Entry {
        key: Spanned { value: String::from(key.get_ref() as &str), span: span_of(key) },
        value: node(value),
    };
    let mut entries: Vec<Entry> = table.iter().map(entry).collect();
    entries.sort_by_key(|entry| entry.key.span);
    Content::Map(entries)
}

fn node(written: &Written<DeValue<'_>>) -> Node {
    let content = match written.get_ref() {
        DeValue::String(text) => Content::Text(text.clone().into_owned()),
        DeValue::Boolean(flag) => Content::Bool(*flag),
        DeValue::Integer(number) => {
            number_or_nothing(i64::from_str_radix(number.as_str(), number.radix()).ok().map(Number::from))
        }
        DeValue::Float(number) => number_or_nothing(number.as_str().parse().ok().and_then(Number::from_f64)),
        DeValue::Datetime(_) => Content::Null,
        DeValue::Array(items) => Content::List(items.iter().map(node).collect()),
        DeValue::Table(table) => map(table),
    };
    Node { content, span: span_of(written) }
}

/// The tree has no dates, no infinity and no number beyond its own: readers find nothing there, and say what they expect.
fn number_or_nothing(number: Option<Number>) -> Content {
    number.map_or(Content::Null, Content::Number)
}

fn span_of<T>(written: &Written<T>) -> Span {
    let span = written.span();
    Span::new(span.start, span.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Document, Vec<(Code, String)>> {
        let source = Source::new("t.toml", text);
        let place = |one: &Diagnostic| (one.code, source.slice(one.span).to_owned());
        Document::parse_toml(&source).map_err(|found| found.iter().map(place).collect())
    }

    /// Tables, lists and values are the tree that YAML has, in file order and with their places.
    #[test]
    fn toml_is_the_same_tree() {
        let text = "z = 'ä'\na = [1, 0x10, -2.5, true]\n[b.c]\nd = \"e\"\n[[f]]\ng = 1\n[[f]]\n";
        let document = parse(text).unwrap();
        let expected = serde_json::json!({
            "z": "ä", "a": [1, 16, -2.5, true], "b": { "c": { "d": "e" } }, "f": [{ "g": 1 }, {}]
        });
        assert_eq!(document.root.to_json().to_string(), expected.to_string());
        let spans = ["z", "a"].map(|key| document.source.slice(document.root.get(key).unwrap().span));
        assert_eq!(spans, ["'ä'", "[1, 0x10, -2.5, true]"]);
    }

    /// What is no TOML is told where it stands, and one mistake hides no other; what the tree has no value for is nothing.
    #[test]
    fn mistakes_have_their_places() {
        assert_eq!(parse("a = 1\na = 2\n").unwrap_err(), [(Code::Syntax, "a".to_owned())]);
        assert_eq!(parse("a =\nb = [\n").unwrap_err().len(), 2);
        assert_eq!(parse(&"#".repeat(BYTES_MAX + 1)).unwrap_err()[0].0, Code::Document);
        assert_eq!(parse(&format!("a = {}", "[".repeat(100_000))).unwrap_err()[0].0, Code::Syntax);
        let nothing = parse("a = [1979-05-27, inf, 9_223_372_036_854_775_808]").unwrap();
        assert_eq!(nothing.root.to_json().to_string(), r#"{"a":[null,null,null]}"#);
    }

    /// Cut off at any place, and with something odd at any place, a file is read or its mistakes can be shown.
    #[test]
    fn broken_files_can_be_shown() {
        let text = "ä = 'ö' # ü\n[b.\"c d\"]\ne = [1, 2.5, { f = '😀' }]\n[[g]]\nh = \"\"\"\ni\\n\"\"\"\n";
        let mut broken = 0;
        for (at, _) in text.char_indices() {
            let (before, behind) = text.split_at(at);
            let odd =
                ["😀", "\0", "\r", "ß[", "\"", "'''", "=", "{"].map(|odd| format!("{before}{odd}{behind}"));
            for text in odd.into_iter().chain([before.to_owned()]) {
                if let Err(found) = Document::parse_toml(&Source::new("t.toml", &text)) {
                    broken += 1;
                    assert!(found.render(false).contains("[t.toml:"), "{text:?}");
                }
            }
        }
        assert!(broken > 100, "{broken}");
    }
}
