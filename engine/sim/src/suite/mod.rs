//! Test files: cases of a workflow, held against it, simulated and judged.
//!
//! ```text
//!   test file --TestFile::read--> specs --+
//!   workflow  --plan::outline---> shape --+--> Suite --> Case --simulate--> Ran --> Failing: what was expected, what
//!   catalogue ----------------------------+    all mistakes at once                 happened, and where it is written
//! ```

mod case;
mod check;
mod judge;
mod mocks;
mod names;
mod points;
mod sample;
mod shape;
mod story;
mod summary;
mod verdict;

pub(crate) use case::slug;
pub use case::{Case, Refused};
pub use judge::Failing;
use longhaul_model::source::Source;
pub(crate) use sample::of as sample;
pub use summary::duration;
pub use verdict::Verdict;

/// The cases of a test file.
pub struct Suite {
    /// The test file.
    pub source: Source,
    /// Its cases, in file order.
    pub cases: Vec<Case>,
}
