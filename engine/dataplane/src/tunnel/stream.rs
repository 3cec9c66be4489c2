//! A logical stream as its user sees it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::class::Class;
use super::core::StreamId;
use super::shared::Shared;

/// A two-way stream of bytes through the tunnel.
///
/// `shutdown` ends the sending half; reading goes on. Dropping a stream whose sending half was not shut down gives it
/// up: the peer reads [`Error::StreamReset`](super::Error::StreamReset), never a clean end. Writes are taken until the
/// class's bound of unsent bytes is reached; flushing is not needed.
#[derive(Debug)]
pub struct Stream {
    shared: Arc<Shared>,
    id: StreamId,
    class: Class,
}

impl Stream {
    pub(super) fn new(shared: Arc<Shared>, id: StreamId, class: Class) -> Self {
        Self { shared, id, class }
    }

    /// The class its records are sent in.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// Bytes written that no socket has taken yet; at most 128 KiB for hand-over, packets and demand.
    #[must_use]
    pub fn unsent_bytes(&self) -> usize {
        self.shared.core().unsent(self.id)
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let result = ready!(self.shared.core().poll_read(self.id, cx, buf, Instant::now()));
        Poll::Ready(result.map_err(io::Error::from))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = ready!(self.shared.core().poll_write(self.id, cx, bytes));
        Poll::Ready(result.map_err(io::Error::from))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shared.core().finish(self.id).map_err(io::Error::from))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.core().release(self.id);
    }
}
