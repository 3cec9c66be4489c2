//! What a WAN is told and what it tells.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use longhaul_model::units::{Bandwidth, Size, Time};
use serde::{Deserialize, Serialize};

/// What a WAN process is started with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The end at site A.
    pub a: End,
    /// The end at site B.
    pub b: End,
    /// The link's first settings.
    pub link: Link,
    /// Where the control socket is made.
    pub control: PathBuf,
}

/// One end of the link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Name of the network namespace.
    pub netns: String,
    /// Interface made there.
    pub interface: String,
    /// Its address, in a /30.
    pub address: Ipv4Addr,
}

/// The settings of a link; the same for both directions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// At which packets are serialised.
    pub rate: Bandwidth,
    /// One way.
    pub delay: Time,
    /// Fraction of packets lost, 0 to 1, each by itself.
    pub loss: f64,
    /// What waits for serialisation at most; a packet that does not fit is dropped.
    pub queue: Size,
    /// Of the random loss.
    pub seed: u64,
}

impl Default for Link {
    /// 100 Mbit/s, 50 ms round trip, 0.1 % loss, a queue of 512 KiB (42 ms).
    fn default() -> Self {
        Self {
            rate: Bandwidth::from_bits_per_second(100_000_000),
            delay: Time::from_millis(25),
            loss: 0.001,
            queue: Size::from_bytes(512 * 1024),
            seed: 1,
        }
    }
}

/// Settings to be changed while the link carries traffic; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LinkChange {
    /// See [`Link::rate`].
    pub rate: Option<Bandwidth>,
    /// See [`Link::delay`].
    pub delay: Option<Time>,
    /// See [`Link::loss`].
    pub loss: Option<f64>,
    /// See [`Link::queue`].
    pub queue: Option<Size>,
}

impl Link {
    /// The settings after a change.
    #[must_use]
    pub fn changed(&self, change: &LinkChange) -> Self {
        Self {
            rate: change.rate.unwrap_or(self.rate),
            delay: change.delay.unwrap_or(self.delay),
            loss: change.loss.unwrap_or(self.loss),
            queue: change.queue.unwrap_or(self.queue),
            seed: self.seed,
        }
    }
}

/// What one direction did since the WAN was started. Bytes are whole IP packets, headers included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Packets that went onto the wire, lost ones included.
    pub packets: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Packets that found the queue full.
    pub queue_drops: u64,
    /// Packets lost at random.
    pub loss_drops: u64,
    /// Packets that met a cut link.
    pub cut_drops: u64,
}

/// What a WAN tells about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// The settings in force.
    pub link: Link,
    /// Whether everything is dropped.
    pub cut: bool,
    /// From A to B.
    pub a_to_b: Counters,
    /// From B to A.
    pub b_to_a: Counters,
}

impl Stats {
    /// Bytes on the wire, both directions.
    #[must_use]
    pub fn wire_bytes(&self) -> u64 {
        self.a_to_b.bytes + self.b_to_a.bytes
    }
}
