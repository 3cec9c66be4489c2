//! Agents for tests: the real protocol on loopback, a world of a few maps behind it.
//!
//! The world is shared by all fake agents of a test, as the real one is. Effects are facts in it: a start adds one, an
//! undo takes it away, and probes read them.

mod service;
mod world;

use std::net::SocketAddr;
use std::sync::Arc;

use longhaul_model::ids::SiteId;
use longhaul_model::site::KnownSite;
use longhaul_step::{Error, ErrorClass};
use longhaul_wire::v1::agent_server::AgentServer;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};

use crate::agents::{Agents, Dial};

pub(crate) use world::{Fault, World};

/// Two sites, `a` and `b`, and one world.
pub(crate) struct Fakes {
    pub(crate) world: Arc<World>,
    sites: Vec<KnownSite>,
    /// A runtime each: only with its runtime do a server's open connections end, as those of a killed process do.
    servers: Vec<Option<Runtime>>,
}

impl Fakes {
    pub(crate) async fn start() -> Self {
        let mut fakes = Self { world: Arc::default(), sites: Vec::new(), servers: Vec::new() };
        for site in ["a", "b"] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let id: SiteId = site.parse().unwrap();
            fakes.sites.push(KnownSite { id: id.clone(), address: listener.local_addr().unwrap() });
            fakes.servers.push(Some(serve(id, listener, Arc::clone(&fakes.world))));
        }
        fakes
    }

    pub(crate) fn agents(&self) -> Arc<Agents> {
        Arc::new(Agents::new(&self.sites, Box::new(Plain)))
    }

    /// Ends the agent of a site, connections and all; the world stays.
    pub(crate) fn kill(&mut self, index: usize) {
        if let Some(server) = self.servers[index].take() {
            server.shutdown_background();
        }
    }

    /// Starts the agent of a site again, at its old address.
    pub(crate) async fn restart(&mut self, index: usize) {
        let KnownSite { id, address } = self.sites[index].clone();
        let listener = listen_again(address).await;
        self.servers[index] = Some(serve(id, listener, Arc::clone(&self.world)));
    }
}

impl Drop for Fakes {
    fn drop(&mut self) {
        self.servers.drain(..).flatten().for_each(Runtime::shutdown_background);
    }
}

/// The killed server's task lets go of the address when the runtime has dropped it.
async fn listen_again(address: SocketAddr) -> TcpListener {
    let bound = async {
        loop {
            if let Ok(listener) = TcpListener::bind(address).await {
                return listener;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), bound).await.expect("the address becomes free")
}

fn serve(site: SiteId, listener: TcpListener, world: Arc<World>) -> Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let agent = service::FakeAgent { site, world };
    let listener = listener.into_std().unwrap();
    runtime.spawn(async move {
        let incoming = TcpIncoming::from(TcpListener::from_std(listener).unwrap());
        Server::builder().add_service(AgentServer::new(agent)).serve_with_incoming(incoming).await.unwrap();
    });
    runtime
}

/// A plain connection on loopback.
struct Plain;

#[async_trait::async_trait]
impl Dial for Plain {
    async fn dial(&self, site: &KnownSite) -> Result<Channel, Error> {
        let endpoint = Endpoint::from_shared(format!("http://{}", site.address)).unwrap();
        let refused = |e: tonic::transport::Error| Error::new(ErrorClass::Unreachable, e.to_string());
        endpoint.connect().await.map_err(refused)
    }
}
