//! A controller on its own: the binary, certificates, and sites that never answer.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use longhaul_model::site::{KnownSite, Pki, Sites};
use rustix::process::{Pid, Signal, kill_process};

use crate::moves::binary;

/// For anything that takes a second on a quiet machine.
const SOON: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A controller whose sites take connections and never say a word.
pub(crate) struct Controller {
    folder: tempfile::TempDir,
    _silent: TcpListener,
}

impl Controller {
    /// With these files beside its own.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let pki = folder.path().join("pki");
        let controller = Self { folder, _silent: silent };
        let own = pki.to_str().unwrap();
        for arguments in
            [&["ca", "init", "--dir", own][..], &["ca", "issue", "--dir", own, "--controller", "x"]]
        {
            assert!(controller.longhaul(arguments).output().unwrap().status.success());
        }
        let site = |id: &str| KnownSite { id: id.parse().unwrap(), address };
        let file = |name: &str| pki.join(name);
        let pki =
            Pki { ca: file("ca.pem"), certificate: file("controller-x.pem"), key: file("controller-x.key") };
        let sites = Sites { sites: vec![site("a"), site("b")], pki };
        controller.write("sites.yaml", &sites.to_yaml());
        files.iter().for_each(|(name, text)| controller.write(name, text));
        controller
    }

    /// A file of its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of its folder.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// A command as its operator types it.
    pub(crate) fn longhaul(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.arg("--state").arg(self.path("state")).arg("--sites").arg(self.path("sites.yaml"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Starts a command; what it says goes to the file.
    pub(crate) fn start(&self, arguments: &[&str], out: impl Into<Stdio>) -> Child {
        let talk = std::fs::File::create(self.path("talk")).unwrap();
        self.longhaul(arguments).stdout(out).stderr(talk).spawn().unwrap()
    }

    /// What the command that was started last said.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.path("talk")).unwrap()
    }

    /// The exit code of `longhaul status RUN`.
    pub(crate) fn status(&self, run: &str) -> Option<i32> {
        self.longhaul(&["status", run]).output().unwrap().status.code()
    }

    /// Waits until a run has begun and is not over.
    pub(crate) fn wait_until_under_way(&self, run: &str) {
        assert!(wait(|| self.status(run) == Some(7)), "{run} never began: {}", self.said());
    }
}

/// Whether something comes to hold.
pub(crate) fn wait(mut holds: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + SOON;
    while !holds() {
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    true
}

/// Sends a signal.
pub(crate) fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// A child that does not end in time is killed, and fails the test.
pub(crate) fn end(mut child: Child) -> ExitStatus {
    let mut ended = None;
    if !wait(|| {
        ended = child.try_wait().unwrap();
        ended.is_some()
    }) {
        child.kill().unwrap();
        panic!("it did not end");
    }
    ended.unwrap()
}

/// What a command said on both outputs, once it ended with this exit code.
pub(crate) fn said(controller: &Controller, arguments: &[&str], code: i32) -> String {
    let output = controller.longhaul(arguments).output().unwrap();
    let said =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    said
}
