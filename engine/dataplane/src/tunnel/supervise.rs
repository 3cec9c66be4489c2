//! Keeps lanes: dials and re-dials them at one end, takes them at the other.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::core::Ticket;
use super::error::LaneError;
use super::hello::{self, Hello};
use super::lane::{self, Lane};
use super::shared::Shared;

/// Bound of one attempt to connect and authenticate a lane.
const DIAL_MAX: Duration = Duration::from_secs(20);
/// Bound of the lane's introduction: a round trip with losses.
const HELLO_MAX: Duration = Duration::from_secs(10);
/// First pause after a failed or dead lane ...
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// ... doubled up to this: after a cut is healed, streams go on within about two seconds.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Connects lanes to the peer.
pub trait Dial: Send + Sync + 'static {
    /// Connects one lane and authenticates the peer.
    fn dial(&self, lane: u16) -> impl Future<Output = io::Result<Lane>> + Send;
}

impl<F, T> Dial for F
where
    F: Fn(u16) -> T + Send + Sync + 'static,
    T: Future<Output = io::Result<Lane>> + Send,
{
    fn dial(&self, lane: u16) -> impl Future<Output = io::Result<Lane>> + Send {
        self(lane)
    }
}

/// Starts a task per lane.
pub(super) fn keep_lanes(shared: &Arc<Shared>, dial: impl Dial) {
    let dial = Arc::new(dial);
    let lanes = shared.config.lanes_to_dial();
    for lane in 0..lanes {
        tokio::spawn(keep_lane(Arc::clone(shared), Arc::clone(&dial), lane, lanes));
    }
}

async fn keep_lane(shared: Arc<Shared>, dial: Arc<impl Dial>, lane: u16, lanes: u16) {
    let mut closing = shared.closing.subscribe();
    let mut backoff = BACKOFF_MIN;
    loop {
        let attempt = connect(&shared, &*dial, lane, lanes);
        let connected = tokio::select! {
            connected = attempt => connected,
            _ = closing.wait_for(|closing| *closing) => return,
        };
        let error = match connected {
            Ok((ticket, io)) => {
                backoff = BACKOFF_MIN;
                shared.dialled(None);
                lane::run(&shared, &ticket, io).await
            }
            Err(error) => {
                shared.dialled(Some(chain(&error)));
                error
            }
        };
        if shared.core().closed().is_some() {
            return;
        }
        tracing::info!(
            lane,
            error = &error as &dyn std::error::Error,
            "a lane is down and will be dialled again"
        );
        // Half of it at random, so that the lanes do not all knock at once.
        sleep(backoff.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

/// An error and its causes, in one line.
fn chain(error: &LaneError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

async fn connect(
    shared: &Arc<Shared>,
    dial: &impl Dial,
    lane: u16,
    lanes: u16,
) -> Result<(Ticket, Lane), LaneError> {
    let mut io = timeout(DIAL_MAX, dial.dial(lane)).await.map_err(|_| LaneError::Slow(DIAL_MAX))??;
    let sent = Hello::new(&shared.core(), &shared.config, lane, lanes);
    let exchange = async {
        sent.send(&mut io.io).await?;
        Hello::receive(&mut io.io).await
    };
    let reply = timeout(HELLO_MAX, exchange).await.map_err(|_| LaneError::Slow(HELLO_MAX))??;
    let ticket = hello::conclude(&mut shared.core(), &shared.config, sent, reply)?;
    Ok((ticket, io))
}

/// Takes a lane the peer dialled and runs it in a task of its own.
pub(super) async fn attach(shared: &Arc<Shared>, mut lane: Lane) -> Result<(), LaneError> {
    let received = timeout(HELLO_MAX, Hello::receive(&mut lane.io)).await;
    let hello = received.map_err(|_| LaneError::Slow(HELLO_MAX))??;
    let (reply, verdict) = hello::welcome(&mut shared.core(), &shared.config, hello);
    let answered = timeout(HELLO_MAX, reply.send(&mut lane.io)).await;
    let ticket = verdict?;
    if let Err(error) = answered.unwrap_or(Err(LaneError::Slow(HELLO_MAX))) {
        shared.core().detach(&ticket);
        return Err(error);
    }
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let error = lane::run(&shared, &ticket, lane).await;
        tracing::info!(lane = ticket.lane, error = &error as &dyn std::error::Error, "a lane is down");
    });
    Ok(())
}
