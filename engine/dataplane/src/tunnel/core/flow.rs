//! One logical stream: what is to be sent on it, and what came.

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use crate::tunnel::class::Class;
use crate::tunnel::record::{MalformedRecord, RECORD_BYTES_MAX};

/// A window that is used up faster than this many round trips is too small for the link.
const GROW_WITHIN_ROUND_TRIPS: u32 = 2;
/// On a link of no length, waking a task dominates.
const ROUND_TRIP_MIN: Duration = Duration::from_millis(5);

/// A logical stream.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) class: Class,
    pub(super) out: Outflow,
    pub(super) input: Inflow,
    /// Somebody holds it, or will be given it by `accept`.
    pub(super) held: bool,
    pub(super) of_peer: bool,
    /// Stands in the list of streams with something to send.
    pub(super) listed: bool,
    pub(super) due: Due,
}

/// Small records a stream owes.
#[derive(Debug, Default)]
pub(super) struct Due {
    pub(super) reset: bool,
    pub(super) stop: bool,
    pub(super) credit: bool,
    /// Stands in the list of streams that owe.
    pub(super) listed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutState {
    Open,
    /// The end is known and not sent.
    Finishing,
    /// The end, or that there will be none, was sent.
    Over,
    /// The peer reads no more.
    Stopped,
}

/// The sending half.
#[derive(Debug)]
pub(super) struct Outflow {
    /// The service to announce, until it was.
    pub(super) open: Option<Bytes>,
    chunks: VecDeque<Bytes>,
    tail: BytesMut,
    /// Accepted and not given to a socket yet.
    pub(super) unsent: usize,
    pub(super) offset: u64,
    pub(super) credit: u64,
    pub(super) state: OutState,
    pub(super) waker: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InState {
    Open,
    /// The peer gave it up.
    Reset,
    /// Nobody here reads it.
    Stopped,
}

/// The receiving half.
#[derive(Debug)]
pub(super) struct Inflow {
    pub(super) state: InState,
    in_order: VecDeque<Bytes>,
    /// First byte that is not in `in_order`.
    next: u64,
    early: BTreeMap<u64, Bytes>,
    /// First byte nobody has read.
    read: u64,
    /// The peer may send up to here.
    pub(super) limit: u64,
    pub(super) window: u64,
    pub(super) end: Option<u64>,
    round: Option<(Instant, u64)>,
    pub(super) waker: Option<Waker>,
}

impl Flow {
    pub(super) fn new(class: Class, credit: u64, window: u64, of_peer: bool) -> Self {
        let out = Outflow {
            open: None,
            chunks: VecDeque::new(),
            tail: BytesMut::new(),
            unsent: 0,
            offset: 0,
            credit,
            state: OutState::Open,
            waker: None,
        };
        let input = Inflow {
            state: InState::Open,
            in_order: VecDeque::new(),
            next: 0,
            early: BTreeMap::new(),
            read: 0,
            limit: window,
            window,
            end: None,
            round: None,
            waker: None,
        };
        Self { class, out, input, held: false, of_peer, listed: false, due: Due::default() }
    }

    /// Whether neither side has anything left to say.
    pub(super) fn is_over(&self) -> bool {
        let out_over = matches!(self.out.state, OutState::Over | OutState::Stopped);
        let in_over = self.input.state != InState::Open || self.input.is_whole();
        let owes = self.due.reset || self.due.stop;
        !self.held && out_over && in_over && !owes
    }

    pub(super) fn wake(&mut self) {
        for waker in [self.out.waker.take(), self.input.waker.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

impl Outflow {
    /// Takes as much as the class may hold unsent.
    pub(super) fn push(&mut self, bytes: &[u8], unsent_max: usize) -> usize {
        let accepted = bytes.len().min(unsent_max.saturating_sub(self.unsent));
        let mut rest = &bytes[..accepted];
        while !rest.is_empty() {
            let room = RECORD_BYTES_MAX - self.tail.len();
            let (now, later) = rest.split_at(rest.len().min(room));
            self.tail.extend_from_slice(now);
            if self.tail.len() == RECORD_BYTES_MAX {
                self.chunks.push_back(self.tail.split().freeze());
            }
            rest = later;
        }
        self.unsent += accepted;
        accepted
    }

    fn has_bytes(&self) -> bool {
        !self.chunks.is_empty() || !self.tail.is_empty()
    }

    /// Whether a record could go now.
    pub(super) fn is_ready(&self) -> bool {
        let sendable = self.has_bytes() && self.offset < self.credit;
        self.open.is_some() || sendable || self.wants_fin()
    }

    pub(super) fn wants_fin(&self) -> bool {
        self.state == OutState::Finishing && !self.has_bytes()
    }

    /// The next bytes within the credit, at most a record, and where they stand in the stream.
    pub(super) fn take(&mut self) -> Option<(u64, Bytes)> {
        let credit = usize::try_from(self.credit.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        if credit == 0 {
            return None;
        }
        let mut chunk = match self.chunks.pop_front() {
            Some(chunk) => chunk,
            None if self.tail.is_empty() => return None,
            None => self.tail.split().freeze(),
        };
        if chunk.len() > credit {
            self.chunks.push_front(chunk.split_off(credit));
        }
        let offset = self.offset;
        self.offset += chunk.len() as u64;
        Some((offset, chunk))
    }

    /// Forgets what was not sent.
    pub(super) fn discard(&mut self, state: OutState) {
        self.state = state;
        self.chunks.clear();
        self.tail.clear();
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Inflow {
    /// Whether everything up to the end came.
    pub(super) fn is_whole(&self) -> bool {
        self.end == Some(self.next)
    }

    /// Takes bytes that came, in any order.
    pub(super) fn insert(&mut self, stream: u32, offset: u64, bytes: Bytes) -> Result<(), MalformedRecord> {
        let end = offset + bytes.len() as u64;
        if self.state != InState::Open {
            return Ok(());
        }
        if end > self.limit {
            return Err(MalformedRecord::Credit(stream));
        }
        if offset < self.next || self.end.is_some_and(|last| end > last) || self.overlaps(offset, end) {
            return Err(MalformedRecord::Overlap(stream));
        }
        self.early.insert(offset, bytes);
        self.settle();
        Ok(())
    }

    fn overlaps(&self, offset: u64, end: u64) -> bool {
        let before = self.early.range(..end).next_back();
        before.is_some_and(|(start, bytes)| start + bytes.len() as u64 > offset)
    }

    /// Notes where the stream ends.
    pub(super) fn finish(&mut self, stream: u32, end: u64) -> Result<(), MalformedRecord> {
        let came = self.early.last_key_value().map_or(self.next, |(start, bytes)| start + bytes.len() as u64);
        if self.end.is_some() || end < came {
            return Err(MalformedRecord::Overlap(stream));
        }
        self.end = Some(end);
        self.settle();
        Ok(())
    }

    fn settle(&mut self) {
        while let Some(bytes) = self.early.remove(&self.next) {
            self.next += bytes.len() as u64;
            self.in_order.push_back(bytes);
        }
        if (!self.in_order.is_empty() || self.is_whole())
            && let Some(waker) = self.waker.take()
        {
            waker.wake();
        }
    }

    /// Moves bytes out; the number moved.
    pub(super) fn read(&mut self, buf: &mut tokio::io::ReadBuf<'_>) -> usize {
        let before = buf.filled().len();
        while buf.remaining() > 0
            && let Some(front) = self.in_order.front_mut()
        {
            let part = front.split_to(front.len().min(buf.remaining()));
            buf.put_slice(&part);
            if front.is_empty() {
                self.in_order.pop_front();
            }
        }
        let moved = buf.filled().len() - before;
        self.read += moved as u64;
        moved
    }

    /// Forgets everything and takes no more.
    pub(super) fn discard(&mut self, state: InState) {
        self.state = state;
        self.in_order.clear();
        self.early.clear();
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Whether so much was read that the peer should know.
    pub(super) fn wants_credit(&self) -> bool {
        self.state == InState::Open
            && self.end.is_none()
            && self.read + self.window >= self.limit + self.window / 4
    }

    /// Where the peer may send to from now on.
    pub(super) fn grant(&mut self) -> u64 {
        self.limit = self.limit.max(self.read + self.window);
        self.limit
    }

    /// By how much the window should grow: doubled when a whole one is read within two round trips.
    pub(super) fn growth(&mut self, now: Instant, rtt: Duration) -> u64 {
        let (since, from) = *self.round.get_or_insert((now, self.read));
        if self.read - from < self.window {
            return 0;
        }
        self.round = Some((now, self.read));
        let fast = now - since < rtt.max(ROUND_TRIP_MIN) * GROW_WITHIN_ROUND_TRIPS;
        if fast { self.window } else { 0 }
    }
}
