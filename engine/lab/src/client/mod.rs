//! What a client sees: the only source of figures about pauses, lost lines and failed requests.
//!
//! Everything runs inside the client's namespace and talks to the guest as any client would. It must never ask an agent
//! or a hypervisor, and a fault it is told to make ([`Fault`]) goes through a relay in front of the checks, so that the
//! checks themselves are proven.

mod dns;
mod observe;
mod relay;
mod requests;
mod ticker;
mod view;

pub use dns::{Answer, Error as DnsError, Resolver, query};
pub use observe::{Error, Observation, Options};
pub use relay::Fault;
pub use view::{ClientView, Failure, Served};
