//! The five classes of traffic.

use std::fmt;
use std::str::FromStr;

/// What a stream is for; a sender never sends a record while one of a higher class could go instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// The hand-over and control.
    Handover = 0,
    /// Client packets of moved VMs.
    Packets = 1,
    /// What a guest waits for.
    Demand = 2,
    /// What the source changed since it was sent.
    Dirty = 3,
    /// Everything that nobody waits for.
    Background = 4,
}

/// A text that names no class.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no class: expected handover, packets, demand, dirty or background")]
pub struct UnknownClass(String);

impl Class {
    /// Every class, the most urgent first.
    pub const ALL: [Self; 5] = [Self::Handover, Self::Packets, Self::Demand, Self::Dirty, Self::Background];

    /// The name in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Handover => "handover",
            Self::Packets => "packets",
            Self::Demand => "demand",
            Self::Dirty => "dirty",
            Self::Background => "background",
        }
    }

    /// Bulk stays off the reserved lane.
    pub(super) fn is_bulk(self) -> bool {
        match self {
            Self::Handover | Self::Packets | Self::Demand => false,
            Self::Dirty | Self::Background => true,
        }
    }

    /// Bytes a stream may have accepted and not yet given to a socket.
    ///
    /// QEMU estimates the bandwidth, and from it the pause, by how fast its socket takes bytes: what is queued here it
    /// counts as sent. Only what nobody waits for may have a record in hand and one waiting on every lane.
    pub(super) fn unsent_max(self) -> usize {
        match self {
            Self::Handover | Self::Packets | Self::Demand | Self::Dirty => 128 * 1024,
            Self::Background => 512 * 1024,
        }
    }

    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Class {
    type Err = UnknownClass;

    fn from_str(text: &str) -> Result<Self, UnknownClass> {
        let found = Self::ALL.into_iter().find(|class| class.as_str() == text);
        found.ok_or_else(|| UnknownClass(text.to_owned()))
    }
}
