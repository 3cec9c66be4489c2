//! A toy action whose effect is a file, and plans made of it.
//!
//! `toy.write@1 {file, script}`: `script` says how each attempt goes. The world is a folder: `effects/FILE` is the
//! effect, `ops/FILE` that it is under way, `log` what was asked.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use longhaul_model::action::{Descriptor, Effects};
use longhaul_plan::Plan;
use longhaul_run::{Control, Driver, Ended, Journal, Reader, Reporters, VirtualClock};
use longhaul_saga::Record;
use longhaul_step::conformance::Fault;
use longhaul_step::{
    Action, Claims, Context, Error, ErrorClass, Handle, Outcome, Poll, Probe, Progress, Registry, Started,
};
use serde_json::{Value, json};

/// Waits up to this pass at once: every backoff, no timeout, and not the grace of a cancel.
pub(super) const SKIP_MS_MAX: u64 = 25_000;
/// No test waits longer for anything.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// What is written of an operation until it is cancelled.
const UNDER_WAY: &str = "under way";

/// Held while the world changes or is copied, so that a copy is the world of one moment.
static MOMENT: Mutex<()> = Mutex::new(());

/// The folder that stands for the world.
#[derive(Debug, Clone)]
pub(super) struct World(pub(super) PathBuf);

impl World {
    pub(super) fn new(directory: &Path) -> Self {
        let world = Self(directory.to_owned());
        for folder in ["effects", "ops"] {
            fs::create_dir_all(directory.join(folder)).unwrap();
        }
        world
    }

    pub(super) fn effect(&self, file: &str) -> PathBuf {
        self.0.join("effects").join(file)
    }

    fn op(&self, file: &str) -> PathBuf {
        self.0.join("ops").join(file)
    }

    /// Writes a file whole or not at all, also when the process is killed over it.
    fn put(&self, path: &Path, text: &str) {
        let new = self.0.join(format!("new-{}", std::process::id()));
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    }

    fn log(&self, line: &str) {
        let mut log = OpenOptions::new().create(true).append(true).open(self.0.join("log")).unwrap();
        log.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    pub(super) fn logged(&self) -> Vec<String> {
        fs::read_to_string(self.0.join("log")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// Lets an attempt that awaits it come to its end.
    pub(super) fn finish(&self, file: &str) {
        fs::write(self.0.join(format!("go-{file}")), "").unwrap();
    }

    /// The effects that are there, sorted.
    pub(super) fn effects(&self) -> Vec<String> {
        names(&self.0.join("effects"))
    }

    pub(super) fn under_way(&self) -> Vec<String> {
        names(&self.0.join("ops"))
    }

    pub(super) fn copy_to(&self, directory: &Path) -> Self {
        let _moment = MOMENT.lock().unwrap_or_else(PoisonError::into_inner);
        let copy = Self::new(directory);
        for folder in ["effects", "ops"] {
            for name in names(&self.0.join(folder)) {
                fs::copy(self.0.join(folder).join(&name), directory.join(folder).join(&name)).unwrap();
            }
        }
        copy
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Writes a file.
pub(super) struct Write1 {
    descriptor: Descriptor,
    world: World,
    /// For the conformance kit: where every call breaks.
    pub(super) fault: Arc<Mutex<Option<Fault>>>,
}

impl Write1 {
    pub(super) fn new(world: World) -> Self {
        let descriptor = Descriptor {
            name: "toy.write@1".parse().unwrap(),
            summary: "writes a file".into(),
            effects: Effects::Reversible,
            foundation: false,
            params: json!({ "type": "object", "required": ["file"], "properties": { "file": { "type": "string" } } }),
            outputs: json!({ "type": "object", "required": ["file"], "properties": { "file": { "type": "string" } } }),
            errors: Vec::new(),
        };
        Self { descriptor, world, fault: Arc::default() }
    }

    fn file(params: &Value) -> &str {
        params["file"].as_str().unwrap()
    }

    fn outputs(params: &Value) -> Value {
        json!({ "file": Self::file(params) })
    }

    fn fault(&self) -> Option<Fault> {
        *self.fault.lock().unwrap()
    }

    fn finish(&self, file: &str) {
        self.world.put(&self.world.effect(file), file);
        let _ = fs::remove_file(self.world.op(file));
    }

    /// The first poll of an attempt that is `silent` is never answered.
    async fn be_silent(&self, params: &Value, attempt: u32) {
        let op = self.world.op(Self::file(params));
        let is_silent = params["script"][attempt as usize - 1] == "silent";
        if is_silent && fs::read_to_string(&op).is_ok_and(|word| word == UNDER_WAY) {
            {
                let _moment = MOMENT.lock().unwrap_or_else(PoisonError::into_inner);
                self.world.put(&op, "half done");
            }
            self.world.log("silent");
            std::future::pending::<()>().await;
        }
    }

    fn end(&self, params: &Value, attempt: u32) -> Poll {
        let file = Self::file(params);
        let script = params["script"][attempt as usize - 1].as_str().unwrap_or("ok");
        let _moment = MOMENT.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = || Error::new(ErrorClass::Transient, "the answer was lost");
        let script = match self.fault() {
            Some(Fault::Before) => "transient",
            Some(Fault::Half) => "half",
            Some(Fault::After) => "lost",
            Some(Fault::Undo) | None if script == "await" => {
                if self.world.0.join(format!("go-{file}")).exists() { "ok" } else { "hang" }
            }
            Some(Fault::Undo) | None => script,
        };
        Poll::Ended(match script {
            "ok" | "hang" if !fs::read_to_string(self.world.op(file)).is_ok_and(|word| word == UNDER_WAY) => {
                let _ = fs::remove_file(self.world.op(file));
                Outcome::Failed(Error::new(ErrorClass::Cancelled, "stopped"))
            }
            "ok" | "silent" => {
                self.finish(file);
                self.world.log(&format!("did {file}"));
                Outcome::Done(Self::outputs(params))
            }
            "lost" => {
                self.finish(file);
                Outcome::Unknown(lost())
            }
            "half" => Outcome::Unknown(lost()),
            "panic" => {
                let _ = fs::remove_file(self.world.op(file));
                panic!("the script says so");
            }
            "vanished" => {
                let _ = fs::remove_file(self.world.op(file));
                Outcome::Unknown(lost())
            }
            "hang-half" if fs::read_to_string(self.world.op(file)).unwrap() == "cancelled" => {
                self.world.put(&self.world.op(file), "half done");
                Outcome::Unknown(Error::new(ErrorClass::Cancelled, "stopped"))
            }
            "hang" | "hang-half" => {
                return Poll::Running(Progress { phase: "hanging".into(), ..Progress::default() });
            }
            class => {
                let _ = fs::remove_file(self.world.op(file));
                let class = if class == "transient" { ErrorClass::Transient } else { ErrorClass::Permanent };
                Outcome::Failed(Error::new(class, "as the script says"))
            }
        })
    }
}

#[async_trait::async_trait]
impl Action for Write1 {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    async fn start(&self, context: &Context, params: &Value) -> Started {
        let file = Self::file(params);
        let _moment = MOMENT.lock().unwrap_or_else(PoisonError::into_inner);
        let op = self.world.op(file);
        if self.world.effect(file).exists() {
            self.world.log(&format!("started finished {file}"));
        } else if !op.exists() {
            self.world.put(&op, UNDER_WAY);
        }
        self.world.log(&format!("start {file} {}", context.attempt));
        if !context.claims.is_empty() {
            self.world.log(&format!("{file} begins with {:?}", amounts(&context.claims)));
        }
        Started::Running(Handle(params.to_string()))
    }

    async fn poll(&self, context: &Context, handle: &Handle, _patience: Duration) -> Poll {
        let params: Value = serde_json::from_str(&handle.0).unwrap();
        let takes = Duration::from_millis(params["takes_ms"].as_u64().unwrap_or(0));
        tokio::time::sleep(takes).await;
        if self.world.effect(Self::file(&params)).exists() {
            return Poll::Ended(Outcome::Done(Self::outputs(&params)));
        }
        self.be_silent(&params, context.attempt).await;
        self.end(&params, context.attempt)
    }

    async fn probe(&self, _context: &Context, params: &Value) -> Probe {
        let file = Self::file(params);
        if params["mute"] == true {
            return Probe::CannotTell(Error::new(ErrorClass::Unreachable, "it says nothing"));
        }
        match (self.world.effect(file).exists(), self.world.op(file).exists()) {
            (true, _) => Probe::Done(Self::outputs(params)),
            (false, true) => Probe::Partial,
            (false, false) => Probe::Absent,
        }
    }

    async fn adjust(&self, _: &Context, handle: &Handle, claims: &Claims) -> Result<(), Error> {
        let params: Value = serde_json::from_str(&handle.0).unwrap();
        self.world.log(&format!("{} has {:?}", Self::file(&params), amounts(claims)));
        Ok(())
    }

    async fn cancel(&self, _context: &Context, handle: &Handle) -> Result<(), Error> {
        let params: Value = serde_json::from_str(&handle.0).unwrap();
        let _moment = MOMENT.lock().unwrap_or_else(PoisonError::into_inner);
        let op = self.world.op(Self::file(&params));
        if op.exists() {
            self.world.put(&op, "cancelled");
        }
        self.world.log(&format!("cancel {}", Self::file(&params)));
        Ok(())
    }

    async fn compensate(&self, _: &Context, params: &Value, _: Option<&Value>) -> Result<(), Error> {
        let file = Self::file(params);
        if self.fault() == Some(Fault::Undo) || self.world.0.join("no-undo").exists() {
            return Err(Error::new(ErrorClass::Transient, "undoing is broken"));
        }
        if self.world.0.join("hang-undo").exists() {
            while self.world.0.join("hang-undo").exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            return Err(Error::new(ErrorClass::Transient, "undoing took too long"));
        }
        let _moment = MOMENT.lock().unwrap_or_else(PoisonError::into_inner);
        for path in [self.world.effect(file), self.world.op(file)] {
            let _ = fs::remove_file(path);
        }
        self.world.log(&format!("undid {file}"));
        Ok(())
    }
}

pub(super) fn registry(world: &World) -> Registry {
    let mut registry = Registry::new();
    registry.register(Arc::new(Write1::new(world.clone()))).unwrap();
    registry.register(Arc::new(Look1::new(world.clone()))).unwrap();
    registry
}

/// Says whether a file is there.
struct Look1 {
    descriptor: Descriptor,
    world: World,
}

impl Look1 {
    fn new(world: World) -> Self {
        let descriptor = Descriptor {
            name: "toy.look@1".parse().unwrap(),
            summary: "looks for a file".into(),
            effects: Effects::None,
            foundation: false,
            params: json!({ "type": "object", "required": ["file"], "properties": { "file": { "type": "string" } } }),
            outputs: json!({ "type": "object", "properties": { "there": { "type": "boolean" } } }),
            errors: Vec::new(),
        };
        Self { descriptor, world }
    }
}

#[async_trait::async_trait]
impl Action for Look1 {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    async fn start(&self, context: &Context, params: &Value) -> Started {
        self.world.log(&format!("look {} {}", context.key.step, context.attempt));
        Started::Running(Handle(params.to_string()))
    }

    async fn poll(&self, _: &Context, handle: &Handle, _: Duration) -> Poll {
        let params: Value = serde_json::from_str(&handle.0).unwrap();
        let there = self.world.effect(params["file"].as_str().unwrap()).exists();
        Poll::Ended(Outcome::Done(json!({ "there": there })))
    }

    async fn probe(&self, _: &Context, _: &Value) -> Probe {
        Probe::Absent
    }

    async fn cancel(&self, _: &Context, _: &Handle) -> Result<(), Error> {
        Ok(())
    }

    async fn compensate(&self, _: &Context, _: &Value, _: Option<&Value>) -> Result<(), Error> {
        Ok(())
    }
}

/// A step of the toy action. `script` says how each attempt goes; missing attempts succeed.
pub(super) fn step(id: &str, needs: &[&str], script: &[&str]) -> Value {
    action(id, needs, &json!({ "file": id, "script": script }))
}

/// A step of the toy action for the item `vm`.
pub(super) fn item_step(id: &str, needs: &[&str], script: &Value) -> Value {
    action(id, needs, &json!({ "file": format!("${{{{ vm }}}}-{id}"), "script": script }))
}

fn action(id: &str, needs: &[&str], with: &Value) -> Value {
    json!({ "id": id, "needs": needs, "line": 1, "body": { "action": {
        "uses": "toy.write@1", "with": with, "effects": "reversible", "timeout": "10m",
        "retry": { "max_attempts": 3, "errors": ["transient"],
                   "backoff": { "initial": "2s", "factor": 2, "max": "1m", "full_jitter": true } },
        "pivot": false, "compensate": null,
    }}})
}

/// A step under a condition.
pub(super) fn when(condition: &str, mut step: Value) -> Value {
    step["if"] = json!(format!("${{{{ {condition} }}}}"));
    step
}

pub(super) fn pivot(mut step: Value) -> Value {
    step["body"]["action"]["pivot"] = json!(true);
    step
}

pub(super) fn foreach(
    id: &str,
    needs: &[&str],
    vms: &[&str],
    on_item_failure: &str,
    steps: &[Value],
) -> Value {
    let list = vms.iter().map(|vm| format!("'{vm}'")).collect::<Vec<_>>().join(", ").replace('\'', "\"");
    json!({ "id": id, "needs": needs, "line": 1, "body": { "foreach": {
        "over": format!("${{{{ [{list}] }}}}"), "variable": "vm", "max_parallel": 2,
        "on_item_failure": on_item_failure, "graph": { "steps": steps },
    }}})
}

pub(super) fn plan(steps: &[Value]) -> Plan {
    plan_with(steps, &json!([]))
}

pub(super) fn plan_with(steps: &[Value], outputs: &Value) -> Plan {
    serde_json::from_value(json!({
        "workflow": { "name": "toy", "version": "1.0.0", "sha256": "ab".repeat(32), "file": "toy.yaml" },
        "inputs": {}, "graph": { "steps": steps }, "outputs": outputs,
        "always": { "steps": [step("report", &[], &[])] },
    }))
    .unwrap()
}

/// A world, a journal and a driver in one temporary folder.
pub(super) struct Rig {
    pub(super) folder: tempfile::TempDir,
    pub(super) world: World,
    pub(super) clock: Arc<VirtualClock>,
    pub(super) journal: Journal,
    keep_every: usize,
}

impl Rig {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = World::new(&folder.path().join("world"));
        let journal = Journal::open(&folder.path().join("controller"), 1_000).unwrap();
        let clock = Arc::new(VirtualClock::new(1_000_000, SKIP_MS_MAX));
        Self { folder, world, clock, journal, keep_every: usize::MAX }
    }

    /// The same with the state kept at every record.
    pub(super) fn keeping_states() -> Self {
        Self { keep_every: 1, ..Self::new() }
    }

    pub(super) fn driver(&self) -> Driver {
        let clock: Arc<VirtualClock> = Arc::clone(&self.clock);
        let driver = Driver::new(self.journal.clone(), registry(&self.world));
        driver.with_clock(clock).with_seed(7).with_states_kept_every(self.keep_every)
    }

    pub(super) async fn run(&self, plan: Plan) -> Ended {
        self.run_with(plan, Reporters::new(), &Control::new()).await
    }

    pub(super) async fn run_with(&self, plan: Plan, mut reporters: Reporters, control: &Control) -> Ended {
        let driver = self.driver();
        let run = driver.run("run-a".parse().unwrap(), plan, None, &mut reporters, control);
        tokio::time::timeout(DEADLINE, run).await.unwrap().unwrap()
    }

    pub(super) async fn resume(&self) -> Ended {
        let (driver, run, control) = (self.driver(), "run-a".parse().unwrap(), Control::new());
        let mut reporters = Reporters::new();
        let resume = driver.resume(&run, &mut reporters, &control);
        tokio::time::timeout(DEADLINE, resume).await.unwrap().unwrap()
    }

    pub(super) fn reader(&self) -> Reader {
        self.journal.reader().unwrap()
    }

    pub(super) fn records(&self) -> Vec<Record> {
        self.reader().records(&"run-a".parse().unwrap()).unwrap()
    }
}

/// Waits until the journal has a record of this kind.
pub(super) async fn recorded(rig: &Rig, is_it: impl Fn(&Record) -> bool) {
    let search = async {
        let run = "run-a".parse().unwrap();
        while !rig.reader().records(&run).is_ok_and(|all| all.iter().any(&is_it)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, search).await.unwrap();
}

/// What a step has, by name, and how much.
fn amounts(claims: &Claims) -> BTreeMap<&str, u64> {
    claims.iter().map(|(name, claimed)| (name.as_str(), claimed.amount)).collect()
}
