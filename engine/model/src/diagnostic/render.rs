//! Diagnostics as text for people and as JSON for tools.

use std::fmt;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, Severity,
    SourceCode, SourceSpan, SpanContents,
};
use serde_json::{Value, json};

use super::{Diagnostic, Diagnostics, Elsewhere};
use crate::source::{Source, Span};

/// Characters in a line of rendered text. Fixed, so that the same mistake looks the same everywhere.
const WIDTH: usize = 110;

impl Diagnostics {
    /// All of them as text, with the lines they point into; with terminal colours if `color`.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(WIDTH).with_links(false);
        let mut text = String::new();
        for one in self.iter() {
            // Writing into a string cannot fail, and a report that miette cannot draw still has its line.
            if handler.render_report(&mut text, &Report::of(one)).is_err() {
                text.push_str(&Self::from(one.clone()).to_string());
            }
            text.push('\n');
        }
        text
    }

    /// All of them as a JSON list of `{code, message, file, line, column, end: {line, column}, help}`, with `elsewhere`, a list
    /// of `{file, line, column, message}`, where a mistake concerns other files.
    #[must_use]
    pub fn to_json(&self) -> Value {
        self.iter().map(Diagnostic::to_json).collect()
    }
}

impl Diagnostic {
    /// It as JSON; lines and columns count from 1, columns in characters.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let (start, end) = (self.source.place(self.span.start), self.source.place(self.span.end));
        let mut one = json!({
            "code": self.code.as_str(),
            "message": self.message,
            "file": self.source.name(),
            "line": start.line,
            "column": start.column,
            "end": {"line": end.line, "column": end.column},
            "help": self.help,
        });
        if !self.elsewhere.is_empty() {
            one["elsewhere"] = self.elsewhere.iter().map(elsewhere).collect();
        }
        one
    }
}

fn elsewhere(other: &Elsewhere) -> Value {
    let place = other.source.place(other.span.start);
    json!({ "file": other.source.name(), "line": place.line, "column": place.column, "message": other.text })
}

/// A diagnostic in the form that miette draws.
#[derive(Debug)]
struct Report<'a> {
    diagnostic: &'a Diagnostic,
    source: Drawn<'a>,
    others: Vec<Other<'a>>,
}

/// A place in another file, in the form that miette draws.
#[derive(Debug)]
struct Other<'a> {
    elsewhere: &'a Elsewhere,
    source: Drawn<'a>,
}

impl<'a> Report<'a> {
    fn of(diagnostic: &'a Diagnostic) -> Self {
        let other = |elsewhere: &'a Elsewhere| Other { elsewhere, source: Drawn(&elsewhere.source) };
        let others = diagnostic.elsewhere.iter().map(other).collect();
        Self { diagnostic, source: Drawn(&diagnostic.source), others }
    }
}

/// A source in the form that miette draws.
#[derive(Debug)]
struct Drawn<'a>(&'a Source);

impl SourceCode for Drawn<'_> {
    /// As miette reads a text, with the column as everywhere, for miette counts bytes; and from the lines around alone, for miette
    /// counts lines from the first one on, for each mistake anew.
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let Self(source) = self;
        // One line more on either side: whether there is one decides where miette begins and ends.
        let whole = Span::new(span.offset(), span.offset() + span.len());
        let around = source.lines_around(whole, before + 1, after + 2);
        let inside = (span.offset().saturating_sub(around.start), span.len()).into();
        let read = source.slice(around).read_span(&inside, before, after)?;
        let at = around.start + read.span().offset();
        let start = source.place(at);
        let lines = source.line(around.start) - 1 + read.line_count();
        let (name, drawn) = (source.name().to_owned(), (at, read.span().len()).into());
        let (line, column) = (start.line - 1, start.column - 1);
        Ok(Box::new(MietteSpanContents::new_named(name, read.data(), drawn, line, column, lines)))
    }
}

/// A span that miette can draw: of whole letters inside the text, and on one line, for a mistake's extent can be a whole block.
/// A line's break, of one byte or two, is no part of it.
fn drawable(source: &Source, span: Span) -> Span {
    let text = source.text();
    let start = text.floor_char_boundary(span.start);
    let line = text[start..].split('\n').next().unwrap_or_default();
    let line_end = start + line.strip_suffix('\r').unwrap_or(line).len();
    Span::new(start, text.floor_char_boundary(span.end).clamp(start, line_end))
}

fn label(source: &Source, span: Span, text: &str) -> LabeledSpan {
    let span = drawable(source, span);
    let text = (!text.is_empty()).then(|| text.to_owned());
    LabeledSpan::new(text, span.start, span.end - span.start)
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostic.message)
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.diagnostic.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.diagnostic.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let one = self.diagnostic;
        let first = label(&one.source, one.span, &one.label);
        let others = one.labels.iter().map(|other| label(&one.source, other.span, &other.text));
        Some(Box::new(std::iter::once(first).chain(others)))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        let others = self.others.iter().map(|other| other as &dyn miette::Diagnostic);
        (!self.others.is_empty()).then(|| Box::new(others) as Box<dyn Iterator<Item = _>>)
    }
}

impl fmt::Display for Other<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("seen from here")
    }
}

impl std::error::Error for Other<'_> {}

impl miette::Diagnostic for Other<'_> {
    fn severity(&self) -> Option<Severity> {
        Some(Severity::Advice)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let Elsewhere { source, span, text } = self.elsewhere;
        Some(Box::new(std::iter::once(label(source, *span, text))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Code;

    /// A column counts letters in the text as in JSON, and the caret is below the place: before it stand letters of several
    /// bytes and of two cells, and behind it a line break of two bytes.
    #[test]
    fn columns_count_letters() {
        let text = "a: 1\r\nß日: öx\r\nb: 2\r\n";
        let source = Source::new("t", text);
        let at = |span| Diagnostics::from(Diagnostic::new(Code::UnknownKey, &source, span, "m").labelled(""));
        let start = text.find('ö').unwrap();
        for end in [start + "öx".len(), start + "öx\r".len(), text.len()] {
            let found = at(Span::new(start, end));
            let (shown, json) = (found.render(false), found.to_json());
            assert!(shown.contains("[t:2:5]") && json[0]["column"] == 5, "{shown}{json}");
            assert!(shown.contains(" 2 │ ß日: öx\n   ·      ──\n 3 │ b: 2\n"), "{shown}");
        }
        assert!(at(Span::new(start + 1, start + 1)).render(false).contains("[t:2:5]"), "inside a letter");
    }

    /// What is drawn from the lines around a place is what miette draws from the whole text, but for the column.
    #[test]
    fn the_lines_around_are_enough() {
        #[derive(Debug)]
        struct Whole<'a>(&'a Source);
        impl SourceCode for Whole<'_> {
            fn read_span<'a>(
                &'a self,
                span: &SourceSpan,
                before: usize,
                after: usize,
            ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
                self.0.text().read_span(span, before, after)
            }
        }
        let said = |read: Box<dyn SpanContents<'_> + '_>| {
            (read.data().to_vec(), *read.span(), read.line(), read.line_count())
        };
        for text in ["", "a", "a\n", "a\nb\n\nc: d\r\n\n e\n f\n\ng", "\n\n\n\n\n\n"] {
            let source = Source::new("t", text);
            for (start, end) in (0..=text.len()).flat_map(|a| (a..=text.len()).map(move |b| (a, b))) {
                for (before, after) in [(0, 0), (1, 1), (2, 0), (0, 2)] {
                    let span = (start, end - start).into();
                    let ours = Drawn(&source).read_span(&span, before, after).ok().map(said);
                    let whole = Whole(&source).read_span(&span, before, after).ok().map(said);
                    assert_eq!(ours, whole, "{text:?} {start}..{end} {before} {after}");
                }
            }
        }
    }
}
