//! Steps that let time pass. The time goes on while no controller runs.

use jiff::Timestamp;
use longhaul_expr::Template;
use longhaul_model::units::Time;
use longhaul_plan::Wait as Pausing;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Block, NodeId, Saga, State};
use crate::intent::Pause;
use crate::{Command, Failure, Intent, Wait};

/// A step that waits for a time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Paused {
    until_unix_ms: u64,
    pub(super) timer: u64,
}

impl Paused {
    /// Until when, in Unix milliseconds.
    pub(super) fn until_unix_ms(&self) -> u64 {
        self.until_unix_ms
    }
}

impl Saga {
    pub(super) fn begin_pause(&mut self, id: NodeId, wait: &Pausing) {
        match self.end_of_pause(id, wait) {
            Ok(until_unix_ms) => {
                let step = self.node(id).path.clone();
                self.decide(Intent::Pause(Pause { step, until_unix_ms }));
                // No step begins after a deadline, not even for the moment that a timer takes.
                if until_unix_ms <= self.now_unix_ms
                    && self.frame(self.node(id).frame).block == Block::Deadline
                {
                    return self.end_pause(id);
                }
                self.pause_until(id, until_unix_ms);
            }
            Err(why) => self.refuse(id, Failure::new("precondition", format!("wait: {why}"))),
        }
    }

    fn end_of_pause(&self, id: NodeId, wait: &Pausing) -> Result<u64, String> {
        let text = |template: &Template| match template.evaluate(&self.scope_of(id)) {
            Ok(Value::String(text)) => Ok(text),
            Ok(other) => Err(format!("{other} is neither a duration nor a time")),
            Err(error) => Err(error.to_string()),
        };
        match wait {
            Pausing::For(template) => {
                let time: Time = text(template)?.parse().map_err(|error| format!("{error}"))?;
                Ok(self.now_unix_ms.saturating_add(time.as_millis()))
            }
            Pausing::Until(template) => {
                let text = text(template)?;
                let until: Timestamp = text
                    .parse()
                    .map_err(|_| format!("`{text}` is not a time: write one such as 2026-08-30T18:00:00Z"))?;
                // A time before 1970 is over as well.
                Ok(u64::try_from(until.as_millisecond()).unwrap_or(0))
            }
        }
    }

    /// Waits for what is left of a pause; none is left of one that is over.
    fn pause_until(&mut self, id: NodeId, until_unix_ms: u64) {
        let timer = self.set_timer(id, until_unix_ms.saturating_sub(self.now_unix_ms));
        self.node_mut(id).state = State::Paused(Paused { until_unix_ms, timer });
    }

    /// Asks for a timer; its number.
    pub(super) fn set_timer(&mut self, id: NodeId, millis: u64) -> u64 {
        self.timers += 1;
        let (timer, step) = (self.timers, self.node(id).path.clone());
        self.outbox.push(Command::Wait(Wait { step, timer, millis }));
        timer
    }

    /// A new controller waits for what is left.
    pub(super) fn pause_again(&mut self, id: NodeId) {
        if let State::Paused(Paused { until_unix_ms, .. }) = self.node(id).state {
            self.pause_until(id, until_unix_ms);
        }
    }

    pub(super) fn end_pause(&mut self, id: NodeId) {
        let node = self.node_mut(id);
        node.outputs = Some(Value::Object(serde_json::Map::new()));
        node.state = State::Done;
        let frame = node.frame;
        self.hold_after(id);
        self.touch(frame);
    }
}
