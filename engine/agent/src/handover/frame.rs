//! What goes over the stream between two agents.
//!
//! A frame is one byte of kind, four bytes of length (big endian) and so many bytes. The first frame is a hello; then state
//! and extents in any order, then RELINQUISH as the last one. Back comes a single answer.

use std::io;

use longhaul_model::ids::{RunId, VmId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::facts::{Decision, Epoch, StateDigest};

/// Version of this protocol; both sides have to speak the same.
pub const PROTOCOL_VERSION: u32 = 1;

/// Most state in one frame. With the socket's buffer it is all that lies between QEMU and the lane, for what lies there
/// when the guest stops is pause.
pub(super) const STATE_BYTES_MAX: usize = 64 << 10;

/// Most extents in one frame; more go into further frames.
const EXTENTS_MAX: usize = STATE_BYTES_MAX / EXTENT_BYTES;

const EXTENT_BYTES: usize = 16;

/// A range of a disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Extent {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
}

/// Which hand-over this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) version: u32,
    pub(super) vm: VmId,
    pub(super) run: RunId,
    pub(super) epoch: Epoch,
}

/// RELINQUISH as it is sent: the hello again, what the state was, and how many extents came with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Relinquish {
    pub(super) hello: Hello,
    pub(super) state: StateDigest,
    pub(super) extents: u64,
}

/// The target's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reply {
    pub(super) epoch: Epoch,
    pub(super) decision: Decision,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    Hello(Hello),
    State(Vec<u8>),
    Extents(Vec<Extent>),
    Relinquish(Relinquish),
    Reply(Reply),
}

impl Frame {
    const fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => 1,
            Self::State(_) => 2,
            Self::Extents(_) => 3,
            Self::Relinquish(_) => 4,
            Self::Reply(_) => 5,
        }
    }

    fn body(self) -> Vec<u8> {
        match self {
            Self::Hello(hello) => json(&hello),
            Self::State(bytes) => bytes,
            Self::Extents(extents) => pack(&extents),
            Self::Relinquish(relinquish) => json(&relinquish),
            Self::Reply(reply) => json(&reply),
        }
    }

    fn from_parts(kind: u8, body: Vec<u8>) -> io::Result<Self> {
        match kind {
            1 => from_json(&body).map(Self::Hello),
            2 => Ok(Self::State(body)),
            3 => unpack(&body).map(Self::Extents),
            4 => from_json(&body).map(Self::Relinquish),
            5 => from_json(&body).map(Self::Reply),
            _ => Err(invalid(format!("a frame of kind {kind}"))),
        }
    }
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("frames are texts and numbers")
}

fn from_json<T: DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    serde_json::from_slice(body).map_err(io::Error::from)
}

fn pack(extents: &[Extent]) -> Vec<u8> {
    extents.iter().flat_map(|extent| [extent.offset, extent.length]).flat_map(u64::to_be_bytes).collect()
}

fn unpack(body: &[u8]) -> io::Result<Vec<Extent>> {
    let (packed, rest) = body.as_chunks::<EXTENT_BYTES>();
    if !rest.is_empty() {
        return Err(invalid("a list of extents of odd length"));
    }
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    Ok(packed.iter().map(|it| Extent { offset: number(&it[..8]), length: number(&it[8..]) }).collect())
}

/// Writes one frame and flushes it: nothing may wait for a neighbour while a guest is stopped.
pub(super) async fn write<W: AsyncWrite + Unpin>(stream: &mut W, frame: Frame) -> io::Result<()> {
    let kind = frame.kind();
    let body = frame.body();
    let length = u32::try_from(body.len()).map_err(|_| invalid("a frame too long"))?;
    let mut bytes = Vec::with_capacity(5 + body.len());
    bytes.push(kind);
    bytes.extend(length.to_be_bytes());
    bytes.extend(body);
    stream.write_all(&bytes).await?;
    stream.flush().await
}

/// Writes a list of extents, in as many frames as it takes.
pub(super) async fn write_extents<W: AsyncWrite + Unpin>(
    stream: &mut W,
    extents: &[Extent],
) -> io::Result<()> {
    for part in extents.chunks(EXTENTS_MAX) {
        write(stream, Frame::Extents(part.to_vec())).await?;
    }
    Ok(())
}

/// Reads one frame. Not safe to cancel: a frame that was read in part is lost.
pub(super) async fn read<R: AsyncRead + Unpin>(stream: &mut R) -> io::Result<Frame> {
    let kind = stream.read_u8().await?;
    let length = usize::try_from(stream.read_u32().await?).unwrap_or(usize::MAX);
    if length > STATE_BYTES_MAX {
        return Err(invalid("a frame longer than any we send"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Frame::from_parts(kind, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kind of frame comes back as it was sent, long lists in parts, and a length from nowhere is refused.
    #[tokio::test]
    async fn frames_survive_the_stream() {
        let hello = Hello {
            version: PROTOCOL_VERSION,
            vm: "vm-a".parse().unwrap(),
            run: "run-1".parse().unwrap(),
            epoch: Epoch(2),
        };
        let state = StateDigest { hash: "ab".to_owned(), bytes: 3 };
        let frames = [
            Frame::Hello(hello.clone()),
            Frame::State(vec![7; STATE_BYTES_MAX]),
            Frame::Relinquish(Relinquish { hello, state, extents: 9 }),
            Frame::Reply(Reply { epoch: Epoch(2), decision: Decision::Run { runs_at_unix_us: 5 } }),
        ];
        let extents: Vec<_> =
            (0..EXTENTS_MAX as u64 + 1).map(|n| Extent { offset: n << 40, length: n }).collect();
        let (mut here, mut there) = tokio::io::duplex(1 << 20);
        for frame in &frames {
            write(&mut here, frame.clone()).await.unwrap();
            assert_eq!(read(&mut there).await.unwrap(), *frame);
        }
        write_extents(&mut here, &extents).await.unwrap();
        let mut received = Vec::new();
        while received.len() < extents.len() {
            let Frame::Extents(part) = read(&mut there).await.unwrap() else { panic!("not extents") };
            received.extend(part);
        }
        assert_eq!(received, extents);
        here.write_all(&[2, 255, 0, 0, 0]).await.unwrap();
        assert!(read(&mut there).await.is_err());
    }
}
