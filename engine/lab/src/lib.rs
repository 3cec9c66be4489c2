//! The lab: two emulated sites, a WAN and a real guest on one Linux machine.
//!
//! The demo, the rehearsal ground for operators and the rig for tests and benchmarks. It builds network namespaces, a
//! user-space WAN and a guest with a disk, starts an agent at each site, and looks at all of it from outside: as a client
//! and as an observer of both hypervisors. It needs root. It must never touch anything outside its namespaces and its
//! folder, and what it reports it has seen itself: it never asks an agent what a client noticed.

pub mod addresses;
pub mod client;
pub mod guest;
mod lab;
pub mod name;
pub mod netns;
pub mod network;
pub mod observer;
pub mod peer;
pub mod place;
mod precedence;
pub mod process;
pub mod qmp;
pub mod wan;

pub use lab::{
    Cleaned, Error, Files, Lab, ProcessStatus, SiteStatus, Status, UpOptions, require_machine, require_root,
};
