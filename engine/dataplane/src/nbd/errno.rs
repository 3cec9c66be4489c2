//! The errors a request can end in, as the protocol numbers them.

use std::io;

/// Why a request failed. The set is the protocol's; anything else travels as [`Errno::Io`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Errno {
    /// Writing is not allowed.
    #[error("not permitted")]
    NotPermitted,
    /// The disk failed.
    #[error("input/output error")]
    Io,
    /// The server has no memory for it.
    #[error("out of memory")]
    NoMemory,
    /// The request makes no sense.
    #[error("invalid request")]
    Invalid,
    /// The disk under the server is full.
    #[error("no space left")]
    NoSpace,
    /// The request is too long.
    #[error("request too long")]
    Overflow,
    /// Not offered.
    #[error("not supported")]
    NotSupported,
    /// The server stops serving this export.
    #[error("server is shutting down")]
    Shutdown,
}

impl Errno {
    /// The number on the wire.
    pub fn number(self) -> u32 {
        match self {
            Self::NotPermitted => 1,
            Self::Io => 5,
            Self::NoMemory => 12,
            Self::Invalid => 22,
            Self::NoSpace => 28,
            Self::Overflow => 75,
            Self::NotSupported => 95,
            Self::Shutdown => 108,
        }
    }

    /// The error with that number; an unknown one is an I/O error.
    pub fn from_number(number: u32) -> Self {
        match number {
            1 => Self::NotPermitted,
            12 => Self::NoMemory,
            22 => Self::Invalid,
            28 => Self::NoSpace,
            75 => Self::Overflow,
            95 => Self::NotSupported,
            108 => Self::Shutdown,
            _ => Self::Io,
        }
    }
}

impl From<&io::Error> for Errno {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            io::ErrorKind::OutOfMemory => Self::NoMemory,
            io::ErrorKind::PermissionDenied => Self::NotPermitted,
            _ => Self::Io,
        }
    }
}
