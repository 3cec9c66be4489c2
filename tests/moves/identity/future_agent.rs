//! An agent of a version that is not made yet: it has a good certificate and does not find a version in common.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use longhaul_lab::place::Side;
use longhaul_wire::pki::{Ca, Validity};
use longhaul_wire::tls::Acceptor;
use longhaul_wire::{Identity, server, v1};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::{Request, Response, Status};

type Reply<T> = Result<Response<T>, Status>;

/// Serves until it is dropped.
pub(super) struct FutureAgent {
    pub(super) address: String,
    _runtime: Runtime,
}

impl FutureAgent {
    /// Begins to serve with a certificate for `side` from the authority in a folder of its own.
    pub(super) fn start(pki: &Path, side: Side) -> Self {
        let ca = Ca::open(pki).unwrap();
        let identity = Identity::site(side.as_str()).unwrap();
        ca.issue(&identity, Validity::default()).unwrap();
        let runtime = Runtime::new().unwrap();
        let _inside = runtime.enter();
        let acceptor = Arc::new(Acceptor::new(ca.credentials(&identity)).unwrap());
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (inlet, connections) = server::inlet();
        runtime.spawn(server::serve(Future, Future, connections, std::future::pending()));
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                if let Ok(accepted) = acceptor.accept(socket).await {
                    inlet.give(accepted).await.unwrap();
                }
            }
        });
        drop(_inside);
        Self { address, _runtime: runtime }
    }
}

struct Future;

fn unknown<T>() -> Reply<T> {
    Err(Status::unimplemented("not in this version"))
}

#[tonic::async_trait]
impl v1::agent_server::Agent for Future {
    async fn hello(&self, request: Request<v1::HelloRequest>) -> Reply<v1::HelloReply> {
        let v1::HelloRequest { version_min, version_max, .. } = request.into_inner();
        let caller = format!("the caller speaks {version_min} to {version_max}");
        Err(Status::failed_precondition(format!(
            "no protocol version in common: {caller}, this agent 7 to 9; upgrade the older of the two"
        )))
    }

    async fn keep_records(&self, _: Request<v1::KeepRecordsRequest>) -> Reply<v1::KeepRecordsReply> {
        unknown()
    }

    async fn read_records(&self, _: Request<v1::ReadRecordsRequest>) -> Reply<v1::ReadRecordsReply> {
        unknown()
    }

    async fn adopt_run(&self, _: Request<v1::AdoptRunRequest>) -> Reply<v1::AdoptRunReply> {
        unknown()
    }

    async fn list_vms(&self, _: Request<v1::ListVmsRequest>) -> Reply<v1::ListVmsReply> {
        unknown()
    }

    async fn start(&self, _: Request<v1::StartRequest>) -> Reply<v1::StartReply> {
        unknown()
    }

    async fn undo(&self, _: Request<v1::StartRequest>) -> Reply<v1::StartReply> {
        unknown()
    }

    async fn get(&self, _: Request<v1::GetRequest>) -> Reply<v1::Operation> {
        unknown()
    }

    async fn adjust(&self, _: Request<v1::AdjustRequest>) -> Reply<v1::AdjustReply> {
        unknown()
    }

    async fn cancel(&self, _: Request<v1::CancelRequest>) -> Reply<v1::CancelReply> {
        unknown()
    }

    async fn probe(&self, _: Request<v1::ProbeRequest>) -> Reply<v1::ProbeReply> {
        unknown()
    }

    async fn observe(&self, _: Request<v1::ObserveRequest>) -> Reply<v1::ObserveReply> {
        unknown()
    }
}

#[tonic::async_trait]
impl v1::peer_server::Peer for Future {
    async fn describe_vm(&self, _: Request<v1::DescribeVmRequest>) -> Reply<v1::DescribeVmReply> {
        unknown()
    }

    async fn open_origin(&self, _: Request<v1::OpenOriginRequest>) -> Reply<v1::OpenOriginReply> {
        unknown()
    }

    async fn dirty_round(&self, _: Request<v1::DirtyRoundRequest>) -> Reply<v1::DirtyRoundReply> {
        unknown()
    }

    async fn keep_origin(&self, _: Request<v1::KeepOriginRequest>) -> Reply<v1::KeepOriginReply> {
        unknown()
    }

    async fn close_origin(&self, _: Request<v1::CloseOriginRequest>) -> Reply<v1::CloseOriginReply> {
        unknown()
    }

    async fn prepare_incoming(
        &self,
        _: Request<v1::PrepareIncomingRequest>,
    ) -> Reply<v1::PrepareIncomingReply> {
        unknown()
    }

    async fn handover(&self, _: Request<v1::HandoverRequest>) -> Reply<v1::HandoverReply> {
        unknown()
    }

    async fn release_source(&self, _: Request<v1::ReleaseSourceRequest>) -> Reply<v1::ReleaseSourceReply> {
        unknown()
    }
}
