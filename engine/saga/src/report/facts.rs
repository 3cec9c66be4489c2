//! What the native actions' outputs say, by the names of the agents' messages.

use serde::Serialize;
use serde_json::Value;

/// A VM that changed its site.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MovedVm {
    /// The VM.
    pub vm: String,
    /// The site it runs at now.
    pub target: String,
    /// Its epoch there.
    pub epoch: u64,
    /// The pause the agents predicted before the switch, in milliseconds.
    pub predicted_pause_ms: u64,
    /// The pause by the agents' clocks, in microseconds; not a client's view.
    pub paused_us: u64,
    /// Length of the hypervisor's stream, in bytes.
    pub state_bytes: u64,
    /// Allocated disk bytes not at the target when the VM began to run there.
    pub absent_bytes: u64,
    /// Allocated disk bytes; 0 if the target could not say.
    pub allocated_bytes: u64,
    /// When it began to run there, in Unix milliseconds.
    pub runs_at_unix_ms: u64,
    /// Its QEMU died after that and before the end of the run: it does not run, and can only be booted from its disk.
    pub memory_lost: bool,
}

/// The proof of a copied disk.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DiskProof {
    /// The VM.
    pub vm: String,
    /// Whether every compared leaf was equal.
    pub ok: bool,
    /// Merkle root of the frozen source, hex.
    pub root: String,
    /// Leaves.
    pub extents: u64,
    /// Leaves the guest overwrote before they were fetched or compared.
    pub superseded: u64,
    /// Reads of the guest that crossed the WAN.
    pub demand_reads: u64,
    /// Their bytes.
    pub demand_bytes: u64,
}

/// A tunnel as it was last read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tunnel {
    /// The step that read it.
    pub step: String,
    /// Round trip, in microseconds, where it was measured.
    pub rtt_us: Option<u64>,
    /// Measured goodput.
    pub bits_per_second: Option<u64>,
    /// Its lanes.
    pub lanes: Vec<Lane>,
}

/// A lane of a tunnel.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lane {
    /// Its number.
    pub id: u64,
    /// As the kernel reported it.
    pub congestion_control: String,
    /// Bytes sent on the reading side, TLS included.
    pub bytes_sent: u64,
    /// Bytes received there.
    pub bytes_received: u64,
    /// Segments sent again.
    pub retransmits: u64,
}

/// What the tunnel carried of one kind and class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordKind {
    /// `zero`, `raw`, `zstd`, `control`.
    pub kind: String,
    /// `handover`, `packets`, `demand`, `dirty`, `background`.
    pub class: String,
    /// Records.
    pub records: u64,
    /// Bytes as the stream's user sees them.
    pub raw_bytes: u64,
    /// Bytes before TLS.
    pub wire_bytes: u64,
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or(0)
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or("").to_owned()
}

impl MovedVm {
    pub(super) fn of(params: &Value, outputs: &Value) -> Self {
        Self {
            vm: text(params, "vm"),
            target: text(params, "to"),
            epoch: number(outputs, "epoch"),
            predicted_pause_ms: number(outputs, "predicted_pause_ms"),
            paused_us: number(outputs, "paused_us"),
            state_bytes: number(outputs, "state_bytes"),
            absent_bytes: number(outputs, "absent_bytes"),
            allocated_bytes: number(outputs, "allocated_bytes"),
            runs_at_unix_ms: number(outputs, "runs_at_unix_ms"),
            memory_lost: outputs["memory_lost"] == true,
        }
    }
}

impl DiskProof {
    pub(super) fn of(params: &Value, outputs: &Value) -> Self {
        Self {
            vm: text(params, "vm"),
            ok: outputs["proof_ok"].as_bool().unwrap_or(false),
            root: text(outputs, "root"),
            extents: number(outputs, "extents"),
            superseded: number(outputs, "superseded"),
            demand_reads: number(outputs, "demand_reads"),
            demand_bytes: number(outputs, "demand_bytes"),
        }
    }
}

impl Tunnel {
    /// None if the outputs speak of no lanes.
    pub(super) fn of(step: &str, outputs: &Value) -> Option<Self> {
        let lanes = outputs["lanes"].as_array()?.iter().map(Lane::of).collect();
        let (rtt_us, bits_per_second) = (outputs["rtt_us"].as_u64(), outputs["bits_per_second"].as_u64());
        Some(Self { step: step.to_owned(), rtt_us, bits_per_second, lanes })
    }
}

impl Lane {
    fn of(value: &Value) -> Self {
        Self {
            id: number(value, "id"),
            congestion_control: text(value, "congestion_control"),
            bytes_sent: number(value, "bytes_sent"),
            bytes_received: number(value, "bytes_received"),
            retransmits: number(value, "retransmits"),
        }
    }
}

impl RecordKind {
    /// What `outputs.wire` says: the message `RecordKinds`, or its list itself.
    pub(super) fn all_of(outputs: &Value) -> Vec<Self> {
        let wire = &outputs["wire"];
        let kinds = wire["kinds"].as_array().or_else(|| wire.as_array());
        kinds.into_iter().flatten().map(Self::of).collect()
    }

    fn of(value: &Value) -> Self {
        Self {
            kind: text(value, "kind"),
            class: text(value, "class"),
            records: number(value, "records"),
            raw_bytes: number(value, "raw_bytes"),
            wire_bytes: number(value, "wire_bytes"),
        }
    }
}
