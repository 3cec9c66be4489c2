//! The disk server as a whole: real processes, real sockets, real files.

mod fence;
mod interop;
mod kill;
mod model;
mod moving;
mod power;
mod restart;
mod rig;
mod space;
