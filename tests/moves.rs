//! Real moves: two sites, a lossy WAN, real QEMU guests, the real binary, real kills.
//!
//! The tests take turns, also with those of other processes: two cores carry one lab.

mod adoption;
mod bench;
mod breaks;
mod commands;
mod conformance;
mod faults;
mod identity;
mod kept;
mod midway;
mod outages;
mod own_writes;
mod preflight;
mod reboots;
mod rig;
mod shares;
mod small;
mod sweep;
mod wan;

pub(crate) use rig::binary;
