//! No test file is forgotten: `tests/` is one binary, so a file that `tests/main.rs` does not name never runs.

use super::problem::Problem;
use super::sources::Sources;

const MAIN: &str = "tests/main.rs";

pub(super) fn check(sources: &Sources) -> Vec<Problem> {
    let main = sources.get(MAIN).unwrap_or_default();
    let named: Vec<_> =
        main.lines().filter_map(|line| line.trim().strip_prefix("mod ")?.strip_suffix(';')).collect();
    let mut problems = Vec::new();
    for (path, _) in sources.rust() {
        let Some(module) = path.strip_prefix("tests/").map(top_module) else { continue };
        if path != MAIN && !named.contains(&module) {
            problems.push(Problem::new(path, 0, format!("never runs: write `mod {module};` into {MAIN}")));
        }
    }
    problems
}

fn top_module(path: &str) -> &str {
    let first = path.split('/').next().unwrap_or(path);
    first.strip_suffix(".rs").unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file and a folder that the main file does not name are told.
    #[test]
    fn finds_forgotten_files() {
        let main = "//! x\nmod named;\n";
        let files = [
            (MAIN, main),
            ("tests/named.rs", ""),
            ("tests/named/part.rs", ""),
            ("tests/lost.rs", ""),
            ("tests/gone/a.rs", ""),
        ];
        let found: Vec<_> = check(&Sources::of(&files)).into_iter().map(|problem| problem.path).collect();
        assert_eq!(found, ["tests/gone/a.rs", "tests/lost.rs"]);
    }
}
