//! Rhai expressions inside `${{ }}`: parsed once, checked, evaluated against a scope.
//!
//! The public types are [`Expression`] (exactly one `${{ }}`) and [`Template`] (a JSON value whose strings may hold
//! some). Both serialise as what the author wrote, so a plan in a journal reads like the file it came from.
//!
//! Pure: no I/O, no clock, no random number, no state between two evaluations. The same text and the same [`Scope`]
//! give the same value for ever; a replay depends on it.

mod constant;
pub mod embed;
mod engine;
mod error;
mod expression;
mod facts;
mod functions;
mod operations;
mod quantities;
mod reference;
mod scan;
mod scope;
mod status;
mod template;
mod value;

pub use constant::Hopeless;
pub use engine::limits;
pub use error::Error;
pub use expression::{Expression, Shape};
pub use functions::{FUNCTIONS, Function, Group, nearest as nearest_function, reference};
pub use operations::{Operand, Operation};
pub use reference::{Reference, Root};
pub use scope::Scope;
pub use status::Asked;
pub use template::{Partial, Placed, Template};
