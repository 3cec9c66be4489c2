//! A text and the name it is shown under.

use std::sync::Arc;

/// A text to be read. Cheap to clone: every diagnostic carries the source it points into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    name: Arc<str>,
    text: Arc<str>,
    /// The first byte of each line, so that a place is found without reading the text again.
    lines: Arc<[usize]>,
}

/// A stretch of a source, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
}

impl Span {
    /// A stretch of a source.
    #[must_use]
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }
}

/// A value and where it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

/// A place as editors count it: both from 1, the column in letters (Unicode scalar values).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl Source {
    /// A text under the name the operator gave it, usually a file's path.
    #[must_use]
    pub fn new(name: &str, text: &str) -> Self {
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { name: name.into(), text: text.into(), lines: std::iter::once(0).chain(breaks).collect() }
    }

    /// The name to show.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a span; nothing if the span is not of this source.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// The line of a byte, from 1; quick also where a line is long. Beyond the end it is the end's.
    #[must_use]
    pub fn line(&self, byte: usize) -> usize {
        self.lines.partition_point(|start| *start <= byte.min(self.text.len()))
    }

    /// The first byte of the line that a byte is in.
    #[must_use]
    pub fn line_start(&self, byte: usize) -> usize {
        self.lines[self.line(byte) - 1]
    }

    /// The whole lines of a span, and as many before and after it where there are so many.
    #[must_use]
    pub fn lines_around(&self, span: Span, before: usize, after: usize) -> Span {
        let first = self.line(span.start).saturating_sub(before + 1);
        let end = self.lines.get(self.line(span.end) + after);
        Span::new(self.lines[first], end.copied().unwrap_or(self.text.len()))
    }

    /// The line and column of a byte. Inside a letter it is the letter's, beyond the end the end's.
    #[must_use]
    pub fn place(&self, byte: usize) -> Place {
        let byte = self.text.floor_char_boundary(byte);
        let (line, start) = (self.line(byte), self.line_start(byte));
        Place { line, column: self.text[start..byte].chars().count() + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines and characters count from 1, a line break belongs to its line, and beyond the end is the end.
    #[test]
    fn places_are_as_editors_count() {
        let source = Source::new("t", "ä b\n\nc");
        let places = [0, 2, 4, 5, 6, 7, 99, 1].map(|byte| {
            let Place { line, column } = source.place(byte);
            (line, column)
        });
        assert_eq!([0, 3, 4, 5, 6, 99].map(|byte| source.line(byte)), [1, 1, 1, 2, 3, 3]);
        assert_eq!(places, [(1, 1), (1, 2), (1, 4), (2, 1), (3, 1), (3, 2), (3, 2), (1, 1)]);
        let around = |before, after| source.slice(source.lines_around(Span::new(5, 5), before, after));
        assert_eq!(
            [around(0, 0), around(1, 0), around(0, 1), around(9, 9)],
            ["\n", "ä b\n\n", "\nc", "ä b\n\nc"]
        );
    }
}
