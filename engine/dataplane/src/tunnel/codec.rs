//! A stream's bytes to and from a record's payload.
//!
//! zstd level 1 is where a core still fills a gigabit link; what a sample shows to be incompressible is sent as it is.

use bytes::Bytes;

use super::record::{Header, MalformedRecord, Op, RECORD_BYTES_MAX};

static ZEROS: [u8; RECORD_BYTES_MAX] = [0; RECORD_BYTES_MAX];

/// Compression level; faster ones cost more bytes than they save time at up to 1 Gbit/s.
const LEVEL: i32 = 1;
/// Below this a frame's own header and the time are not worth it.
const COMPRESS_MIN: usize = 256;
/// Bytes tried before a whole record is compressed.
const PROBE_LEN: usize = 4096;
/// A saving of less than one part in this is none.
const SAVING_MIN: usize = 16;
/// Records of this size and more are compressed off the reactor: it takes longer than a task switch.
pub(super) const OFFLOAD_MIN: usize = 4096;

/// Makes payloads; one per lane, because it keeps zstd's working memory.
pub(super) struct Encoder {
    zstd: zstd::bulk::Compressor<'static>,
    probe: Vec<u8>,
}

impl Encoder {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { zstd: zstd::bulk::Compressor::new(LEVEL)?, probe: vec![0; PROBE_LEN] })
    }

    /// Appends the payload for `raw` to `out` and says what it became.
    pub(super) fn encode(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Op {
        if *raw == ZEROS[..raw.len()] {
            return Op::Zero;
        }
        if self.is_promising(raw) && self.compress(raw, out) {
            return Op::Zstd;
        }
        out.extend_from_slice(raw);
        Op::Raw
    }

    fn is_promising(&mut self, raw: &[u8]) -> bool {
        if raw.len() < COMPRESS_MIN {
            return false;
        }
        let Some(middle) = raw.len().checked_sub(2 * PROBE_LEN) else { return true };
        let start = PROBE_LEN / 2 + middle / 2;
        let sample = &raw[start..start + PROBE_LEN];
        // A buffer too small is an error to zstd, and the answer to us.
        self.zstd.compress_to_buffer(sample, &mut self.probe[..PROBE_LEN - PROBE_LEN / SAVING_MIN]).is_ok()
    }

    fn compress(&mut self, raw: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        out.resize(start + raw.len() - raw.len() / SAVING_MIN, 0);
        let written = self.zstd.compress_to_buffer(raw, &mut out[start..]);
        out.truncate(start + *written.as_ref().unwrap_or(&0));
        written.is_ok()
    }
}

/// Reads payloads; one per lane.
pub(super) struct Decoder {
    zstd: zstd::bulk::Decompressor<'static>,
}

impl Decoder {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { zstd: zstd::bulk::Decompressor::new()? })
    }

    /// The stream's bytes; for other records the payload itself.
    ///
    /// # Errors
    /// A compressed payload holds more, less or something else than declared; never more than declared is produced.
    pub(super) fn decode(&mut self, header: &Header, payload: Vec<u8>) -> Result<Bytes, MalformedRecord> {
        let raw_len = header.raw_len as usize;
        match header.op {
            Op::Zero => Ok(Bytes::from_static(&ZEROS[..raw_len])),
            Op::Zstd => {
                let raw = self.zstd.decompress(&payload, raw_len);
                let raw = raw.ok().filter(|raw| raw.len() == raw_len);
                raw.map(Bytes::from).ok_or(MalformedRecord::Compressed(header.raw_len))
            }
            Op::Raw | Op::Open | Op::Fin | Op::Reset | Op::Stop | Op::Credit => Ok(Bytes::from(payload)),
            Op::Ack | Op::Ping | Op::Pong | Op::Close => Ok(Bytes::from(payload)),
        }
    }
}
