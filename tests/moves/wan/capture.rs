//! All packets of the WAN, as `tcpdump` saw them at site A.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Stdio};

use longhaul_lab::addresses::WAN_INTERFACE;
use longhaul_lab::place::{Place, Side};
use pcap_file::pcap::PcapReader;
use rustix::process::{Pid, Signal, kill_process};

use crate::moves::rig::{Rig, state};

/// What the kernel may hold for `tcpdump`, KiB: some seconds of the line.
const BUFFER_KIB: &str = "65536";

/// A running capture.
pub(super) struct Capture {
    tcpdump: Child,
    said: BufReader<ChildStderr>,
    file: std::path::PathBuf,
}

impl Capture {
    /// Begins, and returns once packets are taken.
    pub(super) fn start(rig: &Rig) -> Self {
        let file = state().join("wan.pcap");
        let mut command = Command::new("tcpdump");
        command.args(["-i", WAN_INTERFACE, "-B", BUFFER_KIB, "-Z", "root", "-w"]).arg(&file);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut tcpdump = rig.lab.netns(Place::Site(Side::A)).spawn(&mut command).unwrap();
        let mut said = BufReader::new(tcpdump.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "tcpdump ended");
        }
        Self { tcpdump, said, file }
    }

    /// Ends; the packets in their order, each from its IP header on. Every one of them was seen.
    pub(super) fn stop(mut self) -> Vec<Vec<u8>> {
        let pid = Pid::from_child(&self.tcpdump);
        kill_process(pid, Signal::INT).unwrap();
        let mut said = String::new();
        self.said.read_to_string(&mut said).unwrap();
        assert!(self.tcpdump.wait().unwrap().success(), "{said}");
        assert!(said.lines().any(|line| line == "0 packets dropped by kernel"), "{said}");
        let mut reader = PcapReader::new(File::open(&self.file).unwrap()).unwrap();
        let mut packets = Vec::new();
        while let Some(packet) = reader.next_packet() {
            packets.push(packet.unwrap().data.into_owned());
        }
        std::fs::remove_file(&self.file).unwrap();
        packets
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // It has ended already unless the test failed.
        let _ended = self.tcpdump.kill();
        let _reaped = self.tcpdump.wait();
    }
}
