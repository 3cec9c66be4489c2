//! How a command fails: an exit code, a chain of causes, and what to do about it.

use std::fmt::Write as _;

use crate::exit_code;

/// What a command returns.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// A command's failure.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    error: anyhow::Error,
    advice: Option<String>,
}

impl Failure {
    /// A failure with this exit code.
    pub(crate) fn new(code: u8, error: impl Into<anyhow::Error>) -> Self {
        Self { code, error: error.into(), advice: None }
    }

    /// A failure of these words alone.
    pub(crate) fn said(code: u8, message: impl Into<String>) -> Self {
        Self::new(code, anyhow::Error::msg(message.into()))
    }

    /// The same, with what to do.
    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    /// What failed and why, for a sentence.
    pub(crate) fn in_one_line(&self) -> String {
        format!("{:#}", self.error)
    }

    /// The chain, a line for each cause, and the advice.
    pub(crate) fn render(&self) -> String {
        let mut text = format!("error: {}", self.error);
        let mut said = self.error.to_string();
        for cause in self.error.chain().skip(1).map(ToString::to_string) {
            if !said.contains(&cause) {
                let _ = write!(text, "\n  because: {cause}");
            }
            said = cause;
        }
        if let Some(advice) = &self.advice {
            let _ = write!(text, "\n  what to do: {advice}");
        }
        text
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(exit_code::FAILED, error)
    }
}

/// Gives a failure its exit code and its first line.
pub(crate) trait Explain<T> {
    /// `doing` is a fragment that fits after "failed to".
    fn doing(self, code: u8, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<anyhow::Error>> Explain<T> for std::result::Result<T, E> {
    fn doing(self, code: u8, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Failure::new(code, error.into().context(format!("failed to {}", doing()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A failure shows every cause once, and ends with what to do.
    #[test]
    fn a_failure_shows_its_chain_and_its_advice() {
        let cause = std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
        let failure =
            Err::<(), _>(cause).doing(exit_code::INVALID_FILE, || "read sites.yaml".into()).unwrap_err();
        let shown = failure.advise("write one, or run `longhaul lab up`").render();
        assert_eq!(
            shown,
            "error: failed to read sites.yaml\n  because: no such file\n  what to do: write one, or run `longhaul lab up`"
        );
    }
}
