//! What a workflow file says.
//!
//! Typed documents with their spans, units, identifiers, the description of an action, and diagnostics that point into
//! a file. This crate parses and describes; it never does I/O, reads no clock and draws no random number.

pub mod action;
pub mod diagnostic;
pub mod document;
pub mod ids;
mod json_schema;
pub mod layout;
pub mod plugin;
pub mod policy;
pub mod policy_test;
pub mod read;
pub mod resource;
pub mod schema;
pub mod site;
pub mod source;
pub mod test;
pub mod units;
pub mod vm;
pub mod workflow;
mod write;

pub use site::{parse_site, parse_sites};
pub use source::Source;
pub use vm::parse_vm;
