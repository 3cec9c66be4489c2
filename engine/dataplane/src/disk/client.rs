//! The asking end of `control.sock`.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::control::{Frozen, MAX_LINE, OriginOpened, Refusal, Reply, Request, Round, Status};
use crate::nbd::Span;

/// A disk server answers at once; only syncs of a slow disk take longer.
const DEADLINE: Duration = Duration::from_secs(60);

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The socket failed; whether the order was carried out is unknown, and it may be repeated.
    #[error("reach disk server")]
    Io(#[from] io::Error),
    /// No answer in time; as for `Io`.
    #[error("reach disk server: no answer in {} s", DEADLINE.as_secs())]
    Slow,
    /// The answer is none.
    #[error("understand disk server: {0}")]
    Reply(String),
    /// The disk server said no.
    #[error("{}", .0.message)]
    Refused(Refusal),
}

/// A connection to a disk server. A call that failed with anything but `Refused` leaves the connection unusable.
#[derive(Debug)]
pub struct Control {
    stream: BufReader<UnixStream>,
}

impl Control {
    /// Connects to `control.sock`.
    ///
    /// # Errors
    /// Nobody listens there.
    pub async fn connect(socket: &Path) -> Result<Self, ControlError> {
        Ok(Self { stream: BufReader::new(UnixStream::connect(socket).await?) })
    }

    /// What is the case.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn status(&mut self) -> Result<Status, ControlError> {
        match self.ask(&Request::Status).await? {
            Reply::Status(status) => Ok(*status),
            other => Err(unexpected(&other)),
        }
    }

    /// See [`Request::Grant`].
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn grant(&mut self, epoch: u64) -> Result<(), ControlError> {
        self.order(&Request::Grant { epoch }).await
    }

    /// See [`Request::OpenOrigin`].
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn open_origin(&mut self) -> Result<OriginOpened, ControlError> {
        match self.ask(&Request::OpenOrigin).await? {
            Reply::OriginOpened(opened) => Ok(opened),
            other => Err(unexpected(&other)),
        }
    }

    /// See [`Request::DirtyRound`].
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn dirty_round(&mut self, applied: u64) -> Result<Round, ControlError> {
        match self.ask(&Request::DirtyRound { applied }).await? {
            Reply::Round(round) => Ok(round),
            other => Err(unexpected(&other)),
        }
    }

    /// See [`Request::AbortRounds`].
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn abort_rounds(&mut self) -> Result<(), ControlError> {
        self.order(&Request::AbortRounds).await
    }

    /// See [`Request::CloseOrigin`].
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn close_origin(&mut self) -> Result<(), ControlError> {
        self.order(&Request::CloseOrigin).await
    }

    /// See [`Request::Freeze`].
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn freeze(&mut self, epoch: u64) -> Result<Frozen, ControlError> {
        match self.ask(&Request::Freeze { epoch }).await? {
            Reply::Frozen(frozen) => Ok(frozen),
            other => Err(unexpected(&other)),
        }
    }

    /// See [`Request::Thaw`].
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn thaw(&mut self, epoch: u64) -> Result<(), ControlError> {
        self.order(&Request::Thaw { epoch }).await
    }

    /// See [`Request::StartFill`].
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn start_fill(&mut self, origin: u64) -> Result<(), ControlError> {
        self.order(&Request::StartFill { origin }).await
    }

    /// See [`Request::LimitFill`].
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn limit_fill(&mut self, present_permille: u16) -> Result<(), ControlError> {
        self.order(&Request::LimitFill { present_permille }).await
    }

    /// See [`Request::LimitRate`].
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn limit_rate(&mut self, bits_per_second: u64) -> Result<(), ControlError> {
        self.order(&Request::LimitRate { bits_per_second }).await
    }

    /// See [`Request::MarkAbsent`].
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn mark_absent(&mut self, extents: Vec<Span>) -> Result<(), ControlError> {
        self.order(&Request::MarkAbsent { extents }).await
    }

    /// See [`Request::Verify`].
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn verify(&mut self) -> Result<(), ControlError> {
        self.order(&Request::Verify).await
    }

    /// See [`Request::Finish`].
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn finish(&mut self) -> Result<(), ControlError> {
        self.order(&Request::Finish).await
    }

    async fn order(&mut self, request: &Request) -> Result<(), ControlError> {
        match self.ask(request).await? {
            Reply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn ask(&mut self, request: &Request) -> Result<Reply, ControlError> {
        let reply = tokio::time::timeout(DEADLINE, self.exchange(request)).await;
        match reply.map_err(|_| ControlError::Slow)?? {
            Reply::Refused(refusal) => Err(ControlError::Refused(refusal)),
            reply => Ok(reply),
        }
    }

    async fn exchange(&mut self, request: &Request) -> Result<Reply, ControlError> {
        let mut line = serde_json::to_vec(request).map_err(|error| ControlError::Reply(error.to_string()))?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).await?;
        let mut answer = Vec::new();
        let read = (&mut self.stream).take(MAX_LINE as u64).read_until(b'\n', &mut answer).await?;
        // A server that dies in mid-answer has not answered.
        if read < MAX_LINE && !answer.ends_with(b"\n") {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        serde_json::from_slice(&answer).map_err(|error| ControlError::Reply(error.to_string()))
    }
}

fn unexpected(reply: &Reply) -> ControlError {
    ControlError::Reply(format!("answered with something else: {reply:?}"))
}
