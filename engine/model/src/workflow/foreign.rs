//! Expressions as other engines write them: `{{ inputs.x }}` and `${ inputs.x }`, which would be text here.

use crate::diagnostic::{Code, Diagnostic};
use crate::document::Node;
use crate::read::Reader;

/// What an expression reads that is certainly meant as one. Other text in braces stays text.
const ROOTS: [&str; 3] = ["inputs.", "steps.", "run."];

/// Notes an expression in a text that is written as other engines do.
pub(super) fn report(node: &Node, text: &str, reader: &mut Reader<'_>) {
    let mut from = 0;
    while let Some((start, end, inside)) = next(text, from) {
        let at = node.span_within(reader.source, start, end);
        let message = format!("`{}` is text here, no expression", &text[start..end]);
        let one = Diagnostic::new(Code::OtherEngine, reader.source, at, message);
        reader.found.push(one.help(format!("write `${{{{ {inside} }}}}`")));
        from = end;
    }
}

/// The next such expression: where it begins and ends, and what it reads.
fn next(text: &str, mut from: usize) -> Option<(usize, usize, &str)> {
    loop {
        let brace = from + text[from..].find('{')?;
        from = brace + 1;
        if text[..brace].ends_with('$') && text[from..].starts_with('{') {
            // One of ours: nothing inside it is looked at.
            from = text[from..].find("}}").map_or(text.len(), |close| from + close + 2);
            continue;
        }
        let (start, open, close) = if text[from..].starts_with('{') {
            (brace, 2, "}}")
        } else if text[..brace].ends_with('$') {
            (brace - 1, 2, "}")
        } else {
            continue;
        };
        let inside = &text[start + open..];
        // Few braces open an expression: the end of the others is not looked for.
        if !ROOTS.iter().any(|root| inside.trim_start().starts_with(root)) {
            continue;
        }
        let length = inside.find(close)?;
        return Some((start, start + open + length + close.len(), inside[..length].trim()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What reads something that expressions read is found in all its forms; our own and other text are not.
    #[test]
    fn foreign_expressions_are_found() {
        let found = |text| next(text, 0).map(|(start, end, inside)| (&text[start..end], inside));
        assert_eq!(found("a {{ inputs.x }} b"), Some(("{{ inputs.x }}", "inputs.x")));
        assert_eq!(found("${steps.a.outputs.b}"), Some(("${steps.a.outputs.b}", "steps.a.outputs.b")));
        assert_eq!(found("${{ run.id }} {{run.id}}"), Some(("{{run.id}}", "run.id")));
        for fine in [
            "${{ inputs.x }}",
            "{{ item }}",
            "${HOME}",
            "{ inputs.x }",
            "${{ #{a: #{b: inputs.x}} }}",
            "{{",
            "${",
        ] {
            assert_eq!(found(fine), None, "{fine}");
        }
    }
}
