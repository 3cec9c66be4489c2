//! Switches that break one thing each, so that a check can be seen to fail. Never set outside a proof.

/// What is broken on purpose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Breaks {
    /// Source: sends an empty list instead of the last dirty round.
    pub skip_last_dirty_round: bool,
    /// Source: lets its own guest run as well once the target runs.
    pub second_runner: bool,
    /// Target: flips a byte of every guest page that begins with this mark, after the state was hashed, so that only the
    /// guest itself can notice. Empty: none.
    pub flip_page: Vec<u8>,
}
