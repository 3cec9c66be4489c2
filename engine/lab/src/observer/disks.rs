//! What the disk servers of a VM say about their writers, and whether two of them wrote at the same time.
//!
//! A disk server lets in the writers of the highest epoch granted there. While a VM moves, both servers list one: the source's
//! under the old epoch, and the target's under the new one, which writes nothing before the guest runs there. So it is not
//! the list that tells of two writers, but what they do, and what the server of the old epoch still lets them do.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::ANSWER_MAX;

/// Asked less often than the hypervisors: bytes are counted, so nothing is missed between two looks.
pub(super) const INTERVAL: Duration = Duration::from_millis(50);

/// One look at both disk servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// Whether each answered, A first.
    pub(super) answered: [bool; 2],
    /// Whether two wrote, or the one with the lower epoch may although the other one has.
    pub(super) second_writer: bool,
}

/// Both disk servers of a VM.
#[derive(Debug)]
pub(super) struct DiskServers {
    sockets: [PathBuf; 2],
    writers: Writers,
}

impl DiskServers {
    pub(super) fn new(sockets: [PathBuf; 2]) -> Self {
        Self { sockets, writers: Writers::default() }
    }

    /// Asks A, then B.
    pub(super) fn look(&mut self) -> Look {
        let [at_a, at_b] = &self.sockets;
        let said = [ask(at_a).ok(), ask(at_b).ok()];
        let answered = [said[0].is_some(), said[1].is_some()];
        // A whole hand-over may have passed between the two answers; then the first one accepts no longer.
        let second_writer = self.writers.judge(said) && ask(at_a).is_ok_and(|status| status.accepts());
        Look { answered, second_writer }
    }
}

/// What matters of a disk server's status.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Status {
    /// The highest granted epoch.
    epoch: u64,
    /// Set while no write is accepted.
    frozen: Option<u64>,
    /// Who is let in.
    writers: Vec<Writer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Writer {
    bytes_written: u64,
}

impl Status {
    fn accepts(&self) -> bool {
        self.frozen.is_none() && !self.writers.is_empty()
    }

    fn written(&self) -> u64 {
        self.writers.iter().map(|writer| writer.bytes_written).sum()
    }
}

/// What was said so far.
#[derive(Debug, Default)]
struct Writers {
    before: [Option<Status>; 2],
    /// The highest epoch under which somebody has written.
    epoch_written: u64,
}

impl Writers {
    /// Whether there are two writers, by what both servers said in turn.
    fn judge(&mut self, said: [Option<Status>; 2]) -> bool {
        let both_wrote = self.before.iter().zip(&said).all(|pair| match pair {
            // A frozen one wrote before it was frozen, and the other one may have begun after that.
            (Some(before), Some(now)) => now.accepts() && now.written() > before.written(),
            (Some(_) | None, _) => false,
        });
        let mut outlived = false;
        // In the order of the answers: what the first one said had happened before the second one spoke.
        for status in said.iter().flatten() {
            outlived |= status.accepts() && status.epoch < self.epoch_written;
            if status.written() > 0 {
                self.epoch_written = self.epoch_written.max(status.epoch);
            }
        }
        self.before = said;
        both_wrote || outlived
    }
}

/// A disk server's status; an error when nobody answers, or something else than a status.
fn ask(socket: &Path) -> io::Result<Status> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    stream.write_all(b"{\"request\":\"status\"}\n")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn status(epoch: u64, frozen: Option<u64>, written: &[u64]) -> Option<Status> {
        let writers = written.iter().map(|written| Writer { bytes_written: *written }).collect();
        Some(Status { epoch, frozen, writers })
    }

    /// A whole move, with the target's writer let in long before the source's is shut out, has one writer at a time; so has
    /// the way back.
    #[test]
    fn a_move_has_one_writer_at_a_time() {
        let mut writers = Writers::default();
        let looks = [
            [status(1, None, &[10]), None],
            [status(1, None, &[20]), status(2, None, &[0])],
            [status(1, None, &[30]), status(2, None, &[0])],
            [status(1, Some(2), &[30]), status(2, None, &[7])],
            [status(1, Some(2), &[]), status(2, None, &[9])],
            [status(3, None, &[0]), status(2, None, &[11])],
            [status(3, None, &[1]), status(2, Some(3), &[11])],
        ];
        for (number, look) in looks.into_iter().enumerate() {
            assert!(!writers.judge(look), "look {number}");
        }
    }

    /// Bytes written at both sites between the same two looks are two writers, whatever the epochs.
    #[test]
    fn two_that_write_are_seen() {
        let mut writers = Writers::default();
        assert!(!writers.judge([status(1, None, &[10]), status(1, None, &[10])]));
        assert!(!writers.judge([status(1, None, &[11]), status(1, None, &[10])]));
        assert!(writers.judge([status(1, None, &[12]), status(1, None, &[11])]));
    }

    /// A writer of the old epoch that may write again after one of the new epoch has written is seen, even while it writes
    /// nothing and the other server is silent.
    #[test]
    fn a_writer_that_outlives_its_epoch_is_seen() {
        let mut writers = Writers::default();
        assert!(!writers.judge([status(1, None, &[10]), status(2, None, &[0])]));
        assert!(!writers.judge([status(1, Some(2), &[10]), status(2, None, &[5])]));
        assert!(writers.judge([status(1, None, &[10]), None]));
    }

    /// A server's answer is read as it is on the wire; something else is no answer.
    #[test]
    fn only_a_status_is_an_answer() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("control.sock");
        assert!(ask(&socket).is_err());
        let listener = UnixListener::bind(&socket).unwrap();
        let answers = [
            r#"{"reply":"status","vm":"vm-a","epoch":2,"frozen":null,"writers":[{"epoch":2,"pid":7,"bytes_written":5}]}"#,
            r#"{"reply":"refused","kind":"state","message":"no"}"#,
        ];
        let server = std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = String::new();
                BufReader::new(stream.try_clone().unwrap()).read_line(&mut asked).unwrap();
                assert_eq!(asked, "{\"request\":\"status\"}\n");
                writeln!(stream, "{answer}").unwrap();
            }
        });
        assert_eq!(ask(&socket).ok(), status(2, None, &[5]));
        assert!(ask(&socket).is_err());
        server.join().unwrap();
    }
}
