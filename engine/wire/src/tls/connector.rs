//! The client's end: reaches an address and makes sure that the expected peer is there.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Error, HANDSHAKE_MAX, Protocol, config};
use crate::Identity;
use crate::pki::{Credentials, Loaded};

/// Bound of the TCP connection: the SYN and two repetitions.
const CONNECT_MAX: Duration = Duration::from_secs(7);

/// What stands in the handshake's server name; the certificate's URI is what counts.
const SERVER_NAME: &str = "longhaul.invalid";

/// A connection whose peer was verified.
pub type Connected = TlsStream<TcpStream>;

/// Connects as one identity to peers of the same authority. Cheap to clone.
#[derive(Clone)]
pub struct Connector {
    inner: Arc<Inner>,
}

struct Inner {
    credentials: Credentials,
    loaded: RwLock<Arc<Loaded>>,
}

impl Connector {
    /// Reads the certificates.
    ///
    /// # Errors
    /// They cannot be read or used.
    pub fn new(credentials: Credentials) -> Result<Self, Error> {
        let loaded = RwLock::new(Arc::new(credentials.load()?));
        Ok(Self { inner: Arc::new(Inner { credentials, loaded }) })
    }

    /// Who we are to the peers.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.loaded().identity().clone()
    }

    /// Reads the certificates again; connections made from now on use them, after a failure the old ones.
    ///
    /// # Errors
    /// They cannot be read or used.
    pub fn reload(&self) -> Result<(), Error> {
        let fresh = Arc::new(self.inner.credentials.load()?);
        *self.inner.loaded.write().expect("no holder of this lock panics") = fresh;
        Ok(())
    }

    /// Connects to `host:port` and verifies that `expected` answers; at most 17 s.
    ///
    /// # Errors
    /// Nobody answers in time, or somebody else does.
    pub async fn connect(
        &self,
        address: &str,
        expected: &Identity,
        protocol: Protocol,
    ) -> Result<Connected, Error> {
        let config = config::client(&self.loaded(), expected, protocol)?;
        let socket = connect_tcp(address).await?;
        let name = ServerName::try_from(SERVER_NAME).expect("a constant and valid name");
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, socket);
        let slow = |_| Error::Slow { address: address.to_owned(), seconds: HANDSHAKE_MAX.as_secs() };
        let stream = timeout(HANDSHAKE_MAX, handshake).await.map_err(slow)?.map_err(Error::of_handshake)?;
        // A server that knows no ALPN at all leaves it out instead of refusing.
        match Protocol::from_alpn(stream.get_ref().1.alpn_protocol()) {
            Some(agreed) if agreed == protocol => Ok(stream),
            Some(_) | None => Err(Error::NoProtocol),
        }
    }

    fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.inner.loaded.read().expect("no holder of this lock panics"))
    }
}

async fn connect_tcp(address: &str) -> Result<TcpStream, Error> {
    let unreachable = |source| Error::Unreachable { address: address.to_owned(), source };
    let connected = timeout(CONNECT_MAX, TcpStream::connect(address)).await;
    let socket =
        connected.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())).map_err(unreachable)?;
    socket.set_nodelay(true).map_err(unreachable)?;
    Ok(socket)
}
