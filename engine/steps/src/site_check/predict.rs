//! What a move is expected to need, from the link and the VMs as `site.check` found them. Pure.
//!
//! A rough sum on purpose: bytes over rate, with the compression of ordinary guests. The agents know better once they
//! have counted, and the report puts both beside what came of it.

use longhaul_step::Estimate;
use longhaul_wire::v1::{PeerLink, VmFacts};
use serde_json::Value;

/// What is left of disk data after zero elimination and zstd. Measured 0.66 to 0.70 on a mixed image.
const DISK_ON_WIRE: f64 = 0.7;

/// What is left of guest memory after the same. Measured 0.31 on a 128 MiB guest with a quarter of random words.
const MEMORY_ON_WIRE: f64 = 0.35;

/// What one hand-over costs beside the link: QEMU's stop, device state, start. Measured 170 to 300 ms under TCG.
const SWITCH_MS: f64 = 250.0;

/// Round trips of the control messages of one move: origin, prepare, rounds, hand-over, routes, names.
const ROUND_TRIPS: f64 = 12.0;

/// Share of a disk that a hand-over leaves absent: what `evacuate.yaml` lets it, if nothing else is asked for. The share
/// is another step's parameter and not known to the one that settles.
const LEFT_TO_SETTLE: f64 = 0.01;

/// Round trips of settling: the leaves' export, their hashes, the release.
const SETTLE_ROUND_TRIPS: f64 = 6.0;

/// How long the agent that settles sleeps between its looks at the fill and at the proof, one look each.
const SETTLE_LOOKS_MS: f64 = 400.0;

/// Bytes of disk that both sites read and hash in a millisecond.
const PROOF_BYTES_PER_MS: f64 = 200_000.0;

struct Link {
    rtt_ms: f64,
    bits_per_ms: f64,
}

struct Vm {
    memory: f64,
    allocated: f64,
    /// Of the allocated, at the target already.
    copied: f64,
    dirty_per_ms: f64,
}

impl Link {
    fn ms_for(&self, bytes: f64) -> f64 {
        bytes * 8.0 / self.bits_per_ms
    }
}

/// The sum for VMs that move one after another, from the run's start to the last one's hand-over; each with the bytes of its disk
/// that are at the target already.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
pub(crate) fn whole(link: &PeerLink, vms: &[(&VmFacts, u64)]) -> Estimate {
    let link =
        Link { rtt_ms: link.rtt_us as f64 / 1e3, bits_per_ms: (link.bits_per_second as f64 / 1e3).max(1.0) };
    let parts = vms.iter().map(|(facts, copied)| Vm {
        memory: facts.memory_bytes as f64,
        allocated: facts.allocated_bytes as f64,
        copied: *copied as f64,
        dirty_per_ms: facts.dirty_bytes_per_second as f64 / 1e3,
    });
    parts.flat_map(|vm| [disk(&link, &vm, 1.0), memory(&link, &vm)]).fold(Estimate::default(), |sum, part| {
        Estimate {
            duration_ms: add(sum.duration_ms, part.duration_ms),
            wire_bytes: add(sum.wire_bytes, part.wire_bytes),
            pause_ms: sum.pause_ms.max(part.pause_ms),
        }
    })
}

/// What a prefetch of `share` of the disk is expected to need; nothing is claimed without a `site.check` in `facts`.
pub(crate) fn prefetch(facts: &Value, vm: &str, share: f64) -> Estimate {
    known(facts, vm).map(|(link, vm)| disk(&link, &vm, share)).unwrap_or_default()
}

/// What a hand-over is expected to need; nothing is claimed without a `site.check` in `facts`.
pub(crate) fn hand_over(facts: &Value, vm: &str) -> Estimate {
    known(facts, vm).map(|(link, vm)| memory(&link, &vm)).unwrap_or_default()
}

/// What fetching the rest, the proof and the release are expected to need; nothing is claimed without a `site.check` in
/// `facts`.
pub(crate) fn settle(facts: &Value, vm: &str) -> Estimate {
    known(facts, vm).map(|(link, vm)| rest(&link, &vm)).unwrap_or_default()
}

fn rest(link: &Link, vm: &Vm) -> Estimate {
    let bytes = vm.allocated * LEFT_TO_SETTLE * DISK_ON_WIRE;
    let proof = vm.allocated / PROOF_BYTES_PER_MS + SETTLE_LOOKS_MS;
    estimate(link.ms_for(bytes) + proof + link.rtt_ms * SETTLE_ROUND_TRIPS, bytes, None)
}

fn disk(link: &Link, vm: &Vm, share: f64) -> Estimate {
    let bytes = (vm.allocated * share - vm.copied).max(0.0) * DISK_ON_WIRE;
    estimate(link.ms_for(bytes) + link.rtt_ms * ROUND_TRIPS, bytes, None)
}

/// Memory is sent while it changes: each pass leaves what was dirtied during the one before.
fn memory(link: &Link, vm: &Vm) -> Estimate {
    let first = vm.memory * MEMORY_ON_WIRE;
    let again = (vm.dirty_per_ms * 8.0 * MEMORY_ON_WIRE / link.bits_per_ms).min(0.9);
    let bytes = first / (1.0 - again);
    let pause = SWITCH_MS + link.rtt_ms / 2.0;
    estimate(link.ms_for(bytes) + pause, bytes, Some(pause))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and far below 2^52")]
fn estimate(ms: f64, bytes: f64, pause: Option<f64>) -> Estimate {
    Estimate {
        duration_ms: Some(ms.ceil() as u64),
        wire_bytes: Some(bytes.ceil() as u64),
        pause_ms: pause.map(|pause| pause.ceil() as u64),
    }
}

fn add(left: Option<u64>, right: Option<u64>) -> Option<u64> {
    Some(left.unwrap_or(0).saturating_add(right.unwrap_or(0)))
}

/// The link and the VM from the outputs of the first `site.check` that saw it.
fn known(facts: &Value, vm: &str) -> Option<(Link, Vm)> {
    facts.as_object()?.values().find_map(|outputs| {
        let number = |value: &Value, name: &str| value.get(name).and_then(Value::as_f64);
        let link = outputs.get("link")?;
        let facts = outputs.get("vms")?.as_array()?.iter().find(|facts| facts["id"] == vm)?;
        let link = Link {
            rtt_ms: number(link, "rtt_us")? / 1e3,
            bits_per_ms: (number(link, "bits_per_second")? / 1e3).max(1.0),
        };
        let vm = Vm {
            memory: number(facts, "memory_bytes")?,
            allocated: number(facts, "allocated_bytes")?,
            copied: number(facts, "copy_bytes").unwrap_or_default(),
            dirty_per_ms: number(facts, "dirty_bytes_per_second")? / 1e3,
        };
        Some((link, vm))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn facts() -> Value {
        json!({ "preflight": {
            "link": { "rtt_us": 50_000, "bits_per_second": 80_000_000, "loss_percent": 0.1 },
            "vms": [{ "id": "vm-a", "memory_bytes": 100_000_000, "allocated_bytes": 50_000_000,
                      "dirty_bytes_per_second": 0 }],
        }})
    }

    /// Bytes over rate: 35 MB at 80 Mbit/s take 3.5 s, and the pause is half a round trip more than the switch.
    #[test]
    fn an_estimate_is_bytes_over_rate() {
        let disk = prefetch(&facts(), "vm-a", 1.0);
        assert_eq!((disk.wire_bytes, disk.duration_ms), (Some(35_000_000), Some(3_500 + 600)));
        let memory = hand_over(&facts(), "vm-a");
        assert_eq!((memory.pause_ms, memory.duration_ms), (Some(275), Some(3_500 + 275)));
        let rest = settle(&facts(), "vm-a");
        assert_eq!((rest.wire_bytes, rest.duration_ms), (Some(350_000), Some(35 + 250 + 400 + 300)));
    }

    /// What is at the target already is not brought again.
    #[test]
    fn a_kept_copy_shortens_the_way() {
        let mut facts = facts();
        facts["preflight"]["vms"][0]["copy_bytes"] = 40_000_000.into();
        let disk = prefetch(&facts, "vm-a", 1.0);
        assert_eq!((disk.wire_bytes, disk.duration_ms), (Some(7_000_000), Some(700 + 600)));
        assert_eq!(prefetch(&facts, "vm-a", 0.5).wire_bytes, Some(0));
    }

    /// Without a check that saw the VM nothing is claimed.
    #[test]
    fn nothing_is_claimed_without_facts() {
        assert_eq!(prefetch(&facts(), "vm-x", 1.0), Estimate::default());
        assert_eq!(hand_over(&json!({}), "vm-a"), Estimate::default());
        assert_eq!(settle(&json!({}), "vm-a"), Estimate::default());
    }
}
