//! Replies of the transmission phase. No I/O here.

use bytes::{BufMut, Bytes, BytesMut};

use super::wire::{
    BASE_ALLOCATION_ID, MAX_EXTENTS, MAX_PAYLOAD, SIMPLE_REPLY_MAGIC, STATE_HOLE, STATE_ZERO,
    STRUCTURED_REPLY_MAGIC, chunk,
};
use super::{AllocationRun, Errno, Piece, Span};

/// Length of the part that both kinds of reply share: magic and, for chunks, flags and type, or the error.
pub const SIMPLE_HEADER: usize = 16;
/// Length of a chunk's header in bytes.
pub const CHUNK_HEADER: usize = 20;

/// How the server answers on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// One header, then the data of a successful read.
    Simple,
    /// Chunks, with holes and messages.
    Structured,
}

/// Parts of a reply, to be written one after the other; data is not copied.
pub type Frames = Vec<Bytes>;

/// Answers that something was done.
pub fn done(style: Style, cookie: u64) -> Frames {
    match style {
        Style::Simple => vec![simple(cookie, 0)],
        Style::Structured => vec![chunk_header(cookie, chunk::NONE, true, 0).freeze()],
    }
}

/// Answers with an error.
pub fn error(style: Style, cookie: u64, errno: Errno) -> Frames {
    match style {
        Style::Simple => vec![simple(cookie, errno.number())],
        Style::Structured => {
            let mut frame = chunk_header(cookie, chunk::ERROR, true, 6);
            frame.put_u32(errno.number());
            frame.put_u16(0);
            vec![frame.freeze()]
        }
    }
}

/// Answers a read. `whole` forbids more than one chunk.
pub fn read(style: Style, cookie: u64, offset: u64, pieces: Vec<Piece>, whole: bool) -> Frames {
    match style {
        Style::Simple => std::iter::once(simple(cookie, 0)).chain(pieces.into_iter().map(flatten)).collect(),
        Style::Structured if whole && pieces.len() > 1 => {
            let mut joined = BytesMut::new();
            pieces.into_iter().for_each(|piece| joined.extend_from_slice(&flatten(piece)));
            chunks(cookie, offset, vec![Piece::Data(joined.freeze())])
        }
        Style::Structured => chunks(cookie, offset, pieces),
    }
}

/// Answers a block status request.
pub fn allocation(cookie: u64, runs: &[AllocationRun]) -> Frames {
    let runs = &runs[..runs.len().min(MAX_EXTENTS)];
    let length = u32::try_from(4 + 8 * runs.len()).expect("bounded by MAX_EXTENTS");
    let mut frame = chunk_header(cookie, chunk::BLOCK_STATUS, true, length);
    frame.put_u32(BASE_ALLOCATION_ID);
    for run in runs {
        frame.put_u32(run.length);
        frame.put_u32(if run.hole { STATE_HOLE | STATE_ZERO } else { 0 });
    }
    vec![frame.freeze()]
}

fn chunks(cookie: u64, mut offset: u64, pieces: Vec<Piece>) -> Frames {
    let count = pieces.len();
    let mut frames = Vec::with_capacity(2 * count);
    for (index, piece) in pieces.into_iter().enumerate() {
        let last = index + 1 == count;
        let length = u32::try_from(piece.length()).expect("a read is bounded by MAX_PAYLOAD");
        match piece {
            Piece::Data(data) => {
                let mut frame = chunk_header(cookie, chunk::OFFSET_DATA, last, 8 + length);
                frame.put_u64(offset);
                frames.extend([frame.freeze(), data]);
            }
            Piece::Zeroes(_) => {
                let mut frame = chunk_header(cookie, chunk::OFFSET_HOLE, last, 12);
                frame.put_u64(offset);
                frame.put_u32(length);
                frames.push(frame.freeze());
            }
        }
        offset += u64::from(length);
    }
    frames
}

fn flatten(piece: Piece) -> Bytes {
    match piece {
        Piece::Data(data) => data,
        Piece::Zeroes(length) => {
            Bytes::from(vec![0; usize::try_from(length).expect("a read is bounded by MAX_PAYLOAD")])
        }
    }
}

fn simple(cookie: u64, error: u32) -> Bytes {
    let mut frame = BytesMut::with_capacity(SIMPLE_HEADER);
    frame.put_u32(SIMPLE_REPLY_MAGIC);
    frame.put_u32(error);
    frame.put_u64(cookie);
    frame.freeze()
}

fn chunk_header(cookie: u64, kind: u16, last: bool, length: u32) -> BytesMut {
    let mut frame = BytesMut::with_capacity(CHUNK_HEADER + 16);
    frame.put_u32(STRUCTURED_REPLY_MAGIC);
    frame.put_u16(if last { chunk::DONE } else { 0 });
    frame.put_u16(kind);
    frame.put_u64(cookie);
    frame.put_u32(length);
    frame
}

/// A chunk's header as a client finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHeader {
    /// Whose reply this is.
    pub cookie: u64,
    /// Whether it is the last of its reply.
    pub last: bool,
    kind: u16,
    /// Bytes that follow; bounded.
    pub length: u32,
}

/// A parsed chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Nothing; only ends the reply.
    Nothing,
    /// Bytes at an offset.
    Data(u64, Bytes),
    /// Zeroes.
    Hole(Span),
    /// A part of the allocation map.
    Allocation(Vec<AllocationRun>),
    /// The request failed.
    Failed(Errno),
}

/// The reply is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Neither kind of reply starts like that.
    #[error("reply has wrong magic {0:#x}")]
    Magic(u32),
    /// A chunk is longer than any request allows.
    #[error("chunk of {0} bytes is too long")]
    Length(u32),
    /// A chunk's inside does not fit its type.
    #[error("chunk of type {0} is malformed")]
    Chunk(u16),
}

impl ChunkHeader {
    /// Parses a header.
    ///
    /// # Errors
    /// [`Malformed`]; the connection must end.
    pub fn decode(bytes: &[u8; CHUNK_HEADER]) -> Result<Self, Malformed> {
        let magic = be32(&bytes[0..4]);
        if magic != STRUCTURED_REPLY_MAGIC {
            return Err(Malformed::Magic(magic));
        }
        let length = be32(&bytes[16..20]);
        if length > MAX_PAYLOAD + 8 {
            return Err(Malformed::Length(length));
        }
        Ok(Self {
            cookie: be64(&bytes[8..16]),
            last: be16(&bytes[4..6]) & chunk::DONE != 0,
            kind: be16(&bytes[6..8]),
            length,
        })
    }

    /// Parses what follows the header.
    ///
    /// # Errors
    /// [`Malformed`]; the connection must end.
    pub fn body(&self, body: &Bytes) -> Result<Chunk, Malformed> {
        let bad = || Malformed::Chunk(self.kind);
        match self.kind {
            chunk::NONE if body.is_empty() && self.last => Ok(Chunk::Nothing),
            chunk::OFFSET_DATA if body.len() > 8 => Ok(Chunk::Data(be64(&body[0..8]), body.slice(8..))),
            chunk::OFFSET_HOLE if body.len() == 12 => {
                Ok(Chunk::Hole(Span::new(be64(&body[0..8]), u64::from(be32(&body[8..12])))))
            }
            chunk::BLOCK_STATUS if body.len() >= 12 && (body.len() - 4).is_multiple_of(8) => {
                runs(&body[4..]).ok_or_else(bad)
            }
            kind if kind & chunk::ERRORS != 0 && body.len() >= 6 => {
                Ok(Chunk::Failed(Errno::from_number(be32(&body[0..4]))))
            }
            _ => Err(bad()),
        }
    }
}

fn runs(bytes: &[u8]) -> Option<Chunk> {
    let run = |entry: &[u8]| AllocationRun {
        length: be32(&entry[0..4]),
        hole: be32(&entry[4..8]) & STATE_ZERO != 0,
    };
    let runs: Vec<_> = bytes.chunks_exact(8).map(run).collect();
    runs.iter().all(|run| run.length > 0).then_some(Chunk::Allocation(runs))
}

fn be16(bytes: &[u8]) -> u16 {
    u16::from_be_bytes(bytes.try_into().expect("two bytes"))
}

fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("four bytes"))
}

fn be64(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(frames: &Frames) -> Vec<(ChunkHeader, Chunk)> {
        let mut bytes = Bytes::from(frames.concat());
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let header = ChunkHeader::decode(&bytes.split_to(CHUNK_HEADER)[..].try_into().unwrap()).unwrap();
            let body = bytes.split_to(header.length as usize);
            found.push((header, header.body(&body).unwrap()));
        }
        found
    }

    proptest! {
        /// Proves that a read reply comes back as it was sent, whatever mix of data and holes it has.
        #[test]
        fn read_round_trip(cookie: u64, offset in 0u64..1 << 50, lengths in prop::collection::vec((1u16.., any::<bool>()), 1..8)) {
            let pieces: Vec<_> = lengths.iter().map(|&(length, hole)| {
                if hole { Piece::Zeroes(length.into()) } else { Piece::Data(vec![7; length.into()].into()) }
            }).collect();
            let chunks = decode(&read(Style::Structured, cookie, offset, pieces.clone(), false));
            prop_assert_eq!(chunks.len(), pieces.len());
            let mut at = offset;
            for (index, (header, chunk)) in chunks.iter().enumerate() {
                prop_assert_eq!(header.cookie, cookie);
                prop_assert_eq!(header.last, index + 1 == pieces.len());
                let expected = match &pieces[index] {
                    Piece::Data(data) => Chunk::Data(at, data.clone()),
                    Piece::Zeroes(length) => Chunk::Hole(Span::new(at, *length)),
                };
                prop_assert_eq!(chunk, &expected);
                at += pieces[index].length();
            }
        }

        /// Proves that no bytes make the client's parser panic.
        #[test]
        fn hostile_chunks(mut head: [u8; CHUNK_HEADER], kind in 0u16..7, error: bool, body in prop::collection::vec(any::<u8>(), 0..64)) {
            head[0..4].copy_from_slice(&STRUCTURED_REPLY_MAGIC.to_be_bytes());
            head[6..8].copy_from_slice(&(kind | if error { chunk::ERRORS } else { 0 }).to_be_bytes());
            if let Ok(header) = ChunkHeader::decode(&head) {
                prop_assert!(header.length <= MAX_PAYLOAD + 8);
                if let Ok(Chunk::Allocation(runs)) = header.body(&body.into()) {
                    prop_assert!(runs.iter().all(|run| run.length > 0));
                }
            }
        }
    }
}
