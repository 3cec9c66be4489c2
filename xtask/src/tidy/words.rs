//! Words that must not be in the tree. Which ones is nobody's business but their owner's, so the list is a file outside
//! the tree, one word a line, named by `TIDY_WORDS`; without it there is nothing to check.

use anyhow::{Context, Result};

use super::problem::Problem;
use super::sources::Sources;

pub(super) fn check(sources: &Sources) -> Result<Vec<Problem>> {
    let Some(list) = std::env::var_os("TIDY_WORDS") else { return Ok(Vec::new()) };
    let words = std::fs::read_to_string(&list).with_context(|| format!("read {}", list.display()))?;
    Ok(find(&words, sources))
}

fn find(words: &str, sources: &Sources) -> Vec<Problem> {
    let words: Vec<_> =
        words.lines().map(|word| word.trim().to_lowercase()).filter(|word| !word.is_empty()).collect();
    let mut problems = Vec::new();
    for (path, text) in &sources.files {
        for (number, line) in text.lines().enumerate() {
            let line = line.to_lowercase();
            if let Some(word) = words.iter().find(|word| holds(&line, word)) {
                problems.push(Problem::new(path, number + 1, format!("`{word}` does not belong here")));
            }
        }
    }
    problems
}

/// Whether a line holds a word that is not merely a part of a longer one.
fn holds(line: &str, word: &str) -> bool {
    let within = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let whole = |at: usize| {
        !within(line[..at].chars().next_back()) && !within(line[at + word.len()..].chars().next())
    };
    line.match_indices(word).any(|(at, _)| whole(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A listed word is told in any letter case, and not as a part of another.
    #[test]
    fn finds_words() {
        let files = [("a.md", "one\nThe Zebra.\n"), ("b.rs", "zebras zebra_x")];
        assert_eq!(
            find("zebra\n\n", &Sources::of(&files)),
            [Problem::new("a.md", 2, "`zebra` does not belong here")]
        );
    }
}
