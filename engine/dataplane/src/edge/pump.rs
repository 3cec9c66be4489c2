//! Moves packets between the tunnel device and one byte stream to a peer site.
//!
//! A frame is a big-endian `u16` length and one IPv4 packet. A frame that holds no packet ends the pump: after it the
//! position in the stream is not known. Both directions are bounded: outwards by the peer's queue, inwards by one
//! buffer, because the next frame is read only when the kernel has taken the last one.

use std::io;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tun_rs::AsyncDevice;

use super::counters::count;
use super::error::Error;
use super::packet::HEADER_BYTES;
use super::switch::{Queue, Switch};

/// Most bytes put into one write: one TLS record's worth of packets costs one system call.
const BATCH_BYTES_MAX: usize = 16 << 10;
/// How long a peer may refuse to take packets before its stream counts as dead.
const WRITE_STALL: Duration = Duration::from_secs(30);
/// Bytes of a frame before its packet.
const LENGTH_BYTES: usize = 2;

/// One direction pair of a pump.
pub(super) struct Pump<'a> {
    pub(super) peer: &'a str,
    pub(super) switch: &'a Switch,
    pub(super) device: &'a AsyncDevice,
    pub(super) queue: &'a Queue,
}

impl Pump<'_> {
    /// Runs until the peer ends the stream (`Ok`) or it breaks.
    pub(super) async fn run<S: AsyncRead + AsyncWrite>(&self, stream: S) -> Result<(), Error> {
        let (reader, writer) = tokio::io::split(stream);
        tokio::select! {
            ended = self.inward(reader) => ended,
            ended = self.outward(writer) => ended,
        }
    }

    async fn inward(&self, mut reader: impl AsyncRead + Unpin) -> Result<(), Error> {
        let mut buffer = BytesMut::new();
        loop {
            while let Some(packet) = self.unframe(&mut buffer)? {
                self.deliver(packet).await;
            }
            buffer.reserve(BATCH_BYTES_MAX);
            match reader.read_buf(&mut buffer).await {
                Ok(0) if buffer.is_empty() => return Ok(()),
                Ok(0) => return Err(self.broken(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(source) => return Err(self.broken(source)),
            }
        }
    }

    fn unframe(&self, buffer: &mut BytesMut) -> Result<Option<Bytes>, Error> {
        let Some(length) = buffer.first_chunk().map(|bytes| usize::from(u16::from_be_bytes(*bytes))) else {
            return Ok(None);
        };
        if length < HEADER_BYTES {
            return Err(Error::Frame { peer: self.peer.to_owned(), bytes: length });
        }
        if buffer.len() < LENGTH_BYTES + length {
            return Ok(None);
        }
        buffer.advance(LENGTH_BYTES);
        Ok(Some(buffer.split_to(length).freeze()))
    }

    async fn deliver(&self, packet: Bytes) {
        let Some(packet) = self.switch.take_from_peer(self.peer, packet) else { return };
        match self.device.send(&packet).await {
            Ok(_) => count(&self.switch.counters.from_peers),
            Err(_) => count(&self.switch.counters.dropped_malformed),
        }
    }

    async fn outward(&self, mut writer: impl AsyncWrite + Unpin) -> Result<(), Error> {
        let mut buffer = BytesMut::new();
        loop {
            let packets = self.queue.take(BATCH_BYTES_MAX).await;
            buffer.clear();
            for packet in &packets {
                // The device hands out packets of at most its MTU.
                let Ok(length) = u16::try_from(packet.len()) else { continue };
                buffer.put_u16(length);
                buffer.put_slice(packet);
                count(&self.switch.counters.to_peers);
            }
            self.write(&mut writer, &buffer).await?;
        }
    }

    async fn write(&self, writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), Error> {
        let written = async {
            writer.write_all(bytes).await?;
            writer.flush().await
        };
        match timeout(WRITE_STALL, written).await {
            Ok(result) => result.map_err(|source| self.broken(source)),
            Err(_) => Err(Error::Stalled { peer: self.peer.to_owned(), seconds: WRITE_STALL.as_secs() }),
        }
    }

    fn broken(&self, source: io::Error) -> Error {
        Error::Stream { peer: self.peer.to_owned(), source }
    }
}
