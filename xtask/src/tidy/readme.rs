//! The README names the two commands a newcomer needs.

use super::problem::Problem;
use super::sources::Sources;

const README: &str = "README.md";
const COMMANDS: [&str; 2] = ["cargo xtask demo", "cargo xtask test"];

pub(super) fn check(sources: &Sources) -> Vec<Problem> {
    let Some(text) = sources.get(README) else { return vec![Problem::new(README, 0, "is missing")] };
    let missing = COMMANDS.iter().filter(|command| !text.contains(**command));
    missing.map(|command| Problem::new(README, 0, format!("does not name `{command}`"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No README, or one that lacks a command, is told.
    #[test]
    fn needs_commands() {
        assert_eq!(check(&Sources::of(&[])).len(), 1);
        let found = check(&Sources::of(&[(README, "run cargo xtask test")]));
        assert_eq!(found, [Problem::new(README, 0, "does not name `cargo xtask demo`")]);
        assert_eq!(check(&Sources::of(&[(README, "cargo xtask demo, cargo xtask test")])), []);
    }
}
