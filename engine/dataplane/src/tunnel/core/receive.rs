//! What came on a lane.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::flow::{Flow, InState, OutState};
use super::lanes::Ticket;
use super::{Core, Role};
use crate::tunnel::error::Error;
use crate::tunnel::record::{Header, MalformedRecord, Op};
use crate::tunnel::seen::Insert;

impl Core {
    /// Takes a record with its decoded payload. Returns whether it was new.
    ///
    /// # Errors
    /// The peer broke the protocol; nothing of the record was taken.
    pub(in crate::tunnel) fn on_record(
        &mut self,
        ticket: &Ticket,
        header: &Header,
        payload: Bytes,
        now: Instant,
    ) -> Result<bool, MalformedRecord> {
        let Some(lane) = self.lane(ticket) else { return Ok(false) };
        lane.answered = true;
        match header.op {
            Op::Ack => self.on_ack(ticket, header.offset)?,
            Op::Ping => self.on_ping(ticket, header.offset)?,
            Op::Pong => self.on_pong(ticket, header.offset, now),
            Op::Close => self.reset(Error::PeerClosed),
            Op::Zero | Op::Zstd | Op::Raw | Op::Open | Op::Fin | Op::Reset | Op::Stop | Op::Credit => {
                return self.on_reliable(ticket, header, payload, now);
            }
        }
        Ok(true)
    }

    fn on_reliable(
        &mut self,
        ticket: &Ticket,
        header: &Header,
        payload: Bytes,
        now: Instant,
    ) -> Result<bool, MalformedRecord> {
        let new = match self.seen.insert(header.sequence) {
            Insert::New => true,
            Insert::Known => false,
            Insert::Full => return Err(MalformedRecord::Sequence(header.sequence)),
        };
        if new {
            self.on_stream_record(header, payload)?;
        }
        self.owe_ack(ticket, now);
        Ok(new)
    }

    fn owe_ack(&mut self, ticket: &Ticket, now: Instant) {
        let Some(lane) = self.lane(ticket) else { return };
        lane.received += 1;
        let first = lane.ack_since.replace(lane.ack_since.unwrap_or(now)).is_none();
        // The sender sleeps until something is due; it learns when that is sooner.
        if first || lane.owes_ack() {
            lane.notify.notify_one();
        }
    }

    fn on_stream_record(&mut self, header: &Header, payload: Bytes) -> Result<(), MalformedRecord> {
        let id = header.stream;
        if !self.streams.contains_key(&id) && !self.admit(header)? {
            // A stream that is over here: what is still on its way to it is not wanted.
            return Ok(());
        }
        let flow = self.streams.get_mut(&id).expect("looked up or admitted above");
        match header.op {
            Op::Zero | Op::Zstd | Op::Raw => flow.input.insert(id, header.offset, payload)?,
            Op::Open => return self.on_open(id, &payload),
            Op::Fin => flow.input.finish(id, header.offset)?,
            Op::Reset if flow.input.state == InState::Open => flow.input.discard(InState::Reset),
            Op::Reset => {}
            Op::Stop if flow.out.state != OutState::Over => flow.out.discard(OutState::Stopped),
            Op::Stop => {}
            Op::Credit => {
                flow.out.credit = flow.out.credit.max(header.offset);
                self.mark_ready(id);
            }
            Op::Ack | Op::Ping | Op::Pong | Op::Close => {}
        }
        self.remove_if_over(id);
        Ok(())
    }

    /// Makes room for a stream of the peer whose first record came, which need not be its `Open`.
    fn admit(&mut self, header: &Header) -> Result<bool, MalformedRecord> {
        let id = header.stream;
        let of_peer = match self.role {
            Role::Dialer => id != 0 && id.is_multiple_of(2),
            Role::Acceptor => !id.is_multiple_of(2),
        };
        if !of_peer && (id == 0 || id >= self.next_stream) {
            return Err(MalformedRecord::Stream(id));
        }
        if !of_peer {
            return Ok(false);
        }
        match self.seen_streams.insert(u64::from(id.div_ceil(2))) {
            Insert::Known => return Ok(false),
            Insert::Full => return Err(MalformedRecord::Stream(id)),
            Insert::New => {}
        }
        let credit = self.peer.map_or(0, |peer| u64::from(peer.window));
        let window = u64::from(self.config.window_bytes_initial);
        let mut flow = Flow::new(header.class, credit, window, true);
        let refused = self.streams_of_peer >= self.config.streams_max;
        if refused {
            flow.out.state = OutState::Over;
            flow.input.state = InState::Stopped;
            flow.due.reset = true;
            flow.due.stop = true;
        }
        self.streams_of_peer += 1;
        self.windows += window;
        self.streams.insert(id, flow);
        if refused {
            self.mark_urgent(id);
        }
        Ok(true)
    }

    fn on_open(&mut self, id: u32, service: &[u8]) -> Result<(), MalformedRecord> {
        let service = std::str::from_utf8(service).map_err(|_| MalformedRecord::Service)?.to_owned();
        let flow = self.streams.get_mut(&id).expect("the caller has looked it up");
        if !flow.of_peer {
            return Err(MalformedRecord::Stream(id));
        }
        if flow.input.state != InState::Stopped {
            flow.held = true;
            self.arrived.push_back((id, service));
            Arc::clone(&self.arrival).notify_one();
        }
        Ok(())
    }
}
