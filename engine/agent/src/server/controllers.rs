//! What controllers ask (`longhaul.agent.v1.Agent`).

use std::sync::Arc;
use std::time::Duration;

use longhaul_wire::v1;
use longhaul_wire::v1::agent_server;
use longhaul_wire::version::{PROTOCOL_MAX, PROTOCOL_MIN};
use tonic::{Request, Status};

use super::{Answer, answer};
use crate::agent::Agent;
use crate::error::{Class, Error};
use crate::operations::{Direction, Handle, probe, start};

/// The service for controllers.
pub(crate) struct ForControllers(pub(crate) Arc<Agent>);

#[tonic::async_trait]
impl agent_server::Agent for ForControllers {
    async fn hello(&self, request: Request<v1::HelloRequest>) -> Answer<v1::HelloReply> {
        let asked = request.into_inner();
        let version = asked.version_max.min(PROTOCOL_MAX);
        if version < asked.version_min.max(PROTOCOL_MIN) {
            return Err(Status::failed_precondition(format!(
                "`{}` speaks protocol versions {} to {}, this agent {PROTOCOL_MIN} to {PROTOCOL_MAX}: bring both to one release",
                asked.name, asked.version_min, asked.version_max
            )));
        }
        let build = env!("CARGO_PKG_VERSION").to_owned();
        Ok(tonic::Response::new(v1::HelloReply { version, site: self.0.site.id.to_string(), build }))
    }

    async fn start(&self, request: Request<v1::StartRequest>) -> Answer<v1::StartReply> {
        answer(begin(&self.0, &request.into_inner(), Direction::Do))
    }

    async fn undo(&self, request: Request<v1::StartRequest>) -> Answer<v1::StartReply> {
        answer(begin(&self.0, &request.into_inner(), Direction::Undo))
    }

    async fn get(&self, request: Request<v1::GetRequest>) -> Answer<v1::Operation> {
        let v1::GetRequest { handle, seen_version, wait_ms } = request.into_inner();
        let wait = Duration::from_millis(u64::from(wait_ms));
        let found = match Handle::parse(&handle) {
            Some(handle) => self.0.board.get(&handle, seen_version, wait).await,
            None => Ok(None),
        };
        answer(found.and_then(|operation| operation.ok_or_else(|| no_operation(&handle))))
    }

    async fn adjust(&self, request: Request<v1::AdjustRequest>) -> Answer<v1::AdjustReply> {
        let v1::AdjustRequest { handle, bits_per_second_max, generation } = request.into_inner();
        let parsed = self.admitted(&handle, generation);
        let adjusted = parsed.and_then(|handle| self.0.board.adjust(&handle, bits_per_second_max));
        answer(adjusted.map(|()| v1::AdjustReply {}))
    }

    async fn cancel(&self, request: Request<v1::CancelRequest>) -> Answer<v1::CancelReply> {
        let v1::CancelRequest { handle, generation } = request.into_inner();
        let parsed = self.admitted(&handle, generation);
        answer(parsed.map(|handle| {
            self.0.board.cancel(&handle);
            v1::CancelReply {}
        }))
    }

    async fn probe(&self, request: Request<v1::ProbeRequest>) -> Answer<v1::ProbeReply> {
        let asked = request.into_inner().request.unwrap_or_default();
        Ok(tonic::Response::new(v1::ProbeReply { answer: Some(probe(&self.0, &asked).await) }))
    }

    async fn keep_records(&self, request: Request<v1::KeepRecordsRequest>) -> Answer<v1::KeepRecordsReply> {
        let (kept_runs, asked) = (self.0.kept_runs.clone(), request.into_inner());
        let kept = apart(move || kept_runs.keep(&asked)).await;
        answer(kept.map(|kept| v1::KeepRecordsReply { kept }))
    }

    async fn read_records(&self, request: Request<v1::ReadRecordsRequest>) -> Answer<v1::ReadRecordsReply> {
        let (kept_runs, asked) = (self.0.kept_runs.clone(), request.into_inner());
        answer(apart(move || kept_runs.read(&asked.run, asked.from)).await)
    }

    async fn adopt_run(&self, request: Request<v1::AdoptRunRequest>) -> Answer<v1::AdoptRunReply> {
        let v1::AdoptRunRequest { run, generation, controller } = request.into_inner();
        let admitted = self.0.kept_runs.admit(&run, generation, &controller);
        answer(admitted.map(|()| v1::AdoptRunReply {}))
    }

    async fn list_vms(&self, _: Request<v1::ListVmsRequest>) -> Answer<v1::ListVmsReply> {
        answer(self.0.list_vms().await.map(|vms| v1::ListVmsReply { vms }))
    }

    async fn observe(&self, request: Request<v1::ObserveRequest>) -> Answer<v1::ObserveReply> {
        Ok(tonic::Response::new(self.0.observe(&request.into_inner()).await))
    }
}

impl ForControllers {
    /// The operation of this handle, if the controller that asks still has a say in its run.
    fn admitted(&self, handle: &str, generation: u64) -> Result<Handle, Error> {
        let parsed = Handle::parse(handle).ok_or_else(|| no_operation(handle))?;
        self.0.kept_runs.admit_generation(parsed.run(), generation)?;
        Ok(parsed)
    }
}

/// Carries out what waits for a disk where that holds up nobody.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::internal("keeping records of a run", &error)))
}

fn begin(
    agent: &Arc<Agent>,
    request: &v1::StartRequest,
    direction: Direction,
) -> Result<v1::StartReply, Error> {
    let run = request.key.as_ref().map_or("", |key| key.run.as_str());
    agent.kept_runs.admit(run, request.generation, &request.controller)?;
    start(agent, request, direction).map(|handle| v1::StartReply { handle: handle.to_string() })
}

fn no_operation(handle: &str) -> Error {
    Error::new(Class::Precondition, format!("there is no operation `{handle}` at this site"))
}
