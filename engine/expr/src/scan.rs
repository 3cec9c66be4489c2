//! Finds the `${{ }}` in a text. Knows of Rhai only strings and brackets: enough to see which `}}` closes.

use std::ops::Range;

use crate::Error;

/// How an expression opens.
pub(crate) const OPEN: &str = "${{";
/// How it closes.
pub(crate) const CLOSE: &str = "}}";

/// A stretch of a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Text to be taken as it is.
    Literal(Range<usize>),
    /// An expression, `${{` and `}}` included.
    Expression(Range<usize>),
}

/// Cuts a text into literals and expressions, in order and without gaps.
pub(crate) fn pieces(text: &str) -> Result<Vec<Piece>, Error> {
    let mut pieces = Vec::new();
    let mut from = 0;
    while let Some(found) = text[from..].find(OPEN) {
        let open = from + found;
        let close = closing(text, open + OPEN.len()).ok_or(Error::Unclosed { at: open..text.len() })?;
        if open > from {
            pieces.push(Piece::Literal(from..open));
        }
        pieces.push(Piece::Expression(open..close + CLOSE.len()));
        from = close + CLOSE.len();
    }
    if from < text.len() {
        pieces.push(Piece::Literal(from..text.len()));
    }
    Ok(pieces)
}

/// Where the `}}` stands that closes an expression whose inside begins at `from`: the first one outside strings and
/// outside brackets that the expression itself opened, as in `#{ a: #{ b: 1 }}`.
fn closing(text: &str, from: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut quote: Option<char> = None;
    let mut escaped = false;
    for (offset, c) in text[from..].char_indices() {
        let at = from + offset;
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(q), '\\') if q != '`' => escaped = true,
            (Some(q), _) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '{' | '(' | '[') => depth += 1,
            (None, '}') if depth == 0 => return text[at..].starts_with(CLOSE).then_some(at),
            (None, '}' | ')' | ']') => depth = depth.saturating_sub(1),
            (None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<&str> {
        let cut = |piece: &Piece| match piece {
            Piece::Literal(at) | Piece::Expression(at) => at.clone(),
        };
        pieces(text).unwrap().iter().map(|piece| &text[cut(piece)]).collect()
    }

    /// A closing `}}` inside a string or inside a map of the expression does not end it.
    #[test]
    fn the_closing_braces_are_found_past_strings_and_maps() {
        assert_eq!(cut("a ${{ b }} c"), ["a ", "${{ b }}", " c"]);
        assert_eq!(cut(r#"${{ "}}" }}${{ x }}"#), [r#"${{ "}}" }}"#, "${{ x }}"]);
        assert_eq!(cut("${{ #{a: #{b: 1}} }}"), ["${{ #{a: #{b: 1}} }}"]);
        assert_eq!(cut(r#"${{ '\'' }}"#), [r#"${{ '\'' }}"#]);
        assert_eq!(cut(""), Vec::<&str>::new());
    }

    /// An unclosed expression is reported from its `${{` on.
    #[test]
    fn unclosed_expressions_are_reported() {
        assert_eq!(pieces("ab ${{ x }"), Err(Error::Unclosed { at: 3..10 }));
    }
}
