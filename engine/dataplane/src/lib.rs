//! Bytes between sites: NBD, cache, tunnel, DNS, edge; knows nothing of workflows.

pub mod arrivals;
pub mod disk;
pub mod dns;
pub mod edge;
pub mod nbd;
pub mod tunnel;
