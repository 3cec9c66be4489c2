//! The demo: one rehearsed move of a guest that serves, its verdict, and things to break on purpose.
//!
//! It must never be greener than the rehearsal's evidence: a switch of [`Break`] breaks one thing, and the verdict has to
//! turn red.

mod breaks;
mod figures;
mod play;

pub(crate) use breaks::Break;
pub(crate) use play::run;
