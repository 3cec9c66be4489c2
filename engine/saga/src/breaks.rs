//! Mistakes that can be put into the state machine, to prove that the tests of its properties find them.
//!
//! They exist only in builds with the feature `breaks`, which nothing but tests turns on, and there only on the thread that asked
//! for one. In every other build no mistake is ever on, which the compiler knows.

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// A step begins while a step that it needs is under way.
    BeginBeforeNeeds,
    /// What was done is undone in the order in which it was done.
    UndoInOrder,
    /// What was done by a second attempt is not undone.
    ForgetRetried,
    /// Claims are given whether or not there is enough.
    OverdrawBudgets,
    /// After the death of a controller an effect is started anew without being asked about.
    StartAnewUnasked,
}

impl Break {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::BeginBeforeNeeds,
        Self::UndoInOrder,
        Self::ForgetRetried,
        Self::OverdrawBudgets,
        Self::StartAnewUnasked,
    ];
}

#[cfg(feature = "breaks")]
mod switch {
    use std::cell::Cell;

    use super::Break;

    thread_local! {
        static ON: Cell<Option<Break>> = const { Cell::new(None) };
    }

    /// Does something with a state machine that makes this mistake.
    pub fn with<T>(mistake: Break, work: impl FnOnce() -> T) -> T {
        ON.set(Some(mistake));
        let done = work();
        ON.set(None);
        done
    }

    pub(crate) fn is_on(mistake: Break) -> bool {
        ON.get() == Some(mistake)
    }
}

#[cfg(feature = "breaks")]
pub(crate) use switch::is_on;
#[cfg(feature = "breaks")]
pub use switch::with;

#[cfg(not(feature = "breaks"))]
pub(crate) const fn is_on(_: Break) -> bool {
    false
}
