//! A move with QEMU's own means, in the same lab on the same guest: what benchmarks compare with, and the proof that lab
//! and guest work without any agent.
//!
//! ```text
//! mirror the disk over NBD -> READY -> migrate -> PRE-SWITCHOVER -> end the mirror -> migrate-continue -> RESUME at B
//! ```
//!
//! It gets what Longhaul gets: BBR where the kernel has it, and a bound on unsent bytes. Its packets for the moved guest
//! cross the WAN as they are, without a tunnel.

mod moving;
mod qemu;

pub use moving::{Error, Moved, PlainMove, favour};
pub use qemu::{CPU, MACHINE, Qemu};
