//! The sockets: one UDP loop, and TCP connections of a bounded number and a bounded life.
//!
//! Never queues: a UDP query is answered before the next one is read, and a TCP connection past the bound is closed at
//! once. Never waits on a client without a deadline.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::debug;

use super::answer::{Transport, respond};
use super::zone::{Handle, Snapshot, Zone, ZoneError};

/// TCP connections served at once; resolvers come over TCP only after a truncated answer or for a check.
const TCP_CONNECTIONS_MAX: usize = 64;
/// Queries answered on one TCP connection before it is closed.
const TCP_QUERIES_MAX: usize = 128;
/// How long a TCP client may take to send its next query (RFC 7766, 6.2.3 leaves it to the server).
const TCP_IDLE: Duration = Duration::from_secs(10);
/// How long a TCP client may take to accept a reply.
const TCP_WRITE: Duration = Duration::from_secs(5);
/// Largest UDP query read; a longer one is cut and then refused as malformed.
const UDP_QUERY_BYTES_MAX: usize = 4096;
/// Attempts to find one port free for both UDP and TCP when port 0 was asked for.
const BIND_ATTEMPTS: usize = 16;

/// A server that could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The zone cannot be served.
    #[error("load the zone")]
    Zone(#[from] ZoneError),
    /// The address cannot be listened on.
    #[error("listen on {address}")]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

/// A bound server; nothing is answered until [`Server::run`].
#[derive(Debug)]
pub struct Server {
    udp: UdpSocket,
    tcp: TcpListener,
    address: SocketAddr,
    handle: Handle,
}

impl Server {
    /// Binds UDP and TCP on one address. With port 0 the kernel chooses one that is free for both.
    ///
    /// # Errors
    /// When the zone is malformed or the address is taken.
    pub async fn bind(listen: SocketAddr, zone: &Zone) -> Result<Self, ServerError> {
        let handle = Handle::new(Snapshot::new(zone)?);
        let attempts = if listen.port() == 0 { BIND_ATTEMPTS } else { 1 };
        let mut refused = None;
        for _ in 0..attempts {
            match bind_both(listen).await {
                Ok((udp, tcp, address)) => return Ok(Self { udp, tcp, address, handle }),
                Err(error) => refused = Some(error),
            }
        }
        let source = refused.unwrap_or_else(|| io::ErrorKind::AddrInUse.into());
        Err(ServerError::Bind { address: listen, source })
    }

    /// The address it listens on, with the port the kernel chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The handle that changes the zone, before and while it is served.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Serves until it is dropped. Dropping closes the sockets and every connection.
    pub async fn run(self) {
        let slots = Arc::new(Semaphore::new(TCP_CONNECTIONS_MAX));
        tokio::join!(serve_udp(&self.udp, &self.handle), serve_tcp(&self.tcp, &self.handle, &slots));
    }
}

async fn bind_both(listen: SocketAddr) -> io::Result<(UdpSocket, TcpListener, SocketAddr)> {
    let udp = UdpSocket::bind(listen).await?;
    let address = udp.local_addr()?;
    let tcp = TcpListener::bind(address).await?;
    Ok((udp, tcp, address))
}

async fn serve_udp(socket: &UdpSocket, handle: &Handle) {
    let mut buffer = vec![0; UDP_QUERY_BYTES_MAX];
    loop {
        // An error here is an ICMP message about an earlier reply; it says nothing about the socket.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let Some(reply) = respond(&handle.snapshot(), &buffer[..length], Transport::Udp) else { continue };
        if let Err(error) = socket.send_to(&reply, from).await {
            debug!(%error, %from, "a reply was not sent");
        }
    }
}

async fn serve_tcp(listener: &TcpListener, handle: &Handle, slots: &Arc<Semaphore>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!(%error, "a connection was not accepted");
                // Out of descriptors: give those in use the time to end rather than spin on the listener.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        match Arc::clone(slots).try_acquire_owned() {
            Ok(slot) => drop(connections.spawn(serve_connection(stream, handle.clone(), slot))),
            Err(_) => debug!(%from, "a connection past the bound was closed"),
        }
    }
}

async fn serve_connection(mut stream: TcpStream, handle: Handle, _slot: OwnedSemaphorePermit) {
    for _ in 0..TCP_QUERIES_MAX {
        let Ok(Ok(query)) = timeout(TCP_IDLE, read_framed(&mut stream)).await else { return };
        let Some(reply) = respond(&handle.snapshot(), &query, Transport::Tcp) else { return };
        if !matches!(timeout(TCP_WRITE, write_framed(&mut stream, &reply)).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// Reads one message with its length before it (RFC 1035, 4.2.2).
pub(super) async fn read_framed(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// Writes one message with its length before it, in one segment where it fits.
pub(super) async fn write_framed(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut framed = Vec::with_capacity(2 + message.len());
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    stream.write_all(&framed).await
}
