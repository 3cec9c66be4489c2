//! A process of its own, measured from its start to its end.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use wait4::Wait4;

use crate::errors::{Explain as _, Result};
use crate::exit_code;

/// As much of what a failing process says as is shown.
const LINE_CHARS_MAX: usize = 200;

/// What one process took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bench) struct Taken {
    /// From start to end, in microseconds.
    pub(in crate::bench) wall_us: u64,
    /// The most memory it held, in bytes.
    pub(in crate::bench) peak_bytes: u64,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bench) enum Ran {
    /// As it should.
    Through(Taken),
    /// With a failure, and a line of what it said.
    Failed(String),
}

/// Runs a command to its end; what it prints goes to `said`.
pub(in crate::bench) fn measure(mut command: Command, said: &Path) -> Result<Ran> {
    let text = shown(&command);
    let writing = || format!("write {}", said.display());
    let file = File::create(said).doing(exit_code::FAILED, writing)?;
    let too = file.try_clone().doing(exit_code::FAILED, writing)?;
    command.stdin(Stdio::null()).stdout(file).stderr(too);
    let begun = Instant::now();
    let used = command.spawn().and_then(Wait4::wait4);
    let wall = begun.elapsed();
    let used = used.doing(exit_code::FAILED, || format!("run `{text}`"))?;
    if !used.status.success() {
        let output = fs::read(said).doing(exit_code::FAILED, || format!("read {}", said.display()))?;
        let output = String::from_utf8_lossy(&output);
        let line: String = telling(&output).chars().take(LINE_CHARS_MAX).collect();
        return Ok(Ran::Failed(format!("`{text}` ended with {}: {line}", used.status)));
    }
    let wall_us = u64::try_from(wall.as_micros()).unwrap_or(u64::MAX);
    Ok(Ran::Through(Taken { wall_us, peak_bytes: used.rusage.maxrss }))
}

/// The line that says most: a program that breaks down shows first where.
fn telling(output: &str) -> &str {
    let mut lines = output.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.clone().next();
    lines.find(|line| line.contains("Error: ")).or(first).unwrap_or("it said nothing")
}

/// Runs a command to its end and returns what it says; nothing if it fails.
pub(in crate::bench) fn said(command: &mut Command) -> io::Result<Option<String>> {
    let output = command.stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(output.status.success().then_some(text))
}

/// A command as a person would type it.
pub(in crate::bench) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.display().to_string()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process takes time and memory, and of one that fails is told what it said.
    #[test]
    fn a_process_is_measured() {
        let folder = tempfile::tempdir().unwrap();
        let said = folder.path().join("said");
        let Ran::Through(taken) = measure(Command::new("true"), &said).unwrap() else { panic!() };
        assert!(taken.wall_us > 0 && taken.peak_bytes > 0, "{taken:?}");
        let mut failing = Command::new("sh");
        failing.args(["-c", "echo; echo too deep >&2; echo more; exit 3"]);
        let Ran::Failed(why) = measure(failing, &said).unwrap() else { panic!() };
        assert!(why.ends_with("ended with exit status: 3: too deep"), "{why}");
        assert_eq!(telling("at 1:2\n\n RangeError: too deep\n  at f\n"), "RangeError: too deep");
        assert_eq!(telling(" \n"), "it said nothing");
    }
}
