//! A QEMU of the peer: its tap, its command line, its process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tun_rs::{DeviceBuilder, Layer};

use super::moving::Error;
use crate::addresses::{GUEST, GUEST_MAC};
use crate::guest::{Image, Options};
use crate::lab::Lab;
use crate::network;
use crate::place::{Place, Side};
use crate::qmp::Qmp;

/// QEMU's machine type of the lab's guest: versioned, or a move between versions would change the hardware.
pub const MACHINE: &str = "pc-q35-10.0";
/// QEMU's CPU model of the lab's guest, under its own translator.
pub const CPU: &str = "max";
const PROGRAM: &str = "qemu-system-x86_64";
const TAP: &str = "tap0";
const START_MAX: Duration = Duration::from_secs(30);

/// A QEMU that runs at a site; killed when dropped.
#[derive(Debug)]
pub struct Qemu {
    child: Child,
    command: String,
    /// Its machine protocol.
    pub qmp: Qmp,
}

/// How a QEMU is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    Boot,
    Incoming,
}

impl Qemu {
    /// Starts a QEMU at a site, with the disk in `folder`.
    pub(super) fn start(
        lab: &Lab,
        side: Side,
        image: &Image,
        folder: &Path,
        begin: Begin,
    ) -> Result<Self, Error> {
        let netns = lab.netns(Place::Site(side));
        netns.run(make_tap)??;
        let socket = folder.join("qmp.sock");
        let mut command = Command::new(PROGRAM);
        command.args(arguments(image, folder, &socket));
        if begin == Begin::Incoming {
            command.args(["-incoming", "defer"]);
        }
        let log = folder.join("qemu.log");
        let file = fs::File::create(&log).map_err(|source| Error::Io(log.clone(), source))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let text = format!("{command:?}").replace('"', "");
        let mut child = netns.spawn(&mut command)?;
        match Qmp::connect(&socket, START_MAX) {
            Ok(qmp) => Ok(Self { child, command: text, qmp }),
            Err(error) => {
                let _ended = child.kill();
                let _reaped = child.wait();
                let said = fs::read_to_string(&log).unwrap_or_default();
                Err(Error::Start { said: said.trim().to_owned(), source: error })
            }
        }
    }

    /// The command line it was started with.
    #[must_use]
    pub fn command(&self) -> &str {
        &self.command
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A tap that stays when this process closes it, so that QEMU finds it by name.
fn make_tap() -> Result<(), Error> {
    let made = DeviceBuilder::new().name(TAP).layer(Layer::L2).build_sync().and_then(|tap| tap.persist());
    made.map_err(|source| Error::Io(PathBuf::from(TAP), source))?;
    Ok(network::configure_tap(TAP, GUEST)?)
}

fn arguments(image: &Image, folder: &Path, socket: &Path) -> Vec<String> {
    let disk = folder.join("disk.raw");
    let mut words: Vec<String> = ["-nodefaults", "-no-user-config", "-display", "none", "-accel", "tcg"]
        .iter()
        .map(|word| (*word).to_owned())
        .collect();
    let mut add = |option: &str, value: String| words.extend([format!("-{option}"), value]);
    add("machine", MACHINE.to_owned());
    add("cpu", CPU.to_owned());
    add("m", "128".to_owned());
    add("kernel", image.kernel.display().to_string());
    add("initrd", image.initrd.display().to_string());
    add("append", Options::default().cmdline());
    add("blockdev", format!("driver=file,node-name=file0,filename={}", disk.display()));
    add("blockdev", "driver=raw,node-name=disk0,file=file0".to_owned());
    add("device", "virtio-blk-pci,drive=disk0,id=virtio-disk0".to_owned());
    add("netdev", format!("tap,id=net0,ifname={TAP},script=no,downscript=no"));
    add("device", format!("virtio-net-pci,netdev=net0,mac={GUEST_MAC},id=nic0,event_idx=off,romfile="));
    add("serial", format!("file:{}", folder.join("console.log").display()));
    add("qmp", format!("unix:{},server=on,wait=off", socket.display()));
    words
}
