//! `longhaul functions`: what an expression can call.

use longhaul_expr::{FUNCTIONS, Function, Group, nearest_function};
use serde_json::{Value, json};

use crate::errors::{Failure, Result};
use crate::exit_code;
use crate::output::{self, Table};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show one function whole, such as filter
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let shown: Vec<&Function> = match &args.name {
        Some(name) => vec![find(name)?],
        None => FUNCTIONS.iter().collect(),
    };
    if args.json {
        output::json(&shown.iter().map(|function| as_json(function)).collect::<Vec<_>>());
    } else if args.name.is_some() {
        shown.iter().for_each(|function| output::raw(&page(function)));
    } else {
        output::data(list(&shown));
    }
    Ok(exit_code::OK)
}

fn find(name: &str) -> Result<&'static Function> {
    if let Some(function) = FUNCTIONS.iter().find(|function| function.name == name) {
        return Ok(function);
    }
    let near = nearest_function(name).map_or_else(String::new, |near| format!("did you mean {near}? "));
    let failure = Failure::said(exit_code::USAGE, format!("there is no function `{name}`"));
    Err(failure.advise(format!("{near}`longhaul functions` lists what there is")))
}

/// The groups one after the other, each under its name.
fn list(functions: &[&Function]) -> Table<3> {
    let mut table = Table::new(["function", "example", "value"]);
    for group in Group::ALL {
        for function in functions.iter().filter(|function| function.group == group) {
            let [name, example, value] = [function.name, function.example, function.value].map(str::to_owned);
            table.row([name, example, value]);
        }
    }
    table
}

fn page(function: &Function) -> String {
    let signatures: Vec<String> = function.signatures.iter().map(|it| format!("  {it}\n")).collect();
    let Function { name, means, example, value, .. } = function;
    format!("{name}\n  {means}\n\n{}\n  ${{{{ {example} }}}}\n  is {value}\n", signatures.concat())
}

fn as_json(function: &Function) -> Value {
    let Function { name, group, signatures, means, example, value, .. } = function;
    let value: Value = serde_json::from_str(value).unwrap_or_default();
    json!({
        "name": name, "group": group.title(), "signatures": signatures, "means": means, "example": example,
        "value": value,
    })
}
