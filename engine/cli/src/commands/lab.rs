//! `longhaul lab`: two sites, a WAN and a guest on this machine.

use std::process::Command as Process;

use longhaul_lab::name::LabName;
use longhaul_lab::place::Place;
use longhaul_lab::wan::{Link, LinkChange, Stats};
use longhaul_lab::{Error, Lab, Status, UpOptions};
use longhaul_model::units::{Bandwidth, Size, Time};

use crate::errors::{Explain as _, Result};
use crate::output::Table;
use crate::settings::Settings;
use crate::{exit_code, output};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make a lab; what an earlier one of that name left is removed first. Needs root
    Up(Up),
    /// Look at a lab: its link, its agents, its processes
    Status(Looked),
    /// Change the link while it carries traffic
    Link(LinkArgs),
    /// Drop every packet between the sites; connections stay open
    Cut(Named),
    /// Carry packets again
    Heal(Named),
    /// Remove a lab and everything in it
    Down(Named),
    /// Run a command, or a shell, at a place of the lab
    Shell(Shell),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Named {
    /// Name of the lab
    #[arg(long, value_name = "NAME", default_value = "lab")]
    name: LabName,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Looked {
    #[command(flatten)]
    lab: Named,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    #[command(flatten)]
    lab: Named,
    #[command(flatten)]
    link: Wire,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LinkArgs {
    #[command(flatten)]
    lab: Named,
    #[command(flatten)]
    link: Wire,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Settings of the link; what is not given stays, at first 100Mbit/s, 25ms each way, 0.1 % loss, 512KiB.
#[derive(Debug, clap::Args)]
pub(crate) struct Wire {
    /// Rate of each direction, such as 100Mbit/s
    #[arg(long, value_name = "RATE")]
    rate: Option<Bandwidth>,
    /// Delay of each direction, half of the round trip, such as 25ms
    #[arg(long, value_name = "TIME")]
    delay: Option<Time>,
    /// Share of packets lost, 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = share)]
    loss: Option<f64>,
    /// Longest queue of each direction, such as 512KiB
    #[arg(long, value_name = "SIZE")]
    queue: Option<Size>,
}

impl Wire {
    fn change(&self) -> LinkChange {
        LinkChange { rate: self.rate, delay: self.delay, loss: self.loss, queue: self.queue }
    }
}

fn share(text: &str) -> std::result::Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "write a number from 0 to 1, such as 0.001".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(format!("{share} is not between 0 and 1")) }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Shell {
    #[command(flatten)]
    lab: Named,
    /// Where: site a, site b, or client
    #[arg(value_parser = place)]
    place: Place,
    /// The command and its arguments [default: the user's shell]
    #[arg(last = true)]
    command: Vec<String>,
}

fn place(text: &str) -> std::result::Result<Place, String> {
    let found = Place::ALL.into_iter().find(|place| place.as_str() == text);
    found.ok_or_else(|| "the places are a, b and client".to_owned())
}

pub(super) fn run(command: Command, settings: &Settings) -> Result<u8> {
    match command {
        Command::Up(args) => up(args, settings),
        Command::Status(args) => status(&args, settings),
        Command::Link(args) => {
            let stats = open(&args.lab, settings)?.link(args.link.change());
            show_link(&stats.doing(exit_code::FAILED, || "change the link".to_owned())?, args.json);
            Ok(exit_code::OK)
        }
        Command::Cut(args) => {
            let stats = open(&args, settings)?.cut();
            show_link(&stats.doing(exit_code::FAILED, || "cut the link".to_owned())?, false);
            Ok(exit_code::OK)
        }
        Command::Heal(args) => {
            let stats = open(&args, settings)?.heal();
            show_link(&stats.doing(exit_code::FAILED, || "heal the link".to_owned())?, false);
            Ok(exit_code::OK)
        }
        Command::Down(args) => {
            let cleaned = Lab::down(settings.state(), &args.name);
            let cleaned = cleaned.doing(exit_code::FAILED, || format!("remove lab {}", args.name))?;
            let (processes, namespaces) = (cleaned.processes, cleaned.namespaces);
            output::talk(format_args!("{processes} processes and {namespaces} namespaces removed"));
            Ok(exit_code::OK)
        }
        Command::Shell(args) => shell(&args, settings),
    }
}

fn up(args: Up, settings: &Settings) -> Result<u8> {
    let mut options =
        UpOptions::new(settings.state()).doing(exit_code::FAILED, || "make a lab".to_owned())?;
    options.link = Link::default().changed(&args.link.change());
    options.name = args.lab.name;
    output::talk("building the guest and the network; the first time takes a minute");
    let lab = Lab::up(&options).doing(exit_code::FAILED, || format!("make lab {}", options.name))?;
    output::data(format_args!("export LONGHAUL_SITES={}", lab.files().sites().display()));
    output::talk(format_args!("then: longhaul vm start {} --site a", lab.vm()));
    Ok(exit_code::OK)
}

fn open(named: &Named, settings: &Settings) -> Result<Lab> {
    let lab = Lab::open(settings.state(), &named.name);
    let absent = matches!(lab, Err(Error::NotUp(_)));
    let lab = lab.doing(exit_code::FAILED, || "open the lab".to_owned());
    lab.map_err(|failure| if absent { failure.advise("`longhaul lab up` makes one") } else { failure })
}

fn status(args: &Looked, settings: &Settings) -> Result<u8> {
    let status = open(&args.lab, settings)?.status();
    if args.json {
        output::json(&status);
    } else {
        show(&status);
    }
    let fine = status.wan.is_some() && status.sites.iter().all(|site| site.answers);
    Ok(if fine { exit_code::OK } else { exit_code::CHECK_FAILED })
}

fn show(status: &Status) {
    match &status.wan {
        Some(stats) => show_link(stats, false),
        None => output::data("WAN: does not answer"),
    }
    let mut table = Table::new(["place", "pid", "command"]);
    for site in &status.sites {
        let answers = if site.answers { "agent answers" } else { "agent does not answer" };
        table.row([site.side.as_str().to_owned(), "-".to_owned(), answers.to_owned()]);
        for process in &site.processes {
            table.row([site.side.as_str().to_owned(), process.pid.to_string(), shortened(&process.command)]);
        }
    }
    for process in &status.client {
        table.row([Place::Client.as_str().to_owned(), process.pid.to_string(), shortened(&process.command)]);
    }
    output::data(table);
}

/// QEMU's command line is a page long; its beginning says what it is.
fn shortened(command: &str) -> String {
    const SHOWN_MAX: usize = 100;
    command.chars().take(SHOWN_MAX).collect()
}

fn show_link(stats: &Stats, json: bool) {
    if json {
        return output::json(stats);
    }
    let link = &stats.link;
    let state = if stats.cut { "cut" } else { "carries" };
    output::data(format_args!(
        "link: {state}; {} each way, {} each way, {} % lost, queue {}; {} bytes a to b, {} bytes b to a",
        link.rate,
        link.delay,
        link.loss * 100.0,
        link.queue,
        stats.a_to_b.bytes,
        stats.b_to_a.bytes,
    ));
}

fn shell(args: &Shell, settings: &Settings) -> Result<u8> {
    let lab = open(&args.lab, settings)?;
    let mut process = match args.command.split_first() {
        Some((program, arguments)) => {
            let mut process = Process::new(program);
            process.args(arguments);
            process
        }
        None => Process::new(settings.shell()),
    };
    let status =
        lab.shell(args.place, &mut process).doing(exit_code::FAILED, || "run the command".to_owned())?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(exit_code::FAILED))
}
