//! What `run` and `resume` share: the journal, the actions, the reporters, the signals and the exit code.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use longhaul_host_rhai::RhaiHost;
use longhaul_model::ids::RunId;
use longhaul_run::driver::Error;
use longhaul_run::journal::{Bundle, Error as JournalError};
use longhaul_run::{Control, Driver, Ended, Journal, JsonLines, Reporters, Terminal};
use longhaul_saga::event::{Controller, Mirroring};
use longhaul_saga::{Report, Status};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::commands::mirror::Keepers;
use crate::commands::{people, reports, runs, sites};
use crate::errors::{Explain as _, Failure, Result};
use crate::settings::Settings;
use crate::{exit_code, output};

/// What the first signal is answered with.
const STOPPING: &str = "stopping; what is under way goes on at the agents, and `longhaul resume` goes on with the run. \
    Another signal ends this process at once";

/// How a run is shown.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Print one JSON object per record
    #[arg(long)]
    json: bool,
    /// Write the report here too, as HTML and beside it as text
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

impl Show {
    /// Whether scripts read it.
    pub(super) fn json(&self) -> bool {
        self.json
    }
}

/// An open journal and a driver on it, which signals stop. The state directory belongs to this process as long as it lives.
pub(super) struct Driving {
    journal: Journal,
    driver: Driver,
    control: Control,
}

impl Driving {
    pub(super) fn open(settings: &Settings) -> Result<Self> {
        Self::open_as(settings, 1)
    }

    /// The same as a controller of this generation or a higher one.
    pub(super) fn open_as(settings: &Settings, generation: u64) -> Result<Self> {
        let sites = settings.inventory()?;
        let connector = sites::connector(&sites)?;
        let notary = people::Authority::of(&sites)?;
        let here =
            std::env::current_dir().doing(exit_code::FAILED, || "find the working directory".to_owned())?;
        let agents = longhaul_steps::agents_over_tls(&sites, connector);
        let registry = longhaul_steps::registry_through(&agents, &here);
        // Before others can see that this process holds the journal.
        let control = Control::new();
        stop_on_signals(control.clone()).doing(exit_code::FAILED, || "listen for signals".to_owned())?;
        let journal = open_journal_as(settings, generation)?;
        let driver = Driver::new(journal.clone(), registry)
            .with_notary(notary)
            .with_policies(Arc::new(RhaiHost::default()))
            .with_mirror(Arc::new(Keepers(Arc::clone(&agents))))
            .with_lookout(agents);
        Ok(Self { driver, journal, control })
    }

    /// The same that has the records of a new run kept elsewhere, too.
    pub(super) fn with_mirroring(mut self, mirroring: Option<Mirroring>) -> Self {
        self.driver = self.driver.with_mirroring(mirroring);
        self
    }

    /// Who this is, as records say it.
    pub(super) fn controller(&self) -> Controller {
        self.journal.controller()
    }

    /// Takes a run from elsewhere into the journal, as it is.
    pub(super) async fn import(&self, bundle: Bundle) -> Result<()> {
        Ok(self.journal.import(bundle).await?)
    }

    /// Drives until the run ends or somebody interrupts.
    pub(super) async fn drive(
        &self,
        show: &Show,
        go: impl AsyncFnOnce(&Driver, &mut Reporters, &Control) -> std::result::Result<Ended, Error>,
    ) -> Result<Ended> {
        go(&self.driver, &mut reporters(show.json), &self.control).await.map_err(failure)
    }

    /// Writes the reports anew, now that the end is known, and says how it ended.
    pub(super) async fn finish(
        &self,
        run: &RunId,
        ended: Ended,
        show: &Show,
        settings: &Settings,
    ) -> Result<u8> {
        if ended == Ended::Interrupted {
            return Ok(exit_code::INTERRUPTED);
        }
        let records = self.journal.reader()?.records(run)?;
        for path in reports::refresh(&records, show.report.as_deref())? {
            output::talk(format_args!("report: {}", path.display()));
        }
        runs::tidy_up(&self.journal, settings).await;
        let Some(report) = Report::fold(&records) else { return Ok(code(ended)) };
        if report.has_lost_memory() {
            output::talk(format_args!("{}: `longhaul status {run}` says what to do", report.headline()));
        }
        Ok(of_report(&report))
    }
}

/// Takes the state directory's journal for this process.
pub(super) fn open_journal(settings: &Settings) -> Result<Journal> {
    open_journal_as(settings, 1)
}

fn open_journal_as(settings: &Settings, generation: u64) -> Result<Journal> {
    let folder = settings.controller();
    Journal::open_as(&folder, now_unix_ms(), generation).map_err(|error| {
        let held = matches!(error, JournalError::Held(_));
        let failure = Err::<(), _>(error)
            .doing(exit_code::FAILED, || format!("open the journal in {}", folder.display()));
        let failure = failure.expect_err("it was made of an error");
        if held {
            failure.advise("wait until it has ended, or give this one another --state")
        } else {
            failure
        }
    })
}

pub(super) fn now_unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The reporters of a run as it is shown on standard output; bars go to standard error.
pub(super) fn reporters(json: bool) -> Reporters {
    let out = io::stdout();
    if json {
        Reporters::new().with(JsonLines::new(out))
    } else if output::has_terminal() {
        Reporters::new().with(Terminal::with_bars(out, indicatif::ProgressDrawTarget::stderr()))
    } else {
        Reporters::new().with(Terminal::plain(out))
    }
}

/// The first signal stops the driver in good order: everything under way goes on at the agents, and the run can be
/// resumed. The second one ends the process at once, also when stopping takes long; what is durable stays durable.
///
/// On a thread and a runtime of its own, which last as long as the process: neither a busy driver nor the end of its
/// runtime keeps the second signal from being heard.
fn stop_on_signals(control: Control) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            either(&mut interrupt, &mut terminate).await;
            // Whoever reads what we say may have stopped reading.
            std::thread::spawn(move || {
                output::talk(STOPPING);
                control.stop();
            });
            either(&mut interrupt, &mut terminate).await;
            std::process::exit(i32::from(exit_code::INTERRUPTED));
        });
    });
    Ok(())
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

fn failure(error: Error) -> Failure {
    let must_stop = error.must_stop();
    let failure = Failure::new(exit_code::FAILED, error);
    if must_stop { failure.advise("look at the disk, then go on with `longhaul resume`") } else { failure }
}

/// The exit code of an end.
pub(super) fn code(ended: Ended) -> u8 {
    match ended {
        Ended::Interrupted | Ended::At(Status::Running) => exit_code::INTERRUPTED,
        Ended::At(status) => of_status(status),
    }
}

/// The exit code of a run's end: one whose guest died in it has something that a person must do, also when every step was
/// done.
pub(super) fn of_report(report: &Report) -> u8 {
    of_end(report.status, report.has_lost_memory())
}

fn of_end(status: Status, has_lost_memory: bool) -> u8 {
    match status {
        Status::Succeeded | Status::Partial if has_lost_memory => exit_code::NEEDS_OPERATOR,
        status => code(Ended::At(status)),
    }
}

/// The exit code of a run that stands so.
pub(super) fn of_status(status: Status) -> u8 {
    match status {
        Status::Running => exit_code::RUNNING,
        Status::Succeeded => exit_code::OK,
        Status::Failed => exit_code::FAILED,
        Status::Partial => exit_code::PARTIAL,
        Status::NeedsOperator => exit_code::NEEDS_OPERATOR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every way a run can stand has a code of its own, and one that is not over is never taken for one that is.
    #[test]
    fn every_status_has_its_code() {
        let all = [
            (Status::Running, exit_code::RUNNING),
            (Status::Succeeded, exit_code::OK),
            (Status::Failed, exit_code::FAILED),
            (Status::Partial, exit_code::PARTIAL),
            (Status::NeedsOperator, exit_code::NEEDS_OPERATOR),
        ];
        for (status, code) in all {
            assert_eq!(of_status(status), code, "{status}");
        }
        let codes: std::collections::BTreeSet<u8> = all.iter().map(|(_, code)| *code).collect();
        assert_eq!(codes.len(), all.len());
    }

    /// Every step may be done, and a guest be dead: a script must not take that for a success.
    #[test]
    fn a_dead_guest_is_no_success() {
        for status in
            [Status::Running, Status::Succeeded, Status::Failed, Status::Partial, Status::NeedsOperator]
        {
            assert_eq!(of_end(status, false), code(Ended::At(status)), "{status}");
        }
        assert_eq!(of_end(Status::Succeeded, true), exit_code::NEEDS_OPERATOR);
        assert_eq!(of_end(Status::Failed, true), exit_code::FAILED);
    }

    /// A command that drives a run ends as the run does, and says of one that is not over that it was interrupted.
    #[test]
    fn an_end_has_the_code_of_its_status() {
        assert_eq!(code(Ended::Interrupted), exit_code::INTERRUPTED);
        assert_eq!(code(Ended::At(Status::Running)), exit_code::INTERRUPTED);
        for status in [Status::Succeeded, Status::Failed, Status::Partial, Status::NeedsOperator] {
            assert_eq!(code(Ended::At(status)), of_status(status), "{status}");
        }
    }
}
