//! The tunnel's door at this site: `tunnel.sock`, through which local processes open streams to other sites.
//!
//! A process writes `open SITE SERVICE CLASS\n` and reads `ok\n` or `error TEXT\n`; after `ok` the socket is the stream.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use longhaul_dataplane::tunnel::Class as Priority;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use crate::agent::Agent;
use crate::error::{Class, Error, chain};

/// Longest request line: two ids, a service and a class.
const LINE_MAX: usize = 256;
/// How long a process may take to say what it wants.
const REQUEST_MAX: Duration = Duration::from_secs(5);

/// Binds the door; what a dead agent left at its path is replaced.
pub(crate) fn bind(path: &Path) -> Result<UnixListener, Error> {
    let _ = std::fs::remove_file(path);
    UnixListener::bind(path)
        .map_err(|error| Error::internal(&format!("listening on {}", path.display()), &error))
}

/// Serves the door for as long as the agent lives.
pub(crate) async fn serve(agent: Arc<Agent>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => drop(tokio::spawn(visit(Arc::clone(&agent), socket))),
            Err(error) => {
                tracing::warn!(%error, "a local process could not be let in");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn visit(agent: Arc<Agent>, mut socket: UnixStream) {
    if let Err(error) = through(&agent, &mut socket).await {
        tracing::debug!(%error, "a stream through the door ended");
        let _ = socket.write_all(format!("error {error}\n").as_bytes()).await;
    }
}

async fn through(agent: &Agent, socket: &mut UnixStream) -> Result<(), Error> {
    let line = tokio::time::timeout(REQUEST_MAX, read_line(socket)).await;
    let line = line.map_err(|_| refused("no request came in time"))??;
    let (site, service, priority) = parse(&line)?;
    let mut stream = agent.tunnels.open(site, service, priority).await?;
    socket.write_all(b"ok\n").await.map_err(|error| Error::internal("answering", &error))?;
    // From here on an error is the stream's own end, which both sides see as such.
    let _ = tokio::io::copy_bidirectional(socket, &mut stream).await;
    Ok(())
}

/// Reads byte by byte: what follows the line belongs to the stream.
async fn read_line(socket: &mut UnixStream) -> Result<String, Error> {
    let mut line = Vec::new();
    while line.len() < LINE_MAX {
        match socket.read_u8().await {
            Ok(b'\n') => return String::from_utf8(line).map_err(|_| refused("the request is not text")),
            Ok(byte) => line.push(byte),
            Err(error) => return Err(Error::new(Class::Permanent, chain(&error))),
        }
    }
    Err(refused("the request line is too long"))
}

fn parse(line: &str) -> Result<(&str, &str, Priority), Error> {
    let words: Vec<_> = line.split(' ').collect();
    let [verb, site, service, class] = words.as_slice() else {
        return Err(refused("expected `open SITE SERVICE CLASS`"));
    };
    if *verb != "open" {
        return Err(refused("expected `open SITE SERVICE CLASS`"));
    }
    let priority = match *class {
        "demand" => Priority::Demand,
        "dirty" => Priority::Dirty,
        "background" => Priority::Background,
        _ => return Err(refused("a local process may open streams of class demand, dirty or background")),
    };
    Ok((site, service, priority))
}

fn refused(why: &str) -> Error {
    Error::new(Class::Permanent, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request names site, service and class; everything else, and a class that is not for local processes, is refused.
    #[test]
    fn requests_are_one_line_of_four_words() {
        assert!(matches!(parse("open a disk/vm-a demand"), Ok(("a", "disk/vm-a", Priority::Demand))));
        for bad in [
            "",
            "open a disk/vm-a",
            "close a disk/vm-a demand",
            "open a incoming/vm-a handover",
            "open a b c d",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
