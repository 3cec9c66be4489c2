//! Benchmarks: a named peer and Longhaul, in turns, in one run on one machine.
//!
//! ```text
//!   calibrate the cell -> ours, theirs, ours, theirs, ... -> medians, spread, ratio, limit
//! ```
//!
//! A move that fails its checks is an error and never a figure; so is a peer that is slower than it can be. What was
//! measured is kept after every move, so an interruption costs one move. Nothing here changes what is measured: both
//! sides get the same guest, the same load, the same client and the same link.

mod calibration;
mod cell;
mod comparison;
mod engine;
mod language;
mod limit;
mod meter;
mod metric;
mod ours;
mod play;
mod process;
mod progress;
mod row;
mod sample;
mod table;
mod theirs;

pub(crate) use cell::Cell;
pub(crate) use engine::{Part, Shape, engine, work_on};
pub(crate) use language::language;
pub(crate) use play::first_move;
pub(crate) use progress::Wanted;
