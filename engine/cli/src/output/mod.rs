//! What is printed: data to standard output, talk to standard error.
//!
//! A reader that went away (`longhaul status | head`) is no error: writing stops quietly.

mod table;

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

pub(crate) use table::Table;

/// Prints a line of data.
pub(crate) fn data(line: impl Display) {
    let _gone = writeln!(io::stdout().lock(), "{line}");
}

/// Prints text as it is.
pub(crate) fn raw(text: &str) {
    let mut out = io::stdout().lock();
    let _gone = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints a value as indented JSON.
pub(crate) fn json(value: &impl Serialize) {
    let text = serde_json::to_string_pretty(value).expect("what the commands print has only text keys");
    data(text);
}

/// Says something to the person at the terminal.
pub(crate) fn talk(line: impl Display) {
    let _gone = writeln!(io::stderr().lock(), "{line}");
}

/// Whether somebody watches standard error.
pub(crate) fn has_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Says something that has its own line ends.
pub(crate) fn raw_talk(text: &str) {
    let _gone = io::stderr().lock().write_all(text.as_bytes());
}
