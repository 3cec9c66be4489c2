//! The first bytes of a lane: which tunnel, which lane, and between which two processes.
//!
//! ```text
//!  dialer   -> {session D, peer: acceptor's if known, else 0}
//!  acceptor -> {session A, peer: D, if it takes the lane; else whom its streams belong to}
//! ```
//! A dialer that knows no peer is new: an acceptor that had another one loses that one's streams. A dialer that knows a
//! peer has streams: it goes on only if the acceptor still is that peer and still knows it.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

use super::config::{Config, LANES_MAX};
use super::core::{Core, PeerSession, Ticket};
use super::error::{Error, LaneError};

const MAGIC: [u8; 4] = *b"LHLN";
const VERSION: u16 = 1;
const LEN: usize = 40;

/// One side's introduction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) lane: u16,
    pub(super) lanes: u16,
    tunnel: u64,
    session: u64,
    peer: u64,
    window: u32,
}

impl Hello {
    pub(super) fn new(core: &Core, config: &Config, lane: u16, lanes: u16) -> Self {
        Self {
            lane,
            lanes,
            tunnel: config.id,
            session: core.session(),
            peer: core.peer().map_or(0, |peer| peer.session),
            window: config.window_bytes_initial,
        }
    }

    fn peer_session(&self) -> PeerSession {
        PeerSession { session: self.session, window: self.window }
    }

    fn to_bytes(self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&VERSION.to_be_bytes());
        bytes[6..8].copy_from_slice(&self.lane.to_be_bytes());
        bytes[8..10].copy_from_slice(&self.lanes.to_be_bytes());
        bytes[12..20].copy_from_slice(&self.tunnel.to_be_bytes());
        bytes[20..28].copy_from_slice(&self.session.to_be_bytes());
        bytes[28..36].copy_from_slice(&self.peer.to_be_bytes());
        bytes[36..40].copy_from_slice(&self.window.to_be_bytes());
        bytes
    }

    fn parse(bytes: &[u8; LEN]) -> Result<Self, LaneError> {
        let short = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let long = |at: usize| {
            u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes within the hello"))
        };
        if bytes[..4] != MAGIC {
            return Err(LaneError::Hello("the peer speaks something else".to_owned()));
        }
        if short(4) != VERSION {
            return Err(LaneError::Hello(format!("the peer speaks lane version {}, we {VERSION}", short(4))));
        }
        let window = u32::from_be_bytes(bytes[36..40].try_into().expect("four bytes within the hello"));
        let hello = Self {
            lane: short(6),
            lanes: short(8),
            tunnel: long(12),
            session: long(20),
            peer: long(28),
            window,
        };
        hello.check_bounds()?;
        Ok(hello)
    }

    fn check_bounds(&self) -> Result<(), LaneError> {
        let Self { lane, lanes, session, .. } = *self;
        if lane < lanes && lanes <= LANES_MAX && session != 0 {
            Ok(())
        } else {
            Err(LaneError::Hello(format!("lane {lane} of {lanes} in session {session} is out of bounds")))
        }
    }

    fn check_tunnel(&self, own: u64) -> Result<(), LaneError> {
        let text = || format!("the lane belongs to tunnel {:x}, not {own:x}", self.tunnel);
        if self.tunnel == own { Ok(()) } else { Err(LaneError::Hello(text())) }
    }

    pub(super) async fn send(self, io: &mut (impl AsyncWrite + Unpin)) -> Result<(), LaneError> {
        io.write_all(&self.to_bytes()).await?;
        io.flush().await?;
        Ok(())
    }

    pub(super) async fn receive(io: &mut (impl AsyncRead + Unpin)) -> Result<Self, LaneError> {
        let mut bytes = [0; LEN];
        match io.read_exact(&mut bytes).await {
            Ok(_) => Self::parse(&bytes),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(LaneError::Ended),
            Err(error) => Err(error.into()),
        }
    }
}

/// The acceptor's decision: its answer, and the lane's ticket if it takes it.
pub(super) fn welcome(core: &mut Core, config: &Config, hello: Hello) -> (Hello, Result<Ticket, LaneError>) {
    let verdict = take(core, config, hello);
    (Hello::new(core, config, hello.lane, hello.lanes), verdict)
}

fn take(core: &mut Core, config: &Config, hello: Hello) -> Result<Ticket, LaneError> {
    hello.check_tunnel(config.id)?;
    if core.closed().is_some() {
        return Err(LaneError::Closed);
    }
    let known = core.peer().map(|peer| peer.session);
    let goes_on = known == Some(hello.session) && (hello.peer == 0 || hello.peer == core.session());
    if !goes_on && hello.peer != 0 {
        return Err(LaneError::OtherSession);
    }
    if !goes_on && known.is_some() {
        core.reset(Error::PeerRestarted);
    }
    core.pair(hello.peer_session());
    Ok(core.attach(hello.lane, hello.lanes, Instant::now()))
}

/// The dialer's decision about the answer to what it sent.
pub(super) fn conclude(
    core: &mut Core,
    config: &Config,
    sent: Hello,
    reply: Hello,
) -> Result<Ticket, LaneError> {
    reply.check_tunnel(config.id)?;
    if core.closed().is_some() {
        return Err(LaneError::Closed);
    }
    if sent.session != core.session() {
        // Another lane's answer has ended that session already.
        return Err(LaneError::OtherSession);
    }
    let same_peer = core.peer().is_none_or(|peer| peer.session == reply.session);
    if reply.peer != sent.session || !same_peer {
        core.reset(Error::PeerRestarted);
        return Err(LaneError::OtherSession);
    }
    core.pair(reply.peer_session());
    Ok(core.attach(sent.lane, sent.lanes, Instant::now()))
}
