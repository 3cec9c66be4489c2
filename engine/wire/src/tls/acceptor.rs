//! The server's end: takes a TCP connection, returns who came and for what.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Error, HANDSHAKE_MAX, Protocol, config};
use crate::Identity;
use crate::pki::{self, Credentials};

/// How long a refused peer may take to hang up.
const DISMISSAL_MAX: Duration = Duration::from_secs(2);

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
        let handshake = TlsAcceptor::from(config).accept(socket).into_fallible();
        let late = |_| Error::Slow { address, seconds: HANDSHAKE_MAX.as_secs() };
        let stream = match timeout(HANDSHAKE_MAX, handshake).await.map_err(late)? {
            Ok(stream) => stream,
            Err((error, socket)) => {
                tokio::spawn(dismiss(socket));
                return Err(Error::of_handshake(error));
            }
        };
        let (_, session) = stream.get_ref();
        let certificate = session.peer_certificates().and_then(<[_]>::first).ok_or(Error::NoCertificate)?;
        let peer = pki::identity_of(certificate).map_err(Error::NoIdentity)?;
        let protocol = Protocol::from_alpn(session.alpn_protocol()).ok_or(Error::NoProtocol)?;
        Ok(Accepted { stream, peer, protocol })
    }
}

/// Closes a refused connection so that the peer reads why. To close while bytes of the peer are unread would reset the
/// connection, and the alert that names the reason would be lost with it.
async fn dismiss(mut socket: TcpStream) {
    let drained = async {
        socket.shutdown().await?;
        tokio::io::copy(&mut socket, &mut tokio::io::sink()).await
    };
    // Whatever comes of it, the connection is closed now.
    let _ = timeout(DISMISSAL_MAX, drained).await;
}
