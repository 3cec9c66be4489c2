//! Serves exports over one connection: the negotiation, then many requests at once.
//!
//! It must never hold more than [`IN_FLIGHT`] requests or [`IN_FLIGHT_BYTES`] of data for a client, and never answer a
//! request twice or before the device said so.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::negotiation::{Agreed, Negotiation, Next};
use super::reply::{self, Frames};
use super::request::{self, Command, Request};
use super::wire::{IHAVEOPT, MAX_PAYLOAD, NBDMAGIC, greeting};
use super::{Device, Errno, Exports, Span, Zeroes, option};

/// Most requests of one connection in work at once. QEMU sends 16, our own fill as many as it is told.
pub const IN_FLIGHT: usize = 128;
/// Most bytes of data held for one connection.
pub const IN_FLIGHT_BYTES: u32 = 2 * MAX_PAYLOAD;
/// A client that has not taken an export by then is cut off.
const NEGOTIATION: Duration = Duration::from_secs(30);
/// How long a client that said goodbye is still served what it asked before.
const GOODBYE: Duration = Duration::from_secs(10);

/// Why a connection ended otherwise than by the client's will.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream failed.
    #[error("connection failed")]
    Io(#[from] io::Error),
    /// The negotiation took too long.
    #[error("negotiation took longer than {} s", NEGOTIATION.as_secs())]
    Slow,
    /// The client's greeting is not one of fixed newstyle.
    #[error("client greeted with unknown flags {0:#x}")]
    Greeting(u32),
    /// An option out of step.
    #[error(transparent)]
    Option(#[from] option::Malformed),
    /// A request out of step.
    #[error(transparent)]
    Request(#[from] request::Malformed),
}

/// Serves one client until it goes.
///
/// # Errors
/// The stream failed or the client broke the protocol; every acknowledged request holds all the same.
pub async fn serve<S, E>(mut stream: S, exports: &E) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    E: Exports,
{
    let agreed = tokio::time::timeout(NEGOTIATION, negotiate(&mut stream, exports)).await;
    match agreed.map_err(|_| Error::Slow)?? {
        Some(agreed) => transmit(stream, agreed).await,
        None => Ok(()),
    }
}

async fn negotiate<S, E>(stream: &mut S, exports: &E) -> Result<Option<Agreed<E::Device>>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    E: Exports,
{
    let mut negotiation = Negotiation::new(greet(stream).await?);
    loop {
        let mut header = [0; option::HEADER];
        stream.read_exact(&mut header).await?;
        let (number, length) = option::decode_header(&header)?;
        let data = read_exact(stream, length).await?;
        let mut out = BytesMut::new();
        let next = negotiation.take(number, data, exports, &mut out);
        stream.write_all(&out).await?;
        stream.flush().await?;
        match next {
            Next::Option => {}
            Next::Transmission(agreed) => return Ok(Some(agreed)),
            Next::End => return Ok(None),
        }
    }
}

/// Exchanges greetings; says whether the client wants no zeroes after EXPORT_NAME.
async fn greet<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Result<bool, Error> {
    stream.write_u64(NBDMAGIC).await?;
    stream.write_u64(IHAVEOPT).await?;
    stream.write_u16(greeting::FIXED_NEWSTYLE | greeting::NO_ZEROES).await?;
    stream.flush().await?;
    let flags = stream.read_u32().await?;
    let known = u32::from(greeting::FIXED_NEWSTYLE | greeting::NO_ZEROES);
    if flags & !known != 0 {
        return Err(Error::Greeting(flags));
    }
    Ok(flags & u32::from(greeting::NO_ZEROES) != 0)
}

async fn read_exact<S: AsyncRead + Unpin>(stream: &mut S, length: u32) -> io::Result<Bytes> {
    let mut data = vec![0; length as usize];
    stream.read_exact(&mut data).await?;
    Ok(data.into())
}

/// One connection past its negotiation.
struct Session<D> {
    agreed: Agreed<D>,
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    replies: mpsc::Sender<Frames>,
}

async fn transmit<S, D>(stream: S, agreed: Agreed<D>) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
    D: Device,
{
    let (reading, writing) = tokio::io::split(stream);
    let (replies, queue) = mpsc::channel(IN_FLIGHT);
    let session = Arc::new(Session {
        agreed,
        requests: Arc::new(Semaphore::new(IN_FLIGHT)),
        bytes: Arc::new(Semaphore::new(IN_FLIGHT_BYTES as usize)),
        replies,
    });
    // Both halves are driven here, so that dropping this future stops everything the connection had in work.
    tokio::select! {
        result = receive(reading, session) => result,
        result = send(writing, queue) => Ok(result?),
    }
}

async fn receive<R, D>(reading: R, session: Arc<Session<D>>) -> Result<(), Error>
where
    R: AsyncRead + Unpin,
    D: Device,
{
    let mut reading = tokio::io::BufReader::with_capacity(64 << 10, reading);
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let mut header = [0; request::HEADER];
        match reading.read_exact(&mut header).await {
            Ok(_) => {}
            // Nobody is there to hear an answer: reads that wait for the WAN must not keep the session alive.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let request = Request::decode(&header)?;
        if request.command == Ok(Command::Disconnect) {
            break;
        }
        let permits = session.admit(&request).await;
        let data = read_exact(&mut reading, request.payload).await?;
        let session = Arc::clone(&session);
        tasks.spawn(async move {
            let frames = session.answer(&request, data).await;
            // The receiver is gone only when the connection is.
            let _ = session.replies.send(frames).await;
            drop(permits);
        });
    }
    // A client that said goodbye still has a right to what it asked before.
    let finish = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(GOODBYE, finish).await.is_err() {
        return Ok(());
    }
    drop(session);
    // The sender ends by itself when the last reply is written.
    std::future::pending().await
}

async fn send<W: AsyncWrite + Unpin>(writing: W, mut queue: mpsc::Receiver<Frames>) -> io::Result<()> {
    let mut writing = tokio::io::BufWriter::with_capacity(64 << 10, writing);
    while let Some(frames) = queue.recv().await {
        for frame in frames {
            writing.write_all(&frame).await?;
        }
        if queue.is_empty() {
            writing.flush().await?;
        }
    }
    writing.flush().await?;
    writing.shutdown().await
}

impl<D: Device> Session<D> {
    /// Waits until the request fits the connection's bounds.
    async fn admit(&self, request: &Request) -> (OwnedSemaphorePermit, OwnedSemaphorePermit) {
        let wanted = match request.command {
            Ok(Command::Read { .. }) => u32::try_from(request.span.length).unwrap_or(0),
            _ => request.payload,
        };
        let bytes = wanted.min(MAX_PAYLOAD);
        let slot = Arc::clone(&self.requests).acquire_owned().await;
        let room = Arc::clone(&self.bytes).acquire_many_owned(bytes).await;
        (slot.expect("never closed"), room.expect("never closed"))
    }

    async fn answer(&self, request: &Request, data: Bytes) -> Frames {
        let style = self.agreed.style;
        match self.carry_out(request, data).await {
            Ok(frames) => frames,
            Err(errno) => reply::error(style, request.cookie, errno),
        }
    }

    async fn carry_out(&self, request: &Request, data: Bytes) -> Result<Frames, Errno> {
        let device = &self.agreed.device;
        let (span, style) = (request.span, self.agreed.style);
        match request.check(device.info())? {
            Command::Read { whole } => {
                let pieces = device.read(span).await?;
                return Ok(reply::read(style, request.cookie, span.offset, pieces, whole));
            }
            Command::BlockStatus { one } => return self.allocation(request.cookie, span, one).await,
            Command::Write { fua } => device.write(span.offset, data, fua).await?,
            Command::Trim { fua } => device.trim(span, fua).await?,
            Command::WriteZeroes { fua, may_punch } => device.zero(Zeroes { span, may_punch, fua }).await?,
            Command::Flush => device.flush().await?,
            Command::Disconnect => return Err(Errno::Invalid),
        }
        Ok(reply::done(style, request.cookie))
    }

    async fn allocation(&self, cookie: u64, span: Span, one: bool) -> Result<Frames, Errno> {
        if !self.agreed.allocation {
            return Err(Errno::Invalid);
        }
        let mut runs = self.agreed.device.allocation(span).await?;
        if one {
            runs.truncate(1);
        }
        Ok(reply::allocation(cookie, &runs))
    }
}
