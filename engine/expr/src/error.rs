//! Why an expression cannot be read or has no value.

use std::ops::Range;

/// A mistake in an expression. Positions are byte ranges of the text that was parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A `${{` without its `}}`.
    #[error("`${{{{` has no closing `}}}}`")]
    Unclosed {
        /// From the `${{` to the end of the text.
        at: Range<usize>,
    },
    /// `${{ }}` with nothing in it.
    #[error("the expression is empty")]
    Empty {
        /// The whole `${{ }}`.
        at: Range<usize>,
    },
    /// Text beside the `${{ }}`, or none at all, where exactly one expression belongs.
    #[error("exactly one `${{{{ }}}}` belongs here, with no text around it")]
    NotOneExpression {
        /// The whole text.
        at: Range<usize>,
    },
    /// Something Rhai cannot read, or that expressions may not use.
    #[error("{message}")]
    Syntax {
        /// What is wrong, without a position.
        message: String,
        /// Where reading stopped.
        at: Range<usize>,
        /// What was meant, if that can be told.
        help: Option<String>,
    },
    /// A function that the language does not have.
    #[error("there is no function `{name}`")]
    UnknownFunction {
        /// What was called.
        name: String,
        /// A function of a similar name.
        suggestion: Option<&'static str>,
        /// The call.
        at: Range<usize>,
    },
    /// The expression is well-formed but has no value in this scope.
    #[error("`{expression}` has no value: {message}")]
    NoValue {
        /// The expression as written.
        expression: String,
        /// What went wrong.
        message: String,
    },
    /// A list, map, function or nothing in the middle of text.
    #[error("`{expression}` is {found} and cannot stand inside text")]
    NotText {
        /// The expression as written.
        expression: String,
        /// What it came out as.
        found: &'static str,
    },
}

impl Error {
    /// Where in the parsed text the mistake is, if it was found while parsing.
    #[must_use]
    pub fn at(&self) -> Option<Range<usize>> {
        match self {
            Self::Unclosed { at }
            | Self::Empty { at }
            | Self::NotOneExpression { at }
            | Self::Syntax { at, .. }
            | Self::UnknownFunction { at, .. } => Some(at.clone()),
            Self::NoValue { .. } | Self::NotText { .. } => None,
        }
    }

    /// The same mistake in a text that has `offset` more bytes in front.
    pub(crate) fn shifted(mut self, offset: usize) -> Self {
        match &mut self {
            Self::Unclosed { at }
            | Self::Empty { at }
            | Self::NotOneExpression { at }
            | Self::Syntax { at, .. }
            | Self::UnknownFunction { at, .. } => *at = at.start + offset..at.end + offset,
            Self::NoValue { .. } | Self::NotText { .. } => {}
        }
        self
    }
}
