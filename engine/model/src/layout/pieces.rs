//! A file's text in pieces that stay as they are, each with the column that it gets.

use granit_parser::{ScalarStyle, Scanner, StrInput, TokenType};

/// Columns of a level.
const LEVEL: usize = 2;

/// A stretch of the text that is written as it is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    /// The byte behind it.
    end: usize,
    /// Line breaks between the piece before and this one.
    pub(super) breaks: usize,
    /// Line breaks behind it, if it is the last one.
    pub(super) breaks_after: usize,
    /// Where it stands, in characters from the beginning of its line.
    pub(super) column: usize,
    /// Where it is to stand if it is the first of its line.
    pub(super) own_column: usize,
    /// Where its further lines are to stand.
    pub(super) hanging_column: usize,
}

/// What a piece is, as far as the space around it depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    MapOpen,
    MapClose,
    ListOpen,
    ListClose,
    Comma,
    Colon,
    /// `-` or `?`
    Entry,
    /// An anchor, an alias or a tag.
    Property,
    Scalar,
    /// A block of text, `|` or `>`. Its lines stand at `indent`; `keep` if the empty ones behind it belong to it.
    Block {
        indent: usize,
        keep: bool,
    },
    Comment,
    /// `---`, `...`, `%YAML`
    Marker,
}

/// The pieces of a text; `None` if they are not all of it.
pub(super) fn of(text: &str) -> Option<Vec<Piece<'_>>> {
    let mut walk = Walk::new(text);
    for token in Scanner::new(StrInput::new(text)) {
        let (span, token) = token.ok()?.into_parts();
        let range = span.byte_range()?;
        walk.token(&token, range.start, range.end, span.indent)?;
    }
    walk.finish()
}

/// A block of entries that is open: where it began and where it is to begin.
#[derive(Debug, Clone, Copy)]
struct Block {
    list: bool,
    /// A list at the column of its key: nothing but the next key ends it.
    flush: bool,
    old: Option<usize>,
    new: usize,
}

/// An own-line comment whose column depends on what follows: its index, and the blocks around it.
type Open = (usize, Vec<Block>);

struct Walk<'a> {
    text: &'a str,
    pieces: Vec<Piece<'a>>,
    /// End of the last piece, and of the last that is no comment.
    end: usize,
    solid_end: usize,
    blocks: Vec<Block>,
    /// The blocks that were open at the last piece that is no comment.
    around: Vec<Block>,
    /// How many brackets are open.
    flows: usize,
    after_key: bool,
    open: Vec<Open>,
}

impl<'a> Walk<'a> {
    fn new(text: &'a str) -> Self {
        let end = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self {
            text,
            pieces: Vec::new(),
            end,
            solid_end: end,
            blocks: Vec::new(),
            around: Vec::new(),
            flows: 0,
            after_key: false,
            open: Vec::new(),
        }
    }

    fn token(
        &mut self,
        token: &TokenType<'_>,
        start: usize,
        end: usize,
        indent: Option<usize>,
    ) -> Option<()> {
        match token {
            TokenType::BlockMappingStart => self.begin(false, false),
            TokenType::BlockSequenceStart => self.begin(true, false),
            TokenType::BlockEnd => self.end_block(),
            TokenType::Key => return self.key(start, end),
            TokenType::BlockEntry => {
                if !self.blocks.last().is_some_and(|block| block.list) {
                    self.begin(true, true);
                }
                return self.dash();
            }
            TokenType::FlowMappingStart => return self.opening(Kind::MapOpen, start, end),
            TokenType::FlowSequenceStart => return self.opening(Kind::ListOpen, start, end),
            TokenType::FlowMappingEnd => return self.closing(Kind::MapClose, start, end),
            TokenType::FlowSequenceEnd => return self.closing(Kind::ListClose, start, end),
            TokenType::FlowEntry => return self.solid(Kind::Comma, start, end),
            // Its token is empty, and is there also where no colon is written.
            TokenType::Value if self.text[start..].starts_with(':') => {
                return self.solid(Kind::Colon, start, start + 1);
            }
            TokenType::Alias(_) | TokenType::Anchor(_) | TokenType::Tag(..) => {
                return self.solid(Kind::Property, start, end);
            }
            TokenType::Scalar(ScalarStyle::Literal | ScalarStyle::Folded, _) => {
                return self.block(end, indent);
            }
            TokenType::Scalar(..) => return self.solid(Kind::Scalar, start, end),
            TokenType::Comment(_) => return self.comment(start, end),
            TokenType::Value | TokenType::StreamStart | TokenType::StreamEnd => {}
            _ => return self.solid(Kind::Marker, start, end),
        }
        Some(())
    }

    fn begin(&mut self, list: bool, flush: bool) {
        let new = self.blocks.last().map_or(0, |around| around.new + LEVEL);
        self.blocks.push(Block { list, flush, old: None, new });
    }

    fn end_flush(&mut self) {
        if self.blocks.last().is_some_and(|block| block.flush) {
            self.blocks.pop();
        }
    }

    fn end_block(&mut self) {
        self.end_flush();
        self.blocks.pop();
    }

    /// The beginning of an entry of a map: `?`, or nothing at all.
    fn key(&mut self, start: usize, end: usize) -> Option<()> {
        if self.flows == 0 {
            self.end_flush();
        }
        if start < end {
            return self.solid(Kind::Entry, start, end);
        }
        self.after_key = true;
        Some(())
    }

    /// The sign of an entry of a list. Its token stands behind it.
    fn dash(&mut self) -> Option<()> {
        let rest = &self.text[self.end..];
        let start = self.end + rest.len() - rest.trim_start().len();
        self.text[start..].starts_with('-').then_some(())?;
        self.solid(Kind::Entry, start, start + 1)
    }

    fn opening(&mut self, kind: Kind, start: usize, end: usize) -> Option<()> {
        self.solid(kind, start, end)?;
        self.flows += 1;
        Some(())
    }

    fn closing(&mut self, kind: Kind, start: usize, end: usize) -> Option<()> {
        self.flows = self.flows.checked_sub(1)?;
        self.solid(kind, start, end)
    }

    /// Where a value of the innermost block stands that has a line of its own.
    fn value_column(&self) -> usize {
        self.blocks.last().map_or(0, |block| block.new + LEVEL) + self.flows * LEVEL
    }

    fn solid(&mut self, kind: Kind, start: usize, end: usize) -> Option<()> {
        if start == end {
            return Some(());
        }
        let column = self.column(start);
        for block in self.blocks.iter_mut().filter(|block| block.old.is_none()) {
            block.old = Some(column);
        }
        let entry = self.after_key || matches!(kind, Kind::Entry | Kind::Colon);
        self.after_key = false;
        let own_column = match self.blocks.last() {
            _ if kind == Kind::Marker => 0,
            Some(block) if entry && self.flows == 0 => block.new,
            _ => self.value_column(),
        };
        self.settle_comments(column, own_column);
        self.push(kind, start, end, own_column)?;
        self.solid_end = self.end;
        self.around.clone_from(&self.blocks);
        Some(())
    }

    /// A block of text. Its token begins with its first line; the sign before it, `|` or `>`, is looked for.
    fn block(&mut self, end: usize, indent: Option<usize>) -> Option<()> {
        let start = self.sign()?;
        if self.pieces.last().is_some_and(|last| last.kind == Kind::Comment) && self.end > start {
            // It stands behind the sign, and is a part of that line.
            self.pieces.pop();
            self.open.retain(|(index, _)| *index < self.pieces.len());
            self.end = self.pieces.last()?.end;
        }
        let header = self.text[start..].lines().next()?;
        let sign: &str = header.split([' ', '\t', '#']).next()?;
        let indent = indent.unwrap_or(usize::MAX);
        let end = last_line(self.text, start + header.len(), end, indent);
        let keep = sign.contains('+');
        let given = sign.contains(|c: char| c.is_ascii_digit());
        self.solid(Kind::Block { indent, keep }, start, end)?;
        if given {
            let block = self.blocks.last()?;
            let below = indent.checked_sub(block.old?);
            self.pieces.last_mut()?.hanging_column = block.new + below.unwrap_or(LEVEL);
        }
        Some(())
    }

    /// Where the sign of a block of text stands, behind comments that are pieces already.
    fn sign(&self) -> Option<usize> {
        let mut at = self.solid_end;
        loop {
            let rest = &self.text[at..];
            at += rest.len() - rest.trim_start().len();
            match self.text[at..].chars().next()? {
                '#' => at += self.text[at..].find('\n')?,
                '|' | '>' => return Some(at),
                _ => return None,
            }
        }
    }

    fn comment(&mut self, start: usize, end: usize) -> Option<()> {
        if start < self.end {
            // Behind the sign of a block of text.
            return Some(());
        }
        if self.flows == 0 {
            self.open.push((self.pieces.len(), self.around.clone()));
        }
        let column = self.value_column();
        self.push(Kind::Comment, start, end, column)
    }

    /// Comments on lines of their own move with what follows, or, where they stand further to the right, with the block
    /// around them that begins nearest to their left.
    fn settle_comments(&mut self, next_old: usize, next_new: usize) {
        for (index, around) in std::mem::take(&mut self.open) {
            let comment = &mut self.pieces[index];
            comment.own_column = if comment.column <= next_old {
                next_new
            } else {
                left_of(comment.column, &around, Some((next_old, next_new)))
            };
        }
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize, own_column: usize) -> Option<()> {
        let gap = self.text.get(self.end..start)?;
        let text = self.text.get(start..end)?;
        if !gap.trim().is_empty() {
            return None;
        }
        self.pieces.push(Piece {
            kind,
            text,
            end,
            breaks: gap.matches('\n').count(),
            breaks_after: 0,
            column: self.column(start),
            own_column,
            hanging_column: self.value_column(),
        });
        self.end = end;
        Some(())
    }

    fn column(&self, at: usize) -> usize {
        let line = self.text[..at].rfind('\n').map_or(0, |line| line + 1);
        self.text[line..at].trim_start_matches('\u{feff}').chars().count()
    }

    fn finish(mut self) -> Option<Vec<Piece<'a>>> {
        for (index, around) in std::mem::take(&mut self.open) {
            let column = left_of(self.pieces[index].column, &around, None);
            self.pieces[index].own_column = column;
        }
        let rest = self.text.get(self.end..)?;
        if !rest.trim().is_empty() {
            return None;
        }
        self.pieces.last_mut()?.breaks_after = rest.matches('\n').count();
        Some(self.pieces)
    }
}

/// Where something at `column` goes: with whatever begins nearest to its left, the innermost of several.
fn left_of(column: usize, around: &[Block], next: Option<(usize, usize)>) -> usize {
    let blocks = around.iter().filter_map(|block| Some((block.old?, block.new)));
    let left = blocks.chain(next).filter(|(old, _)| *old <= column);
    left.max_by_key(|(old, _)| *old).map_or(0, |(_, new)| new)
}

/// The end of the last line of a block of text that is not empty: one with more than its indentation is not.
fn last_line(text: &str, from: usize, to: usize, indent: usize) -> usize {
    let mut end = from;
    let mut at = from;
    for line in text.get(from..to).unwrap_or_default().split_inclusive('\n') {
        let said = line.trim_end_matches(['\n', '\r']);
        if !said.trim_start_matches(' ').is_empty() || said.len() > indent {
            end = at + said.len();
        }
        at += line.len();
    }
    end
}
