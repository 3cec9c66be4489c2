//! QEMU's command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use longhaul_model::vm::Vm;
use serde_json::json;

use super::paths::Paths;
use crate::facts::Epoch;

/// How long QEMU waits for a disk server that is away, in seconds. Longer than any restart of one: the guest's requests
/// wait meanwhile, and an error instead would reach the guest's file system.
const DISK_PATIENCE_SECONDS: u32 = 6 * 3600;

/// The guest's disk as QEMU names it, the same at every site: migration matches devices by it.
const DISK_DEVICE: &str = "disk0";

/// What connects a machine to its site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachments {
    /// Whether the disk is attached, through the disk server's socket. A machine without one serves rehearsals.
    pub disk: bool,
    /// The tap device, made by the caller; none for a machine without a network.
    pub tap: Option<String>,
    /// The folder of kernels and initrds; none for a machine that boots its firmware only.
    pub boot: Option<PathBuf>,
}

/// Everything a QEMU is started from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The VM's specification, the same at every site.
    pub vm: Vm,
    /// The epoch under which it attaches its disk.
    pub epoch: Epoch,
    /// Its files.
    pub paths: Paths,
    /// What connects it to the site.
    pub attachments: Attachments,
}

/// Whether the guest boots or receives its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    Boot,
    Incoming,
}

/// The name under which a QEMU attaches its disk.
pub(super) fn export(vm: &str, epoch: Epoch) -> String {
    format!("{vm}@{epoch}")
}

/// The arguments, the program's name left out.
pub(super) fn arguments(launch: &Launch, begin: Begin) -> Vec<OsString> {
    let mut line = Line(Vec::new());
    process(&mut line, launch);
    machine(&mut line, &launch.vm);
    monitors(&mut line, &launch.paths);
    if let Some(folder) = &launch.attachments.boot {
        boot(&mut line, &launch.vm, folder);
    }
    if launch.attachments.disk {
        disk(&mut line, launch);
    }
    if let Some(tap) = &launch.attachments.tap {
        network(&mut line, &launch.vm, tap);
    }
    if begin == Begin::Incoming {
        line.flag("-S").option("-incoming", "defer");
    }
    line.0
}

struct Line(Vec<OsString>);

impl Line {
    fn flag(&mut self, flag: &str) -> &mut Self {
        self.0.push(flag.into());
        self
    }

    fn option(&mut self, flag: &str, value: impl Into<OsString>) -> &mut Self {
        self.0.extend([flag.into(), value.into()]);
        self
    }
}

/// `-daemonize` gives QEMU a session of its own and returns when it is ready. The epoch stands in the name too, so that it
/// can be read from the process of a machine without a disk.
fn process(line: &mut Line, launch: &Launch) {
    let name = format!("guest={},process={}", launch.vm.id, export(launch.vm.id.as_str(), launch.epoch));
    line.option("-name", name).flag("-no-user-config").flag("-nodefaults").option("-display", "none");
    line.flag("-daemonize").option("-pidfile", launch.paths.pid());
    line.option("-D", launch.paths.qemu_log()).option("-msg", "timestamp=on");
}

/// Always TCG for now: `/dev/kvm` may open and QEMU may start on it although no guest ever boots there, so KVM may only be
/// chosen by a boot check, and both sites have to agree.
fn machine(line: &mut Line, vm: &Vm) {
    line.option("-machine", format!("{},accel=tcg", vm.machine)).option("-cpu", &vm.cpu);
    line.option("-smp", vm.vcpus.to_string()).option("-m", format!("{}B", vm.memory.as_bytes()));
    line.option("-uuid", &vm.uuid);
}

fn monitors(line: &mut Line, paths: &Paths) {
    for (id, path) in [("qmp", paths.qmp()), ("observer", paths.observer())] {
        line.option("-chardev", with_path(&format!("socket,id={id},server=on,wait=off,path="), &path));
        line.option("-mon", format!("chardev={id},mode=control"));
    }
    line.option("-chardev", with_path("file,id=serial,append=on,path=", &paths.serial_log()));
    line.option("-serial", "chardev:serial");
}

fn boot(line: &mut Line, vm: &Vm, folder: &Path) {
    line.option("-kernel", folder.join(&vm.boot.kernel)).option("-initrd", folder.join(&vm.boot.initrd));
    line.option("-append", &vm.boot.cmdline);
}

fn disk(line: &mut Line, launch: &Launch) {
    let node = json!({
        "driver": "nbd",
        "node-name": "disk",
        "server": { "type": "unix", "path": launch.paths.disk().to_string_lossy() },
        "export": export(launch.vm.id.as_str(), launch.epoch),
        "reconnect-delay": DISK_PATIENCE_SECONDS,
        "open-timeout": DISK_PATIENCE_SECONDS,
        "discard": "unmap",
    });
    line.option("-blockdev", node.to_string());
    line.option("-device", format!("virtio-blk-pci,id={DISK_DEVICE},drive=disk,rerror=stop,werror=stop"));
}

/// Without event indices: a machine with one processor is emulated without the memory barriers of locked instructions, with
/// which Linux tells a virtio device that it waits for an interrupt. The device can see that too late; with event indices the
/// guest would hear nothing of its network any more, without them until the next packet.
///
/// Without its option ROM: the guest boots from a kernel file, and the ROM's size would have to be the same everywhere.
fn network(line: &mut Line, vm: &Vm, tap: &str) {
    line.option("-netdev", format!("tap,id=net,ifname={tap},script=no,downscript=no,vhost=off"));
    line.option(
        "-device",
        format!("virtio-net-pci,id=nic0,netdev=net,mac={},event_idx=off,romfile=", vm.nic.mac),
    );
}

/// An option value that ends in a path; QEMU reads a doubled comma as one.
fn with_path(options: &str, path: &Path) -> OsString {
    let doubled = path.to_string_lossy().replace(',', ",,");
    format!("{options}{doubled}").into()
}

#[cfg(test)]
pub(crate) mod tests {
    use longhaul_model::units::Size;
    use longhaul_model::vm::{Boot, Disk, Nic};

    use super::*;

    /// A small machine for tests.
    pub(crate) fn small(id: &str) -> Vm {
        Vm {
            id: id.parse().unwrap(),
            uuid: "7b0a7a52-3c5e-4d0e-9a0a-0c1f4f7f5a01".to_owned(),
            home: "a".parse().unwrap(),
            machine: "pc-q35-10.0".to_owned(),
            cpu: "qemu64".to_owned(),
            vcpus: 1,
            memory: Size::from_bytes(64 << 20),
            disk: Disk { size: Size::from_bytes(64 << 20) },
            nic: Nic {
                mac: "52:54:00:00:00:01".to_owned(),
                address: [10, 10, 0, 50].into(),
                service: Vec::new(),
            },
            boot: Boot {
                kernel: "aa".to_owned(),
                initrd: "bb".to_owned(),
                cmdline: "console=ttyS0".to_owned(),
            },
        }
    }

    /// The whole line, as one text: what makes a QEMU survive the agent, meet its disk and be found again.
    #[test]
    fn the_command_line_of_an_incoming_machine() {
        let launch = Launch {
            vm: small("vm-a"),
            epoch: Epoch(7),
            paths: Paths::new(Path::new("/s,t"), &"vm-a".parse().unwrap()),
            attachments: Attachments { disk: true, tap: Some("tap7".to_owned()), boot: Some("/boot".into()) },
        };
        let words = arguments(&launch, Begin::Incoming);
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        // An option and its value share a line.
        let line = words.join(" ").replace(" -", "\n-");
        insta::assert_snapshot!(line, @r#"
        -name guest=vm-a,process=vm-a@7
        -no-user-config
        -nodefaults
        -display none
        -daemonize
        -pidfile /s,t/run/vm-a/qemu.pid
        -D /s,t/run/vm-a/qemu.log
        -msg timestamp=on
        -machine pc-q35-10.0,accel=tcg
        -cpu qemu64
        -smp 1
        -m 67108864B
        -uuid 7b0a7a52-3c5e-4d0e-9a0a-0c1f4f7f5a01
        -chardev socket,id=qmp,server=on,wait=off,path=/s,,t/run/vm-a/qmp.sock
        -mon chardev=qmp,mode=control
        -chardev socket,id=observer,server=on,wait=off,path=/s,,t/run/vm-a/observer.sock
        -mon chardev=observer,mode=control
        -chardev file,id=serial,append=on,path=/s,,t/run/vm-a/serial.log
        -serial chardev:serial
        -kernel /boot/aa
        -initrd /boot/bb
        -append console=ttyS0
        -blockdev {"driver":"nbd","node-name":"disk","server":{"type":"unix","path":"/s,t/run/vm-a/disk.sock"},"export":"vm-a@7","reconnect-delay":21600,"open-timeout":21600,"discard":"unmap"}
        -device virtio-blk-pci,id=disk0,drive=disk,rerror=stop,werror=stop
        -netdev tap,id=net,ifname=tap7,script=no,downscript=no,vhost=off
        -device virtio-net-pci,id=nic0,netdev=net,mac=52:54:00:00:00:01,event_idx=off,romfile=
        -S
        -incoming defer
        "#);
    }
}
