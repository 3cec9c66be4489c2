//! Between the action contract's values and those of the saga. Their JSON forms are the same.

use longhaul_saga::{Answer, Failure};
use longhaul_step::{Error, Probe};

pub(crate) fn failure(error: Error) -> Failure {
    Failure { class: error.class.as_str().to_owned(), message: error.message, code: error.code }
}

pub(crate) fn answer(probe: Probe) -> Answer {
    match probe {
        Probe::Done(outputs) => Answer::Done(outputs),
        Probe::Absent => Answer::Absent,
        Probe::Partial => Answer::Partial,
        Probe::CannotTell(error) => Answer::CannotTell(failure(error)),
    }
}
