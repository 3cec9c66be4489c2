//! The report of a move, made by hand record by record.

use serde_json::{Value, json};

use crate::{Header, Record, Report};

fn record(seq: u64, at_ms: u64, kind: &str, payload: Value) -> Record {
    let header = Header {
        run: "run-a".parse().unwrap(),
        seq,
        version: 1,
        saga: 1,
        at_unix_ms: 1_000_000 + at_ms,
        kind: kind.to_owned(),
        payload,
        previous: String::new(),
    };
    Record::read(header).unwrap()
}

fn start(step: &str, uses: &str, params: &Value) -> Value {
    json!({ "step": step, "work": "forward", "uses": uses, "incarnation": 0, "attempt": 1, "params": params })
}

fn done(step: &str, outputs: &Value) -> Value {
    json!({ "step": step, "work": "forward", "outputs": outputs })
}

fn created() -> Value {
    json!({
        "controller": { "host": "h", "pid": 1, "generation": 1 },
        "plan": {
            "workflow": { "name": "evacuate", "version": "1.0.0", "sha256": "ab".repeat(32), "file": "e.yaml" },
            "inputs": {}, "graph": { "steps": [{ "id": "go", "needs": [], "line": 1, "body": { "action": {
                "uses": "vm.move@1", "with": {}, "effects": "irreversible", "timeout": "1h", "pivot": true, "compensate": null,
                "retry": { "max_attempts": 1, "errors": [], "backoff": { "initial": "1s", "factor": 1, "max": "1s", "full_jitter": false } },
            }}}] }, "outputs": [], "always": { "steps": [] },
        },
    })
}

fn moved() -> Vec<Record> {
    let lane = json!({ "id": 0, "congestion_control": "bbr", "bytes_sent": 52_428_800, "bytes_received": 1_024, "retransmits": 7 });
    let kinds = json!({ "kinds": [
        { "kind": "zstd", "class": "background", "records": 800, "raw_bytes": 104_857_600, "wire_bytes": 41_943_040 },
        { "kind": "zero", "class": "background", "records": 90, "raw_bytes": 20_971_520, "wire_bytes": 900 },
    ]});
    vec![
        record(1, 0, "run_created", created()),
        record(
            2,
            5,
            "observation",
            json!({ "source": "estimate", "payload": { "steps": {
            "go": { "uses": "vm.move@1", "duration_ms": 9_000, "wire_bytes": 50_000_000, "pause_ms": 250 } } } }),
        ),
        record(3, 5, "start", start("tunnel", "wan.tunnel@1", &json!({ "from": "a", "to": "b" }))),
        record(
            4,
            300,
            "done",
            done("tunnel", &json!({ "rtt_us": 50_120, "bits_per_second": 97_000_000, "lanes": [lane] })),
        ),
        record(5, 300, "start", start("go", "vm.move@1", &json!({ "vm": "vm-a", "to": "b" }))),
        record(
            6,
            8_000,
            "done",
            done(
                "go",
                &json!({
            "epoch": 2, "predicted_pause_ms": 240, "paused_us": 181_500, "state_bytes": 90_000_000,
            "absent_bytes": 12_000_000, "allocated_bytes": 100_000_000, "runs_at_unix_ms": 1_007_800, "wire": kinds }),
            ),
        ),
        record(7, 8_000, "start", start("settle", "storage.settle@1", &json!({ "vm": "vm-a" }))),
        record(
            8,
            9_500,
            "observation",
            json!({ "source": "client", "payload": {
            "longest_gap_ms": 412, "missing": 0, "resets": 0, "failed_requests": 1, "requests": 90, "connections": 2 } }),
        ),
        record(
            9,
            12_000,
            "done",
            done(
                "settle",
                &json!({
            "proof_ok": true, "root": "c0ffee", "extents": 1_600, "superseded": 12, "demand_reads": 31, "demand_bytes": 126_976 }),
            ),
        ),
        record(10, 12_001, "start", start("report", "report.write@1", &json!({ "to": "r.html" }))),
        record(11, 12_050, "done", done("report", &json!({}))),
        record(12, 12_051, "end", json!({ "status": "succeeded", "outputs": {} })),
    ]
}

/// The report says what the records say, in the words of the page.
#[test]
fn a_move_is_reported() {
    let report = Report::fold(&moved()).unwrap();
    insta::assert_snapshot!(report.text());
}

/// Without a client nothing is said about clients.
#[test]
fn without_a_client_nothing_was_observed() {
    let mut records = moved();
    records.retain(|record| record.seq != 8);
    assert_eq!(Report::fold(&records).unwrap().headline(), "clients: not observed");
}

/// The page holds nothing that is loaded from elsewhere and nothing that was not escaped.
#[test]
fn the_page_stands_alone() {
    let html = Report::fold(&moved()).unwrap().html();
    let outside = ["<script", "src=", "@import", "url("];
    assert!(outside.iter().all(|foreign| !html.contains(foreign)), "{html}");
    assert!(html.contains("longest gap of an existing connection 412 ms"));
}

fn judged(dropped: bool) -> Report {
    let payload = json!({ "checks": [
        { "name": "the run succeeded", "ok": true, "seen": "exit code 0" },
        { "name": "the client's connection lived", "ok": !dropped, "seen": "<1> missing" },
    ]});
    let mut records = moved();
    let client =
        json!({ "source": "client", "payload": { "longest_gap_ms": 412, "requests": 90, "connections": 1 } });
    records[7] = record(8, 9_500, "observation", client);
    records.push(record(13, 13_000, "observation", json!({ "source": "verdict", "payload": payload })));
    Report::fold(&records).unwrap()
}

/// What was seen from outside outranks what the run says of itself: with one check that fails, the headline, the page's
/// colour and what is safe are red, and nothing is promised.
#[test]
fn a_red_verdict_turns_the_report_red() {
    let (text, html) = (judged(true).text(), judged(true).html());
    insta::assert_snapshot!(text.split("Which site").next().unwrap());
    assert!(!text.contains("nothing is left to do"), "{text}");
    assert!(html.contains("class=\"headline bad\""), "{html}");
    assert!(html.contains("the client&#39;s connection lived: &#60;1&#62; missing"), "{html}");
}

/// A green verdict leaves the report as it is, with its checks above.
#[test]
fn a_green_verdict_is_told() {
    let text = judged(false).text();
    assert!(text.starts_with("run run-a: evacuate 1.0.0, succeeded; verdict green\n"), "{text}");
    assert!(text.contains("verdict: green, 2 of 2 checks hold; clients: longest gap"), "{text}");
    assert!(text.contains("nothing is left to do"), "{text}");
    assert!(judged(false).html().contains("class=\"headline plain\""));
}

/// What the WAN counted stands beside what the tunnel did.
#[test]
fn the_wans_own_count_is_told() {
    let mut records = moved();
    records.push(record(
        13,
        13_000,
        "observation",
        json!({ "source": "wan", "payload": { "wire_bytes": 1_048_576 } }),
    ));
    let text = Report::fold(&records).unwrap().text();
    assert!(text.contains("the WAN itself counted 1.0 MiB"), "{text}");
}

/// A guest that died right after it was handed over is something to be done, and where.
#[test]
fn lost_memory_is_something_to_do() {
    let mut records = moved();
    let outputs = json!({ "proof_ok": true, "root": "c0ffee", "memory_lost": true });
    records[8] = record(9, 12_000, "done", done("settle", &outputs));
    assert!(Report::fold(&records).unwrap().has_lost_memory(), "it died after its hand-over's step");
    let outputs = json!({ "epoch": 2, "runs_at_unix_ms": 1_007_800, "memory_lost": true });
    records[5] = record(6, 8_000, "done", done("go", &outputs));
    let report = Report::fold(&records).unwrap();
    let text = report.text();
    assert_eq!(text.matches("longhaul vm start vm-a --site b").count(), 1, "{text}");
    assert!(text.contains("\nthe memory of vm-a was lost; clients"), "{text}");
    assert!(text.contains("vm-a belongs to b and does NOT run"), "{text}");
    assert!(!text.contains("nothing is left to do") && !text.contains("runs at b"), "{text}");
    assert!(report.html().contains("class=\"headline bad\""));
    let kept = Report::fold(&moved()).unwrap();
    assert!(!kept.has_lost_memory() && !kept.text().contains("vm start"));
    assert!(kept.text().contains("nothing is left to do"));
}

/// A VM that an undo has moved once more runs where that took it, and nothing is said of where it was before.
#[test]
fn an_undo_that_moves_is_the_last_word() {
    let move_to =
        |site: &str, at_ms: u64| json!({ "epoch": 2, "runs_at_unix_ms": 1_000_000 + at_ms, "to": site });
    let of_undo = |mut payload: Value| {
        payload["work"] = json!("undo");
        payload
    };
    let (there, back) = (json!({ "vm": "vm-a", "to": "b" }), json!({ "vm": "vm-a", "to": "a" }));
    let records = [
        record(1, 0, "run_created", created()),
        record(2, 5, "start", start("go", "vm.move@1", &there)),
        record(3, 900, "done", done("go", &move_to("b", 800))),
        record(4, 901, "start", of_undo(start("go", "vm.move@1", &back))),
        record(5, 1_900, "done", of_undo(done("go", &move_to("a", 1_800)))),
        record(6, 1_901, "end", json!({ "status": "failed", "outputs": {}, "instructions": [] })),
    ];
    let report = Report::fold(&records).unwrap();
    let said = report.safe_now.join("\n");
    assert!(said.contains("vm-a runs at a") && !said.contains("runs at b"), "{said}");
    assert_eq!(report.owners["vm-a"], "a");
}
