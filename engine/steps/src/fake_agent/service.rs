//! The gRPC service of a fake agent.

use std::sync::Arc;

use longhaul_model::ids::SiteId;
use longhaul_wire::v1::agent_server::Agent;
use longhaul_wire::v1::{
    AdjustReply, AdjustRequest, AdoptRunReply, AdoptRunRequest, CancelReply, CancelRequest, GetRequest,
    HelloReply, HelloRequest, KeepRecordsReply, KeepRecordsRequest, ListVmsReply, ListVmsRequest,
    ObserveReply, ObserveRequest, Operation, ProbeReply, ProbeRequest, ReadRecordsReply, ReadRecordsRequest,
    StartReply, StartRequest,
};
use tonic::{Request, Response, Status};

use super::world::{World, observed};

pub(super) struct FakeAgent {
    pub(super) site: SiteId,
    pub(super) world: Arc<World>,
}

#[tonic::async_trait]
impl Agent for FakeAgent {
    async fn hello(&self, _request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        Ok(Response::new(HelloReply { version: 1, site: self.site.to_string(), build: "fake".into() }))
    }

    async fn start(&self, request: Request<StartRequest>) -> Result<Response<StartReply>, Status> {
        let handle = self.world.start(self.site.as_str(), request.get_ref())?;
        Ok(Response::new(StartReply { handle }))
    }

    async fn undo(&self, request: Request<StartRequest>) -> Result<Response<StartReply>, Status> {
        let handle = self.world.undo(self.site.as_str(), request.get_ref());
        Ok(Response::new(StartReply { handle }))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<Operation>, Status> {
        let found = self.world.get(&request.get_ref().handle);
        found.map(Response::new).ok_or_else(|| Status::not_found("no such operation"))
    }

    async fn adjust(&self, request: Request<AdjustRequest>) -> Result<Response<AdjustReply>, Status> {
        let AdjustRequest { handle, bits_per_second_max, generation: _ } = request.into_inner();
        self.world.adjust(&handle, bits_per_second_max);
        Ok(Response::new(AdjustReply {}))
    }

    async fn cancel(&self, request: Request<CancelRequest>) -> Result<Response<CancelReply>, Status> {
        self.world.cancel(&request.get_ref().handle);
        Ok(Response::new(CancelReply {}))
    }

    async fn probe(&self, request: Request<ProbeRequest>) -> Result<Response<ProbeReply>, Status> {
        let request = request.into_inner().request.unwrap_or_default();
        let answer = self.world.probe(self.site.as_str(), &request);
        Ok(Response::new(ProbeReply { answer: Some(answer) }))
    }

    async fn keep_records(
        &self,
        request: Request<KeepRecordsRequest>,
    ) -> Result<Response<KeepRecordsReply>, Status> {
        let _ = request;
        Err(Status::unimplemented("fakes keep no records"))
    }

    async fn read_records(
        &self,
        request: Request<ReadRecordsRequest>,
    ) -> Result<Response<ReadRecordsReply>, Status> {
        let _ = request;
        Err(Status::unimplemented("fakes keep no records"))
    }

    async fn adopt_run(&self, _: Request<AdoptRunRequest>) -> Result<Response<AdoptRunReply>, Status> {
        Ok(Response::new(AdoptRunReply {}))
    }

    async fn list_vms(&self, _request: Request<ListVmsRequest>) -> Result<Response<ListVmsReply>, Status> {
        Ok(Response::new(ListVmsReply::default()))
    }

    async fn observe(&self, request: Request<ObserveRequest>) -> Result<Response<ObserveReply>, Status> {
        Ok(Response::new(observed(self.site.as_str(), &request.get_ref().vms)))
    }
}
