//! Connections from a controller to the agents of the sites it knows.
//!
//! A site is connected to when it is first asked something, and again after a connection was lost. Every call has a
//! deadline. What may not happen here is a second try of a call: whoever made it knows whether it may be repeated.

use std::collections::BTreeMap;
use std::time::Duration;

use longhaul_model::ids::{RunId, SiteId};
use longhaul_model::site::KnownSite;
use longhaul_step::{Error, ErrorClass, Lookout, Sight};
use longhaul_wire::server::MESSAGE_BYTES_MAX;
use longhaul_wire::v1::agent_client::AgentClient;
use longhaul_wire::v1::{
    AdjustRequest, AdoptRunRequest, CancelRequest, GetRequest, KeepRecordsRequest, ListVmsReply,
    ListVmsRequest, ObserveReply, ObserveRequest, Operation, ProbeReply, ProbeRequest, ReadRecordsReply,
    ReadRecordsRequest, StartRequest,
};
use tokio::sync::Mutex;
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::failure;

/// How long an agent may take to answer a call that it answers from memory. Ten round trips of the slowest link we
/// know and a generous pause of a busy machine fit.
const CALL_DEADLINE: Duration = Duration::from_secs(10);
/// The same for a message with large values, over the slowest link.
const KEEP_DEADLINE: Duration = Duration::from_secs(60);

/// How long an agent that is up takes to say so at most, a new connection included.
const UP_DEADLINE: Duration = Duration::from_secs(5);

/// How long looking at a site may take: it includes a bandwidth measurement of a few seconds.
const OBSERVE_DEADLINE: Duration = Duration::from_secs(60);

/// How a channel to a site comes about: TLS for real, a plain socket in tests.
#[async_trait::async_trait]
pub trait Dial: Send + Sync {
    /// Connects to the agent and makes sure that it is the site's own.
    ///
    /// # Errors
    /// `unreachable` when nobody answers, `auth` when somebody else does, `precondition` when no common version is
    /// spoken.
    async fn dial(&self, site: &KnownSite) -> Result<Channel, Error>;
}

/// A call that brought no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nobody knows whether the agent carried it out.
    #[error("{0}")]
    Lost(Error),
    /// The agent answered that it will not.
    #[error("{0}")]
    Refused(Error),
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Lost(error) | CallError::Refused(error) => error,
        }
    }
}

struct Slot {
    site: KnownSite,
    client: Mutex<Option<AgentClient<Channel>>>,
}

/// The agents of the sites in the controller's inventory.
pub struct Agents {
    slots: BTreeMap<SiteId, Slot>,
    dial: Box<dyn Dial>,
}

impl Agents {
    /// The agents of these sites; nothing is connected yet.
    #[must_use]
    pub fn new(sites: &[KnownSite], dial: Box<dyn Dial>) -> Self {
        let slot =
            |site: &KnownSite| (site.id.clone(), Slot { site: site.clone(), client: Mutex::new(None) });
        Self { slots: sites.iter().map(slot).collect(), dial }
    }

    /// The sites of the inventory, by name.
    #[must_use]
    pub fn sites(&self) -> Vec<SiteId> {
        self.slots.keys().cloned().collect()
    }

    /// Begins an operation and returns its handle.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn start(&self, site: &SiteId, request: StartRequest) -> Result<String, CallError> {
        let reply = self.call(site, CALL_DEADLINE, |mut agent| async move { agent.start(request).await });
        Ok(reply.await?.handle)
    }

    /// Begins the undoing of an operation and returns the handle of the undoing.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn undo(&self, site: &SiteId, request: StartRequest) -> Result<String, CallError> {
        let reply = self.call(site, CALL_DEADLINE, |mut agent| async move { agent.undo(request).await });
        Ok(reply.await?.handle)
    }

    /// The operation as it is once its version has passed `seen_version`, or after `patience`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn get(
        &self,
        site: &SiteId,
        handle: &str,
        seen_version: u64,
        patience: Duration,
    ) -> Result<Operation, CallError> {
        let wait_ms = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
        let request = GetRequest { handle: handle.to_owned(), seen_version, wait_ms };
        self.call(site, CALL_DEADLINE + patience, |mut agent| async move { agent.get(request).await }).await
    }

    /// Tells an operation what it may send over the link from now on; 0 for no bound.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn adjust(
        &self,
        site: &SiteId,
        handle: &str,
        bits_per_second_max: u64,
        generation: u64,
    ) -> Result<(), CallError> {
        let request = AdjustRequest { handle: handle.to_owned(), bits_per_second_max, generation };
        self.call(site, CALL_DEADLINE, |mut agent| async move { agent.adjust(request).await }).await?;
        Ok(())
    }

    /// Asks an operation to stop, as the controller of this generation.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn cancel(&self, site: &SiteId, handle: &str, generation: u64) -> Result<(), CallError> {
        let request = CancelRequest { handle: handle.to_owned(), generation };
        self.call(site, CALL_DEADLINE, |mut agent| async move { agent.cancel(request).await }).await?;
        Ok(())
    }

    /// Whether the effect of a request is there.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn probe(&self, site: &SiteId, request: StartRequest) -> Result<ProbeReply, CallError> {
        let request = ProbeRequest { request: Some(request) };
        self.call(site, CALL_DEADLINE, |mut agent| async move { agent.probe(request).await }).await
    }

    /// What is the case at a site; with a `peer` the link to it is measured.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn observe(&self, site: &SiteId, request: ObserveRequest) -> Result<ObserveReply, CallError> {
        self.call(site, OBSERVE_DEADLINE, |mut agent| async move { agent.observe(request).await }).await
    }

    /// Has records of a run kept at a site; the number of the last one that is kept there then.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn keep_records(&self, site: &SiteId, request: KeepRecordsRequest) -> Result<u64, CallError> {
        let keep = |agent: AgentClient<Channel>| async move {
            agent.max_encoding_message_size(MESSAGE_BYTES_MAX).keep_records(request).await
        };
        Ok(self.call(site, KEEP_DEADLINE, keep).await?.kept)
    }

    /// What is kept of a run at a site, from this record on, as much as one answer holds.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn read_records(
        &self,
        site: &SiteId,
        run: &RunId,
        from: u64,
    ) -> Result<ReadRecordsReply, CallError> {
        let request = ReadRecordsRequest { run: run.to_string(), from };
        let read = |agent: AgentClient<Channel>| async move {
            agent.max_decoding_message_size(MESSAGE_BYTES_MAX).read_records(request).await
        };
        self.call(site, KEEP_DEADLINE, read).await
    }

    /// Tells a site that the controller of this generation has taken a run over.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn adopt_run(
        &self,
        site: &SiteId,
        run: &RunId,
        generation: u64,
        controller: &str,
    ) -> Result<(), CallError> {
        let request = AdoptRunRequest { run: run.to_string(), generation, controller: controller.to_owned() };
        self.call(site, CALL_DEADLINE, |mut agent| async move { agent.adopt_run(request).await }).await?;
        Ok(())
    }

    /// The VMs of a site.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn list_vms(&self, site: &SiteId) -> Result<ListVmsReply, CallError> {
        self.call(site, CALL_DEADLINE, |mut agent| async move { agent.list_vms(ListVmsRequest {}).await })
            .await
    }

    async fn answers(&self, site: &SiteId) -> bool {
        matches!(self.list_vms(site).await, Ok(_) | Err(CallError::Refused(_)))
    }

    async fn call<T, F, C>(&self, site: &SiteId, deadline: Duration, call: C) -> Result<T, CallError>
    where
        C: FnOnce(AgentClient<Channel>) -> F,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let slot =
            self.slots.get(site).ok_or_else(|| CallError::Refused(unknown_site(site, &self.sites())))?;
        let client = self.client(slot).await.map_err(CallError::Lost)?;
        let answer = tokio::time::timeout(deadline, call(client)).await;
        let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
        match answer {
            Ok(reply) => Ok(reply.into_inner()),
            Err(status) => {
                let error = failure::from_status(site, &status);
                if matches!(error, CallError::Lost(_)) {
                    *slot.client.lock().await = None;
                }
                Err(error)
            }
        }
    }

    /// The slot's client. The lock is held while dialling: two callers must not open two connections.
    async fn client(&self, slot: &Slot) -> Result<AgentClient<Channel>, Error> {
        let mut client = slot.client.lock().await;
        if let Some(client) = client.as_ref() {
            return Ok(client.clone());
        }
        let dialled = tokio::time::timeout(CALL_DEADLINE, self.dial.dial(&slot.site)).await;
        let channel = dialled.unwrap_or_else(|_| Err(no_answer(&slot.site)))?;
        Ok(client.insert(AgentClient::new(channel)).clone())
    }
}

fn unknown_site(site: &SiteId, known: &[SiteId]) -> Error {
    let known: Vec<&str> = known.iter().map(SiteId::as_str).collect();
    let message = format!("site {site} is not in the inventory, which holds {}", known.join(", "));
    Error::new(ErrorClass::Permanent, message)
}

fn no_answer(site: &KnownSite) -> Error {
    let message = format!("the agent of site {} at {} does not answer", site.id, site.address);
    Error::new(ErrorClass::Unreachable, message)
}

#[async_trait::async_trait]
impl Lookout for Agents {
    async fn site(&self, site: &str) -> Sight {
        let id: SiteId = match site.parse() {
            Ok(id) if self.slots.contains_key(&id) => id,
            Ok(id) => return Sight::Unknown(unknown_site(&id, &self.sites()).to_string()),
            Err(error) => return Sight::Unknown(error.to_string()),
        };
        // A connection that broke unnoticed fails the first call; a look may be repeated.
        let twice = async { self.answers(&id).await || self.answers(&id).await };
        match tokio::time::timeout(UP_DEADLINE, twice).await {
            Ok(true) => Sight::Up,
            Ok(false) | Err(_) => Sight::Down,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_agent::Fakes;

    /// A site whose agent answers is up, one whose agent was killed is down, also over a connection that was open before, and
    /// is up again when the agent is; a site that nobody knows is neither.
    #[tokio::test(flavor = "multi_thread")]
    async fn sites_are_up_or_down() {
        let mut fakes = Fakes::start().await;
        let agents = fakes.agents();
        assert_eq!((agents.site("a").await, agents.site("b").await), (Sight::Up, Sight::Up));
        fakes.kill(1);
        assert_eq!((agents.site("a").await, agents.site("b").await), (Sight::Up, Sight::Down));
        fakes.restart(1).await;
        assert_eq!(agents.site("b").await, Sight::Up);
        for nobody in ["c", "No Site"] {
            let Sight::Unknown(why) = agents.site(nobody).await else { panic!("{nobody} is known") };
            assert!(why.contains(nobody), "{why}");
        }
    }
}
