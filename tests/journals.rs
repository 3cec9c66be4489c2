//! Journals on disk, through the binary: taking runs over from exports, listing, showing and deleting them, and what is said of
//! broken ones.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::controller::Controller;

/// The journals of real moves, each the export of one run of its name.
const EXPORTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/replays/journals");

fn export(name: &str) -> String {
    format!("{EXPORTS}/{name}.jsonl")
}

struct Said {
    code: i32,
    out: String,
    err: String,
}

fn say(controller: &Controller, arguments: &[&str]) -> Said {
    let Output { status, stdout, stderr } = controller.longhaul(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
}

/// What a command prints that has to go well.
fn well(controller: &Controller, arguments: &[&str]) -> String {
    let said = say(controller, arguments);
    assert_eq!(said.code, 0, "{arguments:?}: {}{}", said.out, said.err);
    said.out
}

fn json(controller: &Controller, arguments: &[&str]) -> Value {
    serde_json::from_str(&well(controller, arguments)).unwrap()
}

/// A state directory with two runs from elsewhere, in the order of their names.
fn two_runs() -> Controller {
    let controller = Controller::with(&[]);
    well(&controller, &["journal", "import", &export("success")]);
    well(&controller, &["journal", "import", &export("unwind")]);
    controller
}

/// A run that is imported is there as it was: listed, shown, replayed and exported again to the byte; a second time it is refused.
#[test]
fn runs_are_taken_over() {
    let controller = two_runs();
    assert_eq!(well(&controller, &["journal", "verify"]).lines().count(), 1);
    let listed = json(&controller, &["runs", "list", "--json"]);
    let seen = |field: &str| {
        let runs = listed.as_array().unwrap().iter();
        runs.map(|run| run[field].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(seen("run"), ["success", "unwind"]);
    assert_eq!(seen("status"), ["succeeded", "failed"]);
    assert_eq!(json(&controller, &["status", "--json"]), listed);

    let shown = json(&controller, &["runs", "show", "success", "--json"]);
    assert_eq!(shown["workflow"]["name"], listed[0]["workflow"].as_str().unwrap().split(' ').next().unwrap());
    assert_eq!(shown["controllers"][0]["host"], "host-1");
    let text = well(&controller, &["runs", "show", "success"]);
    assert!(text.starts_with("run success: succeeded\nworkflow: "), "{text}");

    let records = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    let exported = well(&controller, &["journal", "export", "success"]);
    assert_eq!(records(&exported), records(&std::fs::read_to_string(export("success")).unwrap()));

    let again = say(&controller, &["journal", "import", &export("success")]);
    assert_eq!(again.code, 1);
    assert!(again.err.contains("run `success` is in this journal already"), "{}", again.err);
}

/// A run that is over is deleted and stays told; one that is not there is refused; a dry run deletes nothing.
#[test]
fn runs_are_deleted() {
    let controller = two_runs();
    let dry = say(&controller, &["runs", "delete", "unwind", "--dry-run"]);
    assert_eq!((dry.code, dry.out.as_str()), (0, "run unwind: would be deleted\n"));
    assert!(dry.err.contains("DRY RUN"), "{}", dry.err);
    well(&controller, &["runs", "delete", "unwind", "--reason", "drill is over"]);
    assert_eq!(json(&controller, &["runs", "list", "--json"]).as_array().unwrap().len(), 1);
    let gone = json(&controller, &["runs", "list", "--deleted", "--json"]);
    assert_eq!((&gone[0]["run"], &gone[0]["why"]), (&Value::from("unwind"), &Value::from("drill is over")));
    let freed = json(&controller, &["journal", "compact", "--json"]);
    assert!(freed["database_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{freed}");
    well(&controller, &["journal", "verify"]);
    let missing = say(&controller, &["runs", "delete", "unwind"]);
    assert_eq!(missing.code, 1);
    assert!(missing.err.contains("there is no run `unwind`"), "{}", missing.err);
}

/// Runs go by the configuration: older than it keeps them, and beyond the number that stays in any case.
#[test]
fn runs_go_by_policy() {
    let controller = two_runs();
    let home = controller.path("home");
    std::fs::create_dir_all(&home).unwrap();
    let by_policy = |configuration: &str| {
        std::fs::write(home.join("config.yaml"), configuration).unwrap();
        let mut command = controller.longhaul(&["runs", "delete", "--by-policy"]);
        let output = command.env("LONGHAUL_CONFIG", &home).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(by_policy(""), (2, String::new()), "nothing is configured");
    assert_eq!(by_policy("keep_runs: 2\n"), (0, String::new()));
    // They ended in the year 2000.
    assert_eq!(by_policy("keep_runs_for: 24h\nkeep_runs: 2\n"), (0, String::new()));
    assert_eq!(by_policy("keep_runs: 1\n").1.lines().count(), 1);
    assert_eq!(by_policy("keep_runs_for: 24h\n").1.lines().count(), 1);
    assert_eq!(json(&controller, &["runs", "list", "--json"]), Value::Array(Vec::new()));
}

/// An export of a run that is not over is not taken over: the controller that it has may go on with it.
#[test]
fn a_run_under_way_is_not_taken_over() {
    let text = std::fs::read_to_string(export("success")).unwrap();
    let whole = longhaul_run::journal::read_export(&text).unwrap();
    let half = whole.bundle.cut(whole.bundle.records.len() / 2);
    let writer =
        longhaul_run::journal::Writer { program: "longhaul 0.1.0", command: "a test", redacted: true };
    let mut lines = Vec::new();
    longhaul_run::journal::write_export(&mut lines, writer, &half).unwrap();
    let controller = Controller::with(&[]);
    let file = controller.path("half.jsonl");
    std::fs::write(&file, lines).unwrap();
    let refused = say(&controller, &["journal", "import", file.to_str().unwrap()]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("run success is not over: it is running"), "{}", refused.err);
}

/// Something that happens to a database.
type Breaking = fn(&Path);

fn journal_file(controller: &Controller) -> std::path::PathBuf {
    controller.path("state/controller/journal.db")
}

/// Changes bytes of a closed database, wherever they stand.
fn replace(file: &Path, from: &str, to: &str) {
    let bytes = std::fs::read(file).unwrap();
    let at = bytes.windows(from.len()).rposition(|window| window == from.as_bytes()).unwrap();
    let mut changed = bytes;
    changed[at..at + to.len()].copy_from_slice(to.as_bytes());
    std::fs::write(file, changed).unwrap();
}

/// A flipped bit is found and its record named, by the exit code as well; a torn, a foreign and a newer database are each refused
/// by what they are, by readers and by a controller.
#[test]
fn broken_journals_are_named() {
    let flipped = two_runs();
    // One bit of one letter.
    replace(&journal_file(&flipped), r#"{"status":"succeeded""#, r#"{"status":"stcceeded""#);
    let said = say(&flipped, &["journal", "verify"]);
    assert_eq!(said.code, 4);
    assert!(said.err.contains("of run `success` is broken: its content does not fit"), "{}", said.err);
    let resumed = say(&flipped, &["resume", "success"]);
    assert!(resumed.code == 1 && resumed.err.contains("of run `success` is broken"), "{}", resumed.err);

    let cases: [(&str, Breaking); 3] = [
        ("malformed", |file| {
            let bytes = std::fs::read(file).unwrap();
            std::fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("not a journal of Longhaul's", |file| replace(file, "LHJ1", "LHX1")),
        ("this binary reads and writes format 1", |file| {
            // Where SQLite keeps `user_version`, in big-endian order.
            let mut bytes = std::fs::read(file).unwrap();
            bytes[60..64].copy_from_slice(&7_u32.to_be_bytes());
            std::fs::write(file, bytes).unwrap();
        }),
    ];
    for (what, breaking) in cases {
        let controller = two_runs();
        breaking(&journal_file(&controller));
        let file = std::fs::read(journal_file(&controller)).unwrap();
        for arguments in [&["journal", "verify"][..], &["runs", "delete", "success"]] {
            let said = say(&controller, arguments);
            assert!(said.code != 0 && said.err.contains(what), "{arguments:?}: {}", said.err);
        }
        assert!(std::fs::read(journal_file(&controller)).unwrap() == file, "{what}: it was changed");
    }
}

/// A run with a record that another version's saga made is refused by name before anything is touched: the directory's owner stays who it
/// was, and the version that can goes on.
#[test]
fn a_run_of_a_newer_saga_is_left_as_it_is() {
    let controller = two_runs();
    let folder = controller.path("state/controller");
    let text = std::fs::read_to_string(export("success")).unwrap();
    let whole = longhaul_run::journal::read_export(&text).unwrap();
    let mut headers: Vec<_> = whole.bundle.records.into_iter().map(|record| record.header).collect();
    headers.truncate(9);
    for header in &mut headers {
        header.run = "newer".parse().unwrap();
    }
    headers[8].saga = 9;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let journal = longhaul_run::Journal::open(&folder, 1).unwrap();
    runtime.block_on(journal.import(longhaul_run::journal::rechain(headers))).unwrap();
    let generation = journal.owner().generation;
    drop(journal);
    let refused = say(&controller, &["resume", "newer"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("take run newer up; nothing was touched"), "{}", refused.err);
    let versions = "record 9 of run `newer` was made by saga version 9; this binary folds saga versions [1]";
    assert!(refused.err.contains(versions), "{}", refused.err);
    let owner = longhaul_run::Reader::open(&folder).unwrap().owner().unwrap().unwrap();
    assert_eq!(owner.generation, generation);
}
