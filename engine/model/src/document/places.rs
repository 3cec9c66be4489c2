//! Where each letter of a text stands in the file, however the text is written there.
//!
//! ```text
//!  text: >-                      said:     a b ${{ c }}
//!    a                           pieces:   a            as written
//!    b ${{ c }}                             ' '         a line break and an indentation
//!                                            b ${{ c }} as written
//! ```
//!
//! The parser gives no more than where a text begins and ends. So the pieces are found again here, and each of them has to say
//! what the parser read: where one does not, nothing is found, and whoever asked points at the whole text.

use crate::source::{Source, Span};

/// A stretch of a text and where it stands.
struct Piece {
    /// Where it begins in what the text says.
    said: usize,
    /// Where it stands in the file.
    at: Span,
    /// Whether the file has the very same letters.
    is_verbatim: bool,
}

/// Where a stretch of what a text says stands in the file; nothing if it cannot be told.
pub(super) fn within(source: &Source, node: Span, said: &str, stretch: Span) -> Option<Span> {
    let pieces = pieces(source, node, said)?;
    let piece_of = |at: usize| pieces[..pieces.partition_point(|piece| piece.said <= at)].last();
    let first = piece_of(stretch.start)?;
    let start = first.within(stretch.start).start;
    let end = match stretch.end.checked_sub(1).filter(|last| *last >= stretch.start) {
        Some(last) => piece_of(last)?.within(last).end,
        None => start,
    };
    Some(Span::new(start, end))
}

impl Piece {
    /// The file's letter for one of the text's, or all that stands for it.
    fn within(&self, said: usize) -> Span {
        if !self.is_verbatim {
            return self.at;
        }
        let start = (self.at.start + said - self.said).min(self.at.end);
        Span::new(start, (start + 1).min(self.at.end))
    }
}

fn pieces(source: &Source, node: Span, said: &str) -> Option<Vec<Piece>> {
    let written = source.slice(node);
    let quote = written.chars().next().filter(|first| matches!(first, '"' | '\''));
    // A block has its first letter where a plain text has it, also if that is a quote.
    let quoted = quote.and_then(|quote| Walk::new(source, node, said).quoted(quote));
    quoted.or_else(|| Walk::new(source, node, said).flow(None)).or_else(|| {
        let line = source.line_start(node.start);
        let begin = if source.slice(Span::new(line, node.start)).trim_matches(' ').is_empty() {
            line
        } else {
            node.start
        };
        Walk::new(source, Span::new(begin, node.end), said).block()
    })
}

/// A way through what is written and what that says, side by side.
struct Walk<'a> {
    /// What is not passed yet.
    written: &'a str,
    /// Where that begins in the file.
    at: usize,
    text: &'a str,
    /// How much of the text was said.
    said: usize,
    pieces: Vec<Piece>,
}

impl<'a> Walk<'a> {
    fn new(source: &'a Source, span: Span, text: &'a str) -> Self {
        Self { written: source.slice(span), at: span.start, text, said: 0, pieces: Vec::new() }
    }

    fn quoted(mut self, quote: char) -> Option<Vec<Piece>> {
        self.pass(1)?;
        self.written = self.written.strip_suffix(quote)?;
        self.flow(Some(quote))
    }

    /// A text whose lines are joined: a quoted one without its quotes, or a plain one.
    fn flow(mut self, quote: Option<char>) -> Option<Vec<Piece>> {
        let is_odd = |c| matches!(c, ' ' | '\t' | '\r' | '\n' | '\\' | '\'');
        while let Some(first) = self.written.chars().next() {
            match (first, quote) {
                ('\\', Some('"')) => self.escape()?,
                ('\'', Some('\'')) if self.written.starts_with("''") => self.stands_for(2, "'")?,
                (' ' | '\t' | '\r' | '\n', _) => self.blank()?,
                (_, _) => {
                    let rest = first.len_utf8();
                    let length = self.written[rest..].find(is_odd).map_or(self.written.len(), |at| rest + at);
                    self.verbatim(length)?;
                }
            }
        }
        let end = self.text.len();
        self.done(end)
    }

    /// Blanks, and the line breaks behind them.
    fn blank(&mut self) -> Option<()> {
        let (length, breaks) = fold(self.written);
        match breaks {
            0 => self.verbatim(length),
            1 => self.stands_for(length, " "),
            more => self.stands_for(length, &"\n".repeat(more - 1)),
        }
    }

    fn escape(&mut self) -> Option<()> {
        let escaped = self.written[1..].chars().next()?;
        let length = match escaped {
            '\r' | '\n' => {
                let (length, breaks) = fold(&self.written[1..]);
                return self.stands_for(1 + length, &"\n".repeat(breaks.checked_sub(1)?));
            }
            'x' => 4,
            // JSON writes a letter beyond the first 65536 as two halves.
            'u' if self.text[self.said..].chars().next()?.len_utf8() == 4 => 12,
            'u' => 6,
            'U' => 10,
            other => 1 + other.len_utf8(),
        };
        let letter = self.text[self.said..].chars().next()?;
        self.stands_for(length, letter.encode_utf8(&mut [0; 4]))
    }

    /// A block: its lines without their indentation, each break kept or a space.
    fn block(mut self) -> Option<Vec<Piece>> {
        let inner = |text: &str| {
            let mut lines = text.lines().map(|line| line.len() - line.trim_start_matches(' ').len());
            let mut bare = text.lines().map(|line| line.trim_start_matches(' ').is_empty());
            bare.position(|is_empty| !is_empty).and_then(|first| lines.nth(first))
        };
        let indent = inner(self.written)?.checked_sub(inner(self.text)?)?;
        let end = self.text.trim_end_matches('\n').len();
        let mut rest = self.written;
        let mut begin = self.at;
        while self.said < end {
            let line = rest.split_inclusive('\n').next()?;
            let content =
                line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
            // A line of fewer blanks is empty; the next one that is not says what the break became.
            if content.len() > indent {
                content[..content.floor_char_boundary(indent)]
                    .bytes()
                    .all(|byte| byte == b' ')
                    .then_some(())?;
                let content = content.get(indent..)?;
                let between = self.between(content);
                self.stands_for(begin + indent - self.at, &between)?;
                self.verbatim(content.len())?;
            }
            begin += line.len();
            rest = &rest[line.len()..];
        }
        self.done(end)
    }

    /// What the breaks before a line of a block became. The line itself begins with no break, and if it is joined, with no blank.
    fn between(&self, line: &str) -> String {
        let rest = &self.text[self.said..];
        let breaks = rest.len() - rest.trim_start_matches('\n').len();
        let is_joined = breaks == 0 && self.said > 0 && !line.starts_with([' ', '\t']);
        if is_joined { " ".to_owned() } else { "\n".repeat(breaks) }
    }

    fn verbatim(&mut self, length: usize) -> Option<()> {
        let same = self.written.get(..length)?;
        self.piece(length, same, true)
    }

    fn stands_for(&mut self, length: usize, said: &str) -> Option<()> {
        self.piece(length, said, false)
    }

    fn piece(&mut self, length: usize, said: &str, is_verbatim: bool) -> Option<()> {
        self.text[self.said..].starts_with(said).then_some(())?;
        let at = Span::new(self.at, self.at + length);
        self.pass(length)?;
        if !said.is_empty() {
            self.pieces.push(Piece { said: self.said, at, is_verbatim });
        }
        self.said += said.len();
        Some(())
    }

    fn pass(&mut self, length: usize) -> Option<()> {
        self.written = self.written.get(length..)?;
        self.at += length;
        Some(())
    }

    fn done(self, end: usize) -> Option<Vec<Piece>> {
        (self.said == end).then_some(self.pieces)
    }
}

/// How long blanks and the line breaks among them are, and how many breaks there are. Blanks without a break behind them belong
/// to the line that they stand in.
fn fold(written: &str) -> (usize, usize) {
    let blanks = |text: &str| text.len() - text.trim_start_matches([' ', '\t']).len();
    let mut length = blanks(written);
    let mut breaks = 0;
    while let Some(rest) = written[length..].trim_start_matches('\r').strip_prefix('\n') {
        breaks += 1;
        length = written.len() - rest.len() + blanks(rest);
    }
    (length, breaks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    /// Texts with marks in them, in every style.
    const STYLES: [&str; 16] = [
        "t: a <1> b <2> c\n",
        "t: |\n  a <1>\n    b <2>\n\n  c\n",
        "t: |+\n\n  a <1>\n\n\n  <2>\n\n",
        "t: |1-\n    a <1>\n   <2>\n",
        "t: >\n  a\n  <1>\n  b\n\n  c <2>\n    d <3>\n  <4>\n",
        "t: >2-\n\n     a <1>\n\n  <2>\n",
        "t: |\n  \"a <1>\"\n  'b' <2>\n# no text\n",
        "t: |\n  'a <1>'\n",
        "t: a\n  <1>  \n\n  c <2>\n  <3> # no text\n",
        "t: \"<1>\\u00e4 \\\"\\x41\\U0001F600\\ud83d\\ude00 <2>\n\n   b \\\n\n  <3>  c \\t\n <4>\"\n",
        "t: 'it''s <1>\n   <2>  \n\n ''<3>'''\n",
        "[\"t\"]: \"x\"\n",
        "{ t: \"日本\\n <1>\", u: 1 }\n",
        "t: \"<1> \\\n   日 <2>\"\n",
        "t:\n  - x\n",
        "t: >-\n  ä\n  日 <1>\n\t\n  <2>\n",
    ];

    fn marks(document: &Document) -> Vec<(String, String)> {
        let Some(node) = document.root.get("t").filter(|node| node.as_text().is_some()) else {
            return Vec::new();
        };
        let text = node.as_text().unwrap();
        let found = text.match_indices('<').map(|(at, _)| {
            let stretch = &text[at..at + 3];
            let span = node.span_within(&document.source, at, at + 3);
            (stretch.to_owned(), document.source.slice(span).to_owned())
        });
        found.collect()
    }

    /// A mark is found where it stands in every style, with line ends of both kinds, and whatever letters stand before it.
    #[test]
    fn marks_are_found_in_every_style() {
        let mut seen = 0;
        for style in STYLES {
            for text in [style.to_owned(), style.replace('\n', "\r\n")] {
                let Ok(document) = Document::parse(&Source::new("t", &text)) else { continue };
                for (mark, found) in marks(&document) {
                    assert_eq!(found, mark, "{text:?}");
                    seen += 1;
                }
            }
        }
        assert!(seen >= 60, "{seen}");
    }

    /// Where a text is not what is written there, also after an alias, the whole is pointed at; and nothing panics anywhere.
    #[test]
    fn what_cannot_be_told_is_the_whole() {
        let document = Document::parse(&Source::new("t", "a: &x 'b ''c'\nt: *x\n")).unwrap();
        let node = document.root.get("t").unwrap();
        assert_eq!(document.source.slice(node.span_within(&document.source, 3, 5)), "*x");
        for style in STYLES {
            let Ok(document) = Document::parse(&Source::new("t", style)) else { continue };
            let Some(node) = document.root.get("t") else { continue };
            for at in 0..style.len() + 3 {
                for end in [0, at, at + 1, style.len() + 9] {
                    let span = node.span_within(&document.source, at, end);
                    assert!(span.end <= style.len() && span.start <= span.end, "{style:?} {at} {end}");
                }
            }
        }
    }
}
