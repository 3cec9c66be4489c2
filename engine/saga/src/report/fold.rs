//! Folding records into a report.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_model::ids::StepPath;
use longhaul_plan::Plan;
use serde_json::Value;

use super::forecast::Forecast;
use super::safe::safe_now;
use super::{
    Client, DiskProof, GivenUp, MovedVm, Predicted, RecordKind, Report, StepLine, Tunnel, Verdict, client,
    policies, verdict,
};
use crate::event::{Decided, Failed, Observation, Replanned, RunCreated, TimerFired};
use crate::intent::{Answered, Cancel, Compensate, End, Instruction, Start};
use crate::{Answer, Entry, Event, Failure, Intent, Record, Saga, Status, Work};

/// The source of the driver's estimates.
const ESTIMATE: &str = "estimate";

/// The source of what the WAN itself counted.
const WAN: &str = "wan";

struct Folding {
    report: Report,
    /// The action and the parameters that each step's effect, or its written undo, was started with last.
    started: BTreeMap<(StepPath, Work), (String, Value)>,
    /// The line of the step's effect that is open.
    open: BTreeMap<(StepPath, Work), usize>,
    plan: Plan,
    /// What is to be done about VMs whose memory was lost.
    lost: Vec<Instruction>,
    /// Steps about which policies want people asked.
    asked_by_policies: BTreeSet<StepPath>,
    /// Why effects that are under way were asked to stop.
    stopped: BTreeMap<(StepPath, Work), Cancel>,
    /// Steps that began, were passed over or were refused.
    reached: BTreeSet<String>,
    /// Items of foreach steps, in their order.
    items: Vec<String>,
    /// When the deadlines of workflows that run as steps have passed, by those steps' paths.
    late: BTreeMap<String, u64>,
}

impl Report {
    /// The report of these records of one run; none if they do not begin with its creation.
    #[must_use]
    pub fn fold(records: &[Record]) -> Option<Self> {
        let first = records.first()?;
        let Entry::Event(Event::RunCreated(created)) = &first.entry else { return None };
        let mut folding = Folding::new(first, created);
        for record in records {
            folding.record(record);
        }
        let mut report = folding.finish();
        // Only the state says what stays of a step; a run that was undone whole, or came through, has no such step.
        if report.status == Status::Partial
            && let Ok(fold) = Saga::fold(records)
        {
            let unanswered = fold.saga.unanswered();
            report.unanswered = unanswered.map(|(step, of)| (step.to_string(), of.to_string())).collect();
        }
        Some(report)
    }
}

impl Folding {
    fn new(first: &Record, created: &RunCreated) -> Self {
        let pin = &created.plan.workflow;
        let report = Report {
            run: first.run.clone(),
            workflow: format!("{} {}", pin.name, pin.version),
            sha256: pin.sha256.clone(),
            plugins: created.plan.plugins.clone(),
            status: Status::Running,
            began_at_unix_ms: first.at_unix_ms,
            total_ms: 0,
            runs_at_ms: None,
            independent_ms: None,
            predicted: Predicted::default(),
            verdict: None,
            clients: Vec::new(),
            steps: Vec::new(),
            policies: policies::about_plan(&created.plan.verdicts),
            moved: Vec::new(),
            disks: Vec::new(),
            tunnels: Vec::new(),
            wire: Vec::new(),
            wan_bytes: None,
            owners: BTreeMap::new(),
            given_up: None,
            not_begun: Vec::new(),
            unanswered: BTreeMap::new(),
            outputs_error: None,
            instructions: Vec::new(),
            safe_now: Vec::new(),
        };
        let plan = created.plan.clone();
        let (started, open, lost) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let (asked_by_policies, stopped) = (BTreeSet::new(), BTreeMap::new());
        let (reached, items, late) = (BTreeSet::new(), Vec::new(), BTreeMap::new());
        Self { report, started, open, plan, lost, asked_by_policies, stopped, reached, items, late }
    }

    fn record(&mut self, record: &Record) {
        let at_ms = record.at_unix_ms.saturating_sub(self.report.began_at_unix_ms);
        if let Entry::Intent(intent) = &record.entry {
            self.reach(intent);
        }
        match &record.entry {
            Entry::Event(event) => self.event(event, at_ms),
            Entry::Intent(Intent::Start(start)) => self.start(start, at_ms),
            Entry::Intent(Intent::Compensate(undo)) => self.compensate(undo, at_ms),
            Entry::Intent(Intent::End(end)) => self.end(end),
            Entry::Intent(Intent::Ask(ask)) if self.asked_by_policies.contains(&ask.step) => {}
            Entry::Intent(Intent::Ask(ask)) => {
                self.open_line(&ask.step, Work::Forward, ask.asks.to_string(), at_ms);
            }
            Entry::Intent(Intent::Answered(answered)) => self.answered(answered, at_ms),
            Entry::Intent(Intent::Refuse(refuse)) => {
                let why = Some(refuse.failure.to_string());
                self.close(&refuse.step, refuse.work, at_ms, "failed", why);
            }
            Entry::Intent(Intent::Skip(skip)) => {
                let why = Some(skip.because.to_string());
                self.close(&skip.step, Work::Forward, at_ms, "skipped", why);
            }
            Entry::Intent(Intent::Cancel(cancel)) => {
                self.stopped.insert((cancel.step.clone(), cancel.work), cancel.clone());
            }
            Entry::Intent(
                Intent::Queue(_) | Intent::Share(_) | Intent::Expand(_) | Intent::Enter(_) | Intent::Pause(_),
            ) => {}
            Entry::Intent(Intent::GiveUp(given_up)) => self.given_up(&given_up.reason, at_ms),
        }
        if !matches!(record.entry, Entry::Event(Event::Observation(_))) {
            self.report.total_ms = at_ms;
        }
    }

    /// Notes the step that an intent begins or passes over.
    fn reach(&mut self, intent: &Intent) {
        let step = match intent {
            Intent::Start(start) => &start.step,
            Intent::Expand(expand) => {
                self.items.extend(expand.items.iter().map(|item| format!("{}/{}", expand.step, item.key)));
                &expand.step
            }
            Intent::Enter(enter) => &enter.step,
            Intent::Refuse(refuse) => &refuse.step,
            Intent::Skip(skip) => &skip.step,
            Intent::Pause(pause) => &pause.step,
            Intent::Ask(ask) => &ask.step,
            Intent::Queue(_)
            | Intent::Share(_)
            | Intent::Compensate(_)
            | Intent::Cancel(_)
            | Intent::Answered(_)
            | Intent::GiveUp(_)
            | Intent::End(_) => return,
        };
        self.reached.insert(step.to_string());
    }

    /// The steps of the outermost graph that never began, and the items of which no step did.
    fn not_begun(&self) -> Vec<String> {
        let steps = self.plan.graph.steps.iter().map(|step| step.id.to_string());
        let steps = steps.filter(|id| !self.reached.contains(id));
        let has_begun = |item: &str| {
            let first = format!("{item}/");
            self.reached.range(first.clone()..).next().is_some_and(|reached| reached.starts_with(&first))
        };
        let items = self.items.iter().filter(|item| !has_begun(item));
        steps.chain(items.cloned()).collect()
    }

    fn event(&mut self, event: &Event, at_ms: u64) {
        match event {
            Event::Done(done) => {
                self.close(&done.step, done.work, at_ms, "succeeded", None);
                self.facts(&done.step, done.work, &done.outputs, at_ms);
            }
            Event::Failed(failed) => {
                let why = self.why(failed).to_string();
                self.close(&failed.step, failed.work, at_ms, "failed", Some(why));
            }
            Event::Unknown(unknown) => {
                self.close(&unknown.step, unknown.work, at_ms, "unknown", Some(unknown.failure.to_string()));
            }
            Event::Undone(undone) => self.close(&undone.step, Work::Undo, at_ms, "undone", None),
            Event::Probed(probed) => match &probed.answer {
                Answer::Done(outputs) => {
                    self.close(&probed.step, probed.work, at_ms, "succeeded", None);
                    self.facts(&probed.step, probed.work, outputs, at_ms);
                }
                Answer::Absent => self.close(&probed.step, probed.work, at_ms, "failed", None),
                Answer::Partial | Answer::CannotTell(_) => {}
            },
            Event::Observation(seen) => self.observation(seen, at_ms),
            Event::RunResumed(_) => self.report.status = Status::Running,
            Event::Replanned(replanned) => self.replanned(replanned),
            Event::CancelRequested(cancel) => self.given_up(&cancel.reason, at_ms),
            Event::RunCreated(_)
            | Event::Interrupted(_)
            | Event::RunPaused(_)
            | Event::RunUnpaused(_)
            | Event::HandleGiven(_)
            | Event::Voted(_)
            | Event::Signalled(_)
            | Event::Observed(_) => {}
            Event::TimerFired(fired) => self.timer_fired(fired, at_ms),
            Event::Decided(decided) => self.decided(decided),
        }
    }

    /// From here on the run is one of the new plan.
    fn replanned(&mut self, replanned: &Replanned) {
        self.report.status = Status::Running;
        let Some(plan) = &replanned.plan else { return };
        let pin = &plan.workflow;
        self.report.workflow = format!("{} {}", pin.name, pin.version);
        self.report.sha256.clone_from(&pin.sha256);
        self.report.plugins.clone_from(&plan.plugins);
        self.report.policies.extend(policies::about_plan(&plan.verdicts));
        self.plan = Plan::clone(plan);
    }

    /// An action that ends because it was asked to says "cancelled"; why it was asked says more.
    fn why(&mut self, failed: &Failed) -> Failure {
        let stopped = self.stopped.remove(&(failed.step.clone(), failed.work));
        let why = stopped.filter(|_| failed.failure.class == "cancelled").and_then(|it| it.failure());
        why.unwrap_or_else(|| failed.failure.clone())
    }

    /// Time that has passed for a step is told of only if it was the deadline of a workflow.
    fn timer_fired(&mut self, fired: &TimerFired, at_ms: u64) {
        if let Some((owner, Plan::DEADLINE)) = fired.step.as_str().rsplit_once('/') {
            self.late.entry(owner.to_owned()).or_insert(at_ms);
        }
    }

    /// Questions that have no answer when the run ends will have none: who asked is not there any more.
    fn call_off_questions(&mut self) {
        let is_open = |line: &&mut StepLine| line.state == "running" && !line.undo;
        for line in self.report.steps.iter_mut().filter(is_open) {
            let is_around = |owner: &str| line.step.strip_prefix(owner).is_some_and(|it| it.starts_with('/'));
            let late = self.late.iter().find(|(owner, at_ms)| is_around(owner) && **at_ms >= line.from_ms);
            let (to_ms, why) = match (late, &self.report.given_up) {
                (Some((owner, at_ms)), _) => (Some(*at_ms), format!("the deadline of `{owner}` has passed")),
                (None, Some(given_up)) if given_up.at_ms >= line.from_ms => {
                    (Some(given_up.at_ms), given_up.reason.clone())
                }
                (None, _) => (None, "its graph turned round".to_owned()),
            };
            (line.to_ms, line.state, line.failure) = (to_ms, "called_off", Some(why));
        }
    }

    /// The first reason stands: who gives up what is given up changes nothing more.
    fn given_up(&mut self, reason: &str, at_ms: u64) {
        let reason = reason.to_owned();
        self.report.given_up.get_or_insert(GivenUp { at_ms, reason });
    }

    /// What policies said about a step may be a question to people, which is no line of its own.
    fn decided(&mut self, decided: &Decided) {
        let asks = decided.verdicts.iter().any(|verdict| verdict.approval().is_some());
        self.asked_by_policies.extend(decided.step.clone().filter(|_| asks));
        self.report.policies.extend(policies::said(decided));
    }

    /// What was seen from outside, and what was expected. A source that is not known here says nothing to the report.
    fn observation(&mut self, seen: &Observation, at_ms: u64) {
        let Observation { source, payload } = seen;
        match source.as_str() {
            client::SOURCE => self.report.clients.push(Client::of(payload)),
            verdict::SOURCE => self.report.verdict = Some(Verdict::of(payload)),
            WAN => self.report.wan_bytes = payload["wire_bytes"].as_u64(),
            ESTIMATE => self.estimate(payload, at_ms),
            _ => {}
        }
    }

    fn start(&mut self, start: &Start, at_ms: u64) {
        let uses = start.uses.to_string();
        let key = (start.step.clone(), start.work);
        // That an earlier attempt was asked to stop says nothing about this one.
        self.stopped.remove(&key);
        self.started.insert(key, (start.uses.kind().to_owned(), start.params.clone()));
        self.open_line(&start.step, start.work, uses, at_ms);
    }

    fn compensate(&mut self, undo: &Compensate, at_ms: u64) {
        self.open_line(&undo.step, Work::Undo, undo.uses.to_string(), at_ms);
    }

    fn answered(&mut self, answered: &Answered, at_ms: u64) {
        self.close(&answered.step, Work::Forward, at_ms, "succeeded", None);
        let Some(by) = answered.outputs["approved_by"].as_array() else { return };
        let names: Vec<&str> = by.iter().filter_map(Value::as_str).collect();
        if let Some(at) = self.open.get(&(answered.step.clone(), Work::Forward)) {
            self.report.steps[*at].uses = format!("approved by {}", names.join(", "));
        }
    }

    /// Another attempt goes on with the line of the first.
    fn open_line(&mut self, step: &StepPath, work: Work, uses: String, from_ms: u64) {
        if let Some(at) = self.open.get(&(step.clone(), work)) {
            let line = &mut self.report.steps[*at];
            line.attempts += 1;
            line.to_ms = None;
            line.state = "running";
            return;
        }
        self.open.insert((step.clone(), work), self.report.steps.len());
        self.report.steps.push(StepLine {
            step: step.to_string(),
            uses,
            undo: work == Work::Undo,
            from_ms,
            to_ms: None,
            attempts: 1,
            state: "running",
            failure: None,
        });
    }

    fn close(
        &mut self,
        step: &StepPath,
        work: Work,
        at_ms: u64,
        state: &'static str,
        failure: Option<String>,
    ) {
        let Some(at) = self.open.get(&(step.clone(), work)) else { return };
        let line = &mut self.report.steps[*at];
        line.to_ms = Some(at_ms);
        line.state = state;
        line.failure = failure.or(line.failure.take());
    }

    /// What the outputs of the native actions say.
    fn facts(&mut self, step: &StepPath, work: Work, outputs: &Value, at_ms: u64) {
        let Some((kind, params)) = self.started.get(&(step.clone(), work)) else { return };
        let report = &mut self.report;
        match kind.as_str() {
            "vm.move" => {
                let moved = MovedVm::of(params, outputs);
                let runs_at_ms = moved.runs_at_unix_ms.saturating_sub(report.began_at_unix_ms);
                report.runs_at_ms = report.runs_at_ms.max(Some(runs_at_ms));
                report.owners.insert(moved.vm.clone(), moved.target.clone());
                if moved.memory_lost {
                    self.lost.push(lost_memory(step, &moved));
                }
                report.moved.push(moved);
            }
            "storage.settle" => {
                let disk = DiskProof::of(params, outputs);
                // A guest can die between its hand-over's step and the end of the run.
                let moved = report.moved.iter_mut().rfind(|moved| moved.vm == disk.vm && !moved.memory_lost);
                if let Some(moved) = moved.filter(|_| outputs["memory_lost"] == true) {
                    moved.memory_lost = true;
                    self.lost.push(lost_memory(step, moved));
                }
                report.disks.push(disk);
                report.independent_ms = report.independent_ms.max(Some(at_ms));
            }
            _ => {}
        }
        if let Some(mut tunnel) = Tunnel::of(step.as_str(), outputs) {
            let before = report.tunnels.last();
            tunnel.rtt_us = tunnel.rtt_us.or_else(|| before?.rtt_us);
            tunnel.bits_per_second = tunnel.bits_per_second.or_else(|| before?.bits_per_second);
            report.tunnels.push(tunnel);
        }
        let wire = RecordKind::all_of(outputs);
        if !wire.is_empty() {
            report.wire = wire;
        }
    }

    /// The first estimate that names a duration stands: later ones know more than was known before the move.
    fn estimate(&mut self, payload: &Value, at_ms: u64) {
        let Some(steps) = payload["steps"].as_object() else { return };
        let predicted = &mut self.report.predicted;
        let max = |name: &str| steps.values().filter_map(|step| step[name].as_u64()).max();
        let sum =
            |name: &str| steps.values().filter_map(|step| step[name].as_u64()).reduce(u64::saturating_add);
        predicted.pause_ms = predicted.pause_ms.or_else(|| max("pause_ms"));
        predicted.wire_bytes = predicted.wire_bytes.or_else(|| sum("wire_bytes"));
        if predicted.total_ms.is_none()
            && let Some(forecast) = Forecast::of(&self.plan, steps, at_ms)
        {
            predicted.total_ms = Some(forecast.total_ms);
            predicted.runs_at_ms = forecast.runs_at_ms;
            predicted.independent_ms = forecast.independent_ms;
        }
    }

    fn end(&mut self, end: &End) {
        self.report.status = end.status;
        self.report.instructions.clone_from(&end.instructions);
        self.report.outputs_error.clone_from(&end.outputs_error);
        self.report.not_begun = self.not_begun();
        self.call_off_questions();
    }

    fn finish(mut self) -> Report {
        self.report.safe_now = safe_now(&self.report);
        self.report.instructions.splice(..0, self.lost);
        self.report
    }
}

/// A hand-over whose guest died at the target before it was heard of again: the VM stays there, and somebody has to boot it.
fn lost_memory(step: &StepPath, moved: &MovedVm) -> Instruction {
    let MovedVm { vm, target, .. } = moved;
    Instruction {
        step: step.clone(),
        problem: format!("the memory of {vm} was lost: its QEMU died at site {target} after the hand-over"),
        action: format!(
            "only site {target} may run it: longhaul vm start {vm} --site {target} boots it from its disk"
        ),
    }
}
