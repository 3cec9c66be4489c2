//! `longhaul validate`: every mistake in every file, and nothing else.

mod told;

use std::path::{Path, PathBuf};

use longhaul_host_rhai::RhaiHost;
use longhaul_model::diagnostic::{Code, Diagnostic, Diagnostics};
use longhaul_model::document::Document;
use longhaul_model::plugin::MANIFEST;
use longhaul_model::policy::Host as _;
use longhaul_model::read::{KINDS, kind_meant};
use longhaul_model::workflow::check_shared;
use longhaul_model::{parse_site, parse_sites, parse_vm};
use serde_json::{Value, json};

use told::Told;

use crate::commands::documents::{self, Format, Shown};
use crate::commands::{files, folders, plugin, suites};
use crate::errors::Result;
use crate::{exit_code, output};

/// How the name of a policy's script ends.
const SCRIPT: &str = "rhai";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Workflow, Defaults, Test, PolicyTest, Sites, Site and Vm files, the plugin.toml of plugins, scripts of policies, and folders
    /// in which all of them are looked at; what others keep beside them is left alone
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let files = folders::files(&args.files, folders::is_ours)?;
    let told = told::once(files.iter().map(|file| (file.as_path(), check(file))).collect());
    match args.format.shown() {
        Shown::Text => told.iter().for_each(show),
        Shown::Json => output::json(&told.iter().map(told_as_json).collect::<Vec<_>>()),
        Shown::Sarif => output::json(&documents::sarif(&together(&told))),
    }
    let all_fine = told.iter().all(Told::is_fine);
    Ok(if all_fine { exit_code::OK } else { exit_code::INVALID_FILE })
}

/// What is wrong with all files.
fn together(told: &[Told<'_>]) -> Diagnostics {
    let mut all = Diagnostics::new();
    told.iter().for_each(|one| all.append(one.found.clone()));
    all
}

/// What is wrong with a file, by what it says it is; a plugin's own by its name. That it cannot be read is one mistake more.
fn check(path: &Path) -> Diagnostics {
    let source = match documents::to_read(path) {
        Ok(source) => source,
        Err(unreadable) => return unreadable,
    };
    if path.file_name().is_some_and(|name| name == MANIFEST) {
        return plugin::check(path, &source);
    }
    if path.extension().is_some_and(|ending| ending == SCRIPT) {
        return RhaiHost::default().check(&source);
    }
    Document::parse_noting(&source).map_or_else(|found| found, |document| check_document(path, &document))
}

fn check_document(path: &Path, document: &Document) -> Diagnostics {
    let source = &document.source;
    let found = match document.kind().and_then(kind_meant) {
        Some("Workflow") => longhaul_plan::validate(&files::resolved(document), &longhaul_steps::catalogue()),
        Some("Defaults") => check_shared(document, &files::Disk, &RhaiHost::default()).or(Some(())),
        Some("Test" | "PolicyTest") => suites::check(path, document).map(drop),
        Some("Site") => parse_site(source).map(drop),
        Some("Sites") => parse_sites(source).map(drop),
        Some("Vm") => parse_vm(source).map(drop),
        Some(_) | None => Err(unknown_kind(document)),
    };
    found.err().unwrap_or_default()
}

fn unknown_kind(document: &Document) -> Diagnostics {
    let span = document.root.nearest("/kind").span;
    let one = match document.kind() {
        Some(kind) => {
            Diagnostic::new(Code::Kind, &document.source, span, format!("kind `{kind}` is not known"))
                .help(format!("there are: {}", KINDS.join(", ")))
        }
        None => Diagnostic::new(Code::MissingKey, &document.source, span, "key `kind` is missing")
            .help(format!("there are: {}", KINDS.join(", "))),
    };
    let mut found = document.noted.clone();
    found.push(one);
    found.sorted()
}

fn show(told: &Told<'_>) {
    output::raw_talk(&told.found.render(output::has_terminal()));
    output::data(format_args!("{}: {}", told.file.display(), in_words(told)));
}

fn in_words(told: &Told<'_>) -> String {
    let own = match told.found.len() {
        0 if told.others.is_empty() => return "fine".to_owned(),
        0 => "no mistake of its own".to_owned(),
        1 => "1 mistake".to_owned(),
        more => format!("{more} mistakes"),
    };
    let others: Vec<&str> = told.others.iter().map(String::as_str).collect();
    match others.as_slice() {
        [] => own,
        [other] => format!("{own}, but {other}, which it names, has mistakes"),
        others => format!("{own}, but these, which it leads to, have mistakes: {}", others.join(", ")),
    }
}

/// With `mistakes_in`, the files whose mistakes it leads to and that are told with another file.
fn told_as_json(told: &Told<'_>) -> Value {
    let mut value = as_json(told.file, &told.found);
    if !told.others.is_empty() {
        value["ok"] = false.into();
        value["mistakes_in"] = told.others.iter().map(String::as_str).collect();
    }
    value
}

/// What is wrong with a file, as scripts read it.
pub(super) fn as_json(file: &Path, found: &Diagnostics) -> Value {
    json!({ "file": file.display().to_string(), "ok": found.is_empty(), "diagnostics": found.to_json() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<&'static str> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file.yaml");
        std::fs::write(&file, text).unwrap();
        check(&file).iter().map(|one| one.code.as_str()).collect()
    }

    /// What a file says it is decides how it is checked, and a kind nobody knows is a mistake of its own.
    #[test]
    fn the_kind_decides() {
        assert!(
            codes("apiVersion: longhaul/v1\nkind: Sites\nsites: []\n").contains(&Code::MissingKey.as_str())
        );
        assert_eq!(codes("kind: Carpet\n"), [Code::Kind.as_str()]);
        let misspelt = codes("kind: Workfow\nkind: Vm\nparmeters: {}\n");
        for code in [Code::Kind, Code::DuplicateKey, Code::UnknownKey, Code::MissingKey] {
            assert!(misspelt.contains(&code.as_str()), "{code}: {misspelt:?}");
        }
        assert!(codes("kind: Test\n").contains(&Code::MissingKey.as_str()));
        assert_eq!(codes("name: x\n"), [Code::MissingKey.as_str()]);
    }

    /// A file that is not there, or is no text, is a mistake like others: with code, place and advice.
    #[test]
    fn what_cannot_be_read_is_a_mistake() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("latin.yaml");
        std::fs::write(&file, b"kind: Vm\r\n# \xc3\xa4 caf\xe9 \xff\n").unwrap();
        let found = check(&file);
        let one = &found.to_json()[0];
        assert_eq!((&one["code"], &one["line"], &one["column"]), (&"LH0014".into(), &2.into(), &8.into()));
        assert!(found.render(false).contains("# ä caf\u{fffd} \u{fffd}"), "{}", found.render(false));
        let missing = check(&folder.path().join("none.yaml"));
        let one = &missing.to_json()[0];
        assert!(one["code"] == "LH0014" && one["help"].is_string(), "{one}");
        assert!(missing.render(false).contains("cannot be read: No such file"), "{}", missing.render(false));
        assert_eq!(missing.to_sarif("1.0.0")["runs"][0]["results"].as_array().unwrap().len(), 1);
    }
}
