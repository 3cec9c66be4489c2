//! Finds `${{ }}` that stand unquoted inside `{ }` or `[ ]`: YAML takes their braces for maps of its own and then
//! complains about something else. Only asked once the parser has given up, so a guess that is wrong harms no good file.

use crate::source::Span;

/// The unquoted expressions inside brackets, line by line.
pub(super) fn unquoted_expressions(text: &str) -> Vec<Span> {
    let mut found = Vec::new();
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        scan_line(line, line_start, &mut found);
        line_start += line.len();
    }
    found
}

fn scan_line(line: &str, line_start: usize, found: &mut Vec<Span>) {
    let mut depth = 0usize;
    let mut quote = None;
    let mut at = 0;
    while let Some(c) = line[at..].chars().next() {
        if quote.is_none() && line[at..].starts_with("${{") {
            let end = line[at..].find("}}").map_or(line.trim_end().len(), |close| at + close + 2);
            if depth > 0 {
                found.push(Span::new(line_start + at, line_start + end));
            }
            at = end.max(at + 1);
            continue;
        }
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '#') if at == 0 || line[..at].ends_with(' ') => return,
            (None, '{' | '[') => depth += 1,
            (None, '}' | ']') => depth = depth.saturating_sub(1),
            (Some(_) | None, _) => {}
        }
        at += c.len_utf8();
    }
}
