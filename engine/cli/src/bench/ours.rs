//! Our move: the real workflow with its own defaults, run by the real command in a lab with agents.

use longhaul_saga::Report;

use super::meter::{Meter, Trace};
use super::sample::{RunFacts, Sample};
use crate::errors::{Explain as _, Failure, Result};
use crate::exit_code;
use crate::rehearsal::evidence::{self, Evidence};
use crate::rehearsal::moving::{self, Order};
use crate::rehearsal::verdict::{judge_move, require};
use crate::rehearsal::{Setting, Stage};
use crate::settings::Settings;

/// Moves once and judges the move.
pub(super) fn measure(settings: &Settings, setting: &Setting) -> Result<Sample> {
    let stage = Stage::set(settings.state(), setting)?;
    stage.start_guest()?;
    let (observation, observer) = (stage.connect(stage.ticker())?, stage.observe());
    let meter = Meter::start(stage.lab())?;
    let before = evidence::wire_bytes(stage.lab())?;
    let log = settings.state().join("bench").join("run.log");
    let order = Order { prefix: "bench", present: None, log: Some(log.clone()) };
    let moved = moving::carry_out(&stage, settings.state(), &order)?;
    let wire_bytes = evidence::wire_bytes(stage.lab())?.saturating_sub(before);
    let trace = meter.stop()?;
    let seen = Evidence { code: moved.code, wire_bytes, ..evidence::gather(&stage, observation, observer) };
    let checks = judge_move(&seen);
    evidence::write_down(&moved.run, &seen, &checks, settings)?;
    // A move that fails a check has no figures.
    require(&checks, "our move fails its checks").map_err(|failure| {
        failure.advise(format!("read {} and `longhaul journal show {}`", log.display(), moved.run))
    })?;
    let report = Report::fold(&evidence::records(&moved.run, settings)?);
    let report = report.ok_or_else(|| Failure::said(exit_code::FAILED, "the run left no report"))?;
    sample(&report, &trace, &seen)
}

fn sample(report: &Report, trace: &Trace, seen: &Evidence) -> Result<Sample> {
    let times = report.runs_at_ms.zip(report.independent_ms).zip(report.moved.first());
    let Some(((total_ms, independent_ms), moved)) = times else {
        return Err(Failure::said(exit_code::FAILED, "the run's report tells no times"));
    };
    let sent_at = |ms: u64| trace.sent_at(report.began_at_unix_ms + ms);
    Ok(Sample {
        total_ms,
        independent_ms,
        wire_bytes: seen.wire_bytes,
        longest_gap_ms: seen.client.longest_gap_ms,
        pause_ms: moved.paused_us / 1000,
        sent_until_runs: sent_at(total_ms),
        sent_until_independent: sent_at(independent_ms),
        lost_packets: trace.lost_packets,
        idle_percent: trace.idle_percent,
        run: Some(RunFacts::of(report, trace)),
        commands: Vec::new(),
    })
}

/// A folder for what the moves say.
pub(super) fn prepare(settings: &Settings) -> Result<()> {
    let folder = settings.state().join("bench");
    std::fs::create_dir_all(&folder).doing(exit_code::FAILED, || format!("make {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::verdict::tests::good;

    /// A good move has figures; one that lost a line of the client has none, and says why.
    #[test]
    fn a_move_that_fails_a_check_has_no_figures() {
        require(&judge_move(&good()), "our move fails its checks").unwrap();
        let mut seen = good();
        seen.client.missing = 1;
        let failure = require(&judge_move(&seen), "our move fails its checks").unwrap_err();
        assert_eq!(failure.code(), exit_code::CHECK_FAILED);
        assert!(
            failure.render().contains("the client's connection lived through it"),
            "{}",
            failure.render()
        );
    }
}
