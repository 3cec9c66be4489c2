//! The `longhaul` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    longhaul_cli::start(std::env::args_os())
}
