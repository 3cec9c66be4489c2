//! How long nobody at a site answered although a QEMU was there: in that time a second copy could have run unseen.
//!
//! A QEMU is there when its socket takes a connection, which the kernel grants for as long as the process lives, however stuck it
//! is. Its silence lasts from its last answer, or from when it was found, to its next answer or its end.

use serde::{Deserialize, Serialize};

use crate::place::Side;

/// What became of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Whether the guest's CPUs run.
    Answer(bool),
    /// A QEMU is there and did not answer in time.
    Silence,
    /// No QEMU is there.
    Nobody,
}

impl Heard {
    /// The answer, if there was one.
    pub(super) fn answer(self) -> Option<bool> {
        match self {
            Self::Answer(running) => Some(running),
            Self::Silence | Self::Nobody => None,
        }
    }
}

/// A time without an answer from a QEMU that was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Where.
    pub side: Side,
    /// Its last answer before, or when it was found.
    pub from_unix_ms: u64,
    /// Its next answer, its end, or the last question that it left open.
    pub to_unix_ms: u64,
}

impl Silence {
    /// How long it was, milliseconds.
    #[must_use]
    pub const fn length_ms(&self) -> u64 {
        self.to_unix_ms.saturating_sub(self.from_unix_ms)
    }

    /// Whether a part of it is no further than this from an instant.
    pub(super) const fn is_near(&self, at_unix_ms: u64, reach_ms: u64) -> bool {
        self.from_unix_ms <= at_unix_ms.saturating_add(reach_ms)
            && at_unix_ms <= self.to_unix_ms.saturating_add(reach_ms)
    }
}

/// Listens to one site.
#[derive(Debug)]
pub(super) struct Ear {
    side: Side,
    /// The last answer of the QEMU that is there, or when it was found.
    since_unix_ms: Option<u64>,
}

impl Ear {
    pub(super) const fn at(side: Side) -> Self {
        Self { side, since_unix_ms: None }
    }

    /// Takes what became of a question; the silence that it ended, or that goes on. `None` where nobody is and nobody was.
    pub(super) fn hear(&mut self, (asked, heard_at): (u64, u64), heard: Heard) -> Option<Silence> {
        let from_unix_ms = match (self.since_unix_ms, heard) {
            (None, Heard::Nobody) => return None,
            (since, _) => since.unwrap_or(asked),
        };
        self.since_unix_ms = match heard {
            Heard::Answer(_) => Some(heard_at),
            Heard::Silence => Some(from_unix_ms),
            Heard::Nobody => None,
        };
        Some(Silence { side: self.side, from_unix_ms, to_unix_ms: heard_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(heard: &[(u64, u64, Heard)]) -> Vec<Option<u64>> {
        let mut ear = Ear::at(Side::B);
        let hear = |(asked, at, heard): &(u64, u64, Heard)| ear.hear((*asked, *at), *heard);
        heard.iter().map(hear).map(|silence| silence.map(|silence| silence.length_ms())).collect()
    }

    /// A silence lasts from answer to answer, however often was asked in between.
    #[test]
    fn a_silence_lasts_from_answer_to_answer() {
        use Heard::{Answer, Silence};
        let heard =
            [(100, 101, Answer(true)), (104, 604, Silence), (650, 1150, Silence), (1160, 1161, Answer(true))];
        assert_eq!(lengths(&heard), [Some(1), Some(503), Some(1049), Some(1060)]);
    }

    /// A QEMU that never answers is silent from when it was found to its end; who is not there is not silent.
    #[test]
    fn who_never_answers_is_silent_until_its_end() {
        use Heard::{Answer, Nobody, Silence};
        let heard = [
            (0, 1, Nobody),
            (100, 600, Silence),
            (650, 651, Nobody),
            (900, 901, Nobody),
            (950, 953, Answer(false)),
        ];
        assert_eq!(lengths(&heard), [None, Some(500), Some(551), None, Some(3)]);
    }
}
