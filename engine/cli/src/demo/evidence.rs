//! What was seen of a move.

use std::net::Ipv4Addr;

use longhaul_lab::client::ClientView;
use longhaul_lab::guest::Verification;
use longhaul_lab::observer::ObserverView;
use longhaul_lab::place::{Place, Side};
use longhaul_lab::{Lab, addresses, client};
use longhaul_saga::report::{DiskProof, MovedVm};
use longhaul_saga::{Record, Report};

/// Everything the verdict and the figures are made of.
#[derive(Debug, Clone, Default)]
pub(super) struct Evidence {
    /// The exit code of the run.
    pub(super) code: Option<i32>,
    pub(super) client: ClientView,
    pub(super) observer: ObserverView,
    /// The guest read all its memory and disk again after the move; none if it did not answer.
    pub(super) guest: Option<Verification>,
    /// The same with the link to A cut, asked at its address at B.
    pub(super) guest_alone: Option<Verification>,
    /// What each site's DNS server answers.
    pub(super) answers: Vec<(Side, Option<Ipv4Addr>)>,
    /// Whether a QEMU is left at A.
    pub(super) left_at_a: bool,
    /// Bytes on the WAN during the run.
    pub(super) wire_bytes: u64,
    pub(super) said: Said,
}

/// What the run's own report says of the one VM, for the figures.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Said {
    /// From the run's start until the guest ran at B.
    pub(super) total_ms: Option<u64>,
    /// From the run's start until B needed nothing of A.
    pub(super) independent_ms: Option<u64>,
    pub(super) moved: Option<MovedVm>,
    pub(super) disk: Option<DiskProof>,
}

impl Said {
    pub(super) fn of(records: &[Record]) -> Self {
        let Some(report) = Report::fold(records) else { return Self::default() };
        Self {
            total_ms: report.runs_at_ms,
            independent_ms: report.independent_ms,
            moved: report.moved.into_iter().next(),
            disk: report.disks.into_iter().next(),
        }
    }
}

/// What both sites' DNS servers answer for the VM, asked from the client's place.
pub(super) fn answers(lab: &Lab) -> Vec<(Side, Option<Ipv4Addr>)> {
    let name = format!("{}.{}", lab.vm(), addresses::ZONE);
    let ask = |side| {
        let server = (addresses::edge(side), addresses::DNS_PORT).into();
        let asked = lab.netns(Place::Client).run(|| client::query(server, &name));
        asked.ok().and_then(Result::ok).map(|answer| answer.address)
    };
    Side::BOTH.map(|side| (side, ask(side))).into()
}

/// Whether a QEMU runs at a site.
pub(super) fn has_qemu(lab: &Lab, side: Side) -> bool {
    let of_side = |site: &&longhaul_lab::SiteStatus| site.side == side;
    let status = lab.status();
    let processes = status.sites.iter().find(of_side).map_or(&[][..], |site| &site.processes);
    processes.iter().any(|process| process.command.contains("qemu-system"))
}
