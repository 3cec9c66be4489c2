//! Where something is, and how large.

/// A place; `y` grows downwards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) x: i64,
    pub(super) y: i64,
}

impl Point {
    /// So much further right and down.
    pub(super) fn moved(self, by: Self) -> Self {
        Self { x: self.x + by.x, y: self.y + by.y }
    }
}

/// How large something is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) width: i64,
    pub(super) height: i64,
}

impl Size {
    /// What holds both, one below the other, with a gap between them.
    pub(super) fn above(self, below: Self, gap: i64) -> Self {
        Self { width: self.width.max(below.width), height: self.height + gap + below.height }
    }
}
