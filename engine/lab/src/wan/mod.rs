//! The emulated WAN: one TUN interface at each site, and per direction a rate, a queue, a delay and random loss.
//!
//! ```text
//!  wan0 at A --> [cut?] --> [queue, drop-tail] --> [serialise at rate] --> [lost?] --> [delay] --> [cut?] --> wan0 at B
//! ```
//!
//! The kernel's own emulation is not available everywhere, and a cut must leave TCP connections open: interfaces stay
//! up, packets vanish. The shaper is a pure object with the time as an argument; the emulator moves packets through it;
//! a unix socket carries changes and figures. It must never reorder packets and never hold more than its queue says.

mod control;
mod emulator;
mod link;
mod shaper;

pub use control::{Control, Error as ControlError, run};
pub use emulator::{Emulator, Error};
pub use link::{Config, Counters, End, Link, LinkChange, Stats};
pub use shaper::{Shaper, Verdict};
