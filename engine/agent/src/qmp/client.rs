//! The client: one connection, many callers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as SyncMutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex, broadcast, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::error::Error;
use super::event::{Event, Events};
use super::wire::{self, Message, Refusal};

/// Longest time for the socket, the greeting and the first answer. QEMU answers in microseconds unless its main loop
/// is busy; the longest we have seen under load is below a second.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// Before the next try to connect to a QEMU that hung up.
const HUNG_UP_PAUSE: Duration = Duration::from_millis(20);

/// Events kept for a slow listener before it is told that it missed some.
const EVENTS_HELD_MAX: usize = 256;

/// Longest line accepted. The longest answers we ask for (`query-cpu-definitions`) are below 200 KiB.
const LINE_BYTES_MAX: usize = 4 << 20;

/// A shared, reconnecting QMP client. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    events: broadcast::Sender<Event>,
    connection: Mutex<Option<Connection>>,
}

type Answer = Result<Value, Refusal>;
type Waiting = Arc<SyncMutex<Option<HashMap<u64, oneshot::Sender<Answer>>>>>;

/// A negotiated connection. `waiting` is `None` from the moment it is lost.
#[derive(Debug)]
struct Connection {
    writer: OwnedWriteHalf,
    waiting: Waiting,
    id: u64,
    reader: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Client {
    /// A client for the socket; nothing is connected yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        let events = broadcast::Sender::new(EVENTS_HELD_MAX);
        let inner = Inner { path: path.to_owned(), events, connection: Mutex::new(None) };
        Self { inner: Arc::new(inner) }
    }

    /// The socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Connects if there is no connection.
    ///
    /// # Errors
    /// [`Error::Connect`] or [`Error::Greeting`].
    pub async fn connect(&self) -> Result<(), Error> {
        self.connected(&mut *self.inner.connection.lock().await).await.map(|_| ())
    }

    /// Events from now on. They arrive while there is a connection.
    #[must_use]
    pub fn events(&self) -> Events {
        Events(self.inner.events.subscribe())
    }

    /// Carries out a command and returns its answer, within the deadline. `arguments` may be null.
    ///
    /// # Errors
    /// Every [`Error`]; [`Error::had_no_effect`] says which leave the outcome open.
    pub async fn execute(&self, command: &str, arguments: Value, deadline: Duration) -> Result<Value, Error> {
        let late = || Error::Deadline { command: command.to_owned(), deadline };
        timeout(deadline, self.ask(command, arguments)).await.map_err(|_| late())?
    }

    async fn ask(&self, command: &str, arguments: Value) -> Result<Value, Error> {
        let lost = || Error::Lost { command: command.to_owned() };
        let answer = {
            let mut slot = self.inner.connection.lock().await;
            self.connected(&mut slot).await?.send(command, arguments).await.ok_or_else(lost)?
        };
        match answer.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(refusal)) => Err(Error::Refused {
                command: command.to_owned(),
                class: refusal.class,
                description: refusal.description,
            }),
            Err(_) => Err(lost()),
        }
    }

    async fn connected<'a>(&self, slot: &'a mut Option<Connection>) -> Result<&'a mut Connection, Error> {
        if slot.as_ref().is_some_and(Connection::is_lost) {
            *slot = None;
        }
        match slot {
            Some(connection) => Ok(connection),
            None => Ok(slot.insert(self.open().await?)),
        }
    }

    async fn open(&self) -> Result<Connection, Error> {
        let path = &self.inner.path;
        let connect = |source| Error::Connect { path: path.clone(), source };
        let late = |_| connect(std::io::ErrorKind::TimedOut.into());
        let greeted = timeout(CONNECT_DEADLINE, self.greeted());
        let (lines, writer) = greeted.await.map_err(late)?.map_err(connect)?;
        let waiting: Waiting = Arc::new(SyncMutex::new(Some(HashMap::new())));
        let reader = tokio::spawn(listen(lines, waiting.clone(), self.inner.events.clone()));
        let mut connection = Connection { writer, waiting, id: 0, reader };
        let answer = connection.send("qmp_capabilities", Value::Null).await;
        let answer = answer.ok_or_else(|| Error::Greeting { path: path.clone() })?;
        match timeout(CONNECT_DEADLINE, answer).await.map_err(late)? {
            Ok(Ok(_)) => Ok(connection),
            Ok(Err(_)) | Err(_) => Err(Error::Greeting { path: path.clone() }),
        }
    }

    /// Connects until it is greeted. Right after another client has left, QEMU may send the new one an event that was meant
    /// for the old one, before its greeting, or may hang up on it at once because it has not yet noticed that the old
    /// one is gone.
    async fn greeted(&self) -> std::io::Result<(Lines, OwnedWriteHalf)> {
        loop {
            let (reader, writer) = UnixStream::connect(&self.inner.path).await?.into_split();
            let mut lines = Lines::new(reader);
            while let Some(message) = lines.next().await {
                if message == Message::Greeting {
                    return Ok((lines, writer));
                }
                tracing::debug!(path = %self.inner.path.display(), "a QMP line before the greeting");
            }
            sleep(HUNG_UP_PAUSE).await;
        }
    }
}

impl Connection {
    fn is_lost(&self) -> bool {
        held(&self.waiting).is_none()
    }

    /// Sends a command; `None` when the connection is lost. A caller that stops waiting leaves an entry that the
    /// answer, or the loss of the connection, removes. A half-written line ends the connection, for what follows
    /// it would be misread.
    async fn send(&mut self, command: &str, arguments: Value) -> Option<oneshot::Receiver<Answer>> {
        self.id += 1;
        let (sender, receiver) = oneshot::channel();
        held(&self.waiting).as_mut()?.insert(self.id, sender);
        let partial = LostUnlessWritten(&self.waiting, true);
        let written = self.writer.write_all(&wire::write(self.id, command, arguments)).await;
        partial.settle(written.is_err());
        written.ok().map(|()| receiver)
    }
}

/// Marks the connection as lost if a write was given up half way.
struct LostUnlessWritten<'a>(&'a Waiting, bool);

impl LostUnlessWritten<'_> {
    fn settle(mut self, lost: bool) {
        self.1 = lost;
    }
}

impl Drop for LostUnlessWritten<'_> {
    fn drop(&mut self) {
        if self.1 {
            *held(self.0) = None;
        }
    }
}

fn held(waiting: &Waiting) -> std::sync::MutexGuard<'_, Option<HashMap<u64, oneshot::Sender<Answer>>>> {
    waiting.lock().expect("nothing panics while it holds this lock")
}

/// Delivers answers and events until the connection ends.
async fn listen(mut lines: Lines, waiting: Waiting, events: broadcast::Sender<Event>) {
    while let Some(message) = lines.next().await {
        match message {
            Message::Answer { id, result } => {
                let caller = held(&waiting).as_mut().and_then(|waiting| waiting.remove(&id));
                if let Some(caller) = caller {
                    // The caller may have given up; then nobody needs the answer.
                    let _ = caller.send(result);
                }
            }
            Message::Event(event) => {
                tracing::trace!(event = event.name, "QMP event");
                // Without a listener an event is of no use.
                let _ = events.send(event);
            }
            Message::Greeting | Message::Other => tracing::debug!("QMP line not understood"),
        }
    }
    *held(&waiting) = None;
}

/// Lines of bounded length.
#[derive(Debug)]
struct Lines {
    reader: OwnedReadHalf,
    held: Vec<u8>,
}

impl Lines {
    fn new(reader: OwnedReadHalf) -> Self {
        Self { reader, held: Vec::new() }
    }

    /// The next message; `None` at the end, on an error, or when a line is too long.
    async fn next(&mut self) -> Option<Message> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.held[searched..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.held.drain(..=searched + end).collect();
                return Some(wire::read(&line));
            }
            searched = self.held.len();
            if searched > LINE_BYTES_MAX || self.reader.read_buf(&mut self.held).await.ok()? == 0 {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::net::UnixListener;

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    /// A QEMU that answers each command with what `script` makes of its name; `None` ends the connection.
    fn fake(path: &Path, script: fn(&str) -> Option<String>) -> JoinHandle<()> {
        let listener = UnixListener::bind(path).unwrap();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                serve(stream, script).await;
            }
        })
    }

    async fn serve(mut stream: UnixStream, script: fn(&str) -> Option<String>) {
        let (reader, mut writer) = stream.split();
        writer.write_all(b"{\"QMP\": {}}\n").await.unwrap();
        let mut lines = BufReader::new(reader).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            let command: Value = serde_json::from_str(&line).unwrap();
            let name = command["execute"].as_str().unwrap();
            let answer = if name == "qmp_capabilities" { Some("{}".to_owned()) } else { script(name) };
            let Some(answer) = answer else { return };
            let id = &command["id"];
            let noise = "{\"event\": \"UNHEARD_OF\", \"data\": {\"x\": 1}}\nnot json\n";
            writer
                .write_all(format!("{noise}{{\"return\": {answer}, \"id\": {id}}}\n").as_bytes())
                .await
                .unwrap();
        }
    }

    /// A command gets its own answer, and events of unknown names arrive without harm.
    #[tokio::test]
    async fn commands_are_answered_among_unknown_events() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("qmp.sock");
        let _server = fake(&path, |name| Some(json!({ "said": name }).to_string()));
        let client = Client::new(&path);
        let mut events = client.events();
        let answer = client.execute("query-status", Value::Null, SOON).await.unwrap();
        assert_eq!(answer["said"], "query-status");
        let event = timeout(SOON, events.next()).await.unwrap().unwrap();
        assert_eq!((event.name.as_str(), &event.data["x"]), ("UNHEARD_OF", &json!(1)));
    }

    /// A command whose connection ends is reported as of unknown outcome and not sent again; the next one reconnects.
    #[tokio::test]
    async fn a_lost_connection_is_reported_and_then_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("qmp.sock");
        let _server = fake(&path, |name| (name != "die").then(|| "1".to_owned()));
        let client = Client::new(&path);
        let lost = client.execute("die", Value::Null, SOON).await.unwrap_err();
        assert!(matches!(lost, Error::Lost { .. }) && !lost.had_no_effect(), "{lost}");
        assert_eq!(client.execute("query-status", Value::Null, SOON).await.unwrap(), 1);
    }

    /// A QEMU that hangs up on its first client, and talks out of turn to its second, has a conversation all the same.
    #[tokio::test]
    async fn what_comes_before_the_greeting_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("qmp.sock");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            drop(listener.accept().await.unwrap());
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"{\"event\": \"STOP\", \"data\": {}}\n").await.unwrap();
            serve(stream, |_| Some("7".to_owned())).await;
        });
        let client = Client::new(&path);
        assert_eq!(client.execute("query-status", Value::Null, SOON).await.unwrap(), 7);
    }

    /// A QEMU that never answers costs a caller its deadline and no more, and nobody listening is told at once.
    #[tokio::test]
    async fn a_silent_or_absent_server_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("qmp.sock");
        let absent = Client::new(&path).execute("x", Value::Null, SOON).await.unwrap_err();
        assert!(matches!(absent, Error::Connect { .. }) && absent.had_no_effect());
        let _listener = UnixListener::bind(&path).unwrap();
        let silent =
            Client::new(&path).execute("x", Value::Null, Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(silent, Error::Deadline { .. }));
    }
}
