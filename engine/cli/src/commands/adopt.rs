//! `longhaul adopt`: goes on with a run whose controller is lost, from the records that an agent has kept.

use longhaul_model::ids::{RunId, SiteId};
use longhaul_run::Reader;
use longhaul_run::journal::{Bundle, Stored};
use longhaul_saga::event::Controller;
use longhaul_saga::{Entry, Event, Record, Saga};
use longhaul_step::Error;
use longhaul_steps::Agents;

use crate::commands::{block_on, driving, mirror, sites};
use crate::errors::{Explain as _, Failure, Result};
use crate::settings::Settings;
use crate::{exit_code, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run
    run: RunId,
    /// The site whose agent has kept its records
    #[arg(long, value_name = "SITE")]
    from: SiteId,
    #[command(flatten)]
    show: driving::Show,
}

/// What a site has of a run.
struct Kept {
    bundle: Bundle,
    records: Vec<Record>,
}

pub(super) fn run(args: &Args, settings: &Settings) -> Result<u8> {
    if Reader::open(&settings.controller()).and_then(|reader| reader.knows(&args.run)).unwrap_or(false) {
        let message = format!("run {} is in this state directory's journal already", args.run);
        return Err(Failure::said(exit_code::FAILED, message)
            .advise(format!("`longhaul resume {}` goes on with it", args.run)));
    }
    block_on(async {
        let agents = sites::agents(settings)?;
        let generation = Controller::generation_behind(highest(&agents, args).await?);
        let driving = driving::Driving::open_as(settings, generation)?;
        take_over(&agents, args, &driving.controller()).await?;
        // Read when nobody writes there any more but us.
        let kept = read(&agents, args).await?;
        let status = Saga::fold(&kept.records)
            .doing(exit_code::CHECK_FAILED, || "derive the run's decisions again from its events".to_owned())?
            .saga
            .status();
        let seen = kept.records.len();
        driving.import(kept.bundle).await?;
        output::talk(format_args!("run {}: {seen} records from site {}, {status}", args.run, args.from));
        if status.is_final() {
            return Ok(driving::of_status(status));
        }
        let ended = driving.drive(&args.show, async |driver, reporters, control| {
            driver.resume(&args.run, reporters, control).await
        });
        driving.finish(&args.run, ended.await?, &args.show, settings).await
    })
}

/// The highest generation of a controller of the run that its records or the site know of.
async fn highest(agents: &Agents, args: &Args) -> Result<u64> {
    let asked = agents.read_records(&args.from, &args.run, u64::MAX).await.map_err(Error::from);
    let reply = asked.doing(exit_code::FAILED, || format!("ask site {} for the run", args.from))?;
    if reply.kept == 0 {
        let message = format!("site {} keeps no records of run {}", args.from, args.run);
        return Err(Failure::said(exit_code::FAILED, message).advise(
            "name a site that the run was started with: `longhaul run --mirror async --mirror-to SITE`",
        ));
    }
    Ok(reply.generation)
}

/// Tells every site of the inventory. One that cannot be asked refuses the controller before us as soon as it hears of us.
async fn take_over(agents: &Agents, args: &Args, controller: &Controller) -> Result<()> {
    let (generation, name) = (controller.generation, controller.name());
    for site in agents.sites() {
        match agents.adopt_run(&site, &args.run, generation, &name).await.map_err(Error::from) {
            Ok(()) => {}
            Err(error) if site != args.from && mirror::is_unreachable(&error) => {
                output::talk(format_args!(
                    "site {site} does not answer: it goes on hearing the controller before this one until it hears of this one"
                ));
            }
            Err(error) => {
                return Err(error).doing(exit_code::FAILED, || format!("take the run over at site {site}"));
            }
        }
    }
    Ok(())
}

async fn read(agents: &Agents, args: &Args) -> Result<Kept> {
    let mut bundle = Bundle::default();
    loop {
        let from = bundle.records.len() as u64 + 1;
        let reply = agents.read_records(&args.from, &args.run, from).await.map_err(Error::from);
        let reply =
            reply.doing(exit_code::FAILED, || format!("read the run's records at site {}", args.from))?;
        for record in &reply.records {
            let stored = Stored::of_line(&record.line);
            bundle
                .records
                .push(stored.doing(exit_code::CHECK_FAILED, || format!("read record {}", record.seq))?);
        }
        bundle.values.extend(reply.values.into_iter().map(|value| (value.digest, value.text)));
        if reply.records.is_empty() || bundle.records.len() as u64 >= reply.kept {
            break;
        }
    }
    let records = bundle.read()?;
    require_mirrored(&records)?;
    Ok(Kept { bundle, records })
}

fn require_mirrored(records: &[Record]) -> Result<()> {
    match records.first().map(|record| &record.entry) {
        Some(Entry::Event(Event::RunCreated(_))) => Ok(()),
        _ => {
            Err(Failure::said(exit_code::CHECK_FAILED, "the first record that is kept does not create a run"))
        }
    }
}
