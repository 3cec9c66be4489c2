//! The figures of a demo as JSON, in a form that stays, so that they can be compared over time.

use longhaul_lab::place::Side;
use serde_json::{Value, json};

use crate::rehearsal::Evidence;

/// The figures; what was not seen is null.
///
/// `total_ms` is from the run's start until the guest ran at B, `independent_ms` until B needed nothing of A,
/// `pause_ms` what the agents measured, `client.longest_gap_ms` what the client saw.
pub(super) fn figures(evidence: &Evidence) -> Value {
    let said = &evidence.said;
    let client = &evidence.client;
    json!({
        "total_ms": said.total_ms,
        "independent_ms": said.independent_ms,
        "pause_ms": said.moved.as_ref().map(|moved| moved.paused_us / 1000),
        "wire_bytes": evidence.wire_bytes,
        "runs_at": evidence.observer.runs_at.map(Side::as_str),
        "client": {
            "longest_gap_ms": client.longest_gap_ms,
            "missing": client.missing,
            "resets": client.resets,
            "failed_requests": client.failed_requests,
        },
        "guest": {
            "memory_bad": evidence.guest.map(|found| found.memory_bad),
            "disk_bad": evidence.guest.map(|found| found.disk_bad),
        },
        "disk_proof": said.disk.as_ref().map(|disk| json!({
            "ok": disk.ok,
            "root": disk.root,
            "extents": disk.extents,
            "superseded": disk.superseded,
        })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::verdict::tests::good;

    /// The form that is compared over time.
    #[test]
    fn figures_have_their_form() {
        insta::assert_json_snapshot!(figures(&good()), @r#"
        {
          "total_ms": 10400,
          "independent_ms": 21000,
          "pause_ms": 310,
          "wire_bytes": 80000000,
          "runs_at": "b",
          "client": {
            "longest_gap_ms": 400,
            "missing": 0,
            "resets": 0,
            "failed_requests": 0
          },
          "guest": {
            "memory_bad": 0,
            "disk_bad": 0
          },
          "disk_proof": {
            "ok": true,
            "root": "ab",
            "extents": 4096,
            "superseded": 3
          }
        }
        "#);
    }

    /// What was not seen is null, never a number.
    #[test]
    fn nothing_seen_is_null() {
        let figures = figures(&Evidence::default());
        for field in ["total_ms", "independent_ms", "pause_ms", "runs_at", "disk_proof"] {
            assert!(figures[field].is_null(), "{field}");
        }
        assert!(figures["guest"]["disk_bad"].is_null());
    }
}
