//! What was probably meant where the YAML parser gave up.

/// What would be right, for a mistake that the parser found at this place.
pub(super) fn syntax(text: &str, at: usize) -> Option<String> {
    let start = text[..at].rfind('\n').map_or(0, |before| before + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    let (key, value) = line.split_once(": ")?;
    let behind = start + key.len() + 1;
    let value = without_comment(value).trim();
    if value.starts_with(['"', '\'', '|', '>', '{', '[', '#']) || at < behind {
        return None;
    }
    if let Some(negated) = value.strip_prefix('!') {
        let quoted = negated.trim().replace('"', "\\\"");
        return Some(format!("an expression is `\"${{{{ !{quoted} }}}}\"`"));
    }
    let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
    value.contains(": ").then(|| format!("text that holds `: ` stands in quotes: `\"{quoted}\"`"))
}

/// A value up to the comment behind it. A `#` within quotes begins none.
fn without_comment(value: &str) -> &str {
    let begins = |(at, _): &(usize, &str)| value[..*at].matches('"').count().is_multiple_of(2);
    value.match_indices(" #").find(begins).map_or(value, |(at, _)| &value[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text with a colon and a negated expression are told from what only looks alike.
    #[test]
    fn what_was_meant_is_told() {
        let said = |text: &str| syntax(text, text.len() - 1);
        assert_eq!(
            said("m: copied: go?").unwrap(),
            "text that holds `: ` stands in quotes: `\"copied: go?\"`"
        );
        assert_eq!(said("if: !a && b").unwrap(), "an expression is `\"${{ !a && b }}\"`");
        assert!(said("m: copied: go? # note").unwrap().ends_with("`\"copied: go?\"`"));
        assert!(said("if: !failed(\"a # b\") # x").unwrap().ends_with("!failed(\\\"a # b\\\") }}\"`"));
        for other in ["a: b", "  c: d", "a: \"b: c", "a: [b: c"] {
            assert_eq!(said(other), None, "{other}");
        }
    }
}
