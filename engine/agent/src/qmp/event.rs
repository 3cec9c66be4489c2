//! What QEMU tells without being asked.

use serde_json::Value;
use tokio::sync::broadcast;

/// One event, known to this program or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// QEMU's name for it, such as `STOP`.
    pub name: String,
    /// Its data; null if it has none.
    pub data: Value,
    /// QEMU's clock, microseconds since 1970.
    pub at_unix_us: u64,
}

/// Events from the moment of [`Client::events`](super::Client::events) on, across reconnects.
#[derive(Debug)]
pub struct Events(pub(super) broadcast::Receiver<Event>);

impl Events {
    /// The next event; `None` when some were missed because the caller was too slow, after which it has to ask for the
    /// state it is interested in. Waits for ever if nothing happens: callers bound it. Safe to cancel.
    pub async fn next(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "QMP events were missed");
                None
            }
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}
