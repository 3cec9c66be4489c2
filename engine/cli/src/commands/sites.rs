//! What several commands need to talk to agents.

use longhaul_model::site::Sites;
use longhaul_steps::{Agents, TlsDial};
use longhaul_wire::pki::Credentials;
use longhaul_wire::tls::Connector;

use crate::errors::{Explain as _, Result};
use crate::exit_code;
use crate::settings::Settings;

/// The connector with the controller's certificate that the inventory names.
pub(super) fn connector(sites: &Sites) -> Result<Connector> {
    let pki = &sites.pki;
    let credentials =
        Credentials { ca: pki.ca.clone(), certificate: pki.certificate.clone(), key: pki.key.clone() };
    Connector::new(credentials)
        .doing(exit_code::INVALID_FILE, || "read the controller's certificate".to_owned())
}

/// The agents of the inventory; nothing is connected yet.
pub(super) fn agents(settings: &Settings) -> Result<Agents> {
    let sites = settings.inventory()?;
    let connector = connector(&sites)?;
    Ok(Agents::new(&sites.sites, Box::new(TlsDial::new(connector))))
}

/// Who this process is to agents, for the message that a second controller gets.
pub(super) fn controller() -> String {
    format!("{} (pid {})", host(), std::process::id())
}

/// The name of this machine.
pub(super) fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned())
}
