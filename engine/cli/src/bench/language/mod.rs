//! How long checking and planning take, and what memory, for graphs from small to far larger than anybody writes; beside
//! checkers of another format on the same graph.
//!
//! ```text
//!   generate the graph in both formats -> ours, peer, peer, ours, peer, peer, ... -> medians, spread, ratio, growth
//! ```
//!
//! Each figure is of a process of its own from its start to its end, for that is what a person or an editor waits for.
//! A check that finds a mistake in a generated file is an error and never a figure.

mod graph;
mod peers;
mod play;
mod row;

pub(crate) use play::language;
