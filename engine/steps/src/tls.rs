//! How a controller reaches an agent for real: TLS, both certificates checked, the protocol's version agreed.

use longhaul_model::site::KnownSite;
use longhaul_step::{Error, ErrorClass};
use longhaul_wire::tls::{self, Connector};
use longhaul_wire::{Identity, client};
use tonic::transport::Channel;

use crate::agents::Dial;

/// Dials with the controller's own certificate.
pub struct TlsDial {
    connector: Connector,
}

impl TlsDial {
    /// Dials as the identity of this connector.
    #[must_use]
    pub fn new(connector: Connector) -> Self {
        Self { connector }
    }
}

#[async_trait::async_trait]
impl Dial for TlsDial {
    async fn dial(&self, site: &KnownSite) -> Result<Channel, Error> {
        let peer = Identity::site(site.id.as_str())
            .map_err(|e| Error::new(ErrorClass::Internal, format!("site {}: {e}", site.id)))?;
        let connected = client::channel(&site.address.to_string(), &peer, &self.connector).await;
        connected.map_err(|error| Error::new(class(&error), chain(&error)))
    }
}

fn class(error: &client::Error) -> ErrorClass {
    match error {
        client::Error::Tls { source, .. } => tls_class(source),
        client::Error::Transport { .. } => ErrorClass::Unreachable,
        client::Error::Refused { .. } | client::Error::Version { .. } => ErrorClass::Precondition,
    }
}

fn tls_class(error: &tls::Error) -> ErrorClass {
    match error {
        tls::Error::Expired { .. }
        | tls::Error::NotYetValid { .. }
        | tls::Error::WrongAuthority
        | tls::Error::OtherPeer { .. }
        | tls::Error::NoIdentity(_)
        | tls::Error::NoCertificate
        | tls::Error::Refused(_)
        | tls::Error::Pki(_)
        | tls::Error::Config(_) => ErrorClass::Auth,
        tls::Error::NoProtocol => ErrorClass::Precondition,
        tls::Error::Slow { .. } | tls::Error::Unreachable { .. } | tls::Error::Handshake(_) => {
            ErrorClass::Unreachable
        }
    }
}

/// The error and its causes in one line: a journal keeps texts, not chains.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = format!("cannot {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
