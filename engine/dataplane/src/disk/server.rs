//! The process: three sockets and the fill around one store.
//!
//! It must never start on a disk that another process serves, and never stop because a client misbehaves.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};

use super::config::Config;
use super::control::{MAX_LINE, ProofState, Refusal, RefusalKind, Reply, Request, Status};
use super::demand::{Demand, blocking};
use super::error::Error;
use super::export::{OriginExports, Sessions, WriterExports};
use super::fill::{Counters, Filler};
use super::geometry::BLOCK;
use super::header::{Process, Settled};
use super::origin::{Class, Lane, Origin};
use super::proof::Prover;
use super::rounds::Rounds;
use super::store::Store;
use crate::nbd::{Exports, server};

/// Most connections of each socket.
const CONNECTIONS: usize = 64;
/// Pause after a failed accept: it is for want of descriptors, which others must give back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Everything that the sockets share.
#[derive(Debug)]
struct Served {
    store: Arc<Store>,
    origin: Option<Arc<Origin>>,
    demand: Option<Arc<Demand>>,
    counters: Arc<Counters>,
    sessions: Arc<Sessions>,
    prover: Arc<Prover>,
    /// The granted epoch; sessions of lower ones end when it changes.
    granted: watch::Sender<u64>,
}

/// Serves one disk until SIGTERM or SIGINT; then everything acknowledged is stable.
///
/// # Errors
/// The disk cannot be opened, a socket cannot be made, or the last sync failed.
pub async fn serve(config: Config) -> Result<(), Error> {
    config.check()?;
    let opening = config.clone();
    let store = Arc::new(blocking(move || Store::open(&opening)).await?);
    let header = store.header();
    if !header.complete && config.origin.is_none() {
        return Err(Error::Config("origin: needed, for the disk is not complete".into()));
    }
    let counters = Counters::new(header.settled.as_ref());
    counters.rate.limit(config.origin.as_ref().map_or(0, |way| way.bits_per_second_max));
    let origin = config.origin.as_ref().map(|way| Origin::new(way, &config.vm));
    let demand = origin.as_ref().map(|origin| {
        Demand::new(Arc::clone(&store), Lane::to_disk(origin, Class::Demand), Arc::clone(&counters))
    });
    let served = Arc::new(Served {
        granted: watch::Sender::new(header.epoch),
        sessions: Arc::default(),
        prover: Arc::new(Prover::new(header.settled.map(|settled| settled.proof))),
        origin,
        demand,
        counters,
        store,
    });
    run(&config, served).await
}

async fn run(config: &Config, served: Arc<Served>) -> Result<(), Error> {
    let bind = |name: &str| listen(&config.socket(name));
    let (disk, origin, control) = (bind("disk.sock")?, bind("origin.sock")?, bind("control.sock")?);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let filler = served.origin.as_ref().zip(config.origin.as_ref()).map(|(origin, way)| {
        Filler::new(Arc::clone(&served.store), origin, way.connections, Arc::clone(&served.counters))
    });
    let fill = async {
        match filler {
            Some(filler) => filler.run().await,
            None => std::future::pending().await,
        }
        // It ends only when the disk does not sync; what the guest does is another matter.
        std::future::pending::<()>().await;
    };
    tracing::info!(vm = config.vm, epoch = served.store.header().epoch, "disk server is ready");
    tokio::select! {
        () = accept(disk, |stream| writer(Arc::clone(&served), stream)) => {}
        () = accept(origin, |stream| reader(Arc::clone(&served), stream)) => {}
        () = accept(control, |stream| answer_all(Arc::clone(&served), stream)) => {}
        () = fill => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let store = Arc::clone(&served.store);
    blocking(move || store.sync()).await
}

/// Binds a socket. The map's lock is ours, so a file of that name is left over from a dead process.
fn listen(path: &Path) -> Result<UnixListener, Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("replace socket", path)(error));
        }
        Ok(()) | Err(_) => {}
    }
    UnixListener::bind(path).map_err(Error::io("bind socket", path))
}

/// Serves clients of one socket, each in a task of its own.
async fn accept<F: Future<Output = ()> + Send + 'static>(
    listener: UnixListener,
    serve: impl Fn(UnixStream) -> F,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let permit = Arc::clone(&room).acquire_owned().await.expect("never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                let client = serve(stream);
                tokio::spawn(async move {
                    client.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn writer(served: Arc<Served>, stream: UnixStream) {
    let Some(peer) = peer(&stream) else { return };
    let (store, demand, sessions) =
        (Arc::clone(&served.store), served.demand.clone(), Arc::clone(&served.sessions));
    // Taken before the export is: a grant in between ends the session.
    let mut granted = served.granted.subscribe();
    let epoch = *granted.borrow_and_update();
    let exports = WriterExports::new(store, demand, sessions, peer);
    tokio::select! {
        () = nbd(stream, &exports) => {}
        _ = granted.wait_for(|now| *now > epoch) => {}
    }
}

async fn reader(served: Arc<Served>, stream: UnixStream) {
    nbd(stream, &OriginExports { store: Arc::clone(&served.store) }).await;
}

async fn nbd<E: Exports>(stream: UnixStream, exports: &E) {
    if let Err(error) = server::serve(stream, exports).await {
        tracing::info!(%error, "connection ended");
    }
}

/// Who is at the other end; a process of another process namespace has number 0 and counts as one.
fn peer(stream: &UnixStream) -> Option<Process> {
    let pid = u32::try_from(stream.peer_cred().ok()?.pid()?).ok()?;
    Process::living(pid)
}

/// Answers requests until the asker goes.
async fn answer_all(served: Arc<Served>, stream: UnixStream) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let read = (&mut stream).take(MAX_LINE as u64).read_until(b'\n', &mut line).await;
        if !matches!(read, Ok(1..)) || line.last() != Some(&b'\n') {
            return;
        }
        let reply = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => served.clone().answer(request).await,
            Err(error) => Reply::Refused(Refusal {
                kind: RefusalKind::Invalid,
                message: format!("no request: {error}"),
            }),
        };
        let mut answer = serde_json::to_vec(&reply).expect("replies always serialise");
        answer.push(b'\n');
        if stream.get_mut().write_all(&answer).await.is_err() {
            return;
        }
    }
}

impl Served {
    async fn answer(self: Arc<Self>, request: Request) -> Reply {
        tracing::debug!(?request, "asked");
        let result = match request {
            // The only one that starts a task.
            Request::Verify => self.verify(),
            request => blocking(move || self.carry_out(request)).await,
        };
        result.unwrap_or_else(|error| Reply::Refused(error.refusal()))
    }

    fn carry_out(&self, request: Request) -> Result<Reply, Error> {
        let store = &self.store;
        match request {
            Request::Status => return Ok(Reply::Status(Box::new(self.status()))),
            Request::Grant { epoch } => {
                store.grant(epoch)?;
                self.granted.send_replace(epoch);
            }
            Request::OpenOrigin => return store.open_origin().map(Reply::OriginOpened),
            Request::DirtyRound { applied } => return store.dirty_round(applied).map(Reply::Round),
            Request::AbortRounds => store.abort_rounds()?,
            Request::CloseOrigin => store.close_origin()?,
            Request::Freeze { epoch } => return store.freeze(epoch).map(Reply::Frozen),
            Request::Thaw { epoch } => store.thaw(epoch)?,
            Request::StartFill { origin } => self.start_fill(origin)?,
            Request::LimitFill { present_permille } => self.counters.limit(present_permille),
            Request::LimitRate { bits_per_second } => self.counters.rate.limit(bits_per_second),
            Request::MarkAbsent { extents } => {
                self.prover.forget();
                store.mark_absent(&extents)?;
                self.counters.wake();
            }
            Request::Verify => return self.verify(),
            Request::Finish => self.finish()?,
        }
        Ok(Reply::Done)
    }

    fn status(&self) -> Status {
        let header = self.store.header();
        let dirty = self.store.state().rounds.as_ref().map(Rounds::dirty);
        Status {
            vm: self.store.vm.clone(),
            pid: std::process::id(),
            disk_bytes: self.store.geometry.disk_bytes,
            epoch: header.epoch,
            frozen: header.frozen.then_some(header.frozen_epoch),
            complete: header.complete,
            writers: self.sessions.writers(),
            written_bytes: self.store.written_bytes.load(std::sync::atomic::Ordering::Relaxed),
            dirty_bytes: dirty.map(|blocks| blocks * BLOCK),
            origin: header.origin,
            fetched_from: header.fetched_from,
            fill: self.counters.figures(&self.store, self.origin.as_ref()),
            proof: self.prover.proof(),
        }
    }

    fn start_fill(&self, origin: u64) -> Result<(), Error> {
        if self.store.header().fetched_from != Some(origin) {
            self.prover.forget();
        }
        self.store.attach(origin)?;
        self.origin.iter().for_each(|way| way.attached());
        self.counters.start();
        Ok(())
    }

    fn verify(&self) -> Result<Reply, Error> {
        let origin = self.origin.as_ref().ok_or_else(|| Error::State("the disk has no origin".into()))?;
        if self.store.header().complete {
            return Err(Error::State("the disk is complete here".into()));
        }
        self.prover.start(&self.store, origin)?;
        Ok(Reply::Done)
    }

    fn finish(&self) -> Result<(), Error> {
        let proof = self.prover.proof();
        if !self.store.header().complete && proof.state != ProofState::Good {
            return Err(Error::State("the disk is not verified".into()));
        }
        let (demand_reads, demand_bytes) = self.counters.demand();
        self.store.finish(Settled { proof, demand_reads, demand_bytes })
    }
}
