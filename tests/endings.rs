//! How commands end, through the binary alone: nothing here needs a lab, for no site answers.

use std::io::Write;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::controller::{Controller, end, signal, wait};
use crate::moves::binary;

/// A run that asks a site, again and again.
const ASKS: &str = "
apiVersion: longhaul/v1
kind: Workflow
name: asks
version: 1.0.0
steps:
  ask:
    uses: site.check@1
    with: { from: a, to: b, vms: [vm-a] }
    retry: { max_attempts: 100, backoff: { initial: 1s, factor: 1, max: 1s }, errors: [unreachable] }
";

/// A run that writes into folders.
const WRITES: &str = "
apiVersion: longhaul/v1
kind: Workflow
name: writes
version: 1.0.0
inputs:
  folders: { type: array, items: { type: string } }
steps:
  write:
    foreach: ${{ inputs.folders }}
    as: folder
    on_item_failure: continue
    steps:
      report:
        uses: report.write@1
        with: { to: \"${{ folder }}/report\" }
";

const FILES: [(&str, &str); 2] = [("asks.yaml", ASKS), ("writes.yaml", WRITES)];

/// The first signal, of either kind, stops a run in good order: it says so, ends with 130, and the run can be resumed.
#[test]
fn a_signal_stops_a_run_that_can_be_resumed() {
    let controller = Controller::with(&FILES);
    for (arguments, kind) in
        [(&["run", "asks.yaml", "--id", "run-a"][..], Signal::TERM), (&["resume", "run-a"], Signal::INT)]
    {
        let run = controller.start(arguments, Stdio::null());
        controller.wait_until_under_way("run-a");
        signal(&run, kind);
        assert_eq!(end(run).code(), Some(130), "{}", controller.said());
        let said = controller.said();
        assert!(
            said.contains("stopping;") && said.contains("Another signal ends this process at once"),
            "{said}"
        );
        assert_eq!(controller.status("run-a"), Some(130));
    }
}

/// The second signal ends a run at once when stopping takes long, here because nobody takes what it prints. It can be resumed.
#[test]
fn a_second_signal_ends_a_run_at_once() {
    let controller = Controller::with(&FILES);
    let (_unread, mut full) = UnixStream::pair().unwrap();
    full.set_nonblocking(true).unwrap();
    while full.write(&[0; 4096]).is_ok() {}
    while full.write(&[0]).is_ok() {}
    full.set_nonblocking(false).unwrap();
    let mut run = controller.start(&["run", "asks.yaml", "--id", "run-a"], OwnedFd::from(full));
    controller.wait_until_under_way("run-a");
    signal(&run, Signal::TERM);
    assert!(wait(|| controller.said().contains("stopping;")), "the first signal is not heard");
    assert!(run.try_wait().unwrap().is_none(), "it could print");
    signal(&run, Signal::TERM);
    assert_eq!(end(run).code(), Some(130), "{}", controller.said());
    assert_eq!(controller.status("run-a"), Some(130));
    let verify = controller.longhaul(&["journal", "verify"]).output().unwrap();
    assert!(verify.status.success(), "{verify:?}");
}

/// `observe` of a connection that stays open and brings nothing any more ends with 4 and says why.
#[test]
fn a_connection_that_falls_silent_is_no_good_end() {
    let ticker = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = ticker.local_addr().unwrap().to_string();
    let speaking = std::thread::spawn(move || {
        let (mut stream, _) = ticker.accept().unwrap();
        stream.write_all(b"1 0\n2 0\n3 0\n").unwrap();
        stream
    });
    let mut observe = Command::new(binary());
    let seen = observe.args(["observe", "--ticker", &address, "--for", "3s"]).output().unwrap();
    let _open = speaking.join().unwrap();
    let said = String::from_utf8(seen.stdout).unwrap();
    assert_eq!(seen.status.code(), Some(4), "{said}");
    assert!(
        said.contains("connection: intact; 3 lines") && said.contains("the connection fell silent"),
        "{said}"
    );
}

/// A run of which some items came through and others did not ends with 5, says so again in `status`, and keeps what came
/// through.
#[test]
fn a_partial_run_ends_with_its_own_code() {
    let controller = Controller::with(&FILES);
    // What is a file cannot be written into.
    controller.write("bad", "");
    let run = ["run", "writes.yaml", "--id", "run-a", "--input", r#"folders=["good","bad"]"#];
    let status = end(controller.start(&run, Stdio::null()));
    assert_eq!(status.code(), Some(5), "{}", controller.said());
    assert_eq!(controller.status("run-a"), Some(5));
    assert!(controller.path("good/report.html").exists());
}
