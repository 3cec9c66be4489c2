//! `longhaul explain`: the page of a diagnostic's code.

use longhaul_model::diagnostic::{Code, nearest};
use serde_json::{Value, json};

use crate::errors::{Failure, Result};
use crate::exit_code;
use crate::output::{self, Table};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A code as a diagnostic shows it, such as LH0008
    #[arg(required_unless_present = "list")]
    code: Option<String>,
    /// List every code
    #[arg(long, conflicts_with = "code")]
    list: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    match &args.code {
        Some(text) => page(find(text)?, args.json),
        None => list(args.json),
    }
    Ok(exit_code::OK)
}

fn find(text: &str) -> Result<Code> {
    Code::of(text).ok_or_else(|| {
        let near = nearest(&text.to_uppercase(), Code::ALL.iter().map(|code| code.as_str()));
        let near = near.map_or_else(String::new, |near| format!("did you mean {near}? "));
        let failure = Failure::said(exit_code::USAGE, format!("there is no code `{text}`"));
        failure.advise(format!("{near}`longhaul explain --list` shows every code"))
    })
}

fn page(code: Code, json: bool) {
    if json {
        output::json(&as_json(code));
    } else {
        output::raw(&code.page());
    }
}

fn list(json: bool) {
    if json {
        return output::json(&Code::ALL.iter().copied().map(as_json).collect::<Vec<_>>());
    }
    let mut table = Table::new(["code", "means"]);
    for code in Code::ALL {
        table.row([code.to_string(), code.title().to_owned()]);
    }
    output::data(table);
}

fn as_json(code: Code) -> Value {
    json!({
        "code": code.as_str(),
        "title": code.title(),
        "explanation": code.explanation(),
        "example": code.example(),
        "remedy": code.remedy(),
    })
}
