//! State bytes between a QEMU's socket and the stream, hashed on the way. Holds one buffer and stops reading while the other
//! end takes nothing: QEMU's own estimate of the rate, and with it the pause, depends on that.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use super::frame::{self, Frame, STATE_BYTES_MAX};
use crate::facts::StateDigest;

/// How deep in a page a proof's flipped byte lies: past any header the guest may keep at the front.
const FLIP_DEPTH: u64 = 2048;

/// Sends what QEMU writes until it closes its end.
pub(super) async fn pump<W: AsyncWrite + Unpin>(
    mut qemu: UnixStream,
    writer: &Mutex<W>,
) -> io::Result<StateDigest> {
    let mut digest = Digest::new();
    let mut buffer = vec![0; STATE_BYTES_MAX];
    loop {
        let read = qemu.read(&mut buffer).await?;
        if read == 0 {
            return Ok(digest.finish());
        }
        digest.add(&buffer[..read]);
        frame::write(&mut *writer.lock().await, Frame::State(buffer[..read].to_vec())).await?;
    }
}

/// A digest in the making.
#[derive(Debug)]
pub(super) struct Digest {
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Digest {
    pub(super) fn new() -> Self {
        Self { hasher: blake3::Hasher::new(), bytes: 0 }
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    pub(super) fn finish(&self) -> StateDigest {
        StateDigest { hash: self.hasher.finalize().to_hex().to_string(), bytes: self.bytes }
    }
}

/// The break switch `flip_page`: finds a mark in the stream, also across frames, and flips a byte behind it.
#[derive(Debug)]
pub(super) struct Flipper {
    mark: Vec<u8>,
    tail: Vec<u8>,
    at: u64,
    due: Vec<u64>,
}

impl Flipper {
    pub(super) fn new(mark: &[u8]) -> Self {
        Self { mark: mark.to_vec(), tail: Vec::new(), at: 0, due: Vec::new() }
    }

    pub(super) fn pass(&mut self, bytes: &mut [u8]) {
        if self.mark.is_empty() {
            return;
        }
        let searched_from = self.at - self.tail.len() as u64;
        self.tail.extend_from_slice(bytes);
        let hits = self.tail.windows(self.mark.len()).enumerate().filter(|(_, window)| *window == self.mark);
        self.due.extend(hits.map(|(at, _)| searched_from + at as u64 + FLIP_DEPTH));
        let kept = self.tail.len().min(self.mark.len() - 1);
        self.tail.drain(..self.tail.len() - kept);
        let from = self.at;
        self.at += bytes.len() as u64;
        let until = self.at;
        for due in self.due.extract_if(.., |due| *due < until) {
            if let Some(byte) = usize::try_from(due - from).ok().and_then(|at| bytes.get_mut(at)) {
                *byte ^= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One byte behind each mark is flipped wherever the frames are cut, and nothing else.
    #[test]
    fn a_flip_follows_its_mark_across_frames() {
        let mut stream = vec![0_u8; 20_000];
        for at in [100, 9_000] {
            stream[at..at + 4].copy_from_slice(b"MARK");
        }
        for cut in [1, 7, 102, 2_148, 20_000] {
            let mut flipped = stream.clone();
            let mut flipper = Flipper::new(b"MARK");
            flipped.chunks_mut(cut).for_each(|frame| flipper.pass(frame));
            let changed: Vec<_> = (0..stream.len()).filter(|at| stream[*at] != flipped[*at]).collect();
            assert_eq!(changed, [2_148, 11_048], "cut at {cut}");
        }
    }
}
