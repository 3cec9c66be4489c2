//! What was seen of a move, and how it is looked at.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use longhaul_lab::client::{ClientView, Observation};
use longhaul_lab::guest::{Sampler, Samples, Verification};
use longhaul_lab::observer::{Observer, ObserverView};
use longhaul_lab::place::{Place, Side};
use longhaul_lab::{Lab, addresses, client};
use longhaul_model::ids::RunId;
use longhaul_run::Reader;
use longhaul_saga::report::{DiskProof, MovedVm};
use longhaul_saga::{Record, Report};
use serde_json::{Value, json};

use super::stage::Stage;
use super::verdict::Check;
use crate::commands::observe;
use crate::errors::{Explain as _, Result};
use crate::settings::Settings;
use crate::{exit_code, output};

/// Everything the verdict and the figures are made of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evidence {
    /// The exit code of the run.
    pub(crate) code: Option<i32>,
    pub(crate) client: ClientView,
    pub(crate) observer: ObserverView,
    /// A read all over the disk in the moment in which the guest came to B.
    pub(crate) cold_read: Option<Samples>,
    /// The guest read all its memory and disk again after the move; none if it did not answer.
    pub(crate) guest: Option<Verification>,
    /// The same with the link to A cut, asked at its address at B.
    pub(crate) guest_alone: Option<Verification>,
    /// What each site's DNS server answers.
    pub(crate) answers: Vec<(Side, Option<Ipv4Addr>)>,
    /// Whether a QEMU is left at A.
    pub(crate) left_at_a: bool,
    /// The same at B.
    pub(crate) left_at_b: bool,
    /// Bytes on the WAN during the run.
    pub(crate) wire_bytes: u64,
    pub(crate) said: Said,
}

/// What the run's own report says of the one VM, for the figures.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Said {
    /// From the run's start until the guest ran at B.
    pub(crate) total_ms: Option<u64>,
    /// From the run's start until B needed nothing of A.
    pub(crate) independent_ms: Option<u64>,
    pub(crate) moved: Option<MovedVm>,
    pub(crate) disk: Option<DiskProof>,
}

impl Said {
    pub(crate) fn of(records: &[Record]) -> Self {
        let Some(report) = Report::fold(records) else { return Self::default() };
        Self {
            total_ms: report.runs_at_ms,
            independent_ms: report.independent_ms,
            moved: report.moved.into_iter().next(),
            disk: report.disks.into_iter().next(),
        }
    }
}

/// How often it is looked whether the guest has come to B.
const ARRIVAL_LOOK: Duration = Duration::from_millis(5);

/// For how long the guest reads on at B.
const COLD_READS: Duration = Duration::from_secs(1);

/// Waits until the guest runs at B, or the move is over, and makes it read all over its disk again and again, as a busy guest
/// would: some of that is a little too early for the background fill. It is connected before the move, for the fill does
/// not wait. The slowest round, or one that read something wrong.
pub(crate) fn cold_read(sampler: Sampler, observer: &Observer, over: &AtomicBool) -> Option<Samples> {
    while observer.runs_at() != Some(Side::B) {
        if over.load(Ordering::Relaxed) {
            return None;
        }
        std::thread::sleep(ARRIVAL_LOOK);
    }
    let arrived = Instant::now();
    let mut worst: Option<Samples> = None;
    let judge = |round: Samples| {
        worst = worst.into_iter().chain([round]).max_by_key(|it| (it.bad, it.took_ms));
        arrived.elapsed() < COLD_READS
    };
    // Whether it answered to the end says its other connections.
    let _ = sampler.read(judge);
    worst
}

/// How long a client may take to ask for the name again and to be served where it leads then.
const FOLLOWED_MAX: Duration = Duration::from_secs(addresses::TTL_SECONDS as u64 + 5);

/// How often it is looked whether it was.
const FOLLOWED_LOOK: Duration = Duration::from_millis(50);

/// Waits until the client's requests by name are served where the name leads now; not for ever, for what it saw is judged
/// later. A client that makes no requests is not waited for.
fn let_follow(observation: &Observation, answers: &[(Side, Option<Ipv4Addr>)]) {
    let end = Instant::now() + FOLLOWED_MAX;
    let there = |view: &ClientView| answers.iter().all(|(_, it)| it.is_some_and(|it| view.followed_to(it)));
    loop {
        let view = observation.view();
        if view.requests == 0 || there(&view) || Instant::now() > end {
            return;
        }
        std::thread::sleep(FOLLOWED_LOOK);
    }
}

/// Looks at everything there is to see after the move. The link is cut last: the client's old connection needs it.
pub(crate) fn gather(stage: &Stage, observation: Observation, observer: Observer) -> Evidence {
    let lab = stage.lab();
    let guest = lab.guest().verify().ok();
    let answers = answers(lab);
    let_follow(&observation, &answers);
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
        left_at_a: has_qemu(lab, Side::A),
        left_at_b: has_qemu(lab, Side::B),
        ..Evidence::default()
    }
}

/// Adds what was seen and what was found of it to the run, so that its report shows both.
pub(crate) fn write_down(
    run: &RunId,
    evidence: &Evidence,
    checks: &[Check],
    settings: &Settings,
) -> Result<()> {
    let views = [
        ("client", observe::payload(&evidence.client)?),
        ("observer", observe::payload(&evidence.observer)?),
        ("wan", json!({ "wire_bytes": evidence.wire_bytes })),
        ("verdict", verdict(checks)),
    ];
    observe::write_down(run, views, settings)
}

/// The checks as the run's report reads them.
fn verdict(checks: &[Check]) -> Value {
    let one = |check: &Check| json!({ "name": check.what, "ok": check.holds, "seen": check.seen });
    json!({ "checks": checks.iter().map(one).collect::<Vec<_>>() })
}

/// The run's records as they are now.
pub(crate) fn records(run: &RunId, settings: &Settings) -> Result<Vec<Record>> {
    Ok(Reader::open(&settings.controller())?.records(run)?)
}

/// Bytes on the WAN since it was started, both directions.
pub(crate) fn wire_bytes(lab: &Lab) -> Result<u64> {
    let stats = lab.wan().stats().doing(exit_code::FAILED, || "read the WAN's figures".to_owned())?;
    Ok(stats.wire_bytes())
}

/// What both sites' DNS servers answer for the VM, asked from the client's place.
fn answers(lab: &Lab) -> Vec<(Side, Option<Ipv4Addr>)> {
    let name = format!("{}.{}", lab.vm(), addresses::ZONE);
    let ask = |side| {
        let server = (addresses::edge(side), addresses::DNS_PORT).into();
        let asked = lab.netns(Place::Client).run(|| client::query(server, &name));
        asked.ok().and_then(std::result::Result::ok).map(|answer| answer.address)
    };
    Side::BOTH.map(|side| (side, ask(side))).into()
}

/// Whether a QEMU runs at a site.
fn has_qemu(lab: &Lab, side: Side) -> bool {
    let of_side = |site: &&longhaul_lab::SiteStatus| site.side == side;
    let status = lab.status();
    let processes = status.sites.iter().find(of_side).map_or(&[][..], |site| &site.processes);
    processes.iter().any(|process| process.command.contains("qemu-system"))
}

#[cfg(test)]
mod tests {
    use longhaul_saga::report::Verdict;

    use super::*;
    use crate::rehearsal::verdict::judge;
    use crate::rehearsal::verdict::tests::good;

    /// What is written down of a verdict is what a report reads: the same checks, and red as soon as one fails.
    #[test]
    fn a_report_reads_the_verdict() {
        let read = |evidence: &Evidence| Verdict::of(&verdict(&judge(evidence)));
        assert!(!read(&good()).is_red());
        assert_eq!(read(&good()).checks.len(), judge(&good()).len());
        let red = read(&Evidence { left_at_a: true, ..good() });
        assert_eq!(
            red.failed().map(|check| check.name.as_str()).collect::<Vec<_>>(),
            ["the guest is gone at a"]
        );
    }
}
