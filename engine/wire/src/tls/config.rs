//! rustls configurations from loaded credentials.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

use super::verify::ExpectIdentity;
use super::{Error, Protocol};
use crate::Identity;
use crate::pki::Loaded;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

pub(super) fn server(loaded: &Loaded) -> Result<ServerConfig, Error> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&loaded.roots), provider())
        .build()
        .map_err(|error| Error::Config(rustls::Error::General(error.to_string())))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(Error::Config)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(loaded.chain.clone(), loaded.key.clone_key())
        .map_err(Error::Config)?;
    config.alpn_protocols = Protocol::ALL.iter().map(|protocol| protocol.alpn().to_vec()).collect();
    Ok(config)
}

pub(super) fn client(
    loaded: &Loaded,
    expected: &Identity,
    protocol: Protocol,
) -> Result<ClientConfig, Error> {
    let provider = provider();
    let verifier = ExpectIdentity {
        expected: expected.clone(),
        roots: Arc::clone(&loaded.roots),
        algorithms: provider.signature_verification_algorithms,
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(Error::Config)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(loaded.chain.clone(), loaded.key.clone_key())
        .map_err(Error::Config)?;
    config.alpn_protocols = vec![protocol.alpn().to_vec()];
    // The server's certificate is to be looked at every time: a ticket would outlive a replaced or expired one.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}
