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
        let v1::AdjustRequest { handle, bits_per_second_max } = request.into_inner();
        let parsed = Handle::parse(&handle).ok_or_else(|| no_operation(&handle));
        let adjusted = parsed.and_then(|handle| self.0.board.adjust(&handle, bits_per_second_max));
        answer(adjusted.map(|()| v1::AdjustReply {}))
    }

    async fn cancel(&self, request: Request<v1::CancelRequest>) -> Answer<v1::CancelReply> {
        let handle = request.into_inner().handle;
        let parsed = Handle::parse(&handle).ok_or_else(|| no_operation(&handle));
        answer(parsed.map(|handle| {
            self.0.board.cancel(&handle);
            v1::CancelReply {}
        }))
    }

    async fn probe(&self, request: Request<v1::ProbeRequest>) -> Answer<v1::ProbeReply> {
        let asked = request.into_inner().request.unwrap_or_default();
        Ok(tonic::Response::new(v1::ProbeReply { answer: Some(probe(&self.0, &asked).await) }))
    }

    async fn list_vms(&self, _: Request<v1::ListVmsRequest>) -> Answer<v1::ListVmsReply> {
        answer(self.0.list_vms().await.map(|vms| v1::ListVmsReply { vms }))
    }

    async fn observe(&self, request: Request<v1::ObserveRequest>) -> Answer<v1::ObserveReply> {
        Ok(tonic::Response::new(self.0.observe(&request.into_inner()).await))
    }
}

fn begin(
    agent: &Arc<Agent>,
    request: &v1::StartRequest,
    direction: Direction,
) -> Result<v1::StartReply, Error> {
    start(agent, request, direction).map(|handle| v1::StartReply { handle: handle.to_string() })
}

fn no_operation(handle: &str) -> Error {
    Error::new(Class::Precondition, format!("there is no operation `{handle}` at this site"))
}
