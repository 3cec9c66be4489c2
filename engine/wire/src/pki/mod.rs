//! Certificates: the built-in authority and the PEM files it writes and others read.
//!
//! Private keys never leave their file except into memory, and their files are readable by their owner alone.

mod ca;
mod credentials;
mod files;
mod statement;

pub use ca::{Ca, Issued, Validity};
pub(crate) use credentials::identity_of;
pub use credentials::{Credentials, Loaded, Roots};
pub use statement::{NoProof, Person, SignedText};

use std::path::PathBuf;

/// A failure to make, write or read certificates.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error("read {path}: {hint}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What to do.
        hint: &'static str,
        /// The reason.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("write {path}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// An authority is already there; a second one would make its certificates worthless.
    #[error("create a certificate authority: {path} exists; use it, or remove the folder to begin anew", path = path.display())]
    Exists {
        /// The certificate found.
        path: PathBuf,
    },
    /// A file does not hold what it should.
    #[error("use {path}: {problem}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A name cannot stand in a certificate.
    #[error(transparent)]
    Name(#[from] crate::identity::ParseError),
    /// A certificate could not be signed.
    #[error("make a certificate")]
    Make(#[from] rcgen::Error),
}
