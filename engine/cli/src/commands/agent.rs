//! `longhaul agent`: the agent of one site, until it is told to stop.

use std::path::PathBuf;

use clap::ValueEnum;
use longhaul_agent::Options;
use longhaul_agent::faults::Faults;
use longhaul_agent::handover::Breaks;
use longhaul_dataplane::disk;
use longhaul_model::parse_site;
use tokio::signal::unix::{SignalKind, signal};

use crate::commands::{block_on, documents};
use crate::errors::{Explain as _, Result};
use crate::exit_code;
use crate::settings::invalid;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The site's file
    #[arg(long, value_name = "FILE")]
    site: PathBuf,
    /// Breaks one thing, to prove that the checks notice
    #[arg(long = "break", value_name = "WHAT", hide = true)]
    broken: Option<Break>,
    /// Socket of a test that is told of the points of a move
    #[arg(long, value_name = "SOCKET", hide = true)]
    fault_points: Option<PathBuf>,
}

/// What an agent, or a disk server that it starts, can break on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Break {
    /// The last dirty round is empty.
    SkipLastDirtyRound,
    /// A byte of a guest page is flipped on the way.
    FlipPage,
    /// Source and target run at once.
    SecondRunner,
    /// A guest's write is acknowledged and not stored.
    LoseWrite,
    /// A fetched block is stored wrong.
    CorruptFetch,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let site = parse_site(&documents::source(&args.site)?).map_err(|found| invalid(&found))?;
    let id = site.id.clone();
    block_on(async {
        let agent = longhaul_agent::run(site, options(args), told_to_stop());
        agent.await.doing(exit_code::FAILED, || format!("run the agent of site {id}"))
    })?;
    Ok(exit_code::OK)
}

fn options(args: &Args) -> Options {
    let broken = |what| args.broken == Some(what);
    Options {
        breaks: Breaks {
            skip_last_dirty_round: broken(Break::SkipLastDirtyRound),
            second_runner: broken(Break::SecondRunner),
            flip_page: if broken(Break::FlipPage) {
                longhaul_lab::guest::page_mark().to_vec()
            } else {
                Vec::new()
            },
        },
        disk_faults: disk::Faults {
            corrupt_fetch: broken(Break::CorruptFetch).then_some(FAULTY_COUNT),
            lose_write: broken(Break::LoseWrite).then_some(FAULTY_COUNT),
        },
        faults: args.fault_points.as_deref().map_or_else(Faults::none, Faults::controlled),
        program: None,
    }
}

/// Which fetch or write a disk server gets wrong: one from the middle of things.
const FAULTY_COUNT: u64 = 20;

async fn told_to_stop() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
