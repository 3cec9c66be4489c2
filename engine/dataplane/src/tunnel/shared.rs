//! The tunnel as its owner sees it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, timeout};

use super::class::Class;
use super::config::Config;
use super::core::{Core, Role};
use super::error::{Error, LaneError};
use super::inet_diag::TcpInfo;
use super::lane::{self, Lane};
use super::pacer::Pacer;
use super::stats::{LaneStats, RecordStats, Stats, Table};
use super::stream::Stream;
use super::supervise::{self, Dial};

/// Bound of one [`Tunnel::ping`].
const PING_MAX: Duration = Duration::from_secs(10);
/// How long a closing tunnel tries to say so.
const CLOSE_MAX: Duration = Duration::from_millis(500);

/// One end of the tunnel to another site. Cheap to clone; the tunnel is closed when the last clone is dropped, and its
/// streams fail then.
#[derive(Clone, Debug)]
pub struct Tunnel {
    owner: Arc<Owner>,
}

/// A stream the peer opened.
#[derive(Debug)]
pub struct Incoming {
    /// What the peer wants to reach.
    pub service: String,
    /// The class the peer chose; answers go in the same.
    pub class: Class,
    /// The stream.
    pub stream: Stream,
}

#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.close(Error::Closed);
    }
}

/// What the tunnel's tasks and streams share.
pub(super) struct Shared {
    core: Mutex<Core>,
    pub(super) config: Config,
    arrival: Arc<Notify>,
    /// Changes when a lane comes, answers or goes.
    pub(super) lanes_changed: watch::Sender<()>,
    pub(super) closing: watch::Sender<bool>,
    pub(super) pacer: Mutex<Pacer>,
    sent: Mutex<Table>,
    received: Mutex<Table>,
    lanes: Mutex<BTreeMap<u16, LaneBook>>,
    /// Why the last lane that was dialled is not connected; none when it is.
    undialled: Mutex<Option<String>>,
}

/// What is kept of a lane over its connections.
#[derive(Default)]
struct LaneBook {
    connections: u64,
    congestion_control: String,
    probe: Option<lane::Probe>,
    past: TcpInfo,
    present: TcpInfo,
}

impl Tunnel {
    /// The end that dials: keeps its lanes connected until it is closed.
    ///
    /// Must be called within a tokio runtime.
    pub fn dial(config: Config, dial: impl Dial) -> Self {
        let shared = Shared::new(config, Role::Dialer);
        supervise::keep_lanes(&shared, dial);
        Self { owner: Arc::new(Owner { shared }) }
    }

    /// The end that is handed lanes with [`Tunnel::attach`].
    #[must_use]
    pub fn accepting(config: Config) -> Self {
        Self { owner: Arc::new(Owner { shared: Shared::new(config, Role::Acceptor) }) }
    }

    /// Takes a lane that the peer dialled; returns when it is in use. The caller has made sure who the peer is.
    ///
    /// # Errors
    /// The lane is not for this tunnel, or its first message did not come in time.
    pub async fn attach(&self, lane: Lane) -> Result<(), LaneError> {
        supervise::attach(self.shared(), lane).await
    }

    /// Opens a stream to a service of the peer; its bytes flow as soon as a lane is there.
    ///
    /// # Errors
    /// The tunnel is closed, or the name does not fit.
    #[expect(
        clippy::unused_async,
        reason = "an open that waits for the peer's word would not change its callers"
    )]
    pub async fn open(&self, service: &str, class: Class) -> Result<Stream, Error> {
        let id = self.shared().core().open(service, class)?;
        Ok(Stream::new(Arc::clone(self.shared()), id, class))
    }

    /// The next stream the peer opens; survives a restart of the peer.
    ///
    /// # Errors
    /// The tunnel is closed.
    pub async fn accept(&self) -> Result<Incoming, Error> {
        loop {
            let arrival = self.shared().arrival.notified();
            tokio::pin!(arrival);
            // Registered before the look, so that nothing arrives unnoticed in between.
            arrival.as_mut().enable();
            if let Some(incoming) = self.arrived()? {
                return Ok(incoming);
            }
            arrival.await;
        }
    }

    fn arrived(&self) -> Result<Option<Incoming>, Error> {
        let mut core = self.shared().core();
        let Some((id, class, service)) = core.take_arrived() else {
            return core.closed().map_or(Ok(None), |reason| Err(reason.clone()));
        };
        // Several may wait, and one notice may stand for several arrivals.
        self.shared().arrival.notify_one();
        let stream = Stream::new(Arc::clone(self.shared()), id, class);
        Ok(Some(Incoming { service, class, stream }))
    }

    /// Waits until every lane has carried a record from the peer.
    ///
    /// # Errors
    /// Not in time, with the reason for which the last lane was not connected, if this end dials; the lanes go on trying.
    pub async fn ready(&self, within: Duration) -> Result<(), Error> {
        let mut changed = self.shared().lanes_changed.subscribe();
        let complete = changed.wait_for(|()| self.shared().core().is_complete());
        let result = timeout(within, complete).await;
        result.map(|_| ()).map_err(|_| match self.shared().undialled() {
            Some(why) => Error::NoLanes { within, why },
            None => Error::NoAnswer(within),
        })
    }

    /// The round trip of a small record through the lane kept for such, at most 10 s.
    ///
    /// # Errors
    /// No answer came.
    pub async fn ping(&self) -> Result<Duration, Error> {
        let (answer, answered) = oneshot::channel();
        self.shared().core().ask(answer, Instant::now());
        let result = timeout(PING_MAX, answered).await;
        result.ok().and_then(Result::ok).ok_or(Error::NoAnswer(PING_MAX))
    }

    /// What was carried so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared().stats()
    }

    /// How many lanes the tunnel has when all are connected; 0 before the first one was.
    #[must_use]
    pub fn lanes(&self) -> u16 {
        self.shared().core().lanes_total()
    }

    /// Closes the tunnel and tells the peer, if it can be told within half a second. All streams fail.
    pub async fn close(&self) {
        self.shared().core().announce_close();
        let mut changed = self.shared().lanes_changed.subscribe();
        // The peer answers by closing its lanes; if it does not, it will find them closed.
        let gone = changed.wait_for(|()| !self.shared().core().has_lanes());
        let _unanswered = timeout(CLOSE_MAX, gone).await.is_err();
        self.shared().close(Error::Closed);
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.owner.shared
    }
}

impl Shared {
    fn new(config: Config, role: Role) -> Arc<Self> {
        let arrival = Arc::new(Notify::new());
        Arc::new(Self {
            core: Mutex::new(Core::new(config.clone(), role, Arc::clone(&arrival))),
            pacer: Mutex::new(Pacer::new(config.pacing_bits_per_second)),
            config,
            arrival,
            lanes_changed: watch::Sender::new(()),
            closing: watch::Sender::new(false),
            sent: Mutex::default(),
            received: Mutex::default(),
            lanes: Mutex::default(),
            undialled: Mutex::default(),
        })
    }

    pub(super) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().expect("no holder of this lock panics")
    }

    pub(super) fn close(&self, reason: Error) {
        self.core().close(reason);
        self.closing.send_replace(true);
        self.arrival.notify_waiters();
        self.arrival.notify_one();
    }

    /// Keeps what became of a lane that was dialled.
    pub(super) fn dialled(&self, failure: Option<String>) {
        *self.undialled.lock().expect("no holder of this lock panics") = failure;
    }

    fn undialled(&self) -> Option<String> {
        self.undialled.lock().expect("no holder of this lock panics").clone()
    }

    pub(super) fn count_sent(&self, record: &RecordStats) {
        self.sent.lock().expect("no holder of this lock panics").add(record);
    }

    pub(super) fn count_received(&self, record: &RecordStats) {
        self.received.lock().expect("no holder of this lock panics").add(record);
    }

    pub(super) fn lane_up(&self, lane: u16, congestion_control: String, probe: lane::Probe) {
        let mut lanes = self.lanes.lock().expect("no holder of this lock panics");
        let book = lanes.entry(lane).or_default();
        book.settle();
        book.connections += 1;
        book.congestion_control = congestion_control;
        book.probe = Some(probe);
        drop(lanes);
        self.lanes_changed.send_replace(());
    }

    pub(super) fn lane_down(&self, lane: u16, probe: &lane::Probe) {
        let mut lanes = self.lanes.lock().expect("no holder of this lock panics");
        let book = lanes.entry(lane).or_default();
        // A newer connection may have taken the number already.
        if book.probe.as_ref() == Some(probe) {
            book.settle();
        }
        drop(lanes);
        self.lanes_changed.send_replace(());
    }

    fn stats(&self) -> Stats {
        let mut lanes = self.lanes.lock().expect("no holder of this lock panics");
        Stats {
            lanes: lanes.iter_mut().map(|(id, book)| book.stats(*id)).collect(),
            sent: self.sent.lock().expect("no holder of this lock panics").rows(),
            received: self.received.lock().expect("no holder of this lock panics").rows(),
        }
    }
}

impl LaneBook {
    fn refresh(&mut self) {
        // A connection that was reset is unknown to the kernel; then the last answer stands.
        if let Some(info) = self.probe.as_ref().and_then(lane::Probe::info) {
            self.present = info;
        }
    }

    fn settle(&mut self) {
        self.refresh();
        self.probe = None;
        self.past.bytes_sent += std::mem::take(&mut self.present.bytes_sent);
        self.past.bytes_received += std::mem::take(&mut self.present.bytes_received);
        self.past.retransmits += std::mem::take(&mut self.present.retransmits);
    }

    fn stats(&mut self, id: u16) -> LaneStats {
        self.refresh();
        LaneStats {
            id,
            up: self.probe.is_some(),
            congestion_control: self.congestion_control.clone(),
            bytes_sent: self.past.bytes_sent + self.present.bytes_sent,
            bytes_received: self.past.bytes_received + self.present.bytes_received,
            retransmits: self.past.retransmits + self.present.retransmits,
            rtt_us: self.present.rtt_us,
            connections: self.connections,
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).finish_non_exhaustive()
    }
}
