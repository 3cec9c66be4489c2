//! The native actions: what a workflow step can use without any plugin.
//!
//! ```text
//!   run driver --- Action ---> an action of this crate --- Agents ---> gRPC over TLS ---> the agent of a site
//! ```
//!
//! An action decides nothing about bytes or guests. It turns parameters into one typed operation per site, asks the
//! agents for it under the run's key, and turns their answers into outputs. Two actions touch no operation:
//! `site.check` only looks, `report.write` only folds the run's own records.
//!
//! This crate must never guess: a request whose fate is unknown is *unknown*, never *failed*.

mod agents;
mod descriptor;
mod failure;
mod gtm_prepare;
mod gtm_redirect;
mod local;
mod outputs;
mod registry;
mod remote;
pub mod report;
mod report_write;
mod site_check;
mod storage_prefetch;
mod storage_settle;
mod tls;
mod vm_move;
mod wan_tunnel;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod fake_agent;

pub use agents::{Agents, CallError, Dial};
pub use registry::{agents_over_tls, catalogue, native_registry, offline_registry, registry_through};
pub use remote::wait_for_operation;
pub use tls::TlsDial;
