//! Operations: what a controller asked for, carried out whether or not the controller lives.
//!
//! Each operation is a durable row before it begins and after it ended. The same (key, attempt) is the same operation,
//! also after the agent's death: a restarted agent takes every open one up again, so each must be safe to begin twice.

mod board;
mod handle;
mod perform;

pub(crate) use board::{Begun, Board, Open, Task};
pub(crate) use handle::{Direction, Handle, key_text};
pub(crate) use perform::{Asked, probe, resume, start};
