//! The server's end: takes a TCP connection, returns who came and for what.

use std::sync::{Arc, RwLock};

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Error, HANDSHAKE_MAX, Protocol, config};
use crate::Identity;
use crate::pki::{self, Credentials};

/// Accepts connections of peers that our authority vouches for.
pub struct Acceptor {
    credentials: Credentials,
    config: RwLock<Arc<ServerConfig>>,
}

/// An accepted connection.
pub struct Accepted {
    /// The connection.
    pub stream: TlsStream<TcpStream>,
    /// Who holds the peer's certificate.
    pub peer: Identity,
    /// What the peer wants.
    pub protocol: Protocol,
}

impl Acceptor {
    /// Reads the certificates.
    ///
    /// # Errors
    /// They cannot be read or used.
    pub fn new(credentials: Credentials) -> Result<Self, Error> {
        let config = config::server(&credentials.load()?)?;
        Ok(Self { credentials, config: RwLock::new(Arc::new(config)) })
    }

    /// Reads the certificates again; connections accepted from now on use them, after a failure the old ones.
    ///
    /// # Errors
    /// They cannot be read or used.
    pub fn reload(&self) -> Result<(), Error> {
        let config = config::server(&self.credentials.load()?)?;
        *self.config.write().expect("no holder of this lock panics") = Arc::new(config);
        Ok(())
    }

    /// Shakes hands, within 10 s.
    ///
    /// # Errors
    /// The peer is not one of ours, speaks no protocol of ours, or takes too long.
    pub async fn accept(&self, socket: TcpStream) -> Result<Accepted, Error> {
        let address =
            socket.peer_addr().map_or_else(|_| "a peer that left".to_owned(), |address| address.to_string());
        let config = Arc::clone(&self.config.read().expect("no holder of this lock panics"));
        let handshake = timeout(HANDSHAKE_MAX, TlsAcceptor::from(config).accept(socket)).await;
        let stream = handshake.map_err(|_| Error::Slow { address, seconds: HANDSHAKE_MAX.as_secs() })?;
        let stream = stream.map_err(Error::of_handshake)?;
        let (_, session) = stream.get_ref();
        let certificate = session.peer_certificates().and_then(<[_]>::first).ok_or(Error::NoCertificate)?;
        let peer = pki::identity_of(certificate).map_err(Error::NoIdentity)?;
        let protocol = Protocol::from_alpn(session.alpn_protocol()).ok_or(Error::NoProtocol)?;
        Ok(Accepted { stream, peer, protocol })
    }
}
