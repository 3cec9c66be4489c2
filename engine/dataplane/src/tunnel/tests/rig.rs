//! Two ends of a tunnel on loopback, the lanes running through a relay that can kill, cut and slow them.

use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::tunnel::{Config, Lane, Tunnel};

/// No wait of a test is longer.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// Both ends and the relay between them.
pub(super) struct Rig {
    /// Dials.
    pub(super) a: Tunnel,
    /// Accepts; replaced by [`Rig::restart_b`].
    pub(super) b: Tunnel,
    accepting: Arc<Mutex<Tunnel>>,
    relay: Relay,
}

#[derive(Clone)]
struct Relay {
    cut: watch::Sender<bool>,
    killable: Arc<Mutex<Vec<socket2::Socket>>>,
    bytes_per_second: Option<u64>,
}

pub(super) fn config() -> Config {
    Config { lane_silence_max: Duration::from_secs(4), ..Config::default() }
}

impl Rig {
    pub(super) async fn new(config: Config) -> Self {
        Self::with_rate(config, None).await
    }

    /// Each lane and direction carries at most so many bytes per second.
    pub(super) async fn with_rate(config: Config, bytes_per_second: Option<u64>) -> Self {
        let b = Tunnel::accepting(config.clone());
        let accepting = Arc::new(Mutex::new(b.clone()));
        let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Relay { cut: watch::Sender::new(false), killable: Arc::default(), bytes_per_second };
        let (far_address, near_address) = (far.local_addr().unwrap(), near.local_addr().unwrap());
        tokio::spawn(serve(far, Arc::clone(&accepting)));
        tokio::spawn(relay.clone().run(near, far_address));
        let a =
            Tunnel::dial(config, move |_| async move { lane_of(TcpStream::connect(near_address).await?) });
        a.ready(DEADLINE).await.unwrap();
        b.ready(DEADLINE).await.unwrap();
        Self { a, b, accepting, relay }
    }

    /// Resets one connection.
    pub(super) fn kill_lane(&self, random: &mut fastrand::Rng) {
        let mut killable = self.relay.killable.lock().unwrap();
        if killable.is_empty() {
            return;
        }
        let at = random.usize(..killable.len());
        let socket = killable.swap_remove(at);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        let _closed_already = socket.shutdown(std::net::Shutdown::Both);
    }

    /// Nothing passes any more, and nobody is told.
    pub(super) fn cut(&self) {
        self.relay.cut.send_replace(true);
    }

    pub(super) fn heal(&self) {
        self.relay.cut.send_replace(false);
    }

    /// A new process takes the place of the accepting end.
    pub(super) fn restart_b(&mut self, config: Config) {
        self.b = Tunnel::accepting(config);
        *self.accepting.lock().unwrap() = self.b.clone();
    }
}

fn lane_of(socket: TcpStream) -> std::io::Result<Lane> {
    Lane::new(socket, std::os::fd::AsFd::as_fd)
}

async fn serve(listener: TcpListener, tunnel: Arc<Mutex<Tunnel>>) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let tunnel = tunnel.lock().unwrap().clone();
        tokio::spawn(async move {
            let _killed_early = tunnel.attach(lane_of(socket).unwrap()).await;
        });
    }
}

impl Relay {
    async fn run(self, listener: TcpListener, to: SocketAddr) {
        loop {
            let (near, _) = listener.accept().await.unwrap();
            let far = TcpStream::connect(to).await.unwrap();
            far.set_nodelay(true).unwrap();
            near.set_nodelay(true).unwrap();
            let killable = near.as_fd().try_clone_to_owned().unwrap();
            self.killable.lock().unwrap().push(socket2::Socket::from(killable));
            let (near_read, near_write) = near.into_split();
            let (far_read, far_write) = far.into_split();
            tokio::spawn(self.clone().copy(near_read, far_write));
            tokio::spawn(self.clone().copy(far_read, near_write));
        }
    }

    async fn copy(self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut cut = self.cut.subscribe();
        let mut buffer = vec![0; 16 * 1024];
        loop {
            cut.wait_for(|cut| !cut).await.unwrap();
            let Ok(count) = from.read(&mut buffer).await else { break };
            // What was read during a cut is kept, not lost: TCP would send it again.
            cut.wait_for(|cut| !cut).await.unwrap();
            if count == 0 || to.write_all(&buffer[..count]).await.is_err() {
                break;
            }
            if let Some(rate) = self.bytes_per_second {
                tokio::time::sleep(Duration::from_secs_f64(count as f64 / rate as f64)).await;
            }
        }
        let _closed_already = to.shutdown().await;
    }
}

/// Waits for what a test expects, never for ever.
pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(DEADLINE, what).await.expect("the test's deadline")
}

/// Waits until a condition holds, looking again and again.
pub(super) async fn until(mut holds: impl FnMut() -> bool) {
    let mut look = tokio::time::interval(Duration::from_millis(5));
    soon(async {
        while !holds() {
            look.tick().await;
        }
    })
    .await;
}

/// Bytes like a disk's: zeros, text and noise.
pub(super) fn mixed(random: &mut fastrand::Rng, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let run = random.usize(1..60_000).min(len - bytes.len());
        match random.u8(..3) {
            0 => bytes.resize(bytes.len() + run, 0),
            1 => bytes.extend(b"the quick brown fox ".iter().cycle().take(run)),
            _ => bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(run)),
        }
    }
    bytes
}

pub(super) fn seeded() -> fastrand::Rng {
    let seed = std::env::var("LONGHAUL_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    println!("LONGHAUL_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}
