//! The disk servers of a site: processes of their own that outlive the agent.
//!
//! A VM's server is wanted as long as its configuration file is there. The agent starts a wanted server that does not
//! answer, at its own start and whenever one dies; a live one is found by its control socket and left alone.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use longhaul_dataplane::disk::{Config, Control, ControlError, Faults, Initial, OriginConfig, RefusalKind};
use longhaul_dataplane::nbd::Span;
use longhaul_model::ids::VmId;
use longhaul_model::vm::Vm;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Mutex, oneshot};
use tokio::time::{Instant, sleep};

use crate::error::{Class, Error, chain};
use crate::folder::Folder;

/// From start to the first answer. A server replays its map first.
const START_MAX: Duration = Duration::from_secs(20);
/// How often a server that ends before it answers is started, with [`LOOK_EVERY`] between: for a second.
const STARTS_MAX: u32 = 10;
/// How long a server may take to sync and end.
const STOP_MAX: Duration = Duration::from_secs(20);
/// How often a server that dies is asked the same; one that dies of the question itself would do so for ever.
const TRIES_MAX: u32 = 5;
/// How often a server that is coming or going is asked, and how soon a dead one is noticed.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Pause before a server that could not be started is started again: first, and at most.
const START_AGAIN_MIN: Duration = Duration::from_secs(1);
const START_AGAIN_MAX: Duration = Duration::from_secs(30);

/// Starts, finds, asks and ends disk servers.
pub(crate) struct Disks {
    folder: Folder,
    program: PathBuf,
    faults: Faults,
    /// Held while one is started or ended, so that supervision and operations do not both do it.
    changing: Mutex<()>,
}

/// What a disk holds when there is no map of it yet.
pub(crate) enum Begin<'a> {
    /// All of it: the VM was created here.
    Complete,
    /// Nothing: it is to be filled from this site.
    Absent { source: &'a str },
}

impl Disks {
    pub(crate) fn new(folder: Folder, program: PathBuf, faults: Faults) -> Self {
        Self { folder, program, faults, changing: Mutex::default() }
    }

    /// A connection to the VM's disk server, which is started if it does not run.
    pub(crate) async fn open(&self, vm: &Vm, begin: &Begin<'_>) -> Result<Control, Error> {
        self.want(vm, begin)?;
        self.wake(&vm.id).await
    }

    /// Writes the configuration unless there is one. A disk that came from elsewhere keeps knowing from where.
    fn want(&self, vm: &Vm, begin: &Begin<'_>) -> Result<(), Error> {
        let path = self.folder.disk_config(&vm.id);
        if path.exists() {
            return Ok(());
        }
        let (initial, origin) = match begin {
            Begin::Complete => (Initial::Complete, None),
            Begin::Absent { source } => (Initial::Absent, Some((*source).to_owned())),
        };
        let config = Config {
            vm: vm.id.to_string(),
            image: self.folder.image(&vm.id),
            map: self.folder.map(&vm.id),
            disk_bytes: vm.disk.size.as_bytes(),
            initial,
            sockets: self.folder.run(&vm.id).folder().to_owned(),
            origin: origin.map(|site| OriginConfig {
                tunnel_socket: self.folder.tunnel_socket(),
                site,
                connections: 4,
                bits_per_second_max: 0,
            }),
            faults: self.faults.clone(),
        };
        write(&config, &path)
    }

    /// Bounds what a VM's fill may ask for in a second, also when its disk server is started anew; 0 for no bound.
    pub(crate) async fn bound(&self, vm: &VmId, bits_per_second: u64) -> Result<(), Error> {
        self.note_bound(vm, bits_per_second).await?;
        let bounded = self.insist(|| async {
            let mut disk = self.existing(vm).await?;
            disk.limit_rate(bits_per_second).await.map_err(refused("limiting the fill's rate"))
        });
        bounded.await
    }

    async fn note_bound(&self, vm: &VmId, bits_per_second: u64) -> Result<(), Error> {
        // Nobody ends the server meanwhile: it would be wanted again.
        let _changing = self.changing.lock().await;
        self.refuse_unwanted(vm)?;
        let path = self.folder.disk_config(vm);
        let config = Config::read(&path);
        let mut config =
            config.map_err(|error| Error::internal(&format!("reading {}", path.display()), &error))?;
        match &mut config.origin {
            Some(origin) if origin.bits_per_second_max != bits_per_second => {
                origin.bits_per_second_max = bits_per_second;
                write(&config, &path)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A connection to a wanted server, which is started if it does not answer.
    async fn wake(&self, vm: &VmId) -> Result<Control, Error> {
        if let Ok(control) = self.ask(vm).await {
            return Ok(control);
        }
        let _changing = self.changing.lock().await;
        if let Ok(control) = self.ask(vm).await {
            return Ok(control);
        }
        // Whoever ended it meanwhile did not want it back.
        self.refuse_unwanted(vm)?;
        self.start(vm).await
    }

    /// Starts a server and waits until it answers. One that ends at once is started again a few times: a predecessor that
    /// was just killed may hold the disk's lock for some milliseconds more.
    async fn start(&self, vm: &VmId) -> Result<Control, Error> {
        let deadline = Instant::now() + START_MAX;
        let mut ended = self.spawn(vm)?;
        let mut starts = 1;
        loop {
            let error = match self.ask(vm).await {
                Ok(control) => return Ok(control),
                Err(error) => error,
            };
            let is_gone = ended.try_recv() != Err(TryRecvError::Empty);
            if Instant::now() > deadline || (is_gone && starts == STARTS_MAX) {
                return Err(self.not_up(vm, &error));
            }
            sleep(LOOK_EVERY).await;
            if is_gone {
                ended = self.spawn(vm)?;
                starts += 1;
            }
        }
    }

    /// A connection to the VM's disk server if it runs.
    pub(crate) async fn ask(&self, vm: &VmId) -> Result<Control, ControlError> {
        Control::connect(&self.folder.disk_control(vm)).await
    }

    /// A connection to the VM's disk server, which must have been wanted before.
    pub(crate) async fn existing(&self, vm: &VmId) -> Result<Control, Error> {
        self.refuse_unwanted(vm)?;
        self.wake(vm).await
    }

    /// Asks a disk server what may be asked twice, and again when it dies over the question: it is started anew with
    /// everything that it has to know.
    pub(crate) async fn insist<T, F>(&self, ask: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut tries = 1;
        loop {
            match ask().await {
                Err(error) if error.class == Class::Transient && tries < TRIES_MAX => {
                    tracing::warn!(%error, "a disk server is asked again");
                    tries += 1;
                }
                answered => return answered,
            }
        }
    }

    /// Freezes a disk and returns everything that is dirty on it, from as many rounds as it takes.
    pub(crate) async fn freeze(&self, vm: &VmId, epoch: u64) -> Result<Vec<Span>, Error> {
        // Kept when a question is asked again: a round that was acknowledged is not handed out twice.
        let taken = Mutex::new((0, Vec::new()));
        let asked = self.insist(|| async {
            let mut disk = self.existing(vm).await?;
            disk.freeze(epoch).await.map_err(refused("freezing the disk"))?;
            let (applied, extents) = &mut *taken.lock().await;
            loop {
                let round = disk.dirty_round(*applied).await;
                let round = round.map_err(refused("ending the last dirty round"))?;
                *applied = round.round;
                extents.extend(round.extents);
                if round.rest_bytes == 0 {
                    return Ok(());
                }
            }
        });
        asked.await?;
        Ok(taken.into_inner().1)
    }

    fn refuse_unwanted(&self, vm: &VmId) -> Result<(), Error> {
        if self.folder.disk_config(vm).exists() {
            return Ok(());
        }
        Err(Error::new(Class::Precondition, format!("vm {vm} has no disk at this site")))
    }

    fn not_up(&self, vm: &VmId, error: &ControlError) -> Error {
        let log = fs::read_to_string(self.folder.disk_log(vm)).unwrap_or_default();
        let said = log.lines().next_back().unwrap_or("nothing");
        let why = chain(error);
        Error::new(
            Class::Internal,
            format!("the disk server of vm {vm} did not come up: {why}; it said: {said}"),
        )
    }

    /// Starts the server in a process group of its own: a signal to the agent's does not reach it. What is returned tells
    /// of its end.
    fn spawn(&self, vm: &VmId) -> Result<oneshot::Receiver<()>, Error> {
        let start = || {
            let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.disk_log(vm))?;
            let mut child = Command::new(&self.program)
                .arg("disk-server")
                .arg("--config")
                .arg(self.folder.disk_config(vm))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .process_group(0)
                .spawn()?;
            // Someone has to take note of its end, or it stays as a zombie that looks alive.
            let (tell, ended) = oneshot::channel();
            std::thread::spawn(move || {
                let _status = child.wait();
                // Nobody may be waiting any more.
                tell.send(())
            });
            Ok(ended)
        };
        let ended =
            start().map_err(|error: std::io::Error| Error::internal("starting a disk server", &error))?;
        tracing::info!(%vm, "a disk server was started");
        Ok(ended)
    }

    /// Ends the VM's disk server and wants it no more. A second call finds nothing to do.
    pub(crate) async fn end(&self, vm: &VmId) -> Result<(), Error> {
        let _changing = self.changing.lock().await;
        match fs::remove_file(self.folder.disk_config(vm)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::internal("removing a disk server's configuration", &error));
            }
            Ok(()) | Err(_) => {}
        }
        let Ok(mut control) = self.ask(vm).await else { return Ok(()) };
        let status = match control.status().await {
            Ok(status) => status,
            Err(_) if self.ask(vm).await.is_err() => return Ok(()),
            // It lives and hangs. Nobody may take its files away: it would go on writing into what nobody can open.
            Err(error) => return Err(refused("ending a disk server")(error)),
        };
        let Some(pid) = i32::try_from(status.pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
        let deadline = Instant::now() + STOP_MAX;
        let mut signal = Signal::TERM;
        // The process that holds the socket is the one that gave this pid.
        while self.ask(vm).await.is_ok() {
            let _ = kill_process(pid, signal);
            if Instant::now() > deadline {
                signal = Signal::KILL;
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Every VM whose disk server is wanted.
    fn wanted(&self) -> HashSet<VmId> {
        let Ok(entries) = fs::read_dir(self.folder.root().join("run")) else { return HashSet::new() };
        let ids =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()?.parse::<VmId>().ok());
        ids.filter(|vm| self.folder.disk_config(vm).exists()).collect()
    }

    /// Keeps every wanted server alive for as long as the agent lives.
    pub(crate) async fn supervise(self: Arc<Self>) {
        let mut failing: HashMap<VmId, (Instant, Duration)> = HashMap::new();
        loop {
            for vm in self.wanted() {
                let earlier = failing.get(&vm).copied();
                if earlier.is_some_and(|(next, _)| Instant::now() < next) {
                    continue;
                }
                failing.remove(&vm);
                if self.ask(&vm).await.is_ok() {
                    continue;
                }
                tracing::warn!(%vm, "a disk server is not there");
                if let Err(error) = self.wake(&vm).await {
                    let pause =
                        earlier.map_or(START_AGAIN_MIN, |(_, pause)| (pause * 2).min(START_AGAIN_MAX));
                    tracing::error!(%vm, %error, ?pause, "a disk server could not be started");
                    failing.insert(vm, (Instant::now() + pause, pause));
                }
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

/// Writes a server's configuration, whole or not at all.
fn write(config: &Config, path: &Path) -> Result<(), Error> {
    let write = || {
        fs::create_dir_all(&config.sockets)?;
        let draft = path.with_extension("new");
        fs::write(&draft, serde_json::to_vec_pretty(config)?)?;
        fs::File::open(&draft)?.sync_all()?;
        fs::rename(&draft, path)
    };
    write().map_err(|error: std::io::Error| Error::internal(&format!("writing {}", path.display()), &error))
}

/// What a disk server's refusal or silence means for an operation.
pub(crate) fn refused(doing: &str) -> impl FnOnce(ControlError) -> Error + '_ {
    move |error| {
        let class = match &error {
            ControlError::Refused(refusal) => match refusal.kind {
                RefusalKind::Invalid => Class::Internal,
                RefusalKind::State => Class::Precondition,
                RefusalKind::Epoch => Class::Conflict,
                RefusalKind::Disk => Class::Permanent,
            },
            ControlError::Io(_) | ControlError::Slow => Class::Transient,
            ControlError::Reply(_) => Class::Internal,
        };
        Error::new(class, format!("{doing}: {}", chain(&error)))
    }
}
