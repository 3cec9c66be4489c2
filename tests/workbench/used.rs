//! Files that name others, on a disk.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::moves::binary;

const HEAD: &str = "apiVersion: longhaul/v1\nkind: Workflow\nname: w\nversion: 1.0.0\n";

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

/// The exit code and standard output of a command in a folder.
fn longhaul(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(binary())
        .args(arguments)
        .env("LONGHAUL_STATE", folder.join("state"))
        .current_dir(folder)
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

fn root() -> String {
    format!(
        "{HEAD}include: [ ./shared.yaml ]\nsteps:\n  one: {{ uses: ./lib/one.yaml, with: {{ to: r }} }}\n"
    )
}

fn one() -> String {
    format!(
        "{HEAD}inputs: {{ to: {{ type: string }} }}\nsteps:\n  tell: {{ uses: report.write@1, with: {{ to: \"${{{{ inputs.to }}}}\" }} }}\n"
    )
}

const SHARED: &str = "apiVersion: longhaul/v1\nkind: Defaults\ndefaults: { timeout: 7m }\n";

/// Every command reads the files that a workflow names, wherever it is called from; `fmt` leaves the names alone.
#[test]
fn commands_read_the_files_that_are_named() {
    let folder = folder(&[("w/root.yaml", &root()), ("w/lib/one.yaml", &one()), ("w/shared.yaml", SHARED)]);
    let here = folder.path();
    let files = ["validate", "w/root.yaml", "w/lib/one.yaml", "w/shared.yaml"];
    assert_eq!(longhaul(here, &files).0, Some(0));
    let (code, plan) = longhaul(here, &["plan", "w/root.yaml", "--json"]);
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let child = &plan["graph"]["steps"][0]["body"]["workflow"];
    assert_eq!((code, &child["workflow"]["file"]), (Some(0), &"w/lib/one.yaml".into()));
    let from_within = longhaul(&here.join("w"), &["plan", "root.yaml", "--json"]).1;
    let from_within: Value = serde_json::from_str(&from_within).unwrap();
    assert_eq!(plan["workflow"]["sha256"], from_within["workflow"]["sha256"]);
    let (code, picture) = longhaul(here, &["graph", "w/root.yaml"]);
    assert!(code == Some(0) && picture.contains("tell: report.write@1"), "{picture}");
    assert_eq!(longhaul(here, &["fmt", "w/root.yaml", "w/shared.yaml"]).0, Some(0));
    let laid_out = std::fs::read_to_string(here.join("w/root.yaml")).unwrap();
    assert!(laid_out.contains("include: [./shared.yaml]\n"), "{laid_out}");
    assert_eq!(longhaul(here, &files).0, Some(0));
}

/// A mistake in a file that is used is told in that file, with the step that uses it; a link that leads out is refused.
#[test]
fn mistakes_are_told_in_the_file_they_are_in() {
    let broken = one().replace("report.write@1", "report.wriet@1");
    let folder = folder(&[("w/root.yaml", &root()), ("w/lib/one.yaml", &broken), ("secret.yaml", SHARED)]);
    std::os::unix::fs::symlink(folder.path().join("secret.yaml"), folder.path().join("w/shared.yaml"))
        .unwrap();
    let (code, said) = longhaul(folder.path(), &["validate", "w/root.yaml", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    let told = said[0]["diagnostics"].as_array().unwrap();
    let places: Vec<_> = told.iter().map(|one| (&one["file"], &one["code"], &one["line"])).collect();
    let expected = [
        (&Value::from("w/lib/one.yaml"), &Value::from("LH0030"), &Value::from(7)),
        (&Value::from("w/root.yaml"), &Value::from("LH0014"), &Value::from(5)),
    ];
    assert_eq!((code, places.as_slice()), (Some(3), &expected[..]), "{said:#}");
    assert_eq!(told[0]["elsewhere"][0]["file"], "w/root.yaml");
    assert!(told[1]["message"].as_str().unwrap().contains("by a symbolic link"), "{said:#}");
}
