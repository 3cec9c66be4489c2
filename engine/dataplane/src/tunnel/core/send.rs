//! What a lane sends next.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::flow::OutState;
use super::lanes::Ticket;
use super::{Core, Pending, Record};
use crate::tunnel::class::Class;
use crate::tunnel::record::{Header, MalformedRecord, Op};

/// Records that arrive before they are acknowledged at once ...
const ACK_EVERY: u64 = 8;
/// ... and how long fewer may wait; small against a round trip worth a tunnel.
const ACK_WITHIN: Duration = Duration::from_millis(20);
/// Unacknowledged bytes of one lane: a lane's share of 2 Gbit/s at 100 ms. Bounds the memory for sending again.
const UNACKED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Unacknowledged records of one lane.
const UNACKED_RECORDS_MAX: usize = 4096;
/// A lane is asked so many times within the silence that kills it.
const PINGS_PER_SILENCE: u32 = 4;

/// What a lane's sender does now.
pub(in crate::tunnel) enum Next {
    Send(Outgoing),
    /// Nothing until then, or until notified.
    Wait(Instant),
    /// The lane was replaced.
    Gone,
}

/// A record to send.
#[derive(Debug)]
pub(in crate::tunnel) enum Outgoing {
    /// Of this lane, sent once.
    Small(Header),
    /// To be sent until acknowledged; `again` if another lane tried before.
    Record { record: Arc<Record>, again: bool },
}

impl Core {
    /// The most urgent record this lane may carry.
    pub(in crate::tunnel) fn next(&mut self, ticket: &Ticket, now: Instant) -> Next {
        let ping_every = self.config.lane_silence_max / PINGS_PER_SILENCE;
        let Some(lane) = self.lane(ticket) else { return Next::Gone };
        lane.busy = false;
        if let Some(header) = lane.small_record(now, ping_every) {
            lane.busy = true;
            return Next::Send(Outgoing::Small(header));
        }
        let wait = lane.ack_since.map_or(lane.next_ping, |since| lane.next_ping.min(since + ACK_WITHIN));
        let full = lane.unacked_bytes >= UNACKED_BYTES_MAX || lane.unacked.len() >= UNACKED_RECORDS_MAX;
        if full || self.peer.is_none() {
            return Next::Wait(wait);
        }
        let Some(pending) = self.pick(ticket.lane) else { return Next::Wait(wait) };
        let (record, again) = (Arc::clone(&pending.record), pending.written);
        self.put_on_lane(ticket, pending);
        Next::Send(Outgoing::Record { record, again })
    }

    fn put_on_lane(&mut self, ticket: &Ticket, pending: Pending) {
        let lane = self.lane(ticket).expect("the caller holds the lock and has looked it up");
        lane.busy = true;
        lane.sent += 1;
        lane.unacked_bytes += pending.record.raw.len();
        lane.unacked.push_back(pending);
        if ticket.lane == 0 {
            // While the reserved lane is taken, the others may carry what is urgent.
            for class in Class::ALL.into_iter().filter(|class| !class.is_bulk()) {
                if !self.ready[class as usize].is_empty() || !self.resend[class as usize].is_empty() {
                    self.wake_lanes();
                }
            }
        }
    }

    fn pick(&mut self, lane: u16) -> Option<Pending> {
        if let Some(record) = self.pick_due() {
            return Some(Pending { record: Arc::new(record), written: false });
        }
        for class in Class::ALL {
            if !self.may_carry(lane, class) {
                continue;
            }
            if let Some(pending) = self.resend[class as usize].pop_front() {
                return Some(pending);
            }
            if let Some(record) = self.pick_fresh(class) {
                return Some(Pending { record: Arc::new(record), written: false });
            }
        }
        None
    }

    /// Credits, resets and stops: a few bytes that others wait for.
    fn pick_due(&mut self) -> Option<Record> {
        while let Some(id) = self.urgent.pop_front() {
            let Some(flow) = self.streams.get_mut(&id) else { continue };
            let class = flow.class;
            let (op, offset) = if std::mem::take(&mut flow.due.reset) {
                (Op::Reset, 0)
            } else if std::mem::take(&mut flow.due.stop) {
                (Op::Stop, 0)
            } else if std::mem::take(&mut flow.due.credit) {
                (Op::Credit, flow.input.grant())
            } else {
                flow.due.listed = false;
                continue;
            };
            self.urgent.push_back(id);
            self.remove_if_over(id);
            return Some(self.record(op, class, id, offset, Bytes::new()));
        }
        None
    }

    fn pick_fresh(&mut self, class: Class) -> Option<Record> {
        while let Some(id) = self.ready[class as usize].pop_front() {
            let Some(flow) = self.streams.get_mut(&id) else { continue };
            flow.listed = false;
            let out = &mut flow.out;
            let picked = if let Some(service) = out.open.take() {
                Some((Op::Open, 0, service))
            } else if let Some((offset, bytes)) = out.take() {
                Some((Op::Raw, offset, bytes))
            } else if out.wants_fin() {
                out.state = OutState::Over;
                Some((Op::Fin, out.offset, Bytes::new()))
            } else {
                None
            };
            let Some((op, offset, raw)) = picked else { continue };
            // Back to the end of the line: streams of one class take turns.
            self.mark_ready(id);
            self.remove_if_over(id);
            return Some(self.record(op, class, id, offset, raw));
        }
        None
    }

    fn record(&mut self, op: Op, class: Class, stream: u32, offset: u64, raw: Bytes) -> Record {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        Record { op, class, stream, offset, sequence, raw }
    }

    /// Lists a stream if it has something to send.
    pub(super) fn mark_ready(&mut self, id: u32) {
        let connected = self.peer.is_some();
        let Some(flow) = self.streams.get_mut(&id) else { return };
        if connected && !flow.listed && flow.out.is_ready() {
            flow.listed = true;
            self.ready[flow.class as usize].push_back(id);
            self.wake_lanes();
        }
    }

    /// Lists a stream that owes a small record.
    pub(super) fn mark_urgent(&mut self, id: u32) {
        let Some(flow) = self.streams.get_mut(&id) else { return };
        if !flow.due.listed {
            flow.due.listed = true;
            self.urgent.push_back(id);
        }
        self.wake_lanes();
    }

    /// The socket took the record: it no longer counts as unsent.
    pub(in crate::tunnel) fn written(&mut self, ticket: &Ticket, sequence: u64) {
        let Some(lane) = self.lane(ticket) else { return };
        let found = lane.unacked.iter_mut().rev().find(|pending| pending.record.sequence == sequence);
        // Acknowledged already: then it was counted there.
        let Some(pending) = found.filter(|pending| !pending.written) else { return };
        pending.written = true;
        let record = Arc::clone(&pending.record);
        self.release_unsent(&record);
    }

    fn release_unsent(&mut self, record: &Record) {
        if record.op != Op::Raw {
            return;
        }
        if let Some(flow) = self.streams.get_mut(&record.stream) {
            flow.out.unsent = flow.out.unsent.saturating_sub(record.raw.len());
            if let Some(waker) = flow.out.waker.take() {
                waker.wake();
            }
        }
    }

    /// The peer has the first `count` records of the lane.
    pub(super) fn on_ack(&mut self, ticket: &Ticket, count: u64) -> Result<(), MalformedRecord> {
        let Some(lane) = self.lane(ticket) else { return Ok(()) };
        if count > lane.sent {
            return Err(MalformedRecord::Ack(count));
        }
        let fresh = usize::try_from(count.saturating_sub(lane.acked_by_peer)).unwrap_or(usize::MAX);
        lane.acked_by_peer = lane.acked_by_peer.max(count);
        let done: Vec<_> = lane.unacked.drain(..fresh.min(lane.unacked.len())).collect();
        lane.unacked_bytes -= done.iter().map(|pending| pending.record.raw.len()).sum::<usize>();
        lane.notify.notify_one();
        for pending in done.iter().filter(|pending| !pending.written) {
            self.release_unsent(&pending.record);
        }
        Ok(())
    }
}

impl super::lanes::LaneState {
    /// Whether so many records came that the peer should know at once.
    pub(super) fn owes_ack(&self) -> bool {
        self.received - self.acked_to_peer >= ACK_EVERY
    }

    fn small_record(&mut self, now: Instant, ping_every: Duration) -> Option<Header> {
        if let Some(header) = self.small.pop_front() {
            return Some(header);
        }
        if self.owes_ack() || self.ack_since.is_some_and(|since| now >= since + ACK_WITHIN) {
            self.acked_to_peer = self.received;
            self.ack_since = None;
            return Some(Header::of_lane(Op::Ack, self.received));
        }
        if now >= self.next_ping {
            let nonce = fastrand::u64(..);
            self.next_ping = now + ping_every;
            self.asked = Some((nonce, now));
            return Some(Header::of_lane(Op::Ping, nonce));
        }
        None
    }
}
