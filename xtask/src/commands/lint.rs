//! `cargo xtask lint`: every check runs, then all that failed is told.

use anyhow::{Result, ensure};

use crate::cargo::{build_with_tests, cargo, root, succeed};
use crate::tidy;

/// One of the checks.
type Check = fn() -> Result<()>;

pub(crate) fn run() -> Result<()> {
    let checks: [(&str, Check); 5] = [
        ("format", || succeed(cargo(&["fmt", "--all", "--check"]))),
        ("tidy", tidy_alone),
        ("clippy", clippy),
        ("documentation", documentation),
        ("generated files", generated),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        eprintln!("-- {name}");
        if let Err(error) = check() {
            eprintln!("{error:#}");
            failed.push(name);
        }
    }
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// The rules of the house.
pub(crate) fn tidy_alone() -> Result<()> {
    let problems = tidy::check(root())?;
    for problem in &problems {
        eprintln!("{problem}");
    }
    ensure!(problems.is_empty(), "{} rules broken", problems.len());
    Ok(())
}

fn clippy() -> Result<()> {
    succeed(cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn documentation() -> Result<()> {
    let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    succeed(doc)
}

fn generated() -> Result<()> {
    let mut check = std::process::Command::new(build_with_tests()?);
    check.args(["gen", "--check"]).current_dir(root());
    succeed(check)
}
