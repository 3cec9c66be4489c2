//! The source QEMU's side of a migration: set it up, watch it, switch.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::io::AsyncWrite;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::convergence::{Convergence, Sample};
use super::error::Error;
use super::frame::{self, Extent};
use super::hooks::Progress;
use super::limits::Limits;
use super::send::Sending;
use crate::faults::FaultPoint;
use crate::qmp::{Client, Event, Events};
use crate::vm::Machine;

/// For commands that QEMU answers at once.
pub(super) const ASK_DEADLINE: Duration = Duration::from_secs(10);

/// How often QEMU is asked how far it is, when no event comes first.
const TICK: Duration = Duration::from_millis(50);

/// "As fast as the stream takes it": the tunnel paces, not QEMU. 1 TiB/s.
const BANDWIDTH_BYTES_PER_SECOND: u64 = 1 << 40;

/// Capabilities that both QEMUs of a move need. `return-path` must be off: with it on, QEMU resumes the source by itself
/// when the stream breaks late. `late-block-activate` leaves the disk alone until the target lets the guest run.
pub(super) fn capabilities(source: bool) -> Value {
    let wanted = [
        ("events", true),
        ("return-path", false),
        ("multifd", false),
        ("postcopy-ram", false),
        ("late-block-activate", true),
        ("validate-uuid", true),
        ("pause-before-switchover", source),
    ];
    let list: Vec<_> = wanted.iter().map(|(name, on)| json!({ "capability": name, "state": on })).collect();
    json!({ "capabilities": list })
}

/// Sets the migration up and starts it towards the socket on which the caller listens.
pub(super) async fn begin(machine: &Machine, limits: &Limits) -> Result<(), Error> {
    let qmp = machine.qmp();
    qmp.execute("migrate-set-capabilities", capabilities(true), ASK_DEADLINE).await?;
    let pause_ms = u64::try_from(limits.max_pause.as_millis()).unwrap_or(u64::MAX);
    let parameters = json!({ "downtime-limit": pause_ms, "max-bandwidth": BANDWIDTH_BYTES_PER_SECOND });
    qmp.execute("migrate-set-parameters", parameters, ASK_DEADLINE).await?;
    let uri = format!("unix:{}", machine.paths().outgoing().display());
    qmp.execute("migrate", json!({ "uri": uri }), ASK_DEADLINE).await?;
    Ok(())
}

/// Where a migration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// None was ever started.
    None,
    Active,
    PreSwitchover,
    /// The last of the state is on its way.
    Device,
    Completed,
    /// QEMU is taking itself out of it.
    Cancelling,
    Failed,
}

/// QEMU's answer to `query-migrate`.
#[derive(Debug)]
pub(super) struct Info {
    pub(super) status: Status,
    answer: Value,
}

impl Info {
    pub(super) async fn ask(qmp: &Client) -> Result<Self, Error> {
        let answer = qmp.execute("query-migrate", Value::Null, ASK_DEADLINE).await?;
        let status = match answer["status"].as_str().unwrap_or("none") {
            "none" => Status::None,
            "pre-switchover" => Status::PreSwitchover,
            "device" => Status::Device,
            "completed" => Status::Completed,
            "cancelling" => Status::Cancelling,
            "failed" | "cancelled" => Status::Failed,
            _ => Status::Active,
        };
        Ok(Self { status, answer })
    }

    pub(super) fn failure(&self) -> Error {
        let text = |key: &str| self.answer[key].as_str().unwrap_or("nothing more").to_owned();
        Error::Migration { status: text("status"), said: text("error-desc") }
    }

    fn ram(&self, key: &str) -> u64 {
        self.answer["ram"][key].as_u64().unwrap_or_default()
    }

    fn sample(&self, at: Duration) -> Sample {
        let (transferred, remaining) = (self.ram("transferred"), self.ram("remaining"));
        Sample { at, transferred, remaining, pass: self.ram("dirty-sync-count") }
    }
}

/// What the switch came to.
#[derive(Debug)]
pub(super) struct Switched {
    pub(super) stopped_at_unix_us: u64,
    pub(super) predicted_pause: Duration,
    pub(super) extents: Vec<Extent>,
}

/// Watches the migration until QEMU is done with it.
pub(super) struct Watch<'a, W> {
    pub(super) sending: &'a Sending,
    pub(super) machine: &'a Machine,
    pub(super) writer: &'a Mutex<W>,
    pub(super) events: Events,
    pub(super) convergence: Convergence,
    pub(super) began: Instant,
    stopped: Option<(Instant, u64)>,
    switched: Option<Switched>,
}

impl<'a, W: AsyncWrite + Unpin> Watch<'a, W> {
    /// Events have to be listened to from before the migration begins.
    pub(super) fn new(sending: &'a Sending, machine: &'a Machine, writer: &'a Mutex<W>) -> Self {
        let (events, began) = (machine.qmp().events(), Instant::now());
        let convergence = Convergence::new();
        Self { sending, machine, writer, events, convergence, began, stopped: None, switched: None }
    }

    /// Until `completed`.
    pub(super) async fn run(mut self) -> Result<Switched, Error> {
        loop {
            if let Ok(Some(event)) = timeout(TICK, self.events.next()).await {
                self.hear(&event);
            }
            let info = Info::ask(self.machine.qmp()).await?;
            match info.status {
                Status::Active => self.copying(&info)?,
                Status::PreSwitchover if self.switched.is_none() => self.switch().await?,
                Status::PreSwitchover | Status::Device => {}
                Status::Completed => {
                    let early = || Error::Protocol { what: "QEMU completed without a switch".to_owned() };
                    return self.switched.ok_or_else(early);
                }
                Status::None | Status::Cancelling | Status::Failed => return Err(info.failure()),
            }
            self.check_pause()?;
        }
    }

    fn hear(&mut self, event: &Event) {
        if event.name == "STOP" && self.stopped.is_none() {
            self.stopped = Some((Instant::now(), event.at_unix_us));
        }
    }

    fn copying(&mut self, info: &Info) -> Result<(), Error> {
        let sample = info.sample(self.began.elapsed());
        self.convergence.observe(sample);
        (self.sending.progress)(Progress {
            bytes_done: sample.transferred,
            bytes_total: sample.transferred.saturating_add(sample.remaining),
            bytes_per_second: self.convergence.rate(),
            phase: "memory",
        });
        let limits = &self.sending.side.limits;
        let implied = self.convergence.implied();
        if self.convergence.without_progress() > limits.stall && implied > limits.max_pause {
            return Err(Error::Diverges {
                wanted_ms: millis(limits.max_pause),
                implied_ms: millis(implied),
                tried_seconds: limits.stall.as_secs(),
            });
        }
        Ok(())
    }

    /// The guest is stopped: the last dirty round goes in band, then QEMU may send the rest.
    async fn switch(&mut self) -> Result<(), Error> {
        let side = &self.sending.side;
        let stopped = *self.stopped.get_or_insert_with(|| (Instant::now(), now_unix_us()));
        let predicted_pause = self.convergence.implied() + side.limits.one_way;
        side.faults.reach(FaultPoint::SourcePreSwitchover).await;
        let round = timeout(side.limits.switch, side.disk.last_round()).await;
        let late = |_| Error::SwitchTooLong { allowed_ms: millis(side.limits.switch) };
        let round = round.map_err(late)?;
        let round = round.map_err(|source| Error::Disk { what: "read the last dirty round", source })?;
        side.faults.reach(FaultPoint::SourceFrozen).await;
        let extents = if side.breaks.skip_last_dirty_round { Vec::new() } else { round };
        let sent = timeout(side.limits.switch, async {
            frame::write_extents(&mut *self.writer.lock().await, &extents).await
        });
        sent.await.map_err(late)??;
        side.faults.reach(FaultPoint::SourceListSent).await;
        let go_on = json!({ "state": "pre-switchover" });
        self.machine.qmp().execute("migrate-continue", go_on, ASK_DEADLINE).await?;
        side.faults.reach(FaultPoint::SourceContinued).await;
        self.switched = Some(Switched { stopped_at_unix_us: stopped.1, predicted_pause, extents });
        Ok(())
    }

    fn check_pause(&self) -> Result<(), Error> {
        let allowed = self.sending.side.limits.switch;
        match self.stopped {
            Some((at, _)) if at.elapsed() > allowed => {
                Err(Error::SwitchTooLong { allowed_ms: millis(allowed) })
            }
            Some(_) | None => Ok(()),
        }
    }
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The clock of the host, microseconds since 1970.
pub(super) fn now_unix_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
