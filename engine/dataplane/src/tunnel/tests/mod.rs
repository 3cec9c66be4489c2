//! The tunnel over real TCP on loopback, with its lanes killed, cut and slowed.

mod faults;
mod malformed;
mod packets;
mod priority;
mod rig;
mod streams;
