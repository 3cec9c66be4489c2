//! Nothing is left for later: no macro that says "not written", no test that is not run.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::problem::Problem;
use super::sources::Sources;

pub(super) fn check(sources: &Sources) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in sources.rust() {
        match text.parse::<TokenStream>() {
            Ok(tokens) => scan(path, tokens, &mut problems),
            Err(error) => problems.push(Problem::new(path, 0, format!("is no Rust: {error}"))),
        }
    }
    problems
}

/// Looks at every token, also inside macros, and never at comments or strings.
fn scan(path: &str, tokens: TokenStream, problems: &mut Vec<Problem>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    for pair in tokens.windows(2) {
        if let Some(text) = unfinished(&pair[0], &pair[1]) {
            problems.push(Problem::new(path, pair[0].span().start().line, text));
        }
    }
    for token in tokens {
        if let TokenTree::Group(group) = token {
            scan(path, group.stream(), problems);
        }
    }
}

fn unfinished(first: &TokenTree, second: &TokenTree) -> Option<String> {
    match (first, second) {
        (TokenTree::Ident(name), TokenTree::Punct(mark))
            if mark.as_char() == '!' && (name == "todo" || name == "unimplemented") =>
        {
            Some(format!("`{name}!` is not code; write it or leave it out"))
        }
        (TokenTree::Punct(hash), TokenTree::Group(group))
            if hash.as_char() == '#' && group.delimiter() == Delimiter::Bracket && is_ignore(group) =>
        {
            Some("an ignored test proves nothing; skip it at run time with a reason, or remove it".to_owned())
        }
        _ => None,
    }
}

fn is_ignore(group: &proc_macro2::Group) -> bool {
    matches!(group.stream().into_iter().next(), Some(TokenTree::Ident(word)) if word == "ignore")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The macros and the attribute are found, inside macros too; in comments, strings and other names they are not.
    #[test]
    fn finds_unfinished() {
        let bad = "fn f() { todo!() }\nfn g() { vec![unimplemented!()]; }\n#[ignore = \"slow\"]\nfn h() {}";
        let lines: Vec<_> =
            check(&Sources::of(&[("a.rs", bad)])).iter().map(|problem| problem.line).collect();
        assert_eq!(lines, [3, 1, 2]);
        let good = "// todo!()\nfn todo() -> bool { !\"todo!()\".is_empty() }\n#[must_use]\nfn ignore() {}";
        assert_eq!(check(&Sources::of(&[("a.rs", good)])), []);
    }
}
