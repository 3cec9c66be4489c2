//! The state of a tunnel as a plain state machine: no sockets, no tasks, the clock is handed in.
//!
//! Lane tasks ask it what to send ([`Core::next`]) and tell it what came ([`Core::on_record`]); stream handles read and
//! write it. Everything happens under one lock, held for a copy of at most one record.

mod flow;
mod lanes;
mod receive;
mod send;
mod streams;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

pub(super) use lanes::Ticket;
pub(super) use send::{Next, Outgoing};
pub(super) use streams::StreamId;

use self::flow::Flow;
use self::lanes::LaneState;
use super::class::Class;
use super::config::Config;
use super::error::Error;
use super::seen::Seen;

/// Until a round trip was measured.
const RTT_GUESS: Duration = Duration::from_millis(100);

/// Which end of the tunnel this is; decides which stream numbers are ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Dials lanes, opens odd streams.
    Dialer,
    /// Is handed lanes, opens even streams.
    Acceptor,
}

/// The peer's process as it introduced itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PeerSession {
    pub(super) session: u64,
    /// Credit of every new stream.
    pub(super) window: u32,
}

/// A record with a sequence number, kept until the peer has it.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) op: super::record::Op,
    pub(super) class: Class,
    pub(super) stream: u32,
    pub(super) offset: u64,
    pub(super) sequence: u64,
    /// Bytes of the stream, not encoded; a service name for `Open`.
    pub(super) raw: Bytes,
}

/// A record on a lane or on its way to another one.
#[derive(Debug)]
struct Pending {
    record: Arc<Record>,
    /// Whether a socket took it once: then it no longer counts as unsent.
    written: bool,
}

type ByClass<T> = [T; Class::ALL.len()];

pub(super) struct Core {
    config: Config,
    role: Role,
    session: u64,
    peer: Option<PeerSession>,
    /// Raised when streams of the session are lost, so that old handles do not meet new streams of the same number.
    epoch: u64,
    /// Why the streams of earlier epochs failed.
    lost: Error,
    closed: Option<Error>,

    streams: HashMap<u32, Flow>,
    streams_of_peer: usize,
    next_stream: u32,
    /// Streams with something to send, each at most once.
    ready: ByClass<VecDeque<u32>>,
    /// Streams that owe a credit, a reset or a stop, each at most once.
    urgent: VecDeque<u32>,
    /// What dead lanes left, oldest first.
    resend: ByClass<VecDeque<Pending>>,
    arrived: VecDeque<(u32, String)>,
    arrival: Arc<Notify>,

    lanes: BTreeMap<u16, LaneState>,
    lanes_total: u16,
    attachments: u64,
    next_sequence: u64,
    seen: Seen,
    seen_streams: Seen,
    windows: u64,
    rtt: Duration,
}

impl Core {
    pub(super) fn new(config: Config, role: Role, arrival: Arc<Notify>) -> Self {
        Self {
            config,
            role,
            session: fresh_session(),
            peer: None,
            epoch: 0,
            lost: Error::PeerRestarted,
            closed: None,
            streams: HashMap::new(),
            streams_of_peer: 0,
            next_stream: first_stream(role),
            ready: ByClass::default(),
            urgent: VecDeque::new(),
            resend: ByClass::default(),
            arrived: VecDeque::new(),
            arrival,
            lanes: BTreeMap::new(),
            lanes_total: 0,
            attachments: 0,
            next_sequence: 0,
            seen: Seen::default(),
            seen_streams: Seen::default(),
            windows: 0,
            rtt: RTT_GUESS,
        }
    }

    pub(super) fn session(&self) -> u64 {
        self.session
    }

    pub(super) fn peer(&self) -> Option<PeerSession> {
        self.peer
    }

    /// Why nothing can be opened any more.
    pub(super) fn closed(&self) -> Option<&Error> {
        self.closed.as_ref()
    }

    /// Takes the peer's session as ours; streams opened before the first contact begin to flow.
    pub(super) fn pair(&mut self, peer: PeerSession) {
        if self.peer.is_none() {
            self.peer = Some(peer);
            for id in self.streams.keys().copied().collect::<Vec<_>>() {
                if let Some(flow) = self.streams.get_mut(&id) {
                    flow.out.credit = u64::from(peer.window);
                }
                self.mark_ready(id);
            }
        }
    }

    /// Loses every stream and begins a session of its own with whoever comes next.
    pub(super) fn reset(&mut self, reason: Error) {
        for flow in self.streams.values_mut() {
            flow.wake();
        }
        for lane in self.lanes.values() {
            lane.kill.notify_one();
        }
        let fresh = Self::new(self.config.clone(), self.role, Arc::clone(&self.arrival));
        let old = std::mem::replace(self, fresh);
        self.epoch = old.epoch + 1;
        self.attachments = old.attachments;
        self.lanes_total = old.lanes_total;
        self.closed = old.closed;
        self.lost = reason;
        self.arrival.notify_waiters();
    }

    /// Ends the tunnel at this end.
    pub(super) fn close(&mut self, reason: Error) {
        if self.closed.is_none() {
            self.closed = Some(reason.clone());
            self.reset(reason);
        }
    }
}

fn fresh_session() -> u64 {
    // Zero means "not known yet" in a hello.
    fastrand::u64(1..)
}

fn first_stream(role: Role) -> u32 {
    match role {
        Role::Dialer => 1,
        Role::Acceptor => 2,
    }
}
