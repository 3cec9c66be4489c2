//! The engine as a whole: saga, journal and driver, with toy actions that write files.

mod children;
mod claims;
mod conditions;
mod crash;
mod disk_faults;
mod kept;
mod kit;
mod mirror;
mod operators;
mod probes;
mod replan;
mod runs;
mod sites;
mod toy;
mod waits;
