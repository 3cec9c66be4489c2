//! Files that name others, on a disk.

use std::os::unix::ffi::OsStrExt as _;
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

/// A folder is looked at with everything in it that is meant for Longhaul, also where nothing says so rightly; what others keep
/// there is left alone, and nothing waits for a pipe.
#[test]
fn broken_files_of_a_folder_are_told() {
    let folder = folder(&[
        ("p/typo.yaml", "apiVersion: longhual/v1\nkind: Workflow\n"),
        ("p/none.yaml", "kind: Workflow\nname: a\n"),
        ("p/w.json", "{\"apiVersion\":\"longhaul/v1\",\"kind\":\"Workflow\"}"),
        ("p/x.test.yaml", "workflow: w.yaml\n"),
        ("p/policies/p.rhai", "fn decide(x) { ((( }"),
        ("p/plugin.toml", "[package]\nname = \"x\"\n"),
        ("p/argo.yaml", "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\n"),
        ("p/package.json", "{\"name\": \"x\"}"),
    ]);
    let at = |name: &str| folder.path().join("p").join(name);
    std::fs::write(at("latin.yaml"), b"kind: Vm\n# caf\xe9\n").unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"odd\xff.yaml");
    std::fs::write(folder.path().join("p").join(odd), "kind: Vm\n").unwrap();
    std::os::unix::fs::symlink("nowhere", at("link.yaml")).unwrap();
    assert!(Command::new("mkfifo").arg(at("pipe.yaml")).status().unwrap().success());
    let (code, said) = longhaul(folder.path(), &["validate", "p", "p/../p/none.yaml", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    let told = said.as_array().unwrap().iter();
    let broken: Vec<&str> = told.map(|one| one["file"].as_str().unwrap().trim_start_matches("p/")).collect();
    let expected = [
        "latin.yaml",
        "link.yaml",
        "none.yaml",
        "odd\u{fffd}.yaml",
        "policies/p.rhai",
        "typo.yaml",
        "w.json",
        "x.test.yaml",
    ];
    assert_eq!((code, broken), (Some(3), expected.to_vec()), "{said:#}");
    assert!(said.as_array().unwrap().iter().all(|one| one["ok"] == false), "{said:#}");
    let (code, laid_out) = longhaul(folder.path(), &["fmt", "--check", "p"]);
    assert_eq!(code, Some(3), "{laid_out}");
}

/// What is wrong with a test file is told beside what is wrong with its workflow, and the latter once, with the workflow.
#[test]
fn a_workflow_and_its_tests_have_their_own_mistakes() {
    let test = "apiVersion: longhaul/v1\nkind: Test\nworkflow: ./w.yaml\ncasess: 3\ncases: [{ name: x }, { name: x }]\n";
    let fine = "apiVersion: longhaul/v1\nkind: Test\nworkflow: w.yaml\ncases: [{ name: x, expect: { status: succeeded } }]\n";
    for steps in ["steps:\n  a: [ wait: 1s\n", "steps:\n  a: { wiat: 1s }\n"] {
        let workflow = format!("{HEAD}{steps}");
        let folder = folder(&[("p/a.test.yaml", test), ("p/b.test.yaml", fine), ("p/w.yaml", &workflow)]);
        let alone = longhaul(folder.path(), &["validate", "p/w.yaml", "--json"]).1;
        let alone: Value = serde_json::from_str(&alone).unwrap();
        let (code, said) = longhaul(folder.path(), &["validate", "p", "--json"]);
        let said: Value = serde_json::from_str(&said).unwrap();
        let codes = |at: usize| -> Vec<&str> {
            let told = said[at]["diagnostics"].as_array().unwrap();
            told.iter().map(|one| one["code"].as_str().unwrap()).collect()
        };
        assert_eq!(code, Some(3));
        assert!(codes(0).contains(&"LH0008"), "{said:#}");
        assert_eq!((codes(1), &said[1]["ok"]), (Vec::new(), &false.into()), "{said:#}");
        assert_eq!(said[1]["mistakes_in"], serde_json::json!(["p/w.yaml"]), "{said:#}");
        assert_eq!(said[2], alone[0]);
        let log = longhaul(folder.path(), &["validate", "p", "--format", "sarif"]).1;
        let log: Value = serde_json::from_str(&log).unwrap();
        let told = [0, 1, 2].map(|at| codes(at).len()).iter().sum::<usize>();
        assert_eq!(log["runs"][0]["results"].as_array().unwrap().len(), told);
        let text = longhaul(folder.path(), &["validate", "p"]).1;
        assert!(
            text.contains("b.test.yaml: no mistake of its own, but p/w.yaml, which it names, has mistakes"),
            "{text}"
        );
    }
}
