//! Keeps the reason a connection failed for.
//!
//! A server refuses a client's certificate only after the client's handshake is done, so the refusal comes with the first
//! read; below HTTP/2 the error's type is lost and only its text remains.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::tls::{self, Connected};

/// Where the last reason is kept; empty while nothing failed.
#[derive(Clone, Default)]
pub(crate) struct Reason {
    slot: Arc<Mutex<Option<tls::Error>>>,
}

impl Reason {
    pub(crate) fn keep(&self, error: tls::Error) {
        *self.slot.lock().expect("no holder of this lock panics") = Some(error);
    }

    pub(crate) fn take(&self) -> Option<tls::Error> {
        self.slot.lock().expect("no holder of this lock panics").take()
    }
}

/// A connection whose reading errors are kept.
pub(crate) struct Watched {
    stream: Connected,
    reason: Reason,
}

impl Watched {
    pub(crate) fn new(stream: Connected, reason: Reason) -> Self {
        Self { stream, reason }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Poll::Ready(Err(error)) = &result
            && let Some(found) = tls::Error::find(error)
        {
            self.reason.keep(found);
        }
        result
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
