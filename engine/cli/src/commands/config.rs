//! `longhaul config`: what the settings are and where they come from.

use serde_json::{Map, json};

use crate::exit_code;
use crate::output::{self, Table};
use crate::settings::Settings;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show every setting, its value and its origin
    Show(Args),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn show(args: &Args, settings: &Settings) -> u8 {
    if args.json {
        let entry =
            |(name, value, origin)| (str::to_owned(name), json!({ "value": value, "origin": origin }));
        let all: Map<_, _> = settings.show().into_iter().map(entry).collect();
        output::json(&all);
    } else {
        let mut table = Table::new(["setting", "value", "origin"]);
        for (name, value, origin) in settings.show() {
            table.row([name.to_owned(), value, origin]);
        }
        output::data(table);
    }
    exit_code::OK
}
