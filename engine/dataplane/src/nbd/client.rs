//! A client over any byte stream: many requests in flight, structured replies with holes.
//!
//! It must never believe a reply that does not cover exactly what was asked. Dropping the [`Client`] closes the connection.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::option::{self, ClientOption, MetaQuery};
use super::reply::{self, CHUNK_HEADER, Chunk, ChunkHeader};
use super::request::{Command, Request};
use super::wire::{BASE_ALLOCATION, IHAVEOPT, NBDMAGIC, export_flag, greeting, info, rep};
use super::{AllocationRun, Errno, Info, Piece, Span};

/// Requests that wait for the stream; what is in flight is bounded by the callers.
const QUEUE: usize = 64;
/// A server that has not granted the export by then is given up.
const NEGOTIATION: Duration = Duration::from_secs(30);

/// Why a client could not connect, or a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream failed.
    #[error("connection failed")]
    Io(#[from] io::Error),
    /// The connection ended before the answer came; whether a write was done is unknown.
    #[error("connection closed")]
    Closed,
    /// The negotiation took too long.
    #[error("negotiation took longer than {} s", NEGOTIATION.as_secs())]
    Slow,
    /// The server is none that we can talk to.
    #[error("server does not speak fixed newstyle")]
    Greeting,
    /// The server refused an option.
    #[error("server refused with {code:#x}: {text}")]
    Refused {
        /// The protocol's error code.
        code: u32,
        /// The server's words.
        text: String,
    },
    /// An option reply is out of step.
    #[error(transparent)]
    Option(#[from] option::Malformed),
    /// A reply is out of step.
    #[error(transparent)]
    Reply(#[from] reply::Malformed),
    /// A reply does not answer the request.
    #[error("reply does not fit its request")]
    Mismatch,
    /// The request failed at the server.
    #[error(transparent)]
    Server(#[from] Errno),
}

/// A connection to one export. Cheap to share behind an `Arc`.
#[derive(Debug)]
pub struct Client {
    info: Info,
    outgoing: mpsc::Sender<Outgoing>,
    shared: Arc<Shared>,
    reader: JoinHandle<()>,
}

#[derive(Debug)]
struct Outgoing {
    request: Request,
    data: Bytes,
}

#[derive(Debug, Default)]
struct Shared(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    closed: bool,
    next: u64,
    requests: HashMap<u64, Pending>,
}

#[derive(Debug)]
struct Pending {
    answer: oneshot::Sender<Result<Vec<Chunk>, Errno>>,
    chunks: Vec<Chunk>,
    error: Option<Errno>,
    /// What the chunks may still bring, so that a server cannot fill our memory.
    room: u64,
}

impl Client {
    /// Connects to an export; structured replies and `base:allocation` are required.
    ///
    /// # Errors
    /// The stream failed, or the server refused.
    pub async fn connect<S>(mut stream: S, export: &str) -> Result<Self, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let negotiated = tokio::time::timeout(NEGOTIATION, negotiate(&mut stream, export)).await;
        let info = negotiated.map_err(|_| Error::Slow)??;
        let (reading, writing) = tokio::io::split(stream);
        let (outgoing, queue) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared::default());
        tokio::spawn(send(writing, queue));
        let reader = tokio::spawn(receive(reading, Arc::clone(&shared)));
        Ok(Self { info, outgoing, shared, reader })
    }

    /// What the export offers.
    pub fn info(&self) -> Info {
        self.info
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    /// Reads a span of at most [`super::MAX_PAYLOAD`] bytes.
    ///
    /// # Errors
    /// The connection or the request failed.
    pub async fn read(&self, span: Span) -> Result<Vec<Piece>, Error> {
        let chunks = self.request(Command::Read { whole: false }, span, Bytes::new()).await?;
        assemble(span, chunks).ok_or(Error::Mismatch)
    }

    /// Writes.
    ///
    /// # Errors
    /// The connection or the request failed; in the first case it may have been done.
    pub async fn write(&self, offset: u64, data: Bytes, fua: bool) -> Result<(), Error> {
        let span = Span::new(offset, data.len() as u64);
        self.request(Command::Write { fua }, span, data).await.map(drop)
    }

    /// Makes a span read as zeroes.
    ///
    /// # Errors
    /// As for [`Client::write`].
    pub async fn zero(&self, span: Span) -> Result<(), Error> {
        self.request(Command::WriteZeroes { fua: false, may_punch: true }, span, Bytes::new()).await.map(drop)
    }

    /// Gives a span up.
    ///
    /// # Errors
    /// As for [`Client::write`].
    pub async fn trim(&self, span: Span) -> Result<(), Error> {
        self.request(Command::Trim { fua: false }, span, Bytes::new()).await.map(drop)
    }

    /// Puts every acknowledged write on stable storage.
    ///
    /// # Errors
    /// The connection or the request failed; then nothing is known to be stable.
    pub async fn flush(&self) -> Result<(), Error> {
        self.request(Command::Flush, Span::new(0, 0), Bytes::new()).await.map(drop)
    }

    /// The allocation map of a span of at most 4 GiB; may end early, never empty and never behind the span.
    ///
    /// # Errors
    /// The connection or the request failed.
    pub async fn allocation(&self, span: Span) -> Result<Vec<AllocationRun>, Error> {
        let chunks = self.request(Command::BlockStatus { one: false }, span, Bytes::new()).await?;
        let mut left = span.length;
        let mut found = Vec::new();
        for chunk in chunks {
            let Chunk::Allocation(runs) = chunk else { return Err(Error::Mismatch) };
            for run in runs {
                // The last run may reach behind the span; that is the protocol's licence, not ours.
                let length = left.min(u64::from(run.length));
                left -= length;
                if length > 0 {
                    found.push(AllocationRun {
                        length: u32::try_from(length).unwrap_or(u32::MAX),
                        hole: run.hole,
                    });
                }
            }
        }
        if found.is_empty() { Err(Error::Mismatch) } else { Ok(found) }
    }

    async fn request(&self, command: Command, span: Span, data: Bytes) -> Result<Vec<Chunk>, Error> {
        let (answer, answered) = oneshot::channel();
        let cookie = self.shared.register(answer, span.length).ok_or(Error::Closed)?;
        let payload = u32::try_from(data.len()).map_err(|_| Error::Server(Errno::Overflow))?;
        let request = Request { cookie, span, command: Ok(command), payload };
        self.outgoing.send(Outgoing { request, data }).await.map_err(|_| Error::Closed)?;
        Ok(answered.await.map_err(|_| Error::Closed)??)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Shared {
    /// No critical section of ours can leave the table half changed, so a poisoned lock is as good as a clean one.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self, answer: oneshot::Sender<Result<Vec<Chunk>, Errno>>, room: u64) -> Option<u64> {
        let mut waiting = self.lock();
        if waiting.closed {
            return None;
        }
        waiting.next += 1;
        let cookie = waiting.next;
        waiting.requests.insert(cookie, Pending { answer, chunks: Vec::new(), error: None, room });
        Some(cookie)
    }

    fn take(&self, header: ChunkHeader, chunk: Chunk) -> Result<(), Error> {
        let mut waiting = self.lock();
        let pending = waiting.requests.get_mut(&header.cookie).ok_or(Error::Mismatch)?;
        match chunk {
            Chunk::Nothing => {}
            Chunk::Failed(errno) => pending.error = Some(errno),
            chunk => pending.add(chunk)?,
        }
        if header.last
            && let Some(pending) = waiting.requests.remove(&header.cookie)
        {
            // The asker may have given up.
            let _ = pending.answer.send(pending.error.map_or(Ok(pending.chunks), Err));
        }
        Ok(())
    }

    fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        waiting.requests.clear();
    }
}

impl Pending {
    fn add(&mut self, chunk: Chunk) -> Result<(), Error> {
        let brought = match &chunk {
            Chunk::Data(_, data) => data.len() as u64,
            Chunk::Hole(span) => span.length,
            Chunk::Allocation(_) | Chunk::Nothing | Chunk::Failed(_) => 1,
        };
        self.room = self.room.checked_sub(brought.max(1)).ok_or(Error::Mismatch)?;
        self.chunks.push(chunk);
        Ok(())
    }
}

/// Puts the chunks of a read in order; `None` unless they cover the span exactly.
fn assemble(span: Span, chunks: Vec<Chunk>) -> Option<Vec<Piece>> {
    let mut placed = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        placed.push(match chunk {
            Chunk::Data(offset, data) => (offset, Piece::Data(data)),
            Chunk::Hole(hole) => (hole.offset, Piece::Zeroes(hole.length)),
            Chunk::Nothing | Chunk::Allocation(_) | Chunk::Failed(_) => return None,
        });
    }
    placed.sort_by_key(|(offset, _)| *offset);
    let mut at = span.offset;
    for (offset, piece) in &placed {
        if *offset != at {
            return None;
        }
        at = at.checked_add(piece.length())?;
    }
    (Some(at) == span.end()).then(|| placed.into_iter().map(|(_, piece)| piece).collect())
}

async fn negotiate<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, export: &str) -> Result<Info, Error> {
    if stream.read_u64().await? != NBDMAGIC || stream.read_u64().await? != IHAVEOPT {
        return Err(Error::Greeting);
    }
    let flags = stream.read_u16().await?;
    if flags & greeting::FIXED_NEWSTYLE == 0 {
        return Err(Error::Greeting);
    }
    let query = MetaQuery { export: export.into(), queries: vec![BASE_ALLOCATION.into()] };
    let options =
        [ClientOption::StructuredReply, ClientOption::SetMetaContext(query), ClientOption::Go(export.into())];
    // All at once: each wait for an answer would be a round trip of the WAN, and a refusal ends the connection anyway.
    let flags = u32::from(flags & (greeting::FIXED_NEWSTYLE | greeting::NO_ZEROES));
    let mut bytes = flags.to_be_bytes().to_vec();
    options.iter().for_each(|option| bytes.extend_from_slice(&option.encode()));
    stream.write_all(&bytes).await?;
    stream.flush().await?;
    let mut facts = None;
    for option in &options {
        facts = answer(stream, option).await?.or(facts);
    }
    facts.ok_or(Error::Greeting)
}

/// Reads the replies to one option; returns the export's facts if there were any.
async fn answer<S>(stream: &mut S, asked: &ClientOption) -> Result<Option<Info>, Error>
where
    S: AsyncRead + Unpin,
{
    let mut facts = None;
    loop {
        let mut header = [0; option::REPLY_HEADER];
        stream.read_exact(&mut header).await?;
        let (number, kind, length) = option::decode_reply_header(&header)?;
        let mut data = vec![0; length as usize];
        stream.read_exact(&mut data).await?;
        match kind {
            _ if number != asked.number() => return Err(Error::Mismatch),
            rep::ACK => return Ok(facts),
            code if code & rep::ERRORS != 0 => {
                return Err(Error::Refused { code, text: String::from_utf8_lossy(&data).into_owned() });
            }
            rep::INFO => facts = export_facts(&data).or(facts),
            // Contexts and whatever a newer server adds: of no use to us.
            _ => {}
        }
    }
}

fn export_facts(mut data: &[u8]) -> Option<Info> {
    if data.try_get_u16().ok()? != info::EXPORT {
        return None;
    }
    let size = data.try_get_u64().ok()?;
    let flags = data.try_get_u16().ok()?;
    Some(Info { size, read_only: flags & export_flag::READ_ONLY != 0 })
}

async fn send<W: AsyncWrite + Unpin>(writing: W, mut queue: mpsc::Receiver<Outgoing>) {
    let mut writing = tokio::io::BufWriter::with_capacity(64 << 10, writing);
    while let Some(outgoing) = queue.recv().await {
        let sent = async {
            writing.write_all(&outgoing.request.encode()).await?;
            writing.write_all(&outgoing.data).await?;
            if queue.is_empty() { writing.flush().await } else { Ok(()) }
        };
        if sent.await.is_err() {
            // The reader sees the same failure and tells the askers.
            return;
        }
    }
    // The client was dropped: say goodbye if the stream still takes it.
    let goodbye = Request { cookie: 0, span: Span::new(0, 0), command: Ok(Command::Disconnect), payload: 0 };
    if writing.write_all(&goodbye.encode()).await.is_ok() {
        let _ = writing.shutdown().await;
    }
}

async fn receive<R: AsyncRead + Unpin>(reading: R, shared: Arc<Shared>) {
    /// However the task ends, also when it is aborted, nobody may wait for ever.
    struct Closing(Arc<Shared>);
    impl Drop for Closing {
        fn drop(&mut self) {
            self.0.close();
        }
    }
    let closing = Closing(shared);
    let mut reading = tokio::io::BufReader::with_capacity(64 << 10, reading);
    if let Err(error) = receive_all(&mut reading, &closing.0).await {
        tracing::debug!(%error, "connection to a disk ended");
    }
}

async fn receive_all<R: AsyncRead + Unpin>(reading: &mut R, shared: &Shared) -> Result<(), Error> {
    loop {
        let mut header = [0; CHUNK_HEADER];
        reading.read_exact(&mut header).await?;
        let header = ChunkHeader::decode(&header)?;
        let mut body = vec![0; header.length as usize];
        reading.read_exact(&mut body).await?;
        shared.take(header, header.body(&body.into())?)?;
    }
}
