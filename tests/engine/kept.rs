//! States that are kept beside the records: a run is taken up from the last one.

use longhaul_run::inbox::{Inbox, Message};
use longhaul_run::{Control, Ended, Reporters};
use longhaul_saga::event::Observation;
use longhaul_saga::{Entry, Event, Intent, Status, sha256_hex};
use rusqlite::Connection;
use serde_json::json;

use super::toy::{Rig, plan, recorded, step};

/// A run that was stopped while its second step was under way, with its state kept at every record; before, it was held and let go.
async fn stopped() -> Rig {
    let rig = Rig::keeping_states();
    let steps = [step("a", &[], &[]), step("b", &["a"], &["await"]), step("c", &["b"], &[])];
    let control = Control::new();
    let run = rig.run_with(plan(&steps), Reporters::new(), &control);
    let stop = async {
        let is_begun = |it: &Entry| matches!(it, Entry::Intent(Intent::Start(it)) if it.step.as_str() == "b");
        recorded(&rig, |it| is_begun(&it.entry)).await;
        let inbox = Inbox::open(rig.journal.directory()).unwrap();
        let reason = "a drill".to_owned();
        for message in [Message::Pause { reason: reason.clone() }, Message::Unpause { reason }] {
            inbox.put(&"run-a".parse().unwrap(), 1, &message).unwrap();
        }
        recorded(&rig, |it| matches!(it.entry, Entry::Event(Event::RunUnpaused(_)))).await;
        control.stop();
    };
    let (ended, ()) = tokio::join!(run, stop);
    assert_eq!(ended, Ended::Interrupted);
    // What was to be kept before this is kept when this is durable.
    let (source, payload) = ("test".to_owned(), json!({}));
    let seen = Entry::Event(Event::Observation(Observation { source, payload }));
    rig.journal.append(&"another".parse().unwrap(), 1, vec![seen]).await.unwrap();
    rig
}

/// Changes what is kept behind the journal's back.
fn tamper(rig: &Rig, sql: &str) {
    let db = Connection::open(rig.journal.directory().join("journal.db")).unwrap();
    assert_eq!(db.execute(sql, []).unwrap(), 1, "{sql}");
}

async fn finish(rig: &Rig) {
    rig.world.finish("b");
    assert_eq!(rig.resume().await, Ended::At(Status::Succeeded));
    assert_eq!(rig.world.effects(), ["a", "b", "c", "report"]);
    let messages = rig
        .records()
        .iter()
        .filter(|record| matches!(record.entry, Entry::Event(Event::RunPaused(_))))
        .count();
    assert_eq!(messages, 1, "a message was taken twice");
    rig.reader().verify().unwrap();
}

/// From the state that was kept, few records are read; the run goes on as it would have, and no message is taken twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_taken_up_from_its_state() {
    let rig = stopped().await;
    let run = "run-a".parse().unwrap();
    let taken = rig.reader().take_up(&run).unwrap();
    assert_eq!(taken.message, 2);
    assert!(taken.records.len() <= 2, "{} records were read", taken.records.len());
    assert!(rig.records().len() > 6);
    rig.reader().verify().unwrap();
    finish(&rig).await;
}

/// A state that is damaged, of another form or of a record that was changed is passed over; the records are enough.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_a_shortcut_only() {
    for sql in [
        "UPDATE states SET state = replace(state, 'a drill', 'no drill') || ' '",
        "UPDATE states SET form = form + 1",
        "UPDATE states SET digest = 'ab'",
        "UPDATE states SET seq = seq + 100",
        "DELETE FROM states",
    ] {
        let rig = stopped().await;
        tamper(&rig, sql);
        let taken = rig.reader().take_up(&"run-a".parse().unwrap()).unwrap();
        assert_eq!((taken.records.len(), taken.message), (rig.records().len(), 2), "{sql}");
        finish(&rig).await;
    }
}

/// A state that was made to lie is found by a verification.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_state_is_found() {
    let rig = stopped().await;
    let db = Connection::open(rig.journal.directory().join("journal.db")).unwrap();
    let state: String = db.query_row("SELECT state FROM states", [], |row| row.get(0)).unwrap();
    let lie = state.replacen("\"stops\":0", "\"stops\":7", 1);
    assert_ne!(lie, state);
    let hash = sha256_hex(lie.as_bytes());
    db.execute("UPDATE states SET state = ?1, hash = ?2", [lie, hash]).unwrap();
    let said = rig.reader().verify().unwrap_err().to_string();
    assert!(said.contains("is not the one that its records make"), "{said}");
}
