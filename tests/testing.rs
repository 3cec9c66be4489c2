//! `longhaul test`, from the command line: the shipped test files, what is told of a failure, reports for machines, and
//! snapshots.

use std::io::Write;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::moves::binary;

const WORKFLOWS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../workflows");

/// A folder with the shipped workflow and one test file.
struct Ground {
    folder: tempfile::TempDir,
}

impl Ground {
    fn new(cases: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shipped = Path::new(WORKFLOWS).join("evacuate.yaml");
        std::fs::copy(shipped, folder.path().join("evacuate.yaml")).unwrap();
        let head = "apiVersion: longhaul/v1\nkind: Test\nworkflow: evacuate.yaml\n\
                    defaults: { inputs: { vms: [vm-a, vm-b], from: tampa, to: atlanta } }\n";
        std::fs::write(folder.path().join("evacuate.test.yaml"), format!("{head}cases:\n{cases}")).unwrap();
        Self { folder }
    }

    fn test(&self, arguments: &[&str]) -> (Option<i32>, String) {
        self.answering(arguments, "")
    }

    /// With these answers on standard input.
    fn answering(&self, arguments: &[&str], answers: &str) -> (Option<i32>, String) {
        let mut command = Command::new(binary());
        command.arg("test").args(arguments).current_dir(self.folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that asks nothing may be gone before it is answered.
        let _gone = child.stdin.take().unwrap().write_all(answers.as_bytes());
        let Output { status, stdout, .. } = child.wait_with_output().unwrap();
        (status.code(), String::from_utf8(stdout).unwrap())
    }

    fn snapshots(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path().join("snapshots"));
        let mut files: Vec<_> = entries.into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

/// A test of a workflow of its own.
struct Own {
    ground: Ground,
}

impl Own {
    /// Of these files: `w.yaml`, which is tried, and what it uses.
    fn new(files: &[(&str, &str)], cases: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, steps) in files {
            let id = name.strip_suffix(".yaml").unwrap();
            let head = "apiVersion: longhaul/v1\nkind: Workflow\nversion: 1.0.0\n";
            std::fs::write(folder.path().join(name), format!("{head}name: {id}\n{steps}")).unwrap();
        }
        let head = "apiVersion: longhaul/v1\nkind: Test\nworkflow: w.yaml\n";
        std::fs::write(folder.path().join("w.test.yaml"), format!("{head}{cases}")).unwrap();
        Self { ground: Ground { folder } }
    }

    /// What is told of the cases, whose snapshots are accepted; and each snapshot.
    fn accept(&self) -> (Option<i32>, String, Vec<String>) {
        let (code, said) = self.ground.test(&["--accept"]);
        let texts = self.ground.snapshots().iter().map(|it| std::fs::read_to_string(it).unwrap()).collect();
        (code, said, texts)
    }
}

/// What was printed without how long it took.
fn timeless(text: &str) -> String {
    let (before, after) = text.rsplit_once(" in all, in ").unwrap();
    format!("{before} in all, in TIME;{}", after.split_once(';').unwrap().1)
}

const FAILING: &str = r#"  - name: both move
    mocks:
      move/vm-b/prefetch: { takes: 20m, error: { class: permanent, message: no space left } }
    expect:
      status: succeeded
      within: 30s
      before: { move/*/settle: move/*/redirect }
      at_once: { storage.prefetch@1: 0 }
      outputs: { moved: [vm-a, vm-b] }
      failed: []
      effects: { move/vm-b/prepare_dns: there }
  - name: refused
    expect: { refused: [LH0029] }
"#;

/// The test files that Longhaul ships hold, with the snapshots beside them, and say how much they simulated.
#[test]
fn shipped_test_files_hold() {
    let tested = Command::new(binary()).arg("test").arg(WORKFLOWS).arg("--json").output().unwrap();
    let said = String::from_utf8(tested.stdout).unwrap();
    assert_eq!(tested.status.code(), Some(0), "{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert!(said["cases"].as_array().unwrap().len() >= 5 && said["runs"].as_u64().unwrap() > 300);
    println!(
        "{} simulated runs, {} ms of them, in {} ms",
        said["runs"], said["simulated_ms"], said["took_ms"]
    );
}

/// Each expectation that fails is told with its place, what was expected, what happened, the seed, and what led there.
#[test]
fn a_failure_says_what_happened() {
    let ground = Ground::new(FAILING);
    let (code, said) = ground.test(&[]);
    assert_eq!(code, Some(4));
    insta::assert_snapshot!(timeless(&said));
    assert_eq!(ground.snapshots(), [] as [PathBuf; 0], "a test writes nothing unless it is told to");
}

/// JUnit has a case for each case, with the failures of those that do not hold, and nothing that is no XML.
#[test]
fn junit_tells_the_same() {
    let ground = Ground::new(&FAILING.replace("no space left", "\"<no> & \\u0007 space\""));
    let (code, _) = ground.test(&["--junit", "report.xml", "--filter", "both"]);
    let page = std::fs::read_to_string(ground.folder.path().join("report.xml")).unwrap();
    let time = page.split("time=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(code, Some(4));
    insta::assert_snapshot!(page.replace(&format!("time=\"{time}\""), "time=\"TIME\""));
}

/// A sweep that strikes nothing is no proof, and one whose runs do not hold names the fault.
#[test]
fn a_sweep_has_to_strike() {
    let ground = Ground::new(
        "  - name: nowhere\n    sweep: { error: { at: [move/vm-z/settle], classes: [permanent] } }\n    expect: {}\n  \
         - name: undone\n    sweep: { error: { at: [move/vm-a/settle], classes: [permanent] } }\n    expect: { status: failed }\n",
    );
    let (code, said) = ground.test(&[]);
    assert_eq!(code, Some(4));
    assert!(said.contains("7:28: expected a fault at move/vm-z/settle, which never began"), "{said}");
    assert!(said.contains("11:23: expected status failed, the run is needs_operator"), "{said}");
    assert!(said.contains("with error permanent at move/vm-a/settle, seed 1; what led there:"), "{said}");
}

/// A new snapshot fails the case until it is accepted; what differs later is shown; a rejected one stays as it was; one that
/// belongs to no case any more is removed by accepting.
#[test]
fn snapshots_are_reviewed() {
    let fine = "  - name: Both move!\n    expect: { status: succeeded }\n";
    let ground = Ground::new(fine);
    assert_eq!(ground.test(&[]).0, Some(4));
    assert_eq!(ground.answering(&["--review"], "r\n").0, Some(4));
    assert_eq!(ground.answering(&["--review"], "what?\na\n").0, Some(0));
    let [kept] = &ground.snapshots()[..] else { panic!("one snapshot: {:?}", ground.snapshots()) };
    assert_eq!(kept.file_name().unwrap(), "evacuate.both-move.txt");
    assert_eq!(ground.test(&[]).0, Some(0));
    let accepted = std::fs::read_to_string(kept).unwrap();
    std::fs::write(kept, accepted.replace("succeeded", "failed")).unwrap();
    let (code, said) = ground.test(&[]);
    assert_eq!(code, Some(4));
    assert!(said.contains("-run test: evacuate 1.0.0, failed") && said.contains("+run test"), "{said}");
    assert_eq!(ground.test(&["--seed", "2"]).0, Some(0), "other draws have no snapshot");
    std::fs::rename(kept, kept.with_file_name("evacuate.gone.txt")).unwrap();
    assert_eq!(ground.test(&["--accept"]).0, Some(0));
    assert_eq!(ground.snapshots(), std::slice::from_ref(kept));
}

/// What does not hold is not accepted, whatever its snapshot.
#[test]
fn only_what_holds_is_accepted() {
    let ground = Ground::new(FAILING);
    assert_eq!(ground.test(&["--accept"]).0, Some(4));
    assert_eq!(ground.snapshots(), [] as [PathBuf; 0]);
}

/// Mistakes in a test file are mistakes, not failures; and no test file, or no case, is a wrong command line.
#[test]
fn mistakes_have_their_own_exit_code() {
    let ground = Ground::new("  - name: x\n    expects: {}\n");
    assert_eq!(ground.test(&[]).0, Some(3));
    let (code, said) = ground.test(&["--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said["ok"], &said["cases"]), (Some(3), &false.into(), &serde_json::json!([])));
    assert_eq!(said["broken"][0]["diagnostics"].as_array().unwrap().len(), 2, "{said}");
    assert_eq!(Ground::new(FAILING).test(&["--filter", "neither"]).0, Some(2));
    std::fs::remove_file(ground.folder.path().join("evacuate.test.yaml")).unwrap();
    assert_eq!(ground.test(&[]).0, Some(2));
}

/// A test file with mistakes does not keep those beside it from being tried; the exit code tells of it, and so does the JSON. A
/// workflow that is named as a test is told so, and nothing else of it.
#[test]
fn a_broken_file_stops_no_other() {
    let ground = Ground::new("  - name: fine\n    expect: { status: succeeded }\n");
    let broken = ground.folder.path().join("broken.test.yaml");
    std::fs::write(&broken, "apiVersion: longhaul/v1\nkind: Test\nworkflow: none.yaml\ncases: []\n").unwrap();
    let (code, text) = ground.test(&[]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("  fine (1 run)"), "{text}");
    assert!(text.contains("broken.test.yaml: 1 mistake, none of its cases was tried"), "{text}");
    let (code, text) = ground.test(&["--json"]);
    let said: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (code, &said["ok"], &said["cases"][0]["name"]),
        (Some(3), &false.into(), &"fine".into()),
        "{text}"
    );
    assert_eq!(said["broken"][0]["diagnostics"][0]["code"], "LH0052", "{text}");
    let (code, text) = ground.test(&["evacuate.yaml", "--json"]);
    let said: Value = serde_json::from_str(&text).unwrap();
    let told: Vec<_> =
        said["broken"][0]["diagnostics"].as_array().unwrap().iter().map(|one| &one["code"]).collect();
    assert_eq!((code, told), (Some(3), vec![&"LH0007".into()]), "{text}");
}

/// A test file that cannot be read, or that the filter finds no case beside, is told of with exit code 3; the others are tried.
#[test]
fn an_unreadable_file_stops_no_other() {
    let ground = Ground::new("  - name: fine\n    expect: { status: succeeded }\n");
    let at = |name: &str| ground.folder.path().join(name);
    std::fs::write(at("a.test.yaml"), b"kind: Test\n\xff\xfe").unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"odd\xff.test.yaml");
    std::fs::write(ground.folder.path().join(odd), "kind: Test\n").unwrap();
    std::fs::write(at("foreign.test.yaml"), "services: {}\n").unwrap();
    let (code, text) = ground.test(&["--json"]);
    let said: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &said["cases"][0]["name"]), (Some(3), &"fine".into()), "{text}");
    let broken: Vec<_> = said["broken"].as_array().unwrap().iter().map(|one| &one["file"]).collect();
    assert_eq!(broken, ["a.test.yaml", "odd\u{fffd}.test.yaml"], "{text}");
    let (code, text) = ground.test(&["--filter", "zzz"]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("a.test.yaml: 1 mistake, none of its cases was tried"), "{text}");
}

/// A JUnit report is written whatever came of the command: a broken file is an error, a stale snapshot a failure, a command line
/// that means no case an error; and no letter of a name is one that XML does not have.
#[test]
fn junit_is_always_written() {
    let ground = Ground::new("  - name: \"x\\x01y\\uFFFEz\\e\"\n    expect: { status: failed }\n");
    let at = |name: &str| ground.folder.path().join(name);
    let junit = |arguments: &[&str]| {
        let (code, _) = ground.test(&[&["--junit", "report.xml"], arguments].concat());
        let page = std::fs::read_to_string(at("report.xml")).unwrap();
        std::fs::remove_file(at("report.xml")).unwrap();
        assert!(!page.contains(['\u{1}', '\u{1b}', '\u{fffe}']), "{page:?}");
        (code, page)
    };
    std::fs::create_dir(at("snapshots")).unwrap();
    std::fs::write(at("snapshots/evacuate.gone.txt"), "").unwrap();
    let (code, page) = junit(&[]);
    assert!(code == Some(4) && page.contains("name=\"x\u{fffd}y\u{fffd}z\u{fffd}\""), "{page}");
    assert!(page.contains("<testsuites tests=\"2\" failures=\"2\" errors=\"0\""), "{page}");
    assert!(
        page.contains("<testsuite name=\"snapshots/evacuate.gone.txt\" tests=\"1\" failures=\"1\""),
        "{page}"
    );
    std::fs::write(at("b.test.yaml"), "kind: Test\n").unwrap();
    let (code, page) = junit(&["b.test.yaml"]);
    assert!(
        code == Some(3) && page.contains("<testsuites tests=\"1\" failures=\"0\" errors=\"1\""),
        "{page}"
    );
    assert!(page.contains("<error>b.test.yaml:1:1: LH0009 "), "{page}");
    let (code, page) = junit(&["evacuate.test.yaml", "--filter", "zzz"]);
    assert!(
        code == Some(2) && page.contains("<error>there is no case whose name holds `zzz`</error>"),
        "{page}"
    );
}

const SCOPED: &str = r#"steps:
  each:
    foreach: ${{ ["vm-a"] }}
    as: vm
    steps:
      dns: { uses: gtm.prepare@1, with: { vm: "${{ vm }}", ttl: 5 }, scope: true }
      copy: { uses: storage.prefetch@1, with: { vm: "${{ vm }}", from: tampa, to: atlanta, until: { present: 1 } } }
      move:
        needs: [dns, copy]
        uses: vm.move@1
        with: { vm: "${{ vm }}", from: tampa, to: atlanta, max_pause: 300ms }
  post: { needs: [each], uses: gtm.redirect@1, with: { vm: vm-a, to: atlanta } }
"#;

/// What stays for as long as its graph runs comes about exactly once if it is done once and taken away once, wherever the
/// controller dies. Where a person has to go on it may be there, and what else was taken away is told as before.
#[test]
fn a_scope_comes_about_exactly_once() {
    let cases = "cases:
  - name: crash
    sweep: { crash: { at: every-journal-write } }
    expect: { status: succeeded, effects: exactly-once }
  - name: waits for a person
    mocks: { post: { error: { class: permanent } } }
    expect: { status: needs_operator, effects: exactly-once }
  - name: cannot be taken away yet
    mocks: { each/*/dns: { undo: { error: { class: permanent } } } }
    expect: { status: needs_operator, effects: exactly-once }
  - name: undone
    mocks: { each/*/move: { error: { class: permanent } } }
    expect: { effects: exactly-once }
";
    let (code, said, _) = Own::new(&[("w.yaml", SCOPED)], cases).accept();
    assert_eq!(code, Some(4), "{said}");
    for fine in ["crash", "waits for a person", "cannot be taken away yet"] {
        assert!(said.contains(&format!("  ok    {fine} (")), "{said}");
    }
    let wrong: Vec<&str> = said.lines().filter(|line| line.contains("expected")).map(str::trim).collect();
    let copy = "w.test.yaml:16:24: expected each/vm-a/copy to come about exactly once, it is not there: done once, undone once";
    assert_eq!(wrong, [copy], "{said}");
}

/// An item that no run of a case had, and a site that nothing in one named, are told with those that there were: in the case's
/// own mocks, its effects and orders, and in outages. What a list that was never worked out might have had is not told.
#[test]
fn names_that_nothing_has_are_told() {
    let ground = Ground::new(
        r"  - name: items
    mocks: { move/vm-q/prefetch: { takes: 2h }, move/vm-b/prefetch: { takes: 1h } }
    expect:
      status: succeeded
      effects: { move/vm-zz/move_vm: never }
      before: { move/*/prefetch: move/vm-y/move_vm }
  - name: sites
    outages: [{ site: tmpa }, { site: tampa }]
    expect: { status: succeeded }
  - name: in a sweep
    mocks: { move/vm-q/prefetch: { takes: 2h } }
    sweep: { error: { at: [move/*/prefetch], classes: [permanent] } }
    expect: {}
  - name: ends before it
    mocks: { preflight: { error: { class: permanent } }, move/vm-q/prefetch: { takes: 2h } }
    expect: { status: failed, effects: { move/vm-zz/move_vm: never } }
",
    );
    let (code, said) = ground.test(&["--accept"]);
    assert_eq!(code, Some(4), "{said}");
    for told in [
        "7:14: expected an item `vm-q`, the items were vm-a, vm-b",
        "10:18: expected an item `vm-zz`, the items were vm-a, vm-b",
        "11:34: expected an item `vm-y`, the items were vm-a, vm-b",
        "13:23: expected a site `tmpa`, the run named atlanta, tampa",
        "16:14: expected an item `vm-q`, the items were vm-a, vm-b",
    ] {
        assert!(said.contains(&format!("evacuate.test.yaml:{told}\n")), "{told}\n{said}");
    }
    assert_eq!(
        said.matches("expected an item").count() + said.matches("expected a site").count(),
        5,
        "{said}"
    );
    assert!(said.contains("  ok    ends before it ("), "{said}");
}

/// What a file's defaults name is meant for some of its cases: a mock for any of them, the site of an outage for those whose
/// inputs name it.
#[test]
fn names_in_the_defaults_are_shared() {
    let cases = r#"defaults:
  mocks: { each/vm-q/dns: { takes: 1h } }
  outages: [{ site: nowhere }, { site: boston }]
cases:
  - name: one
    expect: { status: succeeded }
  - name: two
    inputs: { from: boston }
    expect: { status: succeeded }
"#;
    let steps = SCOPED.replace("from: tampa", "from: \"${{ inputs.from }}\"");
    let inputs = "inputs: { from: { type: string, format: site-id, default: tampa } }
";
    let (code, said, _) = Own::new(&[("w.yaml", &format!("{inputs}{steps}"))], cases).accept();
    assert_eq!(code, Some(4), "{said}");
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("expected")).map(str::trim).collect();
    let told = |sites: &str| format!("w.test.yaml:6:21: expected a site `nowhere`, the run named {sites}");
    assert_eq!(lines, [told("atlanta, tampa"), told("atlanta, boston")], "{said}");
}

/// A thousand cases: how long they take is printed, and every one is run.
#[test]
fn a_thousand_cases_are_run() {
    let case = |n: u32| {
        format!(
            "  - name: case {n}\n    inputs: {{ present: 0.{n:04} }}\n    expect: {{ status: succeeded }}\n"
        )
    };
    let ground = Ground::new(&(1..=1_000).map(case).collect::<String>());
    let (_, said) = ground.test(&["--json", "--seed", "7"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&said["mode"], &said["ok"], &said["runs"]),
        (&"simulation".into(), &true.into(), &1_000.into())
    );
    println!("1000 cases of evacuate.yaml, each with inputs of its own, in {} ms", said["took_ms"]);
}
