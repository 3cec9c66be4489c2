//! What an operator asks of a run under way: to hold it, to give it up, to leave it as it is.

use longhaul_run::inbox::{Inbox, Message};
use longhaul_run::{Control, Ended, Reporters};
use longhaul_saga::event::How;
use longhaul_saga::{Entry, Event, Intent, Record, Status};

use serde_json::json;

use super::toy::{Rig, pivot, plan, recorded, step};

fn tell(rig: &Rig, message: &Message) {
    let inbox = Inbox::open(rig.journal.directory()).unwrap();
    inbox.put(&"run-a".parse().unwrap(), 1, message).unwrap();
}

fn begun(step: &'static str) -> impl Fn(&Record) -> bool {
    move |record| matches!(&record.entry, Entry::Intent(Intent::Start(it)) if it.step.as_str() == step)
}

fn done(step: &'static str) -> impl Fn(&Record) -> bool {
    move |record| matches!(&record.entry, Entry::Event(Event::Done(it)) if it.step.as_str() == step)
}

fn words(text: &str) -> String {
    text.to_owned()
}

/// What is under way goes on while a run is held, and nothing else begins; neither does it for the next controller. Then it
/// goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_run_begins_nothing() {
    let rig = Rig::new();
    let steps = [step("a", &[], &["await"]), step("b", &["a"], &[])];
    let control = Control::new();
    let run = rig.run_with(plan(&steps), Reporters::new(), &control);
    let hold = async {
        recorded(&rig, begun("a")).await;
        tell(&rig, &Message::Pause { reason: words("lunch") });
        recorded(&rig, |it| matches!(it.entry, Entry::Event(Event::RunPaused(_)))).await;
        rig.world.finish("a");
        recorded(&rig, done("a")).await;
        control.stop();
    };
    let (ended, ()) = tokio::join!(run, hold);
    assert_eq!(ended, Ended::Interrupted);
    let release = async {
        recorded(&rig, |it| matches!(it.entry, Entry::Event(Event::RunResumed(_)))).await;
        assert!(!rig.records().iter().any(begun("b")), "{:?}", rig.records());
        tell(&rig, &Message::Unpause { reason: words("back again") });
    };
    let (ended, ()) = tokio::join!(rig.resume(), release);
    assert_eq!(ended, Ended::At(Status::Succeeded));
    assert_eq!(rig.world.effects(), ["a", "b", "report"]);
}

/// A run that is given up is undone; one that is left stays as it is, and says what that is.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_undone_or_left() {
    let ends = [
        (How::Compensate, Status::Failed, &["report"][..], &[][..]),
        (How::Leave, Status::Partial, &["a", "report"], &["a"]),
    ];
    for (how, status, effects, remains) in ends {
        let rig = Rig::new();
        let steps = [step("a", &[], &[]), step("b", &["a"], &["hang"]), step("c", &["b"], &[])];
        let control = Control::new();
        let run = rig.run_with(plan(&steps), Reporters::new(), &control);
        let give_up = async {
            recorded(&rig, begun("b")).await;
            tell(&rig, &Message::Cancel { how, reason: words("the storm turned away") });
        };
        let (ended, ()) = tokio::join!(run, give_up);
        assert_eq!(ended, Ended::At(status), "{how:?}");
        assert_eq!(rig.world.effects(), effects, "{how:?}");
        let told = rig.records().into_iter().find_map(|record| match record.entry {
            Entry::Intent(Intent::End(end)) => Some(end.instructions),
            _ => None,
        });
        let told: Vec<String> = told.unwrap().into_iter().map(|it| it.step.to_string()).collect();
        assert_eq!(told, remains, "{how:?}");
    }
}

/// A pivot that is under way comes to its end also where a run is left; nothing behind it begins.
#[tokio::test(flavor = "multi_thread")]
async fn a_pivot_is_not_left_half_way() {
    let rig = Rig::new();
    let steps = [pivot(step("move", &[], &["await"])), step("redirect", &["move"], &[])];
    let control = Control::new();
    let run = rig.run_with(plan(&steps), Reporters::new(), &control);
    let leave = async {
        recorded(&rig, begun("move")).await;
        tell(&rig, &Message::Cancel { how: How::Leave, reason: words("enough") });
        recorded(&rig, |it| matches!(it.entry, Entry::Event(Event::CancelRequested(_)))).await;
        rig.world.finish("move");
    };
    let (ended, ()) = tokio::join!(run, leave);
    assert_eq!(ended, Ended::At(Status::Partial));
    assert_eq!(rig.world.effects(), ["move", "report"]);
}

/// A pivot that failed and would be tried again has not happened, and does not happen after the run was left.
#[tokio::test(flavor = "multi_thread")]
async fn a_pivot_is_not_begun_again() {
    let rig = Rig::new();
    let mut hand_over = pivot(step("move", &[], &["transient"]));
    hand_over["body"]["action"]["retry"]["backoff"] =
        json!({ "initial": "1h", "factor": 1, "max": "1h", "full_jitter": false });
    let control = Control::new();
    let run = rig.run_with(plan(&[hand_over]), Reporters::new(), &control);
    let leave = async {
        recorded(&rig, |it| matches!(it.entry, Entry::Event(Event::Failed(_)))).await;
        tell(&rig, &Message::Cancel { how: How::Leave, reason: words("enough") });
    };
    let (ended, ()) = tokio::join!(run, leave);
    assert_eq!(ended, Ended::At(Status::Failed));
    assert_eq!(rig.world.effects(), ["report"]);
}
