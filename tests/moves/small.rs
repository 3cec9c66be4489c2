//! A lab for many moves in little time: a fast link, a guest of a few hundred bytes, the shortest workflow, and a gate at
//! which the agents can be held.

pub(super) mod disk_server;
pub(super) mod gate;
pub(super) mod ground;
pub(super) mod guest;
pub(super) mod processes;
