//! The comparison with plain QEMU, as far as its form goes: its figures are for a machine that has nothing else to do.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::rig::{binary, state, turn};

const METRICS: [&str; 4] = ["total_ms", "independent_ms", "wire_bytes", "longest_gap_ms"];
const LINK: &str = "100 Mbit/s, 50 ms, 0.1 % loss";

/// `longhaul bench first-move` moves a guest with Longhaul and with plain QEMU over one link, writes both sides' figures with
/// their ratios, and names what bounds each and what the machine gave. Whether an aim is met is no matter here.
#[test]
fn a_comparison_has_its_form() {
    let Some(_turn) = turn() else { return };
    // Nothing of an earlier test run may be taken for this one's.
    let _ = std::fs::remove_dir_all(state().join("bench"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("figures.json");
    let (figures, talk) = measured(&file);
    let rows: Vec<Value> = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let metrics: Vec<_> = rows.iter().map(|row| row["metric"].as_str().unwrap()).collect();
    assert_eq!(metrics, METRICS);
    rows.iter().for_each(assert_form);
    for side in ["ours", "theirs"] {
        assert!(talk.lines().any(|line| line.starts_with(&format!("{side}, {LINK}: runs at b"))), "{talk}");
    }
    let limits = METRICS.map(|metric| format!("limit of {metric}, first move, {LINK}: "));
    let others = ["limit of theirs", "calibration"].map(|what| format!("{what}, {LINK}: "));
    for wanted in limits.iter().chain(&others) {
        assert!(
            figures.lines().any(|line| line.len() > wanted.len() && line.starts_with(wanted)),
            "{figures}"
        );
    }
    assert!(figures.contains("one plain TCP stream (bbr) ") && figures.contains("peer: "), "{figures}");
}

/// The table and the talk of a comparison that came to its end, with or without its aims met.
fn measured(file: &Path) -> (String, String) {
    let mut bench = Command::new(binary());
    bench.arg("--state").arg(state()).args(["bench", "first-move", "--quick", "--cells", "50ms", "--json"]);
    let Output { status, stdout, stderr } = bench.arg(file).stdin(Stdio::null()).output().unwrap();
    let [figures, talk] = [stdout, stderr].map(|text| String::from_utf8(text).unwrap());
    let missed = talk.contains("aim not met: ");
    assert_eq!(status.code(), Some(if missed { 4 } else { 0 }), "{figures}\n{talk}");
    (figures, talk)
}

/// One metric: both sides' figures of one move, their ratio, and an aim unless the machine bounds them.
fn assert_form(row: &Value) {
    assert_eq!(row["work"], format!("first move, {LINK}"), "{row}");
    assert_eq!(row["runs"], 1, "{row}");
    let figure = |side: &str| {
        let figure = row[side].as_f64().unwrap();
        let exact = row["spread"][side][0].as_f64().unwrap();
        assert!(figure > 0.0 && (figure - exact).abs() < 1e-9, "{row}");
        figure
    };
    let ratio = figure("theirs") / figure("ours");
    assert!((row["ratio"].as_f64().unwrap() - ratio).abs() <= 0.0005, "{row}");
    let bound = row["limit"].as_str().unwrap().starts_with("CPU-bound");
    assert!((row["aim"].is_null(), row["met"].is_null()) == (bound, bound), "{row}");
}
