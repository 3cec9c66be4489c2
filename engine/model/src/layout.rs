//! Files laid out alike: `longhaul fmt`.
//!
//! ```text
//!  text --tokens--> pieces: words, brackets, comments   --spaces and line breaks between them-->  text
//!                   each as it is written                 two columns per level, one space, ...
//! ```
//!
//! Only white space between tokens is changed, so what a file says stays as it is: no quotes, no key order, nothing
//! inside `${{ }}`, which is text like any other and a part of the digest that a run is pinned to. Both are looked at
//! again before anything is given back. What is laid out:
//!
//! * a level is two columns, also a list below a key; a block of text and the further lines of a value move along;
//! * one space after `:`, `-` and `,` and inside `{ }`, none inside `[ ]`; no blanks at the end of a line;
//! * at most one empty line between two others, none at the beginning, one line break at the end, of LF alone;
//! * a comment behind a value keeps its column where that is possible, so that columns of comments stay columns; one on
//!   a line of its own moves with the line that follows it.
//!
//! Lines are neither broken nor joined.

mod pieces;
mod text;

#[cfg(test)]
mod tests;

use crate::diagnostic::Diagnostics;
use crate::document::Document;
use crate::source::Source;

/// Why a file was not laid out.
#[derive(Debug, thiserror::Error)]
pub enum NotLaidOut {
    /// It cannot be read: every mistake in its form.
    #[error("the file cannot be read")]
    Mistakes(Diagnostics),
    /// A bug: laid out it would say something else, or lose a comment.
    #[error("laid out, the file would not say the same; it is left as it is")]
    NotTheSame,
}

/// The text of a document as `longhaul fmt` writes it. Laid out once, it stays as it is.
///
/// # Errors
/// When the document cannot be read, or the result would not say the same.
pub fn lay_out(source: &Source) -> Result<String, NotLaidOut> {
    let before = Document::parse(source).map_err(NotLaidOut::Mistakes)?;
    let pieces = pieces::of(source.text()).ok_or(NotLaidOut::NotTheSame)?;
    let text = text::of(&pieces);
    let after = Document::parse(&Source::new(source.name(), &text)).map_err(|_| NotLaidOut::NotTheSame)?;
    let comments = pieces::of(&text).map(|pieces| comments(&pieces));
    // As text, for the order of keys counts as well.
    let [said, says] = [before, after].map(|document| document.root.to_json().to_string());
    if said == says && comments.is_some_and(|after| after == self::comments(&pieces)) {
        Ok(text)
    } else {
        Err(NotLaidOut::NotTheSame)
    }
}

fn comments(pieces: &[pieces::Piece<'_>]) -> Vec<String> {
    let comments = pieces.iter().filter(|piece| piece.kind == pieces::Kind::Comment);
    comments.map(|piece| piece.text.trim_end().to_owned()).collect()
}
