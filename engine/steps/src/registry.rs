//! Every native action, in one place.

use std::path::Path;
use std::sync::Arc;

use longhaul_model::action::Catalogue;
use longhaul_model::site::{KnownSite, Sites};
use longhaul_step::{Action, Error, ErrorClass, Registry};
use longhaul_wire::tls::Connector;
use tonic::transport::Channel;

use crate::agents::{Agents, Dial};
use crate::gtm_prepare::GtmPrepare;
use crate::gtm_redirect::GtmRedirect;
use crate::remote::{Remote, RemoteAction};
use crate::report_write::ReportWrite;
use crate::site_check::SiteCheck;
use crate::storage_prefetch::StoragePrefetch;
use crate::storage_settle::StorageSettle;
use crate::tls::TlsDial;
use crate::vm_move::VmMove;
use crate::wan_tunnel::WanTunnel;

/// The native actions for these sites, reached over TLS. Connects to nobody yet. Relative report paths are below
/// `reports`.
#[must_use]
pub fn native_registry(sites: &Sites, tls: Connector, reports: &Path) -> Registry {
    registry_through(&agents_over_tls(sites, tls), reports)
}

/// The agents of these sites, reached over TLS. Connects to nobody yet.
#[must_use]
pub fn agents_over_tls(sites: &Sites, tls: Connector) -> Arc<Agents> {
    Arc::new(Agents::new(&sites.sites, Box::new(TlsDial::new(tls))))
}

/// The native actions, reaching agents through these connections.
#[must_use]
pub fn registry_through(agents: &Arc<Agents>, reports: &Path) -> Registry {
    let mut registry = Registry::new();
    for action in actions(agents, reports) {
        registry.register(action).expect("the native actions have different names");
    }
    registry
}

/// What a checker needs to know of the native actions; needs no site.
#[must_use]
pub fn catalogue() -> Catalogue {
    offline_registry().catalogue()
}

/// The native actions without any site, for descriptions and estimates. Asking an agent fails.
#[must_use]
pub fn offline_registry() -> Registry {
    let nobody = Agents::new(&[], Box::new(Nobody));
    registry_through(&Arc::new(nobody), Path::new(""))
}

/// Reaches no site: descriptions need none.
struct Nobody;

#[async_trait::async_trait]
impl Dial for Nobody {
    async fn dial(&self, site: &KnownSite) -> Result<Channel, Error> {
        Err(Error::new(ErrorClass::Internal, format!("site {} was asked for a description", site.id)))
    }
}

fn actions(agents: &Arc<Agents>, reports: &Path) -> [Arc<dyn Action>; 8] {
    [
        Arc::new(SiteCheck::new(Arc::clone(agents))),
        remote(agents, WanTunnel::new()),
        remote(agents, StoragePrefetch::new()),
        remote(agents, GtmPrepare::new()),
        remote(agents, VmMove::new()),
        remote(agents, GtmRedirect::new()),
        remote(agents, StorageSettle::new()),
        Arc::new(ReportWrite::new(reports)),
    ]
}

fn remote(agents: &Arc<Agents>, action: impl Remote) -> Arc<dyn Action> {
    Arc::new(RemoteAction::new(Arc::clone(agents), action))
}
