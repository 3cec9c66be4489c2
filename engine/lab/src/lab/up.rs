//! Makes a lab.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use longhaul_wire::pki::Credentials;
use longhaul_wire::tls::Connector;

use super::files::Files;
use super::machine::require_machine;
use super::options::UpOptions;
use super::running::{Description, Error, Lab};
use super::sites;
use crate::addresses;
use crate::guest::Image;
use crate::network;
use crate::place::{Place, Side};
use crate::wan::{self, Control, End};

/// For a process to answer for the first time, on a machine that is busy with other things.
const START_MAX: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_millis(20);
/// What is shown of a log.
const SAID_MAX: usize = 600;

impl Lab {
    /// Makes a lab and returns when both agents answer. What an earlier lab of that name left is removed first.
    ///
    /// Blocks; from inside a runtime, call it on a blocking thread.
    ///
    /// # Errors
    /// When not root, a lab of that name lives with another state folder, a tool is missing, or a part does not start; what was made so far is removed.
    pub fn up(options: &UpOptions) -> Result<Self, Error> {
        Self::prepare(options, |lab, image| {
            sites::write(&lab.files, lab.number(), image, &options.guest)?;
            Side::BOTH.into_iter().try_for_each(|side| lab.start_agent(side))
        })
    }

    /// Namespaces, links and a WAN, without agents: for measuring other things in the same surroundings. Returns the
    /// guest's boot files too.
    ///
    /// # Errors
    /// As [`Lab::up`].
    pub fn up_bare(options: &UpOptions) -> Result<(Self, Image), Error> {
        let mut built = None;
        let lab = Self::prepare(options, |_, image| {
            built = Some(image.clone());
            Ok(())
        })?;
        Ok((lab, built.expect("set when nothing failed")))
    }

    fn prepare(
        options: &UpOptions,
        rest: impl FnOnce(&Self, &Image) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        require_machine()?;
        Self::require_own(&options.state, &options.name)?;
        Self::down(&options.state, &options.name)?;
        let image = Image::build(&Files::new(&options.state, &options.name).cache())?;
        let made = Self::connect(options).and_then(|lab| {
            lab.start_wan(options)?;
            rest(&lab, &image)?;
            Ok(lab)
        });
        if made.is_err() {
            // The first error is the one to be told; what is left now, the next `up` removes.
            let _left = Self::down(&options.state, &options.name);
        }
        made
    }

    fn connect(options: &UpOptions) -> Result<Self, Error> {
        let files = Files::new(&options.state, &options.name);
        fs::create_dir_all(files.folder()).map_err(|source| Error::Io(files.folder().to_owned(), source))?;
        let number = network::create(&options.name)?;
        let words = options.agent_arguments.iter().map(|word| word.to_string_lossy().into_owned());
        let description = Description {
            name: options.name.clone(),
            number,
            binary: options.binary.clone(),
            agent_arguments: words.collect(),
        };
        write_json(&files.description(), &description)?;
        Ok(Self { files, description })
    }

    fn start_wan(&self, options: &UpOptions) -> Result<(), Error> {
        let end = |side| End {
            netns: self.netns(Place::Site(side)).name().to_owned(),
            interface: addresses::WAN_INTERFACE.to_owned(),
            address: addresses::wan(side),
        };
        let config = wan::Config {
            a: end(Side::A),
            b: end(Side::B),
            link: options.link.clone(),
            control: self.files.wan_socket(),
        };
        write_json(&self.files.wan(), &config)?;
        let mut command = Command::new(&options.binary);
        command.arg("lab-wan").arg("--config").arg(self.files.wan());
        let mut child = self.start(&mut command, Side::A, &self.files.wan_log())?;
        let control = Control::new(self.files.wan_socket());
        wait(&mut child, &self.files.wan_log(), "a", || {
            control.stats().map(|_| ()).map_err(|error| error.to_string())
        })
    }

    /// Starts the agent of a site and waits until it answers a controller.
    ///
    /// # Errors
    /// When it ends or does not answer in time.
    pub fn start_agent(&self, side: Side) -> Result<(), Error> {
        let mut child = self.spawn_agent(side)?;
        wait(&mut child, &self.files.agent_log(side), side.as_str(), || self.hello(side))
    }

    /// Starts the agent of a site and waits for nothing: one that is not meant to be answered.
    ///
    /// # Errors
    /// When the process cannot be made.
    pub fn spawn_agent(&self, side: Side) -> Result<Child, Error> {
        let mut command = Command::new(&self.description.binary);
        command.arg("agent").arg("--site").arg(self.files.site(side)).args(&self.description.agent_arguments);
        self.start(&mut command, side, &self.files.agent_log(side))
    }

    /// Whether the agent of a site answers a controller; its reason if not.
    ///
    /// # Errors
    /// What stands in the way, as text.
    pub fn hello(&self, side: Side) -> Result<(), String> {
        let credentials = Credentials::in_folder(&self.files.pki(), &sites::controller());
        let connector = Connector::new(credentials).map_err(|error| chain(&error))?;
        let address = sites::management(self.number(), side).to_string();
        let work = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            let peer = sites::identity(side);
            let connected = longhaul_wire::client::connect(&address, &peer, &connector);
            runtime.block_on(connected).map(|_| ()).map_err(|error| chain(&error))
        };
        // On a thread of its own: the caller may be inside a runtime, which admits no second one.
        std::thread::scope(|scope| scope.spawn(work).join().expect("connecting does not panic"))
    }

    /// In a process group of its own, so that Ctrl-C at the terminal does not end the site.
    fn start(&self, command: &mut Command, side: Side, log: &Path) -> Result<Child, Error> {
        let open = || File::options().create(true).append(true).open(log);
        let failed = |source| Error::Io(log.to_owned(), source);
        command
            .stdin(Stdio::null())
            .stdout(open().map_err(failed)?)
            .stderr(open().map_err(failed)?)
            .process_group(0);
        Ok(self.netns(Place::Site(side)).spawn(command)?)
    }
}

fn wait(
    child: &mut Child,
    log: &Path,
    side: &'static str,
    answers: impl Fn() -> Result<(), String>,
) -> Result<(), Error> {
    let until = Instant::now() + START_MAX;
    loop {
        let Err(reason) = answers() else { return Ok(()) };
        let ended = child.try_wait().map_err(|source| Error::Io(log.to_owned(), source))?;
        if ended.is_some() || Instant::now() > until {
            let said = if ended.is_some() { last_words(log) } else { reason };
            return Err(Error::Agent { side, said });
        }
        std::thread::sleep(RETRY);
    }
}

fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let start = text.len().saturating_sub(SAID_MAX);
    let start = (start..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text[start..].trim().to_owned()
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |said, cause| format!("{said}: {cause}"))
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), Error> {
    let failed = |source: io::Error| Error::Io(path.to_owned(), source);
    let text = serde_json::to_vec_pretty(value).map_err(|error| failed(error.into()))?;
    fs::write(path, text).map_err(failed)
}
