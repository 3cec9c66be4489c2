//! What the other sites' agents ask (`longhaul.agent.v1.Peer`).

use std::sync::Arc;

use longhaul_wire::server::calling_site;
use longhaul_wire::v1;
use longhaul_wire::v1::peer_server;
use tonic::Request;

use super::{Answer, answer};
use crate::agent::Agent;

/// The service for sites.
pub(crate) struct ForSites(pub(crate) Arc<Agent>);

#[tonic::async_trait]
impl peer_server::Peer for ForSites {
    async fn describe_vm(&self, request: Request<v1::DescribeVmRequest>) -> Answer<v1::DescribeVmReply> {
        let spec = self.0.specs.get(&request.into_inner().vm);
        answer(spec.map(|spec| v1::DescribeVmReply { spec_yaml: spec.to_yaml() }))
    }

    async fn open_origin(&self, request: Request<v1::OpenOriginRequest>) -> Answer<v1::OpenOriginReply> {
        let target = calling_site(&request)?;
        answer(self.0.open_origin(&target, request.into_inner()).await)
    }

    async fn dirty_round(&self, request: Request<v1::DirtyRoundRequest>) -> Answer<v1::DirtyRoundReply> {
        answer(self.0.dirty_round(&request.into_inner()).await)
    }

    async fn close_origin(&self, request: Request<v1::CloseOriginRequest>) -> Answer<v1::CloseOriginReply> {
        let target = calling_site(&request)?;
        let closed = self.0.close_origin(&target, &request.into_inner()).await;
        answer(closed.map(|()| v1::CloseOriginReply {}))
    }

    async fn keep_origin(&self, request: Request<v1::KeepOriginRequest>) -> Answer<v1::KeepOriginReply> {
        let target = calling_site(&request)?;
        answer(self.0.keep_origin(&target, &request.into_inner()).await)
    }

    async fn prepare_incoming(
        &self,
        request: Request<v1::PrepareIncomingRequest>,
    ) -> Answer<v1::PrepareIncomingReply> {
        let source = calling_site(&request)?;
        let prepared = self.0.prepare_incoming(&source, &request.into_inner()).await;
        answer(prepared.map(|()| v1::PrepareIncomingReply {}))
    }

    async fn handover(&self, request: Request<v1::HandoverRequest>) -> Answer<v1::HandoverReply> {
        answer(self.0.handover_fact(&request.into_inner()).await)
    }

    async fn release_source(
        &self,
        request: Request<v1::ReleaseSourceRequest>,
    ) -> Answer<v1::ReleaseSourceReply> {
        let target = calling_site(&request)?;
        let released = self.0.release_source(&target, &request.into_inner()).await;
        answer(released.map(|()| v1::ReleaseSourceReply {}))
    }
}
