//! Which part of the agent carries out which operation. A match that dispatches and does nothing else.

use std::sync::Arc;

use longhaul_wire::v1;
use longhaul_wire::v1::outputs::Outputs as Kind;
use longhaul_wire::v1::probe_reply::Answer;
use longhaul_wire::v1::start_request::Operation;

use super::{Begun, Direction, Handle, Open, Task};
use crate::agent::Agent;
use crate::error::{Class, Error};

/// Begins an operation or finds the one begun before.
///
/// # Errors
/// When it could not be made durable; it has not begun then.
pub(crate) fn start(
    agent: &Arc<Agent>,
    request: &v1::StartRequest,
    direction: Direction,
) -> Result<Handle, Error> {
    match agent.board.begin(request, direction)? {
        Begun::Known(handle) => {
            agent.board.adjust(&handle, request.bits_per_second_max)?;
            Ok(handle)
        }
        Begun::New(handle, task) => {
            spawn(agent, handle.clone(), request.clone(), task);
            Ok(handle)
        }
    }
}

/// Takes up the operations that the last process left open.
pub(crate) fn resume(agent: &Arc<Agent>, open: Vec<Open>) {
    for Open { handle, request, task } in open {
        tracing::info!(operation = %handle, "an open operation is taken up again");
        spawn(agent, handle, request, task);
    }
}

fn spawn(agent: &Arc<Agent>, handle: Handle, request: v1::StartRequest, task: Task) {
    let agent = Arc::clone(agent);
    tokio::spawn(async move {
        let result = perform(&agent, &handle, &request, &task).await;
        if let Err(error) = &result {
            tracing::warn!(operation = %handle, %error, "an operation failed");
        }
        let outputs = result.map(|kind| v1::Outputs { outputs: Some(kind) });
        if let Err(error) = agent.board.end(&handle, outputs) {
            agent.fail(&error);
        }
    });
}

async fn perform(
    agent: &Arc<Agent>,
    handle: &Handle,
    request: &v1::StartRequest,
    task: &Task,
) -> Result<Kind, Error> {
    let (Some(key), Some(operation)) = (&request.key, &request.operation) else {
        return Err(not_understood());
    };
    let asked = Asked { run: &key.run, controller: &request.controller, task };
    match handle.direction() {
        Direction::Do => bring_about(agent, key, operation, &asked).await,
        Direction::Undo => {
            take_away(agent, key, operation, &asked).await.map(|()| Kind::Undone(v1::Undone {}))
        }
    }
}

async fn bring_about(
    agent: &Arc<Agent>,
    key: &v1::Key,
    operation: &Operation,
    asked: &Asked<'_>,
) -> Result<Kind, Error> {
    match operation {
        Operation::StartVm(o) => agent.start_vm(o).await.map(Kind::VmStarted),
        Operation::StopVm(o) => agent.stop_vm(o).await.map(Kind::VmStopped),
        Operation::OpenTunnel(o) => agent.open_tunnel(o, asked).await.map(Kind::TunnelOpened),
        Operation::Prefetch(o) => agent.prefetch(o, key, asked).await.map(Kind::Prefetched),
        Operation::PrepareName(o) => agent.prepare_name(o, key).await.map(Kind::NamePrepared),
        Operation::RedirectName(o) => agent.redirect_name(o, key).await.map(Kind::NameRedirected),
        Operation::MoveVm(o) => agent.move_vm(o, asked).await.map(Kind::VmMoved),
        Operation::SettleDisk(o) => agent.settle_disk(o, asked).await.map(Kind::DiskSettled),
        Operation::DiscardCopy(o) => agent.discard_copy(o, asked).await.map(Kind::CopyDiscarded),
    }
}

/// What every longer operation needs to know about who asked.
pub(crate) struct Asked<'a> {
    pub(crate) run: &'a str,
    pub(crate) controller: &'a str,
    pub(crate) task: &'a Task,
}

async fn take_away(
    agent: &Arc<Agent>,
    key: &v1::Key,
    operation: &Operation,
    asked: &Asked<'_>,
) -> Result<(), Error> {
    if agent.board.undone(key)? {
        return Ok(());
    }
    if !matches!(operation, Operation::MoveVm(_) | Operation::SettleDisk(_)) {
        asked.task.phase("stopping it");
        agent.board.stop(key).await;
    }
    match operation {
        Operation::StartVm(o) => agent.stop_vm(&v1::StopVm { vm: o.vm.clone() }).await.map(drop),
        Operation::StopVm(o) => agent.start_vm(&v1::StartVm { vm: o.vm.clone() }).await.map(drop),
        // The tunnel serves every VM between two sites and is kept up by their agents; no run opened it.
        Operation::OpenTunnel(_) => Ok(()),
        Operation::Prefetch(o) => agent.undo_prefetch(o, key, asked).await,
        Operation::PrepareName(o) => agent.names.undo_prepare(o, key),
        Operation::RedirectName(o) => agent.names.undo_redirect(o, key),
        Operation::MoveVm(_) | Operation::SettleDisk(_) => Err(Error::new(
            Class::Precondition,
            "a hand-over is not undone: to go back, move the VM back with a new run",
        )),
        Operation::DiscardCopy(_) => Err(Error::new(
            Class::Precondition,
            "a copy that was thrown away does not come back: make another one with a new run",
        )),
    }
}

/// Whether an operation's effect is there.
pub(crate) async fn probe(agent: &Arc<Agent>, request: &v1::StartRequest) -> Answer {
    let (Some(key), Some(operation)) = (&request.key, &request.operation) else {
        return Answer::CannotTell(not_understood().failure());
    };
    match agent.board.undone(key) {
        Ok(true) => return Answer::Absent(v1::Absent {}),
        Ok(false) => {}
        Err(error) => return Answer::CannotTell(error.failure()),
    }
    let known = agent.board.done(key).and_then(|done| Ok((done, agent.board.partial(key)?)));
    match known {
        Ok((Some(outputs), _)) => {
            return match agent.names.stands(outputs.outputs.as_ref()).await {
                Ok(true) => Answer::Done(outputs),
                Ok(false) => Answer::Partial(v1::Partial {}),
                Err(error) => Answer::CannotTell(error.failure()),
            };
        }
        Ok((None, true)) => return Answer::Partial(v1::Partial {}),
        Ok((None, false)) => {}
        Err(error) => return Answer::CannotTell(error.failure()),
    }
    let found = match operation {
        Operation::MoveVm(o) => agent.probe_move(o, &key.run).await,
        // Every other operation is begun only with its row durable, and a row of this key that was neither done nor is
        // under way failed: with certainly no lasting effect, or with one that its undoing takes away.
        Operation::StartVm(_)
        | Operation::StopVm(_)
        | Operation::OpenTunnel(_)
        | Operation::Prefetch(_)
        | Operation::PrepareName(_)
        | Operation::RedirectName(_)
        | Operation::SettleDisk(_)
        | Operation::DiscardCopy(_) => Ok(None),
    };
    match found {
        Ok(Some(outputs)) => Answer::Done(v1::Outputs { outputs: Some(outputs) }),
        Ok(None) => Answer::Absent(v1::Absent {}),
        Err(error) => Answer::CannotTell(error.failure()),
    }
}

fn not_understood() -> Error {
    Error::new(
        Class::Permanent,
        "the request names no operation that this agent knows: bring both sides to one release",
    )
}
