//! The journal: an append-only, hash-chained table of records in SQLite.
//!
//! One controller per directory writes it, guarded by a lock that the kernel drops when the process dies and fenced by
//! the owner's generation; any process may read it at any time. One thread commits, many batches at once. After a
//! failed commit nobody knows what is on disk: the connection is closed, every later append is refused, and the
//! process must stop. A later one finds the record there or not, and both are right.
//!
//! It must never change a record, nor delete one without the whole run, which has to be over.

mod blobs;
mod chain;
mod committer;
mod error;
mod kept;
mod lines;
mod owner;
mod reader;
mod redact;
mod removal;
mod schema;
#[cfg(test)]
mod tests;
mod writer;

pub use blobs::{LARGE_BYTES, Lost};
pub use chain::{Broken, Bundle, Stored};
pub use error::Error;
pub(crate) use error::database;
pub use kept::TakenUp;
pub use lines::{About, EXPORT_FORMAT, Export, Writer, bundle_of, read_export, rechain, write_export};
pub use owner::Owner;
pub use reader::{Reader, Recording, RunSummary, Standing, Verified};
pub use redact::redact;
pub use removal::{Deleted, Freed};
pub use writer::Journal;
