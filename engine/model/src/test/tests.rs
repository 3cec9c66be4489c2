use super::*;
use crate::source::Source;
use crate::units::Time;

fn read(text: &str) -> (TestFile, Diagnostics) {
    let head = "apiVersion: longhaul/v1\nkind: Test\nworkflow: w.yaml\n";
    TestFile::read(&Document::parse(&Source::new("t.test.yaml", &format!("{head}{text}"))).unwrap())
}

/// Everything that a test file can say is read, and one behaviour is a list of one.
#[test]
fn a_test_file_is_read() {
    let (file, found) = read(
        "cases:\n  - name: a\n    resumes: 2\n    invariants: [ends]\n    mocks:\n      x.y@1: { takes: 3m, undo: { error: { class: auth } } }\n      \
         s: [{ error: { class: transient, code: E7 } }, { unknown: partial }]\n    \
         expect: { status: [failed, partial], after: { b: [a, c] }, effects: none-left, within: 2h }\n    \
         sweep: { error: { at: [s], classes: [unknown], times: 3 }, crash: { at: every-journal-write } }\n",
    );
    assert_eq!(found.to_string(), "");
    let case = &file.cases[0];
    let [whole, listed] = &case.setup.mocks[..] else { panic!("{:?}", case.setup.mocks) };
    assert_eq!(whole.behaviours[0].takes, Some(Time::from_millis(180_000)));
    assert!(matches!(&whole.behaviours[0].undo[..], [BehaviourSpec { outcome: Outcome::Failed(_), .. }]));
    assert!(matches!(listed.behaviours[1].outcome, Outcome::UnknownPartial));
    let orders: Vec<_> =
        case.expect.orders.iter().map(|o| (o.first.value.as_str(), o.then.value.as_str())).collect();
    assert_eq!(orders, [("a", "b"), ("c", "b")]);
    assert!(matches!(case.expect.effects, Some(EffectsSpec::NoneLeft(_))));
    assert_eq!((case.resumes, case.sweep.error.as_ref().unwrap().times), (Some(2), Some(3)));
    assert!(case.sweep.crash.is_some() && case.sweep.twice.is_none());
}

/// What contradicts itself is a mistake at its own key, and every mistake is found.
#[test]
fn contradictions_are_found() {
    let (_, found) = read(
        "cases:\n  - name: a\n    mocks:\n      s: { outputs: {}, error: { class: transient } }\n      t: { unknown: absent, outputs: {} }\n    \
         expect: { refused: [LH0029], status: failed }\n",
    );
    let told: Vec<_> = found.iter().map(|one| (one.code, one.source.slice(one.span))).collect();
    let told_at = [(Code::Malformed, "outputs"), (Code::Malformed, "outputs"), (Code::Malformed, "status")];
    assert_eq!(told, told_at);
}
