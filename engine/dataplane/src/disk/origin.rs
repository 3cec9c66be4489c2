//! Connections to the source's disk server, through the tunnel.
//!
//! Whatever happens to tunnel, agent or source, a request is tried again until it is answered or nobody wants it any more:
//! the guest must never see an error because a link was cut.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Mutex as AsyncMutex;

use super::config::OriginConfig;
use super::control::FillCondition;
use super::fence::unix_ms;
use crate::nbd::client::Error as NbdError;
use crate::nbd::{AllocationRun, Client, Piece, Span};

/// First pause before another attempt; doubled each time.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest pause before another attempt: what a healed link may cost at most.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// The agent has to answer `open` by then.
const OPEN: Duration = Duration::from_secs(20);
/// An unanswered request means a dead connection by then. A full window of ours crosses a link of 2 Mbit/s in that time.
const ANSWER: Duration = Duration::from_secs(30);
/// Longest line of the agent.
const LINE: u64 = 1024;

/// How urgent a connection is; the tunnel's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// The guest waits.
    Demand,
    /// Nobody waits.
    Background,
}

impl Class {
    fn name(self) -> &'static str {
        match self {
            Self::Demand => "demand",
            Self::Background => "background",
        }
    }
}

/// Where the source is, and whether it was reached lately.
#[derive(Debug)]
pub(crate) struct Origin {
    tunnel: PathBuf,
    site: String,
    vm: String,
    trouble: Mutex<Trouble>,
}

/// What keeps us from the source.
#[derive(Debug, Default)]
struct Trouble {
    /// Raised with every attachment: an answer to what was asked before one says nothing of what is attached now.
    attachment: u64,
    last: Option<FillCondition>,
}

/// Why a source gave no answer this time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("open tunnel stream")]
    Tunnel(#[from] io::Error),
    #[error("open tunnel stream: no answer in {} s", OPEN.as_secs())]
    Slow,
    #[error("open tunnel stream: agent says {0}")]
    Refused(String),
    #[error("ask source")]
    Nbd(#[from] NbdError),
    #[error("ask source: no answer in {} s", ANSWER.as_secs())]
    Silent,
}

impl Error {
    /// Whether the source's disk server itself said no.
    fn is_refusal(&self) -> bool {
        matches!(self, Self::Nbd(NbdError::Refused { .. }))
    }

    fn condition(&self, since_unix_ms: u64) -> FillCondition {
        let message = describe(self);
        if self.is_refusal() {
            FillCondition::Refused { since_unix_ms, message }
        } else {
            FillCondition::Unreachable { since_unix_ms, message }
        }
    }
}

fn since(condition: &FillCondition) -> Option<u64> {
    match condition {
        FillCondition::Unreachable { since_unix_ms, .. } | FillCondition::Refused { since_unix_ms, .. } => {
            Some(*since_unix_ms)
        }
        FillCondition::NoSpace | FillCondition::Disk { .. } => None,
    }
}

impl Origin {
    pub(crate) fn new(config: &OriginConfig, vm: &str) -> Arc<Self> {
        Arc::new(Self {
            tunnel: config.tunnel_socket.clone(),
            site: config.site.clone(),
            vm: vm.into(),
            trouble: Mutex::default(),
        })
    }

    /// What keeps us from the source at the moment.
    pub(crate) fn condition(&self) -> Option<FillCondition> {
        self.trouble().last.clone()
    }

    /// A dirty map was attached that is open at the source: earlier refusals are void, also those still on their way.
    pub(crate) fn attached(&self) {
        let mut trouble = self.trouble();
        trouble.attachment += 1;
        trouble.last = None;
    }

    fn attachment(&self) -> u64 {
        self.trouble().attachment
    }

    /// Notes how an attempt ended that was begun under that attachment.
    fn note(&self, attachment: u64, failure: Option<&Error>) {
        let mut trouble = self.trouble();
        if trouble.attachment == attachment {
            let since = trouble.last.take().as_ref().and_then(since);
            trouble.last = failure.map(|error| error.condition(since.unwrap_or_else(unix_ms)));
        }
    }

    /// Whole at any time, so a poisoned lock is as good as a clean one.
    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects to an export of the source, once.
    async fn connect(&self, class: Class, export: &str) -> Result<Client, Error> {
        let open = async {
            let mut stream = UnixStream::connect(&self.tunnel).await?;
            let line = format!("open {} disk/{} {}\n", self.site, self.vm, class.name());
            stream.write_all(line.as_bytes()).await?;
            match read_line(&mut stream).await?.as_str() {
                "ok" => Ok(stream),
                other => Err(Error::Refused(other.strip_prefix("error ").unwrap_or(other).to_owned())),
            }
        };
        let stream = tokio::time::timeout(OPEN, open).await.map_err(|_| Error::Slow)??;
        Ok(Client::connect(stream, export).await?)
    }
}

/// Reads one line byte by byte: what follows belongs to the stream.
async fn read_line(stream: &mut UnixStream) -> Result<String, Error> {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await? {
            b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned()),
            _ if line.len() as u64 >= LINE => return Err(Error::Refused("a line without end".into())),
            byte => line.push(byte),
        }
    }
}

/// One connection to an export, made when needed and again when lost.
#[derive(Debug)]
pub(crate) struct Lane {
    origin: Arc<Origin>,
    class: Class,
    export: String,
    client: AsyncMutex<Option<Arc<Client>>>,
}

impl Lane {
    /// To the disk itself.
    pub(crate) fn to_disk(origin: &Arc<Origin>, class: Class) -> Self {
        Self { origin: Arc::clone(origin), class, export: origin.vm.clone(), client: AsyncMutex::new(None) }
    }

    /// To the leaves of the frozen disk.
    pub(crate) fn to_leaves(origin: &Arc<Origin>) -> Self {
        Self { export: format!("{}#leaves", origin.vm), ..Self::to_disk(origin, Class::Background) }
    }

    /// Connects ahead of the first request, once; a request connects by itself if this failed.
    pub(crate) async fn connect(&self) {
        if let Err(error) = self.client().await {
            tracing::debug!(vm = self.origin.vm, %error, "source not reached yet");
        }
    }

    /// Reads, for as long as it takes.
    pub(crate) async fn read(&self, span: Span) -> Vec<Piece> {
        self.persist(|client| async move { client.read(span).await }).await
    }

    /// Reads, until the source refuses to serve the export.
    pub(crate) async fn read_unless_refused(&self, span: Span) -> Result<Vec<Piece>, String> {
        let answer = self.attempts(|client| async move { client.read(span).await }, Error::is_refusal).await;
        answer.map_err(|error| describe(&error))
    }

    /// Asks for the allocation map, for as long as it takes.
    pub(crate) async fn allocation(&self, span: Span) -> Vec<AllocationRun> {
        self.persist(|client| async move { client.allocation(span).await }).await
    }

    async fn persist<T, F>(&self, ask: impl Fn(Arc<Client>) -> F) -> T
    where
        F: Future<Output = Result<T, NbdError>>,
    {
        match self.attempts(ask, |_| false).await {
            Ok(answer) => answer,
            Err(_) => unreachable!("no error ends the attempts"),
        }
    }

    async fn attempts<T, F>(
        &self,
        ask: impl Fn(Arc<Client>) -> F,
        is_final: impl Fn(&Error) -> bool,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, NbdError>>,
    {
        let mut pause = PAUSE;
        loop {
            let attachment = self.origin.attachment();
            match self.attempt(&ask).await {
                Ok(answer) => {
                    self.origin.note(attachment, None);
                    return Ok(answer);
                }
                Err(error) if is_final(&error) => return Err(error),
                Err(error) => {
                    tracing::debug!(
                        vm = self.origin.vm,
                        failure = describe(&error),
                        "source gave nothing, trying again"
                    );
                    self.origin.note(attachment, Some(&error));
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn attempt<T, F>(&self, ask: &impl Fn(Arc<Client>) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, NbdError>>,
    {
        let client = self.client().await?;
        match tokio::time::timeout(ANSWER, ask(Arc::clone(&client))).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                self.forget(&client).await;
                Err(error.into())
            }
            Err(_) => {
                self.forget(&client).await;
                Err(Error::Silent)
            }
        }
    }

    async fn client(&self) -> Result<Arc<Client>, Error> {
        let mut slot = self.client.lock().await;
        if let Some(client) = slot.as_ref().filter(|client| !client.is_closed()) {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(self.origin.connect(self.class, &self.export).await?);
        *slot = Some(Arc::clone(&client));
        Ok(client)
    }

    async fn forget(&self, client: &Arc<Client>) {
        let mut slot = self.client.lock().await;
        if slot.as_ref().is_some_and(|current| Arc::ptr_eq(current, client)) {
            *slot = None;
        }
    }
}

fn describe(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", describe(source)),
        None => error.to_string(),
    }
}
