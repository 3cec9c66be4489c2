//! Operating runs through the binary: runs that go on by themselves, who watches them, and why a step waits.

use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::controller::{Controller, end, said, signal, wait};

/// A step that waits for a signal, one behind it that lets time pass, items one after the other behind that.
const DRILL: &str = "
apiVersion: longhaul/v1
kind: Workflow
name: drill
version: 1.0.0
steps:
  storm:
    wait: { signal: storm_is_near }
  rest:
    needs: [storm]
    wait: 50ms
  each:
    needs: [rest]
    foreach: ${{ [\"a\", \"b\"] }}
    as: vm
    max_parallel: 1
    steps:
      asked:
        wait: { signal: go_on }
      pause:
        needs: [asked]
        wait: 1ms
";

fn controller() -> Controller {
    Controller::with(&[("drill.yaml", DRILL)])
}

fn why(controller: &Controller, step: &str) -> Value {
    let text = said(controller, &["why", "drill-1", step, "--json"], 0);
    let all: Value = serde_json::from_str(&text).unwrap();
    all[0]["why"].clone()
}

/// A run begins, goes on when the command that began it is gone, is watched by two at once, who end as it does, and is asked at every
/// stage why a step waits.
#[test]
fn a_run_goes_on_by_itself() {
    let controller = controller();
    let begun = said(&controller, &["run", "drill.yaml", "--id", "drill-1", "--detach", "--json"], 0);
    let begun: Value = serde_json::from_str(&begun).unwrap();
    assert_eq!(begun["run"], "drill-1");
    assert!(std::path::Path::new("/proc").join(begun["pid"].to_string()).exists());
    let watchers: Vec<_> = ["one", "two"]
        .into_iter()
        .map(|name| {
            controller.start(&["watch", "drill-1"], std::fs::File::create(controller.path(name)).unwrap())
        })
        .collect();

    let storm = why(&controller, "storm");
    assert_eq!(
        (&storm[0]["kind"], &storm[0]["asks"]["signal"]["name"]),
        (&"answer".into(), &"storm_is_near".into())
    );
    assert_eq!(
        why(&controller, "rest")[0],
        serde_json::json!({ "kind": "need", "step": "storm", "state": "running" })
    );
    assert_eq!(
        why(&controller, "each/b/pause")[0],
        serde_json::json!({ "kind": "not_there_yet", "around": "each" })
    );
    let text = said(&controller, &["why", "drill-1"], 0);
    assert!(text.contains("to do: `longhaul signal drill-1 storm_is_near`"), "{text}");
    assert!(
        text.contains(
            "rest:\n  needs storm, which is running: `longhaul why drill-1 storm`\n  begins: not before "
        ),
        "{text}"
    );
    let unknown = said(&controller, &["why", "drill-1", "strom"], 2);
    assert!(unknown.contains("the nearest is `storm`"), "{unknown}");

    said(&controller, &["signal", "drill-1", "storm_is_near"], 0);
    assert!(wait(|| said(&controller, &["status", "drill-1"], 7).contains("each/a/asked")));
    let turn = serde_json::json!({ "kind": "turn", "running": 1, "max_parallel": 1 });
    assert_eq!(why(&controller, "each/b/asked")[0], turn);
    assert_eq!(
        why(&controller, "each")[0],
        serde_json::json!({ "kind": "inside", "steps": ["each/a/asked"] })
    );
    said(&controller, &["pause", "drill-1"], 0);
    assert!(wait(|| why(&controller, "each/a/pause").to_string().contains("\"held\"")));
    said(&controller, &["unpause", "drill-1"], 0);
    said(&controller, &["signal", "drill-1", "go_on"], 0);
    for watcher in watchers {
        assert_eq!(end(watcher).code(), Some(0));
    }
    let shown = |name: &str| std::fs::read_to_string(controller.path(name)).unwrap();
    assert_eq!(shown("one"), shown("two"));
    assert_eq!(shown("one"), said(&controller, &["replay", "drill-1"], 0));
    assert_eq!(why(&controller, "storm")[0]["kind"], "over");
}

/// A run that cannot begin says why where it was typed, with the exit code of what was wrong.
#[test]
fn what_cannot_begin_is_told() {
    let controller = controller();
    let mistaken = said(&controller, &["run", "nothing.yaml", "--detach"], 3);
    assert!(mistaken.contains("nothing.yaml"), "{mistaken}");
    said(&controller, &["run", "drill.yaml", "--id", "drill-1", "--detach"], 0);
    let held = said(&controller, &["run", "drill.yaml", "--id", "drill-2", "--detach"], 1);
    assert!(held.contains("another controller works in this directory: pid "), "{held}");
    assert!(held.contains("the run did not begin"), "{held}");
    said(&controller, &["cancel", "drill-1"], 0);
    assert!(wait(|| controller.status("drill-1") == Some(1)));
}

/// A run is looked at from where it is: what waits for people is taken to be answered, what has been done stays, and the run goes on
/// as if nobody had looked.
#[test]
fn a_run_is_forked_into_simulation() {
    let controller = controller();
    let driving = controller.start(&["run", "drill.yaml", "--id", "drill-1"], Stdio::null());
    controller.wait_until_under_way("drill-1");
    assert!(wait(|| why(&controller, "storm").to_string().contains("storm_is_near")));
    let forked = said(&controller, &["fork", "drill-1"], 0);
    assert!(forked.starts_with("SIMULATION: nothing was run\n"), "{forked}");
    assert!(forked.contains("as it is: succeeded in "), "{forked}");
    assert!(forked.contains("nothing says how long storm takes"), "{forked}");
    let json: Value = serde_json::from_str(&said(&controller, &["fork", "drill-1", "--json"], 0)).unwrap();
    assert_eq!((&json["mode"], &json["as_it_is"]["status"]), (&"simulation".into(), &"succeeded".into()));
    let none = said(&controller, &["fork", "drill-1", "--set", "resource.wan=50Mbit/s"], 2);
    assert!(none.contains("--set resource.wan=50Mbit/s: the workflow has no resources"), "{none}");
    let malformed = said(&controller, &["fork", "drill-1", "--set", "wan=1"], 2);
    assert!(malformed.contains("write `resource.NAME=AMOUNT`"), "{malformed}");
    said(&controller, &["cancel", "drill-1"], 0);
    assert_eq!(end(driving).code(), Some(1));
    let over = said(&controller, &["fork", "drill-1"], 2);
    assert!(over.contains("run drill-1 is over: it has failed"), "{over}");
}

/// The drill with one more step, and with another rest.
const EDITED: &str = "
apiVersion: longhaul/v1
kind: Workflow
name: drill
version: 1.1.0
steps:
  storm:
    wait: { signal: storm_is_near }
  rest:
    needs: [storm]
    wait: 20ms
  told:
    needs: [rest]
    wait: 1ms
";

/// A run that was stopped goes on with an edited file: what that means is shown first, nobody goes on unasked, what has no place
/// is refused with its name and line, and the run says that it is one of the new file.
#[test]
fn a_run_goes_on_with_an_edited_file() {
    let controller = controller();
    controller.write("edited.yaml", EDITED);
    controller.write("without.yaml", &EDITED.replace("storm:", "strom:").replace("[storm]", "[strom]"));
    let driving = controller.start(&["run", "drill.yaml", "--id", "drill-1"], Stdio::null());
    controller.wait_until_under_way("drill-1");
    assert!(wait(|| why(&controller, "storm").to_string().contains("storm_is_near")));
    signal(&driving, Signal::TERM);
    assert_eq!(end(driving).code(), Some(130));

    let refused = said(&controller, &["resume", "drill-1", "--with", "without.yaml", "--yes"], 4);
    let line = "`storm` (drill.yaml:7) is running, and has no place in the new workflow; leave it as it was";
    assert!(refused.contains(line), "{refused}");
    let unasked = said(&controller, &["resume", "drill-1", "--with", "edited.yaml"], 2);
    assert!(unasked.contains("say --yes, or look first with --dry-run"), "{unasked}");
    let shown = said(&controller, &["resume", "drill-1", "--with", "edited.yaml", "--dry-run"], 0);
    assert_eq!(
        shown,
        "new       told\nkeep      storm, running\ndrop      each: nothing of it is there\nDRY RUN: nothing was changed\n"
    );
    let nothing = said(&controller, &["resume", "drill-1", "--dry-run"], 2);
    assert!(nothing.contains("--dry-run says what --from and --with would mean"), "{nothing}");

    let resumed = controller.start(&["resume", "drill-1", "--with", "edited.yaml", "--yes"], Stdio::null());
    assert!(wait(|| controller.status("drill-1") == Some(7)));
    said(&controller, &["signal", "drill-1", "storm_is_near"], 0);
    assert_eq!(end(resumed).code(), Some(0));
    let shown = said(&controller, &["runs", "show", "drill-1"], 0);
    assert!(shown.contains("workflow: drill 1.1.0 from edited.yaml"), "{shown}");
    assert!(said(&controller, &["runs", "list"], 0).contains("drill 1.1.0"));
    let again = said(&controller, &["resume", "drill-1", "--from", "rest", "--yes"], 0);
    assert!(again.contains("again     rest\nagain     told\nkeep      storm, succeeded\n"), "{again}");
    said(&controller, &["replay", "drill-1"], 0);
}

/// Who watches a run whose controller dies is told, and ends; a reader that goes away in the middle disturbs nobody.
#[test]
fn who_watches_is_told_of_a_death() {
    let controller = controller();
    let driving = controller.start(&["run", "drill.yaml", "--id", "drill-1"], Stdio::null());
    controller.wait_until_under_way("drill-1");
    let gone = controller
        .longhaul(&["watch", "drill-1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    signal(&gone, Signal::KILL);
    end(gone);
    let mut watching = controller.longhaul(&["watch", "drill-1"]);
    let watching = watching.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    signal(&driving, Signal::KILL);
    end(driving);
    let output = watching.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("no controller works on it: `longhaul resume drill-1` goes on"), "{told}");
}
