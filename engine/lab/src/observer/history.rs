//! When the guest's CPUs ran at one site, by what its QEMUs said.
//!
//! A QEMU tells every start and stop of the CPUs to whoever is connected, when it happens and with the time, however busy its main
//! loop is with other things. So a time without answers hides nothing as long as the connection lasts: without a word the
//! CPUs do what they did before. What nobody knows is what a QEMU did before it spoke for the first time, unless it then
//! says that it still waits for a guest; and what one does that was asked and has not answered when nobody asks any more.

use super::view::Silence;
use crate::place::Side;

/// Silences kept; more are only measured.
const HIDDEN_MAX: usize = 1_000;

/// What a QEMU answers about its guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// The CPUs run.
    Runs,
    /// They do not.
    Stopped,
    /// They never did: the guest is still to come.
    Waits,
}

/// A time in which the CPUs ran, microseconds since the epoch; never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) from_us: u64,
    /// `None` while it lasts.
    pub(super) to_us: Option<u64>,
}

/// What is known of one site.
#[derive(Debug)]
pub(super) struct History {
    side: Side,
    runs: Vec<Run>,
    asked: u64,
    answered: u64,
    present: Option<Present>,
    longest_ms: u64,
    hidden: Vec<Silence>,
}

/// The QEMU that is there.
#[derive(Debug, Clone, Copy)]
struct Present {
    /// Its last word, or when it was found.
    last_word_us: u64,
    /// The last time at which it owed an answer.
    owed_us: u64,
    /// Whether it has answered since it was found.
    answered: bool,
}

impl Present {
    fn silence(&self, side: Side, to_us: u64) -> Silence {
        Silence { side, from_unix_ms: self.last_word_us / 1_000, to_unix_ms: to_us / 1_000 }
    }
}

impl History {
    pub(super) const fn of(side: Side) -> Self {
        Self {
            side,
            runs: Vec::new(),
            asked: 0,
            answered: 0,
            present: None,
            longest_ms: 0,
            hidden: Vec::new(),
        }
    }

    /// A QEMU took a connection.
    pub(super) fn found(&mut self, at_us: u64) {
        let found = Present { last_word_us: at_us, owed_us: at_us, answered: false };
        self.present.get_or_insert(found);
    }

    /// It was asked at this time. Where nobody is, that counts too.
    pub(super) const fn asked(&mut self) {
        self.asked += 1;
    }

    /// It answered.
    pub(super) fn answer(&mut self, asked_us: u64, at_us: u64, word: Word) {
        self.answered += 1;
        let known = Present { last_word_us: asked_us, owed_us: at_us, answered: false };
        let before = self.present.unwrap_or(known);
        let silence = before.silence(self.side, at_us);
        self.measure(&silence);
        if !before.answered && word != Word::Waits {
            self.hide(silence);
        }
        let last_stop_us = self.runs.last().and_then(|run| run.to_us);
        // An answer can be overtaken by the news of a stop: then it is older than that.
        let is_news = last_stop_us.is_none_or(|stop_us| asked_us > stop_us);
        if word == Word::Runs && !self.runs_now() && is_news {
            // Nobody told that it began to.
            self.begin(if before.answered { asked_us } else { before.last_word_us });
        }
        self.present = Some(Present { last_word_us: at_us, owed_us: at_us, answered: true });
    }

    /// It owes an answer, and has not given it until now.
    pub(super) fn owes(&mut self, at_us: u64) {
        let side = self.side;
        let Some(present) = &mut self.present else { return };
        present.owed_us = at_us;
        let silence = present.silence(side, at_us);
        self.measure(&silence);
    }

    /// It told that the CPUs began to run.
    pub(super) fn resumed(&mut self, at_us: u64) {
        if !self.runs_now() {
            self.begin(at_us);
        }
    }

    /// It told that they stopped.
    pub(super) fn stopped(&mut self, at_us: u64) {
        if !self.runs_now() {
            // It ran when it was found, and has not been asked yet.
            let Some(found) = self.present.filter(|present| !present.answered) else { return };
            self.begin(found.last_word_us);
        }
        self.end(at_us);
    }

    /// It is gone. All that it told was heard before.
    pub(super) fn gone(&mut self, at_us: u64) {
        self.end(at_us);
        let Some(present) = self.present.take() else { return };
        let silence = present.silence(self.side, at_us);
        self.measure(&silence);
        if !present.answered {
            self.hide(silence);
        }
    }

    pub(super) fn runs_now(&self) -> bool {
        self.runs.last().is_some_and(|run| run.to_us.is_none())
    }

    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }

    pub(super) const fn questions(&self) -> u64 {
        self.asked
    }

    pub(super) const fn answers(&self) -> u64 {
        self.answered
    }

    pub(super) const fn longest_silence_ms(&self) -> u64 {
        self.longest_ms
    }

    /// The times in which the CPUs may have run unseen, with the one that lasts.
    pub(super) fn hidden(&self) -> impl Iterator<Item = Silence> + '_ {
        let lasting = self.present.map(|present| present.silence(self.side, present.owed_us));
        self.hidden.iter().copied().chain(lasting)
    }

    fn begin(&mut self, from_us: u64) {
        let not_before = self.runs.last().and_then(|run| run.to_us).unwrap_or(0);
        self.runs.push(Run { from_us: from_us.max(not_before), to_us: None });
    }

    fn end(&mut self, to_us: u64) {
        if let Some(run @ Run { to_us: None, .. }) = self.runs.last_mut() {
            run.to_us = Some(to_us.max(run.from_us + 1));
        }
    }

    fn measure(&mut self, silence: &Silence) {
        self.longest_ms = self.longest_ms.max(silence.length_ms());
    }

    fn hide(&mut self, silence: Silence) {
        if self.hidden.len() < HIDDEN_MAX {
            self.hidden.push(silence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000;

    fn history() -> History {
        History::of(Side::B)
    }

    fn run(from_ms: u64, to_ms: Option<u64>) -> Run {
        Run { from_us: from_ms * MS, to_us: to_ms.map(|to| to * MS) }
    }

    fn hidden_ms(history: &History) -> Vec<u64> {
        history.hidden().map(|silence| silence.length_ms()).filter(|length| *length > 0).collect()
    }

    /// Starts and stops count from when they happened, however late an answer comes, and the silence hides nothing.
    #[test]
    fn what_happens_in_a_silence_is_told() {
        let mut history = history();
        history.found(0);
        history.answer(0, MS, Word::Waits);
        history.owes(400 * MS);
        history.resumed(300 * MS);
        history.stopped(350 * MS);
        history.resumed(900 * MS);
        history.answer(4 * MS, 1_000 * MS, Word::Runs);
        assert_eq!(history.runs(), [run(300, Some(350)), run(900, None)]);
        assert_eq!(history.longest_silence_ms(), 999);
        assert_eq!(hidden_ms(&history), [1_u64; 0]);
    }

    /// One that ran before it spoke ran since it was found, and the time before its first word hides what it did; one that is
    /// waiting for its guest has done nothing.
    #[test]
    fn nobody_knows_what_was_before_the_first_word() {
        for (word, runs, hidden) in [
            (Word::Runs, vec![run(100, None)], vec![600]),
            (Word::Stopped, vec![], vec![600]),
            (Word::Waits, vec![], vec![]),
        ] {
            let mut history = history();
            history.found(100 * MS);
            history.owes(600 * MS);
            history.found(650 * MS);
            history.answer(650 * MS, 700 * MS, word);
            assert_eq!((history.runs(), hidden_ms(&history)), (&runs[..], hidden), "{word:?}");
        }
        let mut told = history();
        told.found(100 * MS);
        told.stopped(150 * MS);
        assert_eq!(told.runs(), [run(100, Some(150))]);
    }

    /// Who goes without a word since it was found may have done anything; who goes later ends its run.
    #[test]
    fn who_goes_has_stopped() {
        let mut silent = history();
        silent.found(100 * MS);
        silent.gone(700 * MS);
        assert_eq!(hidden_ms(&silent), [600]);
        let mut known = history();
        known.found(100 * MS);
        known.answer(100 * MS, 101 * MS, Word::Runs);
        known.owes(500 * MS);
        known.gone(700 * MS);
        known.gone(750 * MS);
        assert_eq!((known.runs(), hidden_ms(&known)), (&[run(100, Some(700))][..], vec![1]));
        assert_eq!(known.longest_silence_ms(), 599);
    }

    /// One that owes an answer at the end is not known from its last word on.
    #[test]
    fn an_answer_that_is_owed_is_a_silence_that_lasts() {
        let mut history = history();
        history.found(0);
        history.answer(0, 0, Word::Stopped);
        history.owes(501 * MS);
        assert_eq!(hidden_ms(&history), [501]);
        history.answer(MS, 502 * MS, Word::Stopped);
        assert_eq!(hidden_ms(&history), [1_u64; 0]);
    }

    /// An answer that contradicts what was told is believed: it runs.
    #[test]
    fn an_answer_counts_without_a_word_before() {
        let mut history = history();
        history.found(0);
        history.answer(0, MS, Word::Stopped);
        history.answer(4 * MS, 5 * MS, Word::Runs);
        assert_eq!(history.runs(), [run(4, None)]);
    }

    /// An answer that the news of a stop has overtaken says what was before; one to a question behind it is believed.
    #[test]
    fn an_answer_may_be_older_than_a_stop() {
        for (asked_ms, runs) in [(10, vec![run(1, Some(10))]), (11, vec![run(1, Some(10)), run(11, None)])] {
            let mut history = history();
            history.found(MS);
            history.answer(MS, MS, Word::Runs);
            history.stopped(10 * MS);
            history.answer(asked_ms * MS, 12 * MS, Word::Runs);
            assert_eq!(history.runs(), runs, "asked at {asked_ms}");
        }
    }
}
