//! The demo from beginning to end.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Break;
use super::figures::figures;
use crate::commands::until_interrupted;
use crate::errors::{Explain as _, Result};
use crate::rehearsal::evidence;
use crate::rehearsal::moving::{self, Move, Order};
use crate::rehearsal::verdict::{Check, judge};
use crate::rehearsal::{Evidence, Said, Setting, Stage};
use crate::settings::Settings;
use crate::{exit_code, output};

/// Less than nine tenths of the disk, so that reads through the WAN are really needed after the hand-over.
const ORDER: Order = Order { prefix: "demo", present: Some("0.85"), log: None };

/// Plays the demo and returns its exit code: 0 only if every check of the verdict holds.
pub(crate) fn run(settings: &Settings, json: Option<&Path>, broken: Option<Break>) -> Result<u8> {
    until_interrupted(|| {
        let (evidence, moved) = play(settings, broken)?;
        let checks = judge(&evidence);
        evidence::write_down(&moved.run, &evidence, &checks, settings)?;
        show_report(settings, &moved);
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
    let mut setting = Setting::named("demo");
    setting.agent_arguments = broken.map(Break::agent_arguments).unwrap_or_default();
    let stage = Stage::set(settings.state(), &setting)?;
    stage.start_guest()?;
    let mut client = stage.ticker_and_requests();
    client.fault = broken.and_then(Break::client_fault);
    let (observation, observer) = (stage.connect(client)?, stage.observe());
    output::talk("the guest serves at a and its client is connected; moving it to b");
    let before = evidence::wire_bytes(stage.lab())?;
    let sampler = stage.lab().guest().sampler();
    let sampler = sampler.doing(exit_code::FAILED, || "connect to the guest for its reads".to_owned())?;
    let over = AtomicBool::new(false);
    let (moved, cold_read) = std::thread::scope(|scope| {
        let reading = scope.spawn(|| evidence::cold_read(sampler, &observer, &over));
        let moved = moving::carry_out(&stage, settings.state(), &ORDER);
        over.store(true, Ordering::Relaxed);
        (moved, reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let moved = moved?;
    let wire_bytes = evidence::wire_bytes(stage.lab())?.saturating_sub(before);
    let mut evidence = evidence::gather(&stage, observation, observer);
    evidence.code = moved.code;
    evidence.wire_bytes = wire_bytes;
    evidence.cold_read = cold_read;
    evidence.said = Said::of(&evidence::records(&moved.run, settings)?);
    Ok((evidence, moved))
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
