//! The name of an operation.

use std::fmt;

use longhaul_wire::v1;

use crate::facts::OperationId;

/// Whether an operation brings its effect about or takes it away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Direction {
    Do,
    Undo,
}

impl Direction {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Do => "do",
            Self::Undo => "undo",
        }
    }
}

/// Names an operation: the key and attempt it was asked for under, and its direction. Its text is what controllers keep.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Handle(OperationId);

impl Handle {
    /// The handle of this request; `None` without a key and an attempt.
    pub(crate) fn of(request: &v1::StartRequest, direction: Direction) -> Option<Self> {
        let key = request.key.as_ref()?;
        if key.run.is_empty() || key.step.is_empty() || request.attempt == 0 {
            return None;
        }
        let kind = direction.as_str().to_owned();
        Some(Self(OperationId { key: key_text(key), attempt: request.attempt, kind }))
    }

    /// The handle of what takes this one's effect away.
    pub(crate) fn undoing(&self) -> Self {
        Self(OperationId { kind: Direction::Undo.as_str().to_owned(), ..self.0.clone() })
    }

    /// A handle that a controller brought back; `None` if it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.rsplitn(3, '/');
        let (kind, attempt, key) = (parts.next()?, parts.next()?, parts.next()?);
        let attempt = attempt.parse().ok()?;
        Some(Self(OperationId { key: key.to_owned(), attempt, kind: kind.to_owned() }))
    }

    /// The run that asked.
    pub(crate) fn run(&self) -> &str {
        self.0.key.split('/').next().unwrap_or_default()
    }

    pub(crate) fn given(id: OperationId) -> Self {
        Self(id)
    }

    pub(crate) fn id(&self) -> &OperationId {
        &self.0
    }

    pub(crate) fn direction(&self) -> Direction {
        if self.0.kind == Direction::Undo.as_str() { Direction::Undo } else { Direction::Do }
    }
}

/// The key as the durable row has it.
pub(crate) fn key_text(key: &v1::Key) -> String {
    format!("{}/{}/{}", key.run, key.step, key.incarnation)
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.0.key, self.0.attempt, self.0.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same request has one handle in each direction, its text is read back, and a request without a key has none.
    #[test]
    fn a_handle_names_key_attempt_and_direction() {
        let key = v1::Key { run: "r1".into(), step: "move/vm-a/prefetch".into(), incarnation: 1 };
        let request = v1::StartRequest { key: Some(key), attempt: 2, ..Default::default() };
        let handle = Handle::of(&request, Direction::Do).unwrap();
        assert_eq!(handle.to_string(), "r1/move/vm-a/prefetch/1/2/do");
        assert_eq!(Handle::parse(&handle.to_string()), Some(handle));
        assert_eq!(Handle::of(&request, Direction::Undo).unwrap().direction(), Direction::Undo);
        assert!(Handle::of(&v1::StartRequest::default(), Direction::Do).is_none());
        assert!(Handle::parse("r1/x").is_none());
    }
}
