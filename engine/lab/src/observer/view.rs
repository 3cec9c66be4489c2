//! What an observer saw, and what that proves.

use serde::{Deserialize, Serialize};

use super::SILENCE_MAX;
use super::history::{History, Run};
use crate::place::Side;

/// How far from a change of place a silence matters.
const NEAR_MS: u64 = 3_000;
/// Changes kept, and instants with two.
const CHANGES_MAX: usize = 1_000;

/// What an observer saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObserverView {
    /// Questions to hypervisors, whether one was there or not.
    pub rounds: u64,
    /// Those that were answered.
    pub answered: u64,
    /// When two copies began to run at the same time, milliseconds since the epoch; the first instants of that kind.
    #[serde(rename = "second_runner_at_unix_ms")]
    pub second_runner: Vec<u64>,
    /// When writers wrote at both disk servers between two looks, or one might write at the server with the lower epoch after
    /// another one had written at the server with the higher one.
    #[serde(rename = "second_writer_at_unix_ms")]
    pub second_writer: Vec<u64>,
    /// Answers of each disk server about its writers, A first.
    #[serde(default)]
    pub disk_answers: [u64; 2],
    /// The longest time without an answer from a hypervisor that was there, A first.
    #[serde(default)]
    pub longest_silence_ms: [u64; 2],
    /// The times, longer than is borne around a change of place, in which nobody knows what a hypervisor did.
    #[serde(default)]
    pub silences: Vec<Silence>,
    /// Where the VM ran, by turns.
    pub changes: Vec<Change>,
    /// Where it ran last.
    pub runs_at: Option<Side>,
}

/// Where a VM began to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When.
    pub at_unix_ms: u64,
    /// Where; `None` for nowhere.
    pub runs_at: Option<Side>,
}

/// A time in which nobody knows what a QEMU did that was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Where.
    pub side: Side,
    /// When it was found, or its last answer where it never gave another one.
    pub from_unix_ms: u64,
    /// Its first answer, its end, or the last question that it left open.
    pub to_unix_ms: u64,
}

impl Silence {
    /// How long it was, milliseconds.
    #[must_use]
    pub const fn length_ms(&self) -> u64 {
        self.to_unix_ms.saturating_sub(self.from_unix_ms)
    }

    /// Whether a part of it is close to an instant.
    const fn is_near(&self, at_unix_ms: u64) -> bool {
        self.from_unix_ms <= at_unix_ms.saturating_add(NEAR_MS)
            && at_unix_ms <= self.to_unix_ms.saturating_add(NEAR_MS)
    }
}

impl ObserverView {
    /// What both sites' hypervisors told, A first. Writers are not in it.
    pub(super) fn of(sites: &[History; 2]) -> Self {
        let mut view = Self {
            rounds: sites.iter().map(History::questions).sum(),
            answered: sites.iter().map(History::answers).sum(),
            longest_silence_ms: sites.each_ref().map(History::longest_silence_ms),
            ..Self::default()
        };
        let too_long = |silence: &Silence| u128::from(silence.length_ms()) > SILENCE_MAX.as_millis();
        view.silences = sites.iter().flat_map(History::hidden).filter(too_long).collect();
        view.go_through(sites.each_ref().map(History::runs));
        view
    }

    /// Goes through all starts and stops in the order of their times.
    fn go_through(&mut self, runs: [&[Run]; 2]) {
        // One that stops in the microsecond in which another one starts does not run beside it.
        let mut turns: Vec<(u64, bool, Side)> = Vec::new();
        for (side, runs) in Side::BOTH.into_iter().zip(runs) {
            turns.extend(runs.iter().map(|run| (run.from_us, true, side)));
            turns.extend(runs.iter().filter_map(|run| Some((run.to_us?, false, side))));
        }
        turns.sort_unstable_by_key(|(at_us, starts, _)| (*at_us, *starts));
        let mut running = [false; 2];
        for (at_us, starts, side) in turns {
            running[usize::from(side == Side::B)] = starts;
            let at_unix_ms = at_us / 1_000;
            if running == [true; 2] && self.second_runner.len() < CHANGES_MAX {
                self.second_runner.push(at_unix_ms);
            }
            self.ran(at_unix_ms, runs_at(running));
        }
    }

    fn ran(&mut self, at_unix_ms: u64, runs_at: Option<Side>) {
        if runs_at == self.runs_at {
            return;
        }
        self.runs_at = runs_at;
        if self.changes.len() < CHANGES_MAX {
            self.changes.push(Change { at_unix_ms, runs_at });
        }
    }

    /// Whether something was seen, and never two at once: neither two hypervisors that ran, nor two writers, nor a time around
    /// a change of place in which there could have been two unseen.
    #[must_use]
    pub fn exactly_one(&self) -> bool {
        self.answered > 0
            && self.unseen().is_none()
            && self.writers_seen()
            && self.second_runner.is_empty()
            && self.second_writer.is_empty()
    }

    /// The first time around a change of place in which nobody knows for too long what a hypervisor did.
    #[must_use]
    pub fn unseen(&self) -> Option<&Silence> {
        let near = |silence: &&Silence| self.changes.iter().any(|change| silence.is_near(change.at_unix_ms));
        self.silences.iter().find(near)
    }

    /// Whether the disk server of every site where the VM ran has answered.
    fn writers_seen(&self) -> bool {
        let ran_at = |side| self.changes.iter().any(|change| change.runs_at == Some(side));
        Side::BOTH.into_iter().zip(self.disk_answers).all(|(side, answers)| answers > 0 || !ran_at(side))
    }

    /// When the VM began to run where it runs; `None` unless that is this side.
    #[must_use]
    pub fn arrived_at_unix_ms(&self, side: Side) -> Option<u64> {
        self.changes.last().filter(|change| change.runs_at == Some(side)).map(|change| change.at_unix_ms)
    }
}

/// Where the VM runs, A before B where both run it.
pub(super) const fn runs_at(running: [bool; 2]) -> Option<Side> {
    match running {
        [true, _] => Some(Side::A),
        [false, true] => Some(Side::B),
        [false, false] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::Word;
    use super::*;

    const MS: u64 = 1_000;

    /// A guest that runs at A from the time 1 ms on, and a target that waits for it.
    fn before_a_move() -> [History; 2] {
        let mut sites = Side::BOTH.map(History::of);
        for (site, word) in sites.iter_mut().zip([Word::Runs, Word::Waits]) {
            site.found(MS);
            site.answer(MS, MS, word);
        }
        sites
    }

    fn seen(sites: &[History; 2]) -> ObserverView {
        ObserverView { disk_answers: [1, 1], ..ObserverView::of(sites) }
    }

    fn places(view: &ObserverView) -> Vec<(u64, Option<Side>)> {
        view.changes.iter().map(|change| (change.at_unix_ms, change.runs_at)).collect()
    }

    /// A hand-over is a change of place and no second runner, in whatever order the observer's threads come to hear of it.
    #[test]
    fn a_hand_over_is_not_a_second_runner() {
        let mut sites = before_a_move();
        sites[1].resumed(10_000 * MS);
        sites[0].stopped(9_000 * MS);
        let view = seen(&sites);
        assert!(view.exactly_one(), "{view:?}");
        assert_eq!(places(&view), [(1, Some(Side::A)), (9_000, None), (10_000, Some(Side::B))]);
        assert_eq!(
            (view.arrived_at_unix_ms(Side::A), view.arrived_at_unix_ms(Side::B)),
            (None, Some(10_000))
        );
        assert_eq!((view.rounds, view.answered), (0, 2));
    }

    /// Two that ran together for a microsecond are seen; two that took turns in the same one did not.
    #[test]
    fn two_running_copies_are_seen() {
        for (stopped_us, together) in [(10_000_001, vec![10_000]), (10_000_000, vec![])] {
            let mut sites = before_a_move();
            sites[1].resumed(10_000_000);
            sites[0].stopped(stopped_us);
            let view = seen(&sites);
            assert_eq!(view.second_runner, together);
            assert_eq!(view.exactly_one(), together.is_empty());
        }
        let mut sites = before_a_move();
        sites[1].resumed(10_000 * MS);
        assert_eq!(seen(&sites).second_runner, [10_000]);
        // One that is woken again afterwards is a second one too.
        sites[0].stopped(9_000 * MS);
        assert_eq!(seen(&sites).second_runner, [0_u64; 0]);
        sites[0].resumed(12_000 * MS);
        assert_eq!(seen(&sites).second_runner, [12_000]);
    }

    /// An observer that nobody answered has not seen exactly one.
    #[test]
    fn silence_is_no_proof() {
        assert!(!seen(&Side::BOTH.map(History::of)).exactly_one());
    }

    /// A hypervisor of which nobody knows what it did for longer than is borne around a change of place proves nothing; far
    /// from one, or for a shorter time, it does no harm.
    #[test]
    fn a_long_silence_around_a_change_is_no_proof() {
        let moved_at = 100_000;
        let with = |from_ms: u64, to_ms: u64| {
            let mut sites = before_a_move();
            sites[0].stopped((moved_at - 300) * MS);
            sites[1].resumed(moved_at * MS);
            sites[0].gone((moved_at - 250) * MS);
            sites[0].found(from_ms * MS);
            sites[0].gone(to_ms * MS);
            seen(&sites)
        };
        for (from, to) in [(99_800, 100_300), (50_000, 52_000), (95_500, 96_600), (103_100, 104_000)] {
            let view = with(from, to);
            assert!(view.exactly_one(), "{view:?}");
        }
        for (from, to) in [(99_800, 100_301), (90_000, 110_000), (96_000, 97_000), (103_000, 104_000)] {
            let view = with(from, to);
            assert_eq!(
                view.unseen(),
                Some(&Silence { side: Side::A, from_unix_ms: from, to_unix_ms: to }),
                "{view:?}"
            );
            assert!(!view.exactly_one());
        }
    }

    /// Where the VM ran, its disk server has to have said who writes.
    #[test]
    fn a_silent_disk_server_is_no_proof() {
        let mut sites = before_a_move();
        let said =
            |sites: &[History; 2], disk_answers| ObserverView { disk_answers, ..ObserverView::of(sites) };
        assert!(!said(&sites, [0, 1]).exactly_one());
        assert!(said(&sites, [1, 0]).exactly_one());
        sites[0].stopped(2 * MS);
        sites[1].resumed(3 * MS);
        assert!(!said(&sites, [1, 0]).exactly_one());
        assert!(said(&sites, [1, 1]).exactly_one());
    }

    /// Two writers are seen although one copy runs at a time.
    #[test]
    fn two_writers_are_no_proof() {
        let view = ObserverView { second_writer: vec![2], ..seen(&before_a_move()) };
        assert!(!view.exactly_one());
    }
}
