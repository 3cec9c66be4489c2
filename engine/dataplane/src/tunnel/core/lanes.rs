//! Lanes coming and going.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::{Core, Pending};
use crate::tunnel::class::Class;
use crate::tunnel::record::{Header, MalformedRecord, Op};

/// Unanswered questions of the peer on one lane; it sends one in seconds, so more is a fault.
const ANSWERS_MAX: usize = 64;

/// A lane as the state machine sees it.
pub(super) struct LaneState {
    attachment: u64,
    /// Wakes the lane's sender.
    pub(super) notify: Arc<Notify>,
    /// Ends the lane.
    pub(super) kill: Arc<Notify>,
    pub(super) unacked: VecDeque<Pending>,
    pub(super) unacked_bytes: usize,
    pub(super) acked_by_peer: u64,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) acked_to_peer: u64,
    /// Since when something is to be acknowledged.
    pub(super) ack_since: Option<Instant>,
    /// Has a record in hand.
    pub(super) busy: bool,
    /// Questions and answers of this lane alone.
    pub(super) small: VecDeque<Header>,
    pub(super) next_ping: Instant,
    pub(super) asked: Option<(u64, Instant)>,
    pub(super) waiting: Vec<oneshot::Sender<Duration>>,
    /// A record came over it.
    pub(super) answered: bool,
}

/// What a lane's tasks hold.
#[derive(Clone)]
pub(in crate::tunnel) struct Ticket {
    pub(in crate::tunnel) lane: u16,
    pub(super) attachment: u64,
    pub(in crate::tunnel) notify: Arc<Notify>,
    pub(in crate::tunnel) kill: Arc<Notify>,
}

impl Core {
    /// Adds a connected lane; one of the same number is replaced.
    pub(in crate::tunnel) fn attach(&mut self, lane: u16, lanes_total: u16, now: Instant) -> Ticket {
        if let Some(old) = self.lanes.get(&lane) {
            old.kill.notify_one();
            let attachment = old.attachment;
            self.detach_number(lane, attachment);
        }
        self.attachments += 1;
        self.lanes_total = lanes_total;
        let ticket =
            Ticket { lane, attachment: self.attachments, notify: Arc::default(), kill: Arc::default() };
        self.lanes.insert(lane, LaneState::new(&ticket, now));
        self.wake_lanes();
        ticket
    }

    /// Removes a lane that died; what the peer did not acknowledge goes over the others.
    pub(in crate::tunnel) fn detach(&mut self, ticket: &Ticket) {
        self.detach_number(ticket.lane, ticket.attachment);
    }

    fn detach_number(&mut self, lane: u16, attachment: u64) {
        if self.lanes.get(&lane).is_none_or(|state| state.attachment != attachment) {
            return;
        }
        let state = self.lanes.remove(&lane).expect("looked up above");
        for pending in state.unacked {
            self.resend[pending.record.class as usize].push_back(pending);
        }
        for queue in &mut self.resend {
            queue.make_contiguous().sort_by_key(|pending| pending.record.sequence);
        }
        self.wake_lanes();
    }

    /// The lane of a ticket, unless it was replaced.
    pub(super) fn lane(&mut self, ticket: &Ticket) -> Option<&mut LaneState> {
        self.lanes.get_mut(&ticket.lane).filter(|state| state.attachment == ticket.attachment)
    }

    /// Whether every lane is there and has carried a record from the peer.
    pub(in crate::tunnel) fn is_complete(&self) -> bool {
        self.lanes_total > 0
            && self.lanes.len() == usize::from(self.lanes_total)
            && self.lanes.values().all(|lane| lane.answered)
    }

    pub(in crate::tunnel) fn has_lanes(&self) -> bool {
        !self.lanes.is_empty()
    }

    pub(in crate::tunnel) fn lanes_total(&self) -> u16 {
        self.lanes_total
    }

    /// Asks the peer over the lane reserved for such things.
    pub(in crate::tunnel) fn ask(&mut self, answer: oneshot::Sender<Duration>, now: Instant) {
        if let Some(lane) = self.lanes.values_mut().next() {
            lane.waiting.retain(|waiting| !waiting.is_closed());
            lane.waiting.push(answer);
            // An older question may have been asked when the lane was full; the answer to a new one is the truth.
            lane.asked = None;
            lane.next_ping = now;
            lane.notify.notify_one();
        }
    }

    /// Tells every lane that the tunnel is closed.
    pub(in crate::tunnel) fn announce_close(&mut self) {
        for lane in self.lanes.values_mut() {
            lane.small.push_back(Header::of_lane(Op::Close, 0));
            lane.notify.notify_one();
        }
    }

    /// Wakes senders that wait for something to send.
    pub(super) fn wake_lanes(&self) {
        for lane in self.lanes.values().filter(|lane| !lane.busy) {
            lane.notify.notify_one();
        }
    }

    /// Whether a lane may carry a class now.
    ///
    /// The first lane is kept free of bulk, so that its socket never holds bulk before something urgent. Urgent records
    /// use the other lanes only while that lane is taken.
    pub(super) fn may_carry(&self, lane: u16, class: Class) -> bool {
        let reserved = self.lanes.get(&0);
        match (lane, class.is_bulk()) {
            (0, true) => self.lanes.len() == 1,
            (0, false) | (_, true) => true,
            (_, false) => reserved.is_none_or(|reserved| reserved.busy),
        }
    }

    pub(super) fn on_ping(&mut self, ticket: &Ticket, nonce: u64) -> Result<(), MalformedRecord> {
        let Some(lane) = self.lane(ticket) else { return Ok(()) };
        if lane.small.len() >= ANSWERS_MAX {
            return Err(MalformedRecord::Flood);
        }
        lane.small.push_back(Header::of_lane(Op::Pong, nonce));
        lane.notify.notify_one();
        Ok(())
    }

    pub(super) fn on_pong(&mut self, ticket: &Ticket, nonce: u64, now: Instant) {
        let Some(lane) = self.lane(ticket) else { return };
        let Some((_, asked_at)) = lane.asked.take_if(|(asked, _)| *asked == nonce) else { return };
        let rtt = now - asked_at;
        for waiting in lane.waiting.drain(..) {
            // Whoever asked may have stopped waiting.
            let _gone = waiting.send(rtt);
        }
        self.rtt = rtt;
    }
}

impl LaneState {
    fn new(ticket: &Ticket, now: Instant) -> Self {
        Self {
            attachment: ticket.attachment,
            notify: Arc::clone(&ticket.notify),
            kill: Arc::clone(&ticket.kill),
            unacked: VecDeque::new(),
            unacked_bytes: 0,
            acked_by_peer: 0,
            sent: 0,
            received: 0,
            acked_to_peer: 0,
            ack_since: None,
            busy: false,
            small: VecDeque::new(),
            next_ping: now,
            asked: None,
            waiting: Vec::new(),
            answered: false,
        }
    }
}
