//! What is wrong with something a person wrote: code, message, place, and what would be right.
//!
//! Reading collects all mistakes before it gives up; nothing here stops at the first. A diagnostic carries its own
//! source, so one list may speak of several files. Rendering returns text and never writes anywhere itself.

mod code;
mod near;
mod render;
mod sarif;

use std::fmt;

pub use code::Code;
pub use near::nearest;

use crate::source::{Source, Span};

/// A second place that a diagnostic speaks of, in the same source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What is there, in a few words.
    pub text: String,
}

/// A place in another file that a diagnostic speaks of: usually the one that uses the file with the mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// The other text.
    pub source: Source,
    /// The place in it.
    pub span: Span,
    /// What is there, in a few words.
    pub text: String,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Which kind of mistake.
    pub code: Code,
    /// What is wrong, a lower-case fragment without a full stop.
    pub message: String,
    /// The text it is in.
    pub source: Source,
    /// Where.
    pub span: Span,
    /// What the underlined text is, in a few words; empty if the message says it all.
    pub label: String,
    /// Other places it speaks of.
    pub labels: Vec<Label>,
    /// Places in other files that it speaks of.
    pub elsewhere: Vec<Elsewhere>,
    /// What would be right.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A mistake at a place.
    #[must_use]
    pub fn new(code: Code, source: &Source, span: Span, message: impl Into<String>) -> Self {
        let label = code.label().to_owned();
        Self {
            code,
            message: message.into(),
            source: source.clone(),
            span,
            label,
            labels: Vec::new(),
            elsewhere: Vec::new(),
            help: None,
        }
    }

    /// The same with another text under the caret.
    #[must_use]
    pub fn labelled(self, label: impl Into<String>) -> Self {
        Self { label: label.into(), ..self }
    }

    /// The same with another place.
    #[must_use]
    pub fn and_at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// The same with places in other files, unless it speaks of some already.
    #[must_use]
    pub fn and_elsewhere(mut self, places: &[Elsewhere]) -> Self {
        if self.elsewhere.is_empty() {
            self.elsewhere = places.to_vec();
        }
        self
    }

    /// Whether it is the same mistake, whatever other files it speaks of.
    fn is_same(&self, other: &Self) -> bool {
        let Self { code, message, source, span, label, labels, elsewhere: _, help } = self;
        (*code, *span) == (other.code, other.span)
            && (message, label, labels, help) == (&other.message, &other.label, &other.labels, &other.help)
            && source == &other.source
    }

    /// The same with what would be right.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// The same with "did you mean", if one of `known` is near to what was written.
    #[must_use]
    pub fn did_you_mean<'a>(self, written: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(written, known) {
            Some(near) => self.help(format!("did you mean `{near}`?")),
            None => self,
        }
    }
}

/// Mistakes, in the order in which they were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// No mistake.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Adds all of another list.
    pub fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Adds what is not there yet; a mistake that is there learns of the other files alone.
    pub fn merge(&mut self, other: Self) {
        for one in other.0 {
            match self.0.iter_mut().find(|known| known.is_same(&one)) {
                Some(known) => {
                    let unknown = one.elsewhere.into_iter().filter(|place| !known.elsewhere.contains(place));
                    let unknown: Vec<_> = unknown.collect();
                    known.elsewhere.extend(unknown);
                }
                None => self.0.push(one),
            }
        }
    }

    /// All of them with these places in other files, but for those that speak of some already.
    #[must_use]
    pub fn and_elsewhere(self, places: &[Elsewhere]) -> Self {
        Self(self.0.into_iter().map(|one| one.and_elsewhere(places)).collect())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }

    /// The same in the order of their files and places, without repetitions.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.0.sort_by(|a, b| (a.source.name(), a.span, a.code).cmp(&(b.source.name(), b.span, b.code)));
        self.0.dedup();
        self
    }

    /// `value` if there is no mistake.
    ///
    /// # Errors
    /// The mistakes, sorted.
    pub fn or<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.is_empty() => Ok(value),
            _ => Err(self.sorted()),
        }
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// One line each, `file:line:column: CODE message`; [`Diagnostics::render`] shows the text too.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, one) in self.0.iter().enumerate() {
            let place = one.source.place(one.span.start);
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}:{}:{}: ", one.source.name(), place.line, place.column)?;
            write!(f, "{} {}", one.code, one.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rendered text names file, line and column, underlines the place and ends with the suggestion.
    #[test]
    fn rendering_shows_the_place() {
        let source = Source::new("a.yaml", "kind: Vm\nnmae: x\n");
        let one = Diagnostic::new(Code::UnknownKey, &source, Span::new(9, 13), "unknown key `nmae`")
            .did_you_mean("nmae", ["name"]);
        let all = Diagnostics::from(one);
        let text = all.render(false);
        for part in ["LH0008", "[a.yaml:2:1]", "nmae: x", "did you mean `name`?"] {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
        assert!(!text.contains('\u{1b}') && all.render(true).contains('\u{1b}'));
        assert_eq!(all.to_json()[0]["line"], 2);
        assert_eq!(all.to_string(), "a.yaml:2:1: LH0008 unknown key `nmae`");
    }
}
