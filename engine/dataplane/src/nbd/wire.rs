//! The numbers of the protocol, as `doc/proto.md` gives them, and our bounds.

/// Longest payload of a read or write in bytes; the protocol's portable maximum.
pub const MAX_PAYLOAD: u32 = 32 << 20;
/// Longest option in bytes: two names and some queries.
pub const MAX_OPTION: u32 = 16 << 10;
/// Longest name in bytes; the protocol's limit for strings.
pub const MAX_NAME: usize = 4096;
/// Most runs in one block status reply: 64 KiB on the wire. A longer answer is cut, which the protocol allows.
pub const MAX_EXTENTS: usize = 8192;
/// Smallest unit of a request in bytes: the sector, below which no guest writes.
pub const MIN_BLOCK: u32 = 512;
/// Unit in which requests are cheapest, in bytes.
pub(crate) const PREFERRED_BLOCK: u32 = 4096;
/// Most options in one negotiation; a real client sends fewer than ten.
pub(crate) const MAX_OPTIONS: usize = 64;
/// The one meta context we serve and ask for.
pub(crate) const BASE_ALLOCATION: &str = "base:allocation";
/// Its number on a connection; ours to choose.
pub(crate) const BASE_ALLOCATION_ID: u32 = 1;

pub(crate) const NBDMAGIC: u64 = 0x4e42_444d_4147_4943;
pub(crate) const IHAVEOPT: u64 = 0x4948_4156_454f_5054;
pub(crate) const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
pub(crate) const REQUEST_MAGIC: u32 = 0x2560_9513;
pub(crate) const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
pub(crate) const STRUCTURED_REPLY_MAGIC: u32 = 0x668e_33ef;

/// Bits of the two greetings.
pub(crate) mod greeting {
    pub(crate) const FIXED_NEWSTYLE: u16 = 1;
    pub(crate) const NO_ZEROES: u16 = 2;
}

/// What an export can do.
pub(crate) mod export_flag {
    pub(crate) const HAS_FLAGS: u16 = 1;
    pub(crate) const READ_ONLY: u16 = 1 << 1;
    pub(crate) const SEND_FLUSH: u16 = 1 << 2;
    pub(crate) const SEND_FUA: u16 = 1 << 3;
    pub(crate) const SEND_TRIM: u16 = 1 << 5;
    pub(crate) const SEND_WRITE_ZEROES: u16 = 1 << 6;
    pub(crate) const SEND_DF: u16 = 1 << 7;
    pub(crate) const CAN_MULTI_CONN: u16 = 1 << 8;
}

pub(crate) mod opt {
    pub(crate) const EXPORT_NAME: u32 = 1;
    pub(crate) const ABORT: u32 = 2;
    pub(crate) const LIST: u32 = 3;
    pub(crate) const INFO: u32 = 6;
    pub(crate) const GO: u32 = 7;
    pub(crate) const STRUCTURED_REPLY: u32 = 8;
    pub(crate) const LIST_META_CONTEXT: u32 = 9;
    pub(crate) const SET_META_CONTEXT: u32 = 10;
}

pub(crate) mod rep {
    pub(crate) const ACK: u32 = 1;
    pub(crate) const SERVER: u32 = 2;
    pub(crate) const INFO: u32 = 3;
    pub(crate) const META_CONTEXT: u32 = 4;
    /// Replies at or above this are errors.
    pub(crate) const ERRORS: u32 = 1 << 31;
    pub(crate) const ERR_UNSUP: u32 = ERRORS + 1;
    pub(crate) const ERR_POLICY: u32 = ERRORS + 2;
    pub(crate) const ERR_INVALID: u32 = ERRORS + 3;
    pub(crate) const ERR_UNKNOWN: u32 = ERRORS + 6;
    pub(crate) const ERR_TOO_BIG: u32 = ERRORS + 9;
}

pub(crate) mod info {
    pub(crate) const EXPORT: u16 = 0;
    pub(crate) const BLOCK_SIZE: u16 = 3;
}

pub(crate) mod cmd {
    pub(crate) const READ: u16 = 0;
    pub(crate) const WRITE: u16 = 1;
    pub(crate) const DISC: u16 = 2;
    pub(crate) const FLUSH: u16 = 3;
    pub(crate) const TRIM: u16 = 4;
    pub(crate) const WRITE_ZEROES: u16 = 6;
    pub(crate) const BLOCK_STATUS: u16 = 7;
}

pub(crate) mod cmd_flag {
    pub(crate) const FUA: u16 = 1;
    pub(crate) const NO_HOLE: u16 = 1 << 1;
    pub(crate) const DF: u16 = 1 << 2;
    pub(crate) const REQ_ONE: u16 = 1 << 3;
}

pub(crate) mod chunk {
    pub(crate) const NONE: u16 = 0;
    pub(crate) const OFFSET_DATA: u16 = 1;
    pub(crate) const OFFSET_HOLE: u16 = 2;
    pub(crate) const BLOCK_STATUS: u16 = 5;
    /// Types with this bit are errors.
    pub(crate) const ERRORS: u16 = 1 << 15;
    pub(crate) const ERROR: u16 = ERRORS + 1;
    /// Flag: the last chunk of its reply.
    pub(crate) const DONE: u16 = 1;
}

/// `base:allocation`: not allocated; reads as zeroes.
pub(crate) const STATE_HOLE: u32 = 1;
pub(crate) const STATE_ZERO: u32 = 2;
