//! The demo is green, and every check of it can fail.

use std::collections::BTreeMap;
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

/// What the verdict's checks are called.
const SUCCEEDED: &str = "the run succeeded";
const ONE_COPY: &str = "exactly one copy ran at every instant";
const AT_B: &str = "the guest runs at b";
const GONE_AT_A: &str = "the guest is gone at a";
const CONNECTION: &str = "the client's connection lived through it";
const GUEST: &str = "no page and no write of the guest was lost";
/// How many reads went through the WAN is known from the disk proof.
const READ_THROUGH: &str = "the guest read through the WAN";
const BY_NAME: &str = "requests by name succeeded except in the pause";
const INDEPENDENT: &str = "b needs nothing of a any more";

/// Something that is broken, and who has to see it.
struct Broken {
    what: &'static str,
    /// The check that exists for it.
    seen_by: &'static str,
    /// What that check says when there is nothing to see.
    else_says: &'static str,
    /// What the one that notices it says.
    says: &'static str,
    /// Checks that may fail with it, because they see the same thing or need what it took away.
    with: &'static [&'static str],
}

macro_rules! turns_red {
    ($($(#[$doc:meta])* $test:ident breaks $what:literal,
        seen by $seen_by:ident not $else_says:literal, says $says:literal, with $with:expr;)*) => {
        $($(#[$doc])* #[test] fn $test() {
            let (seen_by, else_says) = ($seen_by, $else_says);
            red(&Broken { what: $what, seen_by, else_says, says: $says, with: &$with });
        })*
    };
}

/// Breaks one thing; the verdict must be red, the exit code that of a failed check, the check that exists for it must have
/// failed, with the words of the one that noticed, and no check that has nothing to do with it may have failed too.
fn red(broken: &Broken) {
    let Some(_turn) = turn() else { return };
    let (code, said) = demo(&["--break", broken.what]);
    assert_eq!(code, Some(4), "{said}");
    let failed = said.lines().filter_map(|line| line.strip_prefix("FAIL  ")?.split_once(':'));
    let failed: BTreeMap<_, _> = failed.collect();
    let Some(seen) = failed.get(broken.seen_by) else {
        panic!("not seen by `{}`:\n{said}", broken.seen_by);
    };
    assert!(!seen.contains(broken.else_says), "it failed for another reason:\n{said}");
    assert!(said.contains(broken.says), "nobody says `{}`:\n{said}", broken.says);
    let allowed = |check: &&str| *check == broken.seen_by || broken.with.contains(check);
    assert_eq!(failed.into_keys().find(|check| !allowed(check)), None, "{said}");
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("FAIL")).collect();
    red_report(&said, &lines);
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
    /// A dirty round that is not sent is found by the disk proof, which keeps the source, and by a guest that reads it.
    a_skipped_dirty_round_is_seen breaks "skip-last-dirty-round", seen by SUCCEEDED not "exit code 0",
        says "the copy differs from the source", with [GUEST, INDEPENDENT, READ_THROUGH];
    /// A flipped byte in memory is found by the guest.
    a_flipped_page_is_seen breaks "flip-page", seen by GUEST not " 0 of 8192 pages",
        says " of 8192 pages and 0 of 4096 disk records wrong", with [INDEPENDENT];
    /// An acknowledged write that was not stored is found by the guest.
    a_lost_write_is_seen breaks "lose-write", seen by GUEST not " 0 of 4096 disk records",
        says " 0 of 8192 pages and ", with [INDEPENDENT];
    /// A swallowed line is found by the client.
    a_dropped_line_is_seen breaks "drop-line", seen by CONNECTION not ", 0 missing",
        says ", 1 missing, 0 twice, 0 resets", with [];
    /// A reset connection is found by the client.
    a_reset_is_seen breaks "reset-flow", seen by CONNECTION not ", 0 resets", says " 0 twice, 1 resets", with [];
    /// A second running copy is found by the observer, which sees it write too. It may take the connection with it, and then
    /// the pause has no end.
    a_second_runner_is_seen breaks "second-runner", seen by ONE_COPY not ", 0 with two",
        says " with two writers", with [SUCCEEDED, AT_B, GONE_AT_A, CONNECTION, BY_NAME, READ_THROUGH];
    /// A block that was stored wrong is found by the disk proof, and by a guest that reads it.
    a_corrupt_fetch_is_seen breaks "corrupt-fetch", seen by SUCCEEDED not "exit code 0",
        says "the copy differs from the source", with [GUEST, INDEPENDENT, READ_THROUGH];
}
