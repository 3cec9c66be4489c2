//! The verdict: what must hold, and whether it does. Pure.

use std::net::Ipv4Addr;

use longhaul_lab::addresses::{GUEST, GUEST_AT_B};
use longhaul_lab::client::ClientView;
use longhaul_lab::observer::Silence;
use longhaul_lab::place::Side;

use super::evidence::Evidence;
use crate::errors::{Failure, Result};
use crate::exit_code;

/// The least share of the allocated bytes that must be absent at the hand-over, in per cent: else reads through the
/// WAN were not needed and the demo would show less than it says.
const ABSENT_PERCENT_MIN: u64 = 10;

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
        connection(evidence, Side::B),
        guest(evidence),
        answers(evidence),
        independent(evidence),
    ]
}

/// What must hold of every move that a client watched by its ticker and by requests by name.
pub(crate) fn judge_served_move(evidence: &Evidence) -> Vec<Check> {
    let mut checks = judge_move(evidence);
    checks.extend([requests(evidence), followed(evidence)]);
    checks
}

/// Every check of the demo, which also hands over before the whole disk is there.
pub(crate) fn judge(evidence: &Evidence) -> Vec<Check> {
    let mut checks = judge_served_move(evidence);
    checks.extend([absent(evidence), read_through(evidence)]);
    checks
}

/// What must hold of a move that was given up before its hand-over, and that a client watched.
pub(crate) fn judge_stayed(evidence: &Evidence) -> Vec<Check> {
    vec![
        run_unwound(evidence),
        exactly_one(evidence),
        runs_at_a(evidence),
        gone_at_b(evidence),
        connection(evidence, Side::A),
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
    let [at_a, at_b] = view.disk_answers;
    let [silent_a, silent_b] = view.longest_silence_ms;
    let unseen = view.unseen().map(unseen).unwrap_or_default();
    let seen = format!(
        "{} looks, {} with two running, {} with two writers; {at_a} answers of the disk server at a, {at_b} at b; \
         longest silence of a QEMU {silent_a} ms at a, {silent_b} ms at b{unseen}",
        view.rounds,
        view.second_runner.len(),
        view.second_writer.len()
    );
    check("exactly one copy ran at every instant", view.exactly_one(), seen)
}

fn unseen(silence: &Silence) -> String {
    let (site, length) = (silence.side.as_str(), silence.length_ms());
    format!("; nobody knows what the one at {site} did in {length} ms around a change of place")
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

/// The connection was whole, and still brought lines after the observer had seen the guest at this side.
fn connection(evidence: &Evidence, side: Side) -> Check {
    let view = &evidence.client;
    let arrived = evidence.observer.arrived_at_unix_ms(side);
    let counted_on = arrived.is_some_and(|arrived| view.counted_on_after(arrived));
    let silent = if counted_on || !view.connection_intact() { "" } else { "; it did not count on there" };
    let seen = format!(
        "{} lines, {} missing, {} twice, {} resets; longest gap {} ms{silent}",
        view.lines, view.missing, view.duplicates, view.resets, view.longest_gap_ms
    );
    check("the client's connection lived through it", counted_on, seen)
}

/// Requests succeeded before and after the guest stood still, as the same client saw it, and failed only then.
fn requests(evidence: &Evidence) -> Check {
    let amiss = amiss_with_requests(&evidence.client);
    let holds = amiss.is_none();
    let (failed, all) = (evidence.client.failed_requests, evidence.client.requests);
    let seen = amiss.unwrap_or_else(|| format!("{failed} of {all} failed, inside the pause"));
    check("requests by name succeeded except in the pause", holds, seen)
}

/// None may have failed before the pause began, and of those that failed after it, each must have begun before its end.
fn amiss_with_requests(view: &ClientView) -> Option<String> {
    let Some(pause) = view.ended_gap_unix_ms() else {
        return Some("the silence of the client's connection has no end".to_owned());
    };
    let failures: Vec<_> = view.failures.iter().filter(|failure| failure.is_of_request()).collect();
    let is_outside = |at: u64, took: u64| at + took < pause.start || at >= pause.end;
    if let Some(failure) = failures.iter().find(|it| is_outside(it.at_unix_ms, it.took_ms)) {
        return Some(format!("one failed outside the pause: {}", failure.what));
    }
    if u64::try_from(failures.len()).is_ok_and(|told| told < view.failed_requests) {
        return Some(format!("{} failed, more than were written down", view.failed_requests));
    }
    let before = view.served.first().is_some_and(|served| served.first_at_unix_ms < pause.start);
    let after = view.served.last().is_some_and(|served| served.last_at_unix_ms >= pause.end);
    match (before, after) {
        (true, true) => None,
        (false, _) => Some("none succeeded before the pause".to_owned()),
        (true, false) => Some("none succeeded after the pause".to_owned()),
    }
}

/// The client asked for the name again, and was served at B from then on.
fn followed(evidence: &Evidence) -> Check {
    let turns = evidence.client.served.iter();
    let turns: Vec<_> = turns.map(|turn| format!("{} at {}", turn.requests, turn.address)).collect();
    let seen = if turns.is_empty() { "none succeeded".to_owned() } else { turns.join(", then ") };
    check("requests by name were served at b", evidence.client.followed_to(GUEST_AT_B), seen)
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
    let reads = evidence.said.disk.as_ref().map(|disk| disk.demand_reads);
    let served = match reads {
        Some(reads) => format!("{reads} reads on demand"),
        None => "reads on demand not known, the copy was not proven".to_owned(),
    };
    let (good, read) = match evidence.cold_read {
        Some(samples) => (
            samples.bad == 0 && samples.bytes > 0,
            format!("{} KiB all over its disk in {} ms", samples.bytes >> 10, samples.took_ms),
        ),
        None => (false, "nothing read".to_owned()),
    };
    let through = good && reads.is_some_and(|reads| reads > 0);
    check("the guest read through the WAN", through, format!("{read}, {served}"))
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
    use longhaul_lab::client::{ClientView, Failure, Served};
    use longhaul_lab::guest::{Samples, Verification};
    use longhaul_lab::observer::{Change, ObserverView};
    use longhaul_saga::report::{DiskProof, MovedVm};

    use super::*;
    use crate::rehearsal::Said;

    fn client() -> ClientView {
        let served = |address, from, until| Served {
            address,
            requests: (until - from) / 200,
            first_at_unix_ms: from,
            last_at_unix_ms: until,
        };
        ClientView {
            longest_gap_ms: 400,
            gap_at_unix_ms: 50_000,
            last_line_at_unix_ms: Some(65_000),
            lines: 1000,
            connections: 1,
            requests: 100,
            last_answer: Some(GUEST_AT_B),
            served: vec![served(GUEST, 40_000, 54_800), served(GUEST_AT_B, 55_000, 64_800)],
            ..ClientView::default()
        }
    }

    fn observer() -> ObserverView {
        let changes = [(40_000, Some(Side::A)), (50_010, None), (50_350, Some(Side::B))];
        let changes = changes.map(|(at_unix_ms, runs_at)| Change { at_unix_ms, runs_at });
        ObserverView {
            rounds: 9,
            answered: 9,
            disk_answers: [7, 5],
            changes: changes.into(),
            runs_at: Some(Side::B),
            ..ObserverView::default()
        }
    }

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
            client: client(),
            observer: observer(),
            cold_read: Some(Samples { bytes: 4096, bad: 0, took_ms: 80 }),
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
                    memory_lost: false,
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
        let broken: [Breaks; 16] = [
            ("the run succeeded", |seen| seen.code = Some(6)),
            ("exactly one copy ran at every instant", |seen| seen.observer.second_runner.push(1)),
            ("exactly one copy ran at every instant", |seen| seen.observer.disk_answers[1] = 0),
            ("exactly one copy ran at every instant", |seen| {
                let from_unix_ms = seen.observer.changes[0].at_unix_ms;
                let silence = Silence { side: Side::A, from_unix_ms, to_unix_ms: from_unix_ms + 501 };
                seen.observer.silences.push(silence);
            }),
            ("the guest runs at b", |seen| seen.observer.runs_at = Some(Side::A)),
            ("the guest is gone at a", |seen| seen.left_at_a = true),
            ("the client's connection lived through it", |seen| seen.client.missing = 1),
            ("the client's connection lived through it", |seen| {
                seen.client.last_line_at_unix_ms = Some(50_340);
            }),
            ("requests by name were served at b", |seen| seen.client.last_answer = Some(GUEST)),
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
            ("the guest read through the WAN", |seen| seen.said.disk = None),
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
        let changes = vec![Change { at_unix_ms: 40_000, runs_at: Some(Side::A) }];
        let observer = ObserverView { runs_at: Some(Side::A), changes, ..observer() };
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
        let elsewhere = red(&Evidence { observer: observer(), ..stayed() });
        assert_eq!(elsewhere, ["the guest runs at a", "the client's connection lived through it"]);
    }

    /// A connection that falls silent for ever when the guest moves is no connection that lived, and its silence excuses no
    /// request.
    #[test]
    fn a_stalled_connection_is_red() {
        let mut evidence = good();
        evidence.client.last_line_at_unix_ms = Some(evidence.client.gap_at_unix_ms);
        evidence.client.longest_gap_ms = 15_000;
        evidence.client.failed_requests = 1;
        evidence.client.failures = vec![failure(60_000, 5_000)];
        assert!(evidence.client.connection_intact());
        let stalled =
            ["the client's connection lived through it", "requests by name succeeded except in the pause"];
        assert_eq!(red(&evidence), stalled);
    }

    fn failure(at_unix_ms: u64, took_ms: u64) -> Failure {
        Failure { at_unix_ms, took_ms, what: "timed out".into() }
    }

    /// A request may fail when it was under way while the guest stood still: none may have failed before, and none may have
    /// begun after.
    #[test]
    fn only_a_failure_inside_the_pause_is_allowed() {
        let with = |failures: Vec<Failure>| {
            let failed_requests = failures.len() as u64;
            amiss_with_requests(&ClientView { failed_requests, failures, ..client() })
        };
        for (at, took) in [(50_100, 5_000), (49_000, 1_000), (50_399, 1)] {
            assert_eq!(with(vec![failure(at, took)]), None, "{at}, {took} ms");
        }
        for (at, took) in [(49_000, 999), (50_400, 1), (52_000, 5_000)] {
            assert!(with(vec![failure(50_100, 1), failure(at, took)]).is_some(), "{at}, {took} ms");
        }
        assert!(amiss_with_requests(&ClientView { failed_requests: 1, ..client() }).is_some());
        let ticker = Failure { what: "ticker: reset".into(), ..failure(40_000, 20_000) };
        let of_ticker = ClientView { failed_requests: 1, failures: vec![ticker], ..client() };
        assert!(amiss_with_requests(&of_ticker).is_some(), "the failed request is not told");
        assert_eq!(amiss_with_requests(&ClientView { failed_requests: 0, ..of_ticker }), None);
    }

    /// Requests that succeeded on one side of the pause only prove nothing.
    #[test]
    fn requests_succeed_before_and_after_the_pause() {
        let of = |turn: usize| ClientView { served: vec![client().served.remove(turn)], ..client() };
        let late = amiss_with_requests(&of(1));
        assert_eq!(late.as_deref(), Some("none succeeded before the pause"));
        let mut early = of(0);
        early.served[0].last_at_unix_ms = 50_399;
        assert_eq!(amiss_with_requests(&early).as_deref(), Some("none succeeded after the pause"));
        early.served[0].last_at_unix_ms = 50_400;
        assert_eq!(amiss_with_requests(&early), None);
    }
}
