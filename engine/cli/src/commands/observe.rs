//! `longhaul observe`: what a client sees while something moves.

use std::net::SocketAddr;
use std::time::Duration;

use longhaul_lab::client::{ClientView, Observation, Options};
use longhaul_lab::name::LabName;
use longhaul_lab::place::Place;
use longhaul_model::ids::{RunId, VmId};
use longhaul_model::units::Time;
use longhaul_run::Journal;
use longhaul_run::journal::Error as JournalError;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::commands::{block_on, driving, reports};
use crate::errors::{Explain as _, Failure, Result};
use crate::settings::Settings;
use crate::{exit_code, output};

/// How long a view waits for the run's controller to end: only one process at a time writes a journal.
const CONTROLLER_MAX: Duration = Duration::from_secs(60);

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
    /// Write what was seen into this run's journal, and its report anew
    #[arg(long, value_name = "RUN")]
    run: Option<RunId>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, settings: &Settings) -> Result<u8> {
    let observation = Observation::start(options(args)).doing(exit_code::FAILED, || "observe".to_owned())?;
    let view = block_on(async {
        wait(args.time).await?;
        Ok(observation.stop())
    })?;
    if args.json {
        output::json(&view);
    } else {
        show(&view);
    }
    if let Some(run) = &args.run {
        write_down(run, [("client", payload(&view)?)], settings)?;
    }
    let fine = view.connection_intact() && view.failed_requests == 0;
    Ok(if fine { exit_code::OK } else { exit_code::CHECK_FAILED })
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
                let advice = "when that controller has ended, observe again with --run and a short --for";
                return Err(Failure::new(exit_code::FAILED, error).advise(advice));
            }
            other => return Ok(other?),
        }
    }
}
