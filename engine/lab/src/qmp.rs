//! A small client of QEMU's machine protocol, for looking at a hypervisor from outside and for driving the plain peer.
//!
//! Blocking, with a deadline on every exchange. Events are kept in order until they are asked for; the oldest go when
//! nobody asks.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The command with which a connection begins.
pub(crate) const ACCEPT: &str = "qmp_capabilities";
const EVENTS_MAX: usize = 1_000;
/// Between two tries to connect to a QEMU that is starting.
const RETRY: Duration = Duration::from_millis(10);

/// What went wrong with QEMU's machine protocol.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket does not work or the answer is late.
    #[error("talk to QEMU at {path}")]
    Socket {
        /// Of the socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// QEMU refused a command.
    #[error("run `{command}`: {message}")]
    Refused {
        /// The command.
        command: String,
        /// QEMU's words.
        message: String,
    },
    /// What was waited for did not happen.
    #[error("see {what} within {seconds} s")]
    Late {
        /// What was waited for.
        what: String,
        /// The deadline.
        seconds: u64,
    },
}

/// Something QEMU told by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its name, such as `STOP`.
    pub name: String,
    /// What came with it.
    pub data: Value,
    /// QEMU's own clock, microseconds since the epoch.
    pub at_unix_us: u64,
}

/// What QEMU says next.
#[derive(Debug)]
pub(crate) enum Said {
    /// That somebody is connected.
    Greeting,
    /// The answer to a command.
    Answer(Value),
    /// Why it does not do what it was told.
    Refusal(String),
    /// What it tells by itself.
    Event(Event),
}

/// A connection to one QEMU.
#[derive(Debug)]
pub struct Qmp {
    path: PathBuf,
    stream: BufReader<UnixStream>,
    /// A line whose rest had not come when a read timed out.
    partial: String,
    events: VecDeque<Event>,
}

impl Qmp {
    /// Connects, waiting up to `deadline` for the socket to appear and answer.
    ///
    /// # Errors
    /// When no QEMU answers in time.
    pub fn connect(path: &Path, deadline: Duration) -> Result<Self, Error> {
        let until = Instant::now() + deadline;
        loop {
            match Self::try_connect(path, deadline) {
                Err(Error::Socket { .. }) if Instant::now() + RETRY < until => std::thread::sleep(RETRY),
                outcome => return outcome,
            }
        }
    }

    fn try_connect(path: &Path, patience: Duration) -> Result<Self, Error> {
        let mut qmp = Self::open(path, patience)?;
        match qmp.hear(Instant::now() + patience)? {
            Said::Greeting => {}
            Said::Answer(_) | Said::Refusal(_) | Said::Event(_) => {
                let source = io::Error::other("no greeting");
                return Err(Error::Socket { path: path.to_owned(), source });
            }
        }
        qmp.execute(ACCEPT, &json!({}), patience)?;
        Ok(qmp)
    }

    /// Connects where a QEMU listens; it has not greeted yet, and wants [`ACCEPT`] after that.
    pub(crate) fn open(path: &Path, patience: Duration) -> Result<Self, Error> {
        let failed = |source| Error::Socket { path: path.to_owned(), source };
        let stream = UnixStream::connect(path).map_err(failed)?;
        stream.set_write_timeout(Some(patience)).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            stream: BufReader::new(stream),
            partial: String::new(),
            events: VecDeque::new(),
        })
    }

    /// Runs a command and returns its answer.
    ///
    /// # Errors
    /// When QEMU refuses, or does not answer within `deadline`.
    pub fn execute(&mut self, command: &str, arguments: &Value, deadline: Duration) -> Result<Value, Error> {
        self.tell(command, arguments)?;
        let until = Instant::now() + deadline;
        loop {
            match self.hear(until)? {
                Said::Answer(answer) => return Ok(answer),
                Said::Refusal(message) => {
                    return Err(Error::Refused { command: command.to_owned(), message });
                }
                Said::Event(event) => self.keep(event),
                Said::Greeting => {}
            }
        }
    }

    /// Tells QEMU a command, and does not wait for its answer.
    pub(crate) fn tell(&mut self, command: &str, arguments: &Value) -> Result<(), Error> {
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        let failed = |source| Error::Socket { path: self.path.clone(), source };
        self.stream.get_mut().write_all(line.as_bytes()).map_err(failed)
    }

    /// What QEMU says next; what was kept before is not said again.
    pub(crate) fn hear(&mut self, until: Instant) -> Result<Said, Error> {
        let mut message = self.receive(until)?;
        if let Some(answer) = message.get_mut("return") {
            return Ok(Said::Answer(answer.take()));
        }
        if let Some(error) = message.get("error") {
            return Ok(Said::Refusal(error["desc"].as_str().unwrap_or_default().to_owned()));
        }
        if message.get("QMP").is_some() {
            return Ok(Said::Greeting);
        }
        Ok(Said::Event(event(&mut message)))
    }

    /// Waits for the first event, kept or new, that `wanted` accepts. Events before it are forgotten.
    ///
    /// # Errors
    /// When it does not come within `deadline`, or the connection ends.
    pub fn wait_event(
        &mut self,
        what: &str,
        deadline: Duration,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Event, Error> {
        let until = Instant::now() + deadline;
        loop {
            while let Some(event) = self.events.pop_front() {
                if wanted(&event) {
                    return Ok(event);
                }
            }
            match self.hear(until) {
                Ok(Said::Event(event)) => self.keep(event),
                Ok(Said::Greeting | Said::Answer(_) | Said::Refusal(_)) => {}
                Err(Error::Socket { source, .. }) if source.kind() == io::ErrorKind::TimedOut => {
                    return Err(Error::Late { what: what.to_owned(), seconds: deadline.as_secs() });
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn keep(&mut self, event: Event) {
        self.events.push_back(event);
        if self.events.len() > EVENTS_MAX {
            self.events.pop_front();
        }
    }

    fn receive(&mut self, until: Instant) -> Result<Value, Error> {
        let failed = |source| Error::Socket { path: self.path.clone(), source };
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(failed(io::ErrorKind::TimedOut.into()));
            }
            self.stream.get_ref().set_read_timeout(Some(left)).map_err(failed)?;
            match self.stream.read_line(&mut self.partial) {
                Ok(0) => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) if self.partial.ends_with('\n') => {
                    let line = std::mem::take(&mut self.partial);
                    return serde_json::from_str(&line).map_err(|error| failed(error.into()));
                }
                Ok(_) => {}
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

fn event(message: &mut Value) -> Event {
    let part = |name: &str| message["timestamp"][name].as_u64().unwrap_or(0);
    let at_unix_us = part("seconds") * 1_000_000 + part("microseconds");
    let name = message["event"].as_str().unwrap_or_default().to_owned();
    Event { name, data: message["data"].take(), at_unix_us }
}
