//! The agent as a whole: what it is made of, how it comes up, and when it has to stop.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use longhaul_dataplane::disk::{self, Fill};
use longhaul_dataplane::edge::{Edge, EdgeConfig};
use longhaul_model::ids::VmId;
use longhaul_model::site::Site;
use longhaul_wire::pki::Credentials;
use longhaul_wire::server::{Inlet, inlet, serve};
use longhaul_wire::tls::{Accepted, Acceptor, Connector, Protocol};
use tokio::net::TcpListener;
use tokio::sync::{Mutex as AsyncMutex, Notify, OnceCell, OwnedMutexGuard};
use tokio::time::Instant;

use crate::boot::BootFiles;
use crate::disks::Disks;
use crate::door;
use crate::error::{Class, Error, chain};
use crate::facts::Facts;
use crate::faults::Faults;
use crate::folder::Folder;
use crate::handover::Breaks;
use crate::kept_runs::KeptRuns;
use crate::names::Names;
use crate::observe::Qemu;
use crate::operations::{Board, resume};
use crate::peers::Peers;
use crate::server::{ForControllers, ForSites};
use crate::specs::Specs;
use crate::tunnels::Tunnels;
use crate::vm::Machine;

/// How long a predecessor that was just killed may hold its lock: until the kernel has buried the last of its threads, or
/// a child that it had forked has begun its own program.
const LOCK_MAX: Duration = Duration::from_secs(2);

/// Between two tries to take the lock.
const LOCK_AGAIN: Duration = Duration::from_millis(20);

/// What an agent is told besides its site file.
#[derive(Debug, Default)]
pub struct Options {
    /// Test-only: breaks one thing, to prove that the checks notice.
    pub breaks: Breaks,
    /// Test-only: the same for disk servers that this agent starts.
    pub disk_faults: disk::Faults,
    /// Test-only: where a test is told of the points of a move.
    pub faults: Faults,
    /// The binary that serves disks, as `PROGRAM disk-server --config FILE`; this very binary if not given.
    pub program: Option<PathBuf>,
}

/// One site's agent.
pub(crate) struct Agent {
    pub(crate) site: Site,
    pub(crate) options: Options,
    pub(crate) folder: Folder,
    pub(crate) facts: Facts,
    pub(crate) specs: Specs,
    pub(crate) boot: BootFiles,
    pub(crate) peers: Peers,
    pub(crate) tunnels: Tunnels,
    pub(crate) edge: Edge,
    pub(crate) names: Names,
    pub(crate) disks: Arc<Disks>,
    pub(crate) board: Board,
    pub(crate) kept_runs: KeptRuns,
    pub(crate) qemu: OnceCell<Qemu>,
    /// The QEMUs of this site, each by the one handle that everybody shares.
    pub(crate) machines: Mutex<HashMap<VmId, Machine>>,
    /// What each VM's disk lacked when its guest was let in, since this process began; for reports.
    pub(crate) fills: Mutex<HashMap<VmId, Fill>>,
    /// Held while a VM's hand-over from here is carried out or taken up: one at a time for a VM.
    handing_over: Mutex<HashMap<VmId, Arc<AsyncMutex<()>>>>,
    failed: Notify,
    /// Held while this process lives, so that no two agents serve one directory.
    _lock: File,
}

impl Agent {
    /// Stops the agent: what is durable is not known any more, and the next process finds out.
    pub(crate) fn fail(&self, error: &Error) {
        tracing::error!(%error, "the agent stops");
        self.failed.notify_one();
    }

    /// Waits until nobody else hands this VM over or takes a hand-over of it up.
    pub(crate) async fn hand_over_alone(&self, vm: &VmId) -> OwnedMutexGuard<()> {
        let lock = Arc::clone(
            self.handing_over.lock().unwrap_or_else(PoisonError::into_inner).entry(vm.clone()).or_default(),
        );
        lock.lock_owned().await
    }

    /// Notes what a VM's disk lacks as its guest is let in.
    pub(crate) fn note_fill(&self, vm: &VmId, fill: &Fill) {
        self.fills.lock().unwrap_or_else(PoisonError::into_inner).insert(vm.clone(), fill.clone());
    }

    /// What was noted; nothing after a restart of this process.
    pub(crate) fn noted_fill(&self, vm: &VmId) -> Fill {
        self.fills.lock().unwrap_or_else(PoisonError::into_inner).get(vm).cloned().unwrap_or_default()
    }
}

/// Runs the agent of a site until it is asked to stop (`stop` ends) or cannot go on. VMs and disk servers live on.
///
/// # Errors
/// When it cannot come up: the directory is in use, a certificate is missing or expired, an address is taken, the edge
/// cannot be set up. When its facts can no longer be made durable.
pub async fn run(site: Site, options: Options, stop: impl Future<Output = ()>) -> Result<(), Error> {
    let folder = Folder::open(&site.state)?;
    let lock = lock(&folder).await?;
    let facts =
        Facts::open(&folder.database()).map_err(|error| Error::internal("opening the facts", &error))?;
    let credentials = Credentials {
        ca: site.pki.ca.clone(),
        certificate: site.pki.certificate.clone(),
        key: site.pki.key.clone(),
    };
    let tls = |error| Error::new(Class::Auth, chain(&error));
    let connector = Connector::new(credentials.clone()).map_err(tls)?;
    let acceptor = Arc::new(Acceptor::new(credentials).map_err(tls)?);
    let specs = Specs::new(&folder.vms());
    let (names, name_server) = Names::open(&site, specs.clone(), facts.clone()).await?;
    let (board, open) = Board::open(facts.clone())?;
    let program = match &options.program {
        Some(program) => program.clone(),
        None => std::env::current_exe().map_err(|error| Error::internal("finding this program", &error))?,
    };
    let disks = Arc::new(Disks::new(folder.clone(), program, options.disk_faults.clone()));
    let agent = Arc::new(Agent {
        edge: edge(&site).await?,
        tunnels: Tunnels::new(&site, &connector)?,
        peers: Peers::new(connector, &site.peers),
        qemu: OnceCell::new(),
        machines: Mutex::default(),
        fills: Mutex::default(),
        handing_over: Mutex::default(),
        failed: Notify::new(),
        _lock: lock,
        kept_runs: KeptRuns::open(&folder.kept_runs())?,
        boot: BootFiles::new(&folder.boot()),
        site,
        options,
        folder,
        facts,
        specs,
        names,
        disks,
        board,
    });
    serve_all(&agent, &acceptor, name_server, stop, open).await
}

async fn serve_all(
    agent: &Arc<Agent>,
    acceptor: &Arc<Acceptor>,
    name_server: longhaul_dataplane::dns::Server,
    stop: impl Future<Output = ()>,
    open: Vec<crate::operations::Open>,
) -> Result<(), Error> {
    agent.restore_edges().await?;
    let left = agent.left_over().await?;
    let (inlet, connections) = inlet();
    let mut parts = tokio::task::JoinSet::new();
    for address in &agent.site.listen {
        let listener = TcpListener::bind(address).await;
        let listener =
            listener.map_err(|error| Error::internal(&format!("listening on {address}"), &error))?;
        parts.spawn(accept(Arc::clone(agent), Arc::clone(acceptor), listener, inlet.clone()));
    }
    let door = door::bind(&agent.folder.tunnel_socket())?;
    parts.spawn(door::serve(Arc::clone(agent), door));
    parts.spawn(name_server.run());
    parts.spawn(Arc::clone(&agent.disks).supervise());
    let services = serve(
        ForControllers(Arc::clone(agent)),
        ForSites(Arc::clone(agent)),
        connections,
        std::future::pending(),
    );
    let services = tokio::spawn(services);
    Tunnels::serve(agent);
    agent.recover(left).await;
    resume(agent, open);
    tracing::info!(site = %agent.site.id, "the agent serves");
    tokio::select! {
        () = stop => Ok(()),
        () = agent.failed.notified() => Err(Error::new(Class::Internal, "the agent's facts can no longer be made durable: see its log, mend the disk, start it again")),
        ended = services => match ended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Error::internal("serving", &error)),
            Err(error) => Err(Error::internal("serving", &error)),
        },
    }
}

/// Takes connections: RPC to the services, lanes to the tunnels.
async fn accept(agent: Arc<Agent>, acceptor: Arc<Acceptor>, listener: TcpListener, inlet: Inlet) {
    loop {
        match listener.accept().await {
            Ok((socket, from)) => {
                let (agent, acceptor, inlet) = (Arc::clone(&agent), Arc::clone(&acceptor), inlet.clone());
                tokio::spawn(async move {
                    match acceptor.accept(socket).await {
                        Ok(accepted) => dispatch(&agent, accepted, &inlet).await,
                        Err(error) => {
                            tracing::warn!(%from, error = chain(&error), "a connection was refused");
                        }
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn dispatch(agent: &Arc<Agent>, accepted: Accepted, inlet: &Inlet) {
    match accepted.protocol {
        Protocol::Rpc => {
            if let Err(error) = inlet.give(accepted).await {
                tracing::warn!(%error, "a connection came too late");
            }
        }
        Protocol::Lane => agent.tunnels.accept_lane(accepted).await,
    }
}

async fn lock(folder: &Folder) -> Result<File, Error> {
    let path = folder.lock();
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| Error::internal(&format!("opening {}", path.display()), &error))?;
    let deadline = Instant::now() + LOCK_MAX;
    while let Err(error) = file.try_lock() {
        if let TryLockError::Error(error) = error {
            return Err(Error::internal(&format!("locking {}", path.display()), &error));
        }
        if Instant::now() > deadline {
            let message = format!(
                "another agent serves {}: stop it, or give this one a state directory of its own",
                folder.root().display()
            );
            return Err(Error::new(Class::Conflict, message));
        }
        tokio::time::sleep(LOCK_AGAIN).await;
    }
    Ok(file)
}

async fn edge(site: &Site) -> Result<Edge, Error> {
    let config = EdgeConfig {
        site: site.id.to_string(),
        interface: site.edge.interface.clone(),
        gateway: site.edge.gateway,
        gateway_mac: crate::vms::parse_mac(&site.edge.gateway_mac)?,
    };
    Edge::open(config).await.map_err(|error| Error::internal("opening the edge", &error))
}
