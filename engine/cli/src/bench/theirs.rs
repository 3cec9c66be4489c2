//! The peer's move: plain QEMU, mirror and migrate, in a lab without agents.

use longhaul_lab::client::ClientView;
use longhaul_lab::guest::Verification;
use longhaul_lab::peer::{Moved, PlainMove};

use super::cell::Cell;
use super::meter::{Meter, unix_ms};
use super::sample::Sample;
use crate::errors::{Explain as _, Failure, Result};
use crate::exit_code;
use crate::rehearsal::{Setting, Stage};
use crate::settings::Settings;

/// A peer that is so many times slower than it is known to be proves nothing about us.
const SLOWER_MAX: u64 = 2;

/// Moves once and judges the move.
pub(super) fn measure(settings: &Settings, setting: &Setting, cell: Cell) -> Result<Sample> {
    let moving = || "move with plain QEMU".to_owned();
    let (stage, image) = Stage::set_bare(settings.state(), setting)?;
    let plain = PlainMove::boot(stage.lab(), &image).doing(exit_code::FAILED, moving)?;
    stage.wait_for_guest()?;
    let observation = stage.connect(stage.ticker())?;
    let meter = Meter::start(stage.lab())?;
    let begun_at = unix_ms();
    let (moved, _target) = plain.run().doing(exit_code::FAILED, moving)?;
    let trace = meter.stop()?;
    let found =
        stage.lab().guest().verify().doing(exit_code::CHECK_FAILED, || "verify the guest".to_owned())?;
    let client = observation.stop();
    judge(&client, &found)?;
    not_crippled(cell, &moved)?;
    Ok(Sample {
        total_ms: moved.total_ms,
        independent_ms: moved.independent_ms,
        wire_bytes: moved.wire_bytes,
        longest_gap_ms: client.longest_gap_ms,
        pause_ms: moved.pause_ms,
        sent_until_runs: trace.sent_at(begun_at + moved.total_ms),
        sent_until_independent: trace.sent_at(begun_at + moved.independent_ms),
        lost_packets: trace.lost_packets,
        idle_percent: trace.idle_percent,
        run: None,
        commands: moved.commands,
    })
}

fn judge(client: &ClientView, found: &Verification) -> Result<()> {
    if !client.connection_intact() {
        let said = format!("the peer's move broke the client's connection: {client:?}");
        return Err(Failure::said(exit_code::CHECK_FAILED, said));
    }
    if !found.good() || found.disk_checked == 0 {
        let said = format!("the peer's move lost something of the guest: {found:?}");
        return Err(Failure::said(exit_code::CHECK_FAILED, said));
    }
    Ok(())
}

fn not_crippled(cell: Cell, moved: &Moved) -> Result<()> {
    let known = cell.peer_total_ms();
    if moved.total_ms <= SLOWER_MAX * known {
        return Ok(());
    }
    let said = format!(
        "the peer took {} ms where {known} ms are known of it: a crippled peer proves nothing",
        moved.total_ms
    );
    Err(Failure::said(exit_code::CHECK_FAILED, said)
        .advise("run it again when the machine has nothing else to do; what was measured before is kept"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(total_ms: u64) -> Moved {
        Moved {
            total_ms,
            independent_ms: total_ms,
            pause_ms: 300,
            wire_bytes: 1,
            congestion_control: "bbr".into(),
            commands: Vec::new(),
        }
    }

    /// A peer at half of its known speed still counts; a slower one is refused, with both figures.
    #[test]
    fn a_crippled_peer_is_refused() {
        not_crippled(Cell::Lossy, &moved(35_000)).unwrap();
        let failure = not_crippled(Cell::Lossy, &moved(35_001)).unwrap_err();
        assert_eq!(failure.code(), exit_code::CHECK_FAILED);
        assert!(failure.render().contains("35001 ms where 17500 ms are known"), "{}", failure.render());
    }

    /// A broken connection or a wrong record refuses the peer's move.
    #[test]
    fn a_wrong_move_of_the_peer_is_refused() {
        let client = ClientView { lines: 10, connections: 1, ..ClientView::default() };
        let found = Verification {
            memory_checked: 1,
            memory_bad: 0,
            disk_checked: 1,
            disk_bad: 0,
            base_bytes_checked: 1,
            base_bad: 0,
            took_ms: 1,
        };
        judge(&client, &found).unwrap();
        judge(&ClientView { resets: 1, ..client.clone() }, &found).unwrap_err();
        judge(&client, &Verification { disk_bad: 1, ..found }).unwrap_err();
        judge(&client, &Verification { disk_checked: 0, ..found }).unwrap_err();
    }
}
