//! The agent's end of RPC: services over connections that were accepted elsewhere, each call knowing who calls.
//!
//! One port serves RPC and lanes, so the agent's accept loop decides where a connection goes and hands RPC ones to an
//! [`Inlet`].

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Request, Status};

use crate::Identity;
use crate::tls::Accepted;
use crate::v1::agent_server::{Agent, AgentServer};
use crate::v1::peer_server::{Peer, PeerServer};

/// Accepted connections that wait to be served; more than this and the accept loop waits.
const WAITING_MAX: usize = 64;
/// A silent client is asked so often whether it lives, so that a vanished controller's connection goes away.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(10);

/// Where an accept loop puts RPC connections.
#[derive(Clone)]
pub struct Inlet {
    sender: mpsc::Sender<std::io::Result<Connection>>,
}

/// Connections on their way to [`serve`].
pub struct Connections {
    receiver: mpsc::Receiver<std::io::Result<Connection>>,
}

/// Nobody serves any more.
#[derive(Debug, thiserror::Error)]
#[error("serve the connection: the RPC server has stopped")]
pub struct Stopped;

/// Makes an inlet and what [`serve`] takes from it.
#[must_use]
pub fn inlet() -> (Inlet, Connections) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (Inlet { sender }, Connections { receiver })
}

impl Inlet {
    /// Hands over a connection whose protocol is RPC; waits while too many are waiting already.
    ///
    /// # Errors
    /// The server has stopped.
    pub async fn give(&self, accepted: Accepted) -> Result<(), Stopped> {
        let connection = Connection { stream: accepted.stream, caller: accepted.peer };
        self.sender.send(Ok(connection)).await.map_err(|_| Stopped)
    }
}

/// The longest message between a controller and an agent, in bytes: records with large values are such.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Serves both services until `stop` is done or the last [`Inlet`] is gone; running calls are finished.
///
/// Calls to [`Peer`] from anything but a site's agent are refused before they reach it.
///
/// # Errors
/// The transport failed as a whole.
pub async fn serve<A: Agent, P: Peer>(
    agent: A,
    peer: P,
    connections: Connections,
    stop: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE_EVERY))
        .add_service(AgentServer::new(agent).max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(PeerServer::with_interceptor(peer, only_sites))
        .serve_with_incoming_shutdown(ReceiverStream::new(connections.receiver), stop)
        .await
}

/// Who calls.
///
/// # Errors
/// The call did not come through [`serve`].
pub fn caller<T>(request: &Request<T>) -> Result<Identity, Status> {
    let caller = request.extensions().get::<Caller>();
    caller
        .map(|caller| caller.0.clone())
        .ok_or_else(|| Status::unauthenticated("the connection has no identity"))
}

/// The name of the site that calls.
///
/// # Errors
/// The caller is no site's agent.
pub fn calling_site<T>(request: &Request<T>) -> Result<String, Status> {
    match caller(request)? {
        Identity::Site(name) => Ok(name),
        other @ (Identity::Controller(_) | Identity::User(_)) => {
            Err(Status::permission_denied(format!("{other} may not call what sites offer to each other")))
        }
    }
}

fn only_sites(request: Request<()>) -> Result<Request<()>, Status> {
    calling_site(&request)?;
    Ok(request)
}

/// A connection and who is at its other end.
struct Connection {
    stream: TlsStream<TcpStream>,
    caller: Identity,
}

/// Travels with every request of a connection.
#[derive(Clone)]
struct Caller(Identity);

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        Caller(self.caller.clone())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
