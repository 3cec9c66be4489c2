//! `kill -9` at any instant, of the binary as an operator starts it: judged by the files that its steps write, not by its journal.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::Signal;

use crate::controller::{Controller, end, said, signal};

/// So many processes are killed if `LONGHAUL_KILLS` does not say otherwise.
const KILLS: u32 = 30;

/// Files of the steps beside each other, and of items.
const FILES: u32 = 4;

/// A run whose steps write files, in a chain and item by item. The last step of one that is to fail cannot write its own.
fn workflow(fails: bool) -> String {
    let mut text =
        String::from("apiVersion: longhaul/v1\nkind: Workflow\nname: files\nversion: 1.0.0\nsteps:\n");
    for number in 1..=FILES {
        let needs = if number > 1 { format!("[s{}]", number - 1) } else { "[]".to_owned() };
        writeln!(
            text,
            "  s{number}: {{ uses: report.write@1, needs: {needs}, with: {{ to: out/s{number} }} }}"
        )
        .unwrap();
    }
    let items: Vec<String> = (1..=FILES).map(|number| format!("\"i{number}\"")).collect();
    writeln!(
        text,
        "  each:\n    foreach: ${{{{ [{}] }}}}\n    as: vm\n    max_parallel: 2",
        items.join(", ")
    )
    .unwrap();
    text += "    steps:\n      w: { uses: report.write@1, with: { to: \"out/${{ vm }}\" } }\n";
    if fails {
        writeln!(
            text,
            "  last: {{ uses: report.write@1, needs: [each, s{FILES}], with: {{ to: /proc/none/x }} }}"
        )
        .unwrap();
    }
    text
}

/// Every file that a run leaves that goes well.
fn wanted() -> BTreeSet<String> {
    let names = (1..=FILES).flat_map(|number| [format!("s{number}"), format!("i{number}")]);
    names.flat_map(|name| [format!("{name}.html"), format!("{name}.txt")]).collect()
}

/// The files that are there; each whole, and of this run.
fn files(controller: &Controller, run: &str) -> BTreeSet<String> {
    let Ok(folder) = std::fs::read_dir(controller.path("out")) else { return BTreeSet::new() };
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.unwrap();
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let name = entry.file_name().into_string().unwrap();
        assert!(text.contains(run), "{name} is not of run {run}");
        assert!(name.ends_with(".txt") || text.trim_end().ends_with("</html>"), "{name} is not whole");
        name
    };
    folder.map(name).collect()
}

/// Lets it go on until this instant, unless it ends before; whether it was killed.
fn kill_at(mut child: Child, instant: Instant) -> bool {
    while Instant::now() < instant {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        // The instant is what is drawn; nothing signals it.
        std::thread::sleep(Duration::from_micros(500));
    }
    let lives = child.try_wait().unwrap().is_none();
    if lives {
        signal(&child, Signal::KILL);
    }
    end(child);
    lives
}

/// Runs are killed at instants drawn over their whole length, again and again, and taken up again. One that goes well leaves each of
/// its files, whole, and nothing else; one that fails in the end leaves none.
#[test]
fn kills_at_any_instant_leave_what_was_promised() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("LONGHAUL_SEED").unwrap_or_else(|| fastrand::u64(..1 << 40));
    let kills = number("LONGHAUL_KILLS").map_or(KILLS, |kills| u32::try_from(kills).unwrap());
    println!("LONGHAUL_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let controller = Controller::with(&[("well.yaml", &workflow(false)), ("fails.yaml", &workflow(true))]);
    let began = Instant::now();
    said(&controller, &["run", "well.yaml", "--id", "undisturbed"], 0);
    let length = began.elapsed();
    assert_eq!(files(&controller, "undisturbed"), wanted());

    let (mut killed, mut runs) = (0, 0);
    while killed < kills {
        let _ = std::fs::remove_dir_all(controller.path("out"));
        runs += 1;
        let (run, fails) = (format!("run-{runs}"), runs % 2 == 0);
        let file = if fails { "fails.yaml" } else { "well.yaml" };
        let mut arguments = vec!["run", file, "--id", &run];
        loop {
            let instant = Instant::now() + length.mul_f64(rng.f64());
            if !kill_at(controller.start(&arguments, Stdio::null()), instant) {
                break;
            }
            killed += 1;
            // Killed before its first record it has never been.
            if controller.status(&run).is_some_and(|code| code != 2 && code != 1)
                || controller.path("out").exists()
            {
                arguments = vec!["resume", &run];
            }
        }
        let ended = controller.status(&run);
        assert_eq!(ended, Some(i32::from(fails)), "{run}: {}", controller.said());
        let left = if fails { BTreeSet::new() } else { wanted() };
        assert_eq!(files(&controller, &run), left, "{run}");
    }
    said(&controller, &["journal", "verify"], 0);
    println!("{killed} kills in {runs} runs, each of {length:?} undisturbed");
}
