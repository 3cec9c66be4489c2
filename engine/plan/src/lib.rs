//! Turns a document into a checked plan: a DAG with inputs bound, parameters checked and the order of undo known.
//!
//! Pure: no I/O, no clock, no random number. Every mistake in a document is reported, not the first alone.
//!
//! ```text
//!  Document --read--> Workflow --check--> Plan
//!     |                  |         |
//!     |form              |types    |names, schemas, edges, cycles, pivots
//!     +------------------+---------+--> Diagnostics, all at once
//! ```

mod actions;
mod chart;
mod check;
mod child;
mod claims;
mod comparisons;
mod digest;
mod drawing;
mod family;
mod forecast;
mod formats;
mod graph;
mod inputs;
mod items;
mod names;
mod parameters;
mod pivots;
mod plan;
mod policies;
mod probes;
mod questions;
mod reasons;
mod render;
mod resources;
mod schema;
mod seen;
mod status;
mod steps;
mod triggers;
mod values;

pub use check::{Outline, check, outline, validate};
pub use drawing::{dot, mermaid, svg, terminal};
pub use forecast::{
    Circumstances, DeadlineOutlook, DeadlineVerdict, Expectation, Expected, Fact, Forecast, RestsOn,
};
pub use items::{item_key, item_keys};
pub use plan::{
    ActionStep, Asks, Backoff, Body, Child, ChildInput, Compensation, Foreach, Graph, OnExpire,
    OnItemFailure, Plan, Question, Reason, Retry, Step, Wait, WorkflowPin, WrittenProbe,
};
pub use policies::{ANY_ITEM, Asking, Holder, Policy, effects, moment};
pub use probes::FOUND;
pub use questions::approval_schema;
pub use render::render_text;
pub use resources::{Budget, Claim, Reserve, Resource, Share, Wanted};
pub use status::StepStatus;
pub use triggers::{Trigger, trigger_json};
pub use values::ValueSchema;
