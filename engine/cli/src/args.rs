//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser};

use crate::commands::Command;
use crate::logging::LogFormat;

/// Moves running virtual machines between distant sites.
#[derive(Debug, Parser)]
#[command(name = "longhaul", version, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command accepts.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// State directory [env: LONGHAUL_STATE] [default: /var/lib/longhaul for root, $XDG_STATE_HOME/longhaul for others]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Inventory of the sites [env: LONGHAUL_SITES] [default: ./sites.yaml, then the configuration folder]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) sites: Option<PathBuf>,
    /// More of the log on standard error; again for still more [env: LONGHAUL_LOG for exact filters]
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Form of the log
    #[arg(long, global = true, value_enum, value_name = "FORM", default_value = "text")]
    pub(crate) log_format: LogFormat,
}
