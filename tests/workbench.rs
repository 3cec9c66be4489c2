//! The commands that understand files without running them, as a person or a script calls them.

mod files;
mod pictures;
mod said;
mod schema;
mod used;
