//! Datagrams over a stream: a length of 16 bits, then the packet.
//!
//! A packet that waits too long is worth nothing to its client, so the sender's queue is bounded and drops the oldest.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader, BufWriter, ReadHalf,
};
use tokio::sync::Notify;

/// A receiver reads so much at a time.
const READ_BUFFER_LEN: usize = 64 * 1024;
/// Packets gathered before they are given to the stream.
const WRITE_BUFFER_LEN: usize = 16 * 1024;

/// Gives packets to the stream; cheap to clone. When the last one is dropped, what is queued is sent and the stream
/// ends.
#[derive(Clone)]
pub struct PacketSender {
    handle: Arc<Handle>,
}

struct Handle {
    queue: Arc<Queue>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue.ended.store(true, Ordering::Release);
        self.queue.filled.notify_one();
    }
}

struct Queue {
    packets: Mutex<VecDeque<Bytes>>,
    packets_max: usize,
    filled: Notify,
    dropped: AtomicU64,
    ended: AtomicBool,
}

/// Takes packets from the stream.
pub struct PacketReceiver<S> {
    read: BufReader<ReadHalf<S>>,
}

/// Makes a packet channel of a stream; at most `packets_max` wait to be sent. Must be called within a tokio runtime.
pub fn split<S>(stream: S, packets_max: usize) -> (PacketSender, PacketReceiver<S>)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (read, write) = tokio::io::split(stream);
    let queue = Arc::new(Queue {
        packets: Mutex::default(),
        packets_max: packets_max.max(1),
        filled: Notify::new(),
        dropped: AtomicU64::new(0),
        ended: AtomicBool::new(false),
    });
    let feeding = Arc::clone(&queue);
    tokio::spawn(async move {
        if let Err(error) = feed(&feeding, BufWriter::with_capacity(WRITE_BUFFER_LEN, write)).await {
            tracing::debug!(%error, "a packet stream ended");
        }
        feeding.ended.store(true, Ordering::Release);
    });
    let read = BufReader::with_capacity(READ_BUFFER_LEN, read);
    (PacketSender { handle: Arc::new(Handle { queue }) }, PacketReceiver { read })
}

impl PacketSender {
    /// Queues a packet and never waits; the oldest is dropped if there is no room. Returns whether the stream lives.
    ///
    /// A packet that is empty or longer than 65535 bytes counts as dropped.
    pub fn send(&self, packet: Bytes) -> bool {
        let queue = &self.handle.queue;
        let fits = !packet.is_empty() && u16::try_from(packet.len()).is_ok();
        let mut packets = queue.packets.lock().expect("no holder of this lock panics");
        if !fits || packets.len() >= queue.packets_max {
            queue.dropped.fetch_add(1, Ordering::Relaxed);
        }
        if fits {
            if packets.len() >= queue.packets_max {
                packets.pop_front();
            }
            packets.push_back(packet);
        }
        drop(packets);
        queue.filled.notify_one();
        !queue.ended.load(Ordering::Acquire)
    }

    /// Packets dropped so far.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.handle.queue.dropped.load(Ordering::Relaxed)
    }
}

impl Queue {
    fn pop(&self) -> Option<Bytes> {
        self.packets.lock().expect("no holder of this lock panics").pop_front()
    }
}

async fn feed(queue: &Queue, mut write: BufWriter<impl AsyncWrite + Unpin>) -> io::Result<()> {
    loop {
        let ended = queue.ended.load(Ordering::Acquire);
        while let Some(packet) = queue.pop() {
            write.write_u16(u16::try_from(packet.len()).expect("`send` takes no longer ones")).await?;
            write.write_all(&packet).await?;
        }
        write.flush().await?;
        if ended {
            return write.shutdown().await;
        }
        queue.filled.notified().await;
    }
}

impl<S: AsyncRead + AsyncWrite> PacketReceiver<S> {
    /// The next packet; `None` after the last one.
    ///
    /// Not to be cancelled and called again: a part of a packet would be lost.
    ///
    /// # Errors
    /// The stream failed, or ended within a packet.
    pub async fn receive(&mut self) -> io::Result<Option<Bytes>> {
        let mut len = [0; 2];
        if self.read.read(&mut len[..1]).await? == 0 {
            return Ok(None);
        }
        self.read.read_exact(&mut len[1..]).await?;
        let mut packet = vec![0; usize::from(u16::from_be_bytes(len))];
        self.read.read_exact(&mut packet).await?;
        Ok(Some(Bytes::from(packet)))
    }
}
