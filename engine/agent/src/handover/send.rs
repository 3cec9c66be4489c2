//! The source's driver.

use std::fs;
use std::io;
use std::pin::pin;
use std::time::Duration;

use longhaul_model::ids::RunId;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::UnixListener;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::error::Error;
use super::frame::{self, Frame, Hello, PROTOCOL_VERSION, Relinquish};
use super::hooks::{OnProgress, Progress};
use super::outgoing::{self, Switched, Watch, millis};
use super::pump::pump;
use super::settle::{Moved, Sent, SourceSide, Stayed};
use super::source::{Event, Source};
use crate::facts::{Decision, Epoch, Relinquishment, StateDigest};
use crate::faults::FaultPoint;
use crate::vm::Machine;

/// How long QEMU may take to connect to the agent's socket.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// How long RELINQUISH may take to leave. What does not leave is asked for instead.
const PROMISE_DEADLINE: Duration = Duration::from_secs(10);

/// One attempt at the source. Its epoch comes from [`Facts::begin_attempt`](crate::facts::Facts::begin_attempt), and the
/// target has prepared itself for it.
#[derive(Clone)]
pub struct Sending {
    /// What it works with; the machine is there.
    pub side: SourceSide,
    /// The run.
    pub run: RunId,
    /// The attempt's epoch.
    pub epoch: Epoch,
    /// Who wants to know how far it is.
    pub progress: OnProgress,
}

/// Hands the guest over through the stream (the target's service `incoming/VM`).
///
/// Ends when it is decided where the guest runs, however long that takes after RELINQUISH. Dropping the future leaves
/// things as the death of the agent would: the caller then calls [`recover_source`](super::recover_source), and must
/// not before.
///
/// # Errors
/// [`Error::Crashed`] if the source QEMU died before the promise; others mean that the end could not be brought about here
/// and now, and recovering goes on.
pub async fn send<S>(sending: &Sending, stream: S) -> Result<Sent, Error>
where
    S: AsyncRead + AsyncWrite + Send,
{
    let crashed = || Error::Crashed { vm: sending.side.vm.clone() };
    let machine = sending.side.machine.as_ref().ok_or_else(crashed)?;
    let (reader, writer) = tokio::io::split(stream);
    let writer = Mutex::new(writer);
    let mut reply = pin!(reply(sending.epoch, reader));
    let mut source = Source::begin();
    let copied = tokio::select! {
        copied = copy(sending, machine, &writer) => copied,
        early = &mut reply => Err(refused(early)),
    };
    match copied {
        Ok((state, switched)) => {
            let promise = promise(sending, &writer, &mut source, state, switched).await?;
            (sending.progress)(done(&promise));
            let attempt = (&sending.run, sending.epoch);
            let (decision, actions) = sending.side.until_decided(attempt, &mut source, Some(reply)).await;
            sending.side.carry_out(sending.epoch, actions).await?;
            outcome(&sending.side, sending.epoch, promise, decision).await
        }
        Err(error) if error.is_fatal() => Err(error),
        Err(error) => {
            tracing::warn!(vm = %sending.side.vm, epoch = %sending.epoch, error = error.chain(), "the attempt is given up");
            // A target that hears the end of the stream refuses; if it does not hear it, it never gets a RELINQUISH.
            let _ = timeout(PROMISE_DEADLINE, writer.into_inner().shutdown()).await;
            sending.side.carry_out(sending.epoch, source.on(Event::Failed)).await?;
            let epoch = sending.side.owned_epoch().await?;
            Ok(Sent::Stayed(Stayed { epoch, why: error.refusal() }))
        }
    }
}

/// How a decided hand-over ended, for the one who asked for it.
pub(super) async fn outcome(
    side: &SourceSide,
    epoch: Epoch,
    promise: Relinquishment,
    decision: Decision,
) -> Result<Sent, Error> {
    match decision {
        Decision::Run { runs_at_unix_us } => Ok(Sent::Moved(Moved { epoch, promise, runs_at_unix_us })),
        Decision::Nack(why) => Ok(Sent::Stayed(Stayed { epoch: side.owned_epoch().await?, why })),
    }
}

fn done(promise: &Relinquishment) -> Progress {
    let bytes = promise.state.bytes;
    Progress { bytes_done: bytes, bytes_total: bytes, bytes_per_second: 0, phase: "answer" }
}

fn refused(early: Option<Decision>) -> Error {
    match early {
        Some(Decision::Nack(refusal)) => Error::Refused(refusal),
        Some(Decision::Run { .. }) => Error::Protocol { what: "RUN before RELINQUISH".to_owned() },
        None => Error::Stream(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// The single answer that comes back; `None` when the stream ends without one that belongs to this attempt.
async fn reply<S: AsyncRead>(epoch: Epoch, mut reader: ReadHalf<S>) -> Option<Decision> {
    match frame::read(&mut reader).await {
        Ok(Frame::Reply(reply)) if reply.epoch == epoch => Some(reply.decision),
        Ok(_) | Err(_) => None,
    }
}

fn hello(sending: &Sending) -> Hello {
    let (vm, run) = (sending.side.vm.clone(), sending.run.clone());
    Hello { version: PROTOCOL_VERSION, vm, run, epoch: sending.epoch }
}

/// Everything before the promise: the guest runs on until the switch.
async fn copy<S: AsyncWrite>(
    sending: &Sending,
    machine: &Machine,
    writer: &Mutex<WriteHalf<S>>,
) -> Result<(StateDigest, Switched), Error> {
    let faults = &sending.side.faults;
    faults.reach(FaultPoint::SourceBegun).await;
    frame::write(&mut *writer.lock().await, Frame::Hello(hello(sending))).await?;
    faults.reach(FaultPoint::SourceHelloSent).await;
    let listener = listen(machine)?;
    let watch = Watch::new(sending, machine, writer);
    outgoing::begin(machine, &sending.side.limits).await?;
    let late = |_| Error::Deadline { what: "QEMU to connect" };
    let (qemu, _) = timeout(CONNECT_DEADLINE, listener.accept()).await.map_err(late)??;
    faults.reach(FaultPoint::SourceMigrating).await;
    let pumped = async { pump(qemu, writer).await.map_err(Error::from) };
    tokio::try_join!(pumped, watch.run())
}

fn listen(machine: &Machine) -> Result<UnixListener, Error> {
    let path = machine.paths().outgoing();
    match fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    Ok(UnixListener::bind(path)?)
}

/// Makes RELINQUISH durable, then sends it. Whether it arrives is asked later; that it is durable is known.
async fn promise<S: AsyncWrite>(
    sending: &Sending,
    writer: &Mutex<WriteHalf<S>>,
    source: &mut Source,
    state: StateDigest,
    switched: Switched,
) -> Result<Relinquishment, Error> {
    let (side, epoch) = (&sending.side, sending.epoch);
    let promise = Relinquishment {
        state: state.clone(),
        stopped_at_unix_us: switched.stopped_at_unix_us,
        predicted_pause_ms: millis(switched.predicted_pause),
        marked_absent_bytes: switched.extents.iter().map(|extent| extent.length).sum(),
    };
    side.faults.reach(FaultPoint::SourceCompleted).await;
    // The actions of `Completed` are these two, in this order.
    source.on(Event::Completed);
    let (vm, durable) = (side.vm.clone(), promise.clone());
    side.facts.apart(move |facts| facts.relinquish(&vm, epoch, &durable)).await?;
    side.faults.reach(FaultPoint::SourceRelinquished).await;
    let extents = switched.extents.len() as u64;
    let last = Frame::Relinquish(Relinquish { hello: hello(sending), state, extents });
    let sent = timeout(PROMISE_DEADLINE, async { frame::write(&mut *writer.lock().await, last).await });
    if !matches!(sent.await, Ok(Ok(()))) {
        tracing::warn!(vm = %side.vm, %epoch, "RELINQUISH did not leave; asking instead");
    }
    side.faults.reach(FaultPoint::SourceRelinquishSent).await;
    Ok(promise)
}
