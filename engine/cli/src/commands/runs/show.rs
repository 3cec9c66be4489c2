//! `longhaul runs show`: what a run is pinned to, who drove it, and how it stands.

use longhaul_model::ids::RunId;
use longhaul_run::Reader;
use longhaul_saga::event::{Controller, RunCreated};
use longhaul_saga::{Entry, Event, Record};
use serde_json::{Value, json};

use super::created;
use crate::commands::journal;
use crate::errors::Result;
use crate::{exit_code, output};

pub(super) fn run(reader: &Reader, run: &RunId, as_json: bool) -> Result<u8> {
    let created = created(reader, run)?;
    let plan = reader.plan(run)?;
    let standing = reader.standing(run)?;
    let records = reader.records(run)?;
    let shown = json!({
        "run": run,
        "status": standing.status,
        "workflow": plan.workflow,
        "inputs": plan.inputs,
        "plugins": plan.plugins,
        "started_by": created.started_by.as_ref().map(|starter| &starter.name),
        "began_at_unix_ms": records[0].at_unix_ms,
        "last_at_unix_ms": standing.last_at_unix_ms,
        "records": records.len(),
        "controllers": controllers(&created, &records),
    });
    if as_json {
        output::json(&shown);
    } else {
        output::raw(&text(&shown));
    }
    Ok(exit_code::OK)
}

/// Every controller that drove the run, with the record at which it began.
fn controllers(created: &RunCreated, records: &[Record]) -> Vec<Value> {
    let shown = |seq: u64, at_unix_ms: u64, controller: &Controller| json!({ "from_record": seq, "at_unix_ms": at_unix_ms, "host": controller.host, "pid": controller.pid, "generation": controller.generation });
    let first = records.first().map(|record| shown(record.seq, record.at_unix_ms, &created.controller));
    let later = records.iter().filter_map(|record| match &record.entry {
        Entry::Event(Event::RunResumed(resumed)) => {
            Some(shown(record.seq, record.at_unix_ms, &resumed.controller))
        }
        Entry::Event(Event::Replanned(replanned)) => {
            Some(shown(record.seq, record.at_unix_ms, &replanned.controller))
        }
        Entry::Event(_) | Entry::Intent(_) => None,
    });
    first.into_iter().chain(later).collect()
}

fn text(shown: &Value) -> String {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let time = |value: &Value| value.as_u64().map_or_else(|| "-".to_owned(), journal::time);
    let workflow = &shown["workflow"];
    let mut lines = vec![
        format!("run {}: {}", word(&shown["run"]), word(&shown["status"])),
        format!(
            "workflow: {} {} from {}",
            word(&workflow["name"]),
            word(&workflow["version"]),
            word(&workflow["file"])
        ),
        format!("sha256: {}", word(&workflow["sha256"])),
        format!(
            "began: {}, last record: {}",
            time(&shown["began_at_unix_ms"]),
            time(&shown["last_at_unix_ms"])
        ),
        format!("records: {}", shown["records"]),
    ];
    if let Some(name) = shown["started_by"].as_str() {
        lines.push(format!("started by: {name}"));
    }
    let inputs = shown["inputs"].as_object();
    lines.extend(inputs.into_iter().flatten().map(|(name, value)| format!("input {name}: {}", word(value))));
    let plugins = shown["plugins"].as_array();
    lines.extend(plugins.into_iter().flatten().map(|pin| format!("plugin: {pin}")));
    let controllers = shown["controllers"].as_array();
    lines.extend(controllers.into_iter().flatten().map(|it| {
        let (from, at) = (&it["from_record"], time(&it["at_unix_ms"]));
        let (pid, host, generation) = (&it["pid"], word(&it["host"]), &it["generation"]);
        format!("controller from record {from}, {at}: pid {pid} on host {host}, generation {generation}")
    }));
    lines.join("\n") + "\n"
}
