//! The `longhaul` binary: commands, output, errors, exit codes.
//!
//! This is the only crate that reads the environment, the home directory and the terminal, and the only one that
//! prints: standard output is data, standard error is talk. It decides nothing about runs, sites or bytes; a command
//! reads its arguments, calls the crate that knows, and shows what came of it.

mod args;
mod bench;
mod commands;
mod demo;
mod errors;
pub mod exit_code;
mod format_reference;
mod journals;
mod logging;
mod output;
mod reference;
mod rehearsal;
mod settings;
mod start;

pub use args::Cli;
pub use reference::reference;
pub use start::start;
