//! The caller's end of RPC: a connection to one agent, its version agreed before the first call.

use std::error::Error as StdError;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::Identity;
use crate::failure::Class;
use crate::tls::{self, Connector, Protocol};
use crate::v1::HelloRequest;
use crate::v1::agent_client::AgentClient;
use crate::v1::peer_client::PeerClient;
use crate::version::{PROTOCOL_MAX, PROTOCOL_MIN};
use crate::watched::{Reason, Watched};

/// Bound of a connection attempt, handshake and name resolution included.
const CONNECT_MAX: Duration = Duration::from_secs(20);
/// Bound of one call that sets no shorter deadline; waits inside an agent must stay below it.
pub const CALL_MAX: Duration = Duration::from_secs(60);
/// An idle connection is asked so often whether it lives ...
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(10);
/// ... and given up after so long without an answer.
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(20);

/// A connection to an agent that could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The TLS connection failed.
    #[error("reach the agent of {peer} at {address}")]
    Tls {
        /// Whom we wanted.
        peer: Identity,
        /// Where.
        address: String,
        /// The reason.
        source: tls::Error,
    },
    /// The connection failed otherwise.
    #[error("reach the agent of {peer} at {address}")]
    Transport {
        /// Whom we wanted.
        peer: Identity,
        /// Where.
        address: String,
        /// The reason.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The agent refused to talk to us; the message names both version ranges if those are the reason.
    #[error("agree with the agent of {peer}: {message}")]
    Refused {
        /// Who refused.
        peer: Identity,
        /// What it said.
        message: String,
    },
    /// The agent chose a version we did not offer.
    #[error(
        "agree with the agent of {peer}: it chose protocol version {got}, we speak {PROTOCOL_MIN} to {PROTOCOL_MAX}"
    )]
    Version {
        /// Who answered.
        peer: Identity,
        /// What it chose.
        got: u32,
    },
}

impl Error {
    /// What the failure means to whoever wanted the connection.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Tls { source, .. } => source.class(),
            Self::Transport { .. } => Class::Unreachable,
            Self::Refused { .. } | Self::Version { .. } => Class::Precondition,
        }
    }
}

/// Connects to the agent of `peer` at `host:port` and says Hello. The connection is made anew by itself when it breaks.
///
/// # Errors
/// Nobody answers, somebody else answers, or no protocol version is spoken by both.
pub async fn connect(address: &str, peer: &Identity, tls: &Connector) -> Result<AgentClient<Channel>, Error> {
    channel(address, peer, tls).await.map(AgentClient::new)
}

/// As [`connect`], for the service that sites offer to each other.
///
/// # Errors
/// As [`connect`].
pub async fn connect_peer(
    address: &str,
    peer: &Identity,
    tls: &Connector,
) -> Result<PeerClient<Channel>, Error> {
    channel(address, peer, tls).await.map(PeerClient::new)
}

/// The connection both services share, after Hello.
///
/// # Errors
/// As [`connect`].
pub async fn channel(address: &str, peer: &Identity, tls: &Connector) -> Result<Channel, Error> {
    let reason = Reason::default();
    let attempt = async {
        let channel = open(address, peer, tls, &reason).await?;
        hello(&channel, address, peer, tls).await?;
        Ok(channel)
    };
    attempt.await.map_err(|error| match (error, reason.take()) {
        // The reason hides below tonic's and hyper's wrappers, and only it can be acted on.
        (Error::Transport { peer, address, .. }, Some(source)) => Error::Tls { peer, address, source },
        (error, _) => error,
    })
}

async fn open(address: &str, peer: &Identity, tls: &Connector, reason: &Reason) -> Result<Channel, Error> {
    let (to, expected, tls, reason) = (address.to_owned(), peer.clone(), tls.clone(), reason.clone());
    let connector = service_fn(move |_| dial(to.clone(), expected.clone(), tls.clone(), reason.clone()));
    // The URI only fills the `:authority` header; the connector knows where to go.
    Endpoint::from_static("http://longhaul.invalid")
        .connect_timeout(CONNECT_MAX)
        .timeout(CALL_MAX)
        .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
        .keep_alive_timeout(KEEP_ALIVE_MAX)
        .keep_alive_while_idle(true)
        .connect_with_connector(connector)
        .await
        .map_err(|error| failed(address, peer, Box::new(error)))
}

async fn dial(
    to: String,
    expected: Identity,
    tls: Connector,
    reason: Reason,
) -> std::io::Result<TokioIo<Watched>> {
    match tls.connect(&to, &expected, Protocol::Rpc).await {
        Ok(stream) => Ok(TokioIo::new(Watched::new(stream, reason))),
        Err(error) => {
            // tonic gets the text, our caller the error itself.
            let text = error.to_string();
            reason.keep(error);
            Err(std::io::Error::other(text))
        }
    }
}

async fn hello(channel: &Channel, address: &str, peer: &Identity, tls: &Connector) -> Result<(), Error> {
    let name = format!("{} (pid {})", tls.identity(), std::process::id());
    let request = HelloRequest { version_min: PROTOCOL_MIN, version_max: PROTOCOL_MAX, name };
    let reply = AgentClient::new(channel.clone()).hello(request).await;
    let version = reply.map_err(|status| refused(address, peer, status))?.into_inner().version;
    if (PROTOCOL_MIN..=PROTOCOL_MAX).contains(&version) {
        Ok(())
    } else {
        Err(Error::Version { peer: peer.clone(), got: version })
    }
}

fn refused(address: &str, peer: &Identity, status: tonic::Status) -> Error {
    if status.source().is_some() {
        return failed(address, peer, Box::new(status));
    }
    Error::Refused { peer: peer.clone(), message: status.message().to_owned() }
}

fn failed(address: &str, peer: &Identity, source: Box<dyn StdError + Send + Sync>) -> Error {
    Error::Transport { peer: peer.clone(), address: address.to_owned(), source }
}
