//! The demo from beginning to end.

use std::path::Path;

use longhaul_lab::Lab;
use longhaul_lab::client::Observation;
use longhaul_lab::observer::Observer;
use longhaul_lab::place::Side;
use longhaul_run::Reader;

use super::Break;
use super::evidence::{self, Evidence, Said};
use super::figures::figures;
use super::moving::{self, Move};
use super::stage::Stage;
use super::verdict::{Check, judge};
use crate::commands::{observe, until_interrupted};
use crate::errors::{Explain as _, Result};
use crate::settings::Settings;
use crate::{exit_code, output};

/// Plays the demo and returns its exit code: 0 only if every check of the verdict holds.
pub(crate) fn run(settings: &Settings, json: Option<&Path>, broken: Option<Break>) -> Result<u8> {
    until_interrupted(|| {
        let (evidence, moved) = play(settings, broken)?;
        show_report(settings, &moved);
        let checks = judge(&evidence);
        checks.iter().for_each(show);
        if let Some(file) = json {
            let text = format!("{:#}\n", figures(&evidence));
            std::fs::write(file, text).doing(exit_code::FAILED, || format!("write {}", file.display()))?;
        }
        let green = checks.iter().all(|check| check.holds);
        output::data(if green { "verdict: green" } else { "verdict: red" });
        Ok(if green { exit_code::OK } else { exit_code::CHECK_FAILED })
    })
}

fn play(settings: &Settings, broken: Option<Break>) -> Result<(Evidence, Move)> {
    output::talk("making two sites, a WAN and a guest; the first time takes a minute");
    let stage = Stage::set(settings.state(), broken)?;
    stage.start_guest()?;
    let (observation, observer) = stage.watch(broken)?;
    output::talk("the guest serves at a and its client is connected; moving it to b");
    let before = wire_bytes(stage.lab());
    let moved = moving::carry_out(&stage, settings.state())?;
    let wire_bytes = wire_bytes(stage.lab()).saturating_sub(before);
    let mut evidence = gather(&stage, observation, observer);
    evidence.code = moved.code;
    evidence.wire_bytes = wire_bytes;
    evidence.said = Said::of(&write_down(settings, &moved, &evidence)?);
    Ok((evidence, moved))
}

fn wire_bytes(lab: &Lab) -> u64 {
    lab.wan().stats().map_or(0, |stats| stats.wire_bytes())
}

/// Looks at everything there is to see after the move. The link is cut last: the client's old connection needs it.
fn gather(stage: &Stage, observation: Observation, observer: Observer) -> Evidence {
    let lab = stage.lab();
    let guest = lab.guest().verify().ok();
    let answers = evidence::answers(lab);
    let client = observation.stop();
    let cut = lab.cut().is_ok();
    let guest_alone = if cut { stage.guest_at_b().verify().ok() } else { None };
    if let Err(error) = lab.heal() {
        output::talk(format_args!("the link stays cut: {error}"));
    }
    Evidence {
        client,
        observer: observer.stop(),
        guest,
        guest_alone,
        answers,
        left_at_a: evidence::has_qemu(lab, Side::A),
        ..Evidence::default()
    }
}

/// Adds what was seen to the run, so that its report shows it, and returns the run's records.
fn write_down(settings: &Settings, moved: &Move, evidence: &Evidence) -> Result<Vec<longhaul_saga::Record>> {
    let views = [
        ("client", observe::payload(&evidence.client)?),
        ("observer", observe::payload(&evidence.observer)?),
        ("wan", serde_json::json!({ "wire_bytes": evidence.wire_bytes })),
    ];
    observe::write_down(&moved.run, views, settings)?;
    Ok(Reader::open(&settings.controller())?.records(&moved.run)?)
}

fn show_report(settings: &Settings, moved: &Move) {
    let html = settings.state().join("reports").join(format!("{}.html", moved.run));
    if let Ok(text) = std::fs::read_to_string(html.with_extension("txt")) {
        output::raw(&text);
    }
    output::data(format_args!("report: {}", html.display()));
}

fn show(check: &Check) {
    let mark = if check.holds { "ok  " } else { "FAIL" };
    output::data(format_args!("{mark}  {}: {}", check.what, check.seen));
}
