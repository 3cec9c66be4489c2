//! The form of a record on a lane.
//!
//! ```text
//!  0     1      2         4         8        12       16       24        32
//!  kind  class  zero (2)  wire len  raw len  stream   offset   sequence  payload ...      all big endian
//! ```
//!
//! Every length is checked against the bound of its kind before a byte of payload is read.

use super::class::Class;

/// The most bytes of a stream in one record: 2.6 ms on a link of 100 Mbit/s, which bounds what a higher class waits.
pub const RECORD_BYTES_MAX: usize = 32 * 1024;
/// Length of a header.
pub(super) const HEADER_LEN: usize = 32;
/// Longest service name.
pub(super) const SERVICE_LEN_MAX: usize = 255;

/// What records are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A run of zeros: only its length crosses.
    Zero = 0,
    /// Bytes as they are.
    Raw = 1,
    /// Bytes compressed with zstd.
    Zstd = 2,
    /// Everything that is not a stream's bytes.
    Control = 3,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Zero, Self::Raw, Self::Zstd, Self::Control];

    /// The name in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Zero => "zero",
            Self::Raw => "raw",
            Self::Zstd => "zstd",
            Self::Control => "control",
        }
    }
}

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Op {
    Zero = 1,
    Zstd = 2,
    Raw = 3,
    /// A new stream; the payload is the service.
    Open = 10,
    /// The stream's last byte was before `offset`.
    Fin = 11,
    /// The stream's sender gave it up.
    Reset = 12,
    /// The stream's reader gave it up.
    Stop = 13,
    /// The stream may be sent up to `offset`.
    Credit = 14,
    /// So many (`offset`) records that want it have arrived on this lane.
    Ack = 20,
    /// To be answered with `Pong` and the same `offset`.
    Ping = 21,
    Pong = 22,
    /// The tunnel is closed for good.
    Close = 23,
}

impl Op {
    const ALL: [Self; 12] = [
        Self::Zero,
        Self::Zstd,
        Self::Raw,
        Self::Open,
        Self::Fin,
        Self::Reset,
        Self::Stop,
        Self::Credit,
        Self::Ack,
        Self::Ping,
        Self::Pong,
        Self::Close,
    ];

    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Zero => Kind::Zero,
            Self::Zstd => Kind::Zstd,
            Self::Raw => Kind::Raw,
            Self::Open | Self::Fin | Self::Reset | Self::Stop | Self::Credit => Kind::Control,
            Self::Ack | Self::Ping | Self::Pong | Self::Close => Kind::Control,
        }
    }
}

/// A record the peer should not have sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedRecord {
    /// No such kind of record.
    #[error("the record has the unknown kind {0}")]
    Kind(u8),
    /// No such class.
    #[error("the record has the unknown class {0}")]
    Class(u8),
    /// The unused field is used.
    #[error("the record's unused field is {0}, not 0")]
    Unused(u16),
    /// A length outside its bounds.
    #[error("the record declares {wire} bytes for {raw}, outside the bounds of its kind")]
    Length {
        /// Declared payload.
        wire: u32,
        /// Declared bytes of the stream.
        raw: u32,
    },
    /// The payload does not decompress to what the header says.
    #[error("the record does not decompress to the {0} bytes it declares")]
    Compressed(u32),
    /// A service name that is no text.
    #[error("the record's service name is no UTF-8")]
    Service,
    /// More than the stream's credit.
    #[error("the record exceeds the credit of stream {0}")]
    Credit(u32),
    /// Bytes that were there already, under a new sequence number, or past the stream's end.
    #[error("the record repeats bytes of stream {0} or exceeds its end")]
    Overlap(u32),
    /// A stream number that is not the peer's to use.
    #[error("the record opens stream {0}, which is not the peer's to open")]
    Stream(u32),
    /// An acknowledgement of what was never sent.
    #[error("the record acknowledges {0} records, more than were sent")]
    Ack(u64),
    /// Sequence numbers so far apart that no sender within its bounds makes them.
    #[error("the record's sequence number {0} is out of bounds")]
    Sequence(u64),
    /// More questions than answers can be sent.
    #[error("the lane is flooded with questions")]
    Flood,
}

/// A header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) op: Op,
    pub(super) class: Class,
    pub(super) wire_len: u32,
    pub(super) raw_len: u32,
    pub(super) stream: u32,
    pub(super) offset: u64,
    pub(super) sequence: u64,
}

impl Header {
    /// A record of one lane, without sequence number or payload.
    pub(super) fn of_lane(op: Op, offset: u64) -> Self {
        Self { op, class: Class::Handover, wire_len: 0, raw_len: 0, stream: 0, offset, sequence: 0 }
    }

    pub(super) fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0] = self.op as u8;
        bytes[1] = self.class as u8;
        bytes[4..8].copy_from_slice(&self.wire_len.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.raw_len.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.stream.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.offset.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.sequence.to_be_bytes());
        bytes
    }

    pub(super) fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Self, MalformedRecord> {
        let op =
            Op::ALL.into_iter().find(|op| *op as u8 == bytes[0]).ok_or(MalformedRecord::Kind(bytes[0]))?;
        let class = Class::from_byte(bytes[1]).ok_or(MalformedRecord::Class(bytes[1]))?;
        let unused = u16::from_be_bytes([bytes[2], bytes[3]]);
        if unused != 0 {
            return Err(MalformedRecord::Unused(unused));
        }
        let header = Self {
            op,
            class,
            wire_len: be_u32(bytes, 4),
            raw_len: be_u32(bytes, 8),
            stream: be_u32(bytes, 12),
            offset: be_u64(bytes, 16),
            sequence: be_u64(bytes, 24),
        };
        header.check_lengths()?;
        Ok(header)
    }

    fn check_lengths(&self) -> Result<(), MalformedRecord> {
        let (wire, raw) = (self.wire_len as usize, self.raw_len as usize);
        let raw_ok = (1..=RECORD_BYTES_MAX).contains(&raw);
        let ok = match self.op {
            Op::Zero => raw_ok && wire == 0,
            Op::Zstd => raw_ok && (1..=raw).contains(&wire),
            Op::Raw => raw_ok && wire == raw,
            Op::Open => raw == 0 && (1..=SERVICE_LEN_MAX).contains(&wire),
            Op::Fin | Op::Reset | Op::Stop | Op::Credit => raw == 0 && wire == 0,
            Op::Ack | Op::Ping | Op::Pong | Op::Close => raw == 0 && wire == 0,
        };
        let end_ok = self.offset.checked_add(raw as u64).is_some();
        if ok && end_ok {
            Ok(())
        } else {
            Err(MalformedRecord::Length { wire: self.wire_len, raw: self.raw_len })
        }
    }
}

fn be_u32(bytes: &[u8; HEADER_LEN], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes within the header"))
}

fn be_u64(bytes: &[u8; HEADER_LEN], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes within the header"))
}
