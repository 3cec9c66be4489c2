//! The WAN's control socket: a line of JSON asks, a line of JSON answers.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::emulator::{self, Emulator};
use super::link::{Config, LinkChange, Stats};

/// Both sides are on one machine and the answer needs no waiting.
const PATIENCE: Duration = Duration::from_secs(2);

/// What went wrong with the control socket.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The WAN could not be started.
    #[error("start the WAN")]
    Start(#[from] emulator::Error),
    /// The socket does not work.
    #[error("use the WAN's control socket {path}")]
    Socket {
        /// Of the socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The other side said something else than was asked for.
    #[error("understand the WAN's answer `{0}`")]
    Answer(String),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Request {
    Change(LinkChange),
    Cut,
    Heal,
    Stats,
}

/// Starts the WAN and serves its control socket until the process is killed.
///
/// # Errors
/// When the WAN cannot be started or the socket cannot be made.
pub fn run(config: &Config) -> Result<(), Error> {
    let failed = |source| Error::Socket { path: config.control.clone(), source };
    // A socket that a killed WAN left.
    let _absent = std::fs::remove_file(&config.control);
    let emulator = Emulator::start(config)?;
    let listener = UnixListener::bind(&config.control).map_err(failed)?;
    tracing::info!("WAN carries packets");
    for stream in listener.incoming() {
        if let Err(error) = stream.and_then(|stream| serve(&emulator, &stream)) {
            tracing::warn!(%error, "control connection failed");
        }
    }
    Ok(())
}

/// Answers one connection; one at a time, each with a deadline.
fn serve(emulator: &Emulator, stream: &UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    match serde_json::from_str(&line)? {
        Request::Change(change) => emulator.change(&change),
        Request::Cut => emulator.set_cut(true),
        Request::Heal => emulator.set_cut(false),
        Request::Stats => {}
    }
    let mut answer = serde_json::to_vec(&emulator.stats())?;
    answer.push(b'\n');
    (&mut &*stream).write_all(&answer)
}

/// Speaks to a running WAN.
#[derive(Debug, Clone)]
pub struct Control {
    path: PathBuf,
}

impl Control {
    /// Of the WAN that listens at `path`; connects with each question.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn ask(&self, request: &Request) -> Result<Stats, Error> {
        let exchange = || {
            let mut stream = UnixStream::connect(&self.path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            let mut line = serde_json::to_vec(request)?;
            line.push(b'\n');
            stream.write_all(&line)?;
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer)?;
            Ok(answer)
        };
        let answer = exchange().map_err(|source| Error::Socket { path: self.path.clone(), source })?;
        serde_json::from_str(&answer).map_err(|_| Error::Answer(answer))
    }

    /// Changes the link; settings and figures afterwards, as with all of these.
    ///
    /// # Errors
    /// When the WAN does not answer.
    pub fn change(&self, change: LinkChange) -> Result<Stats, Error> {
        self.ask(&Request::Change(change))
    }

    /// Drops everything from now on; interfaces and connections stay.
    ///
    /// # Errors
    /// When the WAN does not answer.
    pub fn cut(&self) -> Result<Stats, Error> {
        self.ask(&Request::Cut)
    }

    /// Carries again.
    ///
    /// # Errors
    /// When the WAN does not answer.
    pub fn heal(&self) -> Result<Stats, Error> {
        self.ask(&Request::Heal)
    }

    /// Settings and figures.
    ///
    /// # Errors
    /// When the WAN does not answer.
    pub fn stats(&self) -> Result<Stats, Error> {
        self.ask(&Request::Stats)
    }
}
