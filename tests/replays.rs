//! Journals of real moves and of simulated runs, replayed: what a run looked like is in the tree, and a change of it is seen in
//! review.
//!
//! `cargo xtask gen journals` writes the journals in `replays/journals/` of real runs, `cargo xtask gen cases` those of the test cases that
//! come along; `replays/snapshots/` holds what is
//! replayed of each. Nobody edits either by hand.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use longhaul_run::journal::{Export, read_export};
use longhaul_run::{JsonLines, Reporter, Reporters, Terminal, replay};
use longhaul_saga::{Entry, Event, Intent, Record, Report, Saga, Status};

use crate::moves::binary;
use crate::records::{of_export, started_after_done};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/replays");

/// Runs that must be among the journals.
const KEPT: [&str; 3] = ["crash-and-resume", "success", "unwind"];

/// What is kept of each journal as a snapshot.
const SHOWN: [&str; 2] = ["lines", "report"];

fn journal(name: &str) -> PathBuf {
    Path::new(FOLDER).join("journals").join(format!("{name}.jsonl"))
}

fn read(name: &str) -> Export {
    let text = std::fs::read_to_string(journal(name)).unwrap();
    read_export(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The names of the files in a folder that end so, without their end.
fn names(folder: &str, end: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(Path::new(FOLDER).join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .map(|name| {
            let stem = name.strip_suffix(end);
            stem.unwrap_or_else(|| panic!("{folder}/{name} does not end in {end}")).to_owned()
        })
        .collect()
}

/// What a reporter writes, for who reads it afterwards.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a replay through a reporter prints.
fn printed<R: Reporter + 'static>(records: &[Record], reporter: impl FnOnce(Page) -> R) -> String {
    let page = Page::default();
    replay(records, &mut Reporters::new().with(reporter(page.clone())));
    let bytes = page.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn longhaul(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = Command::new(binary()).args(arguments).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&stderr), "");
    (status.code(), String::from_utf8(stdout).unwrap())
}

/// Every journal is replayed as the snapshots beside it say: the lines that `longhaul replay` prints, and the report.
#[test]
fn journals_replay_as_they_did() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(Path::new(FOLDER).join("snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for name in names("journals", ".jsonl") {
        let records = read(&name).records;
        settings.bind(|| {
            insta::assert_snapshot!(format!("{name}.lines"), printed(&records, Terminal::plain));
            insta::assert_snapshot!(format!("{name}.report"), Report::fold(&records).unwrap().text());
        });
    }
}

/// The scenarios are there, every journal has its snapshots, and no snapshot is left of a journal that is gone.
#[test]
fn journals_and_snapshots_belong_together() {
    let journals = names("journals", ".jsonl");
    for kept in KEPT {
        assert!(journals.contains(kept), "no {kept}: `cargo xtask gen journals` writes it");
    }
    assert!(journals.len() >= 20, "a library of {} journals", journals.len());
    let expected = journals.iter().flat_map(|name| SHOWN.map(|what| format!("{name}.{what}")));
    assert_eq!(names("snapshots", ".snap"), expected.collect());
}

/// The saga decides from each journal's events what it decided then, and nothing is left to decide.
#[test]
fn decisions_are_made_again() {
    for name in names("journals", ".jsonl") {
        let fold = Saga::fold(&read(&name).records).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(fold.unrecorded.is_empty(), "{name}: {:?}", fold.unrecorded);
        assert_ne!(fold.saga.status(), Status::Running, "{name}");
    }
}

/// A journal that says something else than was decided is found: every decision, replaced by the last, is told with its
/// record.
#[test]
fn a_changed_decision_is_found() {
    let records = read("success").records;
    let is_decision = |record: &&Record| matches!(record.entry, Entry::Intent(_));
    let decisions: Vec<_> = records.iter().filter(is_decision).collect();
    let (last, others) = decisions.split_last().unwrap();
    assert!(others.len() > 5, "{others:?}");
    for decision in others {
        let mut changed = records.clone();
        let at = changed.iter().position(|record| record.seq == decision.seq).unwrap();
        changed[at].entry = last.entry.clone();
        let said = Saga::fold(&changed).unwrap_err().to_string();
        assert!(said.starts_with(&format!("record {} ", decision.seq)), "{said}");
        // Where the workflow has what was decided by right.
        if let Entry::Intent(Intent::Start(start)) = &decision.entry {
            let line = format!("\"{}\"", start.step);
            let place = said.rsplit_once('(').map(|(_, place)| place);
            let place = place.and_then(|place| place.strip_suffix(')')).unwrap_or_else(|| panic!("{said}"));
            let (file, number) = place.rsplit_once(':').unwrap_or_else(|| panic!("{said}"));
            assert!(!file.is_empty() && number.parse::<u32>().unwrap() > 1 && said.contains(&line), "{said}");
        }
    }
}

/// Two replays of a journal give the same page and the same JSON, byte for byte.
#[test]
fn replays_are_equal() {
    for name in names("journals", ".jsonl") {
        let [one, other] = [read(&name).records, read(&name).records];
        assert_eq!(printed(&one, JsonLines::new), printed(&other, JsonLines::new), "{name}");
        let page = |records: &[Record]| Report::fold(records).unwrap().html();
        assert!(page(&one) == page(&other), "{name}: the pages differ");
        assert!(page(&one).contains(&name), "{name}");
    }
}

/// `longhaul replay --file` prints what the snapshots were made of and writes the same report, and writes nothing where
/// the journal says that its report was.
#[test]
fn the_command_shows_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for name in KEPT {
        let file = journal(name);
        let page = folder.path().join(format!("{name}.html"));
        let arguments = ["replay", "--file", file.to_str().unwrap()];
        let records = read(name).records;
        assert_eq!(longhaul(&arguments), (Some(0), printed(&records, Terminal::plain)), "{name}");
        let json: Vec<_> = arguments.iter().chain(&["--json"]).copied().collect();
        assert_eq!(longhaul(&json), (Some(0), printed(&records, JsonLines::new)), "{name}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{name}");
        let report: Vec<_> = arguments.iter().chain(&["--report", page.to_str().unwrap()]).copied().collect();
        let written = Command::new(binary()).args(report).output().unwrap();
        assert!(written.status.success());
        assert!(std::fs::read_to_string(&page).unwrap() == Report::fold(&records).unwrap().html(), "{name}");
        std::fs::remove_file(&page).unwrap();
        std::fs::remove_file(page.with_extension("txt")).unwrap();
    }
}

/// Folders in which a machine keeps what is its own.
const FOLDERS: [&str; 8] = ["etc", "home", "opt", "root", "run", "tmp", "usr", "var"];

/// The journals tell nothing of the machine they were recorded on: each says that it was redacted, begins in 2000, names
/// its controllers by number, and holds no path of a machine and no later year.
#[test]
fn journals_are_redacted() {
    for name in names("journals", ".jsonl") {
        let Export { about, records, .. } = read(&name);
        assert!(about.redacted, "{name}");
        assert_eq!((about.run.as_str(), about.command.as_str()), (name.as_str(), "longhaul gen journals"));
        assert_eq!(records[0].at_unix_ms, 946_684_800_000, "{name}");
        let text = std::fs::read_to_string(journal(&name)).unwrap();
        assert_eq!(FOLDERS.iter().find(|folder| text.contains(&format!("/{folder}/"))), None, "{name}");
        let later = |year: &[u8]| {
            year.starts_with(b"20")
                && year[2..4].iter().all(u8::is_ascii_digit)
                && year[4] == b'-'
                && year != b"2000-"
        };
        assert!(!text.as_bytes().windows(5).any(later), "{name}");
        let controllers = records.iter().filter_map(|record| match &record.entry {
            Entry::Event(Event::RunCreated(created)) => Some(&created.controller),
            Entry::Event(Event::RunResumed(resumed)) => Some(&resumed.controller),
            Entry::Event(_) | Entry::Intent(_) => None,
        });
        for controller in controllers {
            assert_eq!((controller.host.as_str(), controller.pid), ("host-1", 0), "{name}");
        }
    }
}

/// What happened is in the journals: the unwound run undid what it had done and moved nothing, and the killed controller's
/// run went on under a second one without doing a step again.
#[test]
fn journals_tell_what_happened() {
    let kinds = |name: &str| {
        let kinds = read(name).bundle.records.into_iter().map(|stored| stored.header.kind);
        kinds.collect::<Vec<_>>()
    };
    let unwound = Report::fold(&read("unwind").records).unwrap();
    assert!(unwound.moved.is_empty());
    assert!(unwound.steps.iter().any(|step| step.undo && step.state == "undone"), "{:?}", unwound.steps);
    assert_eq!(kinds("crash-and-resume").iter().filter(|kind| *kind == "run_resumed").count(), 1);
    let resumed = of_export(&std::fs::read_to_string(journal("crash-and-resume")).unwrap());
    assert_eq!(started_after_done(&resumed), Vec::<String>::new(), "started although it was done");
    for name in ["success", "crash-and-resume"] {
        let report = Report::fold(&read(name).records).unwrap();
        assert_eq!(report.owners.get("vm-a").map(String::as_str), Some("b"), "{name}");
        assert!(report.disks.iter().all(|disk| disk.ok) && !report.disks.is_empty(), "{name}");
        assert_eq!(report.clients.len(), 1, "{name}");
    }
}

/// What a replay with another workflow prints, with the name of the file taken out.
fn replayed_with(name: &str, workflow: &Path) -> (Option<i32>, String) {
    let file = journal(name);
    let arguments = ["replay", "--file", file.to_str().unwrap(), "--with", workflow.to_str().unwrap()];
    let (code, text) = longhaul(&arguments);
    (code, text.replace(workflow.to_str().unwrap(), "edited.yaml"))
}

/// A workflow that ships with the tree.
fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows").join(name)
}

/// With the workflow that it ran, every run of the library comes out as it did: success, failures that are told, operators who resume,
/// people who approve or never answer, attempts that are repeated.
#[test]
fn the_same_workflow_comes_out_the_same() {
    for name in names("journals", ".jsonl") {
        let Some((workflow, _)) = name.split_once('-').filter(|(workflow, _)| *workflow == "evacuate") else {
            continue;
        };
        let (code, text) = replayed_with(&name, &shipped(&format!("{workflow}.yaml")));
        assert_eq!(code, Some(0), "{name}: {text}");
    }
}

/// An edited workflow shows what it would have done otherwise: another parameter, a step that is gone, one of which no record tells.
#[test]
fn an_edited_workflow_shows_its_difference() {
    let folder = tempfile::tempdir().unwrap();
    let edited = folder.path().join("evacuate.yaml");
    let text = std::fs::read_to_string(shipped("evacuate.yaml")).unwrap();
    let changed = text
        .replacen("default: 300ms", "default: 1s", 1)
        .replacen("max_pause: \"${{ inputs.max_pause }}\"", "max_pause: 200ms", 1)
        .replacen("      redirect:\n", "      announce:\n        needs: [move_vm]\n        uses: gtm.prepare@1\n        with: { vm: \"${{ vm }}\" }\n      redirect:\n", 1);
    std::fs::write(&edited, changed).unwrap();
    let (code, said) = replayed_with("evacuate-happy", &edited);
    assert_eq!(code, Some(4));
    insta::assert_snapshot!("an_edited_workflow", said);
}
