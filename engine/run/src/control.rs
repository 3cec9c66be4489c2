//! What an operator can ask of a run under way.

use tokio::sync::watch;

/// A handle to a run under way; clones act on the same run.
#[derive(Debug, Clone, Default)]
pub struct Control {
    wanted: watch::Sender<Wanted>,
}

/// What was asked for so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) stop: bool,
    pub(crate) cancel: Option<String>,
}

impl Control {
    /// A handle that has asked for nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops the driver. Nothing is given up: effects go on where they are, and the run can be resumed.
    pub fn stop(&self) {
        self.wanted.send_modify(|wanted| wanted.stop = true);
    }

    /// Gives the run up: what can be undone is undone. The first reason stays.
    pub fn cancel(&self, reason: impl Into<String>) {
        let reason = reason.into();
        self.wanted.send_modify(|wanted| {
            wanted.cancel.get_or_insert(reason);
        });
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Wanted> {
        self.wanted.subscribe()
    }
}
