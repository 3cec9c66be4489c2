//! What holders of streams do.

use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::ReadBuf;
use tokio::time::Instant;

use super::Core;
use super::flow::{Flow, InState, OutState};
use crate::tunnel::class::Class;
use crate::tunnel::error::Error;
use crate::tunnel::record::SERVICE_LEN_MAX;

/// A stream of one epoch.
#[derive(Debug, Clone, Copy)]
pub(in crate::tunnel) struct StreamId {
    pub(in crate::tunnel) epoch: u64,
    pub(in crate::tunnel) number: u32,
}

impl Core {
    /// Opens a stream; its bytes flow when a lane is there.
    pub(in crate::tunnel) fn open(&mut self, service: &str, class: Class) -> Result<StreamId, Error> {
        if let Some(reason) = &self.closed {
            return Err(reason.clone());
        }
        if !(1..=SERVICE_LEN_MAX).contains(&service.len()) {
            return Err(Error::ServiceName);
        }
        let number = self.next_stream;
        self.next_stream = number.checked_add(2).ok_or(Error::StreamNumbers)?;
        let credit = self.peer.map_or(0, |peer| u64::from(peer.window));
        let window = u64::from(self.config.window_bytes_initial);
        let mut flow = Flow::new(class, credit, window, false);
        flow.out.open = Some(Bytes::copy_from_slice(service.as_bytes()));
        flow.held = true;
        self.windows += window;
        self.streams.insert(number, flow);
        self.mark_ready(number);
        Ok(StreamId { epoch: self.epoch, number })
    }

    /// A stream the peer opened.
    pub(in crate::tunnel) fn take_arrived(&mut self) -> Option<(StreamId, Class, String)> {
        while let Some((number, service)) = self.arrived.pop_front() {
            if let Some(flow) = self.streams.get(&number) {
                return Some((StreamId { epoch: self.epoch, number }, flow.class, service));
            }
        }
        None
    }

    pub(in crate::tunnel) fn poll_write(
        &mut self,
        id: StreamId,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, Error>> {
        let flow = self.flow(id)?;
        match flow.out.state {
            OutState::Open => {}
            OutState::Finishing | OutState::Over => return Poll::Ready(Err(Error::StreamFinished)),
            OutState::Stopped => return Poll::Ready(Err(Error::StreamStopped)),
        }
        let accepted = flow.out.push(bytes, flow.class.unsent_max());
        if accepted == 0 && !bytes.is_empty() {
            flow.out.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.mark_ready(id.number);
        Poll::Ready(Ok(accepted))
    }

    pub(in crate::tunnel) fn poll_read(
        &mut self,
        id: StreamId,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        now: Instant,
    ) -> Poll<Result<(), Error>> {
        let rtt = self.rtt;
        let room = self.config.receive_bytes_max.saturating_sub(self.windows);
        let input = &mut self.flow(id)?.input;
        let moved = input.read(buf);
        if moved == 0 && buf.remaining() > 0 {
            if input.state == InState::Reset {
                return Poll::Ready(Err(Error::StreamReset));
            }
            if input.is_whole() {
                return Poll::Ready(Ok(()));
            }
            input.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let growth = input.growth(now, rtt).min(room);
        input.window += growth;
        let wants_credit = input.wants_credit();
        self.windows += growth;
        if wants_credit {
            self.flow(id)?.due.credit = true;
            self.mark_urgent(id.number);
        }
        Poll::Ready(Ok(()))
    }

    /// Nothing more will be written; what was written still goes.
    pub(in crate::tunnel) fn finish(&mut self, id: StreamId) -> Result<(), Error> {
        let flow = self.flow(id)?;
        match flow.out.state {
            OutState::Open => flow.out.state = OutState::Finishing,
            OutState::Finishing | OutState::Over => {}
            OutState::Stopped => return Err(Error::StreamStopped),
        }
        self.mark_ready(id.number);
        Ok(())
    }

    /// Bytes a stream has accepted that no socket has taken.
    pub(in crate::tunnel) fn unsent(&self, id: StreamId) -> usize {
        let flow = self.streams.get(&id.number).filter(|_| id.epoch == self.epoch);
        flow.map_or(0, |flow| flow.out.unsent)
    }

    /// The holder let go: what was finished still goes, what was not is given up, so that the peer never takes a
    /// broken-off stream for a whole one.
    pub(in crate::tunnel) fn release(&mut self, id: StreamId) {
        let Ok(flow) = self.flow(id) else { return };
        flow.held = false;
        if flow.out.state == OutState::Open {
            let announced = flow.out.open.take().is_none();
            flow.out.discard(OutState::Over);
            flow.due.reset = announced;
            if !announced {
                // The peer never heard of it.
                flow.input.state = InState::Stopped;
            }
        }
        if flow.input.state == InState::Open {
            flow.due.stop = flow.input.end.is_none();
            flow.input.discard(InState::Stopped);
        }
        self.mark_urgent(id.number);
        self.remove_if_over(id.number);
    }

    fn flow(&mut self, id: StreamId) -> Result<&mut Flow, Error> {
        if id.epoch != self.epoch {
            return Err(self.lost.clone());
        }
        self.streams.get_mut(&id.number).ok_or(Error::Closed)
    }

    pub(super) fn remove_if_over(&mut self, number: u32) {
        if self.streams.get(&number).is_some_and(Flow::is_over) {
            let flow = self.streams.remove(&number).expect("looked up");
            self.streams_of_peer -= usize::from(flow.of_peer);
            self.windows -= flow.input.window;
        }
    }

    /// Streams that are not over; for tests that nothing stays behind.
    #[cfg(test)]
    pub(in crate::tunnel) fn streams_open(&self) -> usize {
        self.streams.len()
    }
}
