//! How a controller reaches an agent for real: TLS, both certificates checked, the protocol's version agreed.

use longhaul_model::site::KnownSite;
use longhaul_step::{Error, ErrorClass};
use longhaul_wire::tls::Connector;
use longhaul_wire::{Identity, client};
use tonic::transport::Channel;

use crate::agents::Dial;
use crate::failure::of_wire;

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
        connected.map_err(|error| Error::new(of_wire(error.class()), chain(&error)))
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
