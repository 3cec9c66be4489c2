//! Where the sweep happens: a lab with a fast link and the small guest, and what can be done to its processes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use longhaul_dataplane::edge::tap_name;
use longhaul_lab::place::{Place, Side};
use longhaul_lab::wan::{Link, LinkChange};
use longhaul_lab::{Lab, UpOptions};
use longhaul_model::units::{Bandwidth, Size, Time};
use serde_json::Value;

use super::gate::Gate;
use super::guest::{self, Marks};
use super::processes::{self, SOON, wait};
use crate::moves::rig::{binary, state};

const WORKFLOW: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/moves/small/move.yaml");

/// At this rate the guest's disk takes eight seconds.
const SLOW: Bandwidth = Bandwidth::from_bits_per_second(4_000_000);
const FAST: Bandwidth = Bandwidth::from_bits_per_second(1_000_000_000);

/// A lab, gone when dropped.
pub(in crate::moves) struct Ground {
    pub(in crate::moves) lab: Lab,
    pub(in crate::moves) gate: Gate,
    name: String,
}

/// One site's word on the VM.
#[derive(Debug, Clone, Default)]
pub(in crate::moves) struct Word {
    pub(in crate::moves) owner: bool,
    pub(in crate::moves) state: String,
    /// The run that moves it; empty when none does.
    pub(in crate::moves) moving: String,
}

impl Ground {
    pub(in crate::moves) fn new(name: &str) -> Self {
        let folder = state().join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let gate = folder.join("gate");
        let mut options = UpOptions::new(&state()).unwrap();
        options.name = name.parse().unwrap();
        options.binary = binary();
        options.link = Link {
            rate: FAST,
            delay: Time::from_millis(1),
            loss: 0.0,
            queue: Size::from_bytes(4 << 20),
            seed: 1,
        };
        options.agent_arguments = vec!["--fault-points".into(), gate.clone().into()];
        let lab = Lab::up(&options).unwrap();
        let ground = Self { lab, gate: Gate::open(&gate), name: name.to_owned() };
        guest::install(&ground.lab).unwrap();
        ground
    }

    fn longhaul(&self, arguments: &[&str]) -> Command {
        self.longhaul_in(&state().join(&self.name), arguments)
    }

    /// A command of the controller whose directory this is.
    fn longhaul_in(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.arg("--state").arg(folder).arg("--sites").arg(self.lab.files().sites());
        command.args(arguments).current_dir(folder).stdin(Stdio::null());
        command
    }

    fn log(&self, run: &str) -> PathBuf {
        state().join(&self.name).join(format!("{run}.log"))
    }

    fn spawn(&self, run: &str, arguments: &[&str]) -> Child {
        let log = File::options().create(true).append(true).open(self.log(run)).unwrap();
        let mut command = self.longhaul(arguments);
        command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }

    /// Starts a move in a process of its own.
    pub(in crate::moves) fn start_move(&self, run: &str, from: Side) -> Child {
        self.start_workflow(WORKFLOW, run, from)
    }

    /// The same with a step before it that copies the disk and keeps the copy, which the move then takes over.
    pub(in crate::moves) fn start_move_of_a_copy(&self, run: &str, from: Side) -> Child {
        let text = std::fs::read_to_string(WORKFLOW).unwrap();
        let steps = "steps:\n  prefetch:\n";
        let (_, prefetch) = text.split_once(steps).expect("the move begins with its prefetch");
        let (prefetch, _) = prefetch.split_once("\n\n").expect("steps are apart");
        let copy = prefetch.replace("until:", "keep: true, until:");
        let kept =
            text.replace(steps, &format!("steps:\n  copy:\n{copy}\n\n  prefetch:\n    needs: [copy]\n"));
        assert!(kept.contains("keep: true"), "{kept}");
        self.start_workflow(&self.write("kept.yaml", &kept), run, from)
    }

    fn start_workflow(&self, file: &str, run: &str, from: Side) -> Child {
        let from_input = format!("from={}", from.as_str());
        let to_input = format!("to={}", from.other().as_str());
        self.spawn(run, &["run", file, "--id", run, "--input", &from_input, "--input", &to_input])
    }

    /// Starts a run of these steps, as they stand below `steps:`.
    pub(in crate::moves) fn start_steps(&self, run: &str, steps: &str) -> Child {
        let file = self.write_steps(run, steps);
        self.spawn(run, &["run", &file, "--id", run])
    }

    /// Runs them to their end from another controller's directory: its exit code and all it printed.
    pub(in crate::moves) fn run_steps_elsewhere(&self, run: &str, steps: &str) -> (Option<i32>, String) {
        let folder = state().join(&self.name).join("other");
        std::fs::create_dir_all(&folder).unwrap();
        let file = self.write_steps(run, steps);
        said(self.longhaul_in(&folder, &["run", &file, "--id", run]))
    }

    fn write_steps(&self, run: &str, steps: &str) -> String {
        let text = std::fs::read_to_string(WORKFLOW).unwrap();
        let (head, _) = text.split_once("inputs:").expect("the move has inputs");
        let (_, defaults) = text.split_once("\ndefaults:").expect("and defaults");
        let (defaults, _) = defaults.split_once("\nsteps:").expect("and steps");
        let text = format!("{head}defaults:{defaults}\nsteps:{steps}\n");
        self.write(&format!("{run}.yaml"), &text)
    }

    /// Writes a file into the controller's directory; its path.
    fn write(&self, name: &str, text: &str) -> String {
        let file = state().join(&self.name).join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    }

    /// Types a command that has to end with this code; all that it printed.
    pub(in crate::moves) fn types(&self, arguments: &[&str], code: i32) -> String {
        let (ended, said) = said(self.longhaul(arguments));
        assert_eq!(ended, Some(code), "longhaul {}\n{said}", arguments.join(" "));
        said
    }

    /// The copies of disks that the sites keep.
    pub(in crate::moves) fn copies(&self) -> Vec<Value> {
        let said = self.types(&["vm", "copies", "--json"], 0);
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    /// Starts a move of the whole disk whose prefetch has another timeout, and is tried again when it is over.
    pub(in crate::moves) fn start_hasty_move(&self, run: &str, timeout: &str) -> Child {
        let uses = "uses: storage.prefetch@1\n";
        let text = std::fs::read_to_string(WORKFLOW).unwrap();
        let hasty = text.replace(uses, &format!("{uses}    timeout: {timeout}\n"));
        let hasty = hasty.replace("errors: [unreachable]", "errors: [unreachable, transient]");
        let hasty = hasty.replace("present: 0.5", "present: 1");
        assert_eq!(hasty.matches(timeout).count(), text.matches(timeout).count() + 1, "{hasty}");
        assert!(hasty.contains("present: 1 "), "{hasty}");
        self.start_workflow(&self.write("hasty.yaml", &hasty), run, Side::A)
    }

    pub(in crate::moves) fn resume(&self, run: &str) -> Child {
        self.spawn(run, &["resume", run])
    }

    /// What a run printed.
    pub(in crate::moves) fn said(&self, run: &str) -> String {
        std::fs::read_to_string(self.log(run)).unwrap_or_default()
    }

    /// Everything written down about a run.
    pub(in crate::moves) fn records(&self, run: &str) -> Vec<Value> {
        let exported = self.longhaul(&["journal", "export", run]).output().unwrap().stdout;
        String::from_utf8_lossy(&exported)
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// What both sites say of the VM, A first; `None` from one that does not answer.
    pub(in crate::moves) fn words(&self) -> [Option<Word>; 2] {
        let output = self.longhaul(&["vm", "list", "--json"]).output().unwrap();
        let list: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let complete = output.status.success();
        Side::BOTH.map(|side| {
            let rows = list.as_array().map(Vec::as_slice).unwrap_or_default();
            let row = rows.iter().find(|row| row["site"] == side.as_str());
            let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
            let word = row.map(|row| Word {
                owner: row["owner"] == true,
                state: text(row, "state"),
                moving: text(row, "moving_run"),
            });
            word.or_else(|| complete.then(Word::default))
        })
    }

    /// Boots the VM and waits until it has counted.
    pub(in crate::moves) fn boot(&self, side: Side) -> Result<Marks, String> {
        let before = self.marks(side);
        let output =
            self.longhaul(&["vm", "start", self.lab.vm(), "--site", side.as_str()]).output().unwrap();
        if !output.status.success() {
            return Err(format!("the VM does not start: {}", String::from_utf8_lossy(&output.stderr)));
        }
        let up =
            wait(SOON, || self.marks(side).boots > before.boots && self.marks(side).count > before.count);
        let marks = self.marks(side);
        if up && marks.boots == before.boots + 1 {
            Ok(marks)
        } else {
            Err(format!("it did not boot once: {marks:?}"))
        }
    }

    /// Switches the VM off.
    pub(in crate::moves) fn stop(&self, side: Side) {
        let status = self.longhaul(&["vm", "stop", self.lab.vm(), "--site", side.as_str()]).status().unwrap();
        assert!(status.success(), "the VM does not stop");
    }

    pub(in crate::moves) fn image(&self, side: Side) -> PathBuf {
        self.lab.files().agent(side).join("disks").join(format!("{}.raw", self.lab.vm()))
    }

    pub(in crate::moves) fn marks(&self, side: Side) -> Marks {
        guest::marks(&self.image(side))
    }

    /// The guest counts on at a site, and has lost nothing.
    pub(in crate::moves) fn counts_on(&self, side: Side) {
        let before = self.marks(side);
        assert!(wait(SOON, || self.marks(side).count > before.count + 1), "it counts no more at {side:?}");
        assert_eq!(self.marks(side).lost, 0);
    }

    /// What a site has of the VM besides processes: its image, the map of its blocks, its tap.
    pub(in crate::moves) fn belongings(&self, side: Side) -> Vec<String> {
        let disks = self.lab.files().agent(side).join("disks");
        let files = ["raw", "map"].map(|kind| format!("{}.{kind}", self.lab.vm()));
        let mut found: Vec<String> = files.into_iter().filter(|file| disks.join(file).exists()).collect();
        let devices = || std::fs::read_to_string("/proc/thread-self/net/dev");
        let devices = self.lab.netns(Place::Site(side)).run(devices).unwrap().unwrap();
        let tap = tap_name(self.lab.vm());
        if devices.lines().any(|line| line.trim_start().starts_with(&format!("{tap}:"))) {
            found.push(tap);
        }
        found
    }

    pub(in crate::moves) fn processes(&self, side: Side, word: &str) -> usize {
        processes::of(&self.lab, side, word).len()
    }

    /// How many there were to kill.
    pub(in crate::moves) fn kill(&self, side: Side, word: &str) -> Result<usize, String> {
        processes::kill(&self.lab, side, word)
    }

    pub(in crate::moves) fn start_agent(&self, side: Side) -> Result<(), String> {
        self.lab.start_agent(side).map_err(|error| format!("the agent of site {}: {error}", side.as_str()))
    }

    /// Makes the disk take seconds to copy, or next to no time.
    pub(in crate::moves) fn slow(&self, slow: bool) {
        let rate = Some(if slow { SLOW } else { FAST });
        self.lab.link(LinkChange { rate, ..LinkChange::default() }).unwrap();
    }

    /// Cuts the link until it has lost something, and heals it.
    pub(in crate::moves) fn cut(&self, meanwhile: impl FnOnce()) -> Result<(), String> {
        let lost =
            || self.lab.wan().stats().map_or(0, |stats| stats.a_to_b.cut_drops + stats.b_to_a.cut_drops);
        self.lab.cut().map_err(|error| error.to_string())?;
        let before = lost();
        meanwhile();
        let met = wait(SOON, || lost() > before);
        self.lab.heal().map_err(|error| error.to_string())?;
        if met { Ok(()) } else { Err("nothing met the cut".to_owned()) }
    }
}

/// A command's exit code and all that it prints.
fn said(mut command: Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let parts = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.code(), parts.concat())
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.gate.release_all();
        if std::thread::panicking() {
            for side in Side::BOTH {
                let log = std::fs::read_to_string(self.lab.files().agent_log(side)).unwrap_or_default();
                let _ =
                    std::fs::write(state().join(format!("{}-agent-{}.log", self.name, side.as_str())), log);
            }
        }
        if let Err(error) = Lab::down(&state(), self.lab.name()) {
            eprintln!("the lab is not wholly removed: {error}");
        }
    }
}
