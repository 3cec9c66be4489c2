//! Everything that crosses crates, in one binary.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "clippy knows tests by their attribute, helpers have none"
)]

mod approvals;
mod contracts;
mod controller;
mod diagnostics;
mod embedding;
mod endings;
mod engine;
mod guide;
mod journals;
mod kills;
mod moves;
mod mutations;
mod operations;
mod plugins;
mod policies;
mod records;
mod replays;
mod testing;
mod workbench;
