//! From the command line to an exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Cli;
use crate::errors::Result;
use crate::settings::Settings;
use crate::{commands, exit_code, logging, output};

/// Runs the command that these arguments name, and returns the process's exit code (see [`exit_code`]).
pub fn start(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _gone = error.print();
            return ExitCode::from(if error.use_stderr() { exit_code::USAGE } else { exit_code::OK });
        }
    };
    match carry_out(cli) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            output::talk(failure.render());
            ExitCode::from(failure.code())
        }
    }
}

fn carry_out(cli: Cli) -> Result<u8> {
    let settings = Settings::read(&cli.global)?;
    logging::init(cli.global.verbose, settings.log(), cli.global.log_format);
    commands::dispatch(cli.command, &settings)
}
