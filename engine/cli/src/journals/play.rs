//! Playing the scenarios and writing what is kept of them.

use std::path::{Path, PathBuf};

use longhaul_model::ids::RunId;
use longhaul_run::Reader;

use super::{COMMAND, Scenario};
use crate::commands::{journal, until_interrupted};
use crate::errors::{Explain as _, Result};
use crate::rehearsal::evidence::{self, Evidence};
use crate::rehearsal::moving::Move;
use crate::rehearsal::verdict::require;
use crate::rehearsal::{Setting, Stage};
use crate::settings::Settings;
use crate::{exit_code, output};

/// Plays every scenario and writes its journal into `folder`. Returns the files.
pub(crate) fn generate(settings: &Settings, folder: &Path) -> Result<Vec<PathBuf>> {
    let write = |scenario: Scenario| {
        let text = record(settings, scenario)?;
        let file = folder.join(format!("{}.jsonl", scenario.name()));
        std::fs::write(&file, text).doing(exit_code::FAILED, || format!("write {}", file.display()))?;
        Ok(file)
    };
    until_interrupted(|| Scenario::ALL.into_iter().map(write).collect())
}

/// The redacted journal of a scenario's run.
fn record(settings: &Settings, scenario: Scenario) -> Result<String> {
    let name = scenario.name();
    output::talk(format_args!("{name}: making two sites, a WAN and a guest"));
    let stage = Stage::set(settings.state(), &Setting::named("journals"))?;
    stage.start_guest()?;
    output::talk(format_args!("{name}: moving it"));
    let (moved, evidence) = watch(&stage, settings, scenario)?;
    // A journal that tells something else than its name is not kept.
    let checks = scenario.judge(&evidence);
    require(&checks, &format!("{name} did not go as it should"))?;
    evidence::write_down(&moved.run, &evidence, &checks, settings)?;
    let records = Reader::open(&settings.controller())?.bundle(&moved.run)?;
    let alias: RunId = name.parse().expect("the names of scenarios are ids");
    journal::exported(&records, Some(&alias), COMMAND)
}

fn watch(stage: &Stage, settings: &Settings, scenario: Scenario) -> Result<(Move, Evidence)> {
    let (observation, observer) = (stage.connect(stage.ticker_and_requests())?, stage.observe());
    let before = evidence::wire_bytes(stage.lab())?;
    let moved = scenario.carry_out(stage, settings)?;
    let wire_bytes = evidence::wire_bytes(stage.lab())?.saturating_sub(before);
    let seen = evidence::gather(stage, observation, observer);
    let evidence = Evidence { code: moved.code, wire_bytes, ..seen };
    Ok((moved, evidence))
}
