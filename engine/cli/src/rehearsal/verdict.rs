//! The verdict: what must hold, and whether it does. Pure.

use std::net::Ipv4Addr;

use longhaul_lab::addresses::{GUEST, GUEST_AT_B};
use longhaul_lab::place::Side;

use super::evidence::Evidence;
use crate::errors::{Failure, Result};
use crate::exit_code;

/// The least share of the allocated bytes that must be absent at the hand-over, in per cent: else reads through the
/// WAN were not needed and the demo would show less than it says.
const ABSENT_PERCENT_MIN: u64 = 10;

/// What a request may be late around the client's longest gap and still be put down to the pause: a lost first packet
/// is sent again after one second, a second time after three.
const AROUND_PAUSE_MS: u64 = 3_000;

/// One thing that must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) what: &'static str,
    pub(crate) holds: bool,
    /// What was seen.
    pub(crate) seen: String,
}

/// What must hold of every move that a client watched by its ticker.
pub(crate) fn judge_move(evidence: &Evidence) -> Vec<Check> {
    vec![
        run_succeeded(evidence),
        exactly_one(evidence),
        runs_at_b(evidence),
        gone_at_a(evidence),
        connection(evidence),
        guest(evidence),
        answers(evidence),
        independent(evidence),
    ]
}

/// Every check of the demo, which also makes requests by name and hands over before the whole disk is there.
pub(crate) fn judge(evidence: &Evidence) -> Vec<Check> {
    let mut checks = judge_move(evidence);
    checks.extend([requests(evidence), absent(evidence), read_through(evidence)]);
    checks
}

/// What must hold of a move that was given up before its hand-over, and that a client watched.
pub(crate) fn judge_stayed(evidence: &Evidence) -> Vec<Check> {
    vec![
        run_unwound(evidence),
        exactly_one(evidence),
        runs_at_a(evidence),
        gone_at_b(evidence),
        connection(evidence),
        guest(evidence),
        answers_a(evidence),
    ]
}

/// Fails, as `failed` says it, with every check that does not hold.
pub(crate) fn require(checks: &[Check], failed: &str) -> Result<()> {
    let red = checks.iter().filter(|check| !check.holds);
    let red: Vec<_> = red.map(|check| format!("not so: {}: {}", check.what, check.seen)).collect();
    if red.is_empty() {
        Ok(())
    } else {
        Err(Failure::said(exit_code::CHECK_FAILED, format!("{failed}: {}", red.join("; "))))
    }
}

fn check(what: &'static str, holds: bool, seen: impl Into<String>) -> Check {
    Check { what, holds, seen: seen.into() }
}

fn run_succeeded(evidence: &Evidence) -> Check {
    check("the run succeeded", evidence.code == Some(exit_code::OK.into()), exit(evidence))
}

fn run_unwound(evidence: &Evidence) -> Check {
    check("the run undid what it had done", evidence.code == Some(exit_code::FAILED.into()), exit(evidence))
}

fn exit(evidence: &Evidence) -> String {
    evidence.code.map_or_else(|| "not over in time".to_owned(), |code| format!("exit code {code}"))
}

fn exactly_one(evidence: &Evidence) -> Check {
    let view = &evidence.observer;
    let seen = format!(
        "{} looks, {} with two running, {} with two writers",
        view.rounds,
        view.second_runner.len(),
        view.second_writer.len()
    );
    check("exactly one copy ran at every instant", view.exactly_one(), seen)
}

fn runs_at_b(evidence: &Evidence) -> Check {
    let seen = evidence.observer.runs_at.map_or("nowhere", Side::as_str);
    check("the guest runs at b", evidence.observer.runs_at == Some(Side::B), seen)
}

fn runs_at_a(evidence: &Evidence) -> Check {
    let seen = evidence.observer.runs_at.map_or("nowhere", Side::as_str);
    check("the guest runs at a", evidence.observer.runs_at == Some(Side::A), seen)
}

fn gone_at_b(evidence: &Evidence) -> Check {
    let seen = if evidence.left_at_b { "a QEMU is left there" } else { "no QEMU there" };
    check("nothing is left at b", !evidence.left_at_b, seen)
}

fn gone_at_a(evidence: &Evidence) -> Check {
    let seen = if evidence.left_at_a { "a QEMU is left there" } else { "no QEMU there" };
    check("the guest is gone at a", !evidence.left_at_a, seen)
}

fn connection(evidence: &Evidence) -> Check {
    let view = &evidence.client;
    let seen = format!(
        "{} lines, {} missing, {} twice, {} resets; longest gap {} ms",
        view.lines, view.missing, view.duplicates, view.resets, view.longest_gap_ms
    );
    check("the client's connection lived through it", view.connection_intact(), seen)
}

/// Requests may fail only while the guest stood still, as the same client saw it.
fn requests(evidence: &Evidence) -> Check {
    let view = &evidence.client;
    let (from, until) = (
        view.gap_at_unix_ms.saturating_sub(AROUND_PAUSE_MS),
        view.gap_at_unix_ms + view.longest_gap_ms + AROUND_PAUSE_MS,
    );
    let outside = view.failures.iter().find(|f| f.at_unix_ms + f.took_ms < from || f.at_unix_ms > until);
    let all_told = u64::try_from(view.failures.len()).is_ok_and(|told| told >= view.failed_requests);
    let seen = match outside {
        Some(failure) => format!("one failed outside the pause: {}", failure.what),
        None => format!("{} of {} failed, inside the pause", view.failed_requests, view.requests),
    };
    let holds = view.requests > view.failed_requests && outside.is_none() && all_told;
    check("requests by name succeeded except in the pause", holds, seen)
}

fn guest(evidence: &Evidence) -> Check {
    let (holds, seen) = match &evidence.guest {
        Some(found) => (
            found.good() && found.disk_checked > 0,
            format!(
                "{} of {} pages and {} of {} disk records wrong",
                found.memory_bad, found.memory_checked, found.disk_bad, found.disk_checked
            ),
        ),
        None => (false, "the guest does not answer".to_owned()),
    };
    check("no page and no write of the guest was lost", holds, seen)
}

fn absent(evidence: &Evidence) -> Check {
    let moved = evidence.said.moved.as_ref();
    let percent = moved.and_then(|m| m.absent_bytes.saturating_mul(100).checked_div(m.allocated_bytes));
    let seen = percent.map_or_else(|| "not known".to_owned(), |percent| format!("{percent} %"));
    let holds = percent.is_some_and(|percent| percent >= ABSENT_PERCENT_MIN);
    check("at least 10 % of the disk came after the hand-over", holds, seen)
}

/// The guest's own reads reached through the WAN for what was absent, and got the right bytes.
fn read_through(evidence: &Evidence) -> Check {
    let reads = evidence.said.disk.as_ref().map_or(0, |disk| disk.demand_reads);
    let (good, read) = match evidence.cold_read {
        Some(tails) => (
            tails.bad == 0 && tails.bytes > 0,
            format!("{} KiB all over its disk in {} ms", tails.bytes >> 10, tails.took_ms),
        ),
        None => (false, "nothing read".to_owned()),
    };
    check("the guest read through the WAN", good && reads > 0, format!("{read}, {reads} reads on demand"))
}

fn answers(evidence: &Evidence) -> Check {
    let (holds, seen) = everywhere(evidence, GUEST_AT_B);
    check("DNS answers b at both sites", holds, seen)
}

fn answers_a(evidence: &Evidence) -> Check {
    let (holds, seen) = everywhere(evidence, GUEST);
    check("DNS answers a at both sites", holds, seen)
}

/// Whether every site's DNS server answers this address, and what each says.
fn everywhere(evidence: &Evidence, wanted: Ipv4Addr) -> (bool, String) {
    let said = evidence.answers.iter().map(|(side, address)| {
        let address = address.map_or_else(|| "nothing".to_owned(), |address| address.to_string());
        format!("{} says {address}", side.as_str())
    });
    let holds = evidence.answers.len() == Side::BOTH.len()
        && evidence.answers.iter().all(|(_, address)| *address == Some(wanted));
    (holds, said.collect::<Vec<_>>().join(", "))
}

fn independent(evidence: &Evidence) -> Check {
    let holds = evidence.guest_alone.is_some_and(|found| found.good());
    let seen = match evidence.guest_alone {
        Some(_) if holds => "whole disk read with the link cut",
        Some(_) => "with the link cut it answers, and finds losses",
        None => "with the link cut it does not answer",
    };
    check("b needs nothing of a any more", holds, seen)
}

#[cfg(test)]
pub(crate) mod tests {
    use longhaul_lab::client::{ClientView, Failure};
    use longhaul_lab::guest::{Tails, Verification};
    use longhaul_lab::observer::ObserverView;
    use longhaul_saga::report::{DiskProof, MovedVm};

    use super::*;
    use crate::rehearsal::Said;

    pub(crate) fn good() -> Evidence {
        let found = Verification {
            memory_checked: 8192,
            memory_bad: 0,
            disk_checked: 100,
            disk_bad: 0,
            base_bytes_checked: 1,
            base_bad: 0,
            took_ms: 10,
        };
        Evidence {
            code: Some(0),
            client: ClientView {
                longest_gap_ms: 400,
                gap_at_unix_ms: 50_000,
                lines: 1000,
                connections: 1,
                requests: 100,
                ..ClientView::default()
            },
            observer: ObserverView {
                rounds: 9,
                answered: 9,
                runs_at: Some(Side::B),
                ..ObserverView::default()
            },
            cold_read: Some(Tails { bytes: 4096, bad: 0, took_ms: 80 }),
            guest: Some(found),
            guest_alone: Some(found),
            answers: Side::BOTH.map(|side| (side, Some(GUEST_AT_B))).into(),
            left_at_a: false,
            left_at_b: true,
            wire_bytes: 80_000_000,
            said: Said {
                total_ms: Some(10_400),
                independent_ms: Some(21_000),
                moved: Some(MovedVm {
                    vm: "vm-a".into(),
                    target: "b".into(),
                    epoch: 2,
                    predicted_pause_ms: 300,
                    paused_us: 310_400,
                    state_bytes: 40_000_000,
                    absent_bytes: 15,
                    allocated_bytes: 100,
                    runs_at_unix_ms: 50_400,
                }),
                disk: Some(DiskProof {
                    vm: "vm-a".into(),
                    ok: true,
                    root: "ab".into(),
                    extents: 4096,
                    superseded: 3,
                    demand_reads: 5,
                    demand_bytes: 20_480,
                }),
            },
        }
    }

    fn red(evidence: &Evidence) -> Vec<&'static str> {
        judge(evidence).into_iter().filter(|check| !check.holds).map(|check| check.what).collect()
    }

    /// A good move is green, and evidence of nothing is red everywhere but where nothing left behind is right.
    #[test]
    fn good_is_green_and_nothing_is_red() {
        assert_eq!(red(&good()), Vec::<&str>::new());
        assert_eq!(red(&Evidence::default()).len(), judge(&good()).len() - 1);
    }

    /// Each thing that goes wrong turns its own check red and no other.
    #[test]
    fn each_fault_has_its_check() {
        type Breaks = (&'static str, fn(&mut Evidence));
        let broken: [Breaks; 11] = [
            ("the run succeeded", |seen| seen.code = Some(6)),
            ("exactly one copy ran at every instant", |seen| seen.observer.second_runner.push(1)),
            ("the guest runs at b", |seen| seen.observer.runs_at = Some(Side::A)),
            ("the guest is gone at a", |seen| seen.left_at_a = true),
            ("the client's connection lived through it", |seen| seen.client.missing = 1),
            ("requests by name succeeded except in the pause", |seen| {
                seen.client.failed_requests = 1;
                seen.client.failures = vec![Failure { at_unix_ms: 1, took_ms: 5, what: "refused".into() }];
            }),
            ("no page and no write of the guest was lost", |seen| {
                seen.guest = seen.guest.map(|found| Verification { disk_bad: 1, ..found });
            }),
            ("at least 10 % of the disk came after the hand-over", |seen| {
                if let Some(moved) = &mut seen.said.moved {
                    moved.absent_bytes = 9;
                }
            }),
            ("the guest read through the WAN", |seen| seen.cold_read = None),
            ("DNS answers b at both sites", |seen| seen.answers[0].1 = None),
            ("b needs nothing of a any more", |seen| seen.guest_alone = None),
        ];
        for (what, break_it) in broken {
            let mut evidence = good();
            break_it(&mut evidence);
            assert_eq!(red(&evidence), [what]);
        }
    }

    fn stayed() -> Evidence {
        let answers = Side::BOTH.map(|side| (side, Some(GUEST))).into();
        let observer = ObserverView { runs_at: Some(Side::A), ..good().observer };
        Evidence { code: Some(1), observer, answers, left_at_a: true, left_at_b: false, ..good() }
    }

    /// A move that was given up is judged by what it left: each trace of it turns its own check red, and so does a move
    /// that was not given up.
    #[test]
    fn a_move_that_stayed_leaves_nothing() {
        let red = |evidence: &Evidence| {
            let checks = judge_stayed(evidence).into_iter().filter(|check| !check.holds);
            checks.map(|check| check.what).collect::<Vec<_>>()
        };
        assert_eq!(red(&stayed()), Vec::<&str>::new());
        assert_eq!(red(&Evidence { left_at_b: true, ..stayed() }), ["nothing is left at b"]);
        assert_eq!(red(&Evidence { answers: good().answers, ..stayed() }), ["DNS answers a at both sites"]);
        assert_eq!(red(&Evidence { code: Some(0), ..stayed() }), ["the run undid what it had done"]);
        assert_eq!(red(&Evidence { observer: good().observer, ..stayed() }), ["the guest runs at a"]);
    }

    /// A request that failed while the guest stood still is no fault.
    #[test]
    fn a_failure_inside_the_pause_is_allowed() {
        let mut evidence = good();
        evidence.client.failed_requests = 1;
        evidence.client.failures =
            vec![Failure { at_unix_ms: 50_100, took_ms: 5_000, what: "timed out".into() }];
        assert_eq!(red(&evidence), Vec::<&str>::new());
    }
}
