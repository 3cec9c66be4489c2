//! A run that goes on by itself: the same command again, as a process that no terminal ends.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use longhaul_model::ids::RunId;
use longhaul_run::Reader;
use serde_json::json;

use crate::errors::{Explain as _, Failure, Result};
use crate::settings::Settings;
use crate::{exit_code, output};

/// How often it is looked whether the run has begun.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Starts the process, and returns when the run's first record is durable.
pub(super) fn begin(run: &RunId, as_json: bool, settings: &Settings) -> Result<u8> {
    let log = log_file(run, settings)?;
    let mut child = start(run, &log)?;
    let controller = settings.controller();
    loop {
        // Before the first record there may be no journal.
        if Reader::open(&controller).and_then(|reader| reader.knows(run)).unwrap_or(false) {
            break;
        }
        if let Some(status) =
            child.try_wait().doing(exit_code::FAILED, || "look after the controller".to_owned())?
        {
            return refused(status, &log);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    if as_json {
        output::json(&json!({ "run": run, "pid": child.id(), "log": log }));
    } else {
        output::data(run);
        output::talk(format_args!(
            "run {run} goes on as process {}; `longhaul watch {run}` shows it, {} is its log",
            child.id(),
            log.display()
        ));
    }
    Ok(exit_code::OK)
}

fn log_file(run: &RunId, settings: &Settings) -> Result<PathBuf> {
    let folder = settings.controller().join("logs");
    std::fs::create_dir_all(&folder).doing(exit_code::FAILED, || format!("make {}", folder.display()))?;
    Ok(folder.join(format!("{run}.log")))
}

/// In a process group of its own: what a terminal sends to the command that was typed does not reach it.
fn start(run: &RunId, log: &Path) -> Result<Child> {
    let doing = || "start the controller".to_owned();
    let opening = || format!("write {}", log.display());
    let out = File::create(log).doing(exit_code::FAILED, opening)?;
    let talk = out.try_clone().doing(exit_code::FAILED, opening)?;
    let program = std::env::current_exe().doing(exit_code::FAILED, doing)?;
    let child = Command::new(program)
        .args(arguments(std::env::args_os().skip(1), run))
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(talk)
        .process_group(0)
        .spawn();
    child.doing(exit_code::FAILED, doing)
}

/// What was typed, without `--detach` and with the run's id.
fn arguments(typed: impl Iterator<Item = OsString>, run: &RunId) -> Vec<OsString> {
    let mut all: Vec<OsString> = typed.filter(|word| word != "--detach").collect();
    let has_id = all.iter().any(|word| word == "--id" || word.to_string_lossy().starts_with("--id="));
    if !has_id {
        all.extend(["--id".into(), run.as_str().into()]);
    }
    all
}

/// It ended before the run began: it says why, and this is said here as well.
fn refused(status: ExitStatus, log: &Path) -> Result<u8> {
    let said = std::fs::read_to_string(log).unwrap_or_default();
    output::raw_talk(&said);
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(exit_code::FAILED);
    let code = if code == exit_code::OK { exit_code::FAILED } else { code };
    Err(Failure::said(code, "the run did not begin"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same command is given again, once detached and with its id.
    #[test]
    fn the_command_is_given_again() {
        let given = |typed: &str| {
            let words = arguments(typed.split(' ').map(OsString::from), &"run-1".parse().unwrap());
            words.into_iter().map(|word| word.into_string().unwrap()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(given("--state s run --detach w.yaml"), "--state s run w.yaml --id run-1");
        assert_eq!(given("run w.yaml --id run-1 --detach"), "run w.yaml --id run-1");
        assert_eq!(given("run w.yaml --id=run-1 --detach"), "run w.yaml --id=run-1");
    }
}
