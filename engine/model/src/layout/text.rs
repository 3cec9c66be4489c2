//! Pieces to text: which spaces and line breaks stand between them.

use super::pieces::{Kind, Piece};

/// Most line breaks between two pieces: one empty line.
const BREAKS_MAX: usize = 2;

/// The text of these pieces.
pub(super) fn of(pieces: &[Piece<'_>]) -> String {
    let mut page = Page::default();
    let mut before: Option<&Piece<'_>> = None;
    for piece in pieces {
        page.place(before, piece);
        page.write(piece);
        before = Some(piece);
    }
    let breaks = match before {
        Some(Piece { kind: Kind::Block { keep: true, .. }, breaks_after, .. }) => *breaks_after,
        _ => 1,
    };
    page.breaks(breaks);
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
    /// Where the last comment stood, and where it stands now.
    comment: Option<(usize, usize)>,
}

impl Page {
    /// Writes what stands between two pieces.
    fn place(&mut self, before: Option<&Piece<'_>>, piece: &Piece<'_>) {
        let Some(before) = before else { return self.spaces(piece.own_column) };
        if piece.breaks == 0 {
            let column = self.column();
            return self.spaces(match piece.kind {
                Kind::Comment => piece.column.saturating_sub(column).max(1),
                _ => between(before.kind, piece.kind),
            });
        }
        let kept = matches!(before.kind, Kind::Block { keep: true, .. });
        self.breaks(if kept { piece.breaks } else { piece.breaks.min(BREAKS_MAX) });
        let goes_on = piece.kind == Kind::Comment && before.kind == Kind::Comment && piece.breaks == 1;
        match self.comment {
            // The comment before goes on here, column under column.
            Some((old, new)) if goes_on && old == piece.column => self.spaces(new),
            _ => self.spaces(piece.own_column),
        }
    }

    fn write(&mut self, piece: &Piece<'_>) {
        match piece.kind {
            Kind::Comment => {
                self.comment = Some((piece.column, self.column()));
                self.text.push_str(piece.text.trim_end());
            }
            Kind::Block { indent, .. } => self.block(piece, indent),
            _ => self.lines(piece),
        }
    }

    /// A value whose further lines are folded: the white space before them means nothing.
    fn lines(&mut self, piece: &Piece<'_>) {
        let mut lines = piece.text.split('\n').map(|line| line.trim_end_matches('\r'));
        self.text.push_str(lines.next().unwrap_or_default());
        for line in lines {
            self.breaks(1);
            let said = line.trim_start_matches([' ', '\t']);
            if !said.is_empty() {
                self.spaces(piece.hanging_column);
                self.text.push_str(said);
            }
        }
    }

    /// A block of text: its lines move together.
    fn block(&mut self, piece: &Piece<'_>, indent: usize) {
        let mut lines = piece.text.split('\n').map(|line| line.trim_end_matches('\r'));
        self.text.push_str(lines.next().unwrap_or_default().trim_end());
        for line in lines {
            self.breaks(1);
            // An empty line may have less than the others.
            let said = line.get(indent..).unwrap_or_default();
            if !said.is_empty() {
                self.spaces(piece.hanging_column);
                self.text.push_str(said);
            }
        }
    }

    fn breaks(&mut self, count: usize) {
        self.text.extend(std::iter::repeat_n('\n', count));
    }

    fn spaces(&mut self, count: usize) {
        self.text.extend(std::iter::repeat_n(' ', count));
    }

    fn column(&self) -> usize {
        let line = self.text.rfind('\n').map_or(0, |at| at + 1);
        self.text[line..].chars().count()
    }
}

/// Spaces between two pieces of one line.
fn between(before: Kind, after: Kind) -> usize {
    match (before, after) {
        (Kind::MapOpen, Kind::MapClose) | (Kind::ListOpen, _) | (_, Kind::ListClose | Kind::Comma) => 0,
        // `*a:` would be an alias called `a:`.
        (Kind::MapOpen | Kind::Property | Kind::Entry, _) => 1,
        (_, Kind::Colon) => 0,
        _ => 1,
    }
}
