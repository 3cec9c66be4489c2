//! The commands that write files.

use std::path::{Path, PathBuf};
use std::process::Command;

use longhaul_model::Source;
use longhaul_model::document::Document;
use longhaul_model::layout::{NotLaidOut, lay_out};

use crate::moves::binary;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The exit code and both outputs of a command in a folder.
fn longhaul(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(binary())
        .args(arguments)
        .env("LONGHAUL_STATE", folder.join("state"))
        .current_dir(folder)
        .output()
        .unwrap();
    let [out, talk] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.code(), out, talk)
}

fn yaml_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            yaml_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "yaml") {
            found.push(path);
        }
    }
}

/// Laying a file out changes nothing of what it says: every file of the tree that can be read, as it is and with all its
/// levels doubled.
#[test]
fn fmt_keeps_what_files_say() {
    let mut files = Vec::new();
    for folder in ["workflows", "tests", "engine/cli"] {
        yaml_files(&repository().join(folder), &mut files);
    }
    let mut read = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let doubled: String = text
            .lines()
            .map(|line| {
                let said = line.trim_start_matches(' ');
                format!("{:width$}{said}\n", "", width = 2 * (line.len() - said.len()))
            })
            .collect();
        for text in [text, doubled] {
            let source = Source::new(&file.display().to_string(), &text);
            let Ok(document) = Document::parse(&source) else { continue };
            let once = lay_out(&source).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let again = Document::parse(&Source::new("again", &once)).unwrap();
            assert_eq!(document.root.to_json().to_string(), again.root.to_json().to_string(), "{once}");
            assert_eq!(text.matches('#').count(), once.matches('#').count(), "{once}");
            assert_eq!(lay_out(&Source::new("again", &once)).unwrap(), once);
            read += 1;
        }
    }
    assert!(read > 60, "{read}");
}

/// Whatever is left of a file: it cannot be read, or it is laid out and says the same. Nothing panics.
#[test]
fn fmt_takes_what_is_left_of_a_file() {
    let mut files = Vec::new();
    yaml_files(&repository().join("tests/fixtures/workflows"), &mut files);
    files.push(repository().join("workflows/evacuate.yaml"));
    let mut laid_out = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for (end, _) in text.char_indices() {
            match lay_out(&Source::new("cut", &text[..end])) {
                Ok(_) => laid_out += 1,
                Err(NotLaidOut::Mistakes(_)) => {}
                Err(NotLaidOut::NotTheSame) => panic!("{} to byte {end}", file.display()),
            }
        }
    }
    assert!(laid_out > 1_000, "{laid_out}");
}

/// The files that Longhaul ships are laid out as it lays files out.
#[test]
fn shipped_files_are_laid_out() {
    let mut files = Vec::new();
    for folder in ["workflows", "engine/cli"] {
        yaml_files(&repository().join(folder), &mut files);
    }
    assert!(!files.is_empty());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(lay_out(&Source::new("it", &text)).unwrap(), text, "{}", file.display());
    }
}

/// `--check` names what would change and changes nothing; without it the file is changed and named once. A file that
/// cannot be read is told about and left alone, and the others are laid out all the same.
#[test]
fn fmt_changes_files_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let (messy, broken) = (folder.path().join("messy.yaml"), folder.path().join("broken.yaml"));
    std::fs::write(&messy, "a:\n    b: 1\n").unwrap();
    std::fs::write(&broken, "a: [1\n").unwrap();
    let fmt = |arguments: &[&str]| longhaul(folder.path(), &[&["fmt"], arguments].concat());
    assert_eq!(fmt(&["--check", "messy.yaml"]), (Some(4), "messy.yaml\n".into(), String::new()));
    assert_eq!(std::fs::read_to_string(&messy).unwrap(), "a:\n    b: 1\n");
    let (code, out, talk) = fmt(&["broken.yaml", "messy.yaml"]);
    assert_eq!((code, out.as_str()), (Some(3), "messy.yaml\n"));
    assert!(talk.contains("LH0001"), "{talk}");
    assert_eq!(std::fs::read_to_string(&messy).unwrap(), "a:\n  b: 1\n");
    assert_eq!(std::fs::read_to_string(&broken).unwrap(), "a: [1\n");
    assert_eq!(fmt(&["--check", "messy.yaml"]), (Some(0), String::new(), String::new()));
}

/// The files of a new project that have a schema, with the schema that their first lines name.
const EXAMPLES: [(&str, &str); 4] = [
    ("workflow-v1.json", "move.yaml"),
    ("test-v1.json", "move.test.yaml"),
    ("policytest-v1.json", "policies/maintenance-window.test.yaml"),
    ("sites-v1.json", "sites.yaml"),
];

/// A new project is right in every part, and nothing in a folder is ever overwritten.
#[test]
fn a_new_project_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, talk) = longhaul(folder.path(), &["init", "storm"]);
    assert_eq!(code, Some(0), "{talk}");
    let written: Vec<&str> = out.lines().collect();
    let project = folder.path().join("storm");
    assert!(written.iter().all(|file| folder.path().join(file).is_file()), "{written:?}");
    let count = |folder: &Path| std::fs::read_dir(folder).unwrap().count();
    let folders = ["schema", "policies", "snapshots"].map(|folder| project.join(folder));
    let inside: usize = folders.iter().map(|folder| count(folder)).sum();
    assert_eq!(count(&project) - folders.len() + inside, written.len());
    for command in [
        &["validate", "move.yaml", "move.test.yaml", "policies/maintenance-window.test.yaml", "sites.yaml"][..],
        &["plan", "move.yaml", "--inputs", "inputs.yaml"],
        &["graph", "move.yaml"],
        &["test"],
        &["fmt", "--check", "move.yaml", "move.test.yaml", "inputs.yaml", "sites.yaml"],
    ] {
        let (code, _, talk) = longhaul(&project, command);
        assert_eq!(code, Some(0), "{command:?}: {talk}");
    }
    for (kind, example) in EXAMPLES {
        let first = std::fs::read_to_string(project.join(example)).unwrap();
        let named = first.lines().next().unwrap().split("$schema=").nth(1).unwrap();
        let schema = project.join(example).parent().unwrap().join(named);
        assert!(schema.ends_with(kind) && schema.is_file(), "{example}: {named}");
    }
    std::fs::write(project.join("move.yaml"), "mine").unwrap();
    std::fs::remove_file(project.join("README.md")).unwrap();
    let (code, out, talk) = longhaul(folder.path(), &["init", "storm"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(talk.contains("storm/move.yaml") && !talk.contains("README.md,"), "{talk}");
    assert_eq!(std::fs::read_to_string(project.join("move.yaml")).unwrap(), "mine");
    assert!(!project.join("README.md").exists());
}
