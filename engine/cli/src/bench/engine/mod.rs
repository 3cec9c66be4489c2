//! What the engine itself costs: steps that do nothing, durable on the local disk, beside other engines.
//!
//! ```text
//!   for each work: flush the disk, ours, peer, peer, ..., flush, ours, ...  -> medians, spread, ratio, aims, limits
//!                  and once more, each traced: how often each flushes for a step
//! ```
//!
//! Everybody gets a process and an empty folder of its own for every measurement, and has done three steps before the
//! clock starts: what is measured is neither a start-up nor a full disk. All of them speak alike (see [`told`]).

mod aims;
mod peers;
mod play;
mod report;
mod sample;
mod told;
mod work;
mod worker;

pub(crate) use play::engine;
pub(crate) use work::Shape;
pub(crate) use worker::{Part, work_on};
