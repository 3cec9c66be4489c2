//! `longhaul actions`: what a step can use, and what each promises.

use longhaul_model::action::{Catalogue, Descriptor, Effects};
use longhaul_model::diagnostic::nearest;

use crate::commands::schemas::{Field, fields};
use crate::errors::{Failure, Result};
use crate::exit_code;
use crate::output::{self, Table};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show one action whole, such as vm.move@1; without its version, all versions of it
    name: Option<String>,
    /// Print JSON: parameters and outputs as JSON Schemas
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let catalogue = longhaul_steps::catalogue();
    let shown = match &args.name {
        Some(name) => find(&catalogue, name)?,
        None => catalogue.iter().collect(),
    };
    if args.json {
        output::json(&shown);
    } else if args.name.is_some() {
        let pages: Vec<String> = shown.into_iter().map(page).collect();
        output::raw(&pages.join("\n"));
    } else {
        output::data(list(&shown));
    }
    Ok(exit_code::OK)
}

fn find<'a>(catalogue: &'a Catalogue, name: &str) -> Result<Vec<&'a Descriptor>> {
    let meant = |action: &&Descriptor| action.name.to_string() == name || action.name.kind() == name;
    let found: Vec<&Descriptor> = catalogue.iter().filter(meant).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let names: Vec<String> = catalogue.iter().map(|action| action.name.to_string()).collect();
    let kinds = catalogue.iter().map(|action| action.name.kind());
    let near = nearest(name, names.iter().map(String::as_str).chain(kinds));
    let near = near.map_or_else(String::new, |near| format!("did you mean {near}? "));
    let failure = Failure::said(exit_code::USAGE, format!("there is no action `{name}`"));
    Err(failure.advise(format!("{near}`longhaul actions` lists what there is")))
}

fn list(actions: &[&Descriptor]) -> Table<3> {
    let mut table = Table::new(["action", "effects", "does"]);
    for action in actions {
        table.row([action.name.to_string(), effects(action.effects).to_owned(), action.summary.clone()]);
    }
    table
}

fn page(action: &Descriptor) -> String {
    let head = format!("{}\n  {}\n  effects: {}", action.name, action.summary, promise(action.effects));
    let params = parameters(&fields(&action.params));
    let outputs = outputs(&fields(&action.outputs));
    let mut errors = Table::new(["fails with", "when"]);
    for error in &action.errors {
        errors.row([error.class.clone(), error.when.clone()]);
    }
    format!("{head}\n\n{params}\n\n{outputs}\n\n{errors}\n")
}

fn parameters(fields: &[Field]) -> Table<4> {
    let mut table = Table::new(["parameter", "type", "needed", "means"]);
    for field in fields {
        let needed = match (field.needed, &field.default) {
            (true, _) => "yes".to_owned(),
            (false, Some(default)) => format!("no, {default}"),
            (false, None) => "no".to_owned(),
        };
        table.row([field.name.clone(), field.kind.clone(), needed, field.means.clone()]);
    }
    table
}

fn outputs(fields: &[Field]) -> Table<3> {
    let mut table = Table::new(["output", "type", "always there"]);
    for field in fields {
        let always = if field.needed { "yes" } else { "no" };
        table.row([field.name.clone(), field.kind.clone(), always.to_owned()]);
    }
    table
}

/// As a workflow's `effects` spells it.
fn effects(effects: Effects) -> &'static str {
    match effects {
        Effects::None => "none",
        Effects::Reversible => "reversible",
        Effects::Irreversible => "irreversible",
    }
}

fn promise(of: Effects) -> String {
    let what = match of {
        Effects::None => "it only looks",
        Effects::Reversible => "what it leaves, it can take away again",
        Effects::Irreversible => "nothing takes away what it leaves",
    };
    format!("{} ({what})", effects(of))
}
