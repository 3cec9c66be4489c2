//! What can go wrong at an edge.

use std::io;

/// A change that could not be made, or a pump that ended. Every call may be repeated.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused a change to links, addresses, routes or rules.
    #[error("{change}")]
    Netlink {
        /// What was attempted, such as "route 10.10.0.50 into lh-edge".
        change: String,
        /// The kernel's answer.
        source: rtnetlink::Error,
    },
    /// No netlink socket to speak to the kernel with.
    #[error("open a netlink socket")]
    NetlinkSocket(#[source] io::Error),
    /// An interface that must exist does not.
    #[error("find network interface `{0}`")]
    NoInterface(String),
    /// A TUN or TAP device cannot be opened; `EBUSY` means that another agent holds it.
    #[error("open network device `{name}`")]
    Device {
        /// Which one.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// A kernel setting cannot be read or written.
    #[error("set {path}")]
    Sysctl {
        /// Its file.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// `nft` is not installed or cannot be started.
    #[error("run nft")]
    NftStart(#[source] io::Error),
    /// `nft` refused the rules or did not answer in time.
    #[error("apply nftables rules: {reason}")]
    Nft {
        /// What it said.
        reason: String,
    },
    /// A site's id that could not be written into a rule.
    #[error("use `{0}` as a site: letters, digits, `-`, `_` and `.` only, 64 at most")]
    Site(String),
    /// The stream to a peer broke.
    #[error("move packets to or from site `{peer}`")]
    Stream {
        /// The peer.
        peer: String,
        /// What broke.
        source: io::Error,
    },
    /// A peer took no packet for too long.
    #[error("send packets to site `{peer}`: it took none for {seconds} s")]
    Stalled {
        /// The peer.
        peer: String,
        /// How long was waited.
        seconds: u64,
    },
    /// A peer sent a frame that holds no packet.
    #[error("read packets from site `{peer}`: a frame of {bytes} bytes is no packet")]
    Frame {
        /// The peer.
        peer: String,
        /// The frame's length.
        bytes: usize,
    },
}
