//! The tunnels to the other sites: one each, up for as long as both agents are.
//!
//! Of two sites the one whose id sorts first dials. Lanes are there before anybody needs them, and come back by
//! themselves after a cut or a restart, whichever side was restarted.

mod traffic;

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use longhaul_dataplane::tunnel::{
    Class as Priority, Config, ECHO_SERVICE, Incoming, Lane, Stats, Stream, Tunnel, serve_echo,
};
use longhaul_model::site::{PeerSite, Site};
use longhaul_wire::Identity;
use longhaul_wire::tls::{Accepted, Connector, Protocol};
use longhaul_wire::v1;
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use self::traffic::{Beginnings, Traffic};
use crate::agent::Agent;
use crate::error::{Class, Error, chain};
use crate::moves::INCOMING;
use crate::operations::Asked;

/// How long a tunnel may take to have all its lanes.
const READY_MAX: Duration = Duration::from_secs(20);
/// How long the link is loaded in one round.
const ROUND: Duration = Duration::from_millis(700);
/// BBR's first round trips look for the rate and overfill the queue on purpose, and what is carried or lost then says little
/// about the link. So the best of at most so many rounds counts,
const ROUNDS_MAX: usize = 3;
/// and one that carries no more than this, in percent of the best before it, is the last.
const SETTLED_PERCENT: u64 = 110;
/// How long a measurement is good for: it costs as many bytes as a small disk.
const MEASURED_FOR: Duration = Duration::from_secs(60);
/// Pause before the stream for client packets is opened again after it ended.
const REOPEN_AFTER: Duration = Duration::from_millis(200);
/// Bytes of a full TCP segment on an Ethernet path, for the share of segments sent again.
const SEGMENT_BYTES: u64 = 1448;

/// One lane for what somebody waits for, one for everything. More BBR flows over one link overfill a queue of less than
/// one and a half bandwidth-delay products and lose a tenth of what they send (measured at 100 Mbit/s, 50 ms, 512 KiB).
const LANES: u16 = 2;

/// Half of what 100 Mbit/s hold over 150 ms: a stream that begins with less waits for its window, round trip by round trip.
const WINDOW_BYTES_INITIAL: u32 = 1024 * 1024;
/// Their first windows together are the bound of what may lie unread.
const STREAMS_MAX: usize = 128;

/// The tunnel's service for client packets.
const PACKETS: &str = "packets";
/// The tunnel's service for disks.
const DISK: &str = "disk/";

/// Every tunnel of a site.
pub(crate) struct Tunnels {
    links: HashMap<String, Link>,
}

struct Link {
    tunnel: Tunnel,
    dials: bool,
    measured: Mutex<Option<(Instant, v1::PeerLink)>>,
    beginnings: StdMutex<Beginnings>,
}

impl Tunnels {
    /// A tunnel to each peer; those that this site dials are dialled from now on.
    pub(crate) fn new(site: &Site, connector: &Connector) -> Result<Self, Error> {
        let link = |peer: &PeerSite| Ok((peer.id.to_string(), Link::new(site, peer, connector)?));
        Ok(Self { links: site.peers.iter().map(link).collect::<Result<_, Error>>()? })
    }

    /// Serves the streams that the peers open, and keeps the ways of client packets open.
    pub(crate) fn serve(agent: &Arc<Agent>) {
        for (peer, link) in &agent.tunnels.links {
            tokio::spawn(accept(Arc::clone(agent), peer.clone(), link.tunnel.clone()));
            if link.dials {
                tokio::spawn(keep_packets(Arc::clone(agent), peer.clone(), link.tunnel.clone()));
            }
        }
    }

    fn link(&self, peer: &str) -> Result<&Link, Error> {
        self.links.get(peer).ok_or_else(|| {
            Error::new(
                Class::Precondition,
                format!("site `{peer}` is not among this site's peers: add it to the site file"),
            )
        })
    }

    /// Takes a lane that a peer dialled.
    pub(crate) async fn accept_lane(&self, accepted: Accepted) {
        let peer = accepted.peer.to_string();
        let attached = async {
            let Identity::Site(site) = &accepted.peer else { return Err("only sites have lanes".to_owned()) };
            let link = self.link(site).map_err(|error| error.to_string())?;
            let lane = Lane::new(accepted.stream, |tls| tls.get_ref().0.as_fd())
                .map_err(|error| error.to_string())?;
            link.tunnel.attach(lane).await.map_err(|error| chain(&error))
        };
        if let Err(error) = attached.await {
            tracing::warn!(peer, error, "a lane was refused");
        }
    }

    /// Waits until the tunnel to a peer is up.
    pub(crate) async fn ensure(&self, peer: &str) -> Result<(), Error> {
        let ready = self.link(peer)?.tunnel.ready(READY_MAX).await;
        ready.map_err(|error| {
            let message = format!(
                "no tunnel to site {peer}: {}: see whether its agent runs and the link is up",
                chain(&error)
            );
            Error::new(Class::Unreachable, message)
        })
    }

    /// Opens a stream to a service of a peer.
    pub(crate) async fn open(&self, peer: &str, service: &str, priority: Priority) -> Result<Stream, Error> {
        let opened = self.link(peer)?.tunnel.open(service, priority).await;
        opened.map_err(|error| {
            Error::new(Class::Unreachable, format!("no stream to site {peer}: {}", chain(&error)))
        })
    }

    /// The round trip as the lanes' sockets see it now, if there is a lane.
    pub(crate) fn rtt(&self, peer: &str) -> Option<Duration> {
        let stats = self.link(peer).ok()?.tunnel.stats();
        stats
            .lanes
            .iter()
            .filter(|lane| lane.up && lane.rtt_us > 0)
            .map(|lane| Duration::from_micros(lane.rtt_us))
            .min()
    }

    /// What the link to a peer carries: measured a moment ago, or now by loading it.
    pub(crate) async fn measure(&self, peer: &str) -> Result<v1::PeerLink, Error> {
        self.ensure(peer).await?;
        let link = self.link(peer)?;
        let mut last = link.measured.lock().await;
        if let Some((at, measured)) = &*last
            && at.elapsed() < MEASURED_FOR
        {
            return Ok(*measured);
        }
        let measured = load(&link.tunnel).await.map_err(|error| {
            Error::new(
                Class::Unreachable,
                format!("the link to site {peer} cannot be measured: {}", chain(&error)),
            )
        })?;
        *last = Some((Instant::now(), measured));
        Ok(measured)
    }

    /// From now on what the tunnel to a peer carries counts for this run. Only the first call for a run does anything.
    pub(crate) fn begin(&self, peer: &str, run: &str) {
        let Ok(link) = self.link(peer) else { return };
        let now = Traffic::of(&link.tunnel.stats());
        link.beginnings.lock().unwrap_or_else(PoisonError::into_inner).begin(run, now);
    }

    /// What the tunnel to a peer has carried since the run began to use it, or since this process made the tunnel.
    pub(crate) fn carried(&self, peer: &str, run: &str) -> Traffic {
        let Ok(link) = self.link(peer) else { return Traffic::default() };
        let now = Traffic::of(&link.tunnel.stats());
        link.beginnings.lock().unwrap_or_else(PoisonError::into_inner).since(run, now)
    }
}

impl Link {
    fn new(site: &Site, peer: &PeerSite, connector: &Connector) -> Result<Self, Error> {
        let dials = site.id < peer.id;
        let (first, second) = if dials { (&site.id, &peer.id) } else { (&peer.id, &site.id) };
        let config = Config {
            id: tunnel_id(first.as_str(), second.as_str()),
            lanes: LANES,
            notsent_lowat_bytes: 128 * 1024,
            window_bytes_initial: WINDOW_BYTES_INITIAL,
            streams_max: STREAMS_MAX,
            ..Config::default()
        };
        let tunnel = if dials { dial(config, peer, connector)? } else { Tunnel::accepting(config) };
        Ok(Self { tunnel, dials, measured: Mutex::default(), beginnings: StdMutex::default() })
    }
}

/// The same at both ends, and different for every pair of sites.
fn tunnel_id(first: &str, second: &str) -> u64 {
    let hash = blake3::hash(format!("{first} {second}").as_bytes());
    u64::from_le_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
}

fn dial(config: Config, peer: &PeerSite, connector: &Connector) -> Result<Tunnel, Error> {
    let identity =
        Identity::site(peer.id.as_str()).map_err(|error| Error::internal("naming a peer", &error))?;
    let (address, connector) = (peer.address.to_string(), connector.clone());
    Ok(Tunnel::dial(config, move |_lane: u16| {
        let (address, connector, identity) = (address.clone(), connector.clone(), identity.clone());
        async move {
            let connected = connector.connect(&address, &identity, Protocol::Lane).await;
            let stream = connected.map_err(|error| io::Error::other(chain(&error)))?;
            Lane::new(stream, |tls| tls.get_ref().0.as_fd())
        }
    }))
}

async fn accept(agent: Arc<Agent>, peer: String, tunnel: Tunnel) {
    while let Ok(incoming) = tunnel.accept().await {
        tokio::spawn(serve_stream(Arc::clone(&agent), peer.clone(), incoming));
    }
}

async fn serve_stream(agent: Arc<Agent>, peer: String, incoming: Incoming) {
    let Incoming { service, class, stream } = incoming;
    tracing::debug!(peer, service, %class, "a stream was opened");
    if let Some(vm) = service.strip_prefix(INCOMING) {
        agent.receive_vm(vm, stream).await;
    } else if let Some(vm) = service.strip_prefix(DISK) {
        serve_disk(&agent, vm, stream).await;
    } else if service == PACKETS {
        carry_packets(&agent, &peer, stream).await;
    } else if service == ECHO_SERVICE {
        let _ = serve_echo(stream).await;
    } else {
        tracing::warn!(peer, service, "a stream to an unknown service was closed");
    }
}

/// Joins a stream with the VM's disk server. Its end, on either side, is the other's end too.
async fn serve_disk(agent: &Agent, vm: &str, mut stream: Stream) {
    let Ok(vm) = crate::prefetch::vm_id(vm) else { return };
    match UnixStream::connect(agent.folder.disk_origin(&vm)).await {
        Ok(mut disk) => drop(tokio::io::copy_bidirectional(&mut stream, &mut disk).await),
        Err(error) => tracing::debug!(%vm, %error, "the disk server of an origin is not there"),
    }
}

async fn carry_packets(agent: &Agent, peer: &str, stream: Stream) {
    if let Err(error) = agent.edge.pump(peer, stream).await {
        tracing::debug!(peer, error = chain(&error), "a stream of client packets ended");
    }
}

/// Keeps a stream for client packets open; packets wait in the edge while there is none.
async fn keep_packets(agent: Arc<Agent>, peer: String, tunnel: Tunnel) {
    loop {
        if tunnel.ready(READY_MAX).await.is_ok()
            && let Ok(stream) = tunnel.open(PACKETS, Priority::Packets).await
        {
            carry_packets(&agent, &peer, stream).await;
        }
        sleep(REOPEN_AFTER).await;
    }
}

/// Loads the link and says what it carries.
async fn load(tunnel: &Tunnel) -> io::Result<v1::PeerLink> {
    let mut best = v1::PeerLink { rtt_us: u64::MAX, bits_per_second: 0, loss_percent: 100.0 };
    for _ in 0..ROUNDS_MAX {
        let before = tunnel.stats();
        let measured = tunnel.measure(ROUND).await?;
        best.rtt_us = best.rtt_us.min(u64::try_from(measured.rtt.as_micros()).unwrap_or(u64::MAX));
        best.loss_percent = best.loss_percent.min(repeated_percent(&before, &tunnel.stats()));
        let settled = measured.bits_per_second <= best.bits_per_second.saturating_mul(SETTLED_PERCENT) / 100;
        best.bits_per_second = best.bits_per_second.max(measured.bits_per_second);
        if settled {
            break;
        }
    }
    Ok(best)
}

/// The share of segments that were sent again in between, in percent.
#[expect(clippy::cast_precision_loss, reason = "a share of counters that fit into 52 bits")]
fn repeated_percent(before: &Stats, after: &Stats) -> f64 {
    let totals = |stats: &Stats| {
        let sum =
            |of: fn(&longhaul_dataplane::tunnel::LaneStats) -> u64| stats.lanes.iter().map(of).sum::<u64>();
        (sum(|lane| lane.bytes_sent), sum(|lane| lane.retransmits))
    };
    let ((bytes_before, repeats_before), (bytes_after, repeats_after)) = (totals(before), totals(after));
    let segments = bytes_after.saturating_sub(bytes_before) / SEGMENT_BYTES;
    repeats_after.saturating_sub(repeats_before) as f64 * 100.0 / segments.max(1) as f64
}

impl Agent {
    /// Sees to it that the tunnel to a peer is up, and measures the link.
    pub(crate) async fn open_tunnel(
        &self,
        wanted: &v1::OpenTunnel,
        asked: &Asked<'_>,
    ) -> Result<v1::TunnelOpened, Error> {
        asked.task.phase("connecting lanes");
        self.tunnels.begin(&wanted.peer, asked.run);
        self.tunnels.ensure(&wanted.peer).await?;
        let lanes = self.tunnels.link(&wanted.peer)?.tunnel.lanes();
        if wanted.lanes != 0 && wanted.lanes != u32::from(lanes) {
            let message = format!(
                "the tunnel to site {} has {lanes} lanes, {} were asked for: leave `lanes` out",
                wanted.peer, wanted.lanes
            );
            return Err(Error::new(Class::Precondition, message));
        }
        if wanted.pacing_bits_per_second != 0 {
            return Err(Error::new(
                Class::Precondition,
                "a pacing cap cannot be set in this version: leave it out",
            ));
        }
        asked.task.phase("measuring the link");
        let link = self.tunnels.measure(&wanted.peer).await?;
        let Traffic { lanes, .. } = self.tunnels.carried(&wanted.peer, asked.run);
        Ok(v1::TunnelOpened { rtt_us: link.rtt_us, bits_per_second: link.bits_per_second, lanes })
    }
}
