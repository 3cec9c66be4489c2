//! The agents' outputs as JSON, and the schemas of that JSON.
//!
//! Field names and units are those of the `.proto` file; nothing is renamed on the way into a journal.

use longhaul_model::ids::SiteId;
use longhaul_step::{Error, ErrorClass};
use longhaul_wire::v1::outputs::Outputs as Kind;
use longhaul_wire::v1::{
    DiskSettled, Lane, NamePrepared, NameRedirected, Outputs, PeerLink, Prefetched, RecordKinds,
    TunnelOpened, VmMoved,
};
use serde_json::{Value, json};

use crate::descriptor::{boolean, count, list, number, object, text};

/// The one answer of an action that asks one site.
pub(crate) fn only(answers: Vec<(SiteId, Outputs)>) -> Result<(SiteId, Kind), Error> {
    let mut answers = answers;
    match (answers.pop(), answers.is_empty()) {
        (Some((site, Outputs { outputs: Some(kind) })), true) => Ok((site, kind)),
        _ => Err(Error::new(ErrorClass::Internal, "the agent answered with nothing this version knows")),
    }
}

/// An operation that ended with another one's outputs: a bug on either side.
pub(crate) fn mismatch(site: &SiteId) -> Error {
    Error::new(
        ErrorClass::Internal,
        format!("site {site}: the operation ended with another operation's outputs"),
    )
}

pub(crate) fn link(link: &PeerLink) -> Value {
    json!({
        "rtt_us": link.rtt_us,
        "bits_per_second": link.bits_per_second,
        "loss_percent": link.loss_percent,
    })
}

pub(crate) fn link_schema() -> Value {
    object([("rtt_us", count()), ("bits_per_second", count()), ("loss_percent", number())], [])
}

fn lanes(lanes: &[Lane]) -> Value {
    let lane = |lane: &Lane| {
        json!({
            "id": lane.id,
            "congestion_control": lane.congestion_control,
            "bytes_sent": lane.bytes_sent,
            "bytes_received": lane.bytes_received,
            "retransmits": lane.retransmits,
        })
    };
    lanes.iter().map(lane).collect()
}

fn lanes_schema() -> Value {
    list(&object(
        [
            ("id", count()),
            ("congestion_control", text()),
            ("bytes_sent", count()),
            ("bytes_received", count()),
            ("retransmits", count()),
        ],
        [],
    ))
}

fn wire(kinds: Option<&RecordKinds>) -> Value {
    let kinds = kinds.map_or(&[][..], |kinds| &kinds.kinds);
    let kind = |kind: &longhaul_wire::v1::RecordKind| {
        json!({
            "kind": kind.kind,
            "class": kind.class,
            "records": kind.records,
            "raw_bytes": kind.raw_bytes,
            "wire_bytes": kind.wire_bytes,
        })
    };
    kinds.iter().map(kind).collect()
}

fn wire_schema() -> Value {
    list(&object(
        [
            ("kind", text()),
            ("class", text()),
            ("records", count()),
            ("raw_bytes", count()),
            ("wire_bytes", count()),
        ],
        [],
    ))
}

pub(crate) fn tunnel_opened(out: &TunnelOpened) -> Value {
    json!({ "rtt_us": out.rtt_us, "bits_per_second": out.bits_per_second, "lanes": lanes(&out.lanes) })
}

pub(crate) fn tunnel_opened_schema() -> Value {
    object([("rtt_us", count()), ("bits_per_second", count()), ("lanes", lanes_schema())], [])
}

pub(crate) fn prefetched(out: &Prefetched) -> Value {
    let mut prefetched = json!({
        "disk_bytes": out.disk_bytes,
        "allocated_bytes": out.allocated_bytes,
        "present_bytes": out.present_bytes,
        "fetched_bytes": out.fetched_bytes,
        "reused_bytes": out.reused_bytes,
        "rounds": out.rounds,
        "dirty_bytes": out.dirty_bytes,
    });
    if !out.discarded.is_empty() {
        prefetched["discarded"] = out.discarded.clone().into();
    }
    prefetched
}

pub(crate) fn prefetched_schema() -> Value {
    object(
        [
            ("disk_bytes", count()),
            ("allocated_bytes", count()),
            ("present_bytes", count()),
            ("fetched_bytes", count()),
            ("rounds", count()),
            ("dirty_bytes", count()),
        ],
        [("reused_bytes", count()), ("discarded", text())],
    )
}

pub(crate) fn name_prepared(out: &NamePrepared, site: &SiteId) -> Value {
    json!({
        "site": site,
        "name": out.name,
        "previous_ttl_seconds": out.previous_ttl_seconds,
        "ttl_seconds": out.ttl_seconds,
        "serial": out.serial,
    })
}

pub(crate) fn name_prepared_schema() -> Value {
    let site = object(
        [
            ("site", text()),
            ("name", text()),
            ("previous_ttl_seconds", count()),
            ("ttl_seconds", count()),
            ("serial", count()),
        ],
        [],
    );
    object([("name", text()), ("ttl_seconds", count()), ("sites", list(&site))], [])
}

pub(crate) fn name_redirected(out: &NameRedirected, site: &SiteId) -> Value {
    json!({
        "site": site,
        "name": out.name,
        "previous_address": out.previous_address,
        "address": out.address,
        "serial": out.serial,
    })
}

pub(crate) fn name_redirected_schema() -> Value {
    let site = object(
        [
            ("site", text()),
            ("name", text()),
            ("previous_address", text()),
            ("address", text()),
            ("serial", count()),
        ],
        [],
    );
    object([("name", text()), ("address", text()), ("sites", list(&site))], [])
}

pub(crate) fn vm_moved(out: &VmMoved) -> Value {
    let mut moved = json!({
        "epoch": out.epoch,
        "state_hash": out.state_hash,
        "state_bytes": out.state_bytes,
        "predicted_pause_ms": out.predicted_pause_ms,
        "paused_us": out.paused_us,
        "marked_absent_bytes": out.marked_absent_bytes,
        "runs_at_unix_ms": out.runs_at_unix_ms,
        "memory_lost": out.memory_lost,
        "wire": wire(out.wire.as_ref()),
    });
    // What is not known is left out: a zero would be a claim.
    let known = [("absent_bytes", out.absent_bytes), ("allocated_bytes", out.allocated_bytes)];
    for (name, bytes) in known.into_iter().filter_map(|(name, bytes)| Some((name, bytes?))) {
        moved[name] = bytes.into();
    }
    moved
}

pub(crate) fn vm_moved_schema() -> Value {
    object(
        [
            ("epoch", count()),
            ("state_hash", text()),
            ("state_bytes", count()),
            ("predicted_pause_ms", count()),
            ("paused_us", count()),
            ("marked_absent_bytes", count()),
            ("runs_at_unix_ms", count()),
            ("wire", wire_schema()),
        ],
        [("memory_lost", boolean()), ("absent_bytes", count()), ("allocated_bytes", count())],
    )
}

pub(crate) fn disk_settled(out: &DiskSettled) -> Value {
    json!({
        "proof_ok": out.proof_ok,
        "root": out.root,
        "extents": out.extents,
        "superseded": out.superseded,
        "demand_reads": out.demand_reads,
        "demand_bytes": out.demand_bytes,
        "wire": wire(out.wire.as_ref()),
        "lanes": lanes(&out.lanes),
        "memory_lost": out.memory_lost,
    })
}

pub(crate) fn disk_settled_schema() -> Value {
    object(
        [
            ("proof_ok", boolean()),
            ("root", text()),
            ("extents", count()),
            ("superseded", count()),
            ("demand_reads", count()),
            ("demand_bytes", count()),
            ("wire", wire_schema()),
            ("lanes", lanes_schema()),
        ],
        [("memory_lost", boolean())],
    )
}
