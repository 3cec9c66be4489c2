//! The other sites' agents, by RPC.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use longhaul_model::site::PeerSite;
use longhaul_wire::tls::Connector;
use longhaul_wire::v1::peer_client::PeerClient;
use longhaul_wire::{Identity, client};
use tokio::sync::Mutex;
use tonic::transport::Channel;

use crate::error::{Class, Error, chain};
use crate::operations::Task;

/// Longest a question to another site may take before it counts as not answered.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Connections to the other sites, made when first needed and again after they broke.
pub(crate) struct Peers {
    connector: Connector,
    sites: HashMap<String, Peer>,
}

/// One other site. Its lock is held while it is connected to: a site that is not there keeps nobody from the others.
struct Peer {
    address: SocketAddr,
    channel: Mutex<Option<Channel>>,
}

impl Peers {
    pub(crate) fn new(connector: Connector, peers: &[PeerSite]) -> Self {
        let peer = |it: &PeerSite| Peer { address: it.address, channel: Mutex::default() };
        Self { connector, sites: peers.iter().map(|it| (it.id.to_string(), peer(it))).collect() }
    }

    fn peer(&self, site: &str) -> Result<&Peer, Error> {
        self.sites.get(site).ok_or_else(|| {
            let known: Vec<_> = self.sites.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Error::new(
                Class::Precondition,
                format!("site `{site}` is not among this site's peers ({known}): add it to the site file"),
            )
        })
    }

    /// Every site this one knows.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.sites.keys().map(String::as_str)
    }

    async fn channel(&self, site: &str) -> Result<Channel, Error> {
        let peer = self.peer(site)?;
        let mut known = peer.channel.lock().await;
        if let Some(channel) = &*known {
            return Ok(channel.clone());
        }
        // Whoever has begun something waits also for a certificate to be replaced.
        let channel = self.dial(site, peer).await;
        let channel = channel.map_err(|error| Error::new(Class::Unreachable, error.to_string()))?;
        *known = Some(channel.clone());
        Ok(channel)
    }

    async fn dial(&self, site: &str, peer: &Peer) -> Result<Channel, Error> {
        let identity =
            Identity::site(site).map_err(|error| Error::new(Class::Internal, error.to_string()))?;
        let connected = client::channel(&peer.address.to_string(), &identity, &self.connector).await;
        connected.map_err(|error| Error::new(error.class(), chain(&error)))
    }

    /// Makes sure that a site's own agent answers and speaks with us. It is connected to for this: a connection that is kept does
    /// not tell what has become of a certificate since.
    ///
    /// # Errors
    /// `auth` if either does not trust the other, with the reason; `unreachable` if nobody answers.
    pub(crate) async fn greet(&self, site: &str) -> Result<(), Error> {
        self.dial(site, self.peer(site)?).await.map(drop)
    }

    /// Asks another site's agent something that only agents may ask.
    pub(crate) async fn ask<T, F>(
        &self,
        site: &str,
        question: impl FnOnce(PeerClient<Channel>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        let channel = self.channel(site).await?;
        let answer = tokio::time::timeout(ANSWER_MAX, question(PeerClient::new(channel))).await;
        self.settle(site, answer).await
    }

    /// Asks as [`Peers::ask`], and again while the site does not answer: see [`Task::outlast`].
    pub(crate) async fn insist<R, T, F>(
        &self,
        task: &Task,
        (site, request): (&str, R),
        question: impl Fn(PeerClient<Channel>, R) -> F,
    ) -> Result<T, Error>
    where
        R: Clone,
        F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        task.outlast(|| self.ask(site, |peer| question(peer, request.clone()))).await
    }

    async fn settle<T>(
        &self,
        site: &str,
        answer: Result<Result<tonic::Response<T>, tonic::Status>, tokio::time::error::Elapsed>,
    ) -> Result<T, Error> {
        let error = match answer {
            Ok(Ok(response)) => return Ok(response.into_inner()),
            Ok(Err(status)) => from_status(site, &status),
            Err(_) => {
                Error::new(Class::Unreachable, format!("site {site} did not answer within {ANSWER_MAX:?}"))
            }
        };
        if error.class == Class::Unreachable {
            *self.peer(site)?.channel.lock().await = None;
        }
        Err(error)
    }
}

/// What an agent's refusal means here; the text is the agent's own. A call that broke off is no refusal.
fn from_status(site: &str, status: &tonic::Status) -> Error {
    let broke_off = status.code() == tonic::Code::Unknown;
    let class = if broke_off { Class::Unreachable } else { Class::of(status) };
    Error::new(class, format!("site {site}: {}", status.message()))
}

#[cfg(test)]
mod tests;
