//! A whole lab: made, looked at, disturbed, removed.
//!
//! ```text
//! up: clean what a kill left -> build the guest -> namespaces and links -> WAN -> files of the sites -> agents answer
//! ```
//!
//! Everything whose network namespace is one of the lab's belongs to the lab: there is no list of processes to lose, so
//! `down` and the next `up` find everything after a kill at any time.

mod files;
mod machine;
mod options;
mod running;
mod sites;
mod status;
mod up;

pub use files::Files;
pub use machine::{require_machine, require_root};
pub use options::UpOptions;
pub use running::{Cleaned, Error, Lab};
pub use status::{ProcessStatus, SiteStatus, Status};
