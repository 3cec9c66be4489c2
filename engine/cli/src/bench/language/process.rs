//! A process of its own, measured from its start to its end.

use std::io;
use std::process::{Command, Stdio};
use std::time::Instant;

use wait4::Wait4;

use crate::errors::{Explain as _, Failure, Result};
use crate::exit_code;

/// What one process took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    /// From start to end, in microseconds.
    pub(super) wall_us: u64,
    /// The most memory it held, in bytes.
    pub(super) peak_bytes: u64,
}

/// Runs a command to its end; what it prints is thrown away. One that fails is an error.
pub(super) fn measure(mut command: Command) -> Result<Taken> {
    let text = shown(&command);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let begun = Instant::now();
    let used = command.spawn().and_then(Wait4::wait4);
    let wall = begun.elapsed();
    let used = used.doing(exit_code::FAILED, || format!("run `{text}`"))?;
    if !used.status.success() {
        let said = format!("`{text}` ended with {}: a check that fails is no figure", used.status);
        return Err(Failure::said(exit_code::CHECK_FAILED, said).advise("run it by hand to see what it says"));
    }
    Ok(Taken { wall_us: u64::try_from(wall.as_micros()).unwrap_or(u64::MAX), peak_bytes: used.rusage.maxrss })
}

/// Runs a command to its end and returns what it says; nothing if it fails.
pub(super) fn said(command: &mut Command) -> io::Result<Option<String>> {
    let output = command.stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(output.status.success().then_some(text))
}

/// A command as a person would type it.
pub(super) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.display().to_string()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process takes time and memory, and one that fails is no figure.
    #[test]
    fn a_process_is_measured() {
        let taken = measure(Command::new("true")).unwrap();
        assert!(taken.wall_us > 0 && taken.peak_bytes > 0, "{taken:?}");
        let failure = measure(Command::new("false")).unwrap_err();
        assert_eq!(failure.code(), exit_code::CHECK_FAILED);
    }
}
