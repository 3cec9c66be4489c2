//! Looks into the inbox while a run is under way.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use longhaul_model::ids::RunId;
use tokio::sync::mpsc;

use super::looping::News;
use crate::inbox::Inbox;
use crate::journal::Error;

/// How long a message may lie there before it is read: shorter than people notice.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Looks for as long as it lives.
pub(super) struct Postman {
    /// Dropped with it, which ends the thread.
    _stays: Sender<()>,
}

impl Postman {
    /// Begins to bring every message behind this one. An inbox that cannot be read is said once and tried again.
    pub(super) fn start(
        directory: &Path,
        run: RunId,
        mut last: u64,
        outbox: mpsc::Sender<News>,
    ) -> Result<Self, Error> {
        let (stays, gone) = channel();
        let io = |source| Error::Io { path: directory.join("inbox.db"), source };
        let directory = directory.to_owned();
        let deliver = move || {
            let mut inbox = None;
            let mut said = false;
            loop {
                match look(&mut inbox, &directory, &run, &mut last, &outbox) {
                    Ok(()) => said = false,
                    Err(error) if !said => {
                        tracing::warn!(%error, "cannot read what people want the run to know");
                        (inbox, said) = (None, true);
                    }
                    Err(_) => inbox = None,
                }
                if gone.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Disconnected) {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("inbox".to_owned()).spawn(deliver).map_err(io)?;
        Ok(Self { _stays: stays })
    }
}

fn look(
    inbox: &mut Option<Inbox>,
    directory: &Path,
    run: &RunId,
    last: &mut u64,
    outbox: &mpsc::Sender<News>,
) -> Result<(), Error> {
    let inbox = match inbox {
        Some(inbox) => inbox,
        None => inbox.insert(Inbox::open(directory)?),
    };
    for letter in inbox.after(run, *last)? {
        *last = letter.number;
        // A driver that has stopped reads it when the run is resumed.
        let _ = outbox.blocking_send(News::Letter(letter));
    }
    Ok(())
}
