//! A disk that fails under the journal, for real: `strace` makes the kernel answer a controller's write or flush with an error, or
//! kills it over one.
//!
//! Every run is judged by its effects in the world, after a second controller has gone on with it.

use std::path::Path;
use std::process::{Command, Stdio};

use longhaul_run::Reader;
use longhaul_saga::Status;

use super::crash::{CHILD, assert_started_only_before_done};
use super::toy::World;

/// What the steps of the child's run leave behind.
const EFFECTS: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "report"];

/// How a controller ended that was disturbed.
struct Disturbed {
    /// It came to the run's end all the same: the disturbance came too late, or did no harm.
    finished: bool,
    said: String,
}

/// Runs the child's controller with this disturbance.
fn disturb(folder: &Path, injection: &str) -> Disturbed {
    let call = injection.split(':').next().unwrap();
    let output = Command::new("strace")
        .args([
            "-f",
            "-qqq",
            "-o",
            "/dev/null",
            "-e",
            &format!("trace={call}"),
            "-e",
            &format!("inject={injection}"),
        ])
        .arg(std::env::current_exe().unwrap())
        .args(["engine::crash::child", "--exact", "--nocapture"])
        .env(CHILD, folder)
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::null())
        .output()
        .unwrap();
    Disturbed {
        finished: output.status.success(),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A second controller, undisturbed, brings the run to its end: every effect is there, none came about twice, and the journal is
/// whole.
fn finish(folder: &Path, injection: &str) {
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["engine::crash::child", "--exact", "--nocapture"])
        .env(CHILD, folder)
        .output()
        .unwrap();
    assert!(done.status.success(), "{injection}: {}", String::from_utf8_lossy(&done.stdout));
    let world = World(folder.join("world"));
    assert_eq!(world.effects(), EFFECTS, "{injection}");
    for file in EFFECTS {
        let did = world.logged().into_iter().filter(|line| *line == format!("did {file}")).count();
        // It says so after the effect is there: a controller that dies between the two has done it once without a word.
        assert!(did <= 1, "{injection}: {file} was done {did} times");
    }
    let reader = Reader::open(&folder.join("controller")).unwrap();
    reader.verify().unwrap();
    let run = "run-a".parse().unwrap();
    assert_eq!(reader.standing(&run).unwrap().status, Status::Succeeded, "{injection}");
    assert_started_only_before_done(&reader.records(&run).unwrap());
}

/// Disturbs a run at one call after the other until it comes through undisturbed, and finishes it each time.
fn sweep(
    calls: impl Iterator<Item = u32>,
    injection: impl Fn(u32) -> String,
    check: impl Fn(&Disturbed, &str),
) {
    if Command::new("strace").arg("--version").stdout(Stdio::null()).status().is_err() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "there is no strace");
        eprintln!("skipped: there is no strace");
        return;
    }
    let mut struck = 0;
    for call in calls {
        let folder = tempfile::tempdir().unwrap();
        let injection = injection(call);
        let disturbed = disturb(folder.path(), &injection);
        if disturbed.finished {
            break;
        }
        struck += 1;
        check(&disturbed, &injection);
        finish(folder.path(), &injection);
    }
    assert!(struck > 10, "only {struck} calls were disturbed");
}

/// A controller that is killed over any flush of its journal, the record being there or not, is resumed.
#[test]
fn killed_over_every_flush() {
    sweep(1.., |call| format!("fdatasync:signal=KILL:when={call}"), |_, _| {});
}

/// The same over writes: in the middle of a commit that takes several.
#[test]
fn killed_over_many_writes() {
    sweep((3..).step_by(5), |call| format!("pwrite64:signal=KILL:when={call}"), |_, _| {});
}

/// A flush that fails stops the controller, which says so and what it was; nothing is flushed again as if nothing had happened, and a
/// later controller goes on.
#[test]
fn a_failed_flush_stops_the_run() {
    let injection = |call| format!("fdatasync:error=EIO:when={call}");
    sweep(1.., injection, |disturbed, injection| {
        assert!(disturbed.said.contains("disk I/O error"), "{injection}: {}", disturbed.said);
    });
}

/// A disk that is full from some moment on stops the controller in good order; once there is room, the run goes on.
#[test]
fn a_full_disk_stops_the_run() {
    let injection = |call| format!("pwrite64:error=ENOSPC:when={call}+");
    sweep((2..).step_by(6), injection, |disturbed, injection| {
        // Before the journal is open, SQLite calls it by another name.
        let is_named =
            ["full", "disk I/O error", "No space left"].iter().any(|word| disturbed.said.contains(word));
        assert!(is_named, "{injection}: {}", disturbed.said);
    });
}
