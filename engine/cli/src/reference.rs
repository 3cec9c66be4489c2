//! The command line's reference, generated from the definitions themselves.

use std::fmt::Write as _;

use clap::CommandFactory as _;

use crate::args::Cli;
use crate::exit_code;

/// The reference as Markdown: every visible command with its help, and the exit codes.
#[must_use]
pub fn reference() -> String {
    let mut text = "# Command line\n\nGenerated from the definitions; do not edit.\n".to_owned();
    let mut root = Cli::command().term_width(100);
    root.build();
    section(&mut text, &mut root, "longhaul");
    text.push_str("\n## Exit codes\n\n| code | means |\n|---|---|\n");
    for (code, meaning) in exit_code::ALL {
        let _ = writeln!(text, "| {code} | {meaning} |");
    }
    text
}

fn section(text: &mut String, command: &mut clap::Command, path: &str) {
    let help = command.render_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(text, "\n## `{path}`\n\n```text\n{}\n```\n", help.join("\n").trim_end());
    for sub in command.get_subcommands_mut().filter(|sub| !sub.is_hide_set()) {
        let path = format!("{path} {}", sub.get_name());
        section(text, sub, &path);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// The page in the tree is what the definitions say.
    #[test]
    fn the_page_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == super::reference(),
            "docs/reference/cli.md is not current: `cargo xtask gen cli` writes it"
        );
    }
}
