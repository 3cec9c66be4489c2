//! What a server needs to know of a disk.

use std::future::Future;

use bytes::Bytes;

use super::{AllocationRun, Errno, Piece, Span};

/// What an export offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Size in bytes, a multiple of 512.
    pub size: u64,
    /// Whether writes are refused.
    pub read_only: bool,
}

/// A request to make a span read as zeroes.
#[derive(Clone, Copy, Debug)]
pub struct Zeroes {
    /// Where.
    pub span: Span,
    /// Whether the space may be given back.
    pub may_punch: bool,
    /// Whether the reply waits until it is on stable storage.
    pub fua: bool,
}

/// One export, as one connection sees it. Spans given to it fit the size and are not empty; it answers many calls at once.
pub trait Device: Send + Sync + 'static {
    /// What it offers; fixed for the life of the connection.
    fn info(&self) -> Info;
    /// Reads; the pieces cover the span exactly.
    fn read(&self, span: Span) -> impl Future<Output = Result<Vec<Piece>, Errno>> + Send;
    /// Writes; with `fua` the data is on stable storage afterwards.
    fn write(&self, offset: u64, data: Bytes, fua: bool) -> impl Future<Output = Result<(), Errno>> + Send;
    /// Makes a span read as zeroes.
    fn zero(&self, zeroes: Zeroes) -> impl Future<Output = Result<(), Errno>> + Send;
    /// Says that the content of a span is of no use any more.
    fn trim(&self, span: Span, fua: bool) -> impl Future<Output = Result<(), Errno>> + Send;
    /// Puts every acknowledged write on stable storage.
    fn flush(&self) -> impl Future<Output = Result<(), Errno>> + Send;
    /// The allocation map of a span; may end early, never empty.
    fn allocation(&self, span: Span) -> impl Future<Output = Result<Vec<AllocationRun>, Errno>> + Send;
}

/// Why a name was not opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenRefused {
    /// There is no such export.
    Unknown,
    /// There is one, and this client may not have it; the text goes to the client.
    Policy(String),
}

/// The exports behind one socket, as one connection sees them.
pub trait Exports: Send + Sync {
    /// What is opened.
    type Device: Device;

    /// Names to show.
    fn list(&self) -> Vec<String>;
    /// Looks at an export without taking it.
    ///
    /// # Errors
    /// The name is unknown, or the client may not have it.
    fn inspect(&self, name: &str) -> Result<Info, OpenRefused>;
    /// Takes it for this connection.
    ///
    /// # Errors
    /// The name is unknown, or the client may not have it.
    fn open(&self, name: &str) -> Result<Self::Device, OpenRefused>;
}
