//! Network namespaces for tests: sites with an edge each, and plain hosts that run threads inside.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::sync::mpsc as async_mpsc;

use crate::edge::{Edge, EdgeConfig};

/// How long any one thing in a test may take on a loaded machine.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// Whether namespaces can be made here. Where they cannot, a test says so and ends, except on CI, where it fails.
pub(super) fn privileged() -> bool {
    let tool = |name: &str| Command::new(name).arg("-V").output().is_ok();
    let able = rustix::process::geteuid().is_root()
        && Path::new("/dev/net/tun").exists()
        && tool("ip")
        && tool("nft");
    if !able {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "CI needs root, /dev/net/tun, ip and nft for this test"
        );
        eprintln!("skipped: needs root, /dev/net/tun, ip and nft");
    }
    able
}

/// Runs `ip` and returns what it printed; a failure fails the test.
pub(super) fn ip(arguments: &str) -> String {
    run("ip", arguments)
}

pub(super) fn run(program: &str, arguments: &str) -> String {
    let output = Command::new(program).args(arguments.split_whitespace()).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// A namespace that is removed with all its contents when the test lets go of it.
pub(super) struct Namespace {
    pub(super) name: String,
}

impl Namespace {
    pub(super) fn new(role: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("lhe-{}-{}-{role}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        ip(&format!("netns add {name}"));
        ip(&format!("-n {name} link set lo up"));
        Self { name }
    }

    /// Runs `work` on a thread of its own inside the namespace.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> std::thread::JoinHandle<T> {
        let path = format!("/run/netns/{}", self.name);
        std::thread::spawn(move || {
            let file = File::open(path).unwrap();
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // A second failure while a test fails would only hide the first.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

type Job = Box<dyn FnOnce(Edge) -> BoxFuture<'static, ()> + Send>;

/// A site: a namespace and, on a thread inside it, an edge with its runtime.
pub(super) struct Site {
    jobs: Option<async_mpsc::UnboundedSender<Job>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Site {
    pub(super) fn open(namespace: &Namespace, site: &str, interface: &str) -> Self {
        let config = EdgeConfig {
            site: site.to_owned(),
            interface: interface.to_owned(),
            gateway: Ipv4Addr::new(10, 10, 0, 1),
            gateway_mac: [2, 0, 0, 0, 0, 1],
        };
        let (jobs, mut queue) = async_mpsc::unbounded_channel::<Job>();
        let thread = namespace.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let edge = Edge::open(config).await.unwrap();
                while let Some(job) = queue.recv().await {
                    job(edge.clone()).await;
                }
            });
        });
        Self { jobs: Some(jobs), thread: Some(thread) }
    }

    /// Runs a call on the edge, in its namespace, and waits for its result.
    pub(super) fn call<T, F>(&self, work: F) -> T
    where
        T: Send + 'static,
        F: FnOnce(Edge) -> BoxFuture<'static, T> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel();
        let job: Job = Box::new(move |edge| {
            Box::pin(async move {
                let _ = sender.send(work(edge).await);
            })
        });
        assert!(self.jobs.as_ref().unwrap().send(job).is_ok(), "the site's thread ended");
        receiver.recv_timeout(DEADLINE).expect("the edge answers in time")
    }

    /// Pumps over one end of a socket pair until the site closes.
    pub(super) fn pump(&self, peer: &'static str, end: std::os::unix::net::UnixStream) {
        end.set_nonblocking(true).unwrap();
        self.call(move |edge| {
            Box::pin(async move {
                let stream = tokio::net::UnixStream::from_std(end).unwrap();
                tokio::spawn(async move { edge.pump(peer, stream).await });
            })
        });
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // The thread's own panic was reported where it happened.
            let _ = thread.join();
        }
    }
}
