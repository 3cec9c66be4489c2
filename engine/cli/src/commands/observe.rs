//! `longhaul observe`: what a client sees while something moves.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use longhaul_lab::client::{ClientView, Observation, Options};
use longhaul_lab::name::LabName;
use longhaul_lab::place::Place;
use longhaul_model::ids::{RunId, VmId};
use longhaul_model::units::Time;
use longhaul_run::journal::Error as JournalError;
use longhaul_run::{Journal, Reader};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::commands::{block_on, driving, reports};
use crate::errors::{Explain as _, Failure, Result};
use crate::settings::Settings;
use crate::{exit_code, output};

/// How long a view waits for the run's controller to end: only one process at a time writes a journal.
const CONTROLLER_MAX: Duration = Duration::from_secs(60);

/// What to do where the run is not known.
const CARRY: &str = "name the state directory of the run's controller with --state, or, if that is on another machine, look here with \
    `longhaul observe ... --json > seen.json`, carry the file there, and write it down there with \
    `longhaul observe --seen seen.json";

/// Between two looks whether it has.
const CONTROLLER_LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true)))]
pub(crate) struct Args {
    /// Address of a ticker to read over one connection
    #[arg(long, group = "what", value_name = "ADDRESS:PORT")]
    ticker: Option<SocketAddr>,
    /// Look at the guest of this lab from its client's place, instead of from here
    #[arg(long, group = "what", value_name = "NAME", conflicts_with_all = ["ticker", "name", "server"])]
    lab: Option<LabName>,
    /// Id of the lab's VM
    #[arg(long, value_name = "ID", default_value = "vm-a", requires = "lab")]
    vm: VmId,
    /// Name that HTTP requests go to
    #[arg(long, value_name = "NAME", requires = "server")]
    name: Option<String>,
    /// DNS server that is asked for the name; may be given more than once
    #[arg(long, value_name = "ADDRESS:PORT")]
    server: Vec<SocketAddr>,
    /// Stop after so long [default: at SIGINT]
    #[arg(long = "for", value_name = "TIME")]
    time: Option<Time>,
    /// Look at nothing: take what `observe --json` printed on another machine, to write it into a run with --run
    #[arg(long, group = "what", value_name = "FILE", requires = "run",
        conflicts_with_all = ["ticker", "lab", "name", "server", "time"])]
    seen: Option<PathBuf>,
    /// Write what was seen into this run's journal, and its report anew; the run is one of this state directory
    #[arg(long, value_name = "RUN")]
    run: Option<RunId>,
    /// Print JSON: the form that --seen takes
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, settings: &Settings) -> Result<u8> {
    // Before looking: a mistake in the id must not cost what was seen.
    if let Some(run) = &args.run {
        require_known(run, settings)?;
    }
    let view = match &args.seen {
        Some(file) => read(file)?,
        None => look(args)?,
    };
    if args.json {
        output::json(&view);
    } else {
        show(&view);
    }
    if let Some(run) = &args.run {
        let written = write_down(run, [("client", payload(&view)?)], settings);
        if written.is_err() && args.seen.is_none() && !args.json {
            // Else it would be lost.
            output::json(&view);
        }
        written?;
    }
    let fine = view.connection_intact() && !view.fell_silent() && view.failed_requests == 0;
    Ok(if fine { exit_code::OK } else { exit_code::CHECK_FAILED })
}

fn look(args: &Args) -> Result<ClientView> {
    let observation = Observation::start(options(args)).doing(exit_code::FAILED, || "observe".to_owned())?;
    block_on(async {
        wait(args.time).await?;
        Ok(observation.stop())
    })
}

fn read(file: &Path) -> Result<ClientView> {
    let reading = || format!("read {}", file.display());
    let text = std::fs::read_to_string(file).doing(exit_code::INVALID_FILE, reading)?;
    let read = serde_json::from_str(&text).doing(exit_code::INVALID_FILE, reading);
    read.map_err(|failure| failure.advise("`longhaul observe --json > FILE` writes such a file"))
}

/// Runs are known where their controller works; a client is often elsewhere.
fn require_known(run: &RunId, settings: &Settings) -> Result<()> {
    let folder = settings.controller();
    let known = Reader::open(&folder).and_then(|reader| reader.records(run));
    let finding = || format!("find run {run} in {}", folder.display());
    let known = known.map(drop).doing(exit_code::USAGE, finding);
    known.map_err(|failure| failure.advise(format!("{CARRY} --run {run}`")))
}

fn options(args: &Args) -> Options {
    match (&args.lab, args.ticker) {
        (Some(lab), _) => Options::of_lab(Some(lab.netns(Place::Client)), args.vm.as_str()),
        (None, Some(ticker)) => Options {
            netns: None,
            ticker,
            name: args.name.clone(),
            servers: args.server.clone(),
            interval: Duration::from_millis(200),
            fault: None,
        },
        (None, None) => unreachable!("clap asks for one of them"),
    }
}

async fn wait(time: Option<Time>) -> Result<()> {
    let mut interrupt =
        signal(SignalKind::interrupt()).doing(exit_code::FAILED, || "wait for SIGINT".to_owned())?;
    let over = async {
        match time {
            Some(time) => tokio::time::sleep(time.as_duration()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        () = over => {}
    }
    Ok(())
}

fn show(view: &ClientView) {
    output::data(format_args!("longest gap: {} ms", view.longest_gap_ms));
    let connection = if view.connection_intact() { "intact" } else { "not intact" };
    output::data(format_args!(
        "connection: {connection}; {} lines, {} missing, {} twice, {} resets",
        view.lines, view.missing, view.duplicates, view.resets
    ));
    if view.fell_silent() {
        let silent = view.silent_ms;
        output::data(format_args!(
            "the connection fell silent: the last {silent} ms of looking brought no line"
        ));
    }
    output::data(format_args!("requests: {}, failed: {}", view.requests, view.failed_requests));
    for failure in &view.failures {
        output::data(format_args!("  after {} ms: {}", failure.took_ms, failure.what));
    }
}

/// What was seen, as a record keeps it.
pub(crate) fn payload(view: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(view).doing(exit_code::FAILED, || "write down what was seen".to_owned())
}

/// Adds what was seen from outside, by source, to a run, and writes the run's reports anew.
pub(crate) fn write_down(
    run: &RunId,
    views: impl IntoIterator<Item = (&'static str, Value)>,
    settings: &Settings,
) -> Result<()> {
    block_on(async {
        let journal = journal_when_free(settings).await?;
        for (source, payload) in views {
            journal.observe(run, driving::now_unix_ms(), source, payload).await?;
        }
        let records = journal.reader()?.records(run)?;
        reports::refresh(&records, None)?;
        Ok(())
    })
}

async fn journal_when_free(settings: &Settings) -> Result<Journal> {
    let end = Instant::now() + CONTROLLER_MAX;
    loop {
        match Journal::open(&settings.controller(), driving::now_unix_ms()) {
            Err(JournalError::Held(_)) if Instant::now() < end => tokio::time::sleep(CONTROLLER_LOOK).await,
            Err(error @ JournalError::Held(_)) => {
                let advice = "when that controller has ended, write it down with `longhaul observe --seen FILE --run RUN`; FILE \
                    holds the JSON that `observe` prints";
                return Err(Failure::new(exit_code::FAILED, error).advise(advice));
            }
            other => return Ok(other?),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use longhaul_saga::{Entry, Event};

    use super::*;
    use crate::args::{Cli, Global};

    /// What the command line says, without looking at anything.
    fn observe(arguments: &[&str], state: &Path) -> Result<u8> {
        let all = ["longhaul", "--state", state.to_str().unwrap(), "observe"];
        let cli = Cli::try_parse_from(all.iter().chain(arguments).copied()).unwrap();
        let crate::commands::Command::Observe(args) = cli.command else { panic!("another command") };
        let global: &Global = &cli.global;
        run(&args, &Settings::read(global).unwrap())
    }

    fn view() -> ClientView {
        ClientView { longest_gap_ms: 310, lines: 900, connections: 1, requests: 12, ..ClientView::default() }
    }

    /// A journal with one run of one record; what a run's records say does not matter here.
    fn state_with(run: &RunId) -> tempfile::TempDir {
        let state = tempfile::tempdir().unwrap();
        let controller = state.path().join("controller");
        let interrupted = Entry::Event(Event::Interrupted(longhaul_saga::event::Interrupted {}));
        block_on(async {
            let journal = Journal::open(&controller, 1)?;
            journal.append(run, 1, vec![interrupted]).await?;
            Ok(())
        })
        .unwrap();
        state
    }

    /// What a client saw elsewhere becomes a record of the run, as if it had been seen here.
    #[test]
    fn what_was_seen_elsewhere_is_written_down() {
        let run: RunId = "run-a".parse().unwrap();
        let state = state_with(&run);
        let file = state.path().join("seen.json");
        std::fs::write(&file, serde_json::to_string(&view()).unwrap()).unwrap();
        let code = observe(&["--seen", file.to_str().unwrap(), "--run", "run-a"], state.path()).unwrap();
        assert_eq!(code, exit_code::OK);
        let records = Reader::open(&state.path().join("controller")).unwrap().records(&run).unwrap();
        let Entry::Event(Event::Observation(seen)) = &records[1].entry else { panic!("{records:?}") };
        assert_eq!((seen.source.as_str(), &seen.payload), ("client", &payload(&view()).unwrap()));
    }

    /// A connection that is open, whole and silent at the end is no good end, whoever saw it; a short silence is one.
    #[test]
    fn a_connection_that_fell_silent_fails_the_check() {
        let state = state_with(&"run-a".parse().unwrap());
        let file = state.path().join("seen.json");
        for (silent_ms, code) in [(600, exit_code::OK), (2_600, exit_code::CHECK_FAILED)] {
            let seen = ClientView { silent_ms, ..view() };
            assert!(seen.connection_intact());
            std::fs::write(&file, serde_json::to_string(&seen).unwrap()).unwrap();
            let arguments = ["--seen", file.to_str().unwrap(), "--run", "run-a"];
            assert_eq!(observe(&arguments, state.path()).unwrap(), code, "{silent_ms}");
        }
    }

    /// A run that is not known here is told before anything is looked at, with the way to bring a view to it; and a file
    /// that is no view is refused before anything is written.
    #[test]
    fn unknown_runs_and_foreign_files_are_refused() {
        let run: RunId = "run-a".parse().unwrap();
        let state = state_with(&run);
        let file = state.path().join("seen.json");
        std::fs::write(&file, "[]").unwrap();
        let file = file.to_str().unwrap().to_owned();
        let told = |arguments: &[&str]| {
            let failure = observe(arguments, state.path()).unwrap_err();
            (failure.code(), failure.render())
        };
        let (code, said) = told(&["--ticker", "192.0.2.1:1", "--run", "run-b"]);
        assert_eq!(code, exit_code::USAGE);
        assert!(said.contains("there is no run `run-b`"), "{said}");
        assert!(said.contains("`longhaul observe --seen seen.json --run run-b`"), "{said}");
        let (code, said) = told(&["--seen", &file, "--run", "run-a"]);
        assert_eq!(code, exit_code::INVALID_FILE);
        assert!(said.contains("observe --json"), "{said}");
        let records = Reader::open(&state.path().join("controller")).unwrap().records(&run).unwrap();
        assert_eq!(records.len(), 1);
    }
}
