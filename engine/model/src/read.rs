//! From nodes to typed values, with every mistake collected.

mod foreign;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use semver::Version;

use crate::diagnostic::{Code, Diagnostic, Diagnostics, nearest};
use crate::document::{Content, Document, Entry, Node};
use crate::ids::{PluginName, SiteId, StepId, VmId};
use crate::source::{Source, Span, Spanned};
use crate::units::{Bandwidth, Size, Time};

/// The version of the format that this program reads and writes.
pub const API_VERSION: &str = "longhaul/v1";

/// The kinds of documents there are.
pub const KINDS: [&str; 7] = ["Workflow", "Defaults", "Test", "PolicyTest", "Vm", "Site", "Sites"];

/// The kind that a document is meant to be: the one it names, or the one whose name is near to that.
#[must_use]
pub fn kind_meant(written: &str) -> Option<&'static str> {
    let exactly = KINDS.into_iter().find(|kind| *kind == written);
    exactly.or_else(|| nearest(written, KINDS))
}

/// Reads nodes of one source and keeps what is wrong with them.
#[derive(Debug)]
pub struct Reader<'a> {
    /// The source.
    pub source: &'a Source,
    /// What was wrong so far.
    pub found: Diagnostics,
}

/// A type that can be read from a node.
pub trait Read: Sized {
    /// The value, or nothing after a mistake was noted.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self>;
}

impl<'a> Reader<'a> {
    /// A reader that found nothing yet.
    #[must_use]
    pub fn new(source: &'a Source) -> Self {
        Self { source, found: Diagnostics::new() }
    }

    /// Notes a mistake.
    pub fn report(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.found.push(Diagnostic::new(code, self.source, span, message));
    }

    /// Notes that a node is not what was expected.
    pub fn wrong_type(&mut self, node: &Node, expected: &str) {
        let message = format!("expected {expected}, found {}", node.type_name());
        self.report(Code::WrongType, node.span, message);
    }

    /// The entries of a map whose keys must be among `known`.
    pub fn fields<'n>(&mut self, node: &'n Node, what: &str, known: &[&str]) -> Option<&'n [Entry]> {
        let Content::Map(entries) = &node.content else {
            self.wrong_type(node, &format!("{what}, a map"));
            return None;
        };
        for entry in entries {
            self.check_key(&entry.key, what, known);
        }
        Some(entries)
    }

    fn check_key(&mut self, key: &Spanned<String>, what: &str, known: &[&str]) {
        let name = key.value.as_str();
        if name.starts_with("x-") || known.contains(&name) {
            return;
        }
        let message = format!("unknown key `{name}` in {what}");
        let one = Diagnostic::new(Code::UnknownKey, self.source, key.span, message);
        let help = foreign::help(name, known).unwrap_or_else(|| match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}", known.join(", ")),
        });
        self.found.push(one.help(help));
    }

    /// The value of a key that must be there.
    pub fn required<T: Read>(&mut self, node: &Node, key: &str) -> Option<T> {
        match node.get(key) {
            Some(value) => T::read(value, self),
            None => {
                self.missing(node, key);
                None
            }
        }
    }

    /// Notes that a map lacks a key.
    pub fn missing(&mut self, node: &Node, key: &str) {
        let first = node.entries().first().map_or(node.span, |entry| entry.key.span);
        self.report(Code::MissingKey, first, format!("key `{key}` is missing"));
    }

    /// The value of a key that may be missing.
    pub fn optional<T: Read>(&mut self, node: &Node, key: &str) -> Option<T> {
        node.get(key).and_then(|value| T::read(value, self))
    }

    /// Text that has a form.
    pub fn parsed<T: FromStr<Err: std::fmt::Display>>(&mut self, node: &Node, what: &str) -> Option<T> {
        let Some(text) = node.as_text() else {
            self.wrong_type(node, what);
            return None;
        };
        let error = match text.parse() {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        // Our own types say what is wrong and what would be right; the standard library's do neither.
        let said = error.to_string();
        let message = if said.contains(text) { said } else { format!("`{text}` is not {what}") };
        self.report(Code::Malformed, node.span, message);
        None
    }

    /// Checks `apiVersion` and `kind`, the head of every document, and tells what was noted when it was read.
    pub fn head(&mut self, document: &Document, kind: &str) {
        self.found.append(document.noted.clone());
        let root = &document.root;
        if let Some(version) = self.required::<Spanned<String>>(root, "apiVersion")
            && version.value != API_VERSION
        {
            let message = format!("version `{}` is not known", version.value);
            let one = Diagnostic::new(Code::Version, self.source, version.span, message);
            self.found.push(one.help(format!("this program reads `{API_VERSION}`")));
        }
        if let Some(found) = self.required::<Spanned<String>>(root, "kind")
            && found.value != kind
        {
            let message = format!("expected kind `{kind}`, found `{}`", found.value);
            let one = Diagnostic::new(Code::Kind, self.source, found.span, message);
            self.found.push(one.did_you_mean(&found.value, [kind]));
        }
    }
}

impl Read for String {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = node.as_text();
        if text.is_none() {
            reader.wrong_type(node, "text");
        }
        text.map(str::to_owned)
    }
}

impl Read for bool {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if let Content::Bool(flag) = node.content {
            return Some(flag);
        }
        reader.wrong_type(node, "`true` or `false`");
        None
    }
}

impl Read for u32 {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let whole = match &node.content {
            Content::Number(number) => number.as_u64().and_then(|whole| Self::try_from(whole).ok()),
            _ => None,
        };
        if whole.is_none() {
            reader.wrong_type(node, "a whole number that is not negative");
        }
        whole
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Content::List(items) = &node.content else {
            let message = format!("expected a list, found {}", node.type_name());
            let one = Diagnostic::new(Code::WrongType, reader.source, node.span, message);
            let written = reader.source.slice(node.span);
            let is_one =
                matches!(node.content, Content::Text(_) | Content::Number(_)) && !written.contains('\n');
            reader.found.push(if is_one { one.help(format!("write `[{written}]`")) } else { one });
            return None;
        };
        let read: Vec<Option<T>> = items.iter().map(|item| T::read(item, reader)).collect();
        read.into_iter().collect()
    }
}

impl<T: Read> Read for Spanned<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        T::read(node, reader).map(|value| Self { value, span: node.span })
    }
}

impl Read for Node {
    fn read(node: &Node, _: &mut Reader<'_>) -> Option<Self> {
        Some(node.clone())
    }
}

macro_rules! read_parsed {
    ($($type:ty: $what:literal;)*) => {$(
        impl Read for $type {
            fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
                reader.parsed(node, $what)
            }
        }
    )*};
}

read_parsed! {
    VmId: "a VM's id";
    SiteId: "a site's id";
    StepId: "a step's id";
    PluginName: "a plugin's name";
    Version: "a version such as 1.2.0";
    Time: "a duration such as 300ms or 10m";
    Size: "a size such as 64KiB or 2GiB";
    Bandwidth: "a bandwidth such as 100Mbit/s";
    PathBuf: "a path";
    Ipv4Addr: "an IPv4 address";
    SocketAddr: "an address and port such as 10.0.0.1:7700";
}

/// Reads a struct from a map with exactly its fields as keys.
macro_rules! read_struct {
    ($type:ident, $what:literal, { $($field:ident),* $(,)? } $(, head: $($head:literal),*)?) => {
        impl $type {
            /// Every key of the map that it is read from; all of them have to be there.
            pub(crate) const KEYS: &[&str] = &[$(stringify!($field),)* $($($head,)*)?];
        }

        impl $crate::read::Read for $type {
            fn read(node: &$crate::document::Node, reader: &mut $crate::read::Reader<'_>) -> Option<Self> {
                reader.fields(node, $what, Self::KEYS)?;
                $(let $field = reader.required(node, stringify!($field));)*
                Some(Self { $($field: $field?,)* })
            }
        }
    };
}
pub(crate) use read_struct;

/// Reads a whole document of one kind, with `check` for what its types cannot express. The check looks at the nodes, so
/// that it finds its mistakes beside those of the types.
pub(crate) fn document<T: Read>(
    source: &Source,
    kind: &str,
    check: fn(&Node, &mut Reader<'_>),
) -> Result<T, Diagnostics> {
    let document = Document::parse_noting(source)?;
    let mut reader = Reader::new(source);
    reader.head(&document, kind);
    let value = T::read(&document.root, &mut reader);
    check(&document.root, &mut reader);
    reader.found.or(value)
}

impl Reader<'_> {
    /// Notes text at a JSON pointer that does not have its form. What is no text was noted before.
    pub(crate) fn require(&mut self, root: &Node, pointer: &str, holds: fn(&str) -> bool, message: &str) {
        let Some(node) = root.at(pointer) else { return };
        if node.as_text().is_some_and(|text| !holds(text)) {
            self.report(Code::Malformed, node.span, message);
        }
    }

    /// Notes every list item whose `id` stands in the list before.
    pub(crate) fn require_unique(&mut self, root: &Node, pointer: &str) {
        let Some(Content::List(items)) = root.at(pointer).map(|node| &node.content) else { return };
        let ids: Vec<(&str, Span)> = items
            .iter()
            .filter_map(|item| item.get("id"))
            .filter_map(|id| Some((id.as_text()?, id.span)))
            .collect();
        for (index, (id, span)) in ids.iter().enumerate() {
            if ids[..index].iter().any(|(before, _)| before == id) {
                self.report(Code::Malformed, *span, format!("site `{id}` stands twice"));
            }
        }
    }
}
