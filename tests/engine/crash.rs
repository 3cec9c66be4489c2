//! Death of the controller at every record, and at any moment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use longhaul_model::ids::StepPath;
use longhaul_plan::Plan;
use longhaul_run::{Control, Driver, Ended, Journal, Reporter, Reporters, journal};
use longhaul_saga::{Record, Status};
use serde_json::{Value, json};

use super::toy::{DEADLINE, Rig, World, foreach, item_step, pivot, plan, registry, step};

/// Copies the world at every record.
struct Snapshots {
    world: World,
    folder: PathBuf,
    taken: Arc<Mutex<BTreeMap<u64, PathBuf>>>,
}

impl Reporter for Snapshots {
    fn past(&mut self, _: &Record) {}

    fn record(&mut self, record: &Record) {
        let folder = self.folder.join(record.seq.to_string());
        self.world.copy_to(&folder);
        self.taken.lock().unwrap().insert(record.seq, folder);
    }
}

fn about_eight_steps(last: &[&str]) -> Plan {
    plan(&[
        step("check", &[], &[]),
        step("tunnel", &["check"], &["transient"]),
        step("prepare", &["check"], &["lost"]),
        foreach(
            "all",
            &["tunnel", "prepare"],
            &["vm-a", "vm-b"],
            "continue",
            &[item_step("copy", &[], &json!([])), pivot(item_step("go", &["copy"], &json!([])))],
        ),
        step("after", &["all"], last),
    ])
}

fn failing_steps() -> Plan {
    plan(&[
        step("check", &[], &[]),
        step("tunnel", &["check"], &["vanished"]),
        step("prepare", &["check"], &[]),
        foreach(
            "all",
            &["tunnel"],
            &["vm-a", "vm-b"],
            "fail",
            &[item_step("copy", &[], &json!([])), item_step("scan", &["copy"], &json!([]))],
        ),
        step("after", &["all", "prepare"], &["permanent"; 3]),
    ])
}

/// Cut after every record and resumed in the world of that moment, a run ends in the same state, and no step whose
/// success was recorded starts again.
pub(super) async fn sweep(plan: Plan, status: Status) {
    let rig = Rig::new();
    let taken = Arc::default();
    let folder = rig.folder.path().join("snapshots");
    let snapshots = Snapshots { world: rig.world.clone(), folder, taken: Arc::clone(&taken) };
    let ended = rig.run_with(plan, Reporters::new().with(snapshots), &Control::new()).await;
    assert_eq!(ended, Ended::At(status));
    let bundle = rig.reader().bundle(&"run-a".parse().unwrap()).unwrap();
    let snapshots = taken.lock().unwrap().clone();
    assert_eq!(snapshots.len(), bundle.records.len());
    for cut in 1..bundle.records.len() {
        let world = &snapshots[&(cut as u64)];
        resume_from(&bundle.cut(cut), &World(world.clone()), status, &rig.world.effects()).await;
    }
}

async fn resume_from(bundle: &journal::Bundle, world: &World, status: Status, effects: &[String]) {
    let rig = Rig::new();
    let world = world.copy_to(&rig.world.0);
    rig.journal.import(bundle.clone()).await.unwrap();
    let cut = bundle.records.len();
    assert_eq!(rig.resume().await, Ended::At(status), "cut after record {cut}");
    assert_eq!(world.effects(), effects, "cut after record {cut}");
    assert_eq!(world.under_way(), Vec::<String>::new(), "cut after record {cut}");
    for done in recorded_as_done(&bundle.records) {
        let again = format!("start {done} ");
        let started = world.logged().into_iter().find(|line| line.starts_with(&again));
        assert_eq!(started, None, "cut after record {cut}: a finished step started again");
    }
    rig.reader().verify().unwrap();
}

/// The files of the steps that had succeeded.
fn recorded_as_done(stored: &[journal::Stored]) -> Vec<String> {
    let done = stored.iter().filter(|record| record.header.kind == "done");
    done.map(|record| record.header.payload["outputs"]["file"].as_str().unwrap().to_owned()).collect()
}

/// A run that succeeds survives a cut after every record.
#[tokio::test(flavor = "multi_thread")]
async fn a_success_survives_a_cut_after_every_record() {
    sweep(about_eight_steps(&[]), Status::Succeeded).await;
}

/// A run that unwinds survives a cut after every record.
#[tokio::test(flavor = "multi_thread")]
async fn an_unwind_survives_a_cut_after_every_record() {
    sweep(failing_steps(), Status::Failed).await;
}

/// Names the folder of the child's run.
pub(super) const CHILD: &str = "LONGHAUL_ENGINE_CHILD";

fn slow_plan() -> Plan {
    let slow = |mut step: Value| {
        step["body"]["action"]["with"]["takes_ms"] = json!(15);
        step
    };
    let ids = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let steps: Vec<_> = ids
        .iter()
        .enumerate()
        .map(|(n, id)| slow(step(id, &ids[n.saturating_sub(1)..n], if n == 3 { &["lost"] } else { &[] })))
        .collect();
    plan(&steps)
}

/// Not a test: the controller that the next one kills.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(drive(Path::new(&folder)));
}

async fn drive(folder: &Path) {
    let world = World::new(&folder.join("world"));
    let journal = Journal::open(&folder.join("controller"), 0).unwrap();
    // A state at every record, so that each death meets another one.
    let driver = Driver::new(journal.clone(), registry(&world)).with_states_kept_every(1);
    let run = "run-a".parse().unwrap();
    let (mut reporters, control) = (Reporters::new(), Control::new());
    let known = journal.reader().unwrap().knows(&run).unwrap();
    let ended = if known {
        driver.resume(&run, &mut reporters, &control).await
    } else {
        driver.run(run, slow_plan(), None, &mut reporters, &control).await
    };
    // Killed between the last record and its own end, the run is over already.
    let ended = match ended {
        Ok(ended) => ended,
        Err(longhaul_run::driver::Error::Over { status, .. }) => Ended::At(status),
        Err(error) => panic!("{error:?}"),
    };
    assert_eq!(ended, Ended::At(Status::Succeeded));
}

/// Killed with SIGKILL at random moments and resumed, a run ends well, every effect is there, and no step whose
/// success was durable was started again.
#[test]
fn a_killed_controller_is_resumed() {
    let seed = std::env::var("LONGHAUL_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("LONGHAUL_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let mut kills = 0;
    while !run_child(folder.path(), Duration::from_millis(random.u64(5..160))) {
        kills += 1;
        assert!(began.elapsed() < DEADLINE, "no end after {kills} kills");
    }
    println!("killed {kills} times");
    let world = World(folder.path().join("world"));
    assert_eq!(world.effects(), ["a", "b", "c", "d", "e", "f", "g", "h", "report"]);
    let reader = longhaul_run::Reader::open(&folder.path().join("controller")).unwrap();
    reader.verify().unwrap();
    let records = reader.records(&"run-a".parse().unwrap()).unwrap();
    assert_started_only_before_done(&records);
}

/// Runs the child for so long at most; whether it ended by itself.
fn run_child(folder: &Path, patience: Duration) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["engine::crash::child", "--exact", "--nocapture"])
        .env(CHILD, folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + patience;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "the child failed by itself");
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap().success()
}

pub(super) fn assert_started_only_before_done(records: &[Record]) {
    use longhaul_saga::{Answer, Entry, Event, Intent};
    let mut done: Vec<StepPath> = Vec::new();
    for record in records {
        match &record.entry {
            Entry::Event(Event::Done(event)) => done.push(event.step.clone()),
            Entry::Event(Event::Probed(event)) if matches!(event.answer, Answer::Done(_)) => {
                done.push(event.step.clone());
            }
            Entry::Intent(Intent::Start(start)) => {
                assert!(!done.contains(&start.step), "{} was started again", start.step);
            }
            _ => {}
        }
    }
}
