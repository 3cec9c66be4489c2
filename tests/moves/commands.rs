//! What the guide tells an operator to type, typed: every command of the lab and of VMs, through the binary alone.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

use super::rig::{binary, state, turn};
use super::small::processes::{SOON, wait};

const LAB: &str = "mvcmd";
const WORKFLOW: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../workflows/evacuate.yaml");
/// Nobody on this machine.
const NOBODY: u32 = 65_534;

/// A terminal of the operator.
struct Terminal {
    folder: PathBuf,
}

impl Terminal {
    fn open() -> Self {
        let folder = state().join(LAB);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    fn longhaul(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(["--state".as_ref(), state().as_os_str()]).args(arguments);
        command.env("LONGHAUL_SITES", self.folder.join("sites.yaml"));
        command.current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    /// Types a command that has to end with this code; what it printed.
    fn types(&self, arguments: &[&str], code: i32) -> (String, String) {
        let Output { status, stdout, stderr } = self.longhaul(arguments).output().unwrap();
        let [out, talk] = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert_eq!(status.code(), Some(code), "longhaul {}\n{out}\n{talk}", arguments.join(" "));
        (out, talk)
    }

    fn reads(&self, arguments: &[&str]) -> Value {
        let (out, _) = self.types(arguments, 0);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{}: {error}: {out}", arguments.join(" ")))
    }

    /// Makes the lab, and takes its inventory from the line that it prints.
    fn lab_up(&self) {
        let (out, talk) = self.types(&["lab", "up", "--name", LAB, "--delay", "5ms", "--loss", "0"], 0);
        let said = format!("{out}{talk}");
        let inventory = said.lines().find_map(|line| line.trim().strip_prefix("export LONGHAUL_SITES="));
        let inventory = Path::new(inventory.unwrap_or_else(|| panic!("no export line in {said}")));
        let link = self.folder.join("sites.yaml");
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(inventory, link).unwrap();
    }

    /// Every process of the lab.
    fn processes(&self) -> Vec<(Pid, String)> {
        let status = self.reads(&["lab", "status", "--name", LAB, "--json"]);
        let sites = status["sites"].as_array().unwrap().iter().map(|site| &site["processes"]);
        let lists = sites.chain([&status["client"]]).flat_map(|list| list.as_array().unwrap().iter());
        let process = |it: &Value| {
            let pid = it["pid"].as_i64().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
            (pid.unwrap(), it["command"].as_str().unwrap().to_owned())
        };
        lists.map(process).collect()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.longhaul(&["lab", "down", "--name", LAB]).output();
    }
}

/// The first move, as the guide tells it, and the commands around it.
#[test]
fn the_guide_can_be_typed() {
    let Some(_turn) = turn() else { return };
    let terminal = Terminal::open();
    terminal.lab_up();
    let status = terminal.reads(&["lab", "status", "--name", LAB, "--json"]);
    let answers: Vec<_> = status["sites"].as_array().unwrap().iter().map(|it| &it["answers"]).collect();
    assert_eq!(answers, [true, true], "{status}");

    terminal.types(&["vm", "start", "vm-a", "--site", "a"], 0);
    let list = terminal.reads(&["vm", "list", "--json"]);
    assert!(
        list.as_array().unwrap().iter().any(|vm| vm["id"] == "vm-a" && vm["state"] == "running"),
        "{list}"
    );
    assert_eq!(terminal.reads(&["vm", "where", "vm-a", "--json"])[0]["site"], "a");

    let inputs = ["--input", "vms=[\"vm-a\"]", "--input", "from=a", "--input", "to=b"];
    terminal.types(&["validate", WORKFLOW], 0);
    let plan = terminal.reads(&[&["plan", WORKFLOW, "--json"], &inputs[..]].concat());
    assert!(plan.to_string().contains("storage.prefetch@1"), "{plan}");

    let observe = ["observe", "--lab", LAB, "--for", "2s", "--json"];
    let boots = || terminal.longhaul(&observe).output().unwrap().status.success();
    assert!(wait(SOON, boots), "the guest does not serve");
    let seen = terminal.reads(&observe);
    assert!(seen["lines"].as_u64() > Some(0) && seen["missing"] == 0, "{seen}");
    the_link_can_be_changed(&terminal);
    a_new_certificate_works(&terminal);
    let mut agent = an_agent_with_a_new_certificate(&terminal);

    let (said, _) = terminal.types(&[&["run", WORKFLOW], &inputs[..]].concat(), 0);
    let run = said.lines().find_map(|line| line.split_once(" run ")?.1.split_once(':'));
    let (run, _) = run.unwrap_or_else(|| panic!("no run in {said}"));
    assert_eq!(terminal.reads(&["vm", "where", "vm-a", "--json"])[0]["site"], "b");
    let (shown, _) = terminal.types(&["journal", "show", run], 0);
    assert!(shown.contains("vm.move@1"), "{shown}");
    terminal.types(&["vm", "stop", "vm-a", "--site", "b"], 0);
    terminal.types(&["lab", "down", "--name", LAB], 0);
    assert!(wait(SOON, || agent.try_wait().unwrap().is_some()), "the agent outlives its site");
    assert_nothing_left();
}

fn the_link_can_be_changed(terminal: &Terminal) {
    let link = terminal.reads(&["lab", "link", "--name", LAB, "--delay", "7ms", "--json"]);
    assert!(link.to_string().contains("7ms"), "{link}");
    let ping = ["lab", "shell", "--name", LAB, "client", "--", "cat", "/proc/self/net/dev"];
    assert!(terminal.types(&ping, 0).0.contains("lo:"));
    assert_eq!(terminal.types(&["lab", "shell", "--name", LAB, "a", "--", "false"], 1).0, "");
    terminal.types(&["lab", "cut", "--name", LAB], 0);
    let status = || terminal.reads(&["lab", "status", "--name", LAB, "--json"]);
    let drops = |status: &Value| status["wan"]["a_to_b"]["cut_drops"].as_u64().unwrap();
    let before = drops(&status());
    assert!(wait(SOON, || drops(&status()) > before), "nothing meets the cut");
    terminal.types(&["lab", "heal", "--name", LAB], 0);
    let carried = |status: &Value| status["wan"]["a_to_b"]["packets"].as_u64();
    let before = carried(&status());
    assert!(before.is_some() && wait(SOON, || carried(&status()) > before), "nothing is carried again");
}

/// A controller's certificate that `ca issue` made is one that the agents take; another authority's is not.
fn a_new_certificate_works(terminal: &Terminal) {
    let pki = std::fs::canonicalize(terminal.folder.join("sites.yaml")).unwrap();
    let pki = pki.parent().unwrap().join("pki");
    let issue = |folder: &Path| {
        let folder = folder.to_str().unwrap();
        terminal.types(&["ca", "issue", "--dir", folder, "--controller", "lab"], 0);
    };
    issue(&pki);
    terminal.types(&["vm", "list"], 0);
    let other = terminal.folder.join("other");
    terminal.types(&["ca", "init", "--dir", other.to_str().unwrap()], 0);
    issue(&other);
    assert!(other.join("ca.pem").exists());
}

/// Site b's agent goes on with a certificate that `ca issue` made in place of its first one, started as on a real site. The
/// controller takes it; that site a does is seen by the move that follows, for which either site asks the other.
fn an_agent_with_a_new_certificate(terminal: &Terminal) -> Child {
    let lab = std::fs::canonicalize(terminal.folder.join("sites.yaml")).unwrap();
    let lab = lab.parent().unwrap();
    let pki = lab.join("pki");
    let own = ["site-b.pem", "site-b.key"].map(|file| pki.join(file));
    let first = own.clone().map(|file| std::fs::read(file).unwrap());
    let site = lab.join("site-b.yaml");
    let site = site.to_str().unwrap();
    let agent = terminal.processes().into_iter().find(|(_, it)| it.contains(" agent") && it.contains(site));
    let (agent, _) = agent.unwrap_or_else(|| panic!("no agent of {site}: {:?}", terminal.processes()));
    kill_process(agent, Signal::TERM).unwrap();
    assert!(wait(SOON, || test_kill_process(agent).is_err()), "the agent does not stop");
    own.iter().for_each(|file| std::fs::remove_file(file).unwrap());
    terminal.types(&["ca", "issue", "--dir", pki.to_str().unwrap(), "--site", "b"], 0);
    let second = own.map(|file| std::fs::read(file).unwrap());
    assert!(first.iter().zip(&second).all(|(first, second)| first != second), "it is the first one");
    let program = binary();
    let inside =
        ["lab", "shell", "--name", LAB, "b", "--", program.to_str().unwrap(), "agent", "--site", site];
    let started = terminal.longhaul(&inside).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let listed = || terminal.longhaul(&["vm", "list"]).output().unwrap().status.success();
    assert!(wait(SOON, listed), "the controller does not reach the agent");
    started
}

/// Whatever a kill -9 left, the next `lab up` takes away, and so does `lab down`.
#[test]
fn a_killed_lab_is_cleaned_up() {
    let Some(_turn) = turn() else { return };
    let terminal = Terminal::open();
    let mut up = terminal.longhaul(&["lab", "up", "--name", LAB]).spawn().unwrap();
    let begun = Path::new("/run/netns").join(format!("{LAB}-a"));
    assert!(wait(SOON, || begun.exists()), "the lab does not begin");
    up.kill().unwrap();
    up.wait().unwrap();
    terminal.lab_up();
    terminal.types(&["vm", "start", "vm-a", "--site", "a"], 0);
    let before = terminal.processes();
    for word in ["lab-wan", " agent", "disk-server", "qemu-system"] {
        // The WAN is at no site; it is found by its lab.
        assert!(word == "lab-wan" || before.iter().any(|(_, it)| it.contains(word)), "no {word}: {before:?}");
    }
    for (pid, _) in before.iter().filter(|(_, command)| command.contains(" agent")) {
        kill_process(*pid, Signal::KILL).unwrap();
    }
    terminal.lab_up();
    assert!(wait(SOON, || before.iter().all(|(pid, _)| test_kill_process(*pid).is_err())), "some live on");
    let fresh = terminal.processes();
    terminal.types(&["lab", "down", "--name", LAB], 0);
    assert!(wait(SOON, || fresh.iter().all(|(pid, _)| test_kill_process(*pid).is_err())), "some live on");
    assert_nothing_left();
}

fn assert_nothing_left() {
    let names = std::fs::read_dir("/run/netns").unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with(&format!("{LAB}-"))).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(!state().join("labs").join(LAB).exists());
}

/// Without root a lab is refused, with what to do about it.
#[test]
fn a_lab_needs_root() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can become somebody else");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let copied = folder.path().join("longhaul");
    std::fs::copy(binary(), &copied).unwrap();
    std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    for command in [&["lab", "up"][..], &["demo"]] {
        let mut nobody = Command::new(&copied);
        std::os::unix::process::CommandExt::uid(&mut nobody, NOBODY);
        nobody.env("HOME", folder.path()).env_remove("XDG_CONFIG_HOME");
        let output =
            nobody.arg("--state").arg(folder.path()).args(command).current_dir("/").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
        assert!(said.contains("a lab needs root; run it with sudo"), "{command:?}: {said}");
    }
}
