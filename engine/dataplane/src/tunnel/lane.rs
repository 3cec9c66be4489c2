//! One connected lane: a task that sends and one that receives.

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use socket2::Socket;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader, ReadHalf, WriteHalf,
};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout};

use super::codec::{Decoder, Encoder, OFFLOAD_MIN};
use super::core::{Next, Outgoing, Record, Ticket};
use super::error::{Error, LaneError};
use super::governor::Governor;
use super::inet_diag::{self, TcpInfo};
use super::pacer::Pacer;
use super::record::{HEADER_LEN, Header, Op, RECORD_BYTES_MAX};
use super::shared::Shared;
use super::socket;
use super::stats::RecordStats;

/// Two records: reads of small ones are gathered.
const READ_BUFFER_LEN: usize = 2 * RECORD_BYTES_MAX;

pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connected and authenticated byte stream, and the TCP socket below it.
pub struct Lane {
    pub(super) io: Box<dyn Io>,
    pub(super) socket: Socket,
}

impl Lane {
    /// Wraps a connected stream; `tcp` shows the socket below it, for its options and counters.
    ///
    /// ```ignore
    /// Lane::new(tls_stream, |tls| tls.get_ref().0.as_fd())
    /// ```
    ///
    /// # Errors
    /// The descriptor cannot be duplicated.
    pub fn new<S>(io: S, tcp: impl FnOnce(&S) -> BorrowedFd<'_>) -> io::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let socket = Socket::from(tcp(&io).try_clone_to_owned()?);
        Ok(Self { io: Box::new(io), socket })
    }
}

/// Finds the kernel's counters of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Probe {
    local: SocketAddr,
    remote: SocketAddr,
}

impl Probe {
    fn new(socket: &Socket) -> io::Result<Self> {
        let unknown = || io::Error::from(io::ErrorKind::Unsupported);
        let local = socket.local_addr()?.as_socket().ok_or_else(unknown)?;
        let remote = socket.peer_addr()?.as_socket().ok_or_else(unknown)?;
        Ok(Self { local, remote })
    }

    pub(super) fn info(&self) -> Option<TcpInfo> {
        inet_diag::query(self.local, self.remote).ok()
    }
}

/// Runs an attached lane until it dies; its unacknowledged records are then on their way to others.
pub(super) async fn run(shared: &Arc<Shared>, ticket: &Ticket, lane: Lane) -> LaneError {
    let error = match prepare(shared, ticket, &lane) {
        Ok(probe) => {
            let error = carry(shared, ticket, lane.io, &probe).await;
            shared.core().detach(ticket);
            shared.lane_down(ticket.lane, &probe);
            error
        }
        Err(error) => {
            shared.core().detach(ticket);
            error.into()
        }
    };
    // The stream's own end is gone with `lane.io`; this ends the connection although its descriptor was duplicated.
    let _gone = lane.socket.shutdown(std::net::Shutdown::Both);
    error
}

fn prepare(shared: &Shared, ticket: &Ticket, lane: &Lane) -> io::Result<Probe> {
    let congestion_control = socket::prepare(&lane.socket, shared.config.notsent_lowat_bytes)?;
    let probe = Probe::new(&lane.socket)?;
    shared.lane_up(ticket.lane, congestion_control, probe.clone());
    Ok(probe)
}

async fn carry(shared: &Arc<Shared>, ticket: &Ticket, io: Box<dyn Io>, probe: &Probe) -> LaneError {
    let (read, write) = tokio::io::split(io);
    let mut closing = shared.closing.subscribe();
    tokio::select! {
        error = receive(shared, ticket, read) => error,
        error = send(shared, ticket, write, Pace::new(probe)) => error,
        () = ticket.kill.notified() => LaneError::Replaced,
        _ = closing.wait_for(|closing| *closing) => LaneError::Closed,
    }
}

async fn send(
    shared: &Shared,
    ticket: &Ticket,
    mut write: WriteHalf<Box<dyn Io>>,
    mut pace: Pace<'_>,
) -> LaneError {
    let mut bench = match Encoder::new() {
        Ok(encoder) => Workbench { encoder, out: Vec::new() },
        Err(error) => return error.into(),
    };
    loop {
        pace.wait(shared).await;
        let next = shared.core().next(ticket, Instant::now());
        let sent = match next {
            Next::Gone => return LaneError::Replaced,
            Next::Wait(until) => {
                tokio::select! {
                    () = ticket.notify.notified() => {}
                    () = sleep_until(until) => {}
                }
                continue;
            }
            Next::Send(Outgoing::Small(header)) => {
                bench.out.clear();
                send_small(shared, header, &mut write).await.map(|()| bench)
            }
            Next::Send(Outgoing::Record { record, again }) => {
                send_record(shared, ticket, &record, again, &mut write, bench).await
            }
        };
        bench = match sent {
            Ok(bench) => bench,
            Err(error) => return error.into(),
        };
        pace.charge(shared, bench.out.len());
    }
}

/// When a lane may send its next record: by the tunnel's cap, and by what its path delivers.
struct Pace<'a> {
    probe: &'a Probe,
    governor: Governor,
    own: Pacer,
}

impl<'a> Pace<'a> {
    fn new(probe: &'a Probe) -> Self {
        Self { probe, governor: Governor::default(), own: Pacer::new(None) }
    }

    async fn wait(&mut self, shared: &Shared) {
        let of_all = shared.pacer.lock().expect("no holder of this lock panics").ready_at();
        let ready_at = of_all.max(self.own.ready_at());
        if let Some(ready_at) = ready_at.filter(|ready_at| *ready_at > Instant::now()) {
            sleep_until(ready_at).await;
        }
    }

    fn charge(&mut self, shared: &Shared, bytes: usize) {
        let now = Instant::now();
        if self.governor.is_due(now)
            && let Some(info) = self.probe.info()
        {
            self.own.hold(self.governor.observe(&info, now));
        }
        self.own.charge(bytes, now);
        shared.pacer.lock().expect("no holder of this lock panics").charge(bytes, now);
    }
}

async fn send_small(shared: &Shared, header: Header, write: &mut WriteHalf<Box<dyn Io>>) -> io::Result<()> {
    write.write_all(&header.to_bytes()).await?;
    write.flush().await?;
    shared.count_sent(&counts(&header, false));
    Ok(())
}

/// What a sender needs to make records; travels to the blocking thread and back.
struct Workbench {
    encoder: Encoder,
    out: Vec<u8>,
}

impl Workbench {
    /// Fills `out` with the whole record.
    fn make(&mut self, record: &Record) -> Header {
        self.out.clear();
        self.out.resize(HEADER_LEN, 0);
        let (op, raw_len) = match record.op {
            Op::Raw => (self.encoder.encode(&record.raw, &mut self.out), record.raw.len()),
            Op::Zero | Op::Zstd | Op::Open | Op::Fin | Op::Reset | Op::Stop | Op::Credit => {
                self.out.extend_from_slice(&record.raw);
                (record.op, 0)
            }
            Op::Ack | Op::Ping | Op::Pong | Op::Close => (record.op, 0),
        };
        let header = Header {
            op,
            class: record.class,
            wire_len: u32::try_from(self.out.len() - HEADER_LEN)
                .expect("a record's bound is far below 4 GiB"),
            raw_len: u32::try_from(raw_len).expect("a record's bound is far below 4 GiB"),
            stream: record.stream,
            offset: record.offset,
            sequence: record.sequence,
        };
        self.out[..HEADER_LEN].copy_from_slice(&header.to_bytes());
        header
    }
}

async fn send_record(
    shared: &Shared,
    ticket: &Ticket,
    record: &Arc<Record>,
    again: bool,
    write: &mut WriteHalf<Box<dyn Io>>,
    mut bench: Workbench,
) -> io::Result<Workbench> {
    let header;
    if record.raw.len() >= OFFLOAD_MIN {
        let record = Arc::clone(record);
        let made = spawn_blocking(move || (bench.make(&record), bench)).await;
        (header, bench) = made.map_err(io::Error::other)?;
    } else {
        header = bench.make(record);
    }
    write.write_all(&bench.out).await?;
    write.flush().await?;
    shared.core().written(ticket, record.sequence);
    shared.count_sent(&counts(&header, !again));
    Ok(bench)
}

async fn receive(shared: &Shared, ticket: &Ticket, read: ReadHalf<Box<dyn Io>>) -> LaneError {
    match receive_all(shared, ticket, read).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn receive_all(
    shared: &Shared,
    ticket: &Ticket,
    read: ReadHalf<Box<dyn Io>>,
) -> Result<std::convert::Infallible, LaneError> {
    let mut read = BufReader::with_capacity(READ_BUFFER_LEN, read);
    let mut decoder = Decoder::new()?;
    let mut first = true;
    loop {
        let (header, payload) = next_record(&mut read, shared.config.lane_silence_max).await?;
        let raw = decoder.decode(&header, payload)?;
        let result = shared.core().on_record(ticket, &header, raw, Instant::now());
        let new = result.inspect_err(|reason| give_up_session(shared, reason))?;
        shared.count_received(&counts(&header, new));
        if std::mem::take(&mut first) {
            shared.lanes_changed.send_replace(());
        }
    }
}

/// A peer that breaks the rules of streams would break them again on the next lane: its session ends.
fn give_up_session(shared: &Shared, reason: &super::record::MalformedRecord) {
    tracing::error!(%reason, "the peer broke the tunnel's protocol; its streams fail");
    shared.core().reset(Error::Protocol(reason.clone()));
}

async fn next_record(
    read: &mut BufReader<ReadHalf<Box<dyn Io>>>,
    silence_max: Duration,
) -> Result<(Header, Vec<u8>), LaneError> {
    let silent = |_| LaneError::Silent(silence_max);
    let mut bytes = [0; HEADER_LEN];
    timeout(silence_max, read.read_exact(&mut bytes)).await.map_err(silent)?.map_err(ended)?;
    let header = Header::parse(&bytes)?;
    let mut payload = vec![0; header.wire_len as usize];
    timeout(silence_max, read.read_exact(&mut payload)).await.map_err(silent)?.map_err(ended)?;
    Ok((header, payload))
}

fn ended(error: io::Error) -> LaneError {
    if error.kind() == io::ErrorKind::UnexpectedEof { LaneError::Ended } else { LaneError::Io(error) }
}

fn counts(header: &Header, first: bool) -> RecordStats {
    RecordStats {
        class: header.class,
        kind: header.op.kind(),
        records: 1,
        raw_bytes: if first { u64::from(header.raw_len) } else { 0 },
        wire_bytes: HEADER_LEN as u64 + u64::from(header.wire_len),
    }
}
