//! The project's own commands, the same for people and for CI.
#![expect(clippy::print_stderr, reason = "a command-line tool talks to its user on stderr")]

mod cargo;
mod commands;
mod setup;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Moves a running VM between two emulated sites and reports what its client noticed.
    Demo(commands::product::Demo),
    /// Compares us with a named peer on this machine.
    Bench(commands::product::Bench),
    /// Writes the files that are made from code.
    Gen(commands::product::Gen),
    /// Builds the binary and runs every test.
    Test(commands::test::Test),
    /// Checks form, lints, documentation and generated files.
    Lint,
    /// Checks the rules of the house alone; the fast part of `lint`.
    Tidy,
}

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Demo(demo) => demo.run(),
        Command::Bench(bench) => bench.run(),
        Command::Gen(gen_) => gen_.run(),
        Command::Test(test) => test.run(),
        Command::Lint => commands::lint::run(),
        Command::Tidy => commands::lint::tidy_alone(),
    }
}
