//! Certificates, TLS and RPC over real sockets on loopback.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use crate::pki::{Ca, Credentials, Validity};
use crate::tls::{Acceptor, Connector, Error, Protocol};
use crate::{Identity, client, server, v1, version};

const DEADLINE: Duration = Duration::from_secs(30);

/// An authority and who it vouches for.
struct Authority {
    dir: tempfile::TempDir,
    ca: Ca,
}

impl Authority {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = Ca::create(dir.path()).unwrap();
        Self { dir, ca }
    }

    fn issue(&self, identity: &Identity) -> Credentials {
        self.ca.issue(identity, Validity::default()).unwrap();
        self.ca.credentials(identity)
    }

    fn issue_expired(&self, identity: &Identity) -> Credentials {
        let yesterday = Timestamp::now() - jiff::SignedDuration::from_hours(24);
        self.ca.issue(identity, Validity::until(yesterday)).unwrap();
        self.ca.credentials(identity)
    }

    /// As the identity of another authority, but trusting this one.
    fn stranger(&self, other: &Self, identity: &Identity) -> Credentials {
        Credentials { ca: self.dir.path().join("ca.pem"), ..other.issue(identity) }
    }
}

fn site(name: &str) -> Identity {
    Identity::site(name).unwrap()
}

/// Accepts one connection and says what became of it; an accepted one echoes a byte.
async fn accept_once(credentials: Credentials) -> (String, tokio::task::JoinHandle<Result<Identity, Error>>) {
    let acceptor = Acceptor::new(credentials).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut accepted = acceptor.accept(socket).await?;
        assert_eq!(accepted.protocol, Protocol::Lane);
        let byte = accepted.stream.read_u8().await.unwrap();
        accepted.stream.write_u8(byte).await.unwrap();
        accepted.stream.flush().await.unwrap();
        Ok(accepted.peer)
    });
    (address, task)
}

async fn connect(from: Credentials, to: &str, expected: &Identity) -> Result<Identity, Error> {
    let connector = Connector::new(from).unwrap();
    let mut stream = timeout(DEADLINE, connector.connect(to, expected, Protocol::Lane)).await.unwrap()?;
    let echoed = async {
        stream.write_u8(7).await?;
        stream.flush().await?;
        stream.read_u8().await
    };
    match timeout(DEADLINE, echoed).await.unwrap() {
        Ok(byte) => assert_eq!(byte, 7),
        Err(error) => return Err(Error::find(&error).unwrap_or(Error::Handshake(error))),
    }
    Ok(connector.identity())
}

/// Both sides learn who the other is, and bytes cross.
#[tokio::test]
async fn peers_of_one_authority_meet() {
    let authority = Authority::new();
    let (address, accepted) = accept_once(authority.issue(&site("b"))).await;
    let controller = Identity::controller("east").unwrap();
    assert_eq!(connect(authority.issue(&controller), &address, &site("b")).await.unwrap(), controller);
    assert_eq!(accepted.await.unwrap().unwrap(), controller);
}

/// A server that is another site than expected is refused, and the message names both.
#[tokio::test]
async fn another_site_is_refused_by_name() {
    let authority = Authority::new();
    let (address, _accepted) = accept_once(authority.issue(&site("a"))).await;
    let error = connect(authority.issue(&site("c")), &address, &site("b")).await.unwrap_err();
    let message = error.to_string();
    assert!(message.contains("site/b") && message.contains("site/a"), "{message}");
}

/// An expired server certificate is refused, and the message says since when.
#[tokio::test]
async fn an_expired_server_is_refused() {
    let authority = Authority::new();
    let (address, _accepted) = accept_once(authority.issue_expired(&site("b"))).await;
    let error = connect(authority.issue(&site("a")), &address, &site("b")).await.unwrap_err();
    let Error::Expired { since } = error else { panic!("{error}") };
    assert!(since < Timestamp::now());
}

/// An expired client certificate is refused by name at the server, and the client learns that it was refused.
#[tokio::test]
async fn an_expired_client_is_refused() {
    let authority = Authority::new();
    let (address, accepted) = accept_once(authority.issue(&site("b"))).await;
    let told = connect(authority.issue_expired(&site("a")), &address, &site("b")).await.unwrap_err();
    assert!(matches!(told, Error::Refused("certificate expired")), "{told}");
    assert!(matches!(accepted.await.unwrap(), Err(Error::Expired { .. })));
}

/// A person's certificate is good for what they say: neither end of a connection takes it.
#[tokio::test]
async fn a_person_connects_to_nobody() {
    let authority = Authority::new();
    let alice = Identity::user("alice").unwrap();
    let (address, accepted) = accept_once(authority.issue(&site("b"))).await;
    assert!(connect(authority.issue(&alice), &address, &site("b")).await.is_err());
    assert!(accepted.await.unwrap().is_err());
    let (address, _accepted) = accept_once(authority.issue(&alice)).await;
    assert!(connect(authority.issue(&site("a")), &address, &alice).await.is_err());
}

/// A server of another authority is refused by name.
#[tokio::test]
async fn another_authoritys_server_is_refused() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (address, _accepted) = accept_once(theirs.issue(&site("b"))).await;
    let error = connect(ours.issue(&site("a")), &address, &site("b")).await.unwrap_err();
    assert!(matches!(error, Error::WrongAuthority), "{error}");
}

/// A client of another authority is refused by name at the server.
#[tokio::test]
async fn another_authoritys_client_is_refused() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (address, accepted) = accept_once(ours.issue(&site("b"))).await;
    let told = connect(ours.stranger(&theirs, &site("a")), &address, &site("b")).await.unwrap_err();
    assert!(matches!(told, Error::Refused(_)), "{told}");
    assert!(matches!(accepted.await.unwrap(), Err(Error::WrongAuthority)));
}

/// A replaced certificate is used after a reload, and damaged files leave the old one in use.
#[tokio::test]
async fn certificates_are_reloaded() {
    let authority = Authority::new();
    let connector = Connector::new(authority.issue_expired(&site("a"))).unwrap();
    let fresh = authority.issue(&site("a"));
    connector.reload().unwrap();
    let (address, accepted) = accept_once(authority.issue(&site("b"))).await;
    let mut stream = connector.connect(&address, &site("b"), Protocol::Lane).await.unwrap();
    stream.write_u8(1).await.unwrap();
    assert_eq!(accepted.await.unwrap().unwrap(), site("a"));
    std::fs::write(&fresh.certificate, "no certificate").unwrap();
    let message = connector.reload().unwrap_err();
    let source = std::error::Error::source(&message).unwrap().to_string();
    assert!(source.contains("site-a.pem"), "{source}");
    assert_eq!(connector.identity(), site("a"));
}

/// A key without its certificate is reported with the file that is missing and how to get it.
#[test]
fn missing_files_are_named() {
    let missing = Credentials::in_folder(Path::new("/nonexistent"), &site("a"));
    let message = missing.load().err().unwrap().to_string();
    assert!(message.contains("/nonexistent/ca.pem"), "{message}");
}

/// An agent that answers Hello with a version of its choosing and lists the caller as a VM.
struct ToyAgent {
    version: fn(u32, u32) -> Result<u32, version::Mismatch>,
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl v1::agent_server::Agent for ToyAgent {
    async fn hello(&self, request: Request<v1::HelloRequest>) -> Reply<v1::HelloReply> {
        let request = request.into_inner();
        let version = (self.version)(request.version_min, request.version_max)?;
        Ok(Response::new(v1::HelloReply { version, site: "b".to_owned(), build: "test".to_owned() }))
    }

    async fn keep_records(&self, _: Request<v1::KeepRecordsRequest>) -> Reply<v1::KeepRecordsReply> {
        Err(Status::unimplemented("toy"))
    }

    async fn read_records(&self, _: Request<v1::ReadRecordsRequest>) -> Reply<v1::ReadRecordsReply> {
        Err(Status::unimplemented("toy"))
    }

    async fn adopt_run(&self, _: Request<v1::AdoptRunRequest>) -> Reply<v1::AdoptRunReply> {
        Err(Status::unimplemented("toy"))
    }

    async fn list_vms(&self, request: Request<v1::ListVmsRequest>) -> Reply<v1::ListVmsReply> {
        let id = server::caller(&request)?.to_string();
        Ok(Response::new(v1::ListVmsReply { vms: vec![v1::Vm { id, ..v1::Vm::default() }] }))
    }

    async fn start(&self, _: Request<v1::StartRequest>) -> Reply<v1::StartReply> {
        Err(Status::unimplemented("toy"))
    }

    async fn undo(&self, _: Request<v1::StartRequest>) -> Reply<v1::StartReply> {
        Err(Status::unimplemented("toy"))
    }

    async fn get(&self, _: Request<v1::GetRequest>) -> Reply<v1::Operation> {
        Err(Status::unimplemented("toy"))
    }

    async fn adjust(&self, _: Request<v1::AdjustRequest>) -> Reply<v1::AdjustReply> {
        Err(Status::unimplemented("toy"))
    }

    async fn cancel(&self, _: Request<v1::CancelRequest>) -> Reply<v1::CancelReply> {
        Err(Status::unimplemented("toy"))
    }

    async fn probe(&self, _: Request<v1::ProbeRequest>) -> Reply<v1::ProbeReply> {
        Err(Status::unimplemented("toy"))
    }

    async fn observe(&self, _: Request<v1::ObserveRequest>) -> Reply<v1::ObserveReply> {
        Err(Status::unimplemented("toy"))
    }
}

/// A peer whose DescribeVm always works.
struct ToyPeer;

#[tonic::async_trait]
impl v1::peer_server::Peer for ToyPeer {
    async fn describe_vm(&self, request: Request<v1::DescribeVmRequest>) -> Reply<v1::DescribeVmReply> {
        assert_eq!(server::calling_site(&request)?, "a");
        Ok(Response::new(v1::DescribeVmReply::default()))
    }

    async fn open_origin(&self, _: Request<v1::OpenOriginRequest>) -> Reply<v1::OpenOriginReply> {
        Err(Status::unimplemented("toy"))
    }

    async fn dirty_round(&self, _: Request<v1::DirtyRoundRequest>) -> Reply<v1::DirtyRoundReply> {
        Err(Status::unimplemented("toy"))
    }

    async fn close_origin(&self, _: Request<v1::CloseOriginRequest>) -> Reply<v1::CloseOriginReply> {
        Err(Status::unimplemented("toy"))
    }

    async fn keep_origin(&self, _: Request<v1::KeepOriginRequest>) -> Reply<v1::KeepOriginReply> {
        Err(Status::unimplemented("toy"))
    }

    async fn prepare_incoming(
        &self,
        _: Request<v1::PrepareIncomingRequest>,
    ) -> Reply<v1::PrepareIncomingReply> {
        Err(Status::unimplemented("toy"))
    }

    async fn handover(&self, _: Request<v1::HandoverRequest>) -> Reply<v1::HandoverReply> {
        Err(Status::unimplemented("toy"))
    }

    async fn release_source(&self, _: Request<v1::ReleaseSourceRequest>) -> Reply<v1::ReleaseSourceReply> {
        Err(Status::unimplemented("toy"))
    }
}

/// A site's whole accept loop.
async fn serve(credentials: Credentials, agent: ToyAgent) -> String {
    let acceptor = Arc::new(Acceptor::new(credentials).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (inlet, connections) = server::inlet();
    tokio::spawn(server::serve(agent, ToyPeer, connections, std::future::pending()));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            take(&acceptor, &inlet, socket).await;
        }
    });
    address
}

async fn take(acceptor: &Acceptor, inlet: &server::Inlet, socket: TcpStream) {
    if let Ok(accepted) = acceptor.accept(socket).await {
        inlet.give(accepted).await.unwrap();
    }
}

/// Handlers learn who calls; what sites offer to each other is closed to controllers.
#[tokio::test]
async fn handlers_know_their_caller() {
    let authority = Authority::new();
    let address = serve(authority.issue(&site("b")), ToyAgent { version: version::agree }).await;
    let controller = Connector::new(authority.issue(&Identity::controller("x").unwrap())).unwrap();
    let mut agent = client::connect(&address, &site("b"), &controller).await.unwrap();
    let vms = agent.list_vms(v1::ListVmsRequest {}).await.unwrap().into_inner().vms;
    assert_eq!(vms[0].id, "longhaul://controller/x");
    let mut peer = client::connect_peer(&address, &site("b"), &controller).await.unwrap();
    let refused = peer.describe_vm(v1::DescribeVmRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    let other_site = Connector::new(authority.issue(&site("a"))).unwrap();
    let mut peer = client::connect_peer(&address, &site("b"), &other_site).await.unwrap();
    peer.describe_vm(v1::DescribeVmRequest::default()).await.unwrap();
}

/// Ranges without a version in common end the connection with a message that names both.
#[tokio::test]
async fn versions_apart_are_named() {
    let authority = Authority::new();
    let newer = |_, _| version::agree(7, 9);
    let address = serve(authority.issue(&site("b")), ToyAgent { version: newer }).await;
    let controller = Connector::new(authority.issue(&Identity::controller("x").unwrap())).unwrap();
    let message = client::connect(&address, &site("b"), &controller).await.unwrap_err().to_string();
    assert!(message.contains("7 to 9") && message.contains("this agent 1 to 1"), "{message}");
}

/// An agent that chooses a version nobody offered is refused.
#[tokio::test]
async fn a_version_not_offered_is_refused() {
    let authority = Authority::new();
    let address = serve(authority.issue(&site("b")), ToyAgent { version: |_, _| Ok(5) }).await;
    let controller = Connector::new(authority.issue(&Identity::controller("x").unwrap())).unwrap();
    let error = client::connect(&address, &site("b"), &controller).await.unwrap_err();
    assert!(matches!(error, client::Error::Version { got: 5, .. }), "{error}");
}

/// What is wrong with TLS reaches the caller of RPC by name, whichever side refused.
#[tokio::test]
async fn rpc_errors_name_the_tls_reason() {
    let authority = Authority::new();
    let address = serve(authority.issue(&site("b")), ToyAgent { version: version::agree }).await;
    let expired = Connector::new(authority.issue_expired(&site("a"))).unwrap();
    let error = client::connect(&address, &site("b"), &expired).await.unwrap_err();
    assert!(
        matches!(error, client::Error::Tls { source: Error::Refused("certificate expired"), .. }),
        "{error:?}"
    );
    let good = Connector::new(authority.issue(&site("c"))).unwrap();
    let error = client::connect(&address, &site("d"), &good).await.unwrap_err();
    assert!(matches!(error, client::Error::Tls { source: Error::OtherPeer { .. }, .. }), "{error:?}");
    let error = client::connect("127.0.0.1:1", &site("b"), &good).await.unwrap_err();
    assert!(matches!(error, client::Error::Tls { source: Error::Unreachable { .. }, .. }), "{error:?}");
}
