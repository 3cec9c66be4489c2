//! What the commands say.

use std::path::{Path, PathBuf};
use std::process::Command;

use longhaul_model::diagnostic::Code;
use longhaul_model::workflow::ERROR_CLASSES;
use serde_json::Value;

use crate::moves::binary;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The exit code and both outputs of a command, called from the root of the repository.
fn longhaul(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(binary())
        .args(arguments)
        .env("LONGHAUL_STATE", std::env::temp_dir())
        .current_dir(repository())
        .output()
        .unwrap();
    let [out, talk] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.code(), out, talk)
}

fn json(arguments: &[&str]) -> Value {
    let (code, out, talk) = longhaul(arguments);
    assert_eq!(code, Some(0), "{talk}");
    serde_json::from_str(&out).unwrap()
}

/// A code is explained with its page, in any case of its letters; one that is none is met with the nearest.
#[test]
fn every_code_is_explained() {
    for code in Code::ALL {
        let page = std::fs::read_to_string(repository().join(format!("docs/errors/{code}.md"))).unwrap();
        assert_eq!(longhaul(&["explain", &code.as_str().to_lowercase()]), (Some(0), page, String::new()));
    }
    let (code, out, talk) = longhaul(&["explain", "LH008"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    insta::assert_snapshot!(talk, @r"
    error: there is no code `LH008`
      what to do: did you mean LH0008? `longhaul explain --list` shows every code
    ");
    let listed = json(&["explain", "--list", "--json"]);
    assert_eq!(listed.as_array().unwrap().len(), Code::ALL.len());
    let (_, out, _) = longhaul(&["explain", "--list"]);
    assert_eq!(out.lines().count(), Code::ALL.len() + 1);
}

/// What each action promises can be read, by people and by scripts.
#[test]
fn actions_say_what_they_promise() {
    let (code, list, _) = longhaul(&["actions"]);
    assert_eq!(code, Some(0));
    insta::assert_snapshot!("actions", list);
    for name in ["storage.prefetch@1", "vm.move"] {
        insta::assert_snapshot!(format!("actions-{name}"), longhaul(&["actions", name]).1);
    }
    let (code, out, talk) = longhaul(&["actions", "vm.mvoe@1"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(talk.contains("did you mean vm.move@1?"), "{talk}");
}

/// What an expression can call can be read, by people and by scripts.
#[test]
fn functions_say_what_they_do() {
    let all = json(&["functions", "--json"]);
    assert_eq!(all.as_array().unwrap().len(), longhaul_expr::FUNCTIONS.len());
    let (code, list, _) = longhaul(&["functions"]);
    assert_eq!((code, list.lines().count()), (Some(0), longhaul_expr::FUNCTIONS.len() + 1));
    insta::assert_snapshot!(longhaul(&["functions", "filter"]).1, @r#"
    filter
      The items of which the closure is true, in their order.

      list.filter(|item| boolean) -> list

      ${{ inputs.vms.filter(|vm| vm != "vm-a") }}
      is ["vm-b", "vm-c"]
    "#);
    let (code, out, talk) = longhaul(&["functions", "fliter"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(talk.contains("did you mean filter?"), "{talk}");
}

/// Every native action says how it fails, in classes that a workflow can name, and what each parameter is for.
#[test]
fn actions_are_described_whole() {
    for action in json(&["actions", "--json"]).as_array().unwrap() {
        let errors = action["errors"].as_array().unwrap();
        assert!(!errors.is_empty(), "{action}");
        for error in errors {
            assert!(ERROR_CLASSES.contains(&error["class"].as_str().unwrap()), "{error}");
            assert!(error["when"].as_str().unwrap().len() > 10, "{error}");
        }
        for (name, schema) in action["params"]["properties"].as_object().unwrap() {
            assert!(schema["description"].is_string(), "{}: {name}", action["name"]);
        }
    }
}

/// Code scanning takes what `validate` says of every broken file there is: it fits the official schema of SARIF 2.1.0.
#[test]
fn diagnostics_are_sarif() {
    let mut schema: Value =
        serde_json::from_str(include_str!("../fixtures/sarif-schema-2.1.0.json")).unwrap();
    for part in ["run", "toolComponent"] {
        // Its pattern is one of JavaScript's only, and nothing here says in which language it speaks.
        let language = schema.pointer_mut(&format!("/definitions/{part}/properties/language")).unwrap();
        language.as_object_mut().unwrap().remove("pattern").unwrap();
    }
    let validator = jsonschema::draft7::new(&schema).unwrap();
    let fits = |log: &Value| {
        let errors: Vec<String> = validator.iter_errors(log).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:#?}\n{log:#}");
    };
    let folder = repository().join("tests/fixtures/workflows");
    let names =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files: Vec<String> = names
        .filter(|name| name.ends_with(".yaml"))
        .map(|name| format!("tests/fixtures/workflows/{name}"))
        .collect();
    let mut arguments = vec!["validate", "--format", "sarif"];
    arguments.extend(files.iter().map(String::as_str));
    let (code, out, talk) = longhaul(&arguments);
    assert_eq!((code, talk.as_str()), (Some(3), ""));
    let log: Value = serde_json::from_str(&out).unwrap();
    fits(&log);
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert!(results.len() > files.len(), "{} results", results.len());

    let one = "tests/fixtures/workflows/LH0002-key-twice.yaml";
    let given = ["--input", "vms=[\"vm-a\"]", "--input", "to=b"];
    for (command, given) in [("validate", &[][..]), ("plan", &given)] {
        let (code, out, talk) = longhaul(&[&[command, one, "--format", "sarif"], given].concat());
        assert_eq!(code, Some(3), "{talk}");
        insta::assert_snapshot!("sarif", out.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
    }
    let inputs = ["--input", "vms=[\"vm-a\"]", "--input", "from=a", "--input", "to=b"];
    let fine = [&["plan", "workflows/evacuate.yaml", "--format", "sarif"][..], &inputs].concat();
    let log = json(&fine);
    fits(&log);
    assert_eq!(log["runs"][0]["results"], Value::Array(Vec::new()));
}

/// `--json` is `--format json`, and saying both is refused.
#[test]
fn json_is_a_format() {
    let file = "tests/fixtures/workflows/LH0002-key-twice.yaml";
    assert_eq!(longhaul(&["validate", file, "--json"]), longhaul(&["validate", file, "--format", "json"]));
    assert_eq!(longhaul(&["validate", file, "--json", "--format", "sarif"]).0, Some(2));
}

/// A plan says in JSON why each step waits, and so does a picture; a workflow that is not right has neither.
#[test]
fn edges_have_reasons() {
    let inputs = ["--input", "vms=[\"vm-a\"]", "--input", "from=a", "--input", "to=b", "--json"];
    let plan = json(&[&["plan", "workflows/evacuate.yaml"][..], &inputs].concat());
    let reason = &plan["graph"]["steps"][1]["reasons"][0];
    assert_eq!((&reason["kind"], &reason["needs"]), (&"written".into(), &"preflight".into()));
    let text = std::fs::read_to_string(repository().join("workflows/evacuate.yaml")).unwrap();
    let line = usize::try_from(reason["line"].as_u64().unwrap()).unwrap();
    assert_eq!(text.lines().nth(line - 1), Some("    needs: [preflight]"));
    for form in ["terminal", "dot", "mermaid", "svg"] {
        let (code, picture, _) = longhaul(&["graph", "workflows/evacuate.yaml", "--format", form]);
        assert_eq!(code, Some(0));
        assert!(picture.contains(&format!("line {line}")), "{picture}");
    }
    let (code, out, talk) = longhaul(&["graph", "tests/fixtures/workflows/LH0033-cycle.yaml"]);
    assert_eq!((code, out.as_str()), (Some(3), ""));
    assert!(talk.contains("LH0033"), "{talk}");
}
