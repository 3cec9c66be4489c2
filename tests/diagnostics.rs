//! Broken files of every kind, each with a name that says what must be found in it.
//!
//! `LHnnnn-*.yaml` holds a mistake of that code, `many-*.yaml` three or more mistakes, announced on their lines by
//! `# expect: LHnnnn`. A workflow with a key `x-given` is
//! checked with these inputs, one without is validated. The files that workflows use stand in `used/`, and plugins in
//! `plugins/`; those that a `many-NAME.yaml` is to be judged with are called `used/NAME-*.yaml` and `plugins/NAME/*`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use longhaul_host_rhai::RhaiHost;
use longhaul_model::action::Catalogue;
use longhaul_model::diagnostic::{Code, Diagnostic, Diagnostics};
use longhaul_model::document::Document;
use longhaul_model::policy_test::PolicyTest;
use longhaul_model::read::kind_meant;
use longhaul_model::test::TestFile;
use longhaul_model::workflow::{Resolved, Texts};
use longhaul_model::{Source, parse_site, parse_sites, parse_vm};
use longhaul_sim::PolicySuite;
use longhaul_sim::suite::Suite;

use crate::moves::binary;

const MANY_FIXTURES: usize = 5;
const MANY: usize = 3;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn catalogue() -> Catalogue {
    serde_json::from_str(include_str!("fixtures/workflows/catalogue.json")).unwrap()
}

/// Every fixture, by file name without its ending, in order.
fn fixtures() -> Vec<(String, Source)> {
    let folder = repository().join("tests/fixtures/workflows");
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let source = Source::new(&format!("{name}.yaml"), &std::fs::read_to_string(&path).unwrap());
            (name, source)
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// The files that fixtures use, by their names as seen from the fixtures.
fn used() -> Texts {
    fn below(folder: &Path, above: &str, all: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{above}{}", path.file_name().unwrap().to_str().unwrap());
            if path.is_dir() {
                below(&path, &format!("{name}/"), all);
            } else {
                all.insert(name, std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut all = BTreeMap::new();
    below(&repository().join("tests/fixtures/workflows"), "", &mut all);
    Texts(all)
}

/// What a person is told about a file, through the entry that its kind has.
fn mistakes(source: &Source) -> Diagnostics {
    let document = match Document::parse_noting(source) {
        Ok(document) => document,
        Err(found) => return found,
    };
    let workflow = || Resolved::read(&document, &used()).with_scripts_checked(&RhaiHost::default());
    let given = document.root.get("x-given").map(longhaul_model::document::Node::to_json);
    let result = match (document.kind().and_then(kind_meant), given) {
        (Some("Vm"), _) => parse_vm(source).map(drop),
        (Some("Test"), _) => test_mistakes(&document),
        (Some("PolicyTest"), _) => policy_test_mistakes(&document),
        (Some("Site"), _) => parse_site(source).map(drop),
        (Some("Sites"), _) => parse_sites(source).map(drop),
        (_, Some(given)) => {
            longhaul_plan::check(&workflow(), given.as_object().unwrap(), &catalogue()).map(drop)
        }
        (_, None) => longhaul_plan::validate(&workflow(), &catalogue()),
    };
    result.expect_err("a fixture is broken")
}

/// The command reads the workflow that a test names; here it is read in the same way.
fn test_mistakes(document: &Document) -> Result<(), Diagnostics> {
    let named = TestFile::read(document).0.workflow.expect("every fixture names one");
    let path = repository().join("tests/fixtures/workflows").join(&named.value);
    let Ok(text) = std::fs::read_to_string(path) else {
        let message = format!("the workflow {} cannot be read", named.value);
        return Err(Diagnostic::new(Code::TestedWorkflow, &document.source, named.span, message).into());
    };
    let workflow = Document::parse(&Source::new("evacuate.yaml", &text))?;
    Suite::check(document, &workflow, &catalogue()).map(drop)
}

/// The command reads the script that a test names; here it is read in the same way.
fn policy_test_mistakes(document: &Document) -> Result<(), Diagnostics> {
    let named = PolicyTest::read(document).0.policy.expect("every fixture names one");
    let Some(text) = used().0.remove(&named.value) else {
        let message = format!("the policy {} cannot be read", named.value);
        return Err(Diagnostic::new(Code::TestedPolicy, &document.source, named.span, message).into());
    };
    let script = Source::new(&named.value, &text);
    PolicySuite::check(document, &script, &RhaiHost::default()).map(drop)
}

/// Every code is found in a file that is there to show it, and the text that a person sees is as reviewed.
#[test]
fn every_code_has_a_fixture() {
    let mut missing: BTreeSet<Code> = Code::ALL.iter().copied().collect();
    for (name, source) in fixtures().into_iter().filter(|(name, _)| name.starts_with("LH")) {
        let found = mistakes(&source);
        let code = *Code::ALL.iter().find(|code| name.starts_with(code.as_str())).unwrap();
        assert!(found.iter().any(|one| one.code == code), "{name}:\n{}", found.render(false));
        missing.remove(&code);
        insta::assert_snapshot!(name, found.render(false));
    }
    assert!(missing.is_empty(), "no fixture for {missing:?}");
    assert!(Code::ALL.len() >= 15);
}

/// A file with many mistakes is told about all of them at once: those that its lines announce, and no other.
#[test]
fn many_mistakes_are_reported_at_once() {
    let many: Vec<_> = fixtures().into_iter().filter(|(name, _)| name.starts_with("many-")).collect();
    assert!(many.len() >= MANY_FIXTURES);
    for (name, source) in many {
        let found = mistakes(&source);
        assert!(found.len() >= MANY, "{name}:\n{}", found.render(false));
        let tell = |one: &Diagnostic| {
            let line = one.source.place(one.span.start).line;
            (one.source.name().to_owned(), line, one.code.to_string())
        };
        let mut told: Vec<_> = found.iter().map(tell).collect();
        told.sort_unstable();
        let name_alone = name.trim_start_matches("many-");
        let own = [format!("used/{name_alone}-"), format!("plugins/{name_alone}/")];
        let with = used().0.into_iter().filter(|(file, _)| own.iter().any(|own| file.starts_with(own)));
        let mut announced = planted(source.name(), source.text());
        announced.extend(with.flat_map(|(file, text)| planted(&file, &text)));
        announced.sort_unstable();
        assert_eq!(told, announced, "{name}:\n{}", found.render(false));
        insta::assert_snapshot!(name, found.render(false));
    }
}

/// The lines and codes that a file's own comments announce: `# expect: LHnnnn`, a code for each mistake of the line.
fn planted(file: &str, text: &str) -> Vec<(String, usize, String)> {
    let announced = text.lines().zip(1..).filter_map(|(text, line)| {
        let (_, codes) = text.split_once("# expect:")?;
        Some(codes.split_whitespace().map(move |code| (file.to_owned(), line, code.to_owned())))
    });
    announced.flatten().collect()
}

/// The JSON form has the same mistakes in the same places.
#[test]
fn json_says_the_same() {
    for (name, source) in fixtures() {
        let found = mistakes(&source);
        let json = found.to_json();
        for (one, json) in found.iter().zip(json.as_array().unwrap()) {
            let place = one.source.place(one.span.start);
            assert_eq!(json["file"], one.source.name(), "{name}");
            assert_eq!(json["code"], one.code.as_str(), "{name}");
            assert_eq!(
                (&json["line"], &json["column"]),
                (&place.line.into(), &place.column.into()),
                "{name}"
            );
            assert!(json["end"]["line"].as_u64().unwrap() >= place.line as u64, "{name}");
        }
    }
}

/// Commands that need a workflow to be right say with `--json` what is wrong with it as `validate --json` does: on standard
/// output, for scripts, with the exit code of an invalid file. Without it standard output stays empty.
#[test]
fn commands_refuse_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let file = repository().join("tests/fixtures/workflows/LH0002-key-twice.yaml");
    let broken_inputs = folder.path().join("inputs.yaml");
    std::fs::write(&broken_inputs, "vms: [\n").unwrap();
    let fine = repository().join("workflows/evacuate.yaml");
    let validate = |file: &Path| longhaul(folder.path(), &["validate", file.to_str().unwrap(), "--json"]);
    for command in ["plan", "run"] {
        let given = ["--input", "vms=[\"vm-a\"]", "--input", "to=b"];
        let workflow = [&[command, file.to_str().unwrap()][..], &given].concat();
        assert_eq!(longhaul(folder.path(), &workflow), (Some(3), String::new()), "{command}");
        assert_eq!(
            longhaul(folder.path(), &[&workflow[..], &["--json"]].concat()),
            validate(&file),
            "{command}"
        );
        let inputs = [command, fine.to_str().unwrap(), "--inputs", broken_inputs.to_str().unwrap(), "--json"];
        assert_eq!(longhaul(folder.path(), &inputs), validate(&broken_inputs), "{command}");
        let (code, said) = longhaul(folder.path(), &[command, fine.to_str().unwrap(), "--json"]);
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!((code, &said[0]["ok"]), (Some(3), &false.into()), "{command}: {said}");
        assert_eq!(said[0]["diagnostics"][0]["code"], Code::MissingInput.as_str(), "{command}: {said}");
    }
    let (code, said) = validate(&file);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said[0]["diagnostics"][0]["code"]), (Some(3), &Code::DuplicateKey.as_str().into()));
}

/// The exit code and standard output of a command with this state directory.
fn longhaul(state: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(binary()).arg("--state").arg(state).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// Nothing that a person can write makes reading or showing panic: every fixture, cut off at every place.
#[test]
fn cut_off_files_do_not_panic() {
    for (_, source) in fixtures() {
        for (end, _) in source.text().char_indices() {
            let cut = Source::new("cut.yaml", &source.text()[..end]);
            let result = Document::parse_noting(&cut).and_then(|document| {
                let (_, found) = TestFile::read(&document);
                assert!(!found.render(false).is_empty() || found.is_empty());
                longhaul_plan::validate(&document, &catalogue())
            });
            assert!(result.err().is_none_or(|found| !found.render(false).is_empty()));
        }
    }
}

/// Every code has its page in `docs/errors/`, as generated. `UPDATE_DOCS=1` writes them.
#[test]
fn every_code_has_its_page() {
    let folder = repository().join("docs/errors");
    let update = std::env::var_os("UPDATE_DOCS").is_some();
    for code in Code::ALL {
        let path = folder.join(format!("{code}.md"));
        if update {
            std::fs::write(&path, code.page()).unwrap();
        }
        let page = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(page, code.page(), "{} is not up to date", path.display());
    }
    let pages = std::fs::read_dir(folder)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("LH"));
    assert_eq!(pages.count(), Code::ALL.len(), "a page has no code");
}

/// The workflow that Longhaul ships is right, for the actions that Longhaul has.
#[test]
fn shipped_workflows_are_valid() {
    let path = repository().join("workflows/evacuate.yaml");
    let source = Source::new("evacuate.yaml", &std::fs::read_to_string(path).unwrap());
    let document = Document::parse(&source).unwrap_or_else(|found| panic!("{}", found.render(false)));
    for actions in [catalogue(), longhaul_steps::catalogue()] {
        longhaul_plan::validate(&document, &actions)
            .unwrap_or_else(|found| panic!("{}", found.render(false)));
    }
}

/// What no schema can express is found before anything starts: the shipped workflow is not planned for a move within one
/// site or without any pause, and each mistake is told where it is written.
#[test]
fn the_actions_own_checks_are_asked() {
    let source = Source::new("evacuate.yaml", include_str!("../workflows/evacuate.yaml"));
    let document = Document::parse(&source).unwrap();
    let given = serde_json::json!({ "vms": ["vm-a"], "from": "a", "to": "a", "max_pause": "0s" });
    let planned = longhaul_plan::check(&document, given.as_object().unwrap(), &longhaul_steps::catalogue());
    let found = planned.expect_err("two mistakes in the inputs");
    let told: Vec<_> =
        found.iter().map(|one| (one.code, one.source.slice(one.span), one.message.as_str())).collect();
    let same_site = |action| {
        format!("parameter `to` of `{action}`: `from` and `to` are the same site: a VM is there already")
    };
    for action in ["site.check@1", "wan.tunnel@1", "storage.prefetch@1", "vm.move@1", "storage.settle@1"] {
        let told = told.iter().any(|(_, _, message)| *message == same_site(action));
        assert!(told, "{action}: {}", found.render(false));
    }
    let pause =
        "parameter `max_pause` of `vm.move@1`: a VM cannot move without any pause: write 300ms or more";
    assert!(told.contains(&(Code::InvalidParameter, "\"${{ inputs.max_pause }}\"", pause)), "{told:?}");
    let given = serde_json::json!({ "vms": ["vm-a"], "from": "a", "to": "b" });
    assert!(
        longhaul_plan::check(&document, given.as_object().unwrap(), &longhaul_steps::catalogue()).is_ok()
    );
}
