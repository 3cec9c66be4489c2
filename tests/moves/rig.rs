//! A lab with a guest that serves, and the commands an operator would type.

use std::ffi::OsString;
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use longhaul_lab::client::{self, ClientView, Observation};
use longhaul_lab::observer::{self, Observer, ObserverView};
use longhaul_lab::place::{Place, Side};
use longhaul_lab::{Lab, UpOptions, addresses};
use longhaul_model::{Source, parse_vm};
use serde_json::Value;

use crate::records::of_export;

/// A guest boots in three seconds; a machine under load needs many times that.
const BOOT_MAX: Duration = Duration::from_secs(90);
/// A whole move takes a quarter of a minute on a quiet machine.
pub(super) const MOVE_MAX: Duration = Duration::from_secs(240);
/// Less than everything: what is absent at the hand-over is read through the WAN.
const PRESENT: &str = "0.85";
/// How long a client may take to ask for the guest's name again, and to be served where it leads.
const FOLLOWED_MAX: Duration = Duration::from_secs(addresses::TTL_SECONDS as u64 + 20);
/// How often something that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The binary that `cargo xtask test` built beside this test.
pub(crate) fn binary() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let binary = here.parent().and_then(Path::parent).unwrap().join("longhaul");
    assert!(binary.exists(), "{} is not built: run `cargo xtask test`", binary.display());
    binary
}

/// Waits for its turn; `None` on a machine where a lab cannot be made, which is a failure in CI.
pub(super) fn turn() -> Option<File> {
    take_turn(File::lock)
}

/// A turn beside others of its kind: for labs where the order of events is all that counts, and nothing is said of how long a
/// hand-over took.
pub(super) fn shared_turn() -> Option<File> {
    take_turn(File::lock_shared)
}

fn take_turn(lock: impl FnOnce(&File) -> std::io::Result<()>) -> Option<File> {
    if let Err(reason) = longhaul_lab::require_machine() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{reason}");
        eprintln!("skipped: {reason}");
        return None;
    }
    let file = File::create(state().join("turn.lock")).unwrap();
    lock(&file).unwrap();
    Some(file)
}

/// One state directory for all: the guest's kernel is fetched once. Not below the checkout, whose path may be longer than
/// unix sockets allow.
pub(super) fn state() -> PathBuf {
    let state = std::env::temp_dir().join("longhaul-moves");
    std::fs::create_dir_all(&state).unwrap();
    state
}

/// Site b gets a VM of its own that is called as the lab's, at home there.
pub(super) fn take_name_at_b(lab: &Lab) {
    let [a, b] = Side::BOTH.map(|side| lab.files().agent(side));
    std::fs::copy(a.join("disks/vm-a.raw"), b.join("disks/vm-a.raw")).unwrap();
    let file = a.join("vms/vm-a.yaml");
    let source = Source::new("vm-a.yaml", &std::fs::read_to_string(file).unwrap());
    let mut vm = parse_vm(&source).unwrap();
    vm.home = "b".parse().unwrap();
    std::fs::write(b.join("vms/vm-a.yaml"), vm.to_yaml()).unwrap();
}

/// A lab of its own with a running guest, a client connected to it and an observer; gone when dropped.
pub(super) struct Rig {
    pub(super) lab: Lab,
    name: String,
    observation: Option<Observation>,
    observer: Option<Observer>,
}

impl Rig {
    pub(super) fn new(name: &str) -> Self {
        Self::with_arguments(name, Vec::new())
    }

    /// The same with more arguments for both agents.
    pub(super) fn with_arguments(name: &str, agent_arguments: Vec<OsString>) -> Self {
        // Nothing of an earlier test run may be taken for this one's.
        for controller in [name.to_owned(), format!("{name}-other")] {
            let _ = std::fs::remove_dir_all(state().join(controller));
        }
        let mut options = UpOptions::new(&state()).unwrap();
        options.name = name.parse().unwrap();
        options.binary = binary();
        options.agent_arguments = agent_arguments;
        let lab = Lab::up(&options).unwrap();
        let mut rig = Self { lab, name: name.to_owned(), observation: None, observer: None };
        rig.expect(&["vm", "start", "vm-a", "--site", "a"], 0);
        rig.lab.guest().wait_ready(BOOT_MAX).unwrap();
        rig.observer = Some(Observer::start(observer::Options::of_lab(&rig.lab)));
        let client = client::Options::of_lab(Some(rig.lab.netns(Place::Client)), rig.lab.vm());
        rig.observation = Some(Observation::start(client).unwrap());
        rig.wait_for("the client's first lines", |rig| rig.seen().lines > 50);
        rig
    }

    pub(super) fn seen(&self) -> ClientView {
        self.observation.as_ref().unwrap().view()
    }

    /// Where the guest runs, as the observer sees it.
    pub(super) fn runs_at(&self) -> Option<Side> {
        self.observer.as_ref().unwrap().runs_at()
    }

    /// Ends the watching and says what the client and the observer saw.
    pub(super) fn watched(&mut self) -> (ClientView, ObserverView) {
        (self.observation.take().unwrap().stop(), self.observer.take().unwrap().stop())
    }

    /// A command with this lab's inventory, and a controller's directory that no other lab has.
    pub(super) fn longhaul(&self, arguments: &[&str]) -> Command {
        self.longhaul_of(&self.name, self.lab.files().sites(), arguments)
    }

    fn longhaul_of(&self, controller: &str, sites: PathBuf, arguments: &[&str]) -> Command {
        let folder = state().join(controller);
        std::fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new(binary());
        command.arg("--state").arg(&folder).arg("--sites").arg(sites);
        command.args(arguments).current_dir(folder).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end and checks its exit code.
    pub(super) fn expect(&self, arguments: &[&str], code: i32) -> String {
        let Output { status, stdout, stderr } = self.longhaul(arguments).output().unwrap();
        let (out, talk) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert_eq!(status.code(), Some(code), "longhaul {}\n{out}\n{talk}", arguments.join(" "));
        format!("{out}{talk}")
    }

    /// An evacuation of the guest.
    fn evacuation(run: &str, from: Side, present: &str) -> Vec<String> {
        let workflow = concat!(env!("CARGO_MANIFEST_DIR"), "/../workflows/evacuate.yaml");
        let inputs = [
            "vms=[\"vm-a\"]".to_owned(),
            format!("from={}", from.as_str()),
            format!("to={}", from.other().as_str()),
            format!("present={present}"),
        ];
        let words = ["run", workflow, "--id", run].map(str::to_owned);
        words.into_iter().chain(inputs.into_iter().flat_map(|input| ["--input".to_owned(), input])).collect()
    }

    /// Starts the evacuation in a process of its own.
    pub(super) fn start(&self, run: &str) -> Child {
        self.start_with(run, PRESENT)
    }

    /// The same with another share of the disk at the target before the hand-over.
    pub(super) fn start_with(&self, run: &str, present: &str) -> Child {
        self.spawn(self.longhaul(&[]), run, Side::A, present)
    }

    /// The way back, with all of the disk copied before the hand-over.
    pub(super) fn start_back(&self, run: &str) -> Child {
        self.spawn(self.longhaul(&[]), run, Side::B, "1")
    }

    /// The same with its records kept at both sites, and the pivot waiting for that.
    pub(super) fn start_mirrored(&self, run: &str) -> Child {
        let log = File::create(state().join(format!("{run}.log"))).unwrap();
        let mut command = self.longhaul(&[]);
        command.args(Self::evacuation(run, Side::A, PRESENT)).args(["--mirror", "before-pivot"]);
        command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }

    /// Another controller that goes on with a run from what site B has kept.
    pub(super) fn adopt(&self, controller: &str, run: &str) -> Command {
        let arguments = ["adopt", run, "--from", Side::B.as_str()];
        self.longhaul_of(controller, self.lab.files().sites(), &arguments)
    }

    /// What another controller has written down about a run.
    pub(super) fn records_of(&self, controller: &str, run: &str) -> Vec<Value> {
        let arguments = ["journal", "export", run];
        let exported = self.longhaul_of(controller, self.lab.files().sites(), &arguments).output().unwrap();
        of_export(&String::from_utf8(exported.stdout).unwrap())
    }

    /// The same from another controller's directory.
    pub(super) fn start_of(&self, controller: &str, run: &str) -> Child {
        self.spawn(self.longhaul_of(controller, self.lab.files().sites(), &[]), run, Side::A, PRESENT)
    }

    /// The same with another inventory of sites.
    pub(super) fn start_among(&self, sites: &Path, run: &str) -> Child {
        self.spawn(self.longhaul_of(&self.name, sites.to_owned(), &[]), run, Side::A, PRESENT)
    }

    fn spawn(&self, mut command: Command, run: &str, from: Side, present: &str) -> Child {
        let log = File::create(state().join(format!("{run}.log"))).unwrap();
        command.args(Self::evacuation(run, from, present));
        command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }

    /// Waits for a run's end: its exit code and all it printed.
    pub(super) fn finish(mut run: Child, name: &str) -> (Option<i32>, String) {
        let code = run.wait().unwrap().code();
        (code, Self::said(name))
    }

    /// What a run printed.
    pub(super) fn said(name: &str) -> String {
        std::fs::read_to_string(state().join(format!("{name}.log"))).unwrap()
    }

    /// Makes a site keep so much of its disk free, and restarts its agent.
    pub(super) fn demand_reserve(&self, side: Side, reserve: &str) {
        let file = self.lab.files().site(side);
        let text = std::fs::read_to_string(&file).unwrap();
        let lines = text.lines().map(|line| match line.split_once(':') {
            Some(("disk_reserve", _)) => format!("disk_reserve: {reserve}"),
            Some(_) | None => line.to_owned(),
        });
        std::fs::write(&file, lines.collect::<Vec<_>>().join("\n")).unwrap();
        self.kill_agent(side);
        self.start_agent(side);
    }

    /// How a step of a run stands, in the saga's word; empty before it is known.
    pub(super) fn step(&self, run: &str, step: &str) -> String {
        let output = self.longhaul(&["status", run, "--json"]).output().unwrap();
        let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let steps = status["steps"].as_array().cloned().unwrap_or_default();
        let found = steps.iter().find(|view| view["step"] == step);
        found.and_then(|view| view["state"].as_str()).unwrap_or_default().to_owned()
    }

    /// Waits until a step of a run is under way; a run that ends before that fails the test with what it printed.
    pub(super) fn wait_for_step(&self, run: &mut Child, name: &str, step: &str) {
        let end = Instant::now() + MOVE_MAX;
        while self.step(name, step) != "running" {
            if run.try_wait().unwrap().is_some() {
                panic!("{step} never ran:\n{}", Self::said(name));
            }
            assert!(Instant::now() < end, "waited too long for {step}");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until something holds.
    pub(super) fn wait_for(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = Instant::now() + MOVE_MAX;
        while !holds(self) {
            assert!(Instant::now() < end, "waited too long for {what}");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// For how many seconds the answer of each site's DNS server may be kept, A first; `None` where the name is not known.
    pub(super) fn ttl_seconds(&self) -> [Option<u64>; 2] {
        let name = format!("{}.{}", self.lab.vm(), addresses::ZONE);
        Side::BOTH.map(|side| {
            let server = (addresses::edge(side), addresses::DNS_PORT).into();
            match self.lab.netns(Place::Client).run(|| client::query(server, &name)).unwrap() {
                Ok(answer) => Some(answer.ttl.as_secs()),
                Err(client::DnsError::Empty { .. }) => None,
                Err(error) => panic!("the DNS server of site {}: {error:?}", side.as_str()),
            }
        })
    }

    /// Packets that were lost to a cut of the link.
    pub(super) fn cut_drops(&self) -> u64 {
        let stats = self.lab.wan().stats().unwrap();
        stats.a_to_b.cut_drops + stats.b_to_a.cut_drops
    }

    /// Everything written down about a run.
    pub(super) fn records(&self, run: &str) -> Vec<Value> {
        let exported = self.longhaul(&["journal", "export", run]).output().unwrap().stdout;
        of_export(&String::from_utf8(exported).unwrap())
    }

    /// The VM's state at a site, in the agent's word; empty if it has none or the agent does not answer.
    pub(super) fn vm(&self, site: &str) -> String {
        let output = self.longhaul(&["vm", "list", "--site", site, "--json"]).output().unwrap();
        let list: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        find_state(&list).unwrap_or_default()
    }

    pub(super) fn kill_agent(&self, side: Side) {
        let pid = self.lab.agent_pid(side).expect("the agent runs");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        self.wait_for("the agent's end", |rig| rig.lab.hello(side).is_err());
    }

    pub(super) fn start_agent(&self, side: Side) {
        self.lab.start_agent(side).unwrap();
        self.wait_for("the agent", |rig| rig.lab.hello(side).is_ok());
    }

    /// What has to hold after every move that succeeded, whatever was done to it meanwhile.
    pub(super) fn assert_moved(&mut self) {
        self.assert_serves_at(Side::B, addresses::GUEST_AT_B);
    }

    /// What has to hold after a move that did not happen.
    pub(super) fn assert_stayed(&mut self) {
        self.assert_serves_at(Side::A, addresses::GUEST);
    }

    /// The guest is whole and runs at this side only; the client's connection counted on after the observer had seen it come
    /// there, and the client's requests by name are served at its address there.
    fn assert_serves_at(&mut self, side: Side, address: Ipv4Addr) {
        self.wait_for("the guest to run there", |rig| rig.vm(side.as_str()) == "running");
        let found = self.lab.guest().verify().unwrap();
        assert!(found.good(), "{found:?}");
        let end = Instant::now() + FOLLOWED_MAX;
        while !self.seen().followed_to(address) && Instant::now() < end {
            std::thread::sleep(LOOK_EVERY);
        }
        let (client, observer) = self.watched();
        assert!(client.followed_to(address), "{client:?}");
        assert!(observer.exactly_one(), "{observer:?}");
        let arrived = observer.arrived_at_unix_ms(side);
        let arrived = arrived.unwrap_or_else(|| panic!("it is not at {}: {observer:?}", side.as_str()));
        assert!(client.counted_on_after(arrived), "at {arrived}: {client:?}");
    }
}

fn find_state(list: &Value) -> Option<String> {
    match list {
        Value::Array(items) => items.iter().find_map(find_state),
        Value::Object(fields) => match fields.get("state") {
            Some(state) => state.as_str().map(str::to_owned),
            None => fields.values().find_map(find_state),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        drop((self.observation.take(), self.observer.take()));
        if let Err(error) = Lab::down(&state(), self.lab.name()) {
            eprintln!("the lab is not wholly removed: {error}");
        }
    }
}
