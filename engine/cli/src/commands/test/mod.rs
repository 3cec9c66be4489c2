//! `longhaul test`: the cases of test files, simulated and judged; nothing outside is touched.

mod find;
mod journals;
mod json;
mod junit;
mod parallel;
mod play;
mod policies;
mod review;
mod show;
mod snapshots;

use std::path::{Path, PathBuf};
use std::time::Instant;

use longhaul_model::diagnostic::Diagnostics;
use longhaul_sim::PolicySuite;
use longhaul_sim::suite::Suite;
use play::Played;
use snapshots::Kept;

use crate::commands::suites::Cases;

pub(crate) use journals::{OfCase, of_files};

use crate::errors::{Explain as _, Failure, Result};
use crate::settings::invalid;
use crate::{exit_code, output};

/// The seed of the draws, and the one that snapshots are made with.
const SEED: u64 = 1;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Test files, and folders in which every *.test.yaml of Longhaul's is one
    #[arg(value_name = "FILE|DIR", default_value = ".")]
    paths: Vec<PathBuf>,

    /// Only cases whose name holds this text
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Write a JUnit report
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Show each snapshot that is not as it was, and ask whether to accept it
    #[arg(long)]
    review: bool,

    /// Accept every snapshot as it is now
    #[arg(long, conflicts_with = "review")]
    accept: bool,

    /// Write the journal of each case here, of one that sweeps with the fault in the middle of its sweep; `longhaul replay --file` shows it
    #[arg(long, value_name = "DIR")]
    journals: Option<PathBuf>,

    /// Seed of the random draws; with another one than 1 no snapshots are compared
    #[arg(long, default_value_t = SEED)]
    seed: u64,
}

/// Every case of every file, judged.
struct Tested {
    cases: Vec<Played>,
    /// Snapshots that belong to no case any more.
    stale: Vec<PathBuf>,
    /// Files whose cases could not be tried.
    broken: Of<Diagnostics>,
    seed: u64,
    took_ms: u64,
}

impl Tested {
    fn runs(&self) -> usize {
        self.cases.iter().map(|case| case.runs).sum()
    }

    fn simulated_ms(&self) -> u64 {
        self.cases.iter().map(|case| case.simulated_ms).sum()
    }

    fn is_fine(&self) -> bool {
        self.broken.is_empty() && self.stale.is_empty() && self.cases.iter().all(Played::is_fine)
    }
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let tried = tried(args);
    if let (Err(failure), Some(file)) = (&tried, &args.junit) {
        write_junit(file, &junit::refused(&failure.in_one_line()))?;
    }
    let tested = tried?;
    tell(args, &tested)?;
    Ok(if !tested.broken.is_empty() {
        exit_code::INVALID_FILE
    } else if tested.is_fine() {
        exit_code::OK
    } else {
        exit_code::CHECK_FAILED
    })
}

/// Every case that is meant, judged, and what is kept of them settled.
fn tried(args: &Args) -> Result<Tested> {
    let files = find::files(&args.paths)?;
    if files.is_empty() {
        let failure = Failure::said(exit_code::USAGE, "there is no test file, no *.test.yaml");
        return Err(failure.advise("name a file or a folder"));
    }
    let began = Instant::now();
    let (suites, asked, broken) = apart(find::load(&files));
    if !args.json {
        broken.iter().for_each(|(_, found)| output::raw_talk(&found.render(output::has_terminal())));
    }
    if let Some(folder) = &args.journals {
        journals::write(&suites, args.filter.as_deref(), args.seed, folder)?;
    }
    let mut cases = play::all(&suites, args.filter.as_deref(), args.seed);
    cases.extend(policies::all(&asked, args.filter.as_deref()));
    if cases.is_empty() && broken.is_empty() {
        let which =
            args.filter.as_ref().map_or_else(String::new, |text| format!(" whose name holds `{text}`"));
        return Err(Failure::said(exit_code::USAGE, format!("there is no case{which}")));
    }
    let mut stale = Vec::new();
    if args.seed == SEED {
        cases
            .iter_mut()
            .filter(|case| case.has_snapshot())
            .for_each(|case| case.snapshot = snapshots::compare(&case.snapshot_file, &case.summary));
        if args.filter.is_none() {
            stale = snapshots::stale(&suites, &cases);
        }
    }
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut tested = Tested { cases, stale, broken, seed: args.seed, took_ms };
    settle_snapshots(args, &mut tested)?;
    Ok(tested)
}

/// Plays the cases of one test file of a workflow and writes their snapshots, which it names.
///
/// # Errors
///
/// Everything that is wrong with the file, and which file cannot be read or written.
pub(super) fn accept(file: &Path) -> Result<Vec<PathBuf>> {
    let (suites, _, broken) = apart(find::load(&[file.to_owned()]));
    if let Some((_, found)) = broken.into_iter().next() {
        return Err(invalid(&found));
    }
    let cases = play::all(&suites, None, SEED);
    for case in &cases {
        snapshots::write(&case.snapshot_file, &case.summary)?;
    }
    Ok(cases.into_iter().map(|case| case.snapshot_file).collect())
}

type Of<T> = Vec<(PathBuf, T)>;

/// Tests of workflows, tests of policies, and what is wrong with the files that are no good.
fn apart(loaded: Vec<find::Loaded>) -> (Of<Suite>, Of<PolicySuite>, Of<Diagnostics>) {
    let (mut suites, mut asked, mut broken) = (Vec::new(), Vec::new(), Vec::new());
    for (file, cases) in loaded {
        match cases {
            Ok(Cases::Workflow(suite)) => suites.push((file, suite)),
            Ok(Cases::Policy(suite)) => asked.push((file, suite)),
            Err(found) => broken.push((file, found)),
        }
    }
    (suites, asked, broken)
}

/// Writes what is accepted, and removes what is stale then.
fn settle_snapshots(args: &Args, tested: &mut Tested) -> Result<()> {
    if args.review {
        review::ask(tested, &mut std::io::stdin().lock())?;
    } else if args.accept {
        for case in tested.cases.iter_mut().filter(|case| case.may_be_accepted()) {
            snapshots::write(&case.snapshot_file, &case.summary)?;
            case.snapshot = Kept::Accepted;
        }
    }
    if args.accept {
        for file in std::mem::take(&mut tested.stale) {
            std::fs::remove_file(&file).doing(exit_code::FAILED, || format!("remove {}", file.display()))?;
        }
    }
    Ok(())
}

fn tell(args: &Args, tested: &Tested) -> Result<()> {
    if args.json {
        output::json(&json::of(tested));
    } else {
        output::raw(&show::text(tested));
    }
    if let Some(file) = &args.junit {
        write_junit(file, &junit::page(tested))?;
    }
    Ok(())
}

fn write_junit(file: &Path, page: &str) -> Result<()> {
    std::fs::write(file, page).doing(exit_code::FAILED, || format!("write {}", file.display()))
}
