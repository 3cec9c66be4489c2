//! The demo is green, and every check of it can fail.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::rig::{binary, state, turn};

fn demo(arguments: &[&str]) -> (Option<i32>, String) {
    let demo = Command::new(binary()).arg("--state").arg(state()).arg("demo").args(arguments).output();
    let Output { status, stdout, stderr } = demo.unwrap();
    (status.code(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

/// A running guest moves between the sites, nobody loses a byte, and the figures say so in the form that is compared.
#[test]
fn the_demo_is_green() {
    let Some(_turn) = turn() else { return };
    let file = state().join("demo.json");
    let (code, said) = demo(&["--json", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    let figures: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(figures["runs_at"], "b", "{figures}");
    assert_eq!(figures["disk_proof"]["ok"], true, "{figures}");
    assert_eq!(figures["client"]["missing"], 0, "{figures}");
    assert!(said.contains("verdict: green, "), "{said}");
    assert!(figures["independent_ms"].as_u64() >= figures["total_ms"].as_u64(), "{figures}");
}

macro_rules! turns_red {
    ($($(#[$doc:meta])* $test:ident breaks $what:literal, seen as $seen:literal;)*) => {
        $($(#[$doc])* #[test] fn $test() { red($what, $seen); })*
    };
}

/// Breaks one thing; the verdict must be red, the exit code that of a failed check, and the check that exists for it must
/// be among those that failed.
fn red(what: &str, seen: &str) {
    let Some(_turn) = turn() else { return };
    let (code, said) = demo(&["--break", what]);
    assert_eq!(code, Some(4), "{said}");
    let failed: Vec<&str> =
        said.lines().filter(|line| line.starts_with("FAIL") && line.contains(seen)).collect();
    assert!(!failed.is_empty(), "no `{seen}` in\n{said}");
    red_report(&said, &failed);
}

/// The report that the demo names is red, as a page and as text, names every check that failed, and promises nothing.
fn red_report(said: &str, failed: &[&str]) {
    let page =
        said.lines().find_map(|line| line.strip_prefix("report: ")).expect("the demo names its report");
    let html = std::fs::read_to_string(page).unwrap().replace("&#39;", "'");
    let text = std::fs::read_to_string(Path::new(page).with_extension("txt")).unwrap();
    assert!(html.contains("class=\"headline bad\""), "{html}");
    for (form, report) in [("page", &html), ("text", &text)] {
        assert!(report.contains("verdict: red"), "{form}:\n{report}");
        assert!(!report.contains("nothing is left to do"), "{form}:\n{report}");
        for check in failed {
            assert!(report.contains(check), "{form} without `{check}`:\n{report}");
        }
    }
}

turns_red! {
    /// A dirty round that is not sent is found by the guest or by the disk proof.
    a_skipped_dirty_round_is_seen breaks "skip-last-dirty-round", seen as "";
    /// A flipped byte in memory is found by the guest.
    a_flipped_page_is_seen breaks "flip-page", seen as "no page and no write of the guest was lost";
    /// An acknowledged write that was not stored is found by the guest.
    a_lost_write_is_seen breaks "lose-write", seen as "no page and no write of the guest was lost";
    /// A swallowed line is found by the client.
    a_dropped_line_is_seen breaks "drop-line", seen as "the client's connection lived through it";
    /// A reset connection is found by the client.
    a_reset_is_seen breaks "reset-flow", seen as "the client's connection lived through it";
    /// A second running copy is found by the observer.
    a_second_runner_is_seen breaks "second-runner", seen as "exactly one copy ran at every instant";
    /// A block that was stored wrong is found by the disk proof or the guest.
    a_corrupt_fetch_is_seen breaks "corrupt-fetch", seen as "";
}
