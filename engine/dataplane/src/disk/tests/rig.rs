//! Disk servers as child processes, and a tunnel that can be cut.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use crate::disk::config::{Config, Faults, Initial, OriginConfig};
use crate::disk::store::Store;
use crate::disk::{Control, Error, Status, serve};
use crate::nbd::Client;

const CONFIG: &str = "LHD_TEST_CONFIG";
/// For everything that happens on this machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Not a test: the server process of the other tests, this test binary started again with a configuration.
#[test]
fn child() {
    let Ok(path) = std::env::var(CONFIG) else { return };
    let config = Config::read(Path::new(&path)).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(serve(config)).unwrap();
}

/// Opens a store that this process has just closed. A process that another test starts holds every descriptor of this one,
/// and with them the map's lock, from its fork to its exec; that moment is waited for.
pub(crate) fn open_again(config: &Config) -> Result<Store, Error> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        match Store::open(config) {
            Err(Error::Locked) if Instant::now() < end => std::thread::yield_now(),
            opened => return opened,
        }
    }
}

/// One server process; killed when dropped.
pub(crate) struct Server {
    pub(crate) config: Config,
    child: Child,
}

impl Server {
    pub(crate) async fn start(config: Config) -> Self {
        let path = config.sockets.join("config.json");
        std::fs::write(&path, serde_json::to_vec(&config).unwrap()).unwrap();
        let child = spawn(&path);
        let mut server = Self { config, child };
        server.ready().await;
        server
    }

    async fn ready(&mut self) {
        let begin = Instant::now();
        while Control::connect(&self.socket("control.sock")).await.is_err() {
            assert_eq!(self.child.try_wait().unwrap(), None, "the server died at its start");
            assert!(begin.elapsed() < DEADLINE, "the server did not start");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) async fn restart(&mut self) {
        self.kill();
        self.child = spawn(&self.config.sockets.join("config.json"));
        self.ready().await;
    }

    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        self.config.socket(name)
    }

    pub(crate) async fn control(&self) -> Control {
        Control::connect(&self.socket("control.sock")).await.unwrap()
    }

    pub(crate) async fn writer(&self, epoch: u64) -> Result<Client, crate::nbd::client::Error> {
        let stream = UnixStream::connect(self.socket("disk.sock")).await?;
        Client::connect(stream, &format!("{}@{epoch}", self.config.vm)).await
    }

    /// Waits until the status is as wanted.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        let mut control = self.control().await;
        let begin = Instant::now();
        loop {
            let status = control.status().await.unwrap();
            if wanted(&status) {
                return status;
            }
            assert!(begin.elapsed() < DEADLINE, "waited in vain for: {what}; {status:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// URI of an export for QEMU's and libnbd's programs.
    pub(crate) fn uri(&self, socket: &str, export: &str) -> String {
        format!("nbd+unix:///{export}?socket={}", self.socket(socket).display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(config: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "disk::tests::rig::child", "--nocapture"])
        .env(CONFIG, config)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Two sites in one folder.
pub(crate) struct Rig {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) disk_bytes: u64,
}

impl Rig {
    pub(crate) fn new(disk_bytes: u64) -> Self {
        let folder = tempfile::Builder::new().prefix("lhd-").tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        Self { folder, disk_bytes }
    }

    pub(crate) fn config(&self, site: &str, initial: Initial) -> Config {
        let folder = self.folder.path().join(site);
        Config {
            vm: "vm-a".into(),
            image: folder.join("disk.raw"),
            map: folder.join("disk.map"),
            disk_bytes: self.disk_bytes,
            initial,
            sockets: folder,
            origin: None,
            faults: Faults::default(),
        }
    }

    /// A source with a disk of which `data` says the bytes per 64 KiB; `None` is a hole.
    pub(crate) async fn source(&self, data: impl Fn(u64) -> Option<u8>) -> Server {
        let config = self.config("a", Initial::Complete);
        let image = std::fs::File::create(&config.image).unwrap();
        image.set_len(self.disk_bytes).unwrap();
        for part in 0..self.disk_bytes / (64 << 10) {
            if let Some(value) = data(part) {
                std::os::unix::fs::FileExt::write_all_at(&image, &[value; 64 << 10], part * (64 << 10))
                    .unwrap();
            }
        }
        let server = Server::start(config).await;
        server.control().await.grant(1).await.unwrap();
        server
    }

    pub(crate) async fn target(&self, tunnel: &Tunnel, faults: Faults) -> Server {
        let mut config = self.config("b", Initial::Absent);
        let origin = OriginConfig {
            tunnel_socket: tunnel.socket.clone(),
            site: "a".into(),
            connections: 2,
            bits_per_second_max: 0,
        };
        config.origin = Some(origin);
        config.faults = faults;
        Server::start(config).await
    }
}

/// What an agent's `tunnel.sock` is to a disk server. A cut ends every stream and refuses new ones.
pub(crate) struct Tunnel {
    pub(crate) socket: PathBuf,
    up: watch::Sender<bool>,
}

impl Tunnel {
    pub(crate) fn new(rig: &Rig, source: &Server) -> Self {
        let socket = rig.folder.path().join("tunnel.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let (up, seen) = watch::channel(true);
        let origin = source.socket("origin.sock");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carry(stream, origin.clone(), seen.clone()));
            }
        });
        Self { socket, up }
    }

    pub(crate) fn set(&self, up: bool) {
        self.up.send_replace(up);
    }
}

async fn carry(stream: UnixStream, origin: PathBuf, mut up: watch::Receiver<bool>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    assert!(
        ["open a disk/vm-a demand\n", "open a disk/vm-a background\n"].contains(&line.as_str()),
        "{line}"
    );
    let far = if *up.borrow() { UnixStream::connect(&origin).await.ok() } else { None };
    let Some(mut far) = far else {
        let _ = stream.get_mut().write_all(b"error the link is down\n").await;
        return;
    };
    if stream.get_mut().write_all(b"ok\n").await.is_err() {
        return;
    }
    tokio::select! {
        // However it ends, the disk servers see their stream end.
        _ = tokio::io::copy_bidirectional(&mut stream, &mut far) => {}
        _ = up.wait_for(|up| !up) => {}
    }
}

/// Whether this machine can carry a test that calls other people's programs. Where it cannot, the test says so and ends,
/// except on CI, where it fails.
pub(crate) fn can(needed: &str, is_there: bool) -> bool {
    if !is_there {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI needs {needed} for this test");
        eprintln!("skipped: needs {needed}");
    }
    is_there
}

/// The same for programs alone.
pub(crate) fn can_run(programs: &[&str]) -> bool {
    can(
        &programs.join(", "),
        programs.iter().all(|name| Command::new(name).arg("--version").output().is_ok()),
    )
}

/// Runs a program to its end; returns whether it succeeded and all it said.
pub(crate) async fn program(name: &str, arguments: &[&str]) -> (bool, String) {
    let output = tokio::process::Command::new(name).args(arguments).kill_on_drop(true).output();
    let output = tokio::time::timeout(DEADLINE, output).await.expect("the program hangs").unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}
