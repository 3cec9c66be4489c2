//! Carries out the scripts of policies, in Rhai.
//!
//! ```text
//!   script --check--> mistakes with their places            view, with --decide--> decisions, or why there are none
//!      '-> Rhai: the pure functions of expressions, `allow`, `warn`, `deny`, `require_approval`, and nothing else
//! ```
//!
//! A script has statements, loops and functions of its own. It has no file, no network, no clock but the view's, no chance,
//! no `eval` and no `import`; what it prints goes to the log. What it may use up is bounded, and a script that meets a
//! bound has not decided.

mod answer;
mod check;
mod engine;
mod host;
mod names;

pub use host::RhaiHost;
pub use names::FUNCTIONS;
