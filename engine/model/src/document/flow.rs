//! Finds values with an expression that YAML cannot read: an unquoted `${{ }}` inside `{ }` or `[ ]`, and the `{{ }}` and
//! `${ }` of other engines, whose braces it takes for maps of its own and then complains about something else. Only asked once
//! the parser has given up, so a guess that is wrong harms no good file.

use crate::source::Span;

/// How the expression of a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// `${{ }}`.
    Ours,
    /// `{{ }}`.
    Braces,
    /// `${ }`.
    Dollar,
}

/// A value with an expression that is not quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unquoted {
    /// The whole value.
    pub(super) span: Span,
    /// How its first expression is written.
    pub(super) written: Written,
}

/// How expressions open and close; the longest first.
const FORMS: [(&str, &str, Written); 3] =
    [("${{", "}}", Written::Ours), ("{{", "}}", Written::Braces), ("${", "}", Written::Dollar)];

/// The values that hold such expressions, line by line.
pub(super) fn unquoted_values(text: &str) -> Vec<Unquoted> {
    let mut found = Vec::new();
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        Line { text: line, start: line_start, at: 0, value: 0, depth: 0 }.scan(&mut found);
        line_start += line.len();
    }
    found
}

/// The same text, with letters in place of these values: what YAML reads it as if they were quoted.
pub(super) fn masked(text: &str, values: &[Unquoted]) -> String {
    let mut masked = text.to_owned();
    for Unquoted { span, .. } in values {
        masked.replace_range(span.start..span.end, &"x".repeat(span.end - span.start));
    }
    masked
}

/// The same text with every expression written as ours.
pub(super) fn rewritten(text: &str) -> String {
    let mut ours = String::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let form = FORMS.into_iter().find(|(open, ..)| rest.starts_with(open));
        let whole = form.and_then(|(open, close, _)| rest[open.len()..].split_once(close));
        match whole {
            Some((inside, behind)) => {
                ours.extend(["${{", inside, "}}"]);
                rest = behind;
            }
            None => {
                ours.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
    }
    ours
}

struct Line<'t> {
    text: &'t str,
    /// Where it begins in the whole.
    start: usize,
    at: usize,
    /// Where the value begins that `at` is in.
    value: usize,
    /// How many brackets are open.
    depth: usize,
}

impl Line<'_> {
    fn scan(&mut self, found: &mut Vec<Unquoted>) {
        let mut quote = None;
        while let Some(c) = self.text[self.at..].chars().next() {
            if quote.is_none()
                && let Some(end) = self.expression_end()
            {
                found.extend(self.value(end));
                continue;
            }
            match (quote, c) {
                (Some(open), _) if c == open => quote = None,
                (None, '"' | '\'') if self.is_at_value() => quote = Some(c),
                (None, '#') if self.at == 0 || self.text[..self.at].ends_with(' ') => return,
                (None, '{' | '[') => self.enter(),
                (None, '}' | ']') => self.depth = self.depth.saturating_sub(1),
                (None, ',') if self.depth > 0 => self.value = self.at + 1,
                (None, ' ') if self.text[..self.at].ends_with([':', '-']) => self.value = self.at + 1,
                (Some(_) | None, _) => {}
            }
            self.at += c.len_utf8();
        }
    }

    fn enter(&mut self) {
        self.depth += 1;
        self.value = self.at + 1;
    }

    fn is_at_value(&self) -> bool {
        self.text[self.value..self.at].trim().is_empty()
    }

    /// Where an expression ends that begins here and that YAML cannot read.
    fn expression_end(&self) -> Option<(usize, Written)> {
        let rest = &self.text[self.at..];
        let (_, close, written) = FORMS.into_iter().find(|(open, ..)| rest.starts_with(open))?;
        let hinders = self.depth > 0 || (written == Written::Braces && self.is_at_value());
        let end = rest.find(close).map_or(self.text.trim_end().len(), |at| self.at + at + close.len());
        hinders.then_some((end, written))
    }

    /// The value around an expression, which is passed.
    fn value(&mut self, (mut end, written): (usize, Written)) -> Option<Unquoted> {
        let begin = self.at - self.text[self.value..self.at].trim_start().len();
        loop {
            self.at = end;
            match self.text[end..].chars().next() {
                None | Some(',' | ']' | '}' | '\n') => break,
                Some('#') if self.text[..end].ends_with(' ') => break,
                Some(c) => end = self.expression_end().map_or(end + c.len_utf8(), |(end, _)| end),
            }
        }
        let end = begin + self.text[begin..end].trim_end().len();
        (end > begin).then(|| Unquoted { span: Span::new(self.start + begin, self.start + end), written })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<&str> {
        unquoted_values(text).iter().map(|one| &text[one.span.start..one.span.end]).collect()
    }

    /// Each expression is rewritten by itself, and ours stay as they are.
    #[test]
    fn every_expression_becomes_ours() {
        let cases = [
            ("{{ inputs.x }}-${{ run.id }}-${ inputs.x }", "${{ inputs.x }}-${{ run.id }}-${{ inputs.x }}"),
            ("${ inputs.x }-${{ run.id }}", "${{ inputs.x }}-${{ run.id }}"),
            ("${{ a }}/{{ b }} {{ c", "${{ a }}/${{ b }} {{ c"),
        ];
        for (text, ours) in cases {
            assert_eq!(rewritten(text), ours);
        }
    }

    /// A value is found as a whole, with the text around its expressions, and not where YAML reads it well.
    #[test]
    fn whole_values_are_found() {
        assert_eq!(
            values("with: { to: reports/${{ run.id }}.html, vm: ${{ vm }} } # x"),
            ["reports/${{ run.id }}.html", "${{ vm }}"]
        );
        assert_eq!(values("needs: [a-${{ b }}-${{ c }}]"), ["a-${{ b }}-${{ c }}"]);
        assert_eq!(values("to: {{ inputs.x }}\n"), ["{{ inputs.x }}"]);
        assert_eq!(values("a: { to: ${ inputs.x } }"), ["${ inputs.x }"]);
        for fine in ["a: ${{ b }}", "a: { b: \"${{ c }}\" }", "# { ${{ a }} }", "a: b{{ c }}"] {
            assert_eq!(values(fine), [""; 0], "{fine}");
        }
    }
}
