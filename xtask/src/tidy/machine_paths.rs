//! The tree knows nothing of the machine it was written on: no file holds the path of the checkout, of the folder
//! around it, or of a home directory.

use std::path::Path;

use super::problem::Problem;
use super::sources::Sources;

/// Folders that every machine has; that a checkout lies in one of them does not make the name private.
const COMMON: [&str; 9] = ["/", "/home", "/mnt", "/opt", "/srv", "/tmp", "/usr/src", "/var", "/var/lib"];

pub(super) fn check(root: &Path, sources: &Sources) -> Vec<Problem> {
    let home = std::env::var("HOME").unwrap_or_default();
    let around = root.parent().map(|parent| parent.display().to_string()).unwrap_or_default();
    find(&[root.display().to_string(), around, home], sources)
}

fn find(paths: &[String], sources: &Sources) -> Vec<Problem> {
    let private = paths.iter().filter(|path| !path.is_empty() && !COMMON.contains(&path.as_str()));
    let needles: Vec<_> = private.map(|path| format!("{path}/")).collect();
    let mut problems = Vec::new();
    for (path, text) in &sources.files {
        for (number, line) in text.lines().enumerate() {
            if let Some(needle) = needles.iter().find(|needle| line.contains(needle.as_str())) {
                problems.push(Problem::new(
                    path,
                    number + 1,
                    format!("`{needle}` is a path of this machine"),
                ));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path of this machine is told with its line; a folder that every machine has is not.
    #[test]
    fn finds_paths() {
        let files = [("a.md", "x\nsee /somewhere/else/a\n"), ("b.md", "/tmp/x")];
        let found = find(&["/somewhere".into(), "/tmp".into(), String::new()], &Sources::of(&files));
        assert_eq!(found, [Problem::new("a.md", 2, "`/somewhere/` is a path of this machine")]);
    }
}
