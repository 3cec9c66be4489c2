//! One file per command: its arguments and what it does with them.

mod actions;
mod adopt;
mod agent;
mod answer;
mod bench;
mod bench_worker;
mod ca;
mod config;
mod demo;
mod disk_server;
mod documents;
mod driving;
mod explain;
mod files;
mod folders;
mod fork;
mod format;
mod functions;
mod generate;
mod graph;
mod init;
mod inputs;
pub(crate) mod journal;
mod lab;
mod lab_wan;
mod mirror;
pub(crate) mod observe;
mod people;
mod plan;
mod plugin;
mod policies;
mod replay;
mod reports;
mod resume;
mod run;
mod runs;
mod schema;
mod schemas;
mod sites;
mod status;
mod suites;
mod test;
mod triggers;
mod validate;
mod vm;
mod watch;
mod why;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Subcommand;
use longhaul_saga::event::Vote;

pub(crate) use agent::Break as AgentBreak;
pub(crate) use journal::exported;
pub(crate) use test::{OfCase, of_files as journals_of_cases};

use crate::errors::{Explain as _, Result};
use crate::exit_code;
use crate::settings::Settings;

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Move a running guest between two sites on this machine, and judge it from outside. Needs root
    Demo(demo::Args),
    /// Make a project folder: a workflow, the inventory of the sites, settings of editors
    Init(init::Args),
    /// Check files and report every mistake in them
    Validate(validate::Args),
    /// Show what a run of a workflow would do and how long it would take; changes nothing
    Plan(plan::Args),
    /// Draw the steps of a workflow and why each waits for others
    Graph(graph::Args),
    /// Show what would begin runs of a workflow, and when
    Triggers(triggers::Args),
    /// See and lock the plugins that files use
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Lay files out alike; keeps every comment and what they say
    Fmt(format::Args),
    /// Explain a diagnostic's code
    Explain(explain::Args),
    /// Show what a step can use: parameters, outputs, effects, errors
    Actions(actions::Args),
    /// Print the JSON Schema of a kind of files, for editors
    Schema(schema::Args),
    /// Show the functions of expressions: types, an example, its value
    Functions(functions::Args),
    /// Test workflows under a virtual clock: mocks, expectations, faults; touches nothing
    Test(test::Args),
    /// Run a workflow
    Run(run::Args),
    /// Show how runs stand
    Status(status::Args),
    /// Show a run as it goes on, whoever drives it
    Watch(watch::Args),
    /// Say what a step waits for, and when it is expected to begin
    Why(why::Args),
    /// Say yes to what a step of a run asks
    Approve(answer::Decision),
    /// Say no to what a step of a run asks
    Reject(answer::Decision),
    /// Tell a run that something has happened that its steps wait for
    Signal(answer::Signal),
    /// Give a run up: undo what can be undone, or leave all as it is
    Cancel(answer::Cancel),
    /// Hold a run: no further step begins
    Pause(answer::Hold),
    /// Let a run go on that is held
    Unpause(answer::Hold),
    /// Go on with a run that was interrupted or needed an operator
    Resume(resume::Args),
    /// Go on with a run whose controller is lost with its disk, from the records that a site has kept
    Adopt(adopt::Args),
    /// Show how a run would go on from where it is, in simulation, also with less of what its steps share
    Fork(fork::Args),
    /// List, show and delete runs
    #[command(subcommand)]
    Runs(runs::Command),
    /// Show a run again from its records, and write its report again
    Replay(replay::Args),
    /// Read what is written down about runs
    #[command(subcommand)]
    Journal(journal::Command),
    /// Start, stop and find VMs
    #[command(subcommand)]
    Vm(vm::Command),
    /// See what a client sees: gaps, lost lines, failed requests
    Observe(observe::Args),
    /// Make, disturb and remove two emulated sites on this machine
    #[command(subcommand)]
    Lab(lab::Command),
    /// Make certificates with the built-in authority
    #[command(subcommand)]
    Ca(ca::Command),
    /// Run the agent of a site
    Agent(agent::Args),
    /// Show the settings and where each comes from
    #[command(subcommand)]
    Config(config::Command),
    /// Compare a move with a named peer on this machine. Needs root
    #[command(hide = true)]
    Bench(bench::Args),
    /// Run steps that do nothing; `bench engine` starts this
    #[command(hide = true)]
    BenchWorker(bench_worker::Args),
    /// Write the generated files of the source tree
    #[command(name = "gen", hide = true)]
    Generate(generate::Args),
    /// Serve the disk of one VM; agents start this
    #[command(hide = true)]
    DiskServer(disk_server::Args),
    /// Emulate the WAN of a lab; `lab up` starts this
    #[command(hide = true)]
    LabWan(lab_wan::Args),
}

/// Carries out a command and returns the process's exit code.
pub(crate) fn dispatch(command: Command, settings: &Settings) -> Result<u8> {
    match command {
        Command::Demo(args) => demo::run(&args, settings),
        Command::Init(args) => init::run(&args),
        Command::Validate(args) => validate::run(&args),
        Command::Plan(args) => plan::run(&args, settings),
        Command::Graph(args) => graph::run(&args),
        Command::Triggers(args) => triggers::run(&args),
        Command::Plugin(command) => plugin::run(command),
        Command::Fmt(args) => format::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Actions(args) => actions::run(&args),
        Command::Functions(args) => functions::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Run(args) => run::run(&args, settings),
        Command::Status(args) => status::run(&args, settings),
        Command::Watch(args) => watch::run(&args, settings),
        Command::Why(args) => why::run(&args, settings),
        Command::Approve(args) => answer::decide(&args, Vote::Approve, settings),
        Command::Reject(args) => answer::decide(&args, Vote::Reject, settings),
        Command::Signal(args) => answer::signal(&args, settings),
        Command::Cancel(args) => answer::cancel(&args, settings),
        Command::Pause(args) => answer::pause(&args, settings),
        Command::Unpause(args) => answer::unpause(&args, settings),
        Command::Resume(args) => resume::run(&args, settings),
        Command::Adopt(args) => adopt::run(&args, settings),
        Command::Fork(args) => fork::run(&args, settings),
        Command::Runs(command) => runs::run(command, settings),
        Command::Replay(args) => replay::run(&args, settings),
        Command::Journal(command) => journal::run(command, settings),
        Command::Vm(command) => vm::run(command, settings),
        Command::Observe(args) => observe::run(&args, settings),
        Command::Lab(command) => lab::run(command, settings),
        Command::Ca(command) => ca::run(command, settings),
        Command::Agent(args) => agent::run(&args),
        Command::Config(config::Command::Show(args)) => Ok(config::show(&args, settings)),
        Command::Bench(args) => bench::run(args, settings),
        Command::BenchWorker(args) => bench_worker::run(&args),
        Command::Generate(args) => generate::run(&args, settings),
        Command::DiskServer(args) => disk_server::run(&args),
        Command::LabWan(args) => lab_wan::run(&args),
    }
}

/// Runs asynchronous work to its end on a runtime of its own.
fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.doing(exit_code::FAILED, || "start the runtime".to_owned())?.block_on(work)
}

/// Runs blocking work that ends by itself when a process it started is interrupted. The signal reaches that process as
/// well; here it only must not kill, so that everything is cleaned up.
pub(crate) fn until_interrupted<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    noticing_interrupts(|_| work())
}

/// The same for work in several parts, which is told to begin no further one.
pub(crate) fn noticing_interrupts<T>(work: impl FnOnce(&AtomicBool) -> Result<T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.doing(exit_code::FAILED, || "start the runtime".to_owned())?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&interrupted);
    let heard = runtime.spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            told.store(true, Ordering::Relaxed);
            crate::output::talk("interrupted; cleaning up");
        }
    });
    let done = work(&interrupted);
    heard.abort();
    done
}
