//! Runs other programs that end by themselves, with a deadline and their words kept for the error.

use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Most of a program's output that is kept, bytes.
const OUTPUT_MAX: u64 = 1 << 20;

/// What went wrong with a program.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be started.
    #[error("start {program}")]
    Start {
        /// Its name.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It said no.
    #[error("run {program}: {said}")]
    Failed {
        /// Its name.
        program: String,
        /// The last of what it wrote.
        said: String,
    },
    /// It did not end in time and was killed.
    #[error("run {program} within {seconds} s")]
    TooSlow {
        /// Its name.
        program: String,
        /// The deadline.
        seconds: u64,
    },
}

/// Runs a program to its end and returns what it wrote to standard output.
///
/// # Errors
/// When it cannot be started, exits with anything but success, or is not done after `deadline`.
pub fn run(command: &mut Command, deadline: Duration) -> Result<String, Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |source| Error::Start { program: program.clone(), source };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let output = drain(child.stdout.take());
    let words = drain(child.stderr.take());
    let until = Instant::now() + deadline;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        if Instant::now() > until {
            let _gone = child.kill();
            let _reaped = child.wait();
            return Err(Error::TooSlow { program, seconds: deadline.as_secs() });
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let output = output.join().unwrap_or_default();
    if status.success() {
        return Ok(output);
    }
    let said = words.join().unwrap_or_default();
    Err(Error::Failed { program, said: said.trim().to_owned() })
}

/// Reads a stream on a thread of its own, so that a full pipe does not stop the program.
fn drain(stream: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(stream) = stream {
            let _broken = stream.take(OUTPUT_MAX).read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    })
}
