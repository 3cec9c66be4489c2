//! What a tunnel can be told.

use std::num::NonZeroU64;
use std::time::Duration;

use super::socket;

/// The most lanes a tunnel has; more only divide the same link.
pub const LANES_MAX: u16 = 16;
/// The fewest: one for what somebody waits for, one for bulk.
const LANES_MIN: u16 = 2;
/// Four lanes lose least to four BBR flows' losses; measured at 100 and 500 Mbit/s, 80 ms, up to 1 % loss.
const LANES_BBR: u16 = 4;
/// Without BBR a lane collapses at each loss, so there are twice as many.
const LANES_OTHER: u16 = 2 * LANES_BBR;

/// Settings of a tunnel; both ends may differ except in `id`.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which tunnel a lane belongs to; lanes of another are refused.
    pub id: u64,
    /// Lanes to dial; 0 lets the tunnel choose: 4 with BBR, 8 without. Brought into 2 to 16. The accepting end ignores it.
    pub lanes: u16,
    /// Cap on what is sent, bits per second, TLS not counted; none by default.
    pub pacing_bits_per_second: Option<NonZeroU64>,
    /// Bytes a lane's socket holds beyond what is in flight. 32 KiB on each of four lanes make the 128 KiB that keep the
    /// pause of a hand-over short.
    pub notsent_lowat_bytes: u32,
    /// A lane from which nothing came for so long is dead; it is asked every quarter of this.
    pub lane_silence_max: Duration,
    /// Bytes a peer may send on a new stream before it is read; grows with use.
    pub window_bytes_initial: u32,
    /// Bound of all streams' windows together: the most memory that unread bytes can take.
    pub receive_bytes_max: u64,
    /// Streams the peer may have open at a time.
    pub streams_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            id: 0,
            lanes: 0,
            pacing_bits_per_second: None,
            notsent_lowat_bytes: 32 * 1024,
            lane_silence_max: Duration::from_secs(8),
            window_bytes_initial: 256 * 1024,
            receive_bytes_max: 128 * 1024 * 1024,
            streams_max: 256,
        }
    }
}

impl Config {
    /// How many lanes to dial.
    pub(super) fn lanes_to_dial(&self) -> u16 {
        match self.lanes {
            0 if socket::bbr_is_allowed() => LANES_BBR,
            0 => LANES_OTHER,
            lanes => lanes.clamp(LANES_MIN, LANES_MAX),
        }
    }
}
