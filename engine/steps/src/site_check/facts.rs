//! What `site.check` puts out.

use longhaul_model::ids::VmId;
use longhaul_wire::v1::{ObserveReply, VmFacts};
use serde_json::{Value, json};

use crate::descriptor::{count, list, object, text};
use crate::outputs;
use crate::site_check::predict;

pub(super) fn schema() -> Value {
    let estimate = object([("total_ms", count()), ("wire_bytes", count()), ("pause_ms", count())], []);
    object(
        [
            ("link", outputs::link_schema()),
            ("source", site_schema()),
            ("target", site_schema()),
            ("vms", list(&vm_schema())),
            ("estimate", estimate),
        ],
        [],
    )
}

fn site_schema() -> Value {
    object(
        [
            ("site", text()),
            ("disk_free_bytes", count()),
            ("disk_usable_bytes", count()),
            ("memory_free_bytes", count()),
            ("qemu_version", text()),
        ],
        [],
    )
}

fn vm_schema() -> Value {
    object(
        [
            ("id", text()),
            ("epoch", count()),
            ("memory_bytes", count()),
            ("disk_bytes", count()),
            ("allocated_bytes", count()),
            ("dirty_bytes_per_second", count()),
            ("machine_type", text()),
            ("cpu_model", text()),
        ],
        [("copy_bytes", count())],
    )
}

/// The outputs of a check that found nothing wrong.
pub(super) fn outputs(vms: &[VmId], source: &ObserveReply, target: &ObserveReply) -> Value {
    let link = source.link.unwrap_or_default();
    let vms: Vec<(&VmFacts, u64)> =
        vms.iter().filter_map(|id| Some((of(source, id)?, copy_bytes(id, source, target)))).collect();
    let estimate = predict::whole(&link, &vms);
    json!({
        "link": outputs::link(&link),
        "source": site(source),
        "target": site(target),
        "vms": vms.iter().map(|(facts, copy_bytes)| vm(facts, *copy_bytes)).collect::<Vec<_>>(),
        "estimate": {
            "total_ms": estimate.duration_ms,
            "wire_bytes": estimate.wire_bytes,
            "pause_ms": estimate.pause_ms,
        },
    })
}

/// What a site said about a VM.
pub(super) fn of<'a>(reply: &'a ObserveReply, vm: &VmId) -> Option<&'a VmFacts> {
    reply.vms.iter().find(|facts| facts.id == vm.as_str())
}

/// What of a VM's disk is at the target in a copy that was kept and is worth something: the source counts writes for it.
fn copy_bytes(vm: &VmId, source: &ObserveReply, target: &ObserveReply) -> u64 {
    let counted = of(source, vm).and_then(|facts| facts.copied_to.as_ref());
    let kept = of(target, vm).and_then(|facts| facts.copy.as_ref()).filter(|copy| {
        counted.is_some_and(|counted| counted.site == target.site && counted.origin == copy.origin)
    });
    kept.map_or(0, |copy| copy.present_bytes)
}

/// What VMs may still take of a site's disk: what is free, less what the site keeps in reserve.
pub(super) fn disk_usable_bytes(reply: &ObserveReply) -> u64 {
    reply.disk_free_bytes.saturating_sub(reply.disk_reserve_bytes)
}

fn site(reply: &ObserveReply) -> Value {
    json!({
        "site": reply.site,
        "disk_free_bytes": reply.disk_free_bytes,
        "disk_usable_bytes": disk_usable_bytes(reply),
        "memory_free_bytes": reply.memory_free_bytes,
        "qemu_version": reply.qemu_version,
    })
}

fn vm(facts: &VmFacts, copy_bytes: u64) -> Value {
    json!({
        "id": facts.id,
        "epoch": facts.epoch,
        "memory_bytes": facts.memory_bytes,
        "disk_bytes": facts.disk_bytes,
        "allocated_bytes": facts.allocated_bytes,
        "dirty_bytes_per_second": facts.dirty_bytes_per_second,
        "machine_type": facts.machine_type,
        "cpu_model": facts.cpu_model,
        "copy_bytes": copy_bytes,
    })
}
