//! The move itself, over both QEMUs' machine protocol.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::qemu::{Begin, Qemu};
use crate::addresses;
use crate::guest::{self, DISK_BYTES, Image, write_disk};
use crate::lab::Lab;
use crate::netns;
use crate::network;
use crate::place::{Place, Side};
use crate::qmp::{self, Event};
use crate::wan;

const COMMAND_MAX: Duration = Duration::from_secs(10);
/// A whole disk over a slow and lossy link.
const MIRROR_MAX: Duration = Duration::from_secs(300);
const MIRROR_LOOK: Duration = Duration::from_millis(50);
/// A tenth of a second of the link.
const MIRROR_NEARLY_DONE: u64 = 1024 * 1024;
const MIGRATE_MAX: Duration = Duration::from_secs(300);
const NBD_PORT: u16 = 10_809;
const MIGRATION_PORT: u16 = 4_444;
/// Bound on bytes the kernel holds unsent; without it they are pause (2.4 s at 150 ms, measured 2026-11).
const UNSENT_MAX: &str = "131072";
const CONGESTION_CONTROL: &str = "/proc/sys/net/ipv4/tcp_congestion_control";

/// What went wrong with a plain move.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// QEMU does not start.
    #[error("start QEMU: {said}")]
    Start {
        /// What it wrote.
        said: String,
        /// How it was noticed.
        source: qmp::Error,
    },
    /// QEMU refuses or is late.
    #[error("drive QEMU")]
    Qmp(#[from] qmp::Error),
    /// QEMU gave the migration up.
    #[error("migrate: QEMU reports `{0}`")]
    Migration(String),
    /// The mirror ended before the copy was complete.
    #[error("mirror: QEMU no longer has the job; its jobs are {0}")]
    NoMirror(String),
    /// A namespace cannot be used.
    #[error("use a site")]
    Netns(#[from] netns::Error),
    /// A route or tap cannot be made.
    #[error("connect the guest")]
    Network(#[from] network::Error),
    /// The guest's disk cannot be made.
    #[error("make the guest's disk")]
    Guest(#[from] guest::Error),
    /// The WAN does not tell its figures.
    #[error("read the WAN's figures")]
    Wan(#[from] wan::ControlError),
    /// A file cannot be used.
    #[error("use {0}")]
    Io(PathBuf, #[source] io::Error),
}

/// How a plain move went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// From the first command until the guest ran at B.
    pub total_ms: u64,
    /// Until B needed A no more; the disk is there before the guest is, so this is when the source could go.
    pub independent_ms: u64,
    /// Source STOP to target RESUME by QEMU's clocks; not a client's view.
    pub pause_ms: u64,
    /// Both directions, headers included, by the WAN's count.
    pub wire_bytes: u64,
    /// What both sites used.
    pub congestion_control: String,
    /// Both QEMUs' command lines.
    pub commands: Vec<String>,
}

/// A guest under plain QEMU at A, ready to be moved to B.
#[derive(Debug)]
pub struct PlainMove<'a> {
    lab: &'a Lab,
    image: Image,
    source: Qemu,
}

impl<'a> PlainMove<'a> {
    /// Boots the guest at A with a fresh disk. The lab must be bare, without agents.
    ///
    /// # Errors
    /// When QEMU does not start. Whether the guest came up is for the caller to see.
    pub fn boot(lab: &'a Lab, image: &Image) -> Result<Self, Error> {
        favour(lab)?;
        let folder = folder(lab, Side::A)?;
        write_disk(&folder.join("disk.raw"))?;
        let source = Qemu::start(lab, Side::A, image, &folder, Begin::Boot)?;
        Ok(Self { lab, image: image.clone(), source })
    }

    /// Moves the guest to B and returns the QEMU that runs it now; the source is ended.
    ///
    /// # Errors
    /// When QEMU refuses a step or gives up.
    pub fn run(mut self) -> Result<(Moved, Qemu), Error> {
        let begun = Instant::now();
        let before = self.lab.wan().stats()?.wire_bytes();
        let mut target = self.start_target()?;
        self.mirror(&mut target)?;
        let stopped_us = self.migrate(&mut target)?;
        let resumed = target.qmp.wait_event("RESUME", MIGRATE_MAX, |event| event.name == "RESUME")?;
        let total_ms = millis(begun);
        wait_status(&mut self.source, "completed")?;
        let independent_ms = millis(begun);
        command(&mut target, "nbd-server-stop", &json!({}))?;
        let moved = Moved {
            total_ms,
            independent_ms,
            pause_ms: resumed.at_unix_us.saturating_sub(stopped_us) / 1_000,
            wire_bytes: self.lab.wan().stats()?.wire_bytes() - before,
            congestion_control: self.lab.netns(Place::Site(Side::A)).run(congestion_control)?,
            commands: vec![self.source.command().to_owned(), target.command().to_owned()],
        };
        Ok((moved, target))
    }

    fn start_target(&self) -> Result<Qemu, Error> {
        let folder = folder(self.lab, Side::B)?;
        let disk = folder.join("disk.raw");
        let sized = fs::File::create(&disk).and_then(|file| file.set_len(DISK_BYTES));
        sized.map_err(|source| Error::Io(disk, source))?;
        Qemu::start(self.lab, Side::B, &self.image, &folder, Begin::Incoming)
    }

    /// Copies the disk and keeps the copy up to date.
    fn mirror(&mut self, target: &mut Qemu) -> Result<(), Error> {
        let server = json!({ "host": addresses::wan(Side::B).to_string(), "port": NBD_PORT.to_string() });
        command(target, "nbd-server-start", &json!({ "addr": { "type": "inet", "data": server } }))?;
        let export =
            json!({ "type": "nbd", "id": "disk", "node-name": "disk0", "name": "disk0", "writable": true });
        command(target, "block-export-add", &export)?;
        let mut far = json!({ "driver": "nbd", "node-name": "far0", "export": "disk0", "server": server });
        far["server"]["type"] = json!("inet");
        command(&mut self.source, "blockdev-add", &far)?;
        let job = json!({ "job-id": "mirror", "device": "disk0", "target": "far0", "sync": "full" });
        command(&mut self.source, "blockdev-mirror", &job)?;
        self.converge()
    }

    /// Waits until the copy is the disk. In the background alone it never is: every guest write leaves a chunk to copy
    /// again, and with one write per round trip there is always one on its way (measured 2026-11: no end after 70 s).
    /// So for the last of it guest writes wait for the far side, as libvirt's synchronous writes do.
    fn converge(&mut self) -> Result<(), Error> {
        let until = Instant::now() + MIRROR_MAX;
        let mut synchronous = false;
        while Instant::now() < until {
            let ready = |event: &Event| event.name == "BLOCK_JOB_READY";
            match self.source.qmp.wait_event("BLOCK_JOB_READY", MIRROR_LOOK, ready) {
                Err(qmp::Error::Late { .. }) => {}
                outcome => return Ok(outcome.map(drop)?),
            }
            if !synchronous && self.left_to_mirror()? <= MIRROR_NEARLY_DONE {
                let change = json!({ "id": "mirror", "type": "mirror", "copy-mode": "write-blocking" });
                command(&mut self.source, "block-job-change", &change)?;
                synchronous = true;
            }
        }
        let what = "BLOCK_JOB_READY of the mirror".to_owned();
        Err(qmp::Error::Late { what, seconds: MIRROR_MAX.as_secs() }.into())
    }

    /// Bytes the mirror still has to copy.
    fn left_to_mirror(&mut self) -> Result<u64, Error> {
        let jobs = self.source.qmp.execute("query-block-jobs", &json!({}), COMMAND_MAX)?;
        let bytes = |key: &str| jobs[0][key].as_u64();
        let left = bytes("len").zip(bytes("offset")).map(|(all, done)| all.saturating_sub(done));
        left.ok_or_else(|| Error::NoMirror(jobs.to_string()))
    }

    /// Migrates; returns when the source stopped, microseconds since the epoch.
    fn migrate(&mut self, target: &mut Qemu) -> Result<u64, Error> {
        let wanted = ["events", "return-path", "pause-before-switchover"];
        let capabilities: Vec<Value> =
            wanted.iter().map(|name| json!({ "capability": name, "state": true })).collect();
        for qemu in [&mut self.source, &mut *target] {
            command(qemu, "migrate-set-capabilities", &json!({ "capabilities": capabilities }))?;
        }
        let uri = json!({ "uri": format!("tcp:{}:{MIGRATION_PORT}", addresses::wan(Side::B)) });
        command(target, "migrate-incoming", &uri)?;
        command(&mut self.source, "migrate", &uri)?;
        let stop = self
            .source
            .qmp
            .wait_event("STOP", MIGRATE_MAX, |event| event.name == "STOP" || is_failure(event))?;
        if is_failure(&stop) {
            return Err(Error::Migration(stop.data.to_string()));
        }
        let via = addresses::wan(Side::B);
        self.lab.netns(Place::Site(Side::A)).run(|| network::redirect(addresses::GUEST, via))??;
        wait_status(&mut self.source, "pre-switchover")?;
        command(&mut self.source, "block-job-cancel", &json!({ "device": "mirror" }))?;
        let ended = |event: &Event| event.name == "BLOCK_JOB_COMPLETED";
        self.source.qmp.wait_event("BLOCK_JOB_COMPLETED", MIGRATE_MAX, ended)?;
        command(&mut self.source, "migrate-continue", &json!({ "state": "pre-switchover" }))?;
        Ok(stop.at_unix_us)
    }
}

fn is_failure(event: &Event) -> bool {
    event.name == "MIGRATION" && event.data["status"] == "failed"
}

fn wait_status(qemu: &mut Qemu, status: &str) -> Result<(), Error> {
    let reached = |event: &Event| event.name == "MIGRATION" && event.data["status"] == status;
    let event = qemu.qmp.wait_event(status, MIGRATE_MAX, |event| reached(event) || is_failure(event))?;
    if reached(&event) { Ok(()) } else { Err(Error::Migration(event.data.to_string())) }
}

fn command(qemu: &mut Qemu, name: &str, arguments: &Value) -> Result<(), Error> {
    qemu.qmp.execute(name, arguments, COMMAND_MAX)?;
    Ok(())
}

fn folder(lab: &Lab, side: Side) -> Result<PathBuf, Error> {
    let folder = lab.files().folder().join(format!("plain-{}", side.as_str()));
    fs::create_dir_all(&folder).map_err(|source| Error::Io(folder.clone(), source))?;
    Ok(folder)
}

/// Gives both sites' sockets what Longhaul's own get: BBR, and a bound on unsent bytes. A kernel without BBR keeps its default,
/// and results say so.
///
/// # Errors
/// When a site cannot be entered, or its kernel knows no such bound.
pub fn favour(lab: &Lab) -> Result<(), Error> {
    Side::BOTH.into_iter().try_for_each(|side| lab.netns(Place::Site(side)).run(tune)?)
}

fn tune() -> Result<(), Error> {
    let unsent = Path::new("/proc/sys/net/ipv4/tcp_notsent_lowat");
    fs::write(unsent, UNSENT_MAX).map_err(|source| Error::Io(unsent.to_owned(), source))?;
    if let Err(error) = fs::write(CONGESTION_CONTROL, "bbr") {
        tracing::warn!(%error, "the plain peer does without BBR");
    }
    Ok(())
}

fn congestion_control() -> String {
    fs::read_to_string(CONGESTION_CONTROL).unwrap_or_default().trim().to_owned()
}

fn millis(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}
