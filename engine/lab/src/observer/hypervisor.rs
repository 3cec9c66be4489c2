//! Asks one site's QEMUs, one after the other as they come and go, and listens to what they tell by themselves.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::history::{History, Word};
use super::{ANSWER_MAX, Pace, now_us};
use crate::qmp::{self, Qmp, Said};

/// Between two tries to reach a hypervisor that is not there.
const RETRY: Duration = Duration::from_millis(50);
const QUESTION: &str = "query-status";

#[derive(Debug)]
pub(super) struct Hypervisor {
    socket: PathBuf,
    connection: Option<Connection>,
    retry: Pace,
}

/// To one QEMU, for as long as it lives, however long it says nothing.
#[derive(Debug)]
struct Connection {
    qmp: Qmp,
    stage: Stage,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// It has not taken up the conversation yet.
    Greets,
    /// It owes nothing.
    Ready,
    /// It owes the answer to a question of this time.
    Owes { asked_us: u64 },
}

impl Hypervisor {
    pub(super) fn at(socket: PathBuf) -> Self {
        Self { socket, connection: None, retry: Pace::new() }
    }

    /// Asks once, and waits for the answer as long as is borne.
    pub(super) fn ask(&mut self, note: &impl Fn(&dyn Fn(&mut History))) {
        note(&History::asked);
        if self.connection.is_none() && self.retry.due(RETRY) {
            let begun_us = now_us();
            self.connection = Qmp::open(&self.socket, ANSWER_MAX).ok().map(Connection::new);
            if self.connection.is_some() {
                note(&|history| history.found(begun_us));
            }
        }
        let Some(connection) = &mut self.connection else { return };
        if connection.question(note).is_err() {
            note(&|history| history.gone(now_us()));
            self.connection = None;
        }
    }
}

impl Connection {
    fn new(qmp: Qmp) -> Self {
        Self { qmp, stage: Stage::Greets }
    }

    /// Asks, unless something is still owed; hears what is said until the answer, or as long as is borne.
    fn question(&mut self, note: &impl Fn(&dyn Fn(&mut History))) -> Result<(), qmp::Error> {
        let until = Instant::now() + ANSWER_MAX;
        self.begin();
        loop {
            match (self.qmp.hear(until), self.stage) {
                (Ok(Said::Event(event)), _) => note(&|history| match event.name.as_str() {
                    "RESUME" => history.resumed(event.at_unix_us),
                    "STOP" => history.stopped(event.at_unix_us),
                    _ => {}
                }),
                (Ok(Said::Greeting), _) => self.tell(qmp::ACCEPT),
                (Ok(Said::Answer(answer)), Stage::Owes { asked_us }) => {
                    self.stage = Stage::Ready;
                    note(&|history| history.answer(asked_us, now_us(), word(&answer)));
                    return Ok(());
                }
                (Ok(Said::Answer(_)), _) => {
                    self.stage = Stage::Ready;
                    self.begin();
                }
                (Ok(Said::Refusal(_)), _) => {
                    self.stage = Stage::Ready;
                    note(&|history| history.owes(now_us()));
                    return Ok(());
                }
                (Err(error), _) if is_silence(&error) => {
                    note(&|history| history.owes(now_us()));
                    return Ok(());
                }
                (Err(error), _) => return Err(error),
            }
        }
    }

    fn begin(&mut self) {
        if matches!(self.stage, Stage::Ready) {
            self.stage = Stage::Owes { asked_us: now_us() };
            self.tell(QUESTION);
        }
    }

    fn tell(&mut self, command: &str) {
        // Whoever does not listen any more may have said something before, and ends what it says.
        let _unheard = self.qmp.tell(command, &json!({}));
    }
}

fn word(status: &Value) -> Word {
    match (status["running"].as_bool(), status["status"].as_str()) {
        (Some(true), _) => Word::Runs,
        (_, Some("inmigrate")) => Word::Waits,
        _ => Word::Stopped,
    }
}

/// Whether somebody is there who does not answer. Others have nobody at their other end, or lost it over the question.
fn is_silence(error: &qmp::Error) -> bool {
    match error {
        qmp::Error::Socket { source, .. } => {
            matches!(source.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
        }
        qmp::Error::Refused { .. } | qmp::Error::Late { .. } => true,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixListener;
    use std::sync::mpsc;

    use super::*;
    use crate::place::Side;

    const RESUME: &[u8] = b"{\"event\":\"RESUME\",\"timestamp\":{\"seconds\":7,\"microseconds\":5}}\n";
    const STOP: &[u8] = b"{\"event\":\"STOP\",\"timestamp\":{\"seconds\":8,\"microseconds\":5}}\n";

    /// A QEMU that answers when it is told to, says what it is told to, and dies when nobody tells it anything any more.
    fn qemu(listener: UnixListener, said: mpsc::Receiver<&'static [u8]>) {
        let (mut stream, _) = listener.accept().unwrap();
        drop(listener);
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        stream.write_all(b"{\"QMP\":{}}\n").unwrap();
        lines.next().unwrap().unwrap();
        stream.write_all(b"{\"return\":{}}\n").unwrap();
        lines.next().unwrap().unwrap();
        for words in said {
            stream.write_all(words).unwrap();
        }
    }

    /// A QEMU that does not answer is silent; what it told meanwhile is known with its time, and who is gone has stopped.
    #[test]
    fn a_busy_hypervisor_tells_what_it_did() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("observer.sock");
        let history = RefCell::new(History::of(Side::A));
        let note = |tell: &dyn Fn(&mut History)| tell(&mut history.borrow_mut());
        let mut hypervisor = Hypervisor::at(socket.clone());
        hypervisor.ask(&note);
        assert_eq!((history.borrow().questions(), history.borrow().answers()), (1, 0));
        let listener = UnixListener::bind(&socket).unwrap();
        let (say, said) = mpsc::channel::<&'static [u8]>();
        let busy = std::thread::spawn(move || qemu(listener, said));
        let until = Instant::now() + Duration::from_secs(10);
        let mut ask_until = |reached: &dyn Fn(&History) -> bool| {
            while !reached(&history.borrow()) {
                assert!(Instant::now() < until, "{history:?}");
                hypervisor.ask(&note);
            }
        };
        ask_until(&|history| history.longest_silence_ms() >= 500);
        let longest = history.borrow().hidden().map(|silence| silence.length_ms()).max();
        assert!(longest >= Some(500), "{longest:?}");
        for words in [RESUME, STOP, RESUME] {
            say.send(words).unwrap();
        }
        ask_until(&|history| history.runs().len() == 2);
        assert_eq!(history.borrow().runs()[0].from_us, 7_000_005);
        assert_eq!(history.borrow().runs()[0].to_us, Some(8_000_005));
        assert!(history.borrow().runs_now());
        drop(say);
        ask_until(&|history| !history.runs_now());
        busy.join().unwrap();
    }
}
