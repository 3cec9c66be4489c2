//! The report as text and as rows, which the page shows too.

use super::units::{bytes, millis, or_not_known, rate};
use super::{Client, GivenUp, Report, Verdict};

/// Most of the steps and items that are listed as never begun.
const NOT_BEGUN_MAX: usize = 50;

/// A headed list of lines.
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) lines: Vec<String>,
}

impl Report {
    /// The report as text, at most about 110 columns wide.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{}\n\n{}\n", self.title(), self.headline());
        for Section { title, lines } in self.sections() {
            text.push_str(&format!("\n{title}\n"));
            for line in lines {
                text.push_str(&format!("  {line}\n"));
            }
        }
        text
    }

    pub(super) fn title(&self) -> String {
        let verdict =
            self.verdict.as_ref().map_or_else(String::new, |found| format!("; verdict {}", found.colour()));
        format!("run {}: {}, {}{verdict}", self.run, self.workflow, self.status)
    }

    /// What was seen from outside: the verdict, if there is one, and what clients saw. Before it, what no client may have
    /// seen yet: a guest that died.
    #[must_use]
    pub fn headline(&self) -> String {
        let lost = self.moved.iter().filter(|moved| moved.memory_lost);
        let lost = lost.map(|moved| format!("the memory of {} was lost", moved.vm));
        let verdict = self.verdict.as_ref().map(|found| format!("verdict: {}", found.text()));
        lost.chain(verdict).chain([self.clients_line()]).collect::<Vec<_>>().join("; ")
    }

    /// Whether a guest died right after it was handed over: its run may have succeeded, and yet somebody has to boot it.
    #[must_use]
    pub fn has_lost_memory(&self) -> bool {
        self.moved.iter().any(|moved| moved.memory_lost)
    }

    fn clients_line(&self) -> String {
        if self.clients.is_empty() {
            return "clients: not observed".to_owned();
        }
        let total = |number: fn(&Client) -> u64| self.clients.iter().map(number).sum::<u64>();
        let gap = self.clients.iter().map(|client| client.longest_gap_ms).max().unwrap_or(0);
        format!(
            "clients: longest gap of an existing connection {}, {} lines missing, {} resets, {} of {} requests failed, \
             {} connections watched",
            millis(gap),
            total(|client| client.missing),
            total(|client| client.resets),
            total(|client| client.failed_requests),
            total(|client| client.requests),
            total(|client| client.connections),
        )
    }

    pub(super) fn sections(&self) -> Vec<Section> {
        let sections = [
            ("Verdict", self.verdict.as_ref().map(Verdict::lines).unwrap_or_default()),
            ("Given up", self.given_up_line()),
            ("Outputs that are missing", self.outputs_error.iter().cloned().collect()),
            ("What is safe now", self.safe_now.clone()),
            ("What is to be done", self.to_do()),
            ("What policies said", self.policy_lines()),
            ("Which site owns each VM", self.owner_lines()),
            ("Predicted beside actual", self.predicted_lines()),
            ("Time line", self.step_lines()),
            ("What never began", self.not_begun_lines()),
            ("Bytes between the sites", self.wire_lines()),
            ("Lanes", self.lane_lines()),
            ("Disks", self.disk_lines()),
            ("Plugins", self.plugins.iter().map(ToString::to_string).collect()),
        ];
        let full = sections.into_iter().filter(|(_, lines)| !lines.is_empty());
        full.map(|(title, lines)| Section { title, lines }).collect()
    }

    fn given_up_line(&self) -> Vec<String> {
        let line = |given_up: &GivenUp| format!("after {}: {}", millis(given_up.at_ms), given_up.reason);
        self.given_up.iter().map(line).collect()
    }

    fn not_begun_lines(&self) -> Vec<String> {
        let within = self.unanswered.keys().filter(|step| !self.not_begun.contains(step));
        let steps: Vec<&String> = self.not_begun.iter().chain(within).collect();
        let (shown, rest) = steps.split_at(steps.len().min(NOT_BEGUN_MAX));
        let more = (!rest.is_empty()).then(|| format!("and {} more", rest.len()));
        let line = |step: &&String| match self.unanswered.get(*step) {
            Some(failed) => {
                format!("{step}: it answers a failure of {failed}, which left a part of itself")
            }
            None => (*step).clone(),
        };
        shown.iter().map(line).chain(more).collect()
    }

    fn to_do(&self) -> Vec<String> {
        let line = |to_do: &crate::intent::Instruction| {
            format!("{}: {}; {}", to_do.step, to_do.problem, to_do.action)
        };
        self.instructions.iter().map(line).collect()
    }

    fn policy_lines(&self) -> Vec<String> {
        let line = |line: &super::PolicyLine| {
            let about = line.step.as_ref().map_or_else(String::new, |step| format!(" {step}"));
            format!("{}{about}: {} {}", line.hook, line.policy, line.said)
        };
        self.policies.iter().map(line).collect()
    }

    fn owner_lines(&self) -> Vec<String> {
        self.owners.iter().map(|(vm, site)| format!("{vm}: {site}")).collect()
    }

    fn predicted_lines(&self) -> Vec<String> {
        let predicted = &self.predicted;
        let pause_ms = self.moved.iter().map(|moved| moved.predicted_pause_ms).max();
        let pause = predicted.pause_ms.or(pause_ms).map(millis);
        let paused = self.moved.iter().map(|moved| moved.paused_us).max();
        let paused = paused.map(|us| format!("{}.{:03} ms", us / 1_000, us % 1_000));
        let wire = (!self.wire.is_empty()).then(|| bytes(self.wire.iter().map(|kind| kind.wire_bytes).sum()));
        vec![
            row("", Some("predicted".to_owned()), Some("actual".to_owned())),
            row("total time", predicted.total_ms.map(millis), Some(millis(self.total_ms))),
            row(
                "guest runs at the target after",
                predicted.runs_at_ms.map(millis),
                self.runs_at_ms.map(millis),
            ),
            row(
                "source not needed any more after",
                predicted.independent_ms.map(millis),
                self.independent_ms.map(millis),
            ),
            row("pause by the agents' clocks", pause, paused),
            row("bytes between the sites before TLS", predicted.wire_bytes.map(bytes), wire),
        ]
    }

    fn step_lines(&self) -> Vec<String> {
        let line = |step: &super::StepLine| {
            let took = step.to_ms.map(|to| millis(to.saturating_sub(step.from_ms)));
            let undo = if step.undo { "undo " } else { "" };
            let attempts =
                if step.attempts > 1 { format!(", {} attempts", step.attempts) } else { String::new() };
            let why = step.failure.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            format!(
                "{:>12}  {:>12}  {undo}{} ({}) {}{attempts}{why}",
                millis(step.from_ms),
                or_not_known(took),
                step.step,
                step.uses,
                step.state,
            )
        };
        self.steps.iter().map(line).collect()
    }

    fn wire_lines(&self) -> Vec<String> {
        let line = |kind: &super::RecordKind| {
            format!(
                "{:<10} {:<10} {:>8} records  {:>12} raw  {:>12} before TLS",
                kind.class,
                kind.kind,
                kind.records,
                bytes(kind.raw_bytes),
                bytes(kind.wire_bytes)
            )
        };
        let wan = self.wan_bytes.map(|wan| {
            format!("the WAN itself counted {}, both directions, TLS and packet headers included", bytes(wan))
        });
        self.wire.iter().map(line).chain(wan).collect()
    }

    /// The lanes as they were last read.
    fn lane_lines(&self) -> Vec<String> {
        let Some(tunnel) = self.tunnels.last() else { return Vec::new() };
        let rtt = tunnel.rtt_us.map(|us| format!("{}.{:03} ms", us / 1_000, us % 1_000));
        let mut lines = vec![format!(
            "round trip {}, goodput {}, read by {}; since the run began to use it:",
            or_not_known(rtt),
            or_not_known(tunnel.bits_per_second.map(rate)),
            tunnel.step
        )];
        lines.extend(tunnel.lanes.iter().map(|lane| {
            format!(
                "lane {}: {}, {} sent, {} received, {} retransmits",
                lane.id,
                lane.congestion_control,
                bytes(lane.bytes_sent),
                bytes(lane.bytes_received),
                lane.retransmits
            )
        }));
        lines
    }

    fn disk_lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for moved in &self.moved {
            let (vm, absent, allocated) =
                (&moved.vm, bytes(moved.absent_bytes), bytes(moved.allocated_bytes));
            lines.push(match moved.allocated_bytes {
                0 => format!("{vm}: how much was still at the source at the hand-over is not known"),
                _ => format!("{vm}: {absent} of {allocated} were still at the source at the hand-over"),
            });
        }
        for disk in &self.disks {
            let proof = if disk.ok { "proven equal" } else { "NOT PROVEN" };
            lines.push(format!(
                "{}: {proof}, root {}, {} leaves, {} overwritten by the guest first",
                disk.vm, disk.root, disk.extents, disk.superseded
            ));
            let (reads, read) = (disk.demand_reads, bytes(disk.demand_bytes));
            lines.push(format!("{}: {reads} demand reads over the WAN, {read}", disk.vm));
        }
        lines
    }
}

fn row(what: &str, predicted: Option<String>, actual: Option<String>) -> String {
    format!("{what:<34} {:>16}  {:>16}", or_not_known(predicted), or_not_known(actual))
}
