//! What can go wrong with a tunnel, a stream and a lane.

use std::io;
use std::time::Duration;

use super::record::MalformedRecord;

/// A failure of a tunnel or of one of its streams.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The process at the other end is not the one the streams were opened with.
    #[error("go on with the stream: the peer's process was restarted and has lost it")]
    PeerRestarted,
    /// The other end closed the tunnel.
    #[error("use the tunnel: the peer closed it")]
    PeerClosed,
    /// The other end broke the rules of streams.
    #[error("go on with the stream: the peer broke the tunnel's protocol")]
    Protocol(#[source] MalformedRecord),
    /// This end closed the tunnel.
    #[error("use the tunnel: it is closed")]
    Closed,
    /// The other end gave the stream up before its end.
    #[error("read the stream: the peer gave it up before its end")]
    StreamReset,
    /// The other end does not read any more.
    #[error("write the stream: the peer reads no more")]
    StreamStopped,
    /// This end has said that nothing more comes.
    #[error("write the stream: its end was sent already")]
    StreamFinished,
    /// The service name does not fit.
    #[error("open a stream: a service name has 1 to 255 bytes")]
    ServiceName,
    /// Stream numbers are used up.
    #[error("open a stream: the session has no stream number left")]
    StreamNumbers,
    /// Nothing came back in time.
    #[error("hear from the peer within {0:?}")]
    NoAnswer(Duration),
    /// The lanes were not there in time, and the last that was dialled could not be used.
    #[error("hear from the peer within {within:?}: a lane that was dialled failed to {why}")]
    NoLanes {
        /// The bound.
        within: Duration,
        /// What became of that lane, with its causes.
        why: String,
    },
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::PeerRestarted | Error::PeerClosed | Error::StreamReset | Error::Protocol(_) => {
                io::ErrorKind::ConnectionReset
            }
            Error::Closed => io::ErrorKind::NotConnected,
            Error::StreamStopped | Error::StreamFinished => io::ErrorKind::BrokenPipe,
            Error::ServiceName | Error::StreamNumbers => io::ErrorKind::InvalidInput,
            Error::NoAnswer(_) | Error::NoLanes { .. } => io::ErrorKind::TimedOut,
        };
        Self::new(kind, error)
    }
}

/// Why a lane ended; its records go on over the others.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// The connection failed.
    #[error("use the lane's connection")]
    Io(#[from] io::Error),
    /// The other end closed the connection.
    #[error("read the lane: the peer closed it")]
    Ended,
    /// Nothing came for too long.
    #[error("hear from the lane within {0:?}")]
    Silent(Duration),
    /// The other end did not keep to the protocol.
    #[error("understand the lane's record")]
    Malformed(#[from] MalformedRecord),
    /// The lane is not for this tunnel or not from a Longhaul lane version we speak.
    #[error("agree on the lane: {0}")]
    Hello(String),
    /// The other end is a new process; the streams of the old one failed.
    #[error("go on with the session: the peer has another one")]
    OtherSession,
    /// A newer connection took this lane's number, or the session ended.
    #[error("keep the lane: it was replaced or its session ended")]
    Replaced,
    /// The tunnel is closed.
    #[error("use the lane: the tunnel is closed")]
    Closed,
    /// The connection attempt took too long.
    #[error("dial the lane within {0:?}")]
    Slow(Duration),
}
